"""Accounts and what they hold: participants, holdings, holders of a class, movements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from backend.store import tables
from backend.store.queries.classes import ClassSummary, classes_by_id
from backend.store.queries.reading import DEFAULT_LIMIT, ChainHead, Page, fetch_page

#: Tier of Causeway's own contracts: never frozen, never removed.
CAUSEWAY_CONTRACT = 255
TIERS = {0: "unknown", 1: "retail", 2: "professional", 3: "institution", 255: "contract"}


@dataclass(frozen=True, slots=True)
class Account:
    """What the chain says of an address. `state` is unknown, admitted, expired or frozen."""

    address: str
    state: str
    tier: int
    tier_name: str
    jurisdiction: str | None
    expiry: int | None
    frozen: bool
    classes_held: int
    kilograms: int
    retired_kilograms: int
    block_number: int | None
    log_index: int | None


@dataclass(frozen=True, slots=True)
class Holding:
    """Kilograms of one class that an account holds and has retired."""

    credit_class: ClassSummary
    kilograms: int
    retired_kilograms: int


@dataclass(frozen=True, slots=True)
class Holder:
    """One account that holds, or has retired, credits of a class."""

    account: str
    kilograms: int
    retired_kilograms: int


@dataclass(frozen=True, slots=True)
class Movement:
    """One change of a balance. `kind` is mint, transfer, burn or retirement."""

    account: str
    class_id: int
    kind: str
    kilograms: int
    retired_kilograms: int
    counterparty: str | None
    transaction_hash: str
    timestamp: int | None
    block_number: int
    log_index: int
    ordinal: int


def get_account(connection: Connection, address: str, head: ChainHead) -> Account:
    """The account's state as of the chain block of `head`; an address nobody knows is `unknown`."""
    changes, balances = tables.participant_changes, tables.balances
    row = connection.execute(
        select(changes)
        .where(changes.c.account == address)
        .order_by(changes.c.block_number.desc(), changes.c.log_index.desc())
        .limit(1)
    ).first()
    sums = connection.execute(
        select(
            func.count().filter(balances.c.kilograms > 0).label("held"),
            func.coalesce(func.sum(balances.c.kilograms), 0).label("kilograms"),
            func.coalesce(func.sum(balances.c.retired), 0).label("retired"),
        ).where(balances.c.account == address)
    ).one()
    tier = row.tier if row else 0
    if row is None or tier == 0:
        state = "frozen" if row and row.frozen else "unknown"
    elif row.frozen:
        state = "frozen"
    elif tier != CAUSEWAY_CONTRACT and row.expiry < (head.timestamp or 0):
        state = "expired"
    else:
        state = "admitted"
    return Account(
        address=address,
        state=state,
        tier=tier,
        tier_name=TIERS.get(tier, str(tier)),
        jurisdiction=(row.jurisdiction or None) if row else None,
        expiry=row.expiry if row and tier != CAUSEWAY_CONTRACT else None,
        frozen=bool(row and row.frozen),
        classes_held=sums.held,
        kilograms=int(sums.kilograms),
        retired_kilograms=int(sums.retired),
        block_number=row.block_number if row else None,
        log_index=row.log_index if row else None,
    )


def holdings_of(
    connection: Connection,
    address: str,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Holding]:
    """Classes that the account holds or has retired, by class id; two queries a page."""
    table = tables.balances
    query = select(table.c.class_id, table.c.kilograms, table.c.retired).where(
        table.c.account == address, or_(table.c.kilograms != 0, table.c.retired != 0)
    )
    rows, following = fetch_page(connection, query, [table.c.class_id], [int], cursor, limit)
    known = classes_by_id(connection, {row.class_id for row in rows})
    return Page(
        tuple(Holding(known[row.class_id], row.kilograms, row.retired) for row in rows), following
    )


def holders_of(
    connection: Connection,
    class_id: int,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Holder]:
    """Accounts with credits of the class or retirements from it, the largest holding first."""
    table = tables.balances
    query = select(table.c.account, table.c.kilograms, table.c.retired).where(
        table.c.class_id == class_id, or_(table.c.kilograms != 0, table.c.retired != 0)
    )
    rows, following = fetch_page(
        connection,
        query,
        [table.c.kilograms, table.c.account],
        [int, str],
        cursor,
        limit,
        descending=True,
    )
    return Page(tuple(Holder(r.account, r.kilograms, r.retired) for r in rows), following)


def movements_of(
    connection: Connection,
    address: str,
    *,
    class_id: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Movement]:
    """Every change of the account's balances, the newest first."""
    changes, events, blocks = tables.balance_changes, tables.chain_events, tables.chain_blocks
    other = changes.alias("other")
    # The other side of a transfer is the opposite change that the same event made.
    counterparty = (
        select(func.min(other.c.account))
        .where(
            other.c.block_number == changes.c.block_number,
            other.c.log_index == changes.c.log_index,
            other.c.class_id == changes.c.class_id,
            other.c.kilograms == -changes.c.kilograms,
            changes.c.kilograms != 0,
        )
        .scalar_subquery()
    )
    query = (
        select(
            changes,
            events.c.name,
            events.c.transaction_hash,
            blocks.c.timestamp,
            counterparty.label("counterparty"),
        )
        .select_from(
            changes.join(
                events,
                and_(
                    events.c.block_number == changes.c.block_number,
                    events.c.log_index == changes.c.log_index,
                ),
            ).outerjoin(blocks, blocks.c.number == changes.c.block_number)
        )
        .where(changes.c.account == address)
    )
    if class_id is not None:
        query = query.where(changes.c.class_id == class_id)
    rows, following = fetch_page(
        connection,
        query,
        [changes.c.block_number, changes.c.log_index, changes.c.ordinal],
        [int, int, int],
        cursor,
        limit,
        descending=True,
    )
    return Page(tuple(_movement(row) for row in rows), following)


def _movement(row: Any) -> Movement:
    if row.retired > 0:
        kind = "retirement"
    elif row.counterparty is not None:
        kind = "transfer"
    elif row.kilograms > 0:
        kind = "mint"
    else:
        kind = "burn"
    return Movement(
        account=row.account,
        class_id=row.class_id,
        kind=kind,
        kilograms=row.kilograms,
        retired_kilograms=row.retired,
        counterparty=row.counterparty,
        transaction_hash=row.transaction_hash,
        timestamp=row.timestamp,
        block_number=row.block_number,
        log_index=row.log_index,
        ordinal=row.ordinal,
    )
