"""The engine equals its naive twin, replays to the same state, and keeps the laws (L6, L9, L11)."""

from __future__ import annotations

import pytest

from backend.domain.commands import Command
from backend.domain.orders import fee_of
from backend.domain.venue_events import Event, Traded
from backend.matching import Engine, dump, load
from tests.matching.random_flow import MONEY, Pair, RandomFlow

pytestmark = pytest.mark.unit

SEEDS = (1, 2, 3, 4)
COUNT = 3_000


def recorded(seed: int, count: int = COUNT) -> list[tuple[int, Command, list[Event]]]:
    """A run of engine and twin side by side: (time, command, events)."""
    flow, pair, found = RandomFlow(seed), Pair(), []
    for time_ms, command in flow.opening():
        found.append((time_ms, command, pair.step(time_ms, command)))
    for index in range(count):
        time_ms, command = flow.next(pair.engine)
        found.append((time_ms, command, pair.step(time_ms, command)))
        if index % 20 == 0:
            pair.check()
    pair.check()
    assert pair.fills > 100
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_fills_books_and_balances_equal_those_of_the_twin(seed: int) -> None:
    recorded(seed)


def test_l9_the_same_commands_give_the_same_events_and_digest() -> None:
    run = recorded(11)
    first, second = Engine(), Engine()
    for time_ms, command, events in run:
        assert first.apply(time_ms, command) == events
        second.apply(time_ms, command)
    assert first.digest() == second.digest()


def test_l9_a_snapshot_at_any_point_and_the_rest_give_the_same_state() -> None:
    run = recorded(12)
    whole = Engine()
    snapshots = []
    for index, (time_ms, command, _) in enumerate(run):
        if index % 173 == 40:
            snapshots.append((index, dump(whole)))
        whole.apply(time_ms, command)
    for index, raw in snapshots:
        engine = load(raw)
        assert dump(engine) == raw
        for time_ms, command, events in run[index : index + 400]:
            assert engine.apply(time_ms, command) == events
        if index + 400 >= len(run):
            assert engine.digest() == whole.digest()


def test_a_loaded_snapshot_says_of_itself_what_the_engine_said() -> None:
    engine = Engine()
    for time_ms, command, _ in recorded(17):
        engine.apply(time_ms, command)
    loaded = load(dump(engine))
    plain = (int, bytes, tuple, set, bool)
    names = [name for name, value in vars(engine).items() if isinstance(value, plain)]
    assert "settled_withdrawal" in names
    for name in names:
        assert getattr(loaded, name) == getattr(engine, name), name
    assert loaded.open_orders() == engine.open_orders()
    assert loaded.unsettled() == engine.unsettled()
    assert loaded.pending_voids() == engine.pending_voids()
    assert loaded.markets() == engine.markets()
    for address, account in engine.accounts.items():
        assert loaded.balances(address) == engine.balances(address)
        again = loaded.account(address)
        for name in ("base", "bits", "blocked", "open_until", "exits", "invalidated"):
            assert getattr(again, name) == getattr(account, name), name


def test_l9_trade_and_withdrawal_numbers_have_no_gaps() -> None:
    events = [event for _, _, made in recorded(13) for event in made]
    trades = [one.number for one in events if isinstance(one, Traded)]
    assert trades == list(range(1, len(trades) + 1))
    withdrawals = [one.number for one in events if type(one).__name__ == "WithdrawalAccepted"]
    assert withdrawals == list(range(1, len(withdrawals) + 1))


def test_l6_no_fill_beyond_quantity_price_fee_cap_or_expiry() -> None:
    orders, filled, fees = {}, {}, (0, 0)
    for time_ms, command, events in recorded(14):
        if type(command).__name__ == "PlaceOrder":
            orders[command.order[:2]] = command.order  # type: ignore[union-attr]
        elif type(command).__name__ == "SetFees":
            fees = tuple(command)  # type: ignore[assignment]
        for one in events:
            if not isinstance(one, Traded):
                continue
            maker = orders[one.maker, one.maker_nonce]
            taker = orders[one.taker, one.taker_nonce]
            buyer, seller = (maker, taker) if taker.side else (taker, maker)
            assert seller.price <= one.price == maker.price <= buyer.price
            assert maker.trader != taker.trader
            for order, fee, bps in zip(
                (maker, taker), (one.maker_fee, one.taker_fee), fees, strict=True
            ):
                filled[order[:2]] = filled.get(order[:2], 0) + one.quantity
                assert filled[order[:2]] <= order.quantity
                assert time_ms // 1_000 <= order.expiry
                notional = one.quantity * one.price
                # L11: a fee is the floor of the venue's rate, and never above the order's cap.
                assert fee == fee_of(notional, bps) <= fee_of(notional, order.max_fee_bps)
    assert filled


def test_l11_every_amount_in_state_and_events_is_an_integer() -> None:
    run = recorded(15)
    for _, _, events in run:
        assert all(isinstance(value, int | bytes) for one in events for value in one)
    engine = Engine()
    for time_ms, command, _ in run:
        engine.apply(time_ms, command)
    assert any(type(engine.fees_collected(asset)) is int for asset in MONEY)


def test_what_has_ended_is_forgotten() -> None:
    """After everything is settled and has expired the state holds balances and nonces alone."""
    from backend.domain.commands import NoteSettlement, Tick

    run = recorded(16)
    engine = Engine()
    for time_ms, command, _ in run:
        engine.apply(time_ms, command)
    engine.apply(run[-1][0] + 10_000_000, Tick())
    place = (9_999, 0)
    engine.apply(
        engine.time_ms, NoteSettlement(*place, engine.next_trade - 1, engine.next_withdrawal - 1)
    )
    assert engine.open_orders() == []
    assert engine.unsettled() == ((), ())
    assert engine.pending_voids() == ()
    assert engine.due.items == {}
    assert all(not side.items for one in engine.markets_by_key.values() for side in one.sides)
    assert all(slot.reserved == 0 for a in engine.accounts.values() for slot in a.slots.values())
