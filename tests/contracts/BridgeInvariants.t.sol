// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Positions} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IGaps} from "../../contracts/interfaces/IGaps.sol";
import {IProgrammeEvents} from "../../contracts/interfaces/IProgrammeEvents.sol";
import {IRegistryRecords} from "../../contracts/interfaces/IRegistryRecords.sol";
import {ITrust} from "../../contracts/interfaces/ITrust.sol";
import {BridgeHandler} from "./support/BridgeHandler.sol";
import {BridgeModel} from "./support/BridgeModel.sol";
import {ICredits} from "./support/Deployment.sol";
import {Checks} from "./support/Vm.sol";

/// @dev Deliveries, refunds, gaps and conversions against the slow twin, after any sequence.
contract BridgeInvariantsTest is Checks {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    BridgeHandler private handler;
    ICredits private credits;
    ITrust private trust;
    IRegistryRecords private records;
    IGaps private gaps;
    IProgrammeEvents private events;

    function setUp() public {
        handler = new BridgeHandler();
        (address a, address b, address c, address d, address e) = handler.system();
        (credits, trust, records) = (ICredits(a), ITrust(b), IRegistryRecords(c));
        (gaps, events) = (IGaps(d), IProgrammeEvents(e));
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](17);
        selectors[0] = BridgeHandler.mintSome.selector;
        selectors[1] = BridgeHandler.send.selector;
        selectors[2] = BridgeHandler.retireSome.selector;
        selectors[3] = BridgeHandler.pass.selector;
        selectors[4] = BridgeHandler.requestSome.selector;
        selectors[5] = BridgeHandler.advance.selector;
        selectors[6] = BridgeHandler.reported.selector;
        selectors[7] = BridgeHandler.hold.selector;
        selectors[8] = BridgeHandler.invalidateSome.selector;
        selectors[9] = BridgeHandler.substituteSome.selector;
        selectors[10] = BridgeHandler.convertSome.selector;
        selectors[11] = BridgeHandler.claimSome.selector;
        selectors[12] = BridgeHandler.passTime.selector;
        // More often: the others need these before them.
        selectors[13] = BridgeHandler.advance.selector;
        selectors[14] = BridgeHandler.retireSome.selector;
        selectors[15] = BridgeHandler.requestSome.selector;
        selectors[16] = BridgeHandler.lose.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    /// @dev Invariants over acts that all fail would hold too: here the acts are shown to happen.
    function test_the_acts_of_the_bridges_invariants_go_through() public {
        for (uint256 i = 0; i < 4; ++i) {
            handler.arrive(i, i, 3 + i);
            handler.lose(i, i, 3 + i);
            handler.reported(0);
            handler.requestSome(i, i, 2);
            handler.advance(0, 0);
            handler.passTime(8 * 15 days);
            handler.reported(0);
        }
        for (uint256 i = 0; i < 900; ++i) {
            act(uint256(keccak256(abi.encode("bridge", i))));
            if (i % 150 == 149) checkAll();
        }
        string[17] memory names = [
            "mint", "transfer", "retire", "request", "begin", "reject", "finalise",
            "refund", "dispute", "refund with report", "clear", "invalidate", "substitute",
            "convert", "claim", "part of a dispute", "part of a delivery"
        ];
        for (uint256 i = 0; i < names.length; ++i) {
            check(handler.done(names[i]) != 0, names[i]);
        }
        check(
            handler.count(0, BridgeModel.Place.Void) + handler.count(1, BridgeModel.Place.Void)
                != 0,
            "no gap was passed"
        );
    }

    function act(uint256 seed) private {
        (uint256 a, uint256 b, uint256 c) = (seed >> 8, seed >> 40, seed >> 72);
        uint256 kind = uint8(seed) % 23;
        if (kind < 2) handler.mintSome(a, b, uint64(c), uint64(seed >> 104));
        else if (kind == 2) handler.send(a, b, c, seed >> 104);
        else if (kind < 5) handler.retireSome(a, b, c);
        else if (kind == 5) handler.pass(a, b);
        else if (kind < 8) handler.requestSome(a, b, c);
        else if (kind < 12) handler.advance(a, b);
        else if (kind < 14) handler.reported(a);
        else if (kind == 14) handler.hold(a, b % 8 == 0);
        else if (kind < 16) handler.invalidateSome(a, b, c);
        else if (kind < 18) handler.substituteSome(a, b, uint64(c));
        else if (kind == 18) handler.convertSome(a, b);
        else if (kind == 19) handler.claimSome(a, b);
        else if (kind == 20) handler.lose(a, b, c);
        else if (kind == 21) handler.arrive(a, b, c);
        else handler.passTime(a);
    }

    /// @dev One function, so that one campaign checks them all.
    function invariant_L1_L2_L3_L4_L8_the_bridge_does_what_its_slow_twin_does() external view {
        checkAll();
    }

    function checkAll() private view {
        (uint256 wrongs, string memory first) = handler.wrongs();
        equal(wrongs, 0, first);
        for (uint256 which = 0; which < 2; ++which) {
            checkFigures(which);
            checkTonnes(which);
            checkGaps(which);
        }
        checkSerials();
        checkConversions();
    }

    /// @dev L1, L3: each kilogram that was ever minted is counted in exactly one place.
    function checkFigures(uint256 which) private view {
        uint256 id = handler.ids(which);
        (BridgeModel.Tonne[] memory tonnes, uint256[5] memory figures, bool held) =
            handler.bookOf(which);
        Positions memory state = credits.positions(id);
        equal(state.minted, tonnes.length, "minted");
        equal(state.exited, figures[0], "exited");
        equal(state.dust, figures[2], "dust");
        if (state.dust != 0) equal(state.openTonne, figures[1], "open tonne");
        uint256 supply = uint256(state.minted - state.exited) * 1000 + state.dust;
        equal(credits.totalSupply(id), supply, "L1: supply");
        uint256 balances = credits.balanceOf(address(events), id);
        uint256 retired;
        for (uint256 i = 0; i < 3; ++i) {
            balances += credits.balanceOf(handler.actors(i), id);
            retired += credits.retiredBalanceOf(handler.actors(i), id);
        }
        equal(balances, supply, "L1: balances");
        equal(retired, figures[3], "L1: retired");
        uint256 left = count(tonnes, BridgeModel.Place.Delivered)
            + count(tonnes, BridgeModel.Place.Returned) + count(tonnes, BridgeModel.Place.Gone)
            + count(tonnes, BridgeModel.Place.Void);
        equal(
            retired + left * 1000 + supply, tonnes.length * 1000, "every kilogram has one place"
        );
        checkShortfall(tonnes, id, state, figures[4], held);
    }

    function checkShortfall(
        BridgeModel.Tonne[] memory tonnes,
        uint256 id,
        Positions memory state,
        uint256 lockedKilograms,
        bool held
    ) private view {
        uint256 gapTonnes = count(tonnes, BridgeModel.Place.Invalidated)
            + count(tonnes, BridgeModel.Place.Disputed)
            + count(tonnes, BridgeModel.Place.Converting);
        (uint48 foundTonnes, uint64 locked, uint48 uncovered) = gaps.shortfall(id);
        equal(foundTonnes, gapTonnes, "tonnes of gaps");
        equal(locked, lockedKilograms, "locked");
        equal(uncovered, (gapTonnes * 1000 - locked + 999) / 1000, "L3: shortfall");
        uint256 backed = count(tonnes, BridgeModel.Place.Live) * 1000 + state.dust;
        uint256 supply = credits.totalSupply(id);
        check(supply - locked <= backed + uint256(uncovered) * 1000, "L3: outstanding");
        equal(state.flags, (held ? 1 : 0) + (uncovered != 0 ? 2 : 0), "flags");
        check(state.hasGaps == (gapTonnes != 0), "whether it has gaps");
    }

    function count(BridgeModel.Tonne[] memory tonnes, BridgeModel.Place place)
        private
        pure
        returns (uint256 found)
    {
        for (uint256 i = 0; i < tonnes.length; ++i) {
            if (tonnes[i].place == place) ++found;
        }
    }

    /// @dev L4: serials stand where the twin has them, and what left is settled, once.
    function checkTonnes(uint256 which) private view {
        uint256 id = handler.ids(which);
        (BridgeModel.Tonne[] memory tonnes,,) = handler.bookOf(which);
        uint48 run;
        uint64 serial;
        for (uint48 i = 0; i < tonnes.length; ++i) {
            if (run == 0) (,, serial, run) = records.serialAt(id, i);
            equal(serial, tonnes[i].serial, "serial of a position");
            (serial, run) = (serial + 1, run - 1);
        }
    }

    /// @dev Gaps are where the twin has them, and none of them has exited.
    function checkGaps(uint256 which) private view {
        uint256 id = handler.ids(which);
        (BridgeModel.Tonne[] memory tonnes, uint256[5] memory figures,) = handler.bookOf(which);
        uint48 from;
        uint256 found;
        uint256 base = uint256(BridgeModel.Place.Invalidated) - 1;
        while (true) {
            (uint48 first, uint48 length, IGaps.GapKind kind) = gaps.nextGap(id, from);
            if (length == 0) break;
            check(first >= from && first >= figures[0], "a gap exited");
            for (uint48 i = 0; i < length; ++i) {
                equal(uint256(tonnes[first + i].place), base + uint256(kind), "kind of a gap");
            }
            found += length;
            from = first + length;
        }
        equal(found, handler.gapTonnes(which), "gaps");
    }

    /// @dev L2: a serial is registered once, and stands in one place that counts.
    function checkSerials() private view {
        bytes32 seriesId = seriesOfAll();
        uint64 last;
        (, uint64 next,) = trust.registered(seriesId, 0);
        bool[] memory registered = handler.register_();
        uint256[] memory places = new uint256[](registered.length);
        for (uint64 serial = 1; serial < registered.length; ++serial) {
            if (serial == next) (last, next,) = trust.registered(seriesId, serial);
            check(registered[serial] == (serial <= last), "L2: register");
        }
        for (uint256 which = 0; which < 2; ++which) {
            (BridgeModel.Tonne[] memory tonnes,,) = handler.bookOf(which);
            for (uint256 i = 0; i < tonnes.length; ++i) {
                BridgeModel.Place place = tonnes[i].place;
                bool counts = place != BridgeModel.Place.Void
                    && place != BridgeModel.Place.Returned && place != BridgeModel.Place.Gone
                    && place != BridgeModel.Place.Converting;
                if (!counts) continue;
                check(++places[tonnes[i].serial] == 1, "L2: a serial in two places");
                check(registered[tonnes[i].serial], "L2: a serial in no register");
            }
        }
    }

    function seriesOfAll() private view returns (bytes32 seriesId) {
        (seriesId,,,) = records.serialAt(handler.ids(0), 0);
    }

    /// @dev What was claimed is locked, and what was not is in escrow.
    function checkConversions() private view {
        uint256 claimed;
        uint256 escrowed;
        for (uint256 i = 0; i < handler.conversionCount(); ++i) {
            (,,, uint64 kilograms, uint64 taken) = events.conversion(handler.conversions(i));
            claimed += taken;
            escrowed += kilograms - taken;
        }
        equal(credits.balanceOf(address(events), handler.ids(0)), claimed, "locked for ever");
        equal(credits.balanceOf(address(events), handler.ids(1)), escrowed, "in escrow");
    }
}
