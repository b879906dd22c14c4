// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {AccountSlots} from "../libraries/AccountSlots.sol";
import {BatchTables, Run} from "../libraries/BatchTables.sol";
import {MessageHashes} from "../libraries/MessageHashes.sol";
import {RawMemory} from "../libraries/RawMemory.sol";
import {Refusal} from "../libraries/Refusal.sol";
import {Exits} from "./Exits.sol";
import {Venue} from "./Venue.sol";
import {Withdrawals} from "./Withdrawals.sol";

/// @title Settles signed batches: checks, never matches, and calls nobody.
/// @notice Each account and asset is read once and written once, each order's signature is checked
/// once, each fee goes to one slot per asset.
/// @dev Unchecked throughout: every number is read from a field of known width (see BatchTables),
/// so no sum or product can wrap, and balances are compared before they are written.
abstract contract Settlement is Exits, Venue, Withdrawals {
    using BatchTables for Run;

    /// @dev Words of BatchSettled before the batch's bytes: 5 values, offset, length.
    uint256 private constant EVENT_HEAD = 7 * 32;
    uint256 private constant MAX_LIFETIME = 30 days;
    uint256 private constant KILOGRAMS_PER_TONNE = 1000;
    uint256 private constant BUY = 0;
    /// @dev Bit of retire-on-fill in an order's flags; its time in force is at bits 1 and 2.
    uint256 private constant RETIRE_FLAG = 0x40;

    /// @inheritdoc IExchange
    function settle(bytes calldata batch, bytes calldata signatures) external {
        unchecked {
            Run memory run = BatchTables.open(batch, EVENT_HEAD);
            run.buffer = MessageHashes.newBuffer(_separator());
            uint256 place;
            assembly ("memory-safe") {
                place := signatures.offset
            }
            Guard memory guard = _guard;
            bytes32 digest = MessageHashes.ofBatch(run.buffer, run.batchAt, batch.length);
            _requireKeys(run.buffer, digest, place, guard.keysHash);
            Progress memory progress = _progress;
            _requireNext(progress.trade, run.firstTrade);
            _requireNext(progress.withdrawal, run.firstWithdrawal);
            run.signatureAt = place + 128;

            run.readAssets();
            _readAccounts(run);
            _applyTrades(run, progress, guard);
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
            if (run.trades != 0) progress.matchTime = uint40(run.lastTime);
            _anchorNext(progress, uint48(run.seq), run.head);
            _progress = progress;

            _emitSettled(run, progress);
        }
    }

    /// @dev Legs and orders of every account, and the signature of every order.
    function _readAccounts(Run memory run) private view {
        unchecked {
            uint256 leg = run.legsAt;
            uint256 order = run.ordersAt;
            uint256 previous;
            for (uint256 i = 0; i < run.accountCount; ++i) {
                uint256 header = RawMemory.load(run.cursor);
                uint256 trader = header >> 96;
                // Ascending, so that no leg can be there twice; and nobody is address 0.
                if (trader <= previous) {
                    Refusal.two(IExchange.BatchAccountsNotAscending.selector, previous, trader);
                }
                previous = trader;
                uint256 ownLegs = leg;
                leg = run.readLegs(header, leg);
                // Before the orders are written behind the legs.
                if (leg > run.ordersAt) {
                    Refusal.two(
                        IExchange.BatchTableWrong.selector,
                        (leg - run.legsAt) / BatchTables.LEG_BYTES,
                        run.legCount
                    );
                }
                uint256 end =
                    order + BatchTables.ORDER_BYTES * (header >> 64 & type(uint16).max);
                while (order != end) {
                    _readOrder(run, order, trader, ownLegs, header >> 80 & type(uint16).max);
                    order += BatchTables.ORDER_BYTES;
                }
            }
            uint256 read = (order - run.ordersAt) / BatchTables.ORDER_BYTES;
            if (leg != run.ordersAt || read != run.orderCount) {
                Refusal.two(IExchange.BatchTableWrong.selector, read, run.orderCount);
            }
        }
    }

    function _readOrder(
        Run memory run, uint256 order, uint256 trader, uint256 ownLegs, uint256 legs
    ) private view {
        unchecked {
            uint256 cursor = run.cursor;
            uint256 packed = RawMemory.load(cursor);
            uint256 times = RawMemory.load(cursor + 32);
            cursor += 38;
            uint256 detailsHash;
            if (packed & RETIRE_FLAG != 0) {
                uint256 timeInForce = packed >> 1 & 3;
                if (packed & 1 != BUY || timeInForce == 0 || timeInForce == 3) {
                    Refusal.three(
                        IExchange.OrderConditionsInvalid.selector,
                        trader,
                        BatchTables.nonceOf(packed),
                        packed >> 1 & 0x3f
                    );
                }
                detailsHash = RawMemory.load(cursor);
                cursor += 32;
            }
            run.cursor = cursor;
            uint256 signedAt = run.baseTime + (times >> 232);
            uint256 lifetime = times >> 208 & type(uint24).max;
            if (lifetime > MAX_LIFETIME) {
                Refusal.three(
                    IExchange.OrderLifetimeTooLong.selector,
                    trader,
                    BatchTables.nonceOf(packed),
                    lifetime
                );
            }
            uint256 instrument = packed >> 240;
            uint256 asset = packed >> 224 & type(uint16).max;
            if (instrument >= legs || asset >= legs) {
                Refusal.two(
                    IExchange.BatchIndexOutOfRange.selector,
                    instrument > asset ? instrument : asset,
                    legs
                );
            }
            instrument = ownLegs + instrument * BatchTables.LEG_BYTES;
            asset = ownLegs + asset * BatchTables.LEG_BYTES;
            RawMemory.store(order, instrument << 208 | asset << 160 | trader);
            RawMemory.store(order + 0x20, packed);
            instrument = RawMemory.load(instrument + 0x40) & type(uint16).max;
            asset = RawMemory.load(asset + 0x40) & type(uint16).max;
            RawMemory.store(
                order + 0x40,
                instrument << 240 | asset << 224 | signedAt + lifetime << 136 | signedAt << 96
            );
            bool paysMoney = asset < run.moneyCount && instrument >= run.moneyCount;
            instrument = run.assetAt(instrument);
            asset = run.assetAt(asset);
            if (!paysMoney) {
                Refusal.four(
                    IExchange.OrderAssetsInvalid.selector,
                    trader,
                    BatchTables.nonceOf(packed),
                    instrument,
                    asset
                );
            }
            bytes32 digest = MessageHashes.ofPackedOrder(
                run.buffer,
                trader,
                packed,
                instrument,
                asset,
                signedAt,
                signedAt + lifetime,
                detailsHash
            );
            if (packed & RETIRE_FLAG != 0) RawMemory.store(order + 0x60, uint256(digest));
            _requireOrderSigned(run, digest, trader, packed);
        }
    }

    function _requireOrderSigned(
        Run memory run, bytes32 digest, uint256 trader, uint256 packed
    ) private view {
        unchecked {
            if (packed >> 7 & 1 != 0) {
                if (_preSigned[address(uint160(trader))][digest]) return;
                Refusal.three(
                    IExchange.OrderNotPreSigned.selector,
                    trader,
                    BatchTables.nonceOf(packed),
                    uint256(digest)
                );
            }
            uint256 place = run.signatureAt;
            uint256 signer = MessageHashes.signerAt(run.buffer, digest, place);
            if (signer != trader) {
                Refusal.three(
                    IExchange.OrderSignatureWrong.selector,
                    trader,
                    BatchTables.nonceOf(packed),
                    signer
                );
            }
            run.signatureAt = place + 64;
        }
    }

    /// @dev Checks every trade and adds up what it changes, in memory.
    function _applyTrades(Run memory run, Progress memory progress, Guard memory guard)
        private
        view
    {
        unchecked {
            uint256 trades = run.trades;
            if (trades == 0) return;
            uint256 cursor = run.cursor;
            uint256 last = progress.matchTime;
            run.firstTime = run.baseTime + (RawMemory.load(cursor) >> 144 & type(uint24).max);
            for (uint256 i = 0; i < trades; ++i) {
                last = _applyTrade(run, RawMemory.load(cursor), last, run.firstTrade + i);
                cursor += BatchTables.TRADE_BYTES;
            }
            uint256 first = run.firstTime;
            if (block.timestamp > first + WINDOW) {
                Refusal.three(
                    IExchange.TradeTooOld.selector, run.firstTrade, first, block.timestamp
                );
            }
            if (last > block.timestamp + SKEW) {
                Refusal.three(
                    IExchange.TradeAhead.selector,
                    run.firstTrade + trades - 1,
                    last,
                    block.timestamp
                );
            }
            bool mayBePaused = guard.pausedSince != 0 && last >= guard.pausedSince;
            if (mayBePaused || first < guard.pausesEnd) _requireNotPaused(run);
            run.lastTime = last;
            run.cursor = cursor;
        }
    }

    function _applyTrade(Run memory run, uint256 trade, uint256 previous, uint256 number)
        private
        view
        returns (uint256 time)
    {
        unchecked {
            uint256 maker = trade >> 240;
            uint256 taker = trade >> 224 & type(uint16).max;
            uint256 quantity = trade >> 168 & type(uint56).max;
            time = run.baseTime + (trade >> 144 & type(uint24).max);
            uint256 count = run.orderCount;
            if (maker >= count || taker >= count) {
                Refusal.two(
                    IExchange.BatchIndexOutOfRange.selector, maker > taker ? maker : taker, count
                );
            }
            maker = run.ordersAt + maker * BatchTables.ORDER_BYTES;
            taker = run.ordersAt + taker * BatchTables.ORDER_BYTES;
            if (time < previous) {
                Refusal.three(IExchange.TradeBeforePrevious.selector, number, time, previous);
            }

            uint256 price = _match(maker, taker, number);
            if (quantity == 0) {
                Refusal.three(IExchange.TradeQuantityInvalid.selector, number, quantity, price);
            }
            uint256 makerTerms = RawMemory.load(maker + 0x20);
            uint256 takerTerms = RawMemory.load(taker + 0x20);
            _requireFee(makerTerms, run.makerFeeBps, number);
            _requireFee(takerTerms, run.takerFeeBps, number);
            _note(maker, makerTerms, quantity, time, number);
            _note(taker, takerTerms, quantity, time, number);

            uint256 notional = quantity * price;
            uint256 makerFee = notional * run.makerFeeBps / BPS;
            uint256 takerFee = notional * run.takerFeeBps / BPS;
            uint256 feeAt = run.feesAt
                + (RawMemory.load(maker + 0x40) >> 224 & type(uint16).max) * 32;
            RawMemory.store(feeAt, RawMemory.load(feeAt) + makerFee + takerFee);
            if (makerTerms & 1 == BUY) {
                _deliver(maker, makerTerms, taker, quantity, notional, makerFee, takerFee);
            } else {
                _deliver(taker, takerTerms, maker, quantity, notional, takerFee, makerFee);
            }
        }
    }

    /// @dev The maker's price, when the two orders can trade with one another at it.
    function _match(uint256 maker, uint256 taker, uint256 number)
        private
        pure
        returns (uint256 price)
    {
        unchecked {
            if (RawMemory.load(maker + 0x40) >> 224 != RawMemory.load(taker + 0x40) >> 224) {
                Refusal.one(IExchange.TradeMarketsDiffer.selector, number);
            }
            if (uint160(RawMemory.load(maker)) == uint160(RawMemory.load(taker))) {
                Refusal.two(IExchange.TradeSelf.selector, number, BatchTables.traderOf(maker));
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

    function _requireFee(uint256 packed, uint256 feeBps, uint256 number) private pure {
        uint256 cap = packed >> 8 & 0xff;
        if (feeBps > cap) Refusal.three(IExchange.TradeFeeAboveCap.selector, number, feeBps, cap);
    }

    /// @dev Adds a match to an order's record. What it filled before this batch comes in
    /// `_fillOrders`; the check here keeps the sum within its field.
    function _note(
        uint256 order, uint256 packed, uint256 quantity, uint256 time, uint256 number
    ) private view {
        unchecked {
            uint256 state = RawMemory.load(order + 0x40);
            uint256 signedAt = state >> 96 & type(uint40).max;
            if (signedAt > time + SKEW) {
                Refusal.three(IExchange.TradeBeforeSigned.selector, number, time, signedAt);
            }
            uint256 expiry = state >> 136 & type(uint40).max;
            if (time > expiry) {
                Refusal.three(IExchange.TradeExpired.selector, number, time, expiry);
            }
            uint256 filled = (state & type(uint56).max) + quantity;
            uint256 limit = packed >> 120 & type(uint56).max;
            if (filled > limit) {
                Refusal.four(
                    IExchange.OrderOverfilled.selector,
                    BatchTables.traderOf(order),
                    BatchTables.nonceOf(packed),
                    filled,
                    limit
                );
            }
            RawMemory.store(order + 0x40, (state >> 96 << 40 | time) << 56 | filled);
        }
    }

    /// @dev The seller delivers, the buyer pays; each pays its own fee (rounded down, L11).
    function _deliver(
        uint256 buyer,
        uint256 buyerTerms,
        uint256 seller,
        uint256 quantity,
        uint256 notional,
        uint256 buyerFee,
        uint256 sellerFee
    ) private pure {
        unchecked {
            uint256 legs = RawMemory.load(seller) >> 160;
            BatchTables.debit(legs >> 48, quantity * KILOGRAMS_PER_TONNE);
            BatchTables.credit(legs & type(uint48).max, notional - sellerFee);
            legs = RawMemory.load(buyer) >> 160;
            BatchTables.debit(legs & type(uint48).max, notional + buyerFee);
            // What is bought to retire is earmarked by `_fillOrders` instead.
            if (buyerTerms & RETIRE_FLAG == 0) {
                BatchTables.credit(legs >> 48, quantity * KILOGRAMS_PER_TONNE);
            }
        }
    }

    /// @dev The slow way, when a pause is near: every match time by itself.
    function _requireNotPaused(Run memory run) private view {
        unchecked {
            uint256 cursor = run.cursor;
            for (uint256 i = 0; i < run.trades; ++i) {
                uint256 time = run.baseTime + (RawMemory.load(cursor) >> 144 & type(uint24).max);
                if (isPausedAt(time)) {
                    Refusal.two(IExchange.TradeWhilePaused.selector, run.firstTrade + i, time);
                }
                cursor += BatchTables.TRADE_BYTES;
            }
        }
    }

    /// @dev Writes the fills of every order; reads each fill word anew, since orders share them.
    function _fillOrders(Run memory run) private {
        unchecked {
            uint256 order = run.ordersAt;
            uint256 end = order + run.orderCount * BatchTables.ORDER_BYTES;
            for (; order != end; order += BatchTables.ORDER_BYTES) {
                uint256 slot;
                uint256 word;
                uint256 special = run.exits;
                uint256 fill;
                uint256 most = AccountSlots.MAX_FILL;
                uint256 trader = AccountSlots.FILL_TAG | BatchTables.traderOf(order);
                // Safe: writes the scratch space only. `special` collects, without a branch for
                // each, whatever needs a closer look: nothing filled, too much filled, an ended
                // nonce, retire-on-fill.
                assembly ("memory-safe") {
                    let packed := mload(add(order, 0x20))
                    let nonce := and(shr(176, packed), 0xffffffffffff)
                    let tonnes := and(mload(add(order, 0x40)), 0xffffffffffffff)
                    mstore(0x00, shr(2, nonce))
                    mstore(0x20, trader)
                    slot := keccak256(0x00, 0x40)
                    word := sload(slot)
                    nonce := and(nonce, 3)
                    let shift := mul(nonce, 53)
                    let filled := add(and(shr(shift, word), most), tonnes)
                    special := or(special, iszero(tonnes))
                    special := or(special, gt(filled, and(shr(120, packed), 0xffffffffffffff)))
                    special := or(special, gt(filled, most))
                    special := or(special, and(shr(add(212, nonce), word), 1))
                    special := or(special, and(packed, RETIRE_FLAG))
                    fill := shl(shift, tonnes)
                }
                if (special != 0) _fillSpecially(run.exits, order, word);
                AccountSlots.write(bytes32(slot), word + fill);
            }
        }
    }

    /// @dev What `_fillOrders` found to look at closer. Earmarks what was bought to retire.
    function _fillSpecially(uint256 exits, uint256 order, uint256 word) private {
        unchecked {
            uint256 trader = BatchTables.traderOf(order);
            uint256 packed = RawMemory.load(order + 0x20);
            uint256 state = RawMemory.load(order + 0x40);
            uint256 nonce = BatchTables.nonceOf(packed);
            uint256 tonnes = state & type(uint56).max;
            if (tonnes == 0) Refusal.two(IExchange.BatchOrderUnused.selector, trader, nonce);
            uint256 filled = AccountSlots.filled(word, nonce) + tonnes;
            uint256 limit = packed >> 120 & type(uint56).max;
            if (filled > limit || filled > AccountSlots.MAX_FILL) {
                Refusal.four(
                    IExchange.OrderOverfilled.selector, trader, nonce, filled, limit
                );
            }
            uint256 matchTime = state >> 56 & type(uint40).max;
            if (AccountSlots.isKilled(word, nonce)) _requireInTime(trader, nonce, matchTime);
            if (exits != 0) _requireStaying(order, nonce, matchTime);
            if (packed & RETIRE_FLAG != 0) {
                _earmarks[bytes32(RawMemory.load(order + 0x60))] += tonnes * KILOGRAMS_PER_TONNE;
            }
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
        uint256 one = AccountSlots.exitRequestedAt(RawMemory.load((legs >> 48) + 0x20));
        uint256 other =
            AccountSlots.exitRequestedAt(RawMemory.load((legs & type(uint48).max) + 0x20));
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
            // Safe: only reads the legs' records. With the balance's bits sure to hold the sum,
            // adding the change to the whole word changes nothing else in it.
            assembly ("memory-safe") {
                for {} lt(leg, end) { leg := add(leg, 0x60) } {
                    let word := mload(add(leg, 0x20))
                    let change := sar(48, mload(add(leg, 0x40)))
                    if gt(add(and(word, most), change), most) { break }
                    sstore(mload(leg), add(word, change))
                }
            }
            if (leg == end) return;
            uint256 tagged = RawMemory.load(leg + 0x40);
            (uint256 account, uint256 asset) = run.ownerOf(tagged);
            Refusal.four(
                IExchange.AccountShort.selector,
                account,
                asset,
                AccountSlots.balance(RawMemory.load(leg + 0x20)),
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
