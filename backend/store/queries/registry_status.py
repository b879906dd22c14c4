"""What the registry did for consumed positions, append-only: confirmed, failed, made good (L4).

Nothing here is ever changed or taken back: a later entry ends an earlier one. A position is
settled once, by a confirmation or by being made good; a failure settles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, and_, select

from backend.domain.serials import Interval
from backend.store import backing_tables
from backend.store.queries.assignment import Span, spans_table
from backend.store.queries.confirmed import Confirmation, interval_of

PENDING, PARTLY, CONFIRMED = "pending", "partly confirmed", "confirmed"
FAILED, MADE_GOOD = "failed", "made good"


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One entry for positions [first_position, +tonnes) of a class.

    `kind`: confirmed (`serials` the registry retired), failed (`reason`), made good (`serials` of
    `substitute_class` were retired instead). `registry_date` is YYYYMMDD.
    """

    kind: str
    entry_id: str
    class_id: int
    first_position: int
    tonnes: int
    reference: str | None
    reason: str | None
    substitute_class: int | None
    serials: tuple[Interval, ...]
    registry_date: int
    evidence_hash: str
    signers: tuple[str, ...]
    transaction_hash: str
    block_number: int
    log_index: int

    @property
    def end(self) -> int:
        return self.first_position + self.tonnes


@dataclass(frozen=True, slots=True)
class Tally:
    """Positions of a span by what the registry did; the rest is pending."""

    confirmed: int
    made_good: int
    failed: int


def entry_of(confirmation: Confirmation) -> RegistryEntry:
    """A confirmation as an entry of the record."""
    return RegistryEntry(
        kind=CONFIRMED,
        entry_id=confirmation.confirmation_id,
        class_id=confirmation.class_id,
        first_position=confirmation.first_position,
        tonnes=confirmation.tonnes,
        reference=confirmation.reference,
        reason=None,
        substitute_class=None,
        serials=confirmation.actual,
        registry_date=confirmation.registry_date,
        evidence_hash=confirmation.evidence_hash,
        signers=confirmation.signers,
        transaction_hash=confirmation.transaction_hash,
        block_number=confirmation.block_number,
        log_index=confirmation.log_index,
    )


def exceptions_within(connection: Connection, spans: Sequence[Span]) -> list[list[RegistryEntry]]:
    """Per span its failures and what was made good, oldest first; two queries."""
    found: list[list[RegistryEntry]] = [[] for _ in spans]
    if not spans:
        return found
    _add(connection, spans, backing_tables.registry_failures, FAILED, found)
    _add(connection, spans, backing_tables.made_good, MADE_GOOD, found)
    for entries in found:
        entries.sort(key=lambda one: (one.block_number, one.log_index))
    return found


def _add(
    connection: Connection,
    spans: Sequence[Span],
    table: Table,
    kind: str,
    found: list[list[RegistryEntry]],
) -> None:
    wanted = spans_table(spans)
    rows = connection.execute(
        select(wanted.c.ordinal, table).select_from(
            wanted.join(
                table,
                and_(
                    table.c.class_id == wanted.c.class_id,
                    table.c.first_position < wanted.c.end,
                    table.c.first_position + table.c.tonnes > wanted.c.first,
                ),
            )
        )
    )
    for row in rows.mappings():
        good = kind == MADE_GOOD
        found[row["ordinal"] - 1].append(
            RegistryEntry(
                kind=kind,
                entry_id=row["made_good_id" if good else "failure_id"],
                class_id=row["class_id"],
                first_position=row["first_position"],
                tonnes=row["tonnes"],
                reference=row["reference"] if good else None,
                reason=None if good else row["reason"],
                substitute_class=row["substitute_class"] if good else None,
                serials=tuple(interval_of(one) for one in row["substitutes"]) if good else (),
                registry_date=row["registry_date"],
                evidence_hash=row["evidence_hash"],
                signers=tuple(row["signers"]),
                transaction_hash=row["transaction_hash"],
                block_number=row["block_number"],
                log_index=row["log_index"],
            )
        )


def tally(span: Span, entries: Iterable[RegistryEntry]) -> Tally:
    """How many positions of a span are confirmed, made good, or failed and not settled since."""
    cuts: dict[str, list[tuple[int, int]]] = {CONFIRMED: [], MADE_GOOD: [], FAILED: []}
    for one in entries:
        low, high = max(one.first_position, span.first), min(one.end, span.end)
        if low < high:
            cuts[one.kind].append((low, high))
    settled = cuts[CONFIRMED] + cuts[MADE_GOOD]
    return Tally(
        _length(cuts[CONFIRMED]),
        _length(cuts[MADE_GOOD]),
        _length(cuts[FAILED] + settled) - _length(settled),
    )


def _length(cuts: Iterable[tuple[int, int]]) -> int:
    """How many positions lie in any of the ranges."""
    total, cursor = 0, -1
    for low, high in sorted(cuts):
        total += max(0, high - max(low, cursor))
        cursor = max(cursor, high)
    return total


def status_of(kilograms: int, confirmed: int, made_good: int, failed: int) -> str:
    """The registry status of a certificate, from the kilograms of each kind."""
    if confirmed + made_good == kilograms:
        return MADE_GOOD if made_good else CONFIRMED
    if failed:
        return FAILED
    return PARTLY if confirmed or made_good else PENDING
