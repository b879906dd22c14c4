"""What the indexer writes: ranges of chain blocks with their events, rewinds, checks of L1.

Every function works inside the caller's transaction, so that `chain_state.indexed_number` moves
with the rows it speaks of: a kill between two statements leaves the range as a whole or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError

from backend.domain.events import ChainBlock, ChainEvent, ChainTransaction
from backend.domain.positions import Positions
from backend.errors import Conflict, DeploymentMismatch, IndexInconsistent
from backend.store import exchange_index, tables
from backend.store.backing_index import place_in_series
from backend.store.backing_tables import BACKING_TABLES
from backend.store.copying import copy_lines, copy_rows, escape
from backend.store.database import LOCK_INDEX, lock, raw
from backend.store.projection import Participant, Projection, touched
from backend.store.rows import args_json

#: Rows of these came from chain events and fall with their chain block, in this order.
CHAIN_TABLES = (*tables.CHAIN_TABLES, *BACKING_TABLES, *exchange_index.EXCHANGE_TABLES)
_SUMS = (tables.balances, exchange_index.exchange_balances)
_COLUMNS = {table.name: [column.name for column in table.columns] for table in CHAIN_TABLES}
_TEXT_COPIED = ("chain_events", "chain_transactions", "balance_changes")


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where the index stands. `indexed_number` is −1 before the first chain block."""

    chain_id: int
    deployment: Mapping[str, Any]
    indexed_number: int
    indexed_hash: str | None
    durable_number: int | None
    epoch: int
    instance: str | None


class IndexedBlock(NamedTuple):
    """A chain block with what the index keeps of it beside the header."""

    header: ChainBlock
    receipts_root: str
    transactions: int
    base_fee: int | None


def load_state(connection: Connection) -> ChainState | None:
    """Where the index stands, or None before anything was indexed."""
    row = connection.execute(select(tables.chain_state)).mappings().first()
    if row is None:
        return None
    return ChainState(
        row["chain_id"],
        row["deployment"],
        row["indexed_number"],
        row["indexed_hash"],
        row["durable_number"],
        row["epoch"],
        row["instance"],
    )


def open_index(
    connection: Connection,
    chain_id: int,
    deployment: Mapping[str, Any],
    before_first: int,
    instance: str | None,
) -> ChainState:
    """The state, made on first use: nothing indexed up to `before_first`.

    Raises DeploymentMismatch when this database follows another chain or other contracts.
    """
    lock(connection, LOCK_INDEX)
    connection.execute(
        insert(tables.chain_state)
        .values(
            id=1,
            chain_id=chain_id,
            deployment=dict(deployment),
            indexed_number=before_first,
            instance=instance,
        )
        .on_conflict_do_nothing()
    )
    state = load_state(connection)
    assert state is not None
    if _place(state.deployment) != _place(deployment):
        raise DeploymentMismatch(
            f"this database follows chain {state.chain_id} and other contracts than the "
            f"deployment given (chain {chain_id}); use a database of its own",
            indexed_chain_id=state.chain_id,
            chain_id=chain_id,
        )
    return state


def _place(deployment: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a deployment another one: chain, genesis and addresses, not its role table."""
    contracts = deployment["contracts"].items()
    addresses = sorted((name, contract["address"].lower()) for name, contract in contracts)
    return deployment["chain_id"], deployment["genesis_hash"], addresses


def append(
    connection: Connection,
    after: ChainState,
    blocks: Sequence[IndexedBlock],
    events: Sequence[ChainEvent],
    transactions: Sequence[ChainTransaction] = (),
    label_codes: Mapping[str, str] | None = None,
) -> ChainState:
    """Add a range of chain blocks right above `after`; returns the new state.

    Raises Conflict when another indexer moved the state meanwhile (nothing is written then) and
    IndexInconsistent when the events contradict each other or L1, or hold a value that Postgres
    cannot: the transaction is of no use afterwards.
    """
    try:
        return _append(connection, after, blocks, events, transactions, label_codes or {})
    except (DataError, psycopg.DataError) as error:
        first, last = blocks[0].header.number, blocks[-1].header.number
        reason = " ".join(str(error).split())
        raise IndexInconsistent(
            f"chain blocks {first} … {last} hold a value that Postgres refuses: {reason}",
            first=first,
            last=last,
            reason=reason,
        ) from error


def _append(
    connection: Connection,
    after: ChainState,
    blocks: Sequence[IndexedBlock],
    events: Sequence[ChainEvent],
    transactions: Sequence[ChainTransaction],
    label_codes: Mapping[str, str],
) -> ChainState:
    lock(connection, LOCK_INDEX)
    last = blocks[-1].header
    moved = connection.execute(
        update(tables.chain_state)
        .where(
            tables.chain_state.c.indexed_number == after.indexed_number,
            tables.chain_state.c.indexed_hash.is_not_distinct_from(after.indexed_hash),
            tables.chain_state.c.epoch == after.epoch,
        )
        .values(indexed_number=last.number, indexed_hash=last.hash)
    )
    if moved.rowcount != 1:
        raise Conflict(
            f"another indexer moved on from chain block {after.indexed_number}",
            indexed_number=after.indexed_number,
        )
    projection = _project(connection, events, label_codes)
    _copy_chain(connection, blocks, events, transactions)
    _copy_read_models(connection, projection)
    _add_balances(connection, projection)
    exchange_index.add_balances(connection, projection.exchange)
    return ChainState(
        after.chain_id,
        after.deployment,
        last.number,
        last.hash,
        after.durable_number,
        after.epoch,
        after.instance,
    )


def _project(
    connection: Connection, events: Sequence[ChainEvent], label_codes: Mapping[str, str]
) -> Projection:
    classes, accounts = touched(events)
    projection = Projection(
        _positions(connection, classes), _participants(connection, accounts), label_codes
    )
    exchange_index.load(connection, events, projection.exchange)
    projection.apply(events)
    projection.check_conservation()
    return projection


def _positions(connection: Connection, classes: set[int]) -> dict[int, Positions]:
    rows = raw(connection).execute(
        "SELECT DISTINCT ON (class_id) class_id, minted, exited, open_tonne, dust"
        " FROM position_changes WHERE class_id = ANY(%s::numeric[])"
        " ORDER BY class_id, block_number DESC, log_index DESC",
        [[str(class_id) for class_id in classes]],
    )
    return {int(row[0]): Positions(*row[1:]) for row in rows}


def _participants(connection: Connection, accounts: set[str]) -> dict[str, Participant]:
    rows = raw(connection).execute(
        "SELECT DISTINCT ON (account) account, tier, jurisdiction, expiry, frozen"
        " FROM participant_changes WHERE account = ANY(%s)"
        " ORDER BY account, block_number DESC, log_index DESC",
        [list(accounts)],
    )
    return {row[0]: Participant(*row[1:]) for row in rows}


def _copy_chain(
    connection: Connection,
    blocks: Sequence[IndexedBlock],
    events: Sequence[ChainEvent],
    transactions: Sequence[ChainTransaction],
) -> None:
    columns = [column.name for column in tables.chain_blocks.columns]
    copy_rows(connection, "chain_blocks", columns, ((*block[0], *block[1:]) for block in blocks))
    lines = [
        f"{number}\t{log_index}\t{block_hash}\t{transaction_hash}\t{index}\t{contract}\t{name}\t"
        + escape(args_json(args))
        for (
            contract, name, args, number, block_hash, transaction_hash, index, log_index
        ) in events
    ]  # fmt: skip
    copy_lines(connection, "chain_events", _COLUMNS["chain_events"], lines)
    lines = [
        f"{number}\t{index}\t{hash_}\t\\\\x{sent.hex()}"
        for number, index, hash_, sent in transactions
    ]
    copy_lines(connection, "chain_transactions", _COLUMNS["chain_transactions"], lines)


def _copy_read_models(connection: Connection, projection: Projection) -> None:
    rows = projection.rows
    lines = [
        f"{account}\t{class_id}\t{kilograms}\t{retired}\t{number}\t{log_index}\t{ordinal}"
        for account, class_id, kilograms, retired, number, log_index, ordinal in rows.get(
            "balance_changes", ()
        )
    ]
    copy_lines(connection, "balance_changes", _COLUMNS["balance_changes"], lines)
    place_in_series(connection, projection)
    for table in CHAIN_TABLES:
        if table.name in rows and table.name not in _TEXT_COPIED:
            copy_rows(connection, table.name, _COLUMNS[table.name], rows[table.name])


def _add_balances(connection: Connection, projection: Projection) -> None:
    deltas = projection.balance_deltas
    if not deltas:
        return
    raw(connection).execute(
        "INSERT INTO balances AS held (account, class_id, kilograms, retired)"
        " SELECT * FROM unnest(%s::text[], %s::numeric[], %s::bigint[], %s::bigint[])"
        " ON CONFLICT (account, class_id) DO UPDATE SET"
        " kilograms = held.kilograms + excluded.kilograms,"
        " retired = held.retired + excluded.retired",
        [
            [account for account, _ in deltas],
            [str(class_id) for _, class_id in deltas],
            [delta[0] for delta in deltas.values()],
            [delta[1] for delta in deltas.values()],
        ],
    )


def rewind(connection: Connection, to_number: int, to_hash: str | None) -> ChainState:
    """Forget every chain block above `to_number`; balances of touched accounts are recomputed."""
    lock(connection, LOCK_INDEX)
    driver = raw(connection)
    driver.execute(
        "CREATE TEMP TABLE rewound ON COMMIT DROP AS"
        " SELECT DISTINCT account, class_id FROM balance_changes WHERE block_number > %s",
        [to_number],
    )
    exchange_touched = exchange_index.touched_above(connection, to_number)
    for table in (tables.chain_blocks, *CHAIN_TABLES):
        key = table.c.number if table is tables.chain_blocks else table.c.block_number
        connection.execute(delete(table).where(key > to_number))
    driver.execute(
        "DELETE FROM balances USING rewound WHERE balances.account = rewound.account"
        " AND balances.class_id = rewound.class_id"
    )
    driver.execute(
        "INSERT INTO balances SELECT account, class_id, sum(kilograms), sum(retired)"
        " FROM balance_changes JOIN rewound USING (account, class_id)"
        " GROUP BY account, class_id"
    )
    exchange_index.sum_up(connection, exchange_touched)
    # Rewound twice in one transaction (tests, rebuild), the table must not be in the way.
    driver.execute("DROP TABLE rewound")
    _reopen(driver, to_number)
    connection.execute(
        update(tables.chain_state).values(
            indexed_number=to_number,
            indexed_hash=to_hash,
            epoch=tables.chain_state.c.epoch + 1,
            durable_number=func.least(tables.chain_state.c.durable_number, to_number),
        )
    )
    state = load_state(connection)
    assert state is not None
    return state


def _reopen(driver: psycopg.Connection[Any], to_number: int) -> None:
    """What a reorganisation took back is under way again, however final it was thought to be.

    The sender looks at its transactions anew and sends again what is lost; receipts and
    confirmations wait for the chain once more (L10).
    """
    driver.execute(
        "UPDATE transactions SET state = 'signed', block_number = NULL, block_hash = NULL,"
        " transaction_hash = NULL, reason = NULL, updated_at = now()"
        " WHERE block_number > %s AND state IN ('mined', 'final', 'reverted')",
        [to_number],
    )
    driver.execute(
        "UPDATE receipts r SET state = 'submitted', updated_at = now() WHERE state = 'minted'"
        " AND NOT EXISTS (SELECT FROM receipts_minted m WHERE m.receipt_id = r.id)"
    )
    driver.execute(
        "UPDATE confirmations c SET state = 'submitted', updated_at = now()"
        " WHERE state = 'recorded' AND NOT EXISTS"
        " (SELECT FROM registry_confirmations m WHERE m.confirmation_id = c.id)"
    )


def clear(connection: Connection, before_first: int) -> ChainState:
    """Forget everything that comes from the chain.

    By DELETE, not TRUNCATE: readers go on with the old rows until the rebuilt ones are committed.
    """
    lock(connection, LOCK_INDEX)
    for table in (*_SUMS, tables.chain_blocks, *CHAIN_TABLES):
        connection.execute(delete(table))
    connection.execute(
        update(tables.chain_state).values(
            indexed_number=before_first,
            indexed_hash=None,
            epoch=tables.chain_state.c.epoch + 1,
        )
    )
    state = load_state(connection)
    assert state is not None
    return state


def set_instance(connection: Connection, instance: str | None) -> None:
    """Remember which process of a local chain the index has been compared with.

    Another process may lack what the one before had mined and the index had not yet: transactions
    up there are looked at anew.
    """
    state = load_state(connection)
    if state is not None and state.instance not in (None, instance):
        _reopen(raw(connection), state.indexed_number)
    connection.execute(update(tables.chain_state).values(instance=instance))


def mark_durable(connection: Connection, number: int) -> int:
    """Say that every chain block up to `number` is in each saved state of a local chain.

    Raw transactions at or below it are dropped; returns how many.
    """
    connection.execute(update(tables.chain_state).values(durable_number=number))
    kept = tables.chain_transactions
    return connection.execute(delete(kept).where(kept.c.block_number <= number)).rowcount


def block_hashes(connection: Connection, first: int, last: int) -> dict[int, str]:
    """Hashes of the indexed chain blocks in [first, last]."""
    blocks = tables.chain_blocks
    query = select(blocks.c.number, blocks.c.hash).where(blocks.c.number.between(first, last))
    return {row.number: row.hash for row in connection.execute(query)}


def check_conservation(connection: Connection) -> None:
    """L1, and L7 in credits, over everything indexed.

    Raises IndexInconsistent naming every class that breaks one of them.
    """
    rows = raw(connection).execute(
        "WITH counters AS (SELECT DISTINCT ON (class_id) class_id,"
        " (minted - exited) * 1000 + dust AS supply, minted, exited, dust"
        " FROM position_changes ORDER BY class_id, block_number DESC, log_index DESC),"
        " held AS (SELECT class_id, sum(kilograms) AS kilograms, sum(retired) AS retired,"
        " min(least(kilograms, retired)) AS lowest FROM balances GROUP BY class_id),"
        " certified AS (SELECT class_id, sum(kilograms) AS kilograms FROM certificates"
        " GROUP BY class_id),"
        " left_otherwise AS (SELECT class_id, sum(tonnes) * 1000 AS kilograms FROM class_exits"
        " GROUP BY class_id)"
        " SELECT class_id, supply, held.kilograms, held.retired, certified.kilograms, lowest"
        " FROM counters FULL JOIN held USING (class_id) LEFT JOIN certified USING (class_id)"
        " LEFT JOIN left_otherwise USING (class_id)"
        " WHERE supply IS DISTINCT FROM held.kilograms OR lowest < 0"
        " OR coalesce(certified.kilograms, 0) <> held.retired"
        " OR minted * 1000 <> held.kilograms + held.retired"
        "   + coalesce(left_otherwise.kilograms, 0) ORDER BY class_id"
    )
    breaks = [
        {
            "class_id": str(row[0]),
            "supply": str(row[1]),
            "balances": str(row[2]),
            "retired": str(row[3]),
            "certified": str(row[4]),
            "lowest": str(row[5]),
        }
        for row in rows
    ]
    if breaks:
        first = breaks[0]
        raise IndexInconsistent(
            f"L1 is broken in {len(breaks)} classes; class {first['class_id']}: supply "
            f"{first['supply']} kg, balances {first['balances']} kg, retired "
            f"{first['retired']} kg, certified {first['certified']} kg",
            breaks=breaks,
        )
    state = load_state(connection)
    venue = state.deployment["contracts"].get("Exchange") if state is not None else None
    if venue is not None:
        exchange_index.check_solvency(connection, venue["address"])
