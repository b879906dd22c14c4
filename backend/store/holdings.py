"""Whether serials are credits that may go into trust: imported, live, of one class, labels known.

Verra's exports partition: a piece must be active. Gold Standard's list issuances and retirements
apart: the serials must be issued and in no retirement or cancellation that was imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from backend.domain.classes import CreditClass, UnitType
from backend.domain.serials import PARTY_SERIES, Interval, merge, subtract, viewers_of
from backend.errors import InvalidValue, UnmappedLabel

#: Blocks of one kind in one series, as one programme tells of them, are disjoint: those that share
#: a serial with [first, last] begin in it, or are the one that begins last before it. Both come
#: from one btree.
_TOUCHING = text(
    "SELECT r.*, lower(r.block) AS first, upper(r.block) - 1 AS last,"
    " (SELECT file_name FROM imports i WHERE i.id = r.last_import) AS file_name FROM series s"
    " CROSS JOIN (VALUES ('partition'), ('issuance'), ('retirement')) AS kinds(kind)"
    " CROSS JOIN LATERAL unnest(s.programme || CAST(:viewers AS text[])) AS tellers(programme)"
    " CROSS JOIN LATERAL ("
    "   (SELECT * FROM registry_blocks b WHERE b.series_id = s.id AND b.kind = kinds.kind"
    "      AND b.programme = tellers.programme"
    "      AND lower(b.block) > :first AND lower(b.block) <= :last)"
    "   UNION ALL"
    "   (SELECT * FROM registry_blocks b WHERE b.series_id = s.id AND b.kind = kinds.kind"
    "      AND b.programme = tellers.programme"
    "      AND lower(b.block) <= :first ORDER BY lower(b.block) DESC LIMIT 1)) r"
    " WHERE s.name = :series AND upper(r.block) > :first ORDER BY kind, first"
)


def touching(connection: Connection, interval: Interval) -> Sequence[Row[Any]]:
    """Rows of `registry_blocks`, with `first` and `last`, that share a serial with an interval."""
    return connection.execute(
        _TOUCHING,
        {
            "series": str(interval.series),
            "first": interval.first,
            "last": interval.last,
            "viewers": viewers_of(interval.series),
        },
    ).all()


def imports_done(connection: Connection) -> int:
    """How many imports have ended: the rows are the same while it is."""
    query = text("SELECT count(*) FROM imports WHERE state = 'done'")
    return int(connection.execute(query).scalar_one())


def imported_classes(
    connection: Connection, interval: Interval
) -> list[tuple[Interval, CreditClass]]:
    """Parts of an interval whose imported row makes a class, with it; other parts are left out."""
    found = []
    for row in touching(connection, interval):
        if row.kind == "retirement" or row.cohort is None or row.unmapped:
            continue
        if row.vintage_start is None or row.vintage_end is None:
            continue
        credit_class = CreditClass(
            row.programme,
            row.project,
            UnitType.CREDIT,
            row.vintage_start,
            row.vintage_end,
            tuple(row.cohort),
        )
        first, last = max(row.first, interval.first), min(row.last, interval.last)
        found.append((Interval(interval.series, first, last), credit_class))
    return found


def require_in_registry(
    connection: Connection,
    credit_class: CreditClass,
    intervals: Sequence[Interval],
    confirmed: Sequence[Interval] = (),
) -> None:
    """Raises InvalidValue or UnmappedLabel naming the interval, the imported row and the rule.

    `confirmed`: what the registry's own inventory of the account holds live. Only that lets
    serials of an issuance through: its export repeats the whole block, whatever is gone of it.
    """
    for interval in intervals:
        rows = touching(connection, interval)
        # In a party's series the issuances of others are the same credits as their owner sees
        # them: they make no class of this programme, but what is gone there is gone.
        held = [
            row
            for row in rows
            if row.kind != "retirement"
            and (
                interval.series.programme != PARTY_SERIES or row.programme == credit_class.programme
            )
        ]
        for row in held:
            _require_live(row, interval, confirmed)
            _require_class(row, interval, credit_class)
        gone = [Interval(interval.series, r.first, r.last) for r in rows if r.kind == "retirement"]
        if gone:
            raise InvalidValue(
                "intervals",
                str(interval),
                f"shares serials with {gone[0]}, which the registry has retired or cancelled",
                series=str(interval.series),
            )
        covered = merge(Interval(interval.series, row.first, row.last) for row in held)
        missing = subtract([interval], covered)
        if missing:
            raise InvalidValue(
                "intervals",
                str(interval),
                f"is not in any imported export as far as {missing[0]}",
                series=str(interval.series),
                missing_first=missing[0].first,
                missing_last=missing[0].last,
            )


def _where(row: Row[Any]) -> str:
    return f"{row.file_name}, row {row.source_row}"


def _require_live(row: Row[Any], interval: Interval, confirmed: Sequence[Interval]) -> None:
    if row.status == "issued":
        first, last = max(row.first, interval.first), min(row.last, interval.last)
        missing = subtract([Interval(interval.series, first, last)], confirmed)
        if missing:
            raise InvalidValue(
                "intervals",
                str(interval),
                f"shares serials with {row.first}-{row.last}, which were issued ({_where(row)}); "
                f"no inventory of the account shows {missing[0]} live",
                series=str(interval.series),
                status=row.status,
            )
    if row.status not in ("active", "issued"):
        raise InvalidValue(
            "intervals",
            str(interval),
            f"shares serials with {row.first}-{row.last}, which are {row.status} ({_where(row)})",
            series=str(interval.series),
            status=row.status,
        )
    if row.unmapped or row.cohort is None:
        labels = list(row.unmapped or [])
        raise UnmappedLabel(
            f"{interval} shares serials with {row.first}-{row.last}, whose labels "
            f"{', '.join(labels)} are not in the vocabulary, version {row.vocabulary} "
            f"({_where(row)})",
            labels=labels,
            series=str(interval.series),
        )


def _require_class(row: Row[Any], interval: Interval, credit_class: CreditClass) -> None:
    stored = {
        "programme": row.programme,
        "project": row.project,
        "vintage_start": row.vintage_start,
        "vintage_end": row.vintage_end,
        "cohort": tuple(row.cohort),
    }
    for name, value in stored.items():
        wanted = getattr(credit_class, name)
        if wanted != value:
            raise InvalidValue(
                "intervals",
                str(interval),
                f"holds {row.first}-{row.last}, whose {name} is {value}, not {wanted} "
                f"({_where(row)})",
                series=str(interval.series),
                field_name=name,
            )
