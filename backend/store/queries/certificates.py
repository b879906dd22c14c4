"""Retirements and their certificates: what was consumed, which serials, what the registry says.

A certificate holds the counters of its class before the retirement. From them and the kilograms
follow its pieces: a run of whole tonnes, a part of the tonne that was open, a part of the one it
opened. Expected serials are those of the chain block of the retirement and never change; the
serials that stand now are actual where the registry has confirmed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, or_, select

from backend.domain.positions import Positions, consume
from backend.domain.units import KILOGRAMS_PER_TONNE, MAX_TONNES
from backend.errors import NotFound
from backend.store import tables
from backend.store.queries.assignment import (
    DatedChange,
    SerialRun,
    Span,
    changes_of,
    serials_at,
)
from backend.store.queries.classes import ClassSummary, classes_by_id
from backend.store.queries.confirmed import Confirmation, confirmations_within, mark
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_newest
from backend.store.queries.registry_status import (
    RegistryEntry,
    entry_of,
    exceptions_within,
    status_of,
    tally,
)


@dataclass(frozen=True, slots=True)
class PublicTexts:
    """What a public certificate says; each at most 256 bytes."""

    beneficiary: str
    purpose: str
    period: str
    instruction_hash: str


@dataclass(frozen=True, slots=True)
class Consumption:
    """One piece of what a retirement took. `kind`: whole, rest_of_open, part_of_opened.

    `kilograms` of the tonnes at `span`: all of them for a run of whole tonnes.
    """

    kind: str
    span: Span
    kilograms: int


@dataclass(frozen=True, slots=True)
class Retirement:
    """A retirement as the chain recorded it, and how far the registry has confirmed it.

    `status`: pending, partly confirmed, confirmed, failed (a tonne failed and is not settled
    since) or made good (all is settled, a part by substitutes), by kilograms of tonnes. `history`
    is the append-only record that it follows from, oldest first.
    `texts` None: private, only `details_hash` is known.
    """

    certificate_id: int
    class_id: int
    owner: str
    holder: str
    operator: str
    kilograms: int
    exited: int
    open_tonne: int
    dust: int
    details_hash: str
    texts: PublicTexts | None
    consumed: tuple[Consumption, ...]
    status: str
    confirmed_kilograms: int
    made_good_kilograms: int
    failed_kilograms: int
    history: tuple[RegistryEntry, ...]
    references: tuple[str, ...]
    transaction_hash: str
    timestamp: int | None
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class CertificatePiece:
    """A piece with its serials: `expected` at the retirement, `serials` as they stand now.

    `still_open`: the tonne is open, the registry retires it when it closes.
    """

    consumption: Consumption
    expected: tuple[SerialRun, ...]
    serials: tuple[SerialRun, ...]
    confirmed_kilograms: int
    still_open: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """Everything a certificate's page shows."""

    retirement: Retirement
    credit_class: ClassSummary
    pieces: tuple[CertificatePiece, ...]
    confirmations: tuple[Confirmation, ...]


def select_retirements() -> Select[Any]:
    """Rows of certificates for `retirements_from`, to be narrowed and ordered."""
    made, texts, blocks = (
        tables.certificates,
        tables.certificate_details,
        tables.chain_blocks,
    )
    return select(
        made,
        texts.c.certificate_id.label("published"),
        texts.c.beneficiary,
        texts.c.purpose,
        texts.c.period,
        texts.c.instruction_hash,
        blocks.c.timestamp,
    ).select_from(
        made.outerjoin(texts, texts.c.certificate_id == made.c.certificate_id).outerjoin(
            blocks, blocks.c.number == made.c.block_number
        )
    )


def consumption(
    class_id: int, exited: int, open_tonne: int, dust: int, kilograms: int
) -> tuple[Consumption, ...]:
    """The pieces of a retirement, in the order they were taken, by the domain's rule."""
    before = Positions(MAX_TONNES, exited, open_tonne if dust else 0, dust)
    _, taken = consume(before, kilograms)
    pieces = []
    if taken.whole:
        span = Span(class_id, taken.first_whole, taken.first_whole + taken.whole)
        pieces.append(Consumption("whole", span, taken.whole * KILOGRAMS_PER_TONNE))
    if taken.open_tonne is not None:
        span = Span(class_id, taken.open_tonne, taken.open_tonne + 1)
        pieces.append(Consumption("rest_of_open", span, taken.from_open))
    if taken.opened is not None:
        span = Span(class_id, taken.opened, taken.opened + 1)
        pieces.append(Consumption("part_of_opened", span, taken.from_opened))
    return tuple(pieces)


def _kilograms(piece: Consumption, entries: Sequence[RegistryEntry]) -> tuple[int, int, int]:
    """Kilograms of a piece whose tonne is confirmed, made good, failed."""
    found = tally(piece.span, entries)
    of_each = KILOGRAMS_PER_TONNE if piece.kind == "whole" else piece.kilograms
    return found.confirmed * of_each, found.made_good * of_each, found.failed * of_each


def _retirement(
    row: Row[Any],
    consumed: tuple[Consumption, ...],
    entries: Sequence[Sequence[RegistryEntry]],
) -> Retirement:
    sums = [sum(one) for one in zip((0, 0, 0), *map(_kilograms, consumed, entries), strict=True)]
    history = {one.entry_id: one for group in entries for one in group}
    ordered = sorted(history.values(), key=lambda one: (one.block_number, one.log_index))
    named = {one.reference: None for one in ordered if one.reference is not None}
    texts = None
    if row.published is not None:
        texts = PublicTexts(row.beneficiary, row.purpose, row.period, row.instruction_hash)
    return Retirement(
        certificate_id=row.certificate_id,
        class_id=row.class_id,
        owner=row.owner,
        holder=row.holder,
        operator=row.operator,
        kilograms=row.kilograms,
        exited=row.exited,
        open_tonne=row.open_tonne,
        dust=row.dust,
        details_hash=row.details_hash,
        texts=texts,
        consumed=consumed,
        status=status_of(row.kilograms, *sums),
        confirmed_kilograms=sums[0],
        made_good_kilograms=sums[1],
        failed_kilograms=sums[2],
        history=tuple(ordered),
        references=tuple(named),
        transaction_hash=row.transaction_hash,
        timestamp=row.timestamp,
        block_number=row.block_number,
        log_index=row.log_index,
    )


def retirements_from(
    connection: Connection, rows: Sequence[Row[Any]]
) -> tuple[list[Retirement], list[list[list[Confirmation]]]]:
    """Rows of certificates with their registry status; three queries for all of them."""
    consumed = [
        consumption(row.class_id, row.exited, row.open_tonne, row.dust, row.kilograms)
        for row in rows
    ]
    flat = [piece.span for pieces in consumed for piece in pieces]
    confirmed = confirmations_within(connection, flat)
    entries = iter(
        [*map(entry_of, made), *others]
        for made, others in zip(confirmed, exceptions_within(connection, flat), strict=True)
    )
    found = iter(confirmed)
    grouped = [[next(found) for _ in pieces] for pieces in consumed]
    retired = [
        _retirement(row, pieces, [next(entries) for _ in pieces])
        for row, pieces in zip(rows, consumed, strict=True)
    ]
    return retired, grouped


def list_retirements(
    connection: Connection,
    *,
    class_id: int | None = None,
    account: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Retirement]:
    """Retirements, the newest first. `account`: as holder, certificate owner or operator."""
    table, query = tables.certificates, select_retirements()
    if class_id is not None:
        query = query.where(table.c.class_id == class_id)
    if account is not None:
        query = query.where(
            or_(table.c.holder == account, table.c.owner == account, table.c.operator == account)
        )
    rows, following = fetch_newest(connection, query, table, cursor, limit)
    return Page(tuple(retirements_from(connection, rows)[0]), following)


def get_certificate(connection: Connection, certificate_id: int) -> Certificate:
    """One certificate with its serials; raises NotFound. A fixed number of queries."""
    table = tables.certificates
    row = connection.execute(
        select_retirements().where(table.c.certificate_id == certificate_id)
    ).first()
    if row is None:
        raise NotFound(
            f"no certificate has the id {certificate_id}", certificate_id=str(certificate_id)
        )
    retired, grouped = retirements_from(connection, [row])
    retirement, confirmed = retired[0], grouped[0]
    known = classes_by_id(connection, {row.class_id})[row.class_id]
    made = changes_of(connection, [row.class_id])[row.class_id]
    pieces = _pieces(connection, retirement, confirmed, made, known.positions)
    confirmations = {c.confirmation_id: c for group in confirmed for c in group}
    ordered = sorted(confirmations.values(), key=lambda c: (c.block_number, c.log_index))
    return Certificate(retirement, known, pieces, tuple(ordered))


def _pieces(
    connection: Connection,
    retirement: Retirement,
    confirmed: Sequence[Sequence[Confirmation]],
    exchanges: Sequence[DatedChange],
    positions: Positions,
) -> tuple[CertificatePiece, ...]:
    at = (retirement.block_number, retirement.log_index)
    earlier = [exchange for exchange in exchanges if exchange.at < at]
    spans = [piece.span for piece in retirement.consumed]
    # Both moments in one query.
    runs = serials_at(connection, spans + spans, [earlier] * len(spans) + [exchanges] * len(spans))
    expected, standing = runs[: len(spans)], runs[len(spans) :]
    return tuple(
        CertificatePiece(
            consumption=piece,
            expected=tuple(before),
            serials=tuple(mark(now, confirmations)),
            confirmed_kilograms=_kilograms(piece, [entry_of(made) for made in confirmations])[0],
            still_open=bool(positions.dust)
            and piece.kind != "whole"
            and piece.span.first == positions.open_tonne,
        )
        for piece, before, now, confirmations in zip(
            retirement.consumed, expected, standing, confirmed, strict=True
        )
    )


def consumers_of(connection: Connection, class_id: int, position: int) -> list[Retirement]:
    """The retirements that took kilograms of the tonne at a position, the oldest first.

    Counters only grow: the one that passed the position is the last that began at or before it;
    every other took its kilograms while that tonne was the open one.
    """
    table, query = tables.certificates, select_retirements()
    passed = connection.execute(
        query.where(table.c.class_id == class_id, table.c.exited <= position)
        .order_by(table.c.exited.desc(), table.c.certificate_id.desc())
        .limit(1)
    ).first()
    opened = connection.execute(
        query.where(
            table.c.class_id == class_id,
            table.c.open_tonne == position,
            table.c.dust > 0,
            table.c.kilograms % KILOGRAMS_PER_TONNE > 0,
        ).order_by(table.c.certificate_id)
    ).all()
    rows = {row.certificate_id: row for row in [*([passed] if passed else []), *opened]}
    retired, _ = retirements_from(connection, [rows[key] for key in sorted(rows)])
    return [
        made
        for made in retired
        if any(piece.span.first <= position < piece.span.end for piece in made.consumed)
    ]
