"""Reads ranges of chain blocks with their logs by a few JSON-RPC batches, and proves they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from backend.chain.events import EventDecoder
from backend.chain.manifest import Deployment
from backend.chain.rpc import Rpc
from backend.domain.events import ChainBlock, ChainEvent, ChainTransaction
from backend.errors import ChainRejected
from backend.store.index import IndexedBlock

#: Events that one range should hold: enough for COPY to pay, few enough for memory.
EVENTS_PER_RANGE = 20_000
MAX_BLOCKS_PER_RANGE = 1_000
FIRST_RANGE = 16


@dataclass(frozen=True, slots=True)
class RawRange:
    """A range as the chain gave it, logs not yet decoded."""

    blocks: list[IndexedBlock]
    logs: list[dict[str, Any]]
    transactions: list[ChainTransaction]

    @property
    def last(self) -> ChainBlock:
        return self.blocks[-1].header


class ChainMoved(Exception):
    """The chain changed while a range was read: look again from the common chain block."""


def indexed_block(header: dict[str, Any]) -> IndexedBlock:
    """A chain block from an answer to eth_getBlockByNumber without whole transactions."""
    base_fee = header.get("baseFeePerGas")
    return IndexedBlock(
        ChainBlock(
            int(header["number"], 16),
            header["hash"],
            header["parentHash"],
            int(header["timestamp"], 16),
        ),
        header["receiptsRoot"],
        len(header["transactions"]),
        int(base_fee, 16) if base_fee else None,
    )


class Fetcher:
    """Reads ranges of one chain; `record_raw` for local chains, whose transactions may be lost."""

    def __init__(self, rpc: Rpc, deployment: Deployment, record_raw: bool) -> None:
        self._rpc = rpc
        self._addresses = deployment.addresses
        self._decoder = EventDecoder(deployment)
        self._record_raw = record_raw
        self._blocks_per_range = FIRST_RANGE

    def decode(self, logs: Sequence[dict[str, Any]]) -> list[ChainEvent]:
        """The events of our contracts among these logs."""
        return self._decoder.decode(logs)

    def fetch(
        self, first: int, head: int, parent_hash: str | None, durable: int | None
    ) -> RawRange:
        """A range from chain block `first` on, as long as suits; raises ChainMoved.

        `parent_hash` is what the first block must stand on; raw transactions are read for chain
        blocks above `durable`.
        """
        while True:
            last = min(head, first + self._blocks_per_range - 1)
            try:
                logs = self._rpc.get_logs(self._addresses, first, last)
                break
            except ChainRejected:
                # Public endpoints refuse ranges with too many chain blocks or logs.
                if last == first:
                    raise
                self._blocks_per_range = max(1, (last - first + 1) // 2)
        answers = self._rpc.batch(
            ("eth_getBlockByNumber", (hex(number), False)) for number in range(first, last + 1)
        )
        if any(answer is None for answer in answers):
            raise ChainMoved
        blocks = [indexed_block(answer) for answer in answers]
        self._check(blocks, logs, parent_hash)
        transactions = self._raw_transactions(answers, durable)
        # The logs were read before the headers: the same newest block afterwards means that
        # both are of one chain.
        newest = self._rpc.block(last)
        if newest is None or newest.hash != blocks[-1].header.hash:
            raise ChainMoved
        self._adapt(len(blocks), len(logs))
        return RawRange(blocks, logs, transactions)

    @staticmethod
    def _check(
        blocks: Sequence[IndexedBlock], logs: Sequence[dict[str, Any]], parent_hash: str | None
    ) -> None:
        if parent_hash is not None and blocks[0].header.parent_hash != parent_hash:
            raise ChainMoved
        if any(below.header.hash != above.header.parent_hash for below, above in pairwise(blocks)):
            raise ChainMoved
        hashes = {block.header.hash for block in blocks}
        if not hashes.issuperset(log["blockHash"] for log in logs):
            raise ChainMoved

    def _raw_transactions(
        self, answers: Sequence[dict[str, Any]], durable: int | None
    ) -> list[ChainTransaction]:
        if not self._record_raw:
            return []
        floor = -1 if durable is None else durable
        places = [
            (int(answer["number"], 16), index, sent)
            for answer in answers
            if int(answer["number"], 16) > floor
            for index, sent in enumerate(answer["transactions"])
        ]
        raws = self._rpc.batch(("eth_getRawTransactionByHash", (sent,)) for _, _, sent in places)
        if any(raw is None for raw in raws):
            raise ChainMoved
        return [
            ChainTransaction(number, index, sent, bytes.fromhex(raw[2:]))
            for (number, index, sent), raw in zip(places, raws, strict=True)
        ]

    def _adapt(self, blocks: int, logs: int) -> None:
        wanted = blocks * EVENTS_PER_RANGE // max(logs, 1)
        # Never more than fourfold at once: the next chain blocks may be fuller than these.
        self._blocks_per_range = max(1, min(wanted, blocks * 4, MAX_BLOCKS_PER_RANGE))
