"""Both directions of a trace: serial → certificate, certificate → registry rows, wallet → both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from backend.domain.gaps import Gaps
from backend.domain.programme_events import GapKind
from backend.domain.serials import Series
from backend.domain.units import MAX_SERIAL
from backend.errors import InvalidValue, NotFound
from backend.store import backing_tables, tables
from backend.store.queries.accounts import (
    Account,
    Holder,
    Holding,
    Movement,
    get_account,
    holders_of,
    holdings_of,
    movements_of,
)
from backend.store.queries.assignment import Span
from backend.store.queries.certificates import (
    Certificate,
    Retirement,
    consumers_of,
    get_certificate,
    list_retirements,
)
from backend.store.queries.classes import ClassSummary, get_class
from backend.store.queries.confirmed import Confirmation, confirmations_within
from backend.store.queries.deliveries import OPEN_STATES, Delivery, deliveries_at
from backend.store.queries.placements import (
    DELIVERED,
    REPLACED,
    STANDS,
    VOID,
    Placement,
    placements_of,
)
from backend.store.queries.reading import ChainHead, Page
from backend.store.queries.receipts import (
    ReceiptSummary,
    list_receipts,
    receipts_by_id,
)
from backend.store.queries.register import held_on_chain
from backend.store.queries.registry import RegistryBlock, blocks_holding
from backend.store.queries.registry_status import (
    CONFIRMED,
    MADE_GOOD,
    RegistryEntry,
    entry_of,
    exceptions_within,
)
from backend.store.queries.shortfalls import gaps_of

#: A trace names at most this many holders of the class and registry rows.
MOST_HOLDERS = 10


@dataclass(frozen=True, slots=True)
class SerialTrace:
    """Everything that is known of one serial number.

    `state`: not in trust (the registry's rows are all there is), in custody (a receipt that is
    not minted names it), made good (retired for positions whose own serials could not be), live (a
    token stands on it), open (its tonne is partly retired), retired (no kilogram is left), retired
    and confirmed, retired and made good, in delivery, delivered (it may be deposited again),
    invalidated, disputed, converted. `placements` are all its places, the newest last: the other
    fields speak of that. `history` is what the registry did for its tonne.
    """

    series: str
    number: int
    state: str
    registry: tuple[RegistryBlock, ...]
    receipt: ReceiptSummary | None
    credit_class: ClassSummary | None
    minted_position: int | None
    position: int | None
    retirements: tuple[Retirement, ...]
    retired_kilograms: int
    confirmation: Confirmation | None
    holders: tuple[Holder, ...]
    placements: tuple[Placement, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    history: tuple[RegistryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateTrace:
    """A certificate, the receipts its serials came by, the registry's rows they lie in."""

    certificate: Certificate
    receipts: tuple[ReceiptSummary, ...]
    registry: tuple[RegistryBlock, ...]


@dataclass(frozen=True, slots=True)
class WalletTrace:
    """What a wallet holds, has retired, received against receipts, and its newest movements."""

    account: Account
    holdings: Page[Holding]
    retirements: Page[Retirement]
    receipts: Page[ReceiptSummary]
    movements: Page[Movement]


def resolve_series(connection: Connection, text: str) -> Series:
    """A series by its name (`VCS:2`) or its hash on chain; raises InvalidValue or NotFound."""
    if not text.startswith("0x"):
        return Series.parse(text)
    table = tables.series
    name = connection.execute(select(table.c.name).where(table.c.hash == text.lower())).scalar()
    if name is None:
        raise NotFound(f"no series has the hash {text}", series=text)
    return Series.parse(name)


def trace_serial(connection: Connection, series: Series, number: int) -> SerialTrace:
    """One serial from the registry's rows to the certificates; raises NotFound if none knows it."""
    if not 1 <= number <= MAX_SERIAL:
        raise InvalidValue("number", number, "is outside 1 … 2^63 − 2")
    name = str(series)
    registry = tuple(blocks_holding(connection, [(name, number, number)]))
    placements = tuple(placements_of(connection, name, number))
    if not placements:
        return _not_minted(connection, series, number, registry)
    gaps = gaps_of(connection, {one.class_id for one in placements})
    newest, gap = _newest(placements, gaps)
    class_id, position = newest.class_id, newest.position
    credit_class = get_class(connection, class_id)
    retirements: tuple[Retirement, ...] = ()
    confirmation, history, retired = None, [], 0
    if position is not None and newest.outcome == STANDS:
        span = Span(class_id, position, position + 1)
        retirements = tuple(consumers_of(connection, class_id, position))
        retired = _retired_at(retirements, position)
        confirmation = next(iter(confirmations_within(connection, [span])[0]), None)
        history = [*([entry_of(confirmation)] if confirmation else []),
                   *exceptions_within(connection, [span])[0]]  # fmt: skip
    met = _deliveries_met(connection, placements)
    live = newest.outcome == STANDS and retired < 1000
    held = holders_of(connection, class_id, limit=MOST_HOLDERS).items if live else ()
    return SerialTrace(
        series=name,
        number=number,
        state=_state(newest, gap, retired, history, met),
        registry=registry,
        receipt=next(iter(receipts_by_id(connection, [newest.receipt_id])), None),
        credit_class=credit_class,
        minted_position=newest.first_position,
        position=position,
        retirements=retirements,
        retired_kilograms=retired,
        confirmation=confirmation,
        holders=tuple(holder for holder in held if holder.kilograms),
        placements=placements,
        deliveries=met,
        history=tuple(history),
    )


def _retired_at(retirements: Iterable[Retirement], position: int) -> int:
    """Kilograms of the tonne at a position that were retired."""
    return sum(
        1000 if piece.kind == "whole" else piece.kilograms
        for retirement in retirements
        for piece in retirement.consumed
        if piece.span.first <= position < piece.span.end
    )


def _deliveries_met(
    connection: Connection, placements: Iterable[Placement]
) -> tuple[Delivery, ...]:
    """The deliveries that named the serial, at any of its places, oldest first."""
    found = {
        delivery.delivery_id: delivery
        for one in placements
        if one.position is not None and one.outcome == DELIVERED
        for delivery in deliveries_at(connection, one.class_id, one.position)
    }
    return tuple(found[key] for key in sorted(found))


def _newest(placements: Sequence[Placement], gaps: Mapping[int, Gaps]) -> tuple[Placement, GapKind]:
    """The place that counts, and the gap that it lies in.

    A serial that became another class stands there; its gap in the old class is passed from
    place to place all the same, and says nothing new.
    """
    found: list[tuple[Placement, GapKind]] = []
    for one in placements:
        kind = GapKind.NONE
        if one.outcome == STANDS and one.position is not None:
            for gap in gaps[one.class_id].within(one.position, one.position + 1):
                kind = gap.kind
        found.append((one, kind))
    counting = [
        (one, kind) for one, kind in found if one.outcome != VOID and kind is not GapKind.CONVERTING
    ]
    return (counting or found)[-1]


def _state(
    newest: Placement,
    gap: GapKind,
    retired: int,
    history: Sequence[RegistryEntry],
    met: Sequence[Delivery],
) -> str:
    if newest.outcome == REPLACED:
        return "invalidated"
    if newest.outcome == DELIVERED:
        return "in delivery" if met and met[-1].state in OPEN_STATES else "delivered"
    if retired >= 1000:
        kinds = {entry.kind for entry in history}
        if MADE_GOOD in kinds:
            return "retired and made good"
        return "retired and confirmed" if CONFIRMED in kinds else "retired"
    if gap is not GapKind.NONE:
        return "converted" if gap is GapKind.CONVERTING else gap.name.lower()
    return "open" if retired else "live"


def _not_minted(
    connection: Connection, series: Series, number: int, registry: tuple[RegistryBlock, ...]
) -> SerialTrace:
    held, known = tables.custody_blocks, tables.series
    series_id = connection.execute(select(known.c.id).where(known.c.name == str(series))).scalar()
    on_chain = []
    receipt_id = None
    if series_id is not None:
        on_chain = held_on_chain(connection, series_id, number, number)
        receipt_id = connection.execute(
            select(held.c.receipt_id).where(
                held.c.series_id == series_id, held.c.block.op("@>")(func.int8(number))
            )
        ).scalar()
    if receipt_id is None and not registry and not on_chain:
        raise NotFound(
            f"no import and no receipt names {series}/{number}",
            series=str(series),
            number=str(number),
        )
    receipts = receipts_by_id(connection, [receipt_id] if receipt_id else [])
    return SerialTrace(
        series=str(series),
        number=number,
        state="made good" if on_chain else "in custody" if receipt_id else "not in trust",
        registry=registry,
        receipt=next(iter(receipts), None),
        credit_class=None,
        minted_position=None,
        position=None,
        retirements=(),
        retired_kilograms=0,
        confirmation=None,
        holders=(),
        history=tuple(_made_good_by(connection, on_chain[0].origin)) if on_chain else (),
    )


def _made_good_by(connection: Connection, made_good_id: str) -> list[RegistryEntry]:
    """The record for which serials of no position were retired."""
    table = backing_tables.made_good
    row = connection.execute(select(table).where(table.c.made_good_id == made_good_id)).first()
    if row is None:
        return []
    span = Span(row.class_id, row.first_position, row.first_position + row.tonnes)
    found = exceptions_within(connection, [span])[0]
    return [entry for entry in found if entry.entry_id == made_good_id]


def trace_certificate(connection: Connection, certificate_id: int) -> CertificateTrace:
    """A certificate back to the registry's rows; raises NotFound. A fixed number of queries."""
    certificate = get_certificate(connection, certificate_id)
    runs = [run for piece in certificate.pieces for run in piece.serials]
    receipts = receipts_by_id(connection, _once(run.receipt_id for run in runs))
    registry = blocks_holding(connection, [(run.series, run.first, run.last) for run in runs])
    return CertificateTrace(certificate, tuple(receipts), tuple(registry))


def trace_wallet(
    connection: Connection, address: str, head: ChainHead, limit: int = 50
) -> WalletTrace:
    """The first page of everything a wallet did and has."""
    return WalletTrace(
        account=get_account(connection, address, head),
        holdings=holdings_of(connection, address, limit=limit),
        retirements=list_retirements(connection, account=address, limit=limit),
        receipts=list_receipts(connection, recipient=address, limit=limit),
        movements=movements_of(connection, address, limit=limit),
    )


def _once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
