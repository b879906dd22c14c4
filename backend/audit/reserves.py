"""L3: reserve reports in their order, and what each mint proved from the newest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from backend.audit.calls import Calls
from backend.audit.evidence import Evidence, ViewFailed
from backend.audit.ledger import Ledger
from backend.audit.register import RegisteredBlock, show
from backend.audit.report import Findings
from backend.domain.events import ChainEvent
from backend.domain.reserve import LiveBlock, ProvenBlock, ReserveProof
from backend.domain.serials import Interval
from backend.domain.sum_tree import Node, SumPath
from backend.errors import CausewayError, InvalidValue

CONTRACT: Final = "Reserve"


@dataclass(frozen=True, slots=True)
class Backed:
    """A mint and the report that stood when it was made."""

    event: ChainEvent
    report: ChainEvent | None


@dataclass(slots=True)
class ReserveBook:
    """Every report, every mint against one; `supply_at` fills in as the ledger goes."""

    findings: Findings
    ledger: Ledger
    times: Mapping[int, int]
    #: Kilograms outstanding at the end of each chain block that a report counts.
    supply_at: dict[int, int] = field(default_factory=dict)
    reports: list[ChainEvent] = field(default_factory=list)
    mints: list[Backed] = field(default_factory=list)

    def apply(self, event: ChainEvent) -> None:
        """Take one event of Reserve, or a mint of Trust."""
        if event.name == "ReserveReported":
            self._reported(event)
        elif event.name == "ReceiptMinted":
            self.mints.append(Backed(event, self.reports[-1] if self.reports else None))

    def _broken(self, what: str, event: ChainEvent, **amounts: int) -> None:
        self.findings.broken("L3", what, event, (), **amounts)

    def _reported(self, event: ChainEvent) -> None:
        args, last = event.args, self.reports[-1].args if self.reports else None
        sequence = args["sequence"]
        if sequence != len(self.reports) + 1:
            self._broken(
                f"reserve report {sequence} is number {len(self.reports) + 1} of those there are",
                event, sequence=sequence,
            )  # fmt: skip
        before = (last["asOf"], last["chainBlock"]) if last else (0, 0)
        now = (self.times[event.block_number], event.block_number)
        for name, at, low, high in zip(
            ("time", "chain block"), (args["asOf"], args["chainBlock"]), before, now, strict=True
        ):
            if not low <= at <= high:
                self._broken(f"reserve report {sequence} is of {name} {at}", event, at=at)
        self.reports.append(event)

    def check(self, evidence: Evidence, calls: Calls) -> None:
        """Judge liabilities, freshness and proofs; compare the newest with what is stored."""
        self._check_liabilities()
        self.findings.count("L3", reserve_reports=len(self.reports))
        if CONTRACT not in evidence.deployment.contracts:
            return
        newest, oldest_allowed = evidence.views(
            "reserve", [(CONTRACT, "current", ()), (CONTRACT, "maxAge", ())]
        )
        last = self.reports[-1].args if self.reports else None
        names = ("sequence", "asOf", "root", "tonnes")
        wanted = {name: last[name] if last else 0 for name in names}
        if last is None:
            wanted["root"] = "0x" + "00" * 32
        if newest != wanted:
            shown = newest.message if isinstance(newest, ViewFailed) else newest
            self.findings.broken(
                "L3", f"the newest reserve report is stored as {shown}",
                self.reports[-1] if self.reports else None,
            )  # fmt: skip
        age = oldest_allowed if isinstance(oldest_allowed, int) else None
        proven = sum(self._check_mint(mint, calls, age) for mint in self.mints)
        self.findings.count("L3", mints_proven=proven)
        if self.reports:
            old = evidence.block.timestamp - self.reports[-1].args["asOf"]
            self.findings.count("L3", report_age_seconds=max(old, 0))
        unseen = len(self.mints) - proven
        if unseen > 0 and not self.findings.breaks["L3"]:
            self.findings.gap(
                "L3", f"{unseen} mints were called through another contract and the endpoint "
                "gives no trace: their proofs were not seen",
            )  # fmt: skip

    def _check_liabilities(self) -> None:
        """What a report says is owed is what was outstanding at its chain block."""
        for event in self.reports:
            block = event.args["chainBlock"]
            owed = event.args["liabilitiesKilograms"]
            supply = self.supply_at.get(block, 0)
            if owed != supply:
                self._broken(
                    f"reserve report {event.args['sequence']} says that {owed} kg were owed at "
                    f"chain block {block}, {supply} kg were outstanding", event,
                    owed=owed, outstanding=supply,
                )  # fmt: skip

    def _check_mint(self, mint: Backed, calls: Calls, max_age: int | None) -> bool:
        """Whether the mint's proof was seen; a break when it proves too little."""
        event, args = mint.event, mint.event.args
        what = f"receipt {args['receiptId']}"
        blocks = [
            block
            for block in self.ledger.register.blocks.get(args["classId"], [])
            if block.receipt_id == args["receiptId"]
        ]
        if mint.report is None:
            self._short(event, f"{what} was minted before any reserve report", blocks)
            return True
        report = mint.report.args
        age = self.times[event.block_number] - report["asOf"]
        if max_age is not None and age > max_age:
            self._short(
                event, f"{what} was minted {age} s after the newest report, {max_age} s are "
                "allowed", blocks, age=age,
            )  # fmt: skip
        found = calls.of("Trust", event.transaction_hash)
        if found is None:
            return False
        given = [call.args["reserveProof"] for call in found if call.function == "mintWithReceipt"]
        problems = [self._problem(one, report, args, blocks) for one in given]
        if problems and None not in problems:
            self._short(event, f"{what} was minted on a proof that {problems[0]}", blocks)
        return True

    def _short(
        self, event: ChainEvent, what: str, blocks: Sequence[RegisteredBlock], **amounts: int
    ) -> None:
        self.findings.broken(
            "L3", what, event, show(block.serials for block in blocks),
            tonnes=event.args["tonnes"], **amounts,
        )  # fmt: skip

    def _problem(
        self,
        encoded: str,
        report: Mapping[str, Any],
        receipt: Mapping[str, Any],
        blocks: Sequence[RegisteredBlock],
    ) -> str | None:
        """Why a proof does not back the mint of these blocks; None when it does."""
        serials = [block.serials for block in blocks]
        account = bytes.fromhex(receipt["account"][2:])
        try:
            packed = bytes.fromhex(encoded.removeprefix("0x"))
            proof = read_proof(packed, receipt["classId"], serials, account)
            root = proof.root()
        except CausewayError as error:
            return f"cannot be read: {error}"
        if root != Node(bytes.fromhex(report["root"][2:]), report["tonnes"]):
            return "is not of the newest report"
        minted = max((block.end_position for block in blocks), default=0)
        if minted > proof.covered:
            return f"covers {proof.covered} t of the {minted} t minted with it"
        for interval, proven in zip(serials, proof.blocks, strict=True):
            if not proven.block.holds(interval):
                return f"lists {interval} in no live block of the receipt's account"
        return None


class _Packed:
    """Numbers and paths of packed bytes, one after the other."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def take(self, size: int) -> bytes:
        part = self._raw[self._at : self._at + size]
        if len(part) != size:
            raise InvalidValue("proof", len(self._raw), f"ends before byte {self._at + size}")
        self._at += size
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def path(self) -> SumPath:
        depth, right_bits = self.number(1), self.number(4)
        siblings = tuple(Node(self.take(32), self.number(8)) for _ in range(depth))
        return SumPath(right_bits, siblings)

    def end(self) -> None:
        if self._at != len(self._raw):
            raise InvalidValue("proof", len(self._raw), f"goes on behind byte {self._at}")


def read_proof(
    packed: bytes, class_id: int, serials: Sequence[Interval], account: bytes
) -> ReserveProof:
    """The inverse of `ReserveProof.encoded` for a receipt's serials, in order, and its account.

    Raises InvalidValue when it is no such proof, or its blocks lead to several roots.
    """
    reader, blocks = _Packed(packed), []
    for interval in serials:
        first, last = reader.number(8), reader.number(8)
        block = LiveBlock(interval.series.id, first, last, account)
        blocks.append(ProvenBlock(block, reader.path()))
    covered, path = reader.number(8), reader.path()
    reader.end()
    roots = {one.path.root(one.block.leaf()) for one in blocks}
    if len(roots) != 1:
        raise InvalidValue("proof", len(roots), "roots: the blocks are of one class")
    (root,) = roots
    return ReserveProof(class_id, covered, root.hash, root.sum, path, tuple(blocks))
