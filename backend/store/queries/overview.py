"""The registry in a few figures, for the landing page."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, true

from backend.store import tables
from backend.store.backing_tables import class_exits
from backend.store.queries.certificates import Retirement, list_retirements
from backend.store.queries.classes import ClassSummary, classes_by_id

#: How many of the newest classes and retirements are named.
NEWEST = 8


@dataclass(frozen=True, slots=True)
class Overview:
    """Sums over all classes, and the newest of each."""

    classes: int
    minted_tonnes: int
    supply_kilograms: int
    retired_kilograms: int
    confirmed_tonnes: int
    certificates: int
    holders: int
    newest_classes: tuple[ClassSummary, ...]
    newest_retirements: tuple[Retirement, ...]
    #: Classes of both lists by id.
    by_id: dict[int, ClassSummary]


def get_overview(connection: Connection) -> Overview:
    """A fixed number of queries."""
    changes, classes = tables.position_changes, tables.classes
    newest = (
        select(changes.c.minted, changes.c.exited, changes.c.dust)
        .where(changes.c.class_id == classes.c.class_id)
        .order_by(changes.c.block_number.desc(), changes.c.log_index.desc())
        .limit(1)
        .lateral("newest")
    )
    sums = connection.execute(
        select(
            func.count().label("classes"),
            func.coalesce(func.sum(newest.c.minted), 0).label("minted"),
            func.coalesce(
                func.sum((newest.c.minted - newest.c.exited) * 1000 + newest.c.dust), 0
            ).label("supply"),
        ).select_from(classes.join(newest, true()))
    ).one()
    balances = tables.balances
    left = connection.execute(select(func.coalesce(func.sum(class_exits.c.tonnes), 0))).scalar_one()
    holders = connection.execute(
        select(func.count(balances.c.account.distinct())).where(balances.c.kilograms > 0)
    ).scalar_one()
    certificates = connection.execute(
        select(func.count()).select_from(tables.certificates)
    ).scalar_one()
    confirmed = connection.execute(
        select(func.coalesce(func.sum(tables.registry_confirmations.c.tonnes), 0))
    ).scalar_one()
    recent = connection.execute(
        select(classes.c.class_id).order_by(classes.c.number.desc()).limit(NEWEST)
    ).scalars()
    ids = list(recent)
    retirements = list_retirements(connection, limit=NEWEST).items
    known = classes_by_id(connection, {*ids, *(made.class_id for made in retirements)})
    return Overview(
        classes=sums.classes,
        minted_tonnes=int(sums.minted),
        supply_kilograms=int(sums.supply),
        retired_kilograms=(int(sums.minted) - int(left)) * 1000 - int(sums.supply),
        confirmed_tonnes=int(confirmed),
        certificates=certificates,
        holders=holders,
        newest_classes=tuple(known[class_id] for class_id in ids),
        newest_retirements=retirements,
        by_id=known,
    )
