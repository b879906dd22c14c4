"""What the chain says of a venue, in the order of the chain: read by the leader's feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection

from backend.store.database import raw

#: Events of these contracts that a venue journals.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "Exchange": (
        "AssetListed",
        "BatchSettled",
        "Deposited",
        "ExitCancelled",
        "ExitExecuted",
        "ExitRequested",
        "NonceInvalidated",
        "PreSigned",
        "TradesVoided",
        "VenuePaused",
        "VenueUnpaused",
    ),
    "CarbonCredits": ("ClassCreated", "ClassFlagsSet"),
}
#: An admission or freeze stands in its own table with the state it led to.
PARTICIPANT: Final = "Participant"


class FinalHead(NamedTuple):
    """How far the index can be believed: the newest final chain block, and the index's epoch."""

    number: int
    timestamp: int
    epoch: int


class StoredFact(NamedTuple):
    """One event; `contract` is PARTICIPANT for a participant's state after an event."""

    block: int
    log_index: int
    contract: str
    name: str
    args: Mapping[str, Any]


def final_head(connection: Connection, confirmations: int) -> FinalHead | None:
    """The newest chain block with so many on top of it; None while there is none."""
    found = raw(connection).execute(
        "SELECT b.number, b.timestamp, s.epoch FROM chain_state s JOIN chain_blocks b"
        " ON b.number = s.indexed_number - %s",
        (confirmations,),
    )
    row = found.fetchone()
    return FinalHead(*row) if row else None


def facts_after(
    connection: Connection, place: tuple[int, int], up_to: int, limit: int
) -> list[StoredFact]:
    """Facts after a place (chain block, log index) up to a chain block, in order."""
    contracts = [contract for contract, names in NAMES.items() for _ in names]
    names = [name for names in NAMES.values() for name in names]
    rows = raw(connection).execute(
        "SELECT block_number, log_index, contract, name, args::text FROM chain_events"
        " WHERE (block_number, log_index) > (%(block)s, %(index)s) AND block_number <= %(up_to)s"
        " AND (contract, name) IN (SELECT * FROM unnest(%(contracts)s::text[], %(names)s::text[]))"
        " UNION ALL SELECT block_number, log_index, %(participant)s, account,"
        " json_build_object('tier', tier, 'expiry', expiry, 'frozen', frozen)::text"
        " FROM participant_changes"
        " WHERE (block_number, log_index) > (%(block)s, %(index)s) AND block_number <= %(up_to)s"
        " ORDER BY 1, 2 LIMIT %(limit)s",
        {
            "block": place[0],
            "index": place[1],
            "up_to": up_to,
            "contracts": contracts,
            "names": names,
            "participant": PARTICIPANT,
            "limit": limit,
        },
    )
    return [StoredFact(row[0], row[1], row[2], row[3], orjson.loads(row[4])) for row in rows]


def first_block_after(connection: Connection, timestamp: int, up_to: int) -> int | None:
    """The first indexed chain block, up to one, whose time is later than `timestamp`."""
    found = raw(connection).execute(
        "SELECT number FROM chain_blocks WHERE timestamp > %s AND number <= %s"
        " ORDER BY number LIMIT 1",
        (timestamp, up_to),
    )
    row = found.fetchone()
    return row[0] if row else None


def journalled_facts(connection: Connection, venue: int, kinds: Sequence[int]) -> list[bytes]:
    """The entries of these kinds that a venue's journal holds, in their order."""
    rows = (
        raw(connection)
        .cursor(binary=True)
        .execute(
            "SELECT entry FROM journal WHERE venue = %s AND trader IS NULL AND kind = ANY(%s)"
            " ORDER BY seq",
            (venue, list(kinds)),
        )
    )
    return [bytes(row[0]) for row in rows]
