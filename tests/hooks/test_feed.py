"""Every fact becomes one event at each endpoint that wants it, and none at the others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from backend.domain.serials import Interval, Series
from backend.domain.venue_events import (
    DepositCredited,
    Traded,
    TradesVoided,
    WithdrawalAccepted,
)
from backend.exchange.projector import Projector
from backend.store import index, webhooks
from backend.store.breaks import Breaks
from backend.store.database import Database
from backend.store.market_index import address_of
from backend.store.webhook_feed import Collector
from backend.store.webhook_tables import webhook_events
from tests.api.backing_history import BackingHistory
from tests.api.history import History, address, make_class
from tests.exchange.random_journal import RandomJournal, store

pytestmark = pytest.mark.integration

HOLDER, OTHER = address(1), address(2)
VCS = Series("VCS", (2,))


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    made = Database(migrated_url)
    yield made
    made.close()


def endpoint(database: Database, account: str, *types: str, classes: tuple[int, ...] = ()) -> str:
    with database.begin() as connection:
        url = "https://hooks.example.com/"
        return webhooks.add_endpoint(connection, account, url, types or ("*",), classes)[0].id


def told(database: Database, name: str) -> list[dict[str, Any]]:
    """The endpoint's events in their order, numbered without a gap."""
    table = webhook_events
    query = select(table.c.sequence, table.c.body).where(table.c.endpoint == name)
    with database.read() as connection:
        rows = connection.execute(query.order_by(table.c.sequence)).all()
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    return [orjson.loads(row.body) for row in rows]


def types_of(events: list[dict[str, Any]]) -> list[str]:
    return [one["type"] for one in events]


def test_final_facts_of_the_chain_are_told_once_to_whom_they_concern(database: Database) -> None:
    history = BackingHistory(database)
    for account in (HOLDER, OTHER):
        history.admit(account)
    made = make_class(1, ())
    class_id = made.token_id
    history.mint(made, HOLDER, [history.lot(VCS, 20)])
    history.save()
    collector = Collector(database, confirmations=2)
    collector.collect()
    holder, other = endpoint(database, HOLDER), endpoint(database, OTHER)
    elsewhere = endpoint(database, OTHER, "class.*", "reserve.reported", classes=(5,))
    certificate = history.retire(HOLDER, class_id, 2_500, owner=OTHER)
    first = history.classes[class_id].serials[0][1]
    history.confirm(class_id, 0, [Interval(VCS, first, first)])
    history.fail(class_id, 1, 1)
    delivery = history.request(HOLDER, class_id, 3)
    assert delivery is not None
    history.act(delivery, "begin")
    history.report()
    history.emit("CarbonCredits", "ClassFlagsSet", id=class_id, flags=1)
    history.save()
    collector.collect()
    wanted = ["certificate.issued", "certificate.registry_status", "certificate.registry_status"]
    wanted += ["delivery.changed", "delivery.changed", "reserve.reported", "class.flags"]
    # The newest two chain blocks may still be taken back.
    seen = types_of(told(database, holder))
    assert seen == wanted[: len(seen)]
    assert len(seen) < len(wanted)
    history.next_block()
    history.next_block()
    history.save()
    assert collector.collect() > 0
    assert collector.collect() == 0
    events = told(database, holder)
    assert types_of(events) == wanted
    assert events[0]["data"]["certificate_id"] == str(certificate)
    statuses = [(e["data"]["status"], e["data"]["confirmed_kilograms"]) for e in events[1:3]]
    assert statuses == [("partly confirmed", "1000"), ("failed", "1000")]
    assert [one["data"]["state"] for one in events[3:5]] == ["requested", "begun"]
    # The owner of the certificate hears of it, not of the holder's delivery.
    assert types_of(told(database, other)) == [*wanted[:3], *wanted[5:]]
    assert types_of(told(database, elsewhere)) == ["reserve.reported"]


def test_what_the_chain_takes_back_is_retracted_and_what_replaced_it_is_told(
    database: Database,
) -> None:
    history = History(database)
    history.admit(HOLDER)
    made = make_class(1, ())
    history.mint(made, HOLDER, [history.lot(VCS, 20)])
    history.save()
    collector = Collector(database, confirmations=0)
    collector.collect()
    name = endpoint(database, HOLDER)
    history.retire(HOLDER, made.token_id, 1_000)
    history.save()
    collector.collect()
    kept = history.block - 1
    # A fork: the chain blocks above come back with other hashes, and with one retirement only.
    history.retire(HOLDER, made.token_id, 2_000)
    history.save()
    collector.collect()
    with database.begin() as connection:
        index.rewind(connection, kept, f"0x{'00' * 32}")
    assert collector.collect() == 1
    collector.collect()
    with database.begin() as connection:
        state = index.load_state(connection)
        assert state is not None
        moved = [event._replace(block_hash="0x" + "f0" * 32) for event in history.saved
                 if event.block_number == kept + 1]  # fmt: skip
        header = history.header(kept + 1)
        header = header._replace(header=header.header._replace(hash="0x" + "f0" * 32))
        index.append(connection, state, [header], moved, (), {})
    collector.collect()
    events = told(database, name)
    issued, retracted = "certificate.issued", "event.retracted"
    assert types_of(events) == [issued, issued, retracted, issued]
    assert events[2]["data"]["event"] == events[1]["id"]
    assert events[3]["data"]["certificate_id"] == events[1]["data"]["certificate_id"]
    assert events[3]["data"]["chain_block_hash"] == "0x" + "f0" * 32


def test_journal_facts_are_those_of_the_engine_account_by_account(database: Database) -> None:
    journal = RandomJournal(7, traders=4)
    journal.grow(900)
    with database.begin() as connection:
        store(connection, 1, journal.rows[:20])
    Projector(database, 1).catch_up()
    collector = Collector(database, confirmations=0)
    collector.collect()
    names = {trader: endpoint(database, address_of(trader)) for trader in journal.traders[:3]}
    with database.begin() as connection:
        store(connection, 1, journal.rows[20:])
    projector = Projector(database, 1, run_entries=200)
    while projector.advance() < len(journal.rows):
        collector.collect()
    collector.collect()
    expected = expected_of(journal, 20)
    assert {"trade.executed", "trade.voided", "deposit.credited", "withdrawal.accepted"} <= {
        kind for _, kind, _ in expected
    }
    for trader, name in names.items():
        events = told(database, name)
        seen = Counter((one["type"], number_of(one["data"])) for one in events)
        wanted = Counter({key[1:]: count for key, count in expected.items() if key[0] == trader})
        assert seen == wanted
        seqs = [int(one["data"]["seq"]) for one in events if one["data"].get("seq")]
        assert len(events) == len(seqs)


def number_of(data: dict[str, Any]) -> int:
    return int(data.get("trade") or data.get("deposit") or data["withdrawal"])


def expected_of(journal: RandomJournal, after: int) -> Counter[tuple[Any, str, int]]:
    """Facts of the entries after a seq by (account, type, number), from the engine's own events."""
    trades: dict[int, Traded] = {}
    withdrawals: dict[int, WithdrawalAccepted] = {}
    voided: set[tuple[str, int]] = set()
    found: Counter[tuple[Any, str, int]] = Counter()
    for entry, events in journal.answers:
        count = int(entry.seq > after)
        for event in events:
            if isinstance(event, Traded):
                trades[event.number] = event
                for side in (event.maker, event.taker):
                    found[side, "trade.executed", event.number] += count
            elif isinstance(event, DepositCredited):
                found[event.account, "deposit.credited", event.deposit_id] += count
            elif isinstance(event, WithdrawalAccepted):
                withdrawals[event.number] = event
                found[event.account, "withdrawal.accepted", event.number] += count
            elif isinstance(event, TradesVoided):
                for number in range(event.first, event.last + 1):
                    if number in trades and ("trade", number) not in voided:
                        voided.add(("trade", number))
                        for side in (trades[number].maker, trades[number].taker):
                            found[side, "trade.voided", number] += count
                for number in range(event.first_withdrawal, event.last_withdrawal + 1):
                    if number in withdrawals and ("withdrawal", number) not in voided:
                        voided.add(("withdrawal", number))
                        found[withdrawals[number].account, "withdrawal.voided", number] += count
    return +found


def test_breaks_are_told_when_found_and_when_resolved(database: Database) -> None:
    collector = Collector(database, confirmations=0)
    breaks = Breaks(database)
    breaks.report("before", "shortfall", "nobody listens", {})
    collector.collect()
    name = endpoint(database, HOLDER, "break.*")
    found = breaks.report("k", "shortfall", "1 t is missing", {}, class_id=7)
    breaks.report("k", "shortfall", "1 t is missing", {}, class_id=7)
    collector.collect()
    breaks.resolve(found.number, "it came")
    breaks.resolve(found.number, "it came")
    collector.collect()
    events = told(database, name)
    assert types_of(events) == ["break.found", "break.resolved"]
    assert events[0]["data"]["class_id"] == "7"
    assert events[1]["data"]["resolution"] == "it came"


def test_collectors_at_the_same_time_make_each_event_once(database: Database) -> None:
    history = History(database)
    history.admit(HOLDER)
    made = make_class(1, ())
    history.mint(made, HOLDER, [history.lot(VCS, 40)])
    history.save()
    Collector(database, 0).collect()
    name = endpoint(database, HOLDER)
    for _ in range(20):
        history.retire(HOLDER, made.token_id, 1_000)
    history.save()
    made_by: list[int] = []
    threads = [
        threading.Thread(target=lambda: made_by.append(Collector(database, 0).collect()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made_by) == len(told(database, name)) == 20
