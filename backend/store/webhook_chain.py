"""What a range of chain blocks brought, as facts for webhooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, Table, select

from backend.domain.webhooks import Fact
from backend.store import tables
from backend.store.backing_tables import (
    class_flags,
    deliveries,
    delivery_changes,
    programme_events,
    reserves_reported,
)
from backend.store.exchange_tables import exchange_changes, exchange_exits
from backend.store.tables import certificates
from backend.store.webhook_certificates import status_changes

Place = tuple[int, int]


class Told(NamedTuple):
    """A fact as its table's row tells it, before it is given its place."""

    type: str
    account: str | None
    class_id: int | None
    data: Mapping[str, Any]


class Source(NamedTuple):
    """A table, the events (`Contract.Name`) that fill it, and what its rows tell."""

    events: frozenset[str]
    query: Select[Any]
    table: Table
    tell: Callable[[Row[Any]], Iterator[Told]]


def chain_facts(connection: Connection, after: int, upto: int) -> list[Fact]:
    """Facts of the chain blocks (after, upto], in the order of the chain."""
    events = tables.chain_events
    names = connection.execute(
        select(events.c.contract, events.c.name)
        .where(events.c.block_number > after, events.c.block_number <= upto)
        .distinct()
    )
    # Not every table can be asked by chain block quickly: only those that something filled are.
    happened = {f"{row.contract}.{row.name}" for row in names}
    found: list[tuple[Place, Fact]] = []
    for source in _SOURCES:
        if source.events & happened:
            found += _from(connection, source, after, upto)
    if _RECORDS & happened:
        for change in status_changes(connection, after, upto):
            at = (change.block_hash, change.timestamp)
            place = (change.block_number, change.log_index)
            for account in sorted({change.owner, change.holder}):
                told = Told(_STATUS, account, change.class_id, change.data)
                which = f"{change.data['certificate_id']}:{account}"
                found.append((place, _placed(told, place, at, which)))
    found.sort(key=lambda one: one[0])
    return [fact for _, fact in found]


def _from(
    connection: Connection, source: Source, after: int, upto: int
) -> Iterator[tuple[Place, Fact]]:
    blocks, number = tables.chain_blocks, source.table.c.block_number
    rows = connection.execute(
        source.query.add_columns(
            blocks.c.hash.label("at_hash"), blocks.c.timestamp.label("at_time")
        )
        .join(blocks, blocks.c.number == number)
        .where(number > after, number <= upto)
    )
    for row in rows:
        place = (row.block_number, row.log_index)
        for told in source.tell(row):
            which = f"{told.account}:{told.data.get('asset', '')}"
            yield place, _placed(told, place, (row.at_hash, row.at_time), which)


def _placed(told: Told, place: Place, at: tuple[str, int], which: str) -> Fact:
    number, log_index = place
    block_hash, timestamp = at
    data = {**told.data, "chain_block": number, "chain_block_hash": block_hash}
    key = f"{told.type}:{block_hash}:{log_index}:{which}"
    block = (number, block_hash)
    return Fact(key, told.type, timestamp, data, told.account, told.class_id, block)


# ── what rows tell ───────────────────────────────────────────────────────────────────────────


def _only(row: Row[Any], names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names.split()}


def _programme_event(row: Row[Any]) -> Iterator[Told]:
    names = "event_id class_id kind first_position tonnes subject reason as_of evidence_hash"
    data = _only(row, f"{names} detail transaction_hash")
    yield Told(f"class.{row.kind}", None, row.class_id, data)


def _flags(row: Row[Any]) -> Iterator[Told]:
    yield Told("class.flags", None, row.class_id, _only(row, "class_id flags"))


def _certificate(row: Row[Any]) -> Iterator[Told]:
    names = "certificate_id class_id owner holder kilograms details_hash transaction_hash"
    for account in sorted({row.owner, row.holder}):
        yield Told("certificate.issued", account, row.class_id, _only(row, names))


def _delivery(row: Row[Any]) -> Iterator[Told]:
    names = "delivery_id class_id first_position tonnes registry_account deadline"
    data = {"state": "requested", **_only(row, f"{names} transaction_hash")}
    yield Told("delivery.changed", row.holder, row.class_id, data)


def _delivery_phase(row: Row[Any]) -> Iterator[Told]:
    names = "delivery_id class_id reference expires_at second_deadline registry_date reason"
    data = {"state": row.act, **_only(row, f"{names} transaction_hash")}
    yield Told("delivery.changed", row.holder, row.class_id, data)


def _reserve(row: Row[Any]) -> Iterator[Told]:
    names = "sequence report_id as_of root tonnes liabilities_root liabilities_kilograms"
    data = _only(row, f"{names} evidence_hash transaction_hash")
    yield Told("reserve.reported", None, None, data)


def _settled(row: Row[Any]) -> Iterator[Told]:
    if row.claimable > 0:
        data = {"asset": row.asset, "amount": row.claimable}
        yield Told("withdrawal.credited", row.account, None, data)


def _exit(row: Row[Any]) -> Iterator[Told]:
    names = "asset state requested_at amount transaction_hash"
    yield Told("exit.changed", row.account, None, _only(row, names))


_STATUS: Final = "certificate.registry_status"
#: What may change the registry status of a certificate.
_RECORDS: Final = frozenset(
    f"RegistryRecords.{name}"
    for name in ("RegistryRetirementRecorded", "RegistryFailureRecorded", "MadeGoodRecorded")
)
_PROGRAMME: Final = frozenset(
    (
        *("ProgrammeEvents.ProgrammeEventPublished", "ProgrammeEvents.PositionsInvalidated"),
        *("ProgrammeEvents.PositionsSubstituted", "ProgrammeEvents.ConversionOpened"),
        "Gaps.DeliveryInvalidated",
    )
)
_PHASES: Final = frozenset(
    f"Deliveries.{name}"
    for name in (
        *("DeliveryBegun", "DeliveryDispatched", "DeliveryRejected", "DeliveryFinalised"),
        *("DeliveryRefunded", "DeliveryBreakRecorded", "DisputeCleared"),
    )
)
_SOURCES: Final = (
    Source(_PROGRAMME, select(programme_events), programme_events, _programme_event),
    Source(frozenset({"CarbonCredits.ClassFlagsSet"}), select(class_flags), class_flags, _flags),
    Source(
        frozenset({"CarbonCredits.CreditsRetired"}),
        select(certificates),
        certificates,
        _certificate,
    ),
    Source(frozenset({"Deliveries.DeliveryRequested"}), select(deliveries), deliveries, _delivery),
    Source(
        _PHASES,
        select(delivery_changes, deliveries.c.holder, deliveries.c.class_id).join(
            deliveries, deliveries.c.delivery_id == delivery_changes.c.delivery_id
        ),
        delivery_changes,
        _delivery_phase,
    ),
    Source(
        frozenset({"Reserve.ReserveReported"}),
        select(reserves_reported),
        reserves_reported,
        _reserve,
    ),
    Source(
        frozenset({"Exchange.BatchSettled"}),
        select(exchange_changes).where(exchange_changes.c.kind == "settlement"),
        exchange_changes,
        _settled,
    ),
    Source(
        frozenset(f"Exchange.Exit{name}" for name in ("Requested", "Cancelled", "Executed")),
        select(exchange_exits),
        exchange_exits,
        _exit,
    ),
)
