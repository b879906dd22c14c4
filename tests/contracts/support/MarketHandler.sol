// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Order, Withdrawal} from "../../../contracts/interfaces/IExchange.sol";
import {Batches, Draft, Match} from "./BatchBuilder.sol";
import {Market} from "./Market.sol";

/// @dev Does what traders, keys, guardian and thieves do, in any order, beside a book of its own
/// that knows nothing of the contract's: the invariants compare the two.
contract MarketHandler is Market {
    /// @dev What a batch breaks on purpose; from `Forged` on, whoever signs.
    enum Wrong {
        Nothing, Overfill, Limit, FeeCap, Expired, Self, Gap, Old, Forged, OneKey
    }

    address[4] public actors;
    uint256[3] public assets;
    /// @dev The book of its own.
    mapping(address account => mapping(uint256 asset => uint256)) public balanceIs;
    mapping(address account => mapping(uint256 asset => uint256)) public claimableIs;
    mapping(address account => mapping(uint256 asset => uint256)) public exitAt;
    mapping(address account => mapping(uint256 nonce => uint256)) public filledIs;
    mapping(address account => mapping(uint256 nonce => uint256)) public quantityOf;
    mapping(address account => mapping(uint256 nonce => uint256)) public killedAt;
    mapping(uint256 asset => uint256) public earmarkedIs;
    uint256 public operatorFees;
    uint256 public developerFees;
    uint256 public trades;
    uint256 public withdrawals;
    uint256 public deposits;
    mapping(address account => uint64) public nonces;
    mapping(address account => bool) public isFrozen;
    uint256 public clock;
    uint256 public lastMatch;
    uint256 public pausedAt;
    uint256 public resumedAt;
    /// @dev What must stay 0.
    uint256 public wrongAccepted;
    uint256 public rightRefused;
    uint256 public exitsRefused;
    uint256 public replayed;
    uint256 public frozenTook;
    /// @dev How often each act went through: see the first test of the invariants.
    uint256 public settledBatches;
    uint256 public refusedBatches;
    uint256 public retirements;
    uint256 public exits;
    uint256 public claims;
    uint256 public voids;
    Order[] private _resting;
    Order[] private _toRetire;
    bytes private _lastBatch;
    bytes private _lastSignatures;
    uint256 private _freezes;

    constructor() {
        open();
        actors = [seller, buying, other, trader(0xD4)];
        assets = [id, otherId, cash()];
        deposits = exchange.depositCount();
        clock = NOW;
        // otherMoney was deposited too and never moves: it is not in this book.
        for (uint256 a = 0; a < 4; ++a) {
            for (uint256 i = 0; i < 3; ++i) {
                balanceIs[actors[a]][assets[i]] = balance(actors[a], assets[i]);
            }
        }
        for (uint256 a = 0; a < 4; ++a) {
            depositFor(a, 2, 9e12);
            for (uint256 i = 0; i < 2; ++i) {
                if (actors[a] != seller) transfer(seller, actors[a], assets[i], 120_000);
                depositFor(a, i, 110_000);
            }
        }
    }

    function venue() external view returns (address, address, address) {
        return (address(exchange), operator, developer);
    }

    // ------------------------------------------------------------------ deposits and time

    function depositFor(uint256 who, uint256 which, uint256 amount) public {
        address account = actors[who % 4];
        uint256 asset = assets[which % 3];
        if (asset == cash()) {
            amount = 1 + amount % 1e13;
            money.mint(account, amount);
            vm.prank(account);
            try exchange.deposit(address(money), amount) {} catch { return; }
        } else {
            uint256 held = credits.balanceOf(account, asset);
            if (held == 0) return;
            amount = 1 + amount % held;
            vm.prank(account);
            try credits.safeTransferFrom(account, address(exchange), asset, amount, "") {}
            catch { return; }
        }
        ++deposits;
        balanceIs[account][asset] += amount;
    }

    function passTime(uint256 duration) external {
        clock += duration % (WINDOW / 2);
        vm.warp(clock);
    }

    function pauseOrResume(uint256 seed) external {
        if (pausedAt == 0 && seed % 5 == 0) {
            exchange.pause();
            pausedAt = clock;
        } else if (pausedAt != 0) {
            exchange.unpause();
            (pausedAt, resumedAt) = (0, clock);
        }
    }

    function freeze(uint256 who) external {
        address account = actors[who % 4];
        isFrozen[account] = !isFrozen[account];
        setFrozen(account, isFrozen[account], ++_freezes);
    }

    // ------------------------------------------------------------------ trading

    /// @dev Up to three matches of one order with others, one of them possibly wrong.
    function trade(uint256 seed, uint256 quantity, uint256 count) external {
        Draft memory draft = emptyDraft();
        count = 1 + count % 3;
        draft.orders = new Order[](count + 1);
        draft.trades = new Match[](count);
        uint256 class = assets[seed % 2];
        Order memory taker = newOrder(actors[(seed >> 4) % 4], uint8(seed >> 8 & 1), class);
        if (taker.side == 0 && seed >> 9 & 3 == 0) {
            (taker.conditions, taker.detailsHash) = (33, HASH);
        }
        draft.orders[0] = taker;
        for (uint256 i = 0; i < count; ++i) {
            address with = actors[((seed >> 4) + 1 + (seed >> 16 + 2 * i) % 3) % 4];
            draft.orders[i + 1] = makerFor(taker, with, seed >> 24 + 8 * i);
            uint64 tonnes = uint64(1 + (quantity >> 8 * i) % 20);
            draft.trades[i] = Match(i + 1, 0, tonnes, uint40(clock));
        }
        Wrong wrong = Wrong(seed >> 48 & 1 == 0 ? 0 : (seed >> 49) % 10);
        submit(draft, wrong);
    }

    function newOrder(address account, uint8 side, uint256 class)
        private
        returns (Order memory order)
    {
        order = anOrder(account, nonces[account]++, side, 40);
        order.instrument = class;
        order.signedAt = uint40(clock - 10);
        order.expiry = uint40(clock + 1 hours);
    }

    /// @dev An order that rests since an earlier batch, where one fits; else a new one.
    function makerFor(Order memory taker, address account, uint256 seed)
        private
        returns (Order memory order)
    {
        uint256 length = _resting.length;
        for (uint256 i = 0; i < length && i < 12 && seed & 1 == 0; ++i) {
            order = _resting[length - 1 - i];
            bool fits = order.trader == account && order.side != taker.side
                && order.instrument == taker.instrument && order.expiry >= clock;
            if (fits && filledIs[account][order.nonce] < order.quantity) return order;
        }
        order = newOrder(account, 1 - taker.side, taker.instrument);
        // In the taker's favour by up to 2 units of money per tonne.
        uint128 better = uint128(seed >> 1 & 1);
        order.price = taker.side == 0 ? order.price - better : order.price + better;
        _resting.push(order);
    }

    function spoil(Draft memory draft, Wrong wrong) private {
        Order memory taker = draft.orders[0];
        if (wrong == Wrong.Overfill) draft.trades[0].quantity = 41;
        else if (wrong == Wrong.Limit) taker.price = taker.side == 0 ? 1 : taker.price * 2;
        else if (wrong == Wrong.FeeCap) taker.maxFeeBps = 19;
        else if (wrong == Wrong.Expired) taker.expiry = uint40(clock - 1);
        else if (wrong == Wrong.Self) draft.orders[1].trader = taker.trader;
        else if (wrong == Wrong.Gap) draft.firstTrade += 1;
        else if (wrong == Wrong.Old) {
            clock += WINDOW + 1;
            vm.warp(clock);
        }
    }

    function submit(Draft memory draft, Wrong wrong) private {
        spoil(draft, wrong);
        bytes memory batch = Batches.pack(draft);
        address victim = draft.orders[1].trader;
        uint256 key = keyOf[victim];
        if (wrong == Wrong.Forged) keyOf[victim] = THIEF;
        bytes memory traders = signaturesOf(draft);
        keyOf[victim] = key;
        uint256 second = wrong == Wrong.OneKey ? SEQUENCER : WATCHER;
        bytes memory signatures =
            bytes.concat(byKeys(exchange.hashBatch(batch), SEQUENCER, second), traders);
        bool due = wrong == Wrong.Nothing && isDue(draft);
        try exchange.settle(batch, signatures) {
            if (wrong != Wrong.Nothing) ++wrongAccepted;
            (_lastBatch, _lastSignatures) = (batch, signatures);
            ++settledBatches;
            book(draft);
        } catch {
            if (due) ++rightRefused;
            ++refusedBatches;
        }
    }

    /// @dev Whether nothing that this book knows stands against a batch.
    function isDue(Draft memory draft) private returns (bool) {
        if (pausedAt != 0 || clock < resumedAt || clock < lastMatch) return false;
        for (uint256 i = 0; i < draft.orders.length; ++i) {
            Order memory order = draft.orders[i];
            uint256 killed = killedAt[order.trader][order.nonce];
            if (killed != 0 && clock > killed + WINDOW) return false;
            if (isLeaving(order.trader, order.instrument)) return false;
            if (isLeaving(order.trader, cash())) return false;
            for (uint256 j = 0; j < i; ++j) {
                // One order twice in a table: packed once by nobody, so refuse to judge it.
                bool same = draft.orders[j].trader == order.trader
                    && draft.orders[j].nonce == order.nonce;
                if (same) return false;
            }
        }
        return covered(draft);
    }

    function isLeaving(address account, uint256 asset) private view returns (bool) {
        uint256 since = exitAt[account][asset];
        return since != 0 && clock > since + WINDOW && clock <= since + 3 * WINDOW;
    }

    mapping(address account => mapping(uint256 asset => int256)) private _change;

    /// @dev Whether balances and quantities suffice; leaves no trace.
    function covered(Draft memory draft) private returns (bool enough) {
        enough = true;
        uint256[] memory filled = new uint256[](draft.orders.length);
        for (uint256 i = 0; i < draft.trades.length; ++i) {
            (Order memory buyer_, Order memory seller_, uint256[4] memory sums) = sides(draft, i);
            _change[seller_.trader][seller_.instrument] -= int256(sums[0]);
            _change[seller_.trader][cash()] += int256(sums[1] - sums[3]);
            _change[buyer_.trader][cash()] -= int256(sums[1] + sums[2]);
            if (buyer_.conditions & 32 == 0) {
                _change[buyer_.trader][buyer_.instrument] += int256(sums[0]);
            }
            filled[draft.trades[i].maker] += draft.trades[i].quantity;
            filled[draft.trades[i].taker] += draft.trades[i].quantity;
        }
        for (uint256 i = 0; i < draft.orders.length; ++i) {
            Order memory order = draft.orders[i];
            if (filledIs[order.trader][order.nonce] + filled[i] > order.quantity) enough = false;
        }
        for (uint256 a = 0; a < 4; ++a) {
            for (uint256 i = 0; i < 3; ++i) {
                int256 after_ =
                    int256(balanceIs[actors[a]][assets[i]]) + _change[actors[a]][assets[i]];
                if (after_ < 0) enough = false;
                delete _change[actors[a]][assets[i]];
            }
        }
    }

    /// @dev Buyer, seller, and: kilograms, notional, buyer's fee, seller's fee.
    function sides(Draft memory draft, uint256 i)
        private
        pure
        returns (Order memory buyer_, Order memory seller_, uint256[4] memory sums)
    {
        Match memory one = draft.trades[i];
        Order memory maker = draft.orders[one.maker];
        uint256 notional = uint256(one.quantity) * maker.price;
        uint256 makerFee = notional * draft.makerFee / 10_000;
        uint256 takerFee = notional * draft.takerFee / 10_000;
        sums[0] = uint256(one.quantity) * 1000;
        sums[1] = notional;
        bool makerBuys = maker.side == 0;
        (buyer_, seller_) = makerBuys
            ? (maker, draft.orders[one.taker])
            : (draft.orders[one.taker], maker);
        (sums[2], sums[3]) = makerBuys ? (makerFee, takerFee) : (takerFee, makerFee);
    }

    function book(Draft memory draft) private {
        uint256 fees;
        for (uint256 i = 0; i < draft.trades.length; ++i) {
            (Order memory buyer_, Order memory seller_, uint256[4] memory sums) = sides(draft, i);
            uint256 tonnes = draft.trades[i].quantity;
            balanceIs[seller_.trader][seller_.instrument] -= sums[0];
            balanceIs[buyer_.trader][cash()] -= sums[1] + sums[2];
            balanceIs[seller_.trader][cash()] += sums[1] - sums[3];
            if (buyer_.conditions & 32 == 0) {
                balanceIs[buyer_.trader][buyer_.instrument] += sums[0];
            } else {
                earmarkedIs[buyer_.instrument] += sums[0];
            }
            filledIs[buyer_.trader][buyer_.nonce] += tonnes;
            filledIs[seller_.trader][seller_.nonce] += tonnes;
            fees += sums[2] + sums[3];
        }
        for (uint256 i = 0; i < draft.orders.length; ++i) {
            quantityOf[draft.orders[i].trader][draft.orders[i].nonce] = draft.orders[i].quantity;
        }
        if (draft.orders[0].conditions & 32 != 0) _toRetire.push(draft.orders[0]);
        developerFees += fees * SHARE / 10_000;
        operatorFees += fees - fees * SHARE / 10_000;
        trades += draft.trades.length;
        lastMatch = clock;
    }

    function replay() external {
        if (_lastBatch.length == 0) return;
        try exchange.settle(_lastBatch, _lastSignatures) {
            ++replayed;
        } catch {}
    }

    function voidNext(uint256 length) external {
        (uint64 seq,) = exchange.anchored();
        uint64 first = uint64(trades + 1);
        uint64 last = uint64(trades + 1 + length % 5);
        voidRange([first, last, uint64(withdrawals + 1), uint64(withdrawals)], seq + 1, HASH);
        trades = last;
        ++voids;
    }

    // ------------------------------------------------------------------ ways out

    function withdraw(uint256 who, uint256 which, uint256 amount) external {
        (address account, uint256 asset) = (actors[who % 4], assets[which % 3]);
        amount = 1 + amount % 1e12;
        Withdrawal memory wanted = aWithdrawal(account, nonces[account]++, asset, amount);
        settle(draftOf(wanted));
        ++withdrawals;
        uint256 held = balanceIs[account][asset];
        uint256 moved = held < amount ? held : amount;
        balanceIs[account][asset] -= moved;
        claimableIs[account][asset] += moved;
    }

    function claim(uint256 who, uint256 which) external {
        (address account, uint256 asset) = (actors[who % 4], assets[which % 3]);
        if (claimableIs[account][asset] == 0) return;
        try exchange.claim(account, asset) {
            if (isFrozen[account]) ++frozenTook;
            claimableIs[account][asset] = 0;
            ++claims;
            // Most of it comes back, or there would soon be nothing to trade.
            depositFor(who, which, credits.balanceOf(account, id) * 4 / 5);
        } catch {
            if (!isFrozen[account]) ++exitsRefused;
        }
    }

    function leave(uint256 who, uint256 which, uint256 seed) external {
        if (seed % 3 != 0) return;
        (address account, uint256 asset) = (actors[who % 4], assets[which % 3]);
        vm.prank(account);
        try exchange.requestExit(only(asset)) {
            exitAt[account][asset] = clock;
        } catch {
            bool runs = exitAt[account][asset] != 0 && clock <= exitAt[account][asset] + 3 * WINDOW;
            if (!isFrozen[account] && !runs) ++exitsRefused;
        }
    }

    function stay(uint256 who, uint256 which) external {
        (address account, uint256 asset) = (actors[who % 4], assets[which % 3]);
        vm.prank(account);
        try exchange.cancelExit(only(asset)) {
            exitAt[account][asset] = 0;
        } catch {}
    }

    /// @dev An exit that runs, if any does: in half of the cases the clock is moved to it.
    function execute(uint256 who, uint256 which, bool wait) external {
        (address account, uint256 asset) = (actors[who % 4], assets[which % 3]);
        for (uint256 i = 0; i < 12 && exitAt[account][asset] == 0; ++i) {
            (account, asset) = (actors[(who + i) % 4], assets[(which + i / 4) % 3]);
        }
        uint256 since = exitAt[account][asset];
        if (wait && since != 0 && clock <= since + 2 * WINDOW) {
            clock = since + 2 * WINDOW + 1;
            vm.warp(clock);
        }
        bool due = since != 0 && clock > since + 2 * WINDOW && clock <= since + 3 * WINDOW;
        try exchange.executeExit(account, only(asset)) {
            if (!due) ++wrongAccepted;
            if (isFrozen[account]) ++frozenTook;
            exitAt[account][asset] = 0;
            claimableIs[account][asset] += balanceIs[account][asset];
            balanceIs[account][asset] = 0;
            ++exits;
        } catch {
            if (due && !isFrozen[account]) ++exitsRefused;
        }
    }

    function invalidate(uint256 who, uint256 nonce) external {
        address account = actors[who % 4];
        uint64[] memory listed = new uint64[](1);
        listed[0] = uint64(nonce % (nonces[account] + 1));
        vm.prank(account);
        exchange.invalidate(listed);
        if (killedAt[account][listed[0]] == 0) killedAt[account][listed[0]] = clock;
    }

    function retireNext() external {
        if (_toRetire.length == 0) return;
        Order memory order = _toRetire[_toRetire.length - 1];
        uint256 kilograms = exchange.earmarked(exchange.hashOrder(order));
        try exchange.completeRetirement(order) {
            if (isFrozen[order.trader]) ++frozenTook;
            earmarkedIs[order.instrument] -= kilograms;
            _toRetire.pop();
            ++retirements;
        } catch {
            if (!isFrozen[order.trader]) ++exitsRefused;
        }
    }

    function collect() external {
        exchange.collectFees(cash());
        claimableIs[operator][cash()] += operatorFees;
        claimableIs[developer][cash()] += developerFees;
        (operatorFees, developerFees) = (0, 0);
    }
}
