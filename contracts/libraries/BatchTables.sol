// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "./AccountSlots.sol";
import {RawMemory} from "./RawMemory.sol";
import {Refusal} from "./Refusal.sol";

/// @notice A batch while it settles: what its header says and where its tables are in memory.
/// @param cursor The next byte of the batch to read, `end` the one after its last.
/// @param signatureAt Where in the calldata the next trader's signature is.
/// @param exits All exit requests of its legs, or-ed: 0 when no account of it is exiting.
struct Run {
    uint256 batchAt;
    uint256 cursor;
    uint256 end;
    uint256 firstTrade;
    uint256 trades;
    uint256 firstWithdrawal;
    uint256 withdrawals;
    uint256 seq;
    bytes32 head;
    uint256 makerFeeBps;
    uint256 takerFeeBps;
    uint256 baseTime;
    uint256 moneyCount;
    uint256 assetCount;
    uint256 accountCount;
    uint256 legCount;
    uint256 orderCount;
    uint256 assetsAt;
    uint256 feesAt;
    uint256 legsAt;
    uint256 ordersAt;
    uint256 buffer;
    uint256 signatureAt;
    uint256 exits;
    uint256 firstTime;
    uint256 lastTime;
}

/// @title The packed batch in memory: reading it, and the records kept of its legs and orders.
/// @notice The layout is in IExchange. The batch is copied once and then hashed, read and emitted
/// from there. A leg's record is three words: storage slot; what was stored; change << 48 | offset
/// of its account in the batch << 16 | index of its asset. An order's is four: pointers of its legs
/// and trader; first word of its 38 bytes; market << 224 | expiry << 136 | signed at << 96 | last
/// match << 56 | filled; digest, of a retire-on-fill order only.
/// @dev Counts are u16, so no product here comes near 2^256. Reading past the end of the batch
/// finds what lies behind it in memory, and `requireEnd` then refuses the batch.
library BatchTables {
    uint256 internal constant LEG_BYTES = 0x60;
    uint256 internal constant ORDER_BYTES = 0x80;
    uint256 internal constant TRADE_BYTES = 14;
    uint256 internal constant WITHDRAWAL_BYTES = 22;
    /// @notice A leg's change stands above what says whose it is.
    uint256 internal constant CHANGE_SHIFT = 48;
    uint256 internal constant FIRST_CLASS = 1 << 160;

    uint256 private constant VERSION = 1;
    uint256 private constant HEADER_BYTES = 72;
    uint256 private constant ACCOUNT_BYTES = 24;
    uint256 private constant MAX_FEE_BPS = 100;

    /// @notice Copies a batch to memory and reads its header.
    /// @dev `room` bytes before it are left for the head of the event that carries it.
    function open(bytes calldata batch, uint256 room) internal pure returns (Run memory run) {
        unchecked {
            uint256 length = batch.length;
            // Padded to words with zeros, as the event wants it.
            uint256 batchAt = RawMemory.allocate(room + (length + 63 & ~uint256(31))) + room;
            uint256 end = batchAt + length;
            // Safe: the region above was allocated with at least a word behind the batch.
            assembly ("memory-safe") {
                mstore(end, 0)
                calldatacopy(batchAt, batch.offset, length)
            }
            uint256 word = RawMemory.load(batchAt);
            if (word >> 248 != VERSION) {
                Refusal.one(IExchange.BatchVersionUnknown.selector, word >> 248);
            }
            run.batchAt = batchAt;
            run.cursor = batchAt + HEADER_BYTES;
            run.end = end;
            run.firstTrade = word >> 200 & type(uint48).max;
            run.trades = word >> 184 & type(uint16).max;
            run.firstWithdrawal = word >> 136 & type(uint48).max;
            run.withdrawals = word >> 120 & type(uint16).max;
            run.seq = word >> 72 & type(uint48).max;
            run.head = bytes32(RawMemory.load(batchAt + 23));
            word = RawMemory.load(batchAt + 55);
            run.makerFeeBps = word >> 248;
            run.takerFeeBps = word >> 240 & 0xff;
            run.baseTime = word >> 200 & type(uint40).max;
            run.moneyCount = word >> 184 & type(uint16).max;
            run.assetCount = run.moneyCount + (word >> 168 & type(uint16).max);
            run.accountCount = word >> 152 & type(uint16).max;
            run.legCount = word >> 136 & type(uint16).max;
            run.orderCount = word >> 120 & type(uint16).max;
            if (run.trades + run.withdrawals == 0) {
                Refusal.two(IExchange.BatchEmpty.selector, run.firstTrade, run.firstWithdrawal);
            }
            if (run.makerFeeBps > MAX_FEE_BPS || run.takerFeeBps > MAX_FEE_BPS) {
                Refusal.two(IExchange.BatchFeeTooHigh.selector, run.makerFeeBps, run.takerFeeBps);
            }
        }
    }

    /// @notice Reads the assets and makes room for the other tables.
    function readAssets(Run memory run) internal pure {
        unchecked {
            uint256 count = run.assetCount;
            uint256 money = run.moneyCount;
            uint256 tables = RawMemory.allocate(
                (count + money) * 32 + run.legCount * LEG_BYTES + run.orderCount * ORDER_BYTES
            );
            run.assetsAt = tables;
            run.feesAt = tables + count * 32;
            run.legsAt = run.feesAt + money * 32;
            run.ordersAt = run.legsAt + run.legCount * LEG_BYTES;
            uint256 cursor = run.cursor;
            uint256 previous;
            for (uint256 i = 0; i < count; ++i) {
                uint256 asset = RawMemory.load(cursor);
                if (i < money) {
                    asset >>= 96;
                    cursor += 20;
                    RawMemory.store(run.feesAt + i * 32, 0);
                } else {
                    if (asset < FIRST_CLASS) {
                        Refusal.one(IExchange.ExchangeAssetInvalid.selector, asset);
                    }
                    cursor += 32;
                }
                // Ascending, so that no leg can be there twice.
                if (asset <= previous) {
                    Refusal.two(IExchange.BatchAssetsNotAscending.selector, previous, asset);
                }
                previous = asset;
                RawMemory.store(tables + i * 32, asset);
            }
            run.cursor = cursor;
        }
    }

    /// @notice Reads an account's legs and what is stored of them; returns behind the last.
    /// @param leg Where the first record goes; `header` is the account's first word in the batch.
    function readLegs(Run memory run, uint256 header, uint256 leg)
        internal
        view
        returns (uint256)
    {
        unchecked {
            uint256 tables = run.assetsAt;
            uint256 count = run.assetCount;
            uint256 cursor = run.cursor + ACCOUNT_BYTES;
            uint256 tag = run.cursor - run.batchAt << 16;
            uint256 owner = AccountSlots.ACCOUNT_TAG | header >> 96;
            uint256 exits;
            // 1 + the index before, so that the first may be 0.
            uint256 above;
            uint256 wrong;
            // Safe: writes the scratch space, where the second word of every slot's preimage
            // stays, and records in the table that `readAssets` allocated; one behind the table
            // is found by the caller before anything is stored elsewhere.
            assembly ("memory-safe") {
                mstore(0x20, owner)
                let end := add(cursor, shl(1, and(shr(80, header), 0xffff)))
                for {} lt(cursor, end) { cursor := add(cursor, 2) } {
                    let index := shr(240, mload(cursor))
                    if or(lt(index, above), iszero(lt(index, count))) {
                        wrong := add(index, 1)
                        break
                    }
                    above := add(index, 1)
                    mstore(0x00, mload(add(tables, shl(5, index))))
                    let slot := keccak256(0x00, 0x40)
                    let word := sload(slot)
                    exits := or(exits, shr(208, word))
                    mstore(leg, slot)
                    mstore(add(leg, 0x20), word)
                    mstore(add(leg, 0x40), or(tag, index))
                    leg := add(leg, LEG_BYTES)
                }
            }
            if (wrong != 0) _refuseLeg(run, header >> 96, wrong - 1, above);
            run.exits |= exits;
            run.cursor = cursor;
            return leg;
        }
    }

    function _refuseLeg(Run memory run, uint256 trader, uint256 index, uint256 above)
        private
        pure
    {
        unchecked {
            if (index >= run.assetCount) {
                Refusal.two(IExchange.BatchIndexOutOfRange.selector, index, run.assetCount);
            }
            uint256 previous = assetAt(run, above - 1);
            Refusal.three(
                IExchange.BatchLegsNotAscending.selector, trader, previous, assetAt(run, index)
            );
        }
    }

    function assetAt(Run memory run, uint256 index) internal pure returns (uint256) {
        unchecked {
            return RawMemory.load(run.assetsAt + index * 32);
        }
    }

    /// @notice Who and what a leg's last word is of.
    function ownerOf(Run memory run, uint256 tagged)
        internal
        pure
        returns (uint256 account, uint256 asset)
    {
        unchecked {
            account = RawMemory.load(run.batchAt + (tagged >> 16 & type(uint32).max)) >> 96;
            asset = assetAt(run, tagged & type(uint16).max);
        }
    }

    function traderOf(uint256 order) internal pure returns (uint256) {
        return uint160(RawMemory.load(order));
    }

    function nonceOf(uint256 packed) internal pure returns (uint64) {
        return uint64(packed >> 176 & type(uint48).max);
    }

    /// @notice Adds to the change of a leg.
    function credit(uint256 leg, uint256 amount) internal pure {
        unchecked {
            RawMemory.store(leg + 0x40, RawMemory.load(leg + 0x40) + (amount << CHANGE_SHIFT));
        }
    }

    /// @notice Subtracts from the change of a leg.
    /// @dev Below 2^177 in size after 2^16 trades, so its 208 bits hold it with its sign; it
    /// borrows nothing from what stands below it, whose part of the subtrahend is 0.
    function debit(uint256 leg, uint256 amount) internal pure {
        unchecked {
            RawMemory.store(leg + 0x40, RawMemory.load(leg + 0x40) - (amount << CHANGE_SHIFT));
        }
    }

    /// @notice The signed change in a leg's last word.
    function changeOf(uint256 tagged) internal pure returns (int256) {
        return int256(tagged) >> CHANGE_SHIFT;
    }

    function requireEnd(Run memory run) internal pure {
        unchecked {
            if (run.cursor != run.end) {
                Refusal.two(
                    IExchange.BatchLengthWrong.selector,
                    run.end - run.batchAt,
                    run.cursor - run.batchAt
                );
            }
        }
    }
}
