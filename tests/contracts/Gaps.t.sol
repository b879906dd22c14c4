// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Positions} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IGaps} from "../../contracts/interfaces/IGaps.sol";
import {IRegistryRecords} from "../../contracts/interfaces/IRegistryRecords.sol";
import {Bridge} from "./support/Bridge.sol";

/// @dev A retirement never takes a dead position.
contract GapsTest is Bridge {
    uint256 private id;
    uint256 private other;

    function setUp() public {
        deploy();
        id = mint(holder, 100, 199);
        mint(buyer, 500, 549);
        (,, other) = credits.hashClass(relabelled());
    }

    function expectReached(uint256 asked, uint256 before, uint256 first, uint256 tonnes) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IGaps.GapReached.selector, id, asked, before, first, tonnes
            )
        );
    }

    function gapIs(uint48 from, uint48 first, uint48 tonnes, IGaps.GapKind kind) private view {
        (uint48 foundFirst, uint48 foundTonnes, IGaps.GapKind foundKind) = gaps.nextGap(id, from);
        equal(foundFirst, first, "where the gap begins");
        equal(foundTonnes, tonnes, "its tonnes");
        equal(uint256(foundKind), uint256(kind), "its kind");
    }

    // -------------------------------------------------------------- gaps at the cursor

    function test_a_retirement_never_takes_a_dead_position() public {
        invalidate(id, 10, 110, 119);
        equal(flagsOf(id), 256 + 2, "short");
        gapIs(0, 10, 10, IGaps.GapKind.Invalidated);
        expectReached(11, 10, 10, 10);
        retire(holder, id, 10_001);
        retire(holder, id, 10_000);
        // At the cursor now: the next tonne passes it.
        uint256 certificate = retire(holder, id, 1_000);
        equal(certificates.certificate(certificate).exited, 20, "the cursor after passing");
        Positions memory state = credits.positions(id);
        equal(state.exited, 21, "exited");
        equal(state.minted, 160, "the dead tonnes stand at the back");
        gapIs(0, 150, 10, IGaps.GapKind.Invalidated);
        stands(id, 150, 110);
        supplyHolds(id);
        (IRegistryRecords.Settled kind, uint48 first, uint48 last) =
            records.settledWithin(id, 10, 19, 0);
        check(kind == IRegistryRecords.Settled.Void, "void where they were");
        equal(first, 10, "from");
        equal(last, 19, "to");
        equal(gaps.gapNow(id, 10), 150, "known under its name");
        equal(gaps.gapNow(id, 150), 150, "and by its place");
    }

    function test_a_gap_exactly_at_the_cursor_is_passed_by_the_first_retirement() public {
        invalidate(id, 0, 100, 109);
        uint256 certificate = retire(holder, id, 2_500);
        equal(certificates.certificate(certificate).exited, 10, "behind the gap");
        equal(credits.positions(id).openTonne, 12, "the opened tonne too");
        stands(id, 12, 112);
    }

    function test_dust_alone_takes_no_position_and_passes_no_gap() public {
        retire(holder, id, 500);
        invalidate(id, 1, 101, 199);
        retire(holder, id, 400);
        equal(credits.positions(id).exited, 1, "still before the gap");
        equal(credits.positions(id).dust, 100, "dust");
        // One kilogram more than the dust needs a tonne, which is behind the gap.
        retire(holder, id, 101);
        equal(credits.positions(id).openTonne, 100, "opened behind the gap");
        supplyHolds(id);
    }

    function test_closing_the_open_tonne_works_while_everything_else_is_a_gap() public {
        transfer(buyer, holder, id, 50_000);
        retire(holder, id, 500);
        invalidate(id, 1, 101, 199);
        invalidate(id, 100, 500, 549);
        vm.prank(holder);
        credits.closeOpenTonne(id, 0);
        equal(credits.positions(id).dust, 0, "closed");
        expectReached(1, 0, 150, 99);
        retire(holder, id, 1);
    }

    function test_several_gaps_in_a_row_are_passed_together() public {
        invalidate(id, 0, 100, 101);
        invalidate(id, 5, 105, 106);
        invalidate(id, 2, 102, 104);
        retire(holder, id, 3_000);
        Positions memory state = credits.positions(id);
        equal(state.exited, 10, "7 passed, 3 consumed");
        equal(state.minted, 157, "7 at the back");
        gapIs(0, 150, 2, IGaps.GapKind.Invalidated);
        gapIs(151, 152, 3, IGaps.GapKind.Invalidated);
        gapIs(153, 155, 2, IGaps.GapKind.Invalidated);
        (, uint48 none,) = gaps.nextGap(id, 156);
        equal(none, 0, "no other");
        stands(id, 152, 102);
        equal(gaps.gapNow(id, 5), 155, "each under its name");
    }

    function test_when_everything_live_is_a_gap_the_figures_say_so() public {
        retire(holder, id, 100_000);
        invalidate(id, 100, 500, 549);
        expectReached(1, 0, 150, 50);
        retire(buyer, id, 1);
        equal(credits.passGaps(id, 9), 0, "nothing to pass to");
        transfer(buyer, holder, id, 50_000);
    }

    function test_a_gap_that_was_passed_stops_what_comes_round_to_it() public {
        invalidate(id, 0, 100, 109);
        transfer(buyer, holder, id, 50_000);
        expectReached(141, 140, 150, 10);
        retire(holder, id, 140_001);
        retire(holder, id, 140_000);
        expectReached(1, 0, 160, 10);
        retire(holder, id, 1_000);
        substitute(id, 150, one(900, 909));
        retire(holder, id, 10_000);
        equal(credits.totalSupply(id), 0, "all of it retired");
        stands(id, 150, 900);
    }

    function test_anyone_passes_gaps_a_few_at_a_time() public {
        for (uint64 i = 0; i < 5; ++i) {
            invalidate(id, i, 100 + i, 100 + i);
        }
        vm.prank(unknown);
        equal(credits.passGaps(id, 2), 2, "two");
        equal(credits.positions(id).exited, 2, "the cursor");
        equal(credits.passGaps(id, 99), 3, "the rest");
        equal(credits.passGaps(id, 99), 0, "none at the cursor");
        equal(credits.positions(id).minted, 155, "all at the back");
        supplyHolds(id);
        equal(certificates.certificate(retire(holder, id, 1)).exited, 5, "goes on behind them");
    }

    function test_a_class_without_a_gap_passes_none() public {
        equal(credits.passGaps(id, 9), 0, "none");
        equal(credits.passGaps(7, 9), 0, "of no class");
    }

    // -------------------------------------------------------------- fuzz

    function testFuzz_a_run_stops_before_a_gap_wherever_it_lies(
        uint64 first,
        uint64 tonnes,
        uint256 kilograms
    ) public {
        first = uint64(within(first, 0, 98));
        tonnes = uint64(within(tonnes, 1, 99 - first));
        kilograms = within(kilograms, 1, 100_000);
        invalidate(id, first, 100 + first, 99 + first + tonnes);
        uint256 needed = (kilograms + 999) / 1000;
        uint256 before = first == 0 ? 150 - tonnes : first;
        if (needed > before) {
            expectReached(needed, before, first == 0 ? 150 : first, tonnes);
            retire(holder, id, kilograms);
            return;
        }
        retire(holder, id, kilograms);
        Positions memory state = credits.positions(id);
        uint256 passed = first == 0 ? tonnes : 0;
        equal(state.exited, needed + passed, "exited");
        equal(state.minted, 150 + passed, "minted");
        supplyHolds(id);
    }
}
