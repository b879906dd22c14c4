"""What subscribers are told: books and own orders that follow the messages are the engine's."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from backend.domain.orders import Account, Side
from backend.errors import IndexInconsistent
from backend.exchange.market_data import (
    Depth,
    DepthBook,
    Fill,
    Level,
    LevelChange,
    OrderOver,
    OrderResting,
    Print,
    account_messages,
    as_json,
    public_messages,
    show_account,
    show_asset,
)
from backend.matching.engine import Engine
from tests.exchange.random_journal import CLASSES, MONEY, RandomJournal

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def journal() -> RandomJournal:
    made = RandomJournal(12)
    made.grow(900)
    return made


def test_after_every_entry_the_books_are_the_engines(journal: RandomJournal) -> None:
    engine, depth = Engine(), Depth()
    told = 0
    for entry, events in journal.answers:
        engine.apply(entry.time_ms, entry.command)
        messages = depth.apply(entry, events)
        for message in messages:
            if isinstance(message, Level):
                # Totals, so that a reader who missed one is right again after the next.
                levels = depth.book(message.instrument, message.asset).sides[message.side]
                assert levels.get(message.price, 0) == message.total
                told += 1
        changed = {(one.instrument, one.asset) for one in messages if isinstance(one, Level)}
        for market in changed:
            want = engine.depth(*market, 100)
            bids, asks = depth.book(*market).top(100)
            assert bids == [tuple(level[:2]) for level in want.bids]
            assert asks == [tuple(level[:2]) for level in want.asks]
    assert told > 300


def test_one_entry_tells_each_level_once_and_each_trade_once(journal: RandomJournal) -> None:
    numbers = []
    for entry, events in journal.answers:
        messages = public_messages(entry, events)
        levels = [one[1:5] for one in messages if isinstance(one, LevelChange)]
        assert len(levels) == len(set(levels))
        assert all(one.change for one in messages if isinstance(one, LevelChange))
        assert {one.seq for one in messages} <= {entry.seq}
        numbers += [one.number for one in messages if isinstance(one, Print)]
    assert numbers == list(range(1, journal.engine.next_trade))


def test_public_messages_name_no_account_and_no_nonce(journal: RandomJournal) -> None:
    accounts = {show_account(trader).lower() for trader in journal.traders}
    for entry, events in journal.answers:
        for message in public_messages(entry, events):
            shown = orjson.dumps(as_json(message)).decode().lower()
            assert not any(account in shown for account in accounts)
            assert "nonce" not in shown


def test_an_account_that_follows_its_messages_knows_its_open_orders(
    journal: RandomJournal,
) -> None:
    open_orders: dict[Account, dict[int, int]] = {trader: {} for trader in journal.traders}
    fills = 0
    for entry, events in journal.answers:
        for account, message in account_messages(entry, events):
            mine = open_orders[account]
            if isinstance(message, OrderResting):
                mine[message.nonce] = message.remaining
            elif isinstance(message, Fill):
                fills += 1
                if message.maker:
                    mine[message.nonce] -= message.quantity
            elif isinstance(message, OrderOver):
                mine.pop(message.nonce, None)
    assert fills == 2 * (journal.engine.next_trade - 1)
    for trader in journal.traders:
        assert open_orders[trader] == {
            one.order.nonce: one.remaining for one in journal.engine.open_orders(trader)
        }


def test_every_message_is_json_without_numbers(journal: RandomJournal) -> None:
    kinds = set()

    def check(value: Any) -> None:
        assert isinstance(value, str | bool), value

    for entry, events in journal.answers:
        own = [message for _, message in account_messages(entry, events)]
        for message in (*public_messages(entry, events), *own):
            shown = as_json(message)
            kinds.add(shown["type"])
            assert shown["seq"] == str(entry.seq)
            for value in shown.values():
                check(value)
            orjson.dumps(shown)
    assert kinds >= {
        "level_change", "trade", "voided", "settled", "halted", "resumed", "accepted", "resting",
        "fill", "ended", "refused", "nonce_used", "all_cancelled", "deposit", "withdrawal",
        "exit_started", "exit_ended",
    }  # fmt: skip


def test_names_stand_for_numbers_where_people_read() -> None:
    over = as_json(OrderOver(7, 3, CLASSES[0], MONEY[0], 1, 100, 5, 5))
    assert over == {
        "type": "ended",
        "seq": "7",
        "nonce": "3",
        "instrument": str(CLASSES[0]),
        "asset": show_asset(MONEY[0]),
        "side": "sell",
        "price": "100",
        "remaining": "5",
        "reason": "expired",
    }
    assert show_asset(CLASSES[0]) == str(CLASSES[0])
    assert show_asset(MONEY[0]).lower() == f"0x{MONEY[0]:040x}"


def test_an_entry_told_again_says_nothing_and_a_gap_is_an_error(journal: RandomJournal) -> None:
    depth = Depth()
    for entry, events in journal.answers[:200]:
        depth.apply(entry, events)
    before = {market: book.top(100) for market, book in depth.books.items()}
    for entry, events in journal.answers[:200]:
        assert depth.apply(entry, events) == []
    assert {market: book.top(100) for market, book in depth.books.items()} == before
    with pytest.raises(IndexInconsistent, match="1 are missing"):
        depth.apply(*journal.answers[201])


def test_a_level_never_falls_below_zero() -> None:
    book = DepthBook()
    assert book.add(Side.BUY, 100, 5) == 5
    assert book.add(Side.BUY, 100, -5) == 0
    assert book.sides == ({}, {})
    with pytest.raises(IndexInconsistent, match="left a level of 0"):
        book.add(Side.BUY, 100, -1)
