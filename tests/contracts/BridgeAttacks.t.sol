// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IGaps} from "../../contracts/interfaces/IGaps.sol";
import {Conversion, IProgrammeEvents} from "../../contracts/interfaces/IProgrammeEvents.sol";
import {Exchange} from "../../contracts/interfaces/IRegistryRecords.sol";
import {IReserve} from "../../contracts/interfaces/IReserve.sol";
import {Interval, ITrust, Receipt} from "../../contracts/interfaces/ITrust.sol";
import {Bridge} from "./support/Bridge.sol";

/// @dev What was tried against the bridge and once worked.
contract BridgeAttacksTest is Bridge {
    uint256 private id;
    bytes32 private series;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
        mint(buyer, 500, 549);
        series = trust.hashSeries(vcsSeries());
    }

    // -------------------------------------------------------------- one stolen custody key

    /// @dev A signer cancels what is no receipt but the name of a block that a module will append.
    function takeSlot(uint256 key, uint256 source, uint48 position) private {
        vm.prank(vm.addr(key));
        trust.cancelReceipt(keccak256(abi.encode(bytes32(source), id, position)));
    }

    function test_L8_a_stolen_custody_key_cannot_stop_a_refund() public {
        uint64 deliveryId = request(holder, id, 10);
        takeSlot(ATTESTOR, deliveryId, 150);
        vm.warp(NOW + REQUEST);
        refund(holder, deliveryId);
        equal(credits.balanceOf(holder, id), 100_000, "refunded");
        stands(id, 150, 100);
    }

    function test_L8_a_stolen_custody_key_cannot_stop_a_gap_from_being_passed() public {
        invalidate(id, 0, 100, 104);
        takeSlot(CUSTODIAN, 0, 150);
        retire(holder, id, 1_000);
        equal(gaps.gapNow(id, 0), 150, "passed");
        stands(id, 150, 100);
    }

    /// @dev The transfer is on its way; the thief says that it has expired, the credits are still
    /// in the trust's account, and the holder would have them twice once the recipient accepts.
    function test_L3_a_stolen_custodian_key_brings_no_refund_forward() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        dispatch(deliveryId, NOW);
        vm.warp(NOW + 1 days);
        bytes memory proof = listing(id, 100, 199);
        vm.expectRevert(
            abi.encodeWithSelector(
                IReserve.ReserveTooEarly.selector, NOW + 1 days, NOW + TRANSFER
            )
        );
        vm.prank(holder);
        deliveries.refundWithReport(deliveryId, proof);
        vm.warp(NOW + GRACE);
        expectEarly(deliveryId, NOW + TRANSFER + GRACE, NOW + GRACE);
        refund(holder, deliveryId);
        finalise(deliveryId, 0);
        equal(credits.balanceOf(holder, id), 90_000, "delivered once");
    }

    // -------------------------------------------------------------- dead serials and deliveries

    function test_L2_serials_that_died_on_the_way_are_never_free_again() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        invalidate(id, 4, 104, 106);
        invalidate(id, 0, 100, 100);
        invalidate(id, 9, 109, 109);
        finalise(deliveryId, 0);
        (uint64 last, uint64 next,) = trust.registered(series, 100);
        equal(last, 100, "the first dead one stays");
        equal(next, 104, "what lived is free");
        (last, next,) = trust.registered(series, 104);
        equal(last, 106, "the dead ones in the middle stay");
        equal(next, 109, "what lived is free");
        (last,,) = trust.registered(series, 109);
        equal(last, 199, "the last dead one stays with what was not delivered");
        mint(buyer, 101, 103);
        mint(buyer, 107, 108);
        Receipt memory receipt = receiptFor(buyer, one(104, 104));
        expectMintRefused(
            receipt,
            abi.encodeWithSelector(ITrust.SerialsOverlap.selector, series, 104, 104, 104, 106)
        );
    }

    function test_L2_a_delivery_that_died_whole_frees_nothing() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        invalidate(id, 0, 100, 109);
        finalise(deliveryId, 0);
        (uint64 last,,) = trust.registered(series, 100);
        equal(last, 199, "as it was");
    }

    function test_an_invalidation_names_no_positions_of_a_finalised_delivery() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        finalise(deliveryId, 0);
        // The serials come back under other positions: those are the ones to name.
        mint(buyer, 100, 109);
        expectInvalidationRefused(
            invalidationOf(id, 2, 102, 103),
            abi.encodeWithSelector(IGaps.DeliveryEnded.selector, id, 0)
        );
        invalidate(id, 152, 102, 103);
    }

    // -------------------------------------------------------------- gas

    /// @dev A registry that retires from the back of a block cuts it twice each time.
    function test_L8_no_position_is_too_dear_to_find_however_often_a_block_was_cut() public {
        uint256 cut = mint(holder, 10_000, 10_999);
        equal(cut, id, "one class");
        uint48 start = 150;
        retire(buyer, id, 50_000);
        retire(holder, id, 450_000);
        uint48 done;
        for (uint256 round = 0; round < 7; ++round) {
            Exchange[] memory swaps = new Exchange[](50);
            Interval[] memory actual = new Interval[](50);
            uint64 first = start + done;
            for (uint256 i = 0; i < 50; ++i) {
                uint48 back = 999 - done;
                swaps[i] = Exchange(start + done, start + back, 1, 0);
                actual[i] = Interval(vcsSeries(), 10_000 + back, 10_000 + back);
                ++done;
            }
            confirm(retirement(id, first, actual), swaps, 0);
        }
        for (uint48 place = 0; place < 1000; place += 3) {
            bool swapped = place < done || place >= 1000 - done;
            stands(id, start + place, swapped ? 10_999 - place : 10_000 + place);
        }
        uint256 gas = gasleft();
        records.serialAt(id, start + 350);
        gas -= gasleft();
        // 350 pieces stand before it; one read of storage that is warm costs about 350 gas here.
        check(gas < 60_000, "dear to find");
    }

    // -------------------------------------------------------------- conversions

    function test_L2_a_label_split_leaves_serials_in_their_project() public {
        Conversion memory made =
            conversionOf(id, IProgrammeEvents.Kind.LabelSplit, 0, 5, bytes32(uint256(1)));
        made.toClass.project = "another";
        bytes32 conversionId = events.hashConversion(made);
        bytes[] memory signatures = by(conversionId, CUSTODIAN, ATTESTOR);
        vm.expectRevert(
            abi.encodeWithSelector(IProgrammeEvents.ConversionInvalid.selector, conversionId)
        );
        events.convert(made, noHints(0), 0, signatures);
    }
}
