// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "./AccountSlots.sol";
import {RawMemory} from "./RawMemory.sol";
import {Refusal} from "./Refusal.sol";

/// @notice A batch while it settles: what its header says and where its tables are in memory.
/// @param cursor The next byte of the batch to read, `end` the one after its last.
/// @param signatureAt Where in the calldata the next trader's signature is.
/// @param ownLegs Where the legs of the account that is read now are, `ownCount` how many.
/// @param words The stored words of all its legs, or-ed.
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
    uint256 signatureAt;
    uint256 words;
    uint256 ownLegs;
    uint256 ownCount;
}

/// @title The packed batch in memory: reading it, and the records kept of its legs and orders.
/// @notice The layout is in IExchange. The batch is copied once and then hashed, read and emitted
/// from there. A leg's record is three words: change << 48 | place of its account in the batch
/// << 16 | index of its asset; storage slot; what was stored. An order's is four: pointers of its
/// legs and trader; first word of its 38 bytes; expiry << 216 | signed at << 176 | indices of its
/// assets << 144 | last match << 56 | filled; digest, of some only.
/// @dev Counts are u16, so no product here comes near 2^256. Reading past the end of the batch
/// finds what lies behind it in memory, and `requireEnd` then refuses the batch.
library BatchTables {
    uint256 internal constant LEG_BYTES = 0x60;
    uint256 internal constant ORDER_BYTES = 0x80;
    uint256 internal constant PACKED_ORDER_BYTES = 38;
    uint256 internal constant TRADE_BYTES = 14;
    uint256 internal constant WITHDRAWAL_BYTES = 22;
    /// @notice A leg's change stands above what says whose it is.
    uint256 internal constant CHANGE_SHIFT = 48;
    uint256 internal constant FIRST_CLASS = 1 << 160;

    uint256 private constant VERSION = 1;
    uint256 private constant HEADER_BYTES = 72;
    uint256 private constant ACCOUNT_BYTES = 24;
    uint256 private constant MAX_FEE_BPS = 100;

    /// @notice The place of a call's Run, behind the buffer of messages, and its end: 25 words.
    uint256 internal constant RUN = 0x4a0;
    uint256 internal constant RUN_END = 0x7c0;

    /// @notice Turns RUN into a pointer: `pointer()(RUN)`. A variable of a struct's type that
    /// begins any other way is first given memory of its own, all of it zeroed.
    function pointer()
        internal
        pure
        returns (function(uint256) internal pure returns (Run memory) made)
    {
        function(uint256) internal pure returns (uint256) same = _same;
        // Safe: both take and return one word.
        assembly ("memory-safe") {
            made := same
        }
    }

    function _same(uint256 place) private pure returns (uint256) {
        return place;
    }

    /// @notice Copies a batch to memory and reads its header.
    /// @dev `room` bytes before it are left for the head of the event that carries it.
    function open(Run memory run, bytes calldata batch, uint256 room) internal pure {
        unchecked {
            run.words = 0;
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
    /// @param previous The account before, 0 before the first.
    function readLegs(Run memory run, uint256 header, uint256 leg, uint256 previous)
        internal
        view
        returns (uint256)
    {
        unchecked {
            uint256 tables = run.assetsAt;
            uint256 count = run.assetCount;
            uint256 cursor = run.cursor + ACCOUNT_BYTES;
            uint256 left = header >> 80 & type(uint16).max;
            uint256 tag = run.cursor << 16;
            uint256 owner = AccountSlots.ACCOUNT_TAG | header >> 96;
            uint256 words = run.words;
            bool right;
            uint256 most = run.ordersAt;
            // Safe: writes the scratch space, where the second word of every slot's preimage
            // stays, and records in the table that `readAssets` allocated; one behind the table
            // is found before anything is stored elsewhere. An index too high reads at most 2 MB
            // behind the assets, and is refused below with whatever else is wrong.
            assembly ("memory-safe") {
                // Ascending, so that no leg can be there twice; and nobody is address 0.
                right := gt(shr(96, header), previous)
                // The index before: −1 before the first.
                let before := not(0)
                mstore(0x20, owner)
                for {} left { left := sub(left, 1) } {
                    let index := shr(240, mload(cursor))
                    right := and(right, sgt(index, before))
                    before := index
                    mstore(0x00, mload(add(tables, shl(5, index))))
                    let slot := keccak256(0x00, 0x40)
                    let word := sload(slot)
                    words := or(words, word)
                    mstore(leg, or(tag, index))
                    mstore(add(leg, 0x20), slot)
                    mstore(add(leg, 0x40), word)
                    leg := add(leg, LEG_BYTES)
                    cursor := add(cursor, 2)
                }
                right := and(right, and(slt(before, count), iszero(gt(leg, most))))
            }
            if (!right) _refuseAccount(run, header, leg, previous);
            run.words = words;
            run.cursor = cursor;
            return leg;
        }
    }

    /// @dev What is wrong with the account at the cursor: itself, a leg, or that the table of legs
    /// is full; its orders would be written over the legs.
    function _refuseAccount(Run memory run, uint256 header, uint256 leg, uint256 before)
        private
        pure
    {
        unchecked {
            uint256 trader = header >> 96;
            if (trader <= before) {
                Refusal.two(IExchange.BatchAccountsNotAscending.selector, before, trader);
            }
            uint256 cursor = run.cursor + ACCOUNT_BYTES;
            uint256 above;
            for (uint256 i = header >> 80 & type(uint16).max; i != 0; --i) {
                uint256 index = RawMemory.load(cursor) >> 240;
                if (index >= run.assetCount) refuseIndex(index, index, run.assetCount);
                if (index < above) {
                    Refusal.three(
                        IExchange.BatchLegsNotAscending.selector,
                        trader,
                        assetAt(run, above - 1),
                        assetAt(run, index)
                    );
                }
                above = index + 1;
                cursor += 2;
            }
            refuseTable((leg - run.legsAt) / LEG_BYTES, run.legCount);
        }
    }

    function refuseTable(uint256 counted, uint256 stated) internal pure {
        Refusal.two(IExchange.BatchTableWrong.selector, counted, stated);
    }

    /// @dev The higher of two indices is out of range.
    function refuseIndex(uint256 one, uint256 other, uint256 count) internal pure {
        Refusal.two(
            IExchange.BatchIndexOutOfRange.selector, one > other ? one : other, count
        );
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
            account = RawMemory.load(tagged >> 16 & type(uint32).max) >> 96;
            asset = assetAt(run, tagged & type(uint16).max);
        }
    }

    function traderOf(uint256 order) internal pure returns (uint256) {
        return uint160(RawMemory.load(order));
    }

    function nonceOf(uint256 packed) internal pure returns (uint64) {
        return uint64(packed >> 176 & type(uint48).max);
    }

    /// @notice Refuses an order whose fills would exceed its quantity or its field.
    function requireUnfilled(uint256 order, uint256 packed, uint256 filled) internal pure {
        uint256 limit = packed >> 120 & type(uint56).max;
        if (filled > limit || filled > AccountSlots.MAX_FILL) {
            Refusal.four(
                IExchange.OrderOverfilled.selector, traderOf(order), nonceOf(packed), filled, limit
            );
        }
    }

    /// @notice Subtracts from the change of a leg.
    /// @dev Below 2^177 in size after 2^16 trades, so its 208 bits hold it with its sign; it
    /// borrows nothing from what stands below it, whose part of the subtrahend is 0.
    function debit(uint256 leg, uint256 amount) internal pure {
        unchecked {
            RawMemory.store(leg, RawMemory.load(leg) - (amount << CHANGE_SHIFT));
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
