"""Conversions, and what each holder may claim of them: pro rata of who held at a chain block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from backend.domain.reserve import Liabilities
from backend.domain.shares import shares_of
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import NotFound
from backend.store import backing_tables, tables
from backend.store.queries.backing import liabilities_at
from backend.store.queries.reading import DEFAULT_LIMIT, Page, deployment, fetch_newest, shaped
from backend.store.queries.reserve import Sibling, siblings_of


@dataclass(frozen=True, slots=True)
class ConversionSummary:
    """A conversion and how much of it holders have claimed."""

    conversion_id: str
    kind: str
    from_class: int
    to_class: int
    first_position: int
    tonnes: int
    new_position: int
    root: str
    chain_block: int
    claimed_kilograms: int
    transaction_hash: str
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class ConversionClaim:
    """One holder's share, in kilograms. `payable`: what a claim would pay now, no more than the
    wallet holds of the old class; `root` is the contract's, where the path leads.
    """

    conversion_id: str
    holder: str
    kilograms: int
    claimed: int
    left: int
    payable: int
    leaf: str
    right_bits: int
    siblings: tuple[Sibling, ...]
    root: str


def _conversions() -> Select[Any]:
    table, claims = backing_tables.conversions, backing_tables.conversion_claims
    claimed = (
        select(func.coalesce(func.sum(claims.c.kilograms), 0))
        .where(claims.c.conversion_id == table.c.conversion_id)
        .scalar_subquery()
    )
    return select(table, claimed.label("claimed"))


def _summary(row: Any) -> ConversionSummary:
    return shaped(ConversionSummary, row, claimed_kilograms=int(row.claimed))


def list_conversions(
    connection: Connection,
    *,
    class_id: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ConversionSummary]:
    """Conversions out of or into a class, the newest first."""
    table, query = backing_tables.conversions, _conversions()
    if class_id is not None:
        query = query.where((table.c.from_class == class_id) | (table.c.to_class == class_id))
    rows, following = fetch_newest(connection, query, table, cursor, limit)
    return Page(tuple(map(_summary, rows)), following)


def get_conversion(connection: Connection, conversion_id: str) -> ConversionSummary:
    """One conversion; raises NotFound."""
    wanted = backing_tables.conversions.c.conversion_id == conversion_id
    row = connection.execute(_conversions().where(wanted)).first()
    if row is None:
        problem = f"there is no conversion {conversion_id}"
        raise NotFound(problem, conversion_id=conversion_id)
    return _summary(row)


def claimed_by(connection: Connection, conversion_id: str) -> dict[str, int]:
    """Kilograms that were converted for each holder."""
    table = backing_tables.conversion_claims
    rows = connection.execute(
        select(table.c.holder, func.sum(table.c.kilograms).label("kilograms"))
        .where(table.c.conversion_id == conversion_id)
        .group_by(table.c.holder)
    )
    return {row.holder: int(row.kilograms) for row in rows}


def shares_at(connection: Connection, class_id: int, block: int, tonnes: int) -> Liabilities:
    """What each who held after a chain block gets of so many tonnes; the sum is exact (L11).

    What ProgrammeEvents holds is locked or not yet claimed: a share of it could never be claimed.
    """
    contracts = deployment(connection)
    owed = [
        entry
        for entry in liabilities_at(connection, block, contracts["Exchange"])
        if entry.class_id == class_id and entry.holder != contracts["ProgrammeEvents"]
    ]
    return shares_of(class_id, owed, tonnes * KILOGRAMS_PER_TONNE)


def claim_of(connection: Connection, conversion_id: str, holder: str) -> ConversionClaim:
    """A holder's share with its proof; raises NotFound without a conversion or a share."""
    made = get_conversion(connection, conversion_id)
    shares = shares_at(connection, made.from_class, made.chain_block, made.tonnes)
    entry, path = shares.proof(made.from_class, holder)
    claimed = claimed_by(connection, conversion_id).get(holder, 0)
    table = tables.balances
    balance = connection.execute(
        select(table.c.kilograms).where(
            table.c.class_id == made.from_class, table.c.account == holder
        )
    ).scalar()
    left = entry.kilograms - claimed
    return ConversionClaim(
        conversion_id,
        holder,
        entry.kilograms,
        claimed,
        left,
        min(left, int(balance or 0)),
        "0x" + entry.leaf().hash.hex(),
        path.right_bits,
        siblings_of(path),
        made.root,
    )
