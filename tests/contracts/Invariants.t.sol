// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Positions} from "../../contracts/interfaces/ICarbonCredits.sol";
import {IRegistryRecords} from "../../contracts/interfaces/IRegistryRecords.sol";
import {ITrust} from "../../contracts/interfaces/ITrust.sol";
import {ICredits} from "./support/Deployment.sol";
import {Handler} from "./support/Handler.sol";
import {Checks} from "./support/Vm.sol";

/// @dev The laws of DESIGN.md that concern the contracts, after any sequence of acts.
contract InvariantsTest is Checks {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler private handler;
    ICredits private credits;
    ITrust private trust;
    IRegistryRecords private records;

    function setUp() public {
        handler = new Handler();
        (address credits_, address trust_, address records_) = handler.system();
        (credits, trust) = (ICredits(credits_), ITrust(trust_));
        records = IRegistryRecords(records_);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](13);
        selectors[0] = Handler.mintBlock.selector;
        selectors[1] = Handler.mintTwo.selector;
        selectors[2] = Handler.replay.selector;
        selectors[3] = Handler.mintUnsigned.selector;
        selectors[4] = Handler.send.selector;
        selectors[5] = Handler.retireSome.selector;
        selectors[6] = Handler.closeOpen.selector;
        selectors[7] = Handler.freeze.selector;
        selectors[8] = Handler.forceTransfer.selector;
        selectors[9] = Handler.confirmSome.selector;
        selectors[10] = Handler.reconfirm.selector;
        // Twice: confirmations need retirements before them.
        selectors[11] = Handler.retireSome.selector;
        selectors[12] = Handler.confirmSome.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    /// @dev Invariants over acts that all fail would hold too: here the acts are shown to happen.
    function test_the_acts_of_the_invariants_go_through() public {
        for (uint256 i = 0; i < 400; ++i) {
            act(uint256(keccak256(abi.encode("acts", i))));
        }
        (uint256 blocks, uint256 receipts, uint256 certificates, uint256 confirmations) =
            handler.counts();
        check(blocks > 15 && receipts > 12, "few mints");
        check(certificates > 25, "few retirements");
        check(confirmations > 30, "few confirmations");
        check(handler.exchanged() > 3, "few exchanges");
        check(handler.forced() > 5, "few forced transfers");
        this.invariant_L1_balances_supply_and_counters_agree();
        this.invariant_L2_the_register_is_disjoint_and_holds_what_was_minted();
        this.invariant_L4_certificates_and_confirmed_serials_never_change();
        this.invariant_L5_L10_every_mint_is_signed_and_happens_once();
        this.invariant_L11_positions_count_every_kilogram_once();
        this.invariant_blocks_cover_every_position_and_every_serial_stands_once();
    }

    function act(uint256 seed) private {
        uint256 kind = seed % 13;
        (uint256 a, uint256 b, uint256 c) = (seed >> 8, seed >> 40, seed >> 72);
        if (kind == 0) handler.mintBlock(a, b, c, uint64(seed >> 104), uint64(seed >> 168));
        else if (kind == 1) handler.mintTwo(a, b, uint64(c), uint64(seed >> 136));
        else if (kind == 2) handler.replay(a);
        else if (kind == 3) handler.mintUnsigned(a, uint64(b), c);
        else if (kind == 4) handler.send(a, b, c, seed >> 104);
        else if (kind < 7) handler.retireSome(a, b, c);
        else if (kind == 7) handler.closeOpen(a, b);
        else if (kind == 8) handler.freeze(a);
        else if (kind == 9) handler.forceTransfer(a, b, c, seed >> 104);
        else if (kind < 12) handler.confirmSome(a, b, c, seed >> 104);
        else handler.reconfirm(a);
    }

    function invariant_L1_balances_supply_and_counters_agree() external view {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 id = handler.ids(i);
            uint256 held;
            uint256 retired;
            for (uint256 a = 0; a < 4; ++a) {
                held += credits.balanceOf(handler.actors(a), id);
                retired += credits.retiredBalanceOf(handler.actors(a), id);
            }
            Positions memory state = credits.positions(id);
            uint256 supply = uint256(state.minted - state.exited) * 1000 + state.dust;
            equal(held, supply, "L1: balances and counters");
            equal(credits.totalSupply(id), supply, "L1: supply");
            equal(retired + supply, uint256(state.minted) * 1000, "L1: retired and supply");
            equal(retired, handler.retiredKilograms(id), "L1: retired");
        }
    }

    function invariant_L2_the_register_is_disjoint_and_holds_what_was_minted() external view {
        uint256 registered;
        for (uint256 s = 0; s < 2; ++s) {
            bytes32 seriesId = handler.seriesIds(s);
            (, uint64 first,) = trust.registered(seriesId, 0);
            uint64 lastBefore;
            uint256 tonnes;
            while (first != 0) {
                check(first > lastBefore, "L2: an interval begins in the one before");
                (uint64 last, uint64 next, uint256 classId) = trust.registered(seriesId, first);
                check(last >= first, "L2: an interval without serials");
                check(
                    classId == handler.ids(0) || classId == handler.ids(1),
                    "L2: a registered interval of no class"
                );
                tonnes += last - first + 1;
                (lastBefore, first) = (last, next);
            }
            equal(tonnes, handler.registeredTonnes(s), "L2: tonnes of the series");
            registered += tonnes;
        }
        uint256 minted;
        for (uint256 i = 0; i < 2; ++i) {
            minted += credits.positions(handler.ids(i)).minted;
        }
        equal(registered, minted, "L2: registered and minted tonnes");
        equal(handler.wrongOverlapAnswers(), 0, "L2: accepted an overlap or refused a free block");
    }

    function invariant_L4_certificates_and_confirmed_serials_never_change() external view {
        (,, uint256 certificates, uint256 confirmations) = handler.counts();
        for (uint256 i = 0; i < certificates; ++i) {
            uint256 id = handler.certificateIds(i);
            equal(handler.factsOf(id), handler.certificateFacts(id), "L4: a certificate's facts");
        }
        for (uint256 i = 0; i < confirmations; ++i) {
            (uint256 classId, uint48 position, bytes32 seriesId, uint64 serial) =
                handler.confirmed(i);
            (bytes32 seriesNow,, uint64 serialNow,) = records.serialAt(classId, position);
            equal(seriesNow, seriesId, "L4: series of a confirmed position");
            equal(serialNow, serial, "L4: serial of a confirmed position");
            (IRegistryRecords.Settled kind,,) =
                records.settledWithin(classId, position, position, 0);
            check(kind == IRegistryRecords.Settled.Confirmed, "L4: unconfirmed");
        }
        equal(handler.serialsConfirmedTwice(), 0, "L4: one serial confirmed twice");
        equal(handler.reconfirmationsAccepted(), 0, "L4: positions confirmed twice");
    }

    function invariant_L5_L10_every_mint_is_signed_and_happens_once() external view {
        equal(handler.unsignedAccepted(), 0, "L5: minted without both signatures");
        equal(handler.replaysAccepted(), 0, "L10: a receipt minted twice");
        bytes32[] memory receipts = handler.receiptIds();
        for (uint256 i = 0; i < receipts.length; ++i) {
            check(
                trust.receiptStatus(receipts[i]) == ITrust.ReceiptStatus.Minted,
                "L10: a minted receipt is not marked"
            );
        }
        for (uint256 i = 0; i < 2; ++i) {
            uint256 id = handler.ids(i);
            equal(credits.positions(id).minted, handler.mintedTonnes(id), "L10: minted tonnes");
        }
        equal(handler.frozenMoved(), 0, "a frozen account moved credits");
    }

    function invariant_L11_positions_count_every_kilogram_once() external view {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 id = handler.ids(i);
            Positions memory state = credits.positions(id);
            check(state.dust < 1000, "L11: dust of a whole tonne");
            check(state.exited <= state.minted, "L11: exited past minted");
            check(state.dust == 0 || state.openTonne < state.exited, "L11: open tonne ahead");
            equal(
                handler.retiredKilograms(id) + state.dust,
                uint256(state.exited) * 1000,
                "L11: kilograms of the exited tonnes"
            );
        }
    }

    function invariant_blocks_cover_every_position_and_every_serial_stands_once() external view {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 id = handler.ids(i);
            uint48 minted = credits.positions(id).minted;
            uint48 position;
            uint256 blocks = trust.blockCount(id);
            uint256[2] memory serialsOfBlocks;
            for (uint256 b = 0; b < blocks; ++b) {
                (, uint64 first, uint64 last, uint48 start) = trust.blockAt(id, b);
                equal(start, position, "a block begins where the one before ends");
                position = start + uint48(last - first + 1);
                serialsOfBlocks[0] += last - first + 1;
                serialsOfBlocks[1] += (uint256(first) + last) * (last - first + 1) / 2;
            }
            equal(position, minted, "blocks and positions");
            uint256[2] memory serialsOfPositions;
            for (position = 0; position < minted;) {
                (,, uint64 serial, uint48 run) = records.serialAt(id, position);
                serialsOfPositions[0] += run;
                serialsOfPositions[1] += (uint256(serial) * 2 + run - 1) * run / 2;
                position += run;
            }
            equal(serialsOfPositions[0], serialsOfBlocks[0], "tonnes after exchanges");
            equal(serialsOfPositions[1], serialsOfBlocks[1], "sum of serials after exchanges");
        }
    }
}
