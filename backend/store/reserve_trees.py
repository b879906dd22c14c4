"""Reserve reports with the trees under them: what mints and holders take their proofs from (L3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import insert

from backend.domain.reserve import (
    ClassReserve,
    Liabilities,
    Liability,
    LiveBlock,
    ReserveTree,
)
from backend.errors import NotFound
from backend.store.backing_tables import reserves_reported
from backend.store.bridge_tables import reserve_trees
from backend.store.database import Database


@dataclass(frozen=True, slots=True)
class StoredTrees:
    """A report's trees. `figures` per class: minted, covered, live, shortfall; as JSON."""

    id: str
    sequence: int
    as_of: int
    chain_block: int
    reserve: ReserveTree
    liabilities: Liabilities
    figures: Mapping[str, Any]


class ReserveTrees:
    """The reports of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, report: StoredTrees) -> None:
        """Store the trees of a draft; the same report again changes nothing."""
        with self._database.begin() as connection:
            connection.execute(
                insert(reserve_trees)
                .values(
                    id=report.id,
                    sequence=report.sequence,
                    as_of=report.as_of,
                    chain_block=report.chain_block,
                    classes=[_class_json(entry) for entry in report.reserve.classes],
                    liabilities=[
                        [str(entry.class_id), entry.holder, str(entry.kilograms)]
                        for entry in report.liabilities.entries
                    ],
                    figures=dict(report.figures),
                )
                .on_conflict_do_nothing()
            )

    def get(self, report_id: str) -> StoredTrees:
        """One report's trees; raises NotFound."""
        with self._database.read() as connection:
            return get_report(connection, report_id)


def get_report(connection: Connection, report_id: str) -> StoredTrees:
    """One report's trees; raises NotFound."""
    table = reserve_trees
    row = connection.execute(select(table).where(table.c.id == report_id)).first()
    if row is None:
        raise NotFound(f"the trees of reserve report {report_id} are not kept here", id=report_id)
    return _as_report(row)


def newest_recorded(connection: Connection) -> StoredTrees | None:
    """The trees of the newest report on chain that are kept here; None before the first."""
    table, recorded = reserve_trees, reserves_reported
    row = connection.execute(
        select(table)
        .join(recorded, recorded.c.report_id == table.c.id)
        .order_by(recorded.c.sequence.desc())
        .limit(1)
    ).first()
    return None if row is None else _as_report(row)


def _class_json(entry: ClassReserve) -> dict[str, Any]:
    return {
        "class_id": str(entry.class_id),
        "covered": str(entry.covered),
        "blocks": [
            ["0x" + one.series_id.hex(), str(one.first), str(one.last), "0x" + one.account.hex()]
            for one in entry.blocks
        ],
    }


def _as_report(row: Row[Any]) -> StoredTrees:
    classes = tuple(
        ClassReserve(
            int(entry["class_id"]),
            int(entry["covered"]),
            tuple(
                LiveBlock(bytes.fromhex(s[2:]), int(first), int(last), bytes.fromhex(account[2:]))
                for s, first, last, account in entry["blocks"]
            ),
        )
        for entry in row.classes
    )
    owed = tuple(
        Liability(int(class_id), holder, int(kilograms))
        for class_id, holder, kilograms in row.liabilities
    )
    return StoredTrees(
        row.id,
        row.sequence,
        row.as_of,
        row.chain_block,
        ReserveTree(classes),
        Liabilities(owed),
        row.figures,
    )
