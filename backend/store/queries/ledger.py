"""Credits kept as a ledger only, as people look at them: who owns what, and what was retired."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from backend.domain.instructions import RetirementInstruction
from backend.domain.ledger import LedgerClass
from backend.domain.serials import Interval, merge
from backend.errors import InvalidValue, NotEnough, NotFound
from backend.store.bridge_tables import bridge_flows
from backend.store.ledger import LEDGER_RETIREMENT, Piece, as_piece
from backend.store.ledger_tables import (
    ledger_blocks,
    ledger_deposits,
    ledger_orders,
    ledger_retired,
)
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page
from backend.store.tables import series


@dataclass(frozen=True, slots=True)
class Kept:
    """Kept tonnes of one class in one account. `waiting`: asked of the registry, not yet retired.

    `owner`: None where owners are summed up; `serials`: of what is held, waiting included.
    """

    owner: str | None
    account: str
    programme: str
    project: str
    vintage_start: date
    vintage_end: date
    labels: tuple[str, ...]
    held: int
    waiting: int
    retired: int
    serials: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class RetiredPart:
    """One request to the registry, and what came of it; `serials` are the actual ones."""

    part: str
    state: str
    reason: str | None
    tonnes: int
    deadline: int | None
    registry_reference: str | None
    registry_date: date | None
    certificate_id: str | None
    serials: tuple[str, ...]
    exchanged: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LedgerRetirement:
    """An owner's order. `state`: pending, confirmed, partly-confirmed, failed, or broken.

    `instruction`: None where it is private and not shown; `asked`: the serials that were ordered.
    """

    reference: str
    programme: str
    account: str
    owner: str
    tonnes: int
    asked: tuple[str, ...]
    instruction: dict[str, Any] | None
    instruction_hash: str
    signature: str
    ordered_at: int
    state: str
    parts: tuple[RetiredPart, ...]


def pieces(
    connection: Connection,
    *,
    owner: str | None = None,
    account: str | None = None,
    programmes: Collection[str] | None = None,
) -> list[Piece]:
    """Every kept piece, by series and serial."""
    table = ledger_blocks
    query = select(table, series.c.name).join(series, series.c.id == table.c.series_id)
    for column, wanted in ((table.c.owner, owner), (table.c.account, account)):
        if wanted is not None:
            query = query.where(column == wanted)
    if programmes is not None:
        query = query.where(table.c.programme.in_(programmes))
    return [as_piece(row) for row in connection.execute(query.order_by(series.c.name, "block"))]


def holdings(
    connection: Connection,
    *,
    owner: str | None = None,
    programmes: Collection[str] | None = None,
    by_owner: bool = True,
) -> list[Kept]:
    """What is kept per owner, account and class; `by_owner` False: per account and class."""
    grouped: dict[tuple[str, str, LedgerClass], list[Piece]] = {}
    for piece in pieces(connection, owner=owner, programmes=programmes):
        key = (piece.owner if by_owner else "", piece.account, piece.kept_class)
        grouped.setdefault(key, []).append(piece)
    return [_kept(*key, found) for key, found in sorted(grouped.items())]


def _kept(owner: str, account: str, kept: LedgerClass, found: Sequence[Piece]) -> Kept:
    def tonnes(*wanted: tuple[bool, bool]) -> int:
        states = [(piece.retired, piece.part is not None) for piece in found]
        return sum(
            piece.serials.tonnes
            for piece, state in zip(found, states, strict=True)
            if state in wanted
        )

    return Kept(
        owner or None,
        account,
        kept.programme,
        kept.project,
        kept.vintage_start,
        kept.vintage_end,
        kept.labels,
        held=tonnes((False, False), (False, True)),
        waiting=tonnes((False, True)),
        retired=tonnes((True, True)),
        serials=tuple(merge(piece.serials for piece in found if not piece.retired)),
    )


def choose(
    connection: Connection,
    owner: str,
    account: str,
    tonnes: int,
    project: str | None = None,
    vintage: int | None = None,
) -> list[Interval]:
    """Serials of an owner that nothing asks for yet, the lowest of one class first.

    Raises InvalidValue naming the classes when several fit, NotEnough when there are fewer.
    """
    free: dict[LedgerClass, list[Interval]] = {}
    for piece in pieces(connection, owner=owner, account=account):
        kept = piece.kept_class
        fits = project in (None, kept.project) and (
            vintage is None or kept.vintage_start.year <= vintage <= kept.vintage_end.year
        )
        if fits and piece.part is None:
            free.setdefault(kept, []).append(piece.serials)
    if len(free) > 1:
        named = "; ".join(map(str, sorted(free)))
        raise InvalidValue("tonnes", tonnes, f"may be of several classes: {named}")
    found, left = [], tonnes
    for interval in merge(next(iter(free.values()), [])):
        if left <= 0:
            break
        last = min(interval.last, interval.first + left - 1)
        found.append(Interval(interval.series, interval.first, last))
        left -= last - interval.first + 1
    if left > 0:
        there = tonnes - left
        raise NotEnough(f"{tonnes} t asked, {there} t are there", asked=tonnes, available=there)
    return found


def get_retirement(connection: Connection, reference: str) -> LedgerRetirement:
    """One order with its parts; raises NotFound."""
    query = select(ledger_orders).where(ledger_orders.c.reference == reference)
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"there is no retirement {reference}", reference=reference)
    return _retirement(row, _parts(connection, [reference]).get(reference, ()))


def list_retirements(
    connection: Connection,
    *,
    owner: str | None = None,
    programmes: Collection[str] | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[LedgerRetirement]:
    """Orders, the newest first."""
    table = ledger_orders
    query: Select[Any] = select(table)
    if owner is not None:
        query = query.where(table.c.owner == owner)
    if programmes is not None:
        query = query.where(table.c.programme.in_(programmes))
    key = [table.c.ordered_at, table.c.reference]
    rows, following = fetch_page(connection, query, key, [int, str], cursor, limit, descending=True)
    parts = _parts(connection, [row.reference for row in rows])
    found = tuple(_retirement(row, parts.get(row.reference, ())) for row in rows)
    return Page(found, following)


def is_ordered(connection: Connection, reference: str) -> bool:
    """Whether an order of this reference was taken."""
    query = select(ledger_orders.c.reference).where(ledger_orders.c.reference == reference)
    return connection.execute(query).first() is not None


def instruction_of(connection: Connection, reference: str) -> RetirementInstruction:
    """The instruction of an order, private or not: what the registry is told."""
    query = select(ledger_orders.c.instruction).where(ledger_orders.c.reference == reference)
    return RetirementInstruction.from_json(connection.execute(query).scalar_one())


def deposits(connection: Connection) -> list[Row[Any]]:
    """Every deposit as it was kept."""
    table = ledger_deposits
    return list(connection.execute(select(table).order_by(table.c.kept_at, table.c.reference)))


def _parts(connection: Connection, references: Sequence[str]) -> dict[str, tuple[RetiredPart, ...]]:
    if not references:
        return {}
    flows, done = bridge_flows, ledger_retired
    order = flows.c.content["order"].astext
    rows = connection.execute(
        select(
            order.label("order"),
            flows.c.id,
            flows.c.state,
            flows.c.reason,
            flows.c.tonnes,
            flows.c.deadline,
            done.c.registry_reference,
            done.c.registry_date,
            done.c.certificate_id,
            done.c.serials,
            done.c.exchanged,
        )
        .select_from(flows.outerjoin(done, done.c.part == flows.c.id))
        .where(
            flows.c.kind == LEDGER_RETIREMENT,
            or_(*(and_(flows.c.id >= f"{one}:", flows.c.id < f"{one};") for one in references)),
            order.in_(references),
        )
        .order_by(func.length(flows.c.id), flows.c.id)
    )
    found: dict[str, list[RetiredPart]] = {}
    for row in rows:
        part = RetiredPart(
            row.id,
            row.state,
            row.reason,
            row.tonnes,
            row.deadline,
            row.registry_reference,
            row.registry_date,
            row.certificate_id,
            tuple(row.serials or ()),
            tuple((one[0], one[1]) for one in row.exchanged or ()),
        )
        found.setdefault(row.order, []).append(part)
    return {reference: tuple(listed) for reference, listed in found.items()}


def _retirement(row: Row[Any], parts: tuple[RetiredPart, ...]) -> LedgerRetirement:
    return LedgerRetirement(
        row.reference,
        row.programme,
        row.account,
        row.owner,
        row.tonnes,
        tuple(row.serials),
        row.instruction,
        row.instruction_hash,
        "0x" + bytes(row.signature).hex(),
        row.ordered_at,
        _state([part.state for part in parts]),
        parts,
    )


def _state(states: Sequence[str]) -> str:
    if "broken" in states:
        return "broken"
    if any(state not in ("confirmed", "failed") for state in states):
        return "pending"
    if "failed" not in states:
        return "confirmed"
    return "partly-confirmed" if "confirmed" in states else "failed"
