// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICarbonCredits} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IGaps} from "../../contracts/interfaces/IGaps.sol";
import {
    Invalidation,
    IProgrammeEvents,
    ProgrammeEvent,
    Substitution
} from "../../contracts/interfaces/IProgrammeEvents.sol";
import {
    Exchange,
    IRegistryRecords,
    RegistryRetirement
} from "../../contracts/interfaces/IRegistryRecords.sol";
import {Interval, ITrust} from "../../contracts/interfaces/ITrust.sol";
import {Bridge} from "./support/Bridge.sol";

/// @dev What programmes publish, invalidate and substitute.
contract ProgrammeEventsTest is Bridge {
    uint256 private id;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
        mint(buyer, 500, 549);
    }

    function gapIs(uint48 from, uint48 first, uint48 tonnes, IGaps.GapKind kind) private view {
        (uint48 foundFirst, uint48 foundTonnes, IGaps.GapKind foundKind) = gaps.nextGap(id, from);
        equal(foundFirst, first, "where the gap begins");
        equal(foundTonnes, tonnes, "its tonnes");
        equal(uint256(foundKind), uint256(kind), "its kind");
    }

    // -------------------------------------------------------------- published events

    function test_a_hold_stops_the_class_until_its_release() public {
        publish(id, IProgrammeEvents.Kind.Hold, 1);
        equal(flagsOf(id), 1, "held");
        vm.expectRevert(
            abi.encodeWithSelector(ICarbonCredits.CreditsClassHalted.selector, id, 1)
        );
        retire(holder, id, 1);
        transfer(holder, third, id, 5);
        // A second hold and a release: the newest publication counts.
        publish(id, IProgrammeEvents.Kind.Hold, 2);
        publish(id, IProgrammeEvents.Kind.Release, 3);
        equal(flagsOf(id), 0, "released");
        retire(holder, id, 1);
    }

    function test_a_hold_and_a_gap_do_not_end_each_other() public {
        invalidate(id, 0, 100, 104);
        publish(id, IProgrammeEvents.Kind.Hold, 1);
        equal(flagsOf(id), 256 + 3, "held and short");
        substitute(id, 0, one(900, 904));
        equal(flagsOf(id), 1, "held");
        invalidate(id, 10, 110, 110);
        publish(id, IProgrammeEvents.Kind.Release, 2);
        equal(flagsOf(id), 256 + 2, "short");
    }

    function test_events_that_only_inform_change_nothing() public {
        IProgrammeEvents.Kind[6] memory kinds = [
            IProgrammeEvents.Kind.Reversal,
            IProgrammeEvents.Kind.LabelGained,
            IProgrammeEvents.Kind.LabelLost,
            IProgrammeEvents.Kind.Expiry,
            IProgrammeEvents.Kind.Authorisation,
            IProgrammeEvents.Kind.Corsia
        ];
        for (uint256 i = 0; i < kinds.length; ++i) {
            publish(id, kinds[i], 1);
        }
        equal(flagsOf(id), 0, "nothing is halted");
    }

    function test_L5_L10_an_event_is_signed_by_both_and_happens_once() public {
        ProgrammeEvent memory made = ProgrammeEvent(0, id, "", "Reason", DAY, HASH, 1);
        bytes32 eventId = events.hashProgrammeEvent(made);
        bytes[] memory signatures = by(eventId, CUSTODIAN, CUSTODIAN_2);
        vm.expectRevert(
            abi.encodeWithSelector(ITrust.TrustApprovalsMissing.selector, 2, 1, 0, 1)
        );
        events.publish(made, signatures);
        signatures = by(eventId, CUSTODIAN, ATTESTOR);
        events.publish(made, signatures);
        check(events.published(eventId), "on record");
        vm.expectRevert(
            abi.encodeWithSelector(IProgrammeEvents.ProgrammeEventRepeated.selector, eventId)
        );
        events.publish(made, signatures);
    }

    function expectPublishRefused(ProgrammeEvent memory made, bytes memory reason) private {
        bytes[] memory signatures = by(events.hashProgrammeEvent(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        events.publish(made, signatures);
    }

    function test_an_event_names_a_class_a_kind_a_reason_and_a_day() public {
        ProgrammeEvent memory made = ProgrammeEvent(8, id, "", "Reason", DAY, HASH, 1);
        expectPublishRefused(
            made, abi.encodeWithSelector(IProgrammeEvents.ProgrammeEventKindInvalid.selector, 8)
        );
        made.kind = 255;
        expectPublishRefused(
            made,
            abi.encodeWithSelector(IProgrammeEvents.ProgrammeEventKindInvalid.selector, 255)
        );
        made.kind = 0;
        made.classId = 7;
        expectPublishRefused(
            made, abi.encodeWithSelector(ICarbonCredits.CreditsClassUnknown.selector, 7)
        );
        made.classId = id;
        made.reason = "";
        expectPublishRefused(
            made, abi.encodeWithSelector(IProgrammeEvents.ProgrammeEventTextInvalid.selector, 0)
        );
        made.reason = "Reason";
        made.subject = string(new bytes(257));
        expectPublishRefused(
            made,
            abi.encodeWithSelector(IProgrammeEvents.ProgrammeEventTextInvalid.selector, 257)
        );
        made.subject = "ccp";
        made.asOf = 20260230;
        expectPublishRefused(
            made,
            abi.encodeWithSelector(
                IProgrammeEvents.ProgrammeEventDateInvalid.selector, 20260230
            )
        );
    }

    // -------------------------------------------------------------- invalidation

    function test_an_invalidation_names_live_positions_in_one_piece_and_their_serials() public {
        retire(holder, id, 10_500);
        bytes4 invalid = IProgrammeEvents.ProgrammeEventPositionsInvalid.selector;
        expectInvalidationRefused(
            invalidationOf(id, 95, 195, 204), abi.encodeWithSelector(invalid, id, 95, 10)
        );
        expectInvalidationRefused(
            invalidationOf(id, 1 << 60, 110, 119),
            abi.encodeWithSelector(invalid, id, uint256(1) << 60, 10)
        );
        expectInvalidationRefused(
            invalidationOf(id, 10, 110, 119),
            abi.encodeWithSelector(IGaps.GapPositionsInvalid.selector, id, 10, 10)
        );
        // The open tonne has exited: what is left of it is dust, and its registry's matter.
        expectInvalidationRefused(
            invalidationOf(id, 10, 110, 110),
            abi.encodeWithSelector(IGaps.GapPositionsInvalid.selector, id, 10, 1)
        );
        expectInvalidationRefused(
            invalidationOf(id, 20, 121, 130),
            abi.encodeWithSelector(
                IProgrammeEvents.ProgrammeEventSerialsDiffer.selector,
                id,
                20,
                trust.hashSeries(vcsSeries()),
                120
            )
        );
        Invalidation memory made = invalidationOf(id, 20, 120, 129);
        made.tonnes = 9;
        expectInvalidationRefused(
            made,
            abi.encodeWithSelector(
                IProgrammeEvents.ProgrammeEventSerialsDiffer.selector,
                id,
                20,
                trust.hashSeries(vcsSeries()),
                120
            )
        );
        made.tonnes = 0;
        expectInvalidationRefused(made, abi.encodeWithSelector(invalid, id, 20, 0));
        expectInvalidationRefused(
            invalidationOf(id, 150, 900, 900),
            abi.encodeWithSelector(ITrust.PositionUnknown.selector, id, 150)
        );
    }

    function test_gaps_never_overlap() public {
        invalidate(id, 20, 120, 129);
        bytes memory overlaps = abi.encodeWithSelector(
            IGaps.GapOverlaps.selector, id, 20, 10, IGaps.GapKind.Invalidated
        );
        expectInvalidationRefused(invalidationOf(id, 20, 120, 120), overlaps);
        expectInvalidationRefused(invalidationOf(id, 29, 129, 130), overlaps);
        expectInvalidationRefused(invalidationOf(id, 15, 115, 120), overlaps);
        expectInvalidationRefused(invalidationOf(id, 15, 115, 140), overlaps);
        invalidate(id, 15, 115, 119);
        invalidate(id, 30, 130, 130);
        (uint48 tonnes,, uint48 uncovered) = gaps.shortfall(id);
        equal(tonnes, 16, "tonnes of gaps");
        equal(uncovered, 16, "uncovered");
    }

    function test_a_stale_hint_is_repaired_and_a_wrong_one_refused() public {
        for (uint64 i = 0; i < 34; ++i) {
            Invalidation memory one_ = invalidationOf(id, 2 * i, 100 + 2 * i, 100 + 2 * i);
            bytes[] memory signed_ = by(events.hashInvalidation(one_), CUSTODIAN, ATTESTOR);
            events.invalidate(one_, i < 2 ? 0 : 2 * (i - 1) + 1, signed_);
        }
        Invalidation memory made = invalidationOf(id, 80, 180, 180);
        bytes[] memory signatures = by(events.hashInvalidation(made), CUSTODIAN, ATTESTOR);
        bytes4 invalid = IGaps.GapHintInvalid.selector;
        vm.expectRevert(abi.encodeWithSelector(invalid, id, 0, 80));
        events.invalidate(made, 0, signatures);
        vm.expectRevert(abi.encodeWithSelector(invalid, id, 4, 80));
        events.invalidate(made, 4, signatures);
        vm.expectRevert(abi.encodeWithSelector(invalid, id, 99, 80));
        events.invalidate(made, 99, signatures);
        events.invalidate(made, 5, signatures);
        gapIs(70, 80, 1, IGaps.GapKind.Invalidated);
    }

    function test_part_of_a_dispute_dies_and_the_rest_stays_in_dispute() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        vm.warp(NOW + TRANSFER + GRACE);
        refund(holder, deliveryId);
        invalidate(id, 153, 103, 105);
        gapIs(0, 150, 3, IGaps.GapKind.Disputed);
        gapIs(151, 153, 3, IGaps.GapKind.Invalidated);
        gapIs(154, 156, 4, IGaps.GapKind.Disputed);
        // Over the end of the dispute it is refused: two invalidations say it clearly.
        expectInvalidationRefused(
            invalidationOf(id, 155, 105, 107),
            abi.encodeWithSelector(
                IGaps.GapOverlaps.selector, id, 153, 3, IGaps.GapKind.Invalidated
            )
        );
        // Passed, each part where the others are; then what died is substituted.
        transfer(buyer, holder, id, 50_000);
        retire(holder, id, 140_000);
        // All live is gap now: nothing to pass. A substitute makes room again.
        substitute(id, 153, one(900, 902));
        retire(holder, id, 3_000);
        equal(gaps.gapNow(id, 150), 160, "the first part has passed");
        equal(gaps.gapNow(id, 156), 156, "the last is at the cursor");
        stands(id, 153, 900);
        vm.warp(NOW + TRANSFER + GRACE + 1);
        deliveries.clearDispute(deliveryId, listing(id, 100, 199));
        equal(flagsOf(id), 0, "nothing lacks");
        equal(credits.totalSupply(id), 7_000, "what was in dispute");
        retire(holder, id, 7_000);
    }

    // -------------------------------------------------------------- substitutes

    function test_a_substitute_stands_where_the_dead_serials_stood() public {
        invalidate(id, 10, 110, 119);
        Interval[] memory serials = new Interval[](2);
        serials[0] = Interval(vcsSeries(), 900, 903);
        serials[1] = Interval(vcsSeries(), 950, 955);
        substitute(id, 10, serials);
        equal(flagsOf(id), 0, "covered");
        stands(id, 9, 109);
        stands(id, 10, 900);
        stands(id, 13, 903);
        stands(id, 14, 950);
        stands(id, 19, 955);
        stands(id, 20, 120);
        retire(holder, id, 30_000);
        confirm(id, 10, 900, 903);
        // The dead serials are never free again, and the new ones are taken.
        expectMintRefused(
            receiptFor(buyer, one(110, 110)),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector,
                trust.hashSeries(vcsSeries()),
                110,
                110,
                100,
                199
            )
        );
        expectMintRefused(
            receiptFor(buyer, one(955, 956)),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector,
                trust.hashSeries(vcsSeries()),
                955,
                956,
                950,
                955
            )
        );
    }

    function expectSubstituteRefused(
        uint64 position,
        Interval[] memory serials,
        bytes memory reason
    ) private {
        Substitution memory made = Substitution(id, position, serials, "Equal", DAY, HASH);
        bytes[] memory signatures = by(events.hashSubstitution(made), CUSTODIAN, ATTESTOR);
        vm.expectRevert(reason);
        events.substitute(made, noHints(serials.length), signatures);
    }

    function test_a_substitute_is_new_and_of_equal_size() public {
        invalidate(id, 10, 110, 119);
        expectSubstituteRefused(
            10,
            one(900, 908),
            abi.encodeWithSelector(IProgrammeEvents.SubstituteTonnesDiffer.selector, 10, 9)
        );
        expectSubstituteRefused(
            10,
            one(195, 204),
            abi.encodeWithSelector(
                ITrust.SerialsOverlap.selector,
                trust.hashSeries(vcsSeries()),
                195,
                204,
                100,
                199
            )
        );
        bytes4 unknownGap = IGaps.GapUnknown.selector;
        expectSubstituteRefused(11, one(900, 909), abi.encodeWithSelector(unknownGap, id, 11));
        expectSubstituteRefused(
            1 << 50, one(900, 909), abi.encodeWithSelector(unknownGap, id, uint256(1) << 50)
        );
        substitute(id, 10, one(900, 909));
        expectSubstituteRefused(10, one(920, 929), abi.encodeWithSelector(unknownGap, id, 10));
        // A substitute dies too: it is a gap again, in its turn.
        invalidate(id, 10, 900, 901);
        substitute(id, 10, one(920, 921));
        stands(id, 11, 921);
    }

    function test_a_substitute_finds_its_gap_by_its_name_after_it_was_passed() public {
        invalidate(id, 0, 100, 109);
        retire(holder, id, 1_000);
        substitute(id, 0, one(900, 909));
        stands(id, 150, 900);
        equal(flagsOf(id), 0, "covered");
        vm.expectRevert(abi.encodeWithSelector(IGaps.GapUnknown.selector, id, 0));
        gaps.gapNow(id, 0);
    }

    function test_a_dispute_may_be_made_good_by_a_substitute() public {
        uint64 deliveryId = request(holder, id, 10);
        begin(deliveryId);
        vm.warp(NOW + TRANSFER + GRACE);
        refund(holder, deliveryId);
        substitute(id, 150, one(900, 909));
        equal(flagsOf(id), 0, "covered");
        vm.warp(NOW + TRANSFER + GRACE + 1);
        bytes memory proof = listing(id, 100, 199);
        vm.expectRevert(abi.encodeWithSelector(IGaps.GapUnknown.selector, id, 150));
        deliveries.clearDispute(deliveryId, proof);
    }

    // -------------------------------------------------------------- what registries confirm

    function test_no_exchange_takes_serials_out_of_a_gap() public {
        invalidate(id, 50, 150, 159);
        retire(holder, id, 10_000);
        RegistryRetirement memory done = retirement(id, 0, one(150, 151));
        bytes[] memory signatures =
            by(records.hashRegistryRetirement(done), CUSTODIAN, ATTESTOR);
        Exchange[] memory swaps = new Exchange[](1);
        swaps[0] = Exchange(0, 50, 2, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGaps.GapOverlaps.selector, id, 50, 10, IGaps.GapKind.Invalidated
            )
        );
        records.recordRegistryRetirement(done, swaps, 0, signatures);
        // Nor out of the place where a gap was: it is void.
        retire(holder, id, 40_000);
        retire(holder, id, 1_000);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRegistryRecords.PositionsSettledAlready.selector,
                id,
                50,
                59,
                IRegistryRecords.Settled.Void
            )
        );
        records.recordRegistryRetirement(done, swaps, 0, signatures);
        // Beside the gap it is free to.
        swaps[0] = Exchange(0, 65, 2, 0);
        confirm(retirement(id, 0, one(165, 166)), swaps, 0);
        stands(id, 65, 100);
    }
}
