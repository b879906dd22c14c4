// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1155Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ICarbonCredits} from "../../contracts/interfaces/ICarbonCredits.sol";
import {Finalisation, IDeliveries, Rejection} from "../../contracts/interfaces/IDeliveries.sol";
import {IGaps} from "../../contracts/interfaces/IGaps.sol";
import {IParticipants} from "../../contracts/interfaces/IParticipants.sol";
import {
    Exchange,
    IRegistryRecords,
    RegistryRetirement
} from "../../contracts/interfaces/IRegistryRecords.sol";
import {ITrust} from "../../contracts/interfaces/ITrust.sol";
import {TestSettlementAsset} from "../../contracts/testing/TestSettlementAsset.sol";
import {Bridge} from "./support/Bridge.sol";

/// @dev L8: what was asked for arrives at the registry.
contract DeliveriesTest is Bridge {
    uint256 private id;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
        mint(buyer, 500, 549);
    }

    // -------------------------------------------------------------- request

    function test_a_request_burns_from_the_front_and_names_its_serials() public {
        retire(holder, id, 2_500);
        uint64 deliveryId = request(holder, id, 10);
        IDeliveries.Delivery memory made = deliveries.delivery(deliveryId);
        equal(made.firstPosition, 3, "behind what is retired and open");
        equal(made.firstSerial, 103, "its serials");
        equal(made.tonnes, 10, "tonnes");
        equal(made.holder, holder, "holder");
        equal(credits.balanceOf(holder, id), 87_500, "burnt");
        equal(credits.retiredBalanceOf(holder, id), 2_500, "a delivery is no retirement");
        equal(credits.positions(id).dust, 500, "the open tonne stays");
        supplyHolds(id);
        (IRegistryRecords.Settled kind, uint48 first, uint48 last) =
            records.settledWithin(id, 3, 12, 0);
        check(kind == IRegistryRecords.Settled.Delivered, "settled as delivered");
        equal(first, 3, "settled from");
        equal(last, 12, "settled to");
    }

    function test_a_request_refuses_what_it_cannot_burn() public {
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryTonnesInvalid.selector, 0)
        );
        request(holder, id, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryTonnesInvalid.selector, 1 << 48)
        );
        request(holder, id, 1 << 48);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC1155Errors.ERC1155InsufficientBalance.selector, holder, 100_000, 101_000, id
            )
        );
        request(holder, id, 101);
        vm.expectRevert(abi.encodeWithSelector(IDeliveries.DeliveryAccountInvalid.selector, 0));
        deliveries.request(holder, id, 1, "");
        string memory long = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IDeliveries.DeliveryAccountInvalid.selector, 257));
        deliveries.request(holder, id, 1, long);
        vm.expectRevert(
            abi.encodeWithSelector(ICarbonCredits.CreditsNotApproved.selector, third, holder)
        );
        vm.prank(third);
        deliveries.request(holder, id, 1, "Account");
    }

    function test_a_request_lies_in_one_block_and_says_how_much_of_it_is_left() public {
        transfer(buyer, holder, id, 50_000);
        retire(holder, id, 95_000);
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryCrossesBlocks.selector, id, 95, 6, 5)
        );
        request(holder, id, 6);
        request(holder, id, 5);
        equal(deliveries.delivery(request(holder, id, 6)).firstSerial, 500, "the next block");
    }

    function test_an_operator_that_the_holder_approved_requests_and_refunds() public {
        vm.prank(holder);
        credits.setApprovalForAll(third, true);
        vm.prank(third);
        uint64 deliveryId = deliveries.request(holder, id, 4, "Account");
        vm.warp(NOW + REQUEST);
        refund(third, deliveryId);
        equal(credits.balanceOf(holder, id), 100_000, "back at the holder");
    }

    function test_the_fee_goes_from_the_caller_to_its_payee_and_stays_there() public {
        TestSettlementAsset money = new TestSettlementAsset("Dollar", "USD", 6, address(this));
        money.mint(holder, 70);
        deliveries.setFee(address(money), 30, third);
        vm.prank(holder);
        money.approve(address(deliveries), 60);
        uint64 deliveryId = request(holder, id, 4);
        equal(money.balanceOf(third), 30, "paid");
        vm.warp(NOW + REQUEST);
        refund(holder, deliveryId);
        equal(money.balanceOf(holder), 40, "a refund returns no fee");
        request(holder, id, 1);
        vm.expectRevert();
        request(holder, id, 1);
        equal(credits.balanceOf(holder, id), 99_000, "who does not pay burns nothing");
        deliveries.setFee(address(0), 0, address(0));
        request(holder, id, 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeliveries.DeliveryFeeInvalid.selector, address(money), 1, address(0)
            )
        );
        deliveries.setFee(address(money), 1, address(0));
    }

    function test_a_frozen_holder_requests_nothing_and_is_not_delivered_to() public {
        uint64 deliveryId = request(holder, id, 4);
        setFrozen(holder, true, 1);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantIsFrozen.selector, holder, NOW)
        );
        request(holder, id, 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeliveries.DeliveryHolderFrozen.selector, deliveryId, holder
            )
        );
        begin(deliveryId);
        vm.warp(NOW + REQUEST);
        vm.expectRevert(
            abi.encodeWithSelector(IParticipants.ParticipantIsFrozen.selector, holder, NOW)
        );
        refund(holder, deliveryId);
        setFrozen(holder, false, 2);
        refund(holder, deliveryId);
        equal(credits.balanceOf(holder, id), 100_000, "refunded once it may move");
    }

    // -------------------------------------------------------------- begin, dispatch, finalise

    function test_only_a_custodian_begins_and_only_48_hours_before_the_deadline() public {
        uint64 deliveryId = request(holder, id, 4);
        address attestor = vm.addr(ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryOnlyCustodian.selector, attestor)
        );
        vm.prank(attestor);
        deliveries.begin(deliveryId);
        uint256 latest = NOW + REQUEST - 48 hours;
        vm.warp(latest + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeliveries.DeliveryTooLateToBegin.selector, deliveryId, latest, latest + 1
            )
        );
        begin(deliveryId);
        vm.warp(latest);
        begin(deliveryId);
        isIn(deliveryId, IDeliveries.State.Begun);
        expectState(deliveryId, IDeliveries.State.Begun);
        begin(deliveryId);
        expectState(99, IDeliveries.State.None);
        begin(99);
    }

    function test_a_dispatch_names_its_reference_and_its_end_once() public {
        uint64 deliveryId = request(holder, id, 4);
        expectState(deliveryId, IDeliveries.State.Requested);
        dispatch(deliveryId, NOW + 1);
        begin(deliveryId);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeliveries.DeliveryExpiryInvalid.selector,
                deliveryId,
                NOW + TRANSFER + 1,
                NOW + TRANSFER
            )
        );
        dispatch(deliveryId, NOW + TRANSFER + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeliveries.DeliveryExpiryInvalid.selector, deliveryId, NOW - 1, NOW + TRANSFER
            )
        );
        dispatch(deliveryId, NOW - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryReferenceInvalid.selector, 0)
        );
        vm.prank(vm.addr(CUSTODIAN));
        deliveries.dispatch(deliveryId, "", uint40(NOW + 1));
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryOnlyCustodian.selector, third)
        );
        vm.prank(third);
        deliveries.dispatch(deliveryId, "REF", uint40(NOW + 1));
        dispatch(deliveryId, NOW + 5 days);
        expectState(deliveryId, IDeliveries.State.Dispatched);
        dispatch(deliveryId, NOW + 6 days);
        // Refunds count from the latest end, whatever a custodian says.
        vm.warp(NOW + TRANSFER + GRACE - 1);
        expectEarly(deliveryId, NOW + TRANSFER + GRACE, NOW + TRANSFER + GRACE - 1);
        refund(holder, deliveryId);
    }

    function test_what_was_delivered_leaves_the_register_and_is_minted_again() public {
        retire(holder, id, 10_000);
        uint64 deliveryId = request(holder, id, 10);
        expectState(deliveryId, IDeliveries.State.Requested);
        this.finaliseOutside(deliveryId);
        expectMintRefused(
            receiptFor(buyer, one(110, 119)),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector,
                trust.hashSeries(vcsSeries()),
                110,
                119,
                100,
                199
            )
        );
        begin(deliveryId);
        finalise(deliveryId, 100);
        (uint64 last, uint64 next,) = trust.registered(trust.hashSeries(vcsSeries()), 100);
        equal(last, 109, "what was retired stays registered");
        equal(next, 120, "what is still in trust too");
        expectMintRefused(
            receiptFor(buyer, one(109, 110)),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector,
                trust.hashSeries(vcsSeries()),
                109,
                110,
                100,
                109
            )
        );
        mint(receiptFor(third, one(110, 119)));
        equal(credits.balanceOf(third, id), 10_000, "deposited again");
        expectState(deliveryId, IDeliveries.State.Finalised);
        this.finaliseOutside(deliveryId);
        expectState(deliveryId, IDeliveries.State.Finalised);
        this.rejectOutside(deliveryId);
        vm.warp(NOW + 60 days);
        expectState(deliveryId, IDeliveries.State.Finalised);
        refund(holder, deliveryId);
        bytes memory proof = listing(id, 100, 199);
        expectState(deliveryId, IDeliveries.State.Finalised);
        vm.prank(holder);
        deliveries.refundWithReport(deliveryId, proof);
    }

    function test_L5_one_key_finalises_and_rejects_nothing() public {
        uint64 deliveryId = request(holder, id, 4);
        begin(deliveryId);
        Finalisation memory made = finalisationOf(deliveryId);
        bytes[] memory signatures = by(deliveries.hashFinalisation(made), CUSTODIAN);
        bytes memory missing =
            abi.encodeWithSelector(ITrust.TrustApprovalsMissing.selector, 1, 1, 0, 1);
        vm.expectRevert(missing);
        deliveries.finalise(made, 0, signatures);
        vm.expectRevert(missing);
        deliveries.recordBreak(made, signatures);
        Rejection memory refused = Rejection(deliveryId, "No", HASH);
        signatures = by(deliveries.hashRejection(refused), CUSTODIAN);
        vm.expectRevert(missing);
        deliveries.reject(refused, signatures);
        refused.reason = "";
        signatures = by(deliveries.hashRejection(refused), CUSTODIAN, ATTESTOR);
        vm.expectRevert(abi.encodeWithSelector(IDeliveries.DeliveryReasonInvalid.selector, 0));
        deliveries.reject(refused, signatures);
        made.registryDate = 20260230;
        signatures = by(deliveries.hashFinalisation(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryDateInvalid.selector, 20260230)
        );
        deliveries.finalise(made, 0, signatures);
        made.registryReference = "";
        signatures = by(deliveries.hashFinalisation(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryReferenceInvalid.selector, 0)
        );
        deliveries.finalise(made, 0, signatures);
    }

    function test_no_confirmation_takes_what_a_delivery_names() public {
        retire(holder, id, 10_000);
        uint64 deliveryId = request(holder, id, 10);
        RegistryRetirement memory done = retirement(id, 10, one(110, 111));
        bytes[] memory signatures =
            by(records.hashRegistryRetirement(done), CUSTODIAN, ATTESTOR);
        bytes memory settled = abi.encodeWithSelector(
            IRegistryRecords.PositionsSettledAlready.selector,
            id,
            10,
            19,
            IRegistryRecords.Settled.Delivered
        );
        vm.expectRevert(settled);
        records.recordRegistryRetirement(done, new Exchange[](0), 0, signatures);
        // Nor by way of an exchange, while it is open and after it.
        done = retirement(id, 0, one(110, 111));
        signatures = by(records.hashRegistryRetirement(done), CUSTODIAN, ATTESTOR);
        Exchange[] memory swaps = new Exchange[](1);
        swaps[0] = Exchange(0, 10, 2, 0);
        vm.expectRevert(settled);
        records.recordRegistryRetirement(done, swaps, 0, signatures);
        begin(deliveryId);
        finalise(deliveryId, 0);
        vm.expectRevert(settled);
        records.recordRegistryRetirement(done, swaps, 0, signatures);
    }

    function test_a_delivery_names_the_serials_of_the_newest_exchange() public {
        retire(holder, id, 10_000);
        Exchange[] memory swaps = new Exchange[](1);
        swaps[0] = Exchange(0, 10, 4, 0);
        confirm(retirement(id, 0, one(110, 113)), swaps, 0);
        IDeliveries.Delivery memory made = deliveries.delivery(request(holder, id, 4));
        equal(made.firstPosition, 10, "position");
        equal(made.firstSerial, 100, "not the confirmed ones");
        begin(1);
        finalise(1, 0);
        (uint64 last,,) = trust.registered(trust.hashSeries(vcsSeries()), 104);
        equal(last, 199, "only what was delivered is free");
        mint(receiptFor(buyer, one(100, 103)));
    }

    // -------------------------------------------------------------- powers

    function test_only_its_modules_call_what_burns_and_mints() public {
        bytes memory notDeliveries =
            abi.encodeWithSelector(ICarbonCredits.CreditsOnlyDeliveries.selector, this);
        vm.expectRevert(notDeliveries);
        credits.burnForDelivery(holder, holder, id, 1);
        vm.expectRevert(notDeliveries);
        credits.mintRefund(holder, id, 1);
        vm.expectRevert(
            abi.encodeWithSelector(ICarbonCredits.CreditsOnlyEvents.selector, this)
        );
        credits.surrender(holder, id, 1);
        vm.expectRevert(abi.encodeWithSelector(ICarbonCredits.CreditsOnlyGaps.selector, this));
        credits.setFlags(id, 1, true);
        vm.expectRevert(abi.encodeWithSelector(IGaps.GapsOnlyCredits.selector, this));
        gaps.beforeConsumption(id, 0, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IGaps.GapsOnlyCredits.selector, this));
        gaps.passGaps(id, 0, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IGaps.GapsOnlyDeliveries.selector, this));
        gaps.beforeRefund(id, 0, 1, 1, true);
        vm.expectRevert(abi.encodeWithSelector(IGaps.GapsOnlyDeliveries.selector, this));
        gaps.closeDispute(id, 0, 1);
        bytes memory notEvents =
            abi.encodeWithSelector(IGaps.GapsOnlyEvents.selector, this);
        vm.expectRevert(notEvents);
        gaps.invalidate(HASH, id, 0, 1, 0);
        vm.expectRevert(notEvents);
        gaps.openConversion(id, 0, 1, 0);
        vm.expectRevert(notEvents);
        gaps.closeForSubstitute(id, 0);
        vm.expectRevert(notEvents);
        gaps.lock(id, 1);
        vm.expectRevert(notEvents);
        gaps.setHeld(id, true);
    }

    function test_periods_leave_time_to_begin() public {
        bytes memory code = vm.getCode("Deliveries.sol:Deliveries");
        bytes memory args = abi.encode(
            manager, credits, trust, records, reserve, gaps, 48 hours, TRANSFER, GRACE
        );
        code = bytes.concat(code, args);
        address made;
        assembly {
            made := create(0, add(code, 0x20), mload(code))
        }
        equal(made, address(0), "deployed without a moment in which a delivery can be begun");
        (uint40 asked, uint40 transferred, uint40 grace) = deliveries.periods();
        equal(asked, REQUEST, "request");
        equal(transferred, TRANSFER, "transfer");
        equal(grace, GRACE, "grace");
    }
}
