"""Reads ranges of chain blocks with their logs by a few JSON-RPC batches, and proves they fit."""

from __future__ import annotations

from bisect import bisect_right
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

#: Events that one range should hold: enough for COPY to pay, few enough to read the next range
#: while this one is written.
EVENTS_PER_RANGE = 10_000
MAX_BLOCKS_PER_RANGE = 1_000
FIRST_RANGE = 8


@dataclass(frozen=True, slots=True)
class Range:
    """A range of chain blocks, ready to be stored."""

    blocks: list[IndexedBlock]
    events: list[ChainEvent]
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
        self._decoder = EventDecoder(deployment, lenient=True)
        self._record_raw = record_raw
        self._blocks_per_range = FIRST_RANGE
        self._ahead: list[Range] = []

    def fetch(self, first: int, head: int, parent_hash: str | None, durable: int | None) -> Range:
        """A range from chain block `first` on, as long as suits; raises ChainMoved.

        `parent_hash` is what the first block must stand on; raw transactions are read for chain
        blocks above `durable`. What was read and did not fit is kept for the next call.
        """
        if self._ahead:
            header = self._ahead[0].blocks[0].header
            if header.number == first and header.parent_hash == parent_hash:
                return self._ahead.pop(0)
            self._ahead = []
        self._ahead = _parts(self._read(first, head, parent_hash, durable))
        return self._ahead.pop(0)

    def _read(self, first: int, head: int, parent_hash: str | None, durable: int | None) -> Range:
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
        return Range(blocks, self._decoder.decode(logs), transactions)

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
        # Never more than twofold at once: the next chain blocks may be fuller than these.
        self._blocks_per_range = max(1, min(wanted, blocks * 2, MAX_BLOCKS_PER_RANGE))


def _parts(whole: Range) -> list[Range]:
    """The range in pieces of whole chain blocks, each of about EVENTS_PER_RANGE events."""
    if len(whole.events) < 2 * EVENTS_PER_RANGE:
        return [whole]
    parts: list[Range] = []
    block, event, sent = 0, 0, 0
    while block < len(whole.blocks):
        at = min(event + EVENTS_PER_RANGE, len(whole.events)) - 1
        last = whole.events[at].block_number if event <= at else whole.last.number
        if at + 1 == len(whole.events):
            last = whole.last.number
        stop = last - whole.blocks[0].header.number + 1
        events = bisect_right(whole.events, last, key=lambda found: found.block_number)
        raws = bisect_right(whole.transactions, last, key=lambda found: found.block_number)
        parts.append(
            Range(
                whole.blocks[block:stop],
                whole.events[event:events],
                whole.transactions[sent:raws],
            )
        )
        block, event, sent = stop, events, raws
    return parts
