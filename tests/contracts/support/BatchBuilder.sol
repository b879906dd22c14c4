// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Order, Withdrawal} from "../../../contracts/interfaces/IExchange.sol";

/// @dev A match between two orders of a draft, by their place in it.
struct Match {
    uint256 maker;
    uint256 taker;
    uint64 quantity;
    uint40 time;
}

/// @dev What one batch is to settle, in any order; `Batches.pack` makes the tables.
struct Draft {
    uint48 firstTrade;
    uint48 firstWithdrawal;
    uint48 seq;
    bytes32 head;
    uint8 makerFee;
    uint8 takerFee;
    Order[] orders;
    Match[] trades;
    Withdrawal[] withdrawals;
}

/// @dev The ascending tables that a draft refers to by index.
struct Tables {
    uint256[] assets;
    uint256 money;
    uint256[] accounts;
    uint256[][] legs;
    /// @dev Places of the draft's orders, in the batch's order; and the inverse.
    uint256[] placed;
    uint256[] place;
    uint40 base;
    uint256 legCount;
}

/// @dev Packs batches as the layout in IExchange says. Written apart from the contract and from
/// the domain, so that it can disagree with either; it checks nothing.
library Batches {
    uint256 internal constant FIRST_CLASS = 1 << 160;
    /// @dev Bytes before the assets, and of one order without details.
    uint256 internal constant HEADER = 72;
    uint256 internal constant ORDER = 38;

    function pack(Draft memory draft) internal pure returns (bytes memory) {
        Tables memory tables = tablesOf(draft);
        bytes memory batch = bytes.concat(header(draft), counts(draft, tables));
        for (uint256 i = 0; i < tables.assets.length; ++i) {
            batch = i < tables.money
                ? bytes.concat(batch, bytes20(uint160(tables.assets[i])))
                : bytes.concat(batch, bytes32(tables.assets[i]));
        }
        uint256 next;
        for (uint256 a = 0; a < tables.accounts.length; ++a) {
            bytes memory entry;
            (entry, next) = accountEntry(draft, tables, a, next);
            batch = bytes.concat(batch, entry);
        }
        return bytes.concat(batch, trades(draft, tables), withdrawals(draft, tables));
    }

    function header(Draft memory draft) private pure returns (bytes memory) {
        bytes memory first = abi.encodePacked(
            uint8(1),
            draft.firstTrade,
            uint16(draft.trades.length),
            draft.firstWithdrawal,
            uint16(draft.withdrawals.length)
        );
        return abi.encodePacked(first, draft.seq, draft.head, draft.makerFee, draft.takerFee);
    }

    function counts(Draft memory draft, Tables memory tables) private pure returns (bytes memory) {
        return abi.encodePacked(
            tables.base,
            uint16(tables.money),
            uint16(tables.assets.length - tables.money),
            uint16(tables.accounts.length),
            uint16(tables.legCount),
            uint16(draft.orders.length)
        );
    }

    function accountEntry(Draft memory draft, Tables memory tables, uint256 a, uint256 next)
        private
        pure
        returns (bytes memory entry, uint256 after_)
    {
        uint256[] memory legs = tables.legs[a];
        address account = address(uint160(tables.accounts[a]));
        bytes memory own;
        for (after_ = next; after_ < tables.placed.length; ++after_) {
            Order memory order = draft.orders[tables.placed[after_]];
            if (order.trader != account) break;
            own = bytes.concat(own, orderEntry(order, legs, tables.base));
        }
        entry = abi.encodePacked(account, uint16(legs.length), uint16(after_ - next));
        for (uint256 i = 0; i < legs.length; ++i) {
            entry = abi.encodePacked(entry, uint16(indexOf(tables.assets, legs[i])));
        }
        entry = bytes.concat(entry, own);
    }

    function orderEntry(Order memory order, uint256[] memory legs, uint40 base)
        internal
        pure
        returns (bytes memory entry)
    {
        entry = abi.encodePacked(
            uint16(indexOf(legs, order.instrument)),
            uint16(indexOf(legs, uint160(order.asset))),
            uint48(order.nonce),
            uint56(order.quantity),
            uint104(order.price),
            uint8(order.maxFeeBps),
            uint8(order.side | order.conditions << 1 | order.signatureKind << 7)
        );
        entry = abi.encodePacked(
            entry, uint24(order.signedAt - base), uint24(order.expiry - order.signedAt)
        );
        if (order.conditions & 32 != 0) entry = bytes.concat(entry, order.detailsHash);
    }

    function trades(Draft memory draft, Tables memory tables)
        private
        pure
        returns (bytes memory packed)
    {
        for (uint256 i = 0; i < draft.trades.length; ++i) {
            Match memory one = draft.trades[i];
            packed = abi.encodePacked(
                packed,
                uint16(tables.place[one.maker]),
                uint16(tables.place[one.taker]),
                uint56(one.quantity),
                uint24(one.time - tables.base)
            );
        }
    }

    function withdrawals(Draft memory draft, Tables memory tables)
        private
        pure
        returns (bytes memory packed)
    {
        for (uint256 i = 0; i < draft.withdrawals.length; ++i) {
            Withdrawal memory one = draft.withdrawals[i];
            uint256 leg;
            uint256 a;
            for (; tables.accounts[a] != uint160(one.trader); ++a) {
                leg += tables.legs[a].length;
            }
            leg += indexOf(tables.legs[a], one.asset);
            packed = abi.encodePacked(
                packed, uint16(leg), uint48(one.nonce), uint104(one.amount), one.signatureKind
            );
        }
    }

    // ------------------------------------------------------------------ tables

    function tablesOf(Draft memory draft) internal pure returns (Tables memory tables) {
        uint256 pairs = 2 * draft.orders.length + draft.withdrawals.length;
        uint256[] memory holders = new uint256[](pairs);
        uint256[] memory assets = new uint256[](pairs);
        for (uint256 i = 0; i < draft.orders.length; ++i) {
            holders[2 * i] = holders[2 * i + 1] = uint160(draft.orders[i].trader);
            assets[2 * i] = draft.orders[i].instrument;
            assets[2 * i + 1] = uint160(draft.orders[i].asset);
        }
        for (uint256 i = 0; i < draft.withdrawals.length; ++i) {
            uint256 spot = 2 * draft.orders.length + i;
            holders[spot] = uint160(draft.withdrawals[i].trader);
            assets[spot] = draft.withdrawals[i].asset;
        }
        tables.assets = ascending(assets);
        tables.accounts = ascending(holders);
        for (uint256 i = 0; i < tables.assets.length; ++i) {
            if (tables.assets[i] < FIRST_CLASS) ++tables.money;
        }
        tables.legs = new uint256[][](tables.accounts.length);
        for (uint256 a = 0; a < tables.accounts.length; ++a) {
            tables.legs[a] = legsOf(tables.accounts[a], holders, assets);
            tables.legCount += tables.legs[a].length;
        }
        placeOrders(draft, tables);
    }

    function legsOf(uint256 account, uint256[] memory holders, uint256[] memory assets)
        private
        pure
        returns (uint256[] memory)
    {
        uint256 count;
        uint256[] memory found = new uint256[](assets.length);
        for (uint256 i = 0; i < assets.length; ++i) {
            if (holders[i] == account) found[count++] = assets[i];
        }
        assembly {
            mstore(found, count)
        }
        return ascending(found);
    }

    function placeOrders(Draft memory draft, Tables memory tables) private pure {
        uint256 count = draft.orders.length;
        tables.placed = new uint256[](count);
        tables.place = new uint256[](count);
        tables.base = type(uint40).max;
        for (uint256 i = 0; i < count; ++i) {
            if (draft.orders[i].signedAt < tables.base) tables.base = draft.orders[i].signedAt;
            uint256 spot = i;
            for (; spot > 0 && key(draft, tables.placed[spot - 1]) > key(draft, i); --spot) {
                tables.placed[spot] = tables.placed[spot - 1];
            }
            tables.placed[spot] = i;
        }
        for (uint256 i = 0; i < count; ++i) {
            tables.place[tables.placed[i]] = i;
        }
        if (draft.trades.length != 0 && draft.trades[0].time < tables.base) {
            tables.base = draft.trades[0].time;
        }
        if (tables.base == type(uint40).max) tables.base = 0;
    }

    function key(Draft memory draft, uint256 order) private pure returns (uint256) {
        return uint256(uint160(draft.orders[order].trader)) << 64 | draft.orders[order].nonce;
    }

    /// @dev A copy, sorted and without duplicates.
    function ascending(uint256[] memory given) internal pure returns (uint256[] memory values) {
        uint256 count;
        values = new uint256[](given.length);
        for (uint256 i = 0; i < given.length; ++i) {
            uint256 value = given[i];
            uint256 spot = count;
            while (spot > 0 && values[spot - 1] > value) --spot;
            if (spot > 0 && values[spot - 1] == value) continue;
            for (uint256 j = count; j > spot; --j) {
                values[j] = values[j - 1];
            }
            values[spot] = value;
            ++count;
        }
        assembly {
            mstore(values, count)
        }
    }

    function indexOf(uint256[] memory values, uint256 value) internal pure returns (uint256 spot) {
        while (values[spot] != value) ++spot;
    }
}
