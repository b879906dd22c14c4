// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICarbonCredits} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IDeliveries} from "../../contracts/interfaces/IDeliveries.sol";
import {IGaps} from "../../contracts/interfaces/IGaps.sol";
import {IProgrammeEvents} from "../../contracts/interfaces/IProgrammeEvents.sol";
import {IReserve} from "../../contracts/interfaces/IReserve.sol";
import {Bridge} from "./support/Bridge.sol";

/// @dev A holder that is a contract and does, when its refund arrives, what it was told to.
contract CallingHolder {
    address private _target;
    bytes private _call;
    bool public done;

    function onCredits(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function act(address target, bytes calldata call) external returns (bytes memory) {
        (bool ok, bytes memory result) = target.call(call);
        if (!ok) {
            assembly {
                revert(add(result, 0x20), mload(result))
            }
        }
        return result;
    }

    function onERC1155Received(address, address, uint256, uint256, bytes calldata)
        external
        returns (bytes4)
    {
        if (_target != address(0)) (done,) = _target.call(_call);
        return this.onERC1155Received.selector;
    }
}

/// @dev L8: what does not arrive at the registry comes back to who asked.
contract RefundsTest is Bridge {
    uint256 private id;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
        mint(buyer, 500, 549);
    }

    // -------------------------------------------------------------- refunds

    function test_L8_not_begun_by_the_deadline_the_holder_refunds_alone() public {
        uint64 deliveryId = request(holder, id, 10);
        vm.warp(NOW + REQUEST - 1);
        expectEarly(deliveryId, NOW + REQUEST, NOW + REQUEST - 1);
        refund(holder, deliveryId);
        vm.warp(NOW + REQUEST);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeliveries.DeliveryOnlyHolder.selector, deliveryId, holder, third
            )
        );
        refund(third, deliveryId);
        refund(holder, deliveryId);
        equal(credits.balanceOf(holder, id), 100_000, "all of it");
        equal(credits.positions(id).minted, 160, "at the back");
        stands(id, 150, 100);
        stands(id, 159, 109);
        equal(flagsOf(id), 0, "an ordinary refund is no dispute");
        supplyHolds(id);
        isIn(deliveryId, IDeliveries.State.Refunded);
        expectState(deliveryId, IDeliveries.State.Refunded);
        refund(holder, deliveryId);
        expectState(deliveryId, IDeliveries.State.Refunded);
        begin(deliveryId);
        expectState(deliveryId, IDeliveries.State.Refunded);
        this.finaliseOutside(deliveryId);
    }

    function test_L8_what_was_rejected_is_refunded_at_once() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        expectEarly(deliveryId, NOW + TRANSFER + GRACE, NOW);
        refund(holder, deliveryId);
        reject(deliveryId);
        expectState(deliveryId, IDeliveries.State.Rejected);
        this.rejectOutside(deliveryId);
        refund(holder, deliveryId);
        equal(credits.balanceOf(holder, id), 100_000, "back");
        equal(flagsOf(id), 0, "no dispute");
    }

    function test_L8_a_report_after_the_transfer_ended_refunds_at_once() public {
        uint64 deliveryId = request(holder, id, 10);
        bytes memory proof = listing(id, 100, 199);
        expectState(deliveryId, IDeliveries.State.Requested);
        vm.prank(holder);
        deliveries.refundWithReport(deliveryId, proof);
        begin(deliveryId);
        dispatch(deliveryId, NOW + 5 days);
        vm.warp(NOW + TRANSFER);
        proof = listing(id, 100, 199);
        vm.expectRevert(
            abi.encodeWithSelector(
                IReserve.ReserveTooEarly.selector, NOW + TRANSFER, NOW + TRANSFER
            )
        );
        vm.prank(holder);
        deliveries.refundWithReport(deliveryId, proof);
        vm.warp(NOW + TRANSFER + 1);
        // The registry shows less than what was to be delivered: no ordinary refund.
        proof = listing(id, 101, 199);
        vm.expectRevert(
            abi.encodeWithSelector(
                IReserve.ReserveBlockMissing.selector,
                trust.hashSeries(vcsSeries()),
                100,
                109,
                HASH
            )
        );
        vm.prank(holder);
        deliveries.refundWithReport(deliveryId, proof);
        proof = listing(id, 100, 109);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeliveries.DeliveryOnlyHolder.selector, deliveryId, holder, third
            )
        );
        vm.prank(third);
        deliveries.refundWithReport(deliveryId, proof);
        vm.prank(holder);
        deliveries.refundWithReport(deliveryId, proof);
        equal(credits.balanceOf(holder, id), 100_000, "back");
        equal(flagsOf(id), 0, "no dispute");
    }

    function disputed() private returns (uint64 deliveryId) {
        deliveryId = request(holder, id, 10);
        begin(deliveryId);
        vm.warp(NOW + TRANSFER + GRACE);
        refund(holder, deliveryId);
    }

    function test_L8_at_the_second_deadline_the_refund_is_disputed_and_mints_halt() public {
        uint64 deliveryId = disputed();
        isIn(deliveryId, IDeliveries.State.RefundedDisputed);
        equal(credits.balanceOf(holder, id), 100_000, "the holder has tokens again");
        equal(flagsOf(id), 256 + 2, "short, with a gap");
        (uint48 first, uint48 tonnes, IGaps.GapKind kind) = gaps.nextGap(id, 0);
        equal(first, 150, "the refund's positions");
        equal(tonnes, 10, "all of them");
        check(kind == IGaps.GapKind.Disputed, "disputed");
        bytes memory halted =
            abi.encodeWithSelector(ICarbonCredits.CreditsClassHalted.selector, id, 2);
        expectMintRefused(receiptFor(buyer, one(900, 909)), halted);
        // L8: moving goes on, and what no doubt is about is retired and delivered.
        transfer(holder, buyer, id, 30_000);
        retire(buyer, id, 20_000);
        request(holder, id, 2);
        expectState(deliveryId, IDeliveries.State.RefundedDisputed);
        refund(holder, deliveryId);
    }

    function test_a_later_report_that_lists_the_serials_clears_the_dispute() public {
        uint64 deliveryId = disputed();
        uint256 time = NOW + TRANSFER + GRACE;
        bytes memory proof = listing(id, 100, 199);
        vm.expectRevert(
            abi.encodeWithSelector(IReserve.ReserveTooEarly.selector, time, time)
        );
        deliveries.clearDispute(deliveryId, proof);
        // Passed meanwhile: the dispute is found where it stands.
        retire(holder, id, 90_000);
        transfer(buyer, holder, id, 50_000);
        retire(holder, id, 50_000);
        mustPass();
        vm.warp(time + 1);
        proof = listing(id, 100, 199);
        vm.prank(third);
        deliveries.clearDispute(deliveryId, proof);
        equal(flagsOf(id), 0, "nothing lacks");
        isIn(deliveryId, IDeliveries.State.Refunded);
        expectState(deliveryId, IDeliveries.State.Refunded);
        deliveries.clearDispute(deliveryId, proof);
        retire(holder, id, 10_000);
        equal(credits.totalSupply(id), 0, "all consumed");
    }

    /// @dev Everything live is the dispute: the cursor stands at it and may not take it.
    function mustPass() private {
        equal(credits.positions(id).exited, 150, "at the gap");
        vm.expectRevert(
            abi.encodeWithSelector(IGaps.GapReached.selector, id, 1, 0, 160, 10)
        );
        retire(holder, id, 1_000);
    }

    function test_a_finalisation_after_a_refund_is_refused_and_recorded_as_a_break() public {
        uint64 deliveryId = disputed();
        expectState(deliveryId, IDeliveries.State.RefundedDisputed);
        this.finaliseOutside(deliveryId);
        recordBreak(deliveryId);
        check(deliveries.delivery(deliveryId).broken, "on record");
        vm.expectRevert(
            abi.encodeWithSelector(IDeliveries.DeliveryBroken.selector, deliveryId)
        );
        this.recordBreak(deliveryId);
        equal(flagsOf(id), 256 + 2, "a break covers nothing");
        uint64 other = request(holder, id, 1);
        expectState(other, IDeliveries.State.Requested);
        this.recordBreak(other);
    }

    function test_L8_a_refund_reaches_an_expired_holder() public {
        uint64 deliveryId = request(holder, id, 10);
        participants.admit(holder, 1, "HK", uint40(NOW + 1));
        vm.warp(NOW + REQUEST);
        refund(holder, deliveryId);
        equal(credits.balanceOf(holder, id), 100_000, "back");
        // An expired holder may also have its credits delivered: that is a way out.
        request(holder, id, 10);
    }

    function test_L8_a_held_class_takes_no_request_and_refunds_all_the_same() public {
        uint64 deliveryId = request(holder, id, 10);
        publish(id, IProgrammeEvents.Kind.Hold, 1);
        bytes memory halted =
            abi.encodeWithSelector(ICarbonCredits.CreditsClassHalted.selector, id, 1);
        vm.expectRevert(halted);
        request(holder, id, 1);
        vm.expectRevert(halted);
        retire(holder, id, 1);
        expectMintRefused(receiptFor(buyer, one(900, 909)), halted);
        vm.warp(NOW + REQUEST);
        refund(holder, deliveryId);
        transfer(holder, buyer, id, 100_000);
        equal(credits.balanceOf(buyer, id), 150_000, "transfers go on");
        publish(id, IProgrammeEvents.Kind.Release, 2);
        retire(buyer, id, 1);
    }

    // -------------------------------------------------------------- serials that die meanwhile

    function test_serials_that_died_while_a_delivery_was_open_come_back_as_a_gap() public {
        uint64 deliveryId = request(holder, id, 10);
        invalidate(id, 4, 104, 106);
        invalidate(id, 1, 101, 101);
        equal(flagsOf(id), 0, "nothing live died");
        vm.warp(NOW + REQUEST);
        refund(holder, deliveryId);
        (uint48 first, uint48 tonnes, IGaps.GapKind kind) = gaps.nextGap(id, 0);
        equal(first, 151, "the first dead part");
        equal(tonnes, 1, "its tonnes");
        check(kind == IGaps.GapKind.Invalidated, "invalidated");
        (first, tonnes,) = gaps.nextGap(id, 152);
        equal(first, 154, "the second");
        equal(tonnes, 3, "its tonnes");
        (,, uint48 uncovered) = gaps.shortfall(id);
        equal(uncovered, 4, "shortfall");
        expectInvalidationRefused(
            invalidationOf(id, 7, 107, 107),
            abi.encodeWithSelector(IGaps.DeliveryEnded.selector, id, 0)
        );
    }

    function test_a_dispute_with_dead_parts_is_cleared_around_them() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        invalidate(id, 4, 104, 106);
        expectInvalidationRefused(
            invalidationOf(id, 3, 103, 104),
            abi.encodeWithSelector(
                IGaps.GapOverlaps.selector, id, 3, 2, IGaps.GapKind.Invalidated
            )
        );
        vm.warp(NOW + TRANSFER + GRACE);
        refund(holder, deliveryId);
        (,, uint48 uncovered) = gaps.shortfall(id);
        equal(uncovered, 10, "all of it is in doubt or dead");
        vm.warp(NOW + TRANSFER + GRACE + 1);
        deliveries.clearDispute(deliveryId, listing(id, 100, 199));
        (,, uncovered) = gaps.shortfall(id);
        equal(uncovered, 3, "what died stays a gap");
        equal(gaps.gapNow(id, 154), 154, "under its own name");
    }

    function test_a_delivery_stops_before_a_gap() public {
        invalidate(id, 10, 110, 119);
        vm.expectRevert(
            abi.encodeWithSelector(IGaps.GapReached.selector, id, 11, 10, 10, 10)
        );
        request(holder, id, 11);
        request(holder, id, 10);
        // The gap is passed: the next delivery names what stands behind it.
        IDeliveries.Delivery memory made = deliveries.delivery(request(holder, id, 5));
        equal(made.firstPosition, 20, "behind the gap");
        equal(made.firstSerial, 120, "its serials");
        supplyHolds(id);
    }

    // -------------------------------------------------------------- reentrancy

    function contractHolder() private returns (CallingHolder made) {
        made = new CallingHolder();
        participants.admit(address(made), 1, "HK", FAR);
        transfer(holder, address(made), id, 60_000);
    }

    function test_a_holder_that_is_called_back_cannot_refund_twice() public {
        CallingHolder made = contractHolder();
        bytes memory asked =
            abi.encodeCall(IDeliveries.request, (address(made), id, 10, "Account"));
        made.act(address(deliveries), asked);
        vm.warp(NOW + REQUEST);
        bytes memory again = abi.encodeCall(IDeliveries.refund, (1));
        made.onCredits(address(deliveries), again);
        made.act(address(deliveries), again);
        check(!made.done(), "a second refund within the first");
        equal(credits.balanceOf(address(made), id), 60_000, "once");
        supplyHolds(id);
    }

    function test_a_holder_that_is_called_back_cannot_retire_what_is_disputed() public {
        // Everything of the class is with this holder, and everything else has exited.
        CallingHolder made = contractHolder();
        transfer(holder, address(made), id, 40_000);
        transfer(buyer, address(made), id, 50_000);
        made.act(
            address(deliveries),
            abi.encodeCall(IDeliveries.request, (address(made), id, 10, "Account"))
        );
        begin(1);
        made.act(
            address(credits),
            abi.encodeCall(
                ICarbonCredits.retire, (address(made), id, 140_000, address(made), HASH)
            )
        );
        vm.warp(NOW + TRANSFER + GRACE);
        made.onCredits(
            address(credits),
            abi.encodeCall(ICarbonCredits.retire, (address(made), id, 1, address(made), HASH))
        );
        made.act(address(deliveries), abi.encodeCall(IDeliveries.refund, (1)));
        check(!made.done(), "retired what is disputed");
        equal(credits.balanceOf(address(made), id), 10_000, "the refund");
        equal(credits.positions(id).exited, 150, "nothing of it exited");
    }

    // -------------------------------------------------------------- fuzz

    function testFuzz_a_delivery_and_its_refund_conserve(
        uint256 retired,
        uint256 tonnes,
        uint256 how
    ) public {
        retired = within(retired, 0, 50_000);
        tonnes = within(tonnes, 1, 49);
        if (retired != 0) retire(holder, id, retired);
        uint256 before = credits.balanceOf(holder, id);
        uint64 deliveryId = request(holder, id, tonnes);
        IDeliveries.Delivery memory made = deliveries.delivery(deliveryId);
        equal(made.firstPosition, (retired + 999) / 1000, "the front");
        equal(made.firstSerial, 100 + (retired + 999) / 1000, "its serials");
        supplyHolds(id);
        how %= 4;
        if (how == 0) {
            vm.warp(NOW + REQUEST);
        } else {
            begin(deliveryId);
            if (how == 1) reject(deliveryId);
            else vm.warp(NOW + TRANSFER + GRACE);
        }
        if (how == 3) {
            bytes memory proof = listing(id, made.firstSerial, made.firstSerial + 60);
            vm.prank(holder);
            deliveries.refundWithReport(deliveryId, proof);
        } else {
            refund(holder, deliveryId);
        }
        equal(credits.balanceOf(holder, id), before, "all of it came back");
        equal(credits.retiredBalanceOf(holder, id), retired, "and none counts as retired");
        supplyHolds(id);
        stands(id, 150, made.firstSerial);
        equal(flagsOf(id), how == 2 ? 258 : 0, "disputed at the second deadline alone");
    }
}
