// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Exchange,
    IRegistryRecords,
    MadeGood,
    RegistryFailure,
    RegistryRetirement
} from "../../contracts/interfaces/IRegistryRecords.sol";
import {Interval, ITrust} from "../../contracts/interfaces/ITrust.sol";
import {Deployment} from "./support/Deployment.sol";

/// @dev What a registry did not do, and what was done instead.
contract RecordsTest is Deployment {
    uint256 private id;
    bytes32 private series;

    /// @dev Positions 0 … 99 on serials 101 … 200; 30 tonnes and 500 kg of them retired.
    function setUp() public {
        deploy();
        id = mint(holder, 101, 200);
        series = trust.hashSeries(vcsSeries());
        retire(holder, id, 30_500);
    }

    function failureAt(uint64 first, uint64 tonnes) private view returns (RegistryFailure memory) {
        return RegistryFailure(id, first, tonnes, "Account suspended", 20260131, HASH);
    }

    function record(RegistryFailure memory failure) private returns (bytes32) {
        bytes[] memory signatures =
            by(records.hashRegistryFailure(failure), CUSTODIAN, ATTESTOR);
        return records.recordRegistryFailure(failure, 0, signatures);
    }

    function expectRefused(RegistryFailure memory failure, bytes memory reason) private {
        bytes[] memory signatures =
            by(records.hashRegistryFailure(failure), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        records.recordRegistryFailure(failure, 0, signatures);
    }

    function goodFor(uint64 position, uint64 first, uint64 last)
        private
        view
        returns (MadeGood memory)
    {
        uint64 tonnes = last - first + 1;
        return MadeGood(id, position, tonnes, id, one(first, last), "REF-9", 20260301, HASH);
    }

    function record(MadeGood memory good) private returns (bytes32) {
        bytes[] memory signatures = by(records.hashMadeGood(good), CUSTODIAN, ATTESTOR);
        return records.recordMadeGood(good, noHints(good.substitutes.length), 0, signatures);
    }

    function expectRefused(MadeGood memory good, bytes memory reason) private {
        bytes[] memory signatures = by(records.hashMadeGood(good), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        records.recordMadeGood(good, noHints(good.substitutes.length), 0, signatures);
    }

    function settledAt(uint48 position) private view returns (IRegistryRecords.Settled kind) {
        (kind,,) = records.settledWithin(id, position, position, 0);
    }

    function already(uint48 first, uint48 last, IRegistryRecords.Settled kind)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            IRegistryRecords.PositionsSettledAlready.selector, id, first, last, kind
        );
    }

    // -------------------------------------------------------------- failures

    function test_L4_a_failure_settles_nothing_and_a_later_confirmation_ends_it() public {
        record(failureAt(3, 4));
        check(settledAt(3) == IRegistryRecords.Settled.None, "settled by a failure");
        // The registry can fail the same positions again, for another reason.
        RegistryFailure memory again = failureAt(3, 4);
        again.reason = "Account still suspended";
        record(again);
        confirm(id, 3, 104, 107);
        expectRefused(
            failureAt(6, 1), already(3, 6, IRegistryRecords.Settled.Confirmed)
        );
    }

    function test_L10_the_same_failure_is_recorded_once() public {
        bytes32 failureId = record(failureAt(0, 2));
        equal(failureId, records.hashRegistryFailure(failureAt(0, 2)), "its id is its digest");
        expectRefused(
            failureAt(0, 2),
            abi.encodeWithSelector(IRegistryRecords.RegistryFailureRepeated.selector, failureId)
        );
    }

    function test_a_failure_is_of_retired_positions_with_a_reason_and_a_day() public {
        expectRefused(
            failureAt(31, 1),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementNotRetired.selector, id, 32, 31
            )
        );
        expectRefused(
            failureAt(30, 1),
            abi.encodeWithSelector(IRegistryRecords.RegistryRetirementOpenTonne.selector, id, 30)
        );
        expectRefused(
            failureAt(3, 0),
            abi.encodeWithSelector(IRegistryRecords.RegistryPositionsInvalid.selector, id, 3, 0)
        );
        RegistryFailure memory failure = failureAt(0, 1);
        failure.reason = "";
        expectRefused(
            failure, abi.encodeWithSelector(IRegistryRecords.RegistryReasonInvalid.selector, 0)
        );
        failure.reason = string(new bytes(257));
        expectRefused(
            failure, abi.encodeWithSelector(IRegistryRecords.RegistryReasonInvalid.selector, 257)
        );
        failure = failureAt(0, 1);
        failure.registryDate = 20260230;
        expectRefused(
            failure,
            abi.encodeWithSelector(IRegistryRecords.RegistryDateInvalid.selector, 20260230)
        );
    }

    // -------------------------------------------------------------- made good

    function test_L4_what_was_made_good_is_settled_and_its_substitutes_never_come_in() public {
        record(failureAt(0, 5));
        record(goodFor(0, 501, 505));
        check(settledAt(4) == IRegistryRecords.Settled.MadeGood, "settled");
        (uint64 last,, uint256 classId) = trust.registered(series, 501);
        check(last == 505 && classId == id, "registered");
        equal(trust.blockCount(id), 1, "no position stands on a substitute");
        bytes memory reason = already(0, 4, IRegistryRecords.Settled.MadeGood);
        expectRefused(failureAt(4, 1), reason);
        bytes[] memory signatures = by(
            records.hashRegistryRetirement(retirement(id, 2, one(103, 104))), CUSTODIAN, ATTESTOR
        );
        vm.expectRevert(reason);
        records.recordRegistryRetirement(
            retirement(id, 2, one(103, 104)), new Exchange[](0), 0, signatures
        );
        expectMintRefused(
            receiptFor(holder, one(505, 506)),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector, series, 505, 506, 501, 505
            )
        );
    }

    function test_L2_substitutes_are_neither_in_trust_nor_used_before() public {
        expectRefused(
            goodFor(0, 150, 154),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector, series, 150, 154, 101, 200
            )
        );
        record(goodFor(0, 501, 505));
        expectRefused(
            goodFor(5, 505, 509),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector, series, 505, 509, 501, 505
            )
        );
        check(settledAt(5) == IRegistryRecords.Settled.None, "a refusal settles nothing");
    }

    function test_substitutes_are_of_equal_size_for_retired_positions() public {
        MadeGood memory good = goodFor(0, 501, 505);
        good.tonnes = 4;
        expectRefused(
            good,
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementTonnesDiffer.selector, 4, 5
            )
        );
        expectRefused(
            goodFor(28, 501, 505),
            abi.encodeWithSelector(
                IRegistryRecords.RegistryRetirementNotRetired.selector, id, 33, 31
            )
        );
        good = goodFor(0, 501, 505);
        good.registryReference = "";
        expectRefused(
            good, abi.encodeWithSelector(IRegistryRecords.RegistryReferenceInvalid.selector, 0)
        );
        good = goodFor(0, 501, 505);
        good.substitutes = new Interval[](0);
        expectRefused(good, abi.encodeWithSelector(ITrust.TrustIntervalCount.selector, 0, 0));
    }

    function test_substitutes_may_be_of_a_class_that_has_no_tokens() public {
        MadeGood memory good = goodFor(0, 501, 505);
        good.substituteClass = 12345;
        record(good);
        (uint64 last,, uint256 classId) = trust.registered(series, 501);
        check(last == 505 && classId == 0, "of no class");
    }

    function test_L4_an_exchange_takes_no_serial_that_was_made_good() public {
        record(goodFor(0, 501, 505));
        RegistryRetirement memory done = retirement(id, 10, one(101, 102));
        Exchange[] memory swaps = new Exchange[](1);
        swaps[0] = Exchange(10, 0, 2, 0);
        bytes[] memory signatures = by(records.hashRegistryRetirement(done), CUSTODIAN, ATTESTOR);
        vm.expectRevert(already(0, 4, IRegistryRecords.Settled.MadeGood));
        records.recordRegistryRetirement(done, swaps, 0, signatures);
    }

    function test_L5_failures_and_substitutes_need_both_signatures() public {
        bytes memory reason =
            abi.encodeWithSelector(ITrust.TrustApprovalsMissing.selector, 1, 1, 0, 1);
        RegistryFailure memory failure = failureAt(0, 1);
        bytes[] memory signatures = by(records.hashRegistryFailure(failure), CUSTODIAN);
        vm.expectRevert(reason);
        records.recordRegistryFailure(failure, 0, signatures);
        MadeGood memory good = goodFor(0, 501, 501);
        signatures = by(records.hashMadeGood(good), CUSTODIAN);
        vm.expectRevert(reason);
        records.recordMadeGood(good, noHints(1), 0, signatures);
        // Neither can be taken for the other, nor for a confirmation.
        signatures = by(records.hashRegistryFailure(failure), CUSTODIAN, ATTESTOR);
        vm.expectRevert();
        records.recordMadeGood(good, noHints(1), 0, signatures);
    }

    // -------------------------------------------------------------- modules

    function test_only_the_modules_settle_and_rebind() public {
        bytes memory reason =
            abi.encodeWithSelector(IRegistryRecords.RecordsOnlyModule.selector, address(this));
        for (uint8 kind = 0; kind < 5; ++kind) {
            vm.expectRevert(reason);
            records.settle(id, 0, 1, IRegistryRecords.Settled(kind));
        }
        vm.expectRevert(reason);
        records.rebind(id, 0, 1, 1, 101);
        // And each only its own kind.
        for (uint8 kind = 0; kind < 5; ++kind) {
            if (kind == uint8(IRegistryRecords.Settled.Delivered)) continue;
            vm.prank(address(deliveries));
            vm.expectRevert(
                abi.encodeWithSelector(
                    IRegistryRecords.RecordsOnlyModule.selector, address(deliveries)
                )
            );
            records.settle(id, 0, 1, IRegistryRecords.Settled(kind));
        }
    }

    function settle(uint48 first, uint48 tonnes) private {
        vm.prank(address(deliveries));
        records.settle(id, first, tonnes, IRegistryRecords.Settled.Delivered);
    }

    function test_a_settlement_needs_no_hint_however_many_came_before() public {
        for (uint64 i = 0; i < 40; ++i) {
            settle(uint48(2 * i + 40), 1);
        }
        settle(121, 5);
        check(settledAt(40) == IRegistryRecords.Settled.Delivered, "settled");
        (IRegistryRecords.Settled kind,,) = records.settledWithin(id, 119, 120, 119);
        check(kind == IRegistryRecords.Settled.None, "between");
        // Below the highest one too, when the way there is short.
        settle(3, 2);
        vm.expectRevert(already(3, 4, IRegistryRecords.Settled.Delivered));
        vm.prank(address(deliveries));
        records.settle(id, 4, 1, IRegistryRecords.Settled.Delivered);
        // A confirmation above it becomes the highest in its turn.
        settle(126, 1);
    }

    function test_L4_positions_that_a_delivery_named_are_confirmed_by_nobody() public {
        settle(10, 5);
        RegistryRetirement memory done = retirement(id, 8, one(109, 112));
        bytes[] memory signatures = by(records.hashRegistryRetirement(done), CUSTODIAN, ATTESTOR);
        vm.expectRevert(already(10, 14, IRegistryRecords.Settled.Delivered));
        records.recordRegistryRetirement(done, new Exchange[](0), 0, signatures);
        // Nor are their serials, under other positions: a break that a person must see.
        done = retirement(id, 20, one(111, 112));
        Exchange[] memory swaps = new Exchange[](1);
        swaps[0] = Exchange(20, 10, 2, 0);
        signatures = by(records.hashRegistryRetirement(done), CUSTODIAN, ATTESTOR);
        vm.expectRevert(already(10, 14, IRegistryRecords.Settled.Delivered));
        records.recordRegistryRetirement(done, swaps, 0, signatures);
    }

    function test_rebinding_puts_positions_of_one_piece_on_other_serials() public {
        vm.prank(address(events));
        records.rebind(id, 40, 10, 1, 901);
        (bytes32 inSeries, uint32 number, uint64 serial, uint48 run) = records.serialAt(id, 43);
        check(inSeries == series && number == 1, "series");
        check(serial == 904 && run == 7, "inside");
        (,, serial, run) = records.serialAt(id, 39);
        check(serial == 140 && run == 1, "before");
        (,, serial, run) = records.serialAt(id, 50);
        check(serial == 151 && run == 50, "after");
        uint48[2][3] memory wrong = [[uint48(45), 10], [uint48(95), 10], [uint48(3), 0]];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    IRegistryRecords.RebindInvalid.selector, id, wrong[i][0], wrong[i][1]
                )
            );
            vm.prank(address(events));
            records.rebind(id, wrong[i][0], wrong[i][1], 1, 901);
        }
        vm.expectRevert(abi.encodeWithSelector(ITrust.TrustSeriesUnknown.selector, 2));
        vm.prank(address(events));
        records.rebind(id, 60, 1, 2, 901);
    }
}
