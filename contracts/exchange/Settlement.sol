// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";
import {BatchTables, Run} from "../libraries/BatchTables.sol";
import {MessageHashes} from "../libraries/MessageHashes.sol";
import {RawMemory} from "../libraries/RawMemory.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Exits} from "./Exits.sol";
import {Orders} from "./Orders.sol";
import {Trades} from "./Trades.sol";
import {Withdrawals} from "./Withdrawals.sol";

/// @title Settles signed batches: checks, never matches, and calls nobody.
/// @notice Each account and asset is read once and written once, each order's signature is checked
/// once, each fee goes to one slot per asset.
/// @dev Unchecked throughout: every number is read from a field of known width (see BatchTables),
/// so no sum or product can wrap, and balances are compared before they are written.
abstract contract Settlement is Exits, Orders, Trades, Withdrawals {
    using BatchTables for Run;

    /// @dev Words of BatchSettled before the batch's bytes: 5 values, offset, length.
    uint256 private constant EVENT_HEAD = 7 * 32;
    uint256 private constant KILOGRAMS_PER_TONNE = 1000;

    /// @inheritdoc IExchange
    function settle(bytes calldata batch, bytes calldata signatures) external {
        unchecked {
            MessageHashes.openBuffer(_separator(), BatchTables.RUN_END);
            // Run and buffer have fixed places: reading them takes a push and a load.
            Run memory run = BatchTables.pointer()(BatchTables.RUN);
            run.open(batch, EVENT_HEAD);
            uint256 place;
            assembly ("memory-safe") {
                place := signatures.offset
            }
            Guard memory guard = _guard;
            bytes32 digest = MessageHashes.ofBatch(run.batchAt, batch.length);
            _requireKeys(digest, place, guard.keysHash);
            Progress memory progress = _progress;
            _requireNext(progress.trade, run.firstTrade);
            _requireNext(progress.withdrawal, run.firstWithdrawal);
            run.signatureAt = place + 128;

            run.readAssets();
            _readAccounts(run);
            progress.matchTime = uint40(_applyTrades(run, progress.matchTime, guard));
            _fillOrders(run);
            _applyWithdrawals(run);
            run.requireEnd();
            if (run.signatureAt != place + signatures.length) {
                Refusal.two(
                    IExchange.BatchSignaturesWrong.selector,
                    signatures.length,
                    run.signatureAt - place
                );
            }

            _writeLegs(run);
            _writeFees(run, guard.developerShareBps);
            progress.trade = uint48(run.firstTrade + run.trades - 1);
            progress.withdrawal = uint48(run.firstWithdrawal + run.withdrawals - 1);
            _anchorNext(progress, uint48(run.seq), run.head);
            _progress = progress;

            _emitSettled(run, progress);
        }
    }

    /// @dev Writes the fills of every order; reads each fill word anew, since orders share them.
    function _fillOrders(Run memory run) private {
        unchecked {
            uint256 order = run.ordersAt;
            uint256 end = order + run.orderCount * BatchTables.ORDER_BYTES;
            uint256 exits = AccountSlots.exitRequestedAt(run.words);
            uint256 tag = AccountSlots.FILL_TAG;
            while (true) {
                // Safe: writes the scratch space only. `special` collects, without a branch for
                // each, whatever needs a closer look: nothing filled, too much filled, an ended
                // nonce, retire-on-fill, somebody's exit.
                assembly ("memory-safe") {
                    for {} lt(order, end) { order := add(order, 0x80) } {
                        let packed := mload(add(order, 0x20))
                        let tonnes := and(mload(add(order, 0x40)), 0xffffffffffffff)
                        let nonce := and(shr(176, packed), 0xffffffffffff)
                        mstore(0x00, shr(2, nonce))
                        mstore(0x20, or(tag, shr(96, shl(96, mload(order)))))
                        let slot := keccak256(0x00, 0x40)
                        let word := sload(slot)
                        nonce := and(nonce, 3)
                        let special := or(exits, and(shr(add(212, nonce), word), 1))
                        nonce := mul(nonce, 53)
                        let filled := add(and(shr(nonce, word), 0x1fffffffffffff), tonnes)
                        special := or(special, gt(filled, and(shr(120, packed), 0xffffffffffffff)))
                        special := or(special, shr(53, filled))
                        special := or(special, or(iszero(tonnes), and(packed, 0x40)))
                        if special { break }
                        sstore(slot, add(word, shl(nonce, tonnes)))
                    }
                }
                if (order == end) return;
                _fillSpecially(exits, order);
                order += BatchTables.ORDER_BYTES;
            }
        }
    }

    /// @dev What `_fillOrders` found to look at closer. Earmarks what was bought to retire.
    function _fillSpecially(uint256 exits, uint256 order) private {
        unchecked {
            uint256 trader = BatchTables.traderOf(order);
            uint256 packed = RawMemory.load(order + 0x20);
            uint256 state = RawMemory.load(order + 0x40);
            uint256 nonce = BatchTables.nonceOf(packed);
            uint256 tonnes = state & type(uint56).max;
            bytes32 slot = AccountSlots.fillSlot(trader, nonce);
            uint256 word = AccountSlots.read(slot);
            if (tonnes == 0) Refusal.two(IExchange.BatchOrderUnused.selector, trader, nonce);
            BatchTables.requireUnfilled(
                order, packed, AccountSlots.filled(word, nonce) + tonnes
            );
            uint256 matchTime = state >> 56 & type(uint40).max;
            if (AccountSlots.isKilled(word, nonce)) _requireInTime(trader, nonce, matchTime);
            if (exits != 0) _requireStaying(order, nonce, matchTime);
            if (packed & RETIRE_FLAG != 0) {
                _earmarks[bytes32(RawMemory.load(order + 0x60))] += tonnes * KILOGRAMS_PER_TONNE;
            }
            AccountSlots.write(slot, AccountSlots.addFilled(word, nonce, tonnes));
        }
    }

    /// @dev Matches up to one WINDOW after the invalidation still settle.
    function _requireInTime(uint256 trader, uint256 nonce, uint256 matchTime) private view {
        uint256 since = _invalidatedAt[address(uint160(trader))][nonce];
        if (matchTime > since + WINDOW) {
            Refusal.four(IExchange.OrderInvalidated.selector, trader, nonce, matchTime, since);
        }
    }

    function _requireStaying(uint256 order, uint256 nonce, uint256 matchTime) private view {
        uint256 legs = RawMemory.load(order) >> 160;
        uint256 one = AccountSlots.exitRequestedAt(RawMemory.load((legs >> 48) + 0x40));
        uint256 other =
            AccountSlots.exitRequestedAt(RawMemory.load((legs & type(uint48).max) + 0x40));
        bool exiting = _isExiting(one, matchTime);
        if (exiting || _isExiting(other, matchTime)) {
            Refusal.four(
                IExchange.OrderExiting.selector,
                BatchTables.traderOf(order),
                nonce,
                matchTime,
                exiting ? one : other
            );
        }
    }

    /// @dev No balance goes below 0; above MAX_BALANCE none can, since the total is not.
    function _writeLegs(Run memory run) private {
        unchecked {
            uint256 end = run.ordersAt;
            uint256 leg = run.legsAt;
            uint256 most = AccountSlots.MAX_BALANCE;
            uint256 fault;
            // Safe: only reads the legs' records. With the balance's bits sure to hold the sum,
            // adding the change to the whole word changes nothing else in it.
            assembly ("memory-safe") {
                for {} lt(leg, end) { leg := add(leg, 0x60) } {
                    let word := mload(add(leg, 0x40))
                    let change := sar(48, mload(leg))
                    fault := or(fault, shr(104, add(and(word, most), change)))
                    sstore(mload(add(leg, 0x20)), add(word, change))
                }
            }
            if (fault != 0) _refuseShort(run);
        }
    }

    /// @dev The first leg whose balance does not cover its change.
    function _refuseShort(Run memory run) private pure {
        unchecked {
            uint256 leg = run.legsAt;
            // One of them is short: there is an end.
            while (true) {
                int256 left = int256(AccountSlots.balance(RawMemory.load(leg + 0x40)))
                    + BatchTables.changeOf(RawMemory.load(leg));
                if (uint256(left) > AccountSlots.MAX_BALANCE) break;
                leg += BatchTables.LEG_BYTES;
            }
            uint256 tagged = RawMemory.load(leg);
            (uint256 account, uint256 asset) = run.ownerOf(tagged);
            Refusal.four(
                IExchange.AccountShort.selector,
                account,
                asset,
                AccountSlots.balance(RawMemory.load(leg + 0x40)),
                uint256(BatchTables.changeOf(tagged))
            );
        }
    }

    /// @dev The developer's share is rounded down, of one asset's fees of one batch (L11).
    function _writeFees(Run memory run, uint256 developerShareBps) private {
        unchecked {
            for (uint256 i = 0; i < run.moneyCount; ++i) {
                uint256 fee = RawMemory.load(run.feesAt + i * 32);
                if (fee == 0) continue;
                uint256 share = fee * developerShareBps / BPS;
                Fees storage fees = _fees[run.assetAt(i)];
                // Parts of the total ≤ MAX_BALANCE.
                (fees.operatorAmount, fees.developerAmount) = (
                    uint128(fees.operatorAmount + fee - share),
                    uint128(fees.developerAmount + share)
                );
            }
        }
    }

    function _emitSettled(Run memory run, Progress memory progress) private {
        bytes32 topic = BatchSettled.selector;
        uint256 lastTrade = progress.trade;
        uint256 lastWithdrawal = progress.withdrawal;
        uint256 end = run.end;
        // Safe: the head of the event is the room that `open` left before the batch, and the word
        // behind the batch was zeroed there.
        assembly ("memory-safe") {
            let batchAt := mload(run)
            let head := sub(batchAt, EVENT_HEAD)
            mstore(head, mload(add(run, 0x60)))
            mstore(add(head, 0x20), lastTrade)
            mstore(add(head, 0x40), lastWithdrawal)
            mstore(add(head, 0x60), mload(add(run, 0xe0)))
            mstore(add(head, 0x80), mload(add(run, 0x100)))
            mstore(add(head, 0xa0), 0xc0)
            let length := sub(end, batchAt)
            mstore(add(head, 0xc0), length)
            log1(head, add(EVENT_HEAD, and(add(length, 31), not(31))), topic)
        }
    }
}
