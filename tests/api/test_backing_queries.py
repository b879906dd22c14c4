"""Deliveries, gaps, substitutes and records against the naive twin, for random pasts."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from backend.domain.custody import Receipt
from backend.domain.records import Settled
from backend.domain.serials import Interval, Series
from backend.errors import NotEnough, SerialsOverlap
from backend.store import index
from backend.store.custody import Custody
from backend.store.database import Connection, Database
from backend.store.queries import certificates, classes, deliveries, lookup, shortfalls, tracing
from backend.store.queries.register import held_on_chain, registered_below
from backend.store.queries.upcoming import consumption
from tests.api.backing_history import BackingHistory, RandomBacking
from tests.api.history import CHAIN_ID, NaiveCertificate, address, make_class

pytestmark = pytest.mark.integration

SEEDS = range(3)


def past(database: Database, seed: int, steps: int = 90) -> BackingHistory:
    history = BackingHistory(database)
    RandomBacking(history, seed).grow(steps)
    return history


@pytest.mark.parametrize("seed", SEEDS)
def test_l1_l2_counters_register_pieces_and_gaps_equal_the_twin(
    database: Database, seed: int
) -> None:
    history = past(database, seed)
    with database.begin() as connection:
        index.check_conservation(connection)
        for class_id, made in history.classes.items():
            found = classes.get_class(connection, class_id)
            assert found.positions.supply_kilograms == sum(made.left)
            retired = sum(n for (_, of), n in history.retired.items() if of == class_id)
            assert found.retired_kilograms == retired
            pieces = lookup.position_map(connection, class_id)
            assert pieces.settled == made.pieces.settled
            assert list(pieces.pieces(0, pieces.minted)) == list(
                made.pieces.pieces(0, made.pieces.minted)
            )
            standing = {
                run.position + step: (run.series, run.first + step, run.receipt_id)
                for block in classes.class_blocks(connection, class_id, limit=500).items
                for run in block.serials
                for step in range(run.tonnes)
            }
            assert {at: one[:2] for at, one in standing.items()} == dict(enumerate(made.serials))
            gaps = shortfalls.shortfalls_of(connection, [class_id])[class_id]
            twin = history.gaps[class_id]
            assert [(one.first, one.tonnes) for one in gaps.gaps] == [
                (one.first, one.tonnes) for one in twin
            ]
            assert gaps.locked_kilograms == history.locked[class_id]
            assert gaps.uncovered == twin.uncovered - history.locked[class_id] // 1000
            assert gaps.flags == history.flags(class_id)
        _check_register(connection, history)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_can_be_retired_before_a_gap_is_said_in_kilograms(
    database: Database, seed: int
) -> None:
    history, stopped = past(database, seed), 0
    with database.read() as connection:
        for class_id, made in history.classes.items():
            for tonnes in range(1, sum(made.left) // 1_000 + 1):
                try:
                    consumption(connection, class_id, tonnes * 1_000)
                except NotEnough as error:
                    stopped += 1
                    values = error.values
                else:
                    continue
                assert values["asked"] == tonnes * 1_000
                if there := values["available"]:
                    consumption(connection, class_id, there)
                with pytest.raises(NotEnough):
                    consumption(connection, class_id, there + 1)
    assert stopped


def _check_register(connection: Connection, history: BackingHistory) -> None:
    for row in connection.execute(text("SELECT id, name FROM series")):
        mine = {number for name, number in history.register if name == row.name}
        held = held_on_chain(connection, row.id, 1, 10_000)
        assert {n for one in held for n in range(one.first, one.last + 1)} == mine
        for one in held:
            for number in (one.first, one.last):
                assert one.origin == history.origins[row.name, number]
        series = Series.parse(row.name)
        for number in range(1, max(mine, default=1) + 2):
            # A hint has to be where an interval of the register begins.
            hint = registered_below(connection, series, number)
            assert hint == 0 or (hint in mine and hint < number)
            assert hint or not [one for one in mine if one < number]


@pytest.mark.parametrize("seed", SEEDS)
def test_l4_certificates_show_serials_and_registry_status_of_the_twin(
    database: Database, seed: int
) -> None:
    history = past(database, seed)
    with database.read() as connection:
        for class_id, made in history.classes.items():
            for naive in made.certificates:
                found = certificates.get_certificate(connection, naive.certificate_id)
                now = {
                    run.position + step: (run.series, run.first + step)
                    for piece in found.pieces
                    for run in piece.serials
                    for step in range(run.tonnes)
                }
                assert now == {position: made.serials[position] for position in naive.taken}
                status = _status(history, class_id, naive)
                assert found.retirement.status == status
                listed = certificates.list_retirements(connection, class_id=class_id, limit=200)
                assert found.retirement in listed.items


def _status(history: BackingHistory, class_id: int, naive: NaiveCertificate) -> str:
    kinds = {position: history.settled.get((class_id, position)) for position in naive.taken}
    if None not in kinds.values():
        return "made good" if Settled.MADE_GOOD in kinds.values() else "confirmed"
    if any(kind is None and at in history.failed[class_id] for at, kind in kinds.items()):
        return "failed"
    return "partly confirmed" if set(kinds.values()) != {None} else "pending"


@pytest.mark.parametrize("seed", SEEDS)
def test_deliveries_stand_where_the_twin_has_them(database: Database, seed: int) -> None:
    history = past(database, seed, steps=140)
    assert len(history.deliveries) > 3
    with database.read() as connection:
        page = deliveries.list_deliveries(connection, limit=500)
        assert [one.delivery_id for one in page.items] == [
            one.delivery_id for one in reversed(history.deliveries)
        ]
        for naive in history.deliveries:
            found = deliveries.get_delivery(connection, naive.delivery_id)
            assert found.state == naive.state
            assert (found.first_position, found.tonnes) == (naive.first, naive.tonnes)
            assert found.refund_position == naive.refund
            assert [(found.series, n) for n in range(found.first, found.last + 1)] == naive.serials
        for state in deliveries.STATES:
            listed = deliveries.list_deliveries(connection, state=state, limit=500).items
            assert {one.delivery_id for one in listed} == {
                one.delivery_id for one in history.deliveries if one.state == state
            }
        assert [one.delivery_id for one in deliveries.open_deliveries(connection)] == [
            one.delivery_id for one in history.deliveries if one.state in deliveries.OPEN_STATES
        ]


@pytest.mark.parametrize("seed", [0, 2])
def test_a_serial_is_traced_through_delivery_refund_and_a_second_deposit(
    database: Database, seed: int
) -> None:
    history = past(database, seed, steps=110)
    states = set()
    with database.read() as connection:
        for name, number in sorted(history.origins)[::2]:
            found = tracing.trace_serial(connection, Series.parse(name), number)
            states.add(found.state)
            _check_trace(history, found, (name, number))
    assert "live" in states
    assert len(states) > 3


def _check_trace(
    history: BackingHistory, found: tracing.SerialTrace, serial: tuple[str, int]
) -> None:
    places = [
        (class_id, position)
        for class_id, made in history.classes.items()
        for position, one in enumerate(made.serials)
        if one == serial
    ]
    traced = [(one.class_id, one.position) for one in found.placements if one.position is not None]
    assert sorted(traced) == sorted(places)
    if found.position is None:
        return
    assert found.credit_class is not None
    made = history.classes[found.credit_class.class_id]
    key = (found.credit_class.class_id, found.position)
    if found.state in ("in delivery", "delivered"):
        delivery = next(one for one in reversed(history.deliveries) if serial in one.serials)
        assert found.deliveries[-1].delivery_id == delivery.delivery_id
        assert (found.state == "in delivery") == (delivery.state in deliveries.OPEN_STATES)
        return
    assert found.retired_kilograms == 1000 - made.left[found.position]
    assert (found.state == "retired and confirmed") == (
        history.settled.get(key) is Settled.CONFIRMED
    )


def test_l2_a_delivered_serial_may_be_held_by_another_receipt(database: Database) -> None:
    history = BackingHistory(database)
    made, holder = make_class(0), address(1)
    lot = history.lot(Series("VCS", (2,)), 10)
    first = history.mint(made, holder, [lot])
    delivery = history.request(holder, made.token_id, 4)
    assert delivery is not None
    for act in ("begin", "dispatch", "finalise"):
        history.act(delivery, act)
    history.save()
    history.import_blocks(made, [lot])
    history.custody(made, [lot], first, state="minted")
    custody = Custody(database)

    def receipt(low: int, high: int) -> Receipt:
        serials = Interval(lot.series, low, high)
        return Receipt(holder, made, bytes(32), (serials,), bytes([low]) * 32, bytes(32), 2**40)

    with pytest.raises(SerialsOverlap, match="on chain"):
        custody.draft(receipt(3, 5), CHAIN_ID, address(0xC5))
    held = custody.draft(receipt(2, 4), CHAIN_ID, address(0xC5))
    with pytest.raises(SerialsOverlap, match="in trust"):
        custody.draft(receipt(4, 4), CHAIN_ID, address(0xC5))
    with database.read() as connection:
        assert tracing.trace_serial(connection, lot.series, 1).state == "delivered"
        rows = connection.execute(
            text("SELECT lower(block), upper(block) - 1, receipt_id FROM custody_blocks ORDER BY 1")
        ).all()
        assert [tuple(row) for row in rows] == [(1, 1, first), (2, 4, held.id), (5, 10, first)]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_reorganisation_takes_every_row_back_and_the_same_events_bring_it_again(
    database: Database, seed: int
) -> None:
    history = past(database, seed, steps=60)
    with database.begin() as connection:
        whole = _contents(connection)
        last = index.load_state(connection)
        assert last is not None
        for to in (last.indexed_number // 2, 3):
            state = index.rewind(connection, to, f"0x{to}")
            for table in index.CHAIN_TABLES:
                above = connection.execute(
                    select(table).where(table.c.block_number > to).limit(1)
                ).first()
                assert above is None, table.name
            blocks = [history.header(n) for n in range(to + 1, last.indexed_number + 1)]
            again = [event for event in history.saved if event.block_number > to]
            index.append(connection, state, blocks, again)
            assert _contents(connection) == whole


def _contents(connection: Connection) -> dict[str, list[str]]:
    """Every row of the chain's tables but the raw events."""
    return {
        table.name: sorted(str(tuple(row)) for row in connection.execute(select(table)))
        for table in index.CHAIN_TABLES
        if table.name not in ("chain_transactions", "classes")
    }


def test_l3_shortfalls_and_events_are_listed(database: Database) -> None:
    history = past(database, 5)
    with database.read() as connection:
        short = {one.class_id: one for one in shortfalls.short_classes(connection)}
        assert set(short) == {
            class_id
            for class_id in history.classes
            if history.gaps[class_id].uncovered or history.flags(class_id)
        }
        for class_id in history.classes:
            named = shortfalls.list_programme_events(connection, class_id=class_id, limit=500)
            for event in named.items:
                assert event in shortfalls.events_of(connection, event.event_id)
