"""The read models of a venue equal the engine after any journal, in runs of any size."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest
from sqlalchemy import Connection, text

from backend.domain.orders import Side
from backend.domain.venue_events import Traded, TradesVoided
from backend.errors import JournalInconsistent
from backend.exchange.market_data import Depth
from backend.exchange.projector import Projector
from backend.store.database import Database
from backend.store.market_index import account_at, address_of, check_market, projected_seq
from backend.store.queries import market as market_queries
from tests.exchange.random_journal import CLASSES, MONEY, RandomJournal, store

pytestmark = pytest.mark.integration

VENUE = 1


def journalled(database: Database, seed: int, steps: int = 1_500) -> RandomJournal:
    journal = RandomJournal(seed)
    journal.grow(steps)
    with database.begin() as connection:
        store(connection, VENUE, journal.rows)
    return journal


def assert_flags_equal(connection: Connection, journal: RandomJournal) -> None:
    flagged = connection.execute(
        text("SELECT instrument, flags FROM venue_instruments WHERE flags <> 0")
    ).all()
    assert {int(row.instrument): row.flags for row in flagged} == journal.engine.class_flags


def assert_equal_to_engine(database: Database, journal: RandomJournal) -> None:
    """Balances, open orders, nonces, books, fees and numbers, all of them."""
    engine = journal.engine
    with database.read() as connection:
        held = connection.execute(
            text("SELECT account, asset, total, reserved FROM venue_balances WHERE total <> 0")
        ).all()
        assert {
            (account_at(row.account), int(row.asset)): (
                int(row.total - row.reserved),
                int(row.reserved),
            )
            for row in held
        } == {
            (trader, asset): balance
            for trader in journal.traders
            for asset, balance in engine.balances(trader).items()
        }
        resting = connection.execute(
            text("SELECT account, nonce, remaining FROM venue_orders WHERE state = 'open'")
        ).all()
        assert {(row.account, row.nonce): row.remaining for row in resting} == {
            (address_of(one.order.trader), one.order.nonce): one.remaining
            for one in engine.open_orders()
        }
        lowest = connection.execute(text("SELECT account, lowest_unused FROM venue_traders")).all()
        assert {row.account: row.lowest_unused for row in lowest} == {
            address_of(trader): engine.account(trader).base
            for trader in journal.traders
            if journal.nonces[trader]
        }
        standing = connection.execute(
            text(
                "SELECT number FROM venue_trades, venue_state"
                " WHERE voided_seq IS NULL AND number > settled_trade ORDER BY number"
            )
        ).scalars()
        assert list(standing) == [one.number for one in engine.unsettled_trades()]
        waiting = connection.execute(
            text(
                "SELECT number FROM venue_withdrawals, venue_state"
                " WHERE voided_seq IS NULL AND number > settled_withdrawal ORDER BY number"
            )
        ).scalars()
        assert list(waiting) == [one.number for one in engine.unsettled_withdrawals()]
        fees = connection.execute(
            text(
                "SELECT asset, sum(maker_fee + taker_fee) AS fees FROM venue_trades"
                " WHERE voided_seq IS NULL GROUP BY asset"
            )
        ).all()
        assert {int(row.asset): int(row.fees) for row in fees if row.fees} == {
            asset: engine.fees_collected(asset) for asset in MONEY if engine.fees_collected(asset)
        }
        assert_flags_equal(connection, journal)
        head = market_queries.venue_head(connection, VENUE)
        assert head.seq == len(journal.rows)
        for instrument in CLASSES:
            for asset in MONEY:
                book = market_queries.get_book(connection, head, instrument, asset, 1_000)
                depth = engine.depth(instrument, asset, 1_000)
                assert [(one.price, one.tonnes) for one in book.bids] == [
                    tuple(level[:2]) for level in depth.bids
                ]
                assert [(one.price, one.tonnes) for one in book.asks] == [
                    tuple(level[:2]) for level in depth.asks
                ]
        check_market(connection, VENUE)


@pytest.mark.parametrize("seed", range(4))
def test_after_a_random_journal_the_read_models_equal_the_engine(
    database: Database, seed: int
) -> None:
    journal = journalled(database, seed)
    kinds = {type(event).__name__ for _, events in journal.answers for event in events}
    assert {"Traded", "TradesVoided", "ExitEnded", "WithdrawalAccepted", "TradesSettled"} <= kinds
    Projector(database, VENUE).catch_up()
    assert_equal_to_engine(database, journal)


def test_runs_of_any_size_make_the_same_tables(database: Database) -> None:
    journal = journalled(database, 11, 500)
    dumps = []
    for size in (1, 7, 100_000):
        projector = Projector(database, VENUE, run_entries=size)
        projector.rebuild()
        assert_equal_to_engine(database, journal)
        dumps.append(_dump(database))
    assert dumps[0] == dumps[1] == dumps[2]


def _dump(database: Database) -> dict[str, list[tuple[object, ...]]]:
    names = (
        "venue_state",
        "venue_assets",
        "venue_instruments",
        "venue_markets",
        "venue_orders",
        "venue_trades",
        "venue_balances",
        "venue_movements",
        "venue_deposits",
        "venue_withdrawals",
        "venue_exits",
        "venue_candles",
    )
    with database.read() as connection:
        return {
            name: sorted(
                (tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))), key=repr
            )
            for name in names
        }


def test_projectors_that_run_at_once_take_turns(database: Database) -> None:
    journal = journalled(database, 5, 800)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            Projector(database, VENUE, run_entries=23).catch_up()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    Projector(database, VENUE).catch_up()
    assert_equal_to_engine(database, journal)


def test_a_run_that_cannot_follow_leaves_nothing_behind(database: Database) -> None:
    journal = RandomJournal(3)
    journal.grow(200)
    gap = [row for row in journal.rows if row.seq != 150]
    with database.begin() as connection:
        store(connection, VENUE, gap)
    projector = Projector(database, VENUE, run_entries=100)
    assert projector.advance() == 100
    before = _dump(database)
    with pytest.raises(JournalInconsistent, match=r"entry 151 .* came after 149"):
        projector.advance()
    assert _dump(database) == before
    with database.begin() as connection:
        store(connection, VENUE, [journal.rows[149]])
    projector.catch_up()
    assert_equal_to_engine(database, journal)


def test_every_statement_line_follows_from_the_one_before(database: Database) -> None:
    journalled(database, 21)
    Projector(database, VENUE).catch_up()
    with database.read() as connection:
        lines = connection.execute(
            text("SELECT * FROM venue_movements ORDER BY account, seq, ordinal")
        ).all()
        totals = connection.execute(text("SELECT account, asset, total FROM venue_balances")).all()
    running: dict[tuple[str, int], int] = defaultdict(int)
    for line in lines:
        running[line.account, line.asset] += line.change
        assert running[line.account, line.asset] == line.balance >= 0
    assert {(row.account, row.asset): row.total for row in totals if row.total} == {
        key: total for key, total in running.items() if total
    }


@pytest.mark.parametrize("size", [40, 100_000])
def test_candles_are_what_the_standing_trades_make(database: Database, size: int) -> None:
    journal = journalled(database, 13)
    Projector(database, VENUE, run_entries=size).catch_up()
    undone = {
        number
        for _, events in journal.answers
        for event in events
        if isinstance(event, TradesVoided)
        for number in range(event.first, event.last + 1)
    }
    want: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
    for entry, events in journal.answers:
        for event in events:
            if isinstance(event, Traded) and event.number not in undone:
                for seconds in (60, 3_600, 86_400):
                    start = entry.time_ms // 1_000 // seconds * seconds
                    key = (event.instrument, event.asset, seconds, start)
                    want[key].append((event.price, event.quantity))
    assert undone
    with database.read() as connection:
        rows = connection.execute(text("SELECT * FROM venue_candles")).all()
    assert {tuple(map(int, row[1:5])): tuple(map(int, row[5:])) for row in rows} == {
        key: (
            trades[0][0],
            max(price for price, _ in trades),
            min(price for price, _ in trades),
            trades[-1][0],
            len(trades),
            sum(tonnes for _, tonnes in trades),
            sum(price * tonnes for price, tonnes in trades),
        )
        for key, trades in want.items()
    }


def test_a_tampered_balance_breaks_the_check(database: Database) -> None:
    journalled(database, 2, 300)
    Projector(database, VENUE).catch_up()
    with database.begin() as connection:
        check_market(connection, VENUE)
        connection.execute(
            text(
                "UPDATE venue_balances SET total = total + 1 WHERE (account, asset) ="
                " (SELECT account, asset FROM venue_balances ORDER BY 1, 2 LIMIT 1)"
            )
        )
        with pytest.raises(JournalInconsistent, match="L7"):
            check_market(connection, VENUE)


def test_books_seeded_in_the_middle_end_where_the_engine_ends(database: Database) -> None:
    journal = journalled(database, 8, 900)
    projector = Projector(database, VENUE, run_entries=300)
    projector.advance()
    projector.advance()
    with database.read() as connection:
        seq = projected_seq(connection, VENUE)
        depth = Depth(seq, market_queries.all_levels(connection, VENUE))
    for entry, events in journal.answers[seq - 50 :]:
        # Entries that the seed knows already are told again and change nothing.
        depth.apply(entry, events)
    for instrument in CLASSES:
        for asset in MONEY:
            want = journal.engine.depth(instrument, asset, 1_000)
            bids, asks = depth.book(instrument, asset).top(1_000)
            assert bids == [tuple(level[:2]) for level in want.bids]
            assert asks == [tuple(level[:2]) for level in want.asks]
            crossed = bids and asks and bids[0][0] >= asks[0][0]
            assert not crossed
    assert {Side.BUY, Side.SELL} == {
        side for book in depth.books.values() for side in Side if book.sides[side]
    }
