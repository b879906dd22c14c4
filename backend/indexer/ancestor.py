"""Where chain and index part: the newest chain block that both hold."""

from __future__ import annotations

from backend.chain.rpc import Rpc
from backend.store import index
from backend.store.database import Database
from backend.store.index import ChainState

_STEP = 64


def common_ancestor(
    rpc: Rpc, database: Database, state: ChainState, head: int
) -> tuple[int, str | None]:
    """Number and hash of the newest chain block that chain and index share.

    (first indexed − 1, None) when they share none: then everything is indexed anew.
    """
    high = min(state.indexed_number, head)
    while True:
        low = max(high - _STEP + 1, 0)
        with database.read() as connection:
            held = index.block_hashes(connection, low, high)
        if not held:
            return high, None
        numbers = sorted(held, reverse=True)
        for number, header in zip(numbers, rpc.blocks(numbers), strict=True):
            if header is not None and header.hash == held[number]:
                return number, header.hash
        high = numbers[-1] - 1
