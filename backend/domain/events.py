"""What happened on chain, decoded: one event, the chain block it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class ChainBlock(NamedTuple):
    """Header of one chain block; hashes are 0x-prefixed lower-case hex, time Unix seconds."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int


class ChainEvent(NamedTuple):
    """One decoded log of one of Causeway's contracts.

    `contract` is the name in the deployment file (`CarbonCredits`), `name` the event's.
    `args` by ABI name: integers as int, addresses as checksummed 0x strings, bytesN as 0x hex
    strings, structs as dicts, arrays as lists: what JSON can carry once integers are strings.
    """

    contract: str
    name: str
    args: Mapping[str, Any]
    block_number: int
    block_hash: str
    transaction_hash: str
    transaction_index: int
    log_index: int


class ChainTransaction(NamedTuple):
    """One transaction as it stands in a chain block; `raw` is what can be sent again."""

    block_number: int
    transaction_index: int
    hash: str
    raw: bytes
