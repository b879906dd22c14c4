// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {BatchTables, Run} from "../libraries/BatchTables.sol";
import {RawMemory} from "../libraries/RawMemory.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Venue} from "./Venue.sol";

/// @title The trades of a batch: checks each, and adds up in memory what they change.
/// @dev A trade's checks set one flag and change nothing; what was wrong is found out only when it
/// is set, by `_refuseTrade`, from the same records. Unchecked for the same reason as Settlement.
abstract contract Trades is Venue {
    uint256 private constant BUY = 0;
    /// @dev Bits of the third word of an order's record: its market, and when it last matched.
    uint256 private constant MARKET_BITS = 0xffffffff000000000000000000000000000000000000;
    uint256 private constant MATCH_TIME_BITS = 0xffffffffff00000000000000;
    /// @dev A kilogram's part of a leg's change, for a tonne.
    uint256 private constant TONNE_OF_CHANGE = 0x3e8000000000000;

    /// @dev All trades, and what the first and the last match time must be.
    function _applyTrades(Run memory run, uint256 matchTime, Guard memory guard)
        internal
        view
        returns (uint256 last)
    {
        unchecked {
            if (run.trades == 0) return matchTime;
            uint256 first = _matchTimeAt(run, run.cursor);
            last = _applyEach(run, matchTime);
            if (block.timestamp > first + WINDOW) {
                Refusal.three(
                    IExchange.TradeTooOld.selector, run.firstTrade, first, block.timestamp
                );
            }
            if (last > block.timestamp + SKEW) {
                Refusal.three(
                    IExchange.TradeAhead.selector,
                    run.firstTrade + run.trades - 1,
                    last,
                    block.timestamp
                );
            }
            bool mayBePaused = guard.pausedSince != 0 && last >= guard.pausedSince;
            if (mayBePaused || first < guard.pausesEnd) _requireNotPaused(run);
            run.cursor += run.trades * BatchTables.TRADE_BYTES;
        }
    }

    /// @dev The seller delivers, the buyer pays; each pays its own fee (rounded down, L11). What an
    /// order filled before this batch comes in `_fillOrders`, which also earmarks what was bought
    /// to retire: it is no leg's. Safe: writes only records of orders, legs and fees in the
    /// allocated tables: an order's place is compared with their end, and its legs and asset were
    /// when it was read; the scratch space holds the same two words all along. What a trade with a
    /// fault has written nobody reads but `_refuseTrade`.
    /// @param last The match time before the first; returns the last.
    function _applyEach(Run memory run, uint256 last) private view returns (uint256) {
        unchecked {
            uint256 cursor = run.cursor;
            uint256 left = run.trades;
            uint256 orders = run.ordersAt;
            uint256 ordersEnd = orders + run.orderCount * BatchTables.ORDER_BYTES;
            uint256 makerBps = run.makerFeeBps;
            uint256 takerBps = run.takerFeeBps;
            uint256 fees = run.feesAt;
            RawMemory.store(0x00, SKEW);
            RawMemory.store(0x20, run.baseTime);
            assembly ("memory-safe") {
                // One side of a trade: the order's own checks, and what it changes.
                function take(order, quantity, notional, feeBps, time) -> fault, fee {
                    let packed := mload(add(order, 0x20))
                    let state := mload(add(order, 0x40))
                    fault := gt(feeBps, and(shr(8, packed), 0xff))
                    fault := or(fault, gt(time, shr(216, state)))
                    let signedAt := and(shr(176, state), 0xffffffffff)
                    fault := or(fault, gt(signedAt, add(time, mload(0x00))))
                    let filled := add(and(state, 0xffffffffffffff), quantity)
                    fault := or(fault, gt(filled, and(shr(120, packed), 0xffffffffffffff)))
                    // Without a fault, neither field carries into the next.
                    state := add(and(state, not(MATCH_TIME_BITS)), or(shl(56, time), quantity))
                    mstore(add(order, 0x40), state)
                    fee := div(mul(notional, feeBps), 10000)
                    // 1 when it buys, −1 when it sells.
                    let sign := sub(1, shl(1, and(packed, 1)))
                    state := mload(order)
                    let leg := and(shr(160, state), 0xffffffffffff)
                    mstore(leg, sub(mload(leg), shl(48, add(mul(sign, notional), fee))))
                    leg := shr(208, state)
                    sign := mul(sign, iszero(and(packed, 0x40)))
                    mstore(leg, add(mload(leg), mul(mul(sign, quantity), TONNE_OF_CHANGE)))
                }
                for {} left { left := sub(left, 1) } {
                    let trade := mload(cursor)
                    let maker := add(orders, shl(7, shr(240, trade)))
                    let taker := add(orders, shl(7, and(shr(224, trade), 0xffff)))
                    if iszero(and(lt(maker, ordersEnd), lt(taker, ordersEnd))) { break }
                    let time := add(mload(0x20), and(shr(144, trade), 0xffffff))
                    trade := and(shr(168, trade), 0xffffffffffffff)
                    let fault := or(lt(time, last), iszero(trade))
                    fault := or(fault, iszero(shl(96, xor(mload(maker), mload(taker)))))
                    let market := mload(add(maker, 0x40))
                    fault := or(fault, and(xor(market, mload(add(taker, 0x40))), MARKET_BITS))
                    let price := mload(add(maker, 0x20))
                    let asked := mload(add(taker, 0x20))
                    fault := or(fault, iszero(and(xor(price, asked), 1)))
                    price := and(shr(16, price), 0xffffffffffffffffffffffffff)
                    // All ones when the taker sells: complements turn the comparison round.
                    let sells := sub(0, and(asked, 1))
                    asked := and(shr(16, asked), 0xffffffffffffffffffffffffff)
                    fault := or(fault, gt(xor(price, sells), xor(asked, sells)))
                    price := mul(trade, price)
                    let wrong, fee := take(maker, trade, price, makerBps, time)
                    fault := or(fault, wrong)
                    market := add(fees, and(shr(139, market), 0x1fffe0))
                    fee := add(fee, mload(market))
                    wrong, trade := take(taker, trade, price, takerBps, time)
                    if or(fault, wrong) { break }
                    mstore(market, add(fee, trade))
                    last := time
                    cursor := add(cursor, 14)
                }
            }
            if (left != 0) _refuseTrade(run, cursor, last);
            return last;
        }
    }

    /// @dev Which check the trade at `cursor` failed: the same ones again, one by one.
    function _refuseTrade(Run memory run, uint256 cursor, uint256 previous) private view {
        unchecked {
            uint256 trade = RawMemory.load(cursor);
            uint256 number = run.firstTrade + (cursor - run.cursor) / BatchTables.TRADE_BYTES;
            uint256 time = _matchTimeAt(run, cursor);
            uint256 maker = trade >> 240;
            uint256 taker = trade >> 224 & type(uint16).max;
            uint256 count = run.orderCount;
            if (maker >= count || taker >= count) BatchTables.refuseIndex(maker, taker, count);
            if (time < previous) {
                Refusal.three(IExchange.TradeBeforePrevious.selector, number, time, previous);
            }
            maker = run.ordersAt + maker * BatchTables.ORDER_BYTES;
            taker = run.ordersAt + taker * BatchTables.ORDER_BYTES;
            uint256 price = _requireMatch(maker, taker, number);
            trade = trade >> 168 & type(uint56).max;
            if (trade == 0) {
                Refusal.three(IExchange.TradeQuantityInvalid.selector, number, 0, price);
            }
            _requireFee(maker, run.makerFeeBps, number);
            _requireFee(taker, run.takerFeeBps, number);
            _requireFits(maker, trade, time, number);
            _requireFits(taker, trade, time, number);
            // Never reached: the checks above are all there are.
            assembly ("memory-safe") {
                invalid()
            }
        }
    }

    /// @dev The maker's price, when the two orders can trade with one another at it.
    function _requireMatch(uint256 maker, uint256 taker, uint256 number)
        private
        pure
        returns (uint256 price)
    {
        unchecked {
            if ((RawMemory.load(maker + 0x40) ^ RawMemory.load(taker + 0x40)) & MARKET_BITS != 0) {
                Refusal.one(IExchange.TradeMarketsDiffer.selector, number);
            }
            uint256 trader = BatchTables.traderOf(maker);
            if (trader == BatchTables.traderOf(taker)) {
                Refusal.two(IExchange.TradeSelf.selector, number, trader);
            }
            uint256 offered = RawMemory.load(maker + 0x20);
            uint256 asked = RawMemory.load(taker + 0x20);
            if ((offered ^ asked) & 1 == 0) {
                Refusal.one(IExchange.TradeSidesEqual.selector, number);
            }
            price = offered >> 16 & type(uint104).max;
            uint256 limit = asked >> 16 & type(uint104).max;
            if (asked & 1 == BUY ? price > limit : price < limit) {
                Refusal.three(IExchange.TradePriceBeyondLimit.selector, number, price, limit);
            }
        }
    }

    function _requireFee(uint256 order, uint256 feeBps, uint256 number) private pure {
        unchecked {
            uint256 cap = RawMemory.load(order + 0x20) >> 8 & 0xff;
            if (feeBps > cap) {
                Refusal.three(IExchange.TradeFeeAboveCap.selector, number, feeBps, cap);
            }
        }
    }

    /// @dev An order's times and what is left of it, within this batch.
    function _requireFits(uint256 order, uint256 quantity, uint256 time, uint256 number)
        private
        view
    {
        unchecked {
            uint256 packed = RawMemory.load(order + 0x20);
            uint256 state = RawMemory.load(order + 0x40);
            uint256 signedAt = state >> 176 & type(uint40).max;
            if (signedAt > time + SKEW) {
                Refusal.three(IExchange.TradeBeforeSigned.selector, number, time, signedAt);
            }
            if (time > state >> 216) {
                Refusal.three(IExchange.TradeExpired.selector, number, time, state >> 216);
            }
            // The fill has this trade already: without it, so that no carry is in the field.
            BatchTables.requireUnfilled(
                order, packed, (state - quantity & type(uint56).max) + quantity
            );
        }
    }

    /// @dev The slow way, when a pause is near: every match time by itself.
    function _requireNotPaused(Run memory run) private view {
        unchecked {
            uint256 cursor = run.cursor;
            for (uint256 i = 0; i < run.trades; ++i) {
                uint256 time = _matchTimeAt(run, cursor);
                if (isPausedAt(time)) {
                    Refusal.two(IExchange.TradeWhilePaused.selector, run.firstTrade + i, time);
                }
                cursor += BatchTables.TRADE_BYTES;
            }
        }
    }

    function _matchTimeAt(Run memory run, uint256 cursor) private pure returns (uint256) {
        unchecked {
            return run.baseTime + (RawMemory.load(cursor) >> 144 & type(uint24).max);
        }
    }
}
