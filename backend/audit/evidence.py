"""Reads what an audit judges: every log of the contracts up to one chain block, and views at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.audit.texts import decode_published_texts
from backend.chain import abi
from backend.chain.events import EventDecoder
from backend.chain.manifest import Deployment
from backend.chain.rpc import Rpc
from backend.domain.events import ChainBlock, ChainEvent
from backend.errors import ChainRejected, ChainUnavailable, InvalidValue

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
#: A read: contract name, function, arguments.
View = tuple[str, str, Sequence[Any]]

#: Chain blocks of one log request; halved when the endpoint finds it too much.
LOG_RANGE = 2_000
#: Entries of one round of reads, so that progress shows.
_ROUND = 2_000


@dataclass(frozen=True, slots=True)
class ViewFailed:
    """A read that the contract refused or answered with something else than its ABI says."""

    message: str


@dataclass(slots=True)
class Evidence:
    """One fixed chain block and everything the contracts said up to it."""

    rpc: Rpc
    deployment: Deployment
    block: ChainBlock
    events: list[ChainEvent]
    malformed: list[tuple[str, int, str]]
    progress: Progress
    _blocks: dict[int, ChainBlock] = field(default_factory=dict)
    _transactions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def views(self, what: str, calls: Iterable[View]) -> list[Any]:
        """Results of reads at the block, in order; one that fails stands as ViewFailed."""
        listed = list(calls)
        results: list[Any] = []
        for start in range(0, len(listed), _ROUND):
            self.progress(what, start, len(listed))
            part = listed[start : start + _ROUND]
            answers = self.rpc.try_batch(
                ("eth_call", (self._call(contract, function, args), hex(self.block.number)))
                for contract, function, args in part
            )
            results += [_decode(view, answer) for view, answer in zip(part, answers, strict=True)]
        return results

    def _call(self, contract: str, function: str, args: Sequence[Any]) -> dict[str, str]:
        data = abi.encode_call(contract, function, args)
        return {"to": self.deployment.contracts[contract].address, "data": "0x" + data.hex()}

    def transactions(self, hashes: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Transactions by hash as JSON gives them, without those the endpoint does not have."""
        wanted = [found for found in dict.fromkeys(hashes) if found not in self._transactions]
        for start in range(0, len(wanted), _ROUND):
            self.progress("transactions", start, len(wanted))
            part = wanted[start : start + _ROUND]
            answers = self.rpc.batch(("eth_getTransactionByHash", (found,)) for found in part)
            for found, answer in zip(part, answers, strict=True):
                if answer is not None:
                    self._transactions[found] = answer
        return self._transactions

    def times(self, numbers: Iterable[int]) -> dict[int, int]:
        """Unix seconds of chain blocks by number."""
        wanted = sorted({number for number in numbers if number not in self._blocks})
        for start in range(0, len(wanted), _ROUND):
            part = wanted[start : start + _ROUND]
            for number, header in zip(part, self.rpc.blocks(part), strict=True):
                if header is None:
                    raise ChainUnavailable(f"chain block {number} is gone", block=number)
                self._blocks[number] = header
        return {number: header.timestamp for number, header in self._blocks.items()}

    def is_unchanged(self) -> bool:
        """Whether the audited chain block is still part of the chain."""
        now = self.rpc.block(self.block.number)
        return now is not None and now.hash == self.block.hash

    def require_unchanged(self) -> None:
        """Raises ChainUnavailable when the chain was reorganised while it was read."""
        if not self.is_unchanged():
            raise ChainUnavailable(
                f"the chain was reorganised at block {self.block.number} during the audit",
                block=self.block.number,
            )


def _decode(view: View, answer: Any) -> Any:
    contract, function, args = view
    if isinstance(answer, ChainRejected):
        return ViewFailed(answer.message)
    try:
        data = bytes.fromhex(answer.removeprefix("0x"))
        return abi.decode_result(contract, function, data, len(args))
    except (InvalidValue, ValueError) as error:
        return ViewFailed(f"{contract}.{function} answered {answer!r:.80}: {error}"[:200])


def read_logs(
    rpc: Rpc, addresses: Sequence[str], first: int, last: int, progress: Progress
) -> list[dict[str, Any]]:
    """Raw logs in chain blocks [first, last], in ranges that shrink where they are refused."""
    logs: list[dict[str, Any]] = []
    cursor, size = first, LOG_RANGE
    while cursor <= last:
        progress("logs", cursor - first, last - first + 1)
        end = min(cursor + size - 1, last)
        try:
            logs += rpc.get_logs(addresses, cursor, end)
        except ChainRejected:
            if size == 1:
                raise
            size = max(size // 4, 1)
            continue
        cursor = end + 1
    return logs


def _decode_logs(
    deployment: Deployment, logs: Iterable[dict[str, Any]]
) -> tuple[list[ChainEvent], list[tuple[str, int, str]]]:
    """Events in log order, and the logs that are not what their topic says they are."""
    decoder = EventDecoder(deployment)
    events: list[ChainEvent] = []
    malformed: list[tuple[str, int, str]] = []
    for log in logs:
        try:
            events += decoder.decode([log])
        except (InvalidValue, ValueError) as error:
            texts = decode_published_texts(deployment, log)
            if texts is not None:
                events.append(texts)
                continue
            place = (log["transactionHash"], int(log["blockNumber"], 16))
            malformed.append((*place, f"log {int(log['logIndex'], 16)}: {error}"[:200]))
    events.sort(key=lambda event: (event.block_number, event.log_index))
    return events, malformed


def gather(
    rpc: Rpc, deployment: Deployment, contracts: Sequence[str], progress: Progress
) -> Evidence:
    """Fix the newest chain block and read every log of these contracts up to it."""
    head = rpc.block("latest")
    if head is None:
        raise ChainUnavailable(f"{rpc.url} has no chain block")
    addresses = [deployment.contracts[name].address for name in contracts]
    first = min(deployment.contracts[name].block for name in contracts)
    logs = read_logs(rpc, addresses, first, head.number, progress)
    events, malformed = _decode_logs(deployment, logs)
    return Evidence(rpc, deployment, head, events, malformed, progress)
