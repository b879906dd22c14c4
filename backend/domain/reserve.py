"""Reserve reports: the trees custodian and attestor sign, and the proofs a mint carries (L3)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from eth_utils.crypto import keccak

from backend.domain import eip712
from backend.domain.serials import Interval
from backend.domain.sum_tree import MAX_SUM, Node, SumPath, SumTree
from backend.errors import InvalidValue, NotFound

DOMAIN_NAME = "Causeway Reserve"
DOMAIN_VERSION = "1"

TYPES: dict[str, list[tuple[str, str]]] = {
    "ReserveReport": [
        ("sequence", "uint64"),
        ("asOf", "uint64"),
        ("chainBlock", "uint64"),
        ("root", "bytes32"),
        ("tonnes", "uint64"),
        ("liabilitiesRoot", "bytes32"),
        ("liabilitiesKilograms", "uint128"),
        ("evidenceHash", "bytes32"),
    ],
}


def signing_domain(chain_id: int, reserve: str) -> eip712.SigningDomain:
    """The EIP-712 domain of one Reserve contract on one chain."""
    return eip712.SigningDomain(DOMAIN_NAME, DOMAIN_VERSION, chain_id, reserve)


def _u64(number: int) -> bytes:
    if not 0 <= number <= MAX_SUM:
        raise InvalidValue("number", number, "is outside 0 … 2^64 − 1")
    return number.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class LiveBlock:
    """Serials that lie live in a trust account; `account` = keccak256 of its reference."""

    series_id: bytes
    first: int
    last: int
    account: bytes

    @classmethod
    def of(cls, interval: Interval, account: bytes) -> LiveBlock:
        return cls(interval.series.id, interval.first, interval.last, account)

    @property
    def tonnes(self) -> int:
        return self.last - self.first + 1

    def leaf(self) -> Node:
        """keccak256(0x00 ‖ seriesId ‖ first ‖ last ‖ account), its sum the tonnes."""
        if not 1 <= self.first <= self.last:
            raise InvalidValue("block", f"{self.first}-{self.last}", "is no interval of serials")
        packed = b"\x00" + self.series_id + _u64(self.first) + _u64(self.last) + self.account
        return Node(keccak(packed), self.tonnes)

    def holds(self, interval: Interval) -> bool:
        """Whether the interval lies inside."""
        same = interval.series.id == self.series_id
        return same and self.first <= interval.first and interval.last <= self.last


@dataclass(frozen=True)
class ClassReserve:
    """One class of a report: what is covered, and its live blocks by (series id, first)."""

    class_id: int
    covered: int
    blocks: tuple[LiveBlock, ...]

    def __post_init__(self) -> None:
        for one, other in pairwise(self.blocks):
            if (one.series_id, one.last) >= (other.series_id, other.first):
                if one.series_id == other.series_id and one.first <= other.first:
                    problem = f"overlaps {one.first}-{one.last}"
                else:
                    problem = "does not ascend by (series id, first)"
                raise InvalidValue("block", f"{other.first}-{other.last}", problem)

    @cached_property
    def tree(self) -> SumTree:
        return SumTree([block.leaf() for block in self.blocks])

    def leaf(self) -> Node:
        """keccak256(0x02 ‖ classId ‖ covered ‖ blocksRoot ‖ blocksTonnes), its sum `covered`."""
        blocks = self.tree.root
        packed = b"\x02" + self.class_id.to_bytes(32, "big") + _u64(self.covered)
        return Node(keccak(packed + blocks.hash + _u64(blocks.sum)), self.covered)

    def block_with(self, interval: Interval) -> int | None:
        """The index of the live block that holds the interval whole, None when none does."""
        keys = [(block.series_id, block.first) for block in self.blocks]
        at = bisect_right(keys, (interval.series.id, interval.first)) - 1
        return at if at >= 0 and self.blocks[at].holds(interval) else None


@dataclass(frozen=True, slots=True)
class ProvenBlock:
    """A live block with its path to the root of its class's blocks."""

    block: LiveBlock
    path: SumPath

    def packed(self) -> bytes:
        """uint64 first ‖ uint64 last ‖ path; the contract knows series and account."""
        return _u64(self.block.first) + _u64(self.block.last) + self.path.packed()


@dataclass(frozen=True, slots=True)
class ReserveProof:
    """What a mint carries: the class's leaf and per interval the live block that holds it."""

    class_id: int
    covered: int
    blocks_root: bytes
    blocks_tonnes: int
    path: SumPath
    blocks: tuple[ProvenBlock, ...]

    def encoded(self) -> bytes:
        """What `mintWithReceipt` takes: per interval its live block ‖ uint64 covered ‖ path.

        `blocks_root` is not in it: it is where the blocks' paths lead.
        """
        blocks = b"".join(block.packed() for block in self.blocks)
        return blocks + _u64(self.covered) + self.path.packed()

    def encoded_live(self) -> bytes:
        """What a refund with a report takes: the account ‖ the proof of one block.

        Raises InvalidValue unless there is exactly one.
        """
        if len(self.blocks) != 1:
            raise InvalidValue("blocks", len(self.blocks), "is not one block")
        return self.blocks[0].block.account + self.encoded()

    def root(self) -> Node:
        """The root that this proof is of. Raises InvalidValue when a block's path leads elsewhere
        than to `blocks_root`.
        """
        for proven in self.blocks:
            found = proven.path.root(proven.block.leaf())
            if found != Node(self.blocks_root, self.blocks_tonnes):
                block = f"{proven.block.first}-{proven.block.last}"
                raise InvalidValue("block", block, "is not in the blocks of its class")
        packed = b"\x02" + self.class_id.to_bytes(32, "big") + _u64(self.covered)
        leaf = keccak(packed + self.blocks_root + _u64(self.blocks_tonnes))
        return self.path.root(Node(leaf, self.covered))


@dataclass(frozen=True, order=True, slots=True)
class Liability:
    """What is owed to one holder of one class; ordered as the tree has them.

    `holder` is a 0x address; the order is by its bytes, so it is compared in lower case.
    """

    class_id: int
    holder: str
    kilograms: int

    @property
    def key(self) -> tuple[int, str]:
        return self.class_id, self.holder.lower()

    def leaf(self) -> Node:
        """keccak256(0x03 ‖ classId ‖ holder ‖ uint64 kilograms), its sum the kilograms."""
        packed = b"\x03" + self.class_id.to_bytes(32, "big") + bytes.fromhex(self.holder[2:])
        return Node(keccak(packed + _u64(self.kilograms)), self.kilograms)


@dataclass(frozen=True)
class Liabilities:
    """Every balance at one chain block, by (class, holder); `of` sorts and leaves out zeros."""

    entries: tuple[Liability, ...]
    _at: dict[tuple[int, str], int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for one, other in pairwise(self.entries):
            if one.key >= other.key:
                raise InvalidValue("liability", other, "does not ascend by (class, holder)")
        at = {entry.key: index for index, entry in enumerate(self.entries)}
        object.__setattr__(self, "_at", at)

    @classmethod
    def of(cls, balances: Iterable[Liability]) -> Liabilities:
        held = (entry for entry in balances if entry.kilograms)
        return cls(tuple(sorted(held, key=lambda entry: entry.key)))

    @cached_property
    def tree(self) -> SumTree:
        return SumTree([entry.leaf() for entry in self.entries])

    def proof(self, class_id: int, holder: str) -> tuple[Liability, SumPath]:
        """A holder's entry and its path; raises NotFound when nothing is owed."""
        at = self._at.get((class_id, holder.lower()))
        if at is None:
            problem = f"{holder} held nothing of class {class_id}"
            raise NotFound(problem, holder=holder, class_id=str(class_id))
        return self.entries[at], self.tree.path(at)


def verify_liability(liability: Liability, path: SumPath, root: bytes, kilograms: int) -> bool:
    """Whether the path leads from this entry to the root and the sum that a report names."""
    try:
        return path.root(liability.leaf()) == Node(root, kilograms)
    except InvalidValue:
        return False


@dataclass(frozen=True)
class ReserveTree:
    """The classes of one report, ascending by id, under one root."""

    classes: tuple[ClassReserve, ...]

    def __post_init__(self) -> None:
        for one, other in pairwise(self.classes):
            if one.class_id >= other.class_id:
                raise InvalidValue("class", other.class_id, "does not ascend")

    @cached_property
    def tree(self) -> SumTree:
        return SumTree([entry.leaf() for entry in self.classes])

    def _index(self, class_id: int) -> int:
        for index, entry in enumerate(self.classes):
            if entry.class_id == class_id:
                return index
        raise NotFound(f"the report has no class {class_id}", class_id=str(class_id))

    def get(self, class_id: int) -> ClassReserve:
        """One class; raises NotFound."""
        return self.classes[self._index(class_id)]

    def proof(self, class_id: int, intervals: Sequence[Interval]) -> ReserveProof:
        """The proof that these intervals are live; NotFound when the class or one is not."""
        index = self._index(class_id)
        entry = self.classes[index]
        proven = []
        for interval in intervals:
            at = entry.block_with(interval)
            if at is None:
                problem = f"{interval} lies in no live block of the report"
                raise NotFound(problem, class_id=str(class_id), interval=str(interval))
            proven.append(ProvenBlock(entry.blocks[at], entry.tree.path(at)))
        blocks = entry.tree.root
        return ReserveProof(
            class_id, entry.covered, blocks.hash, blocks.sum, self.tree.path(index), tuple(proven)
        )


@dataclass(frozen=True, slots=True)
class ReserveReport:
    """What custodian and attestor sign. `as_of`: Unix seconds; sums of `root` are tonnes, of
    `liabilities_root` kilograms; `chain_block` is the finalised block whose positions it counts.
    """

    sequence: int
    as_of: int
    chain_block: int
    root: bytes
    tonnes: int
    liabilities_root: bytes
    liabilities_kilograms: int
    evidence_hash: bytes

    @classmethod
    def of(
        cls,
        sequence: int,
        as_of: int,
        chain_block: int,
        reserve: ReserveTree,
        liabilities: Liabilities,
        evidence_hash: bytes,
    ) -> ReserveReport:
        """The report over these trees."""
        assets, owed = reserve.tree.root, liabilities.tree.root
        return cls(
            sequence,
            as_of,
            chain_block,
            assets.hash,
            assets.sum,
            owed.hash,
            owed.sum,
            evidence_hash,
        )

    def message(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "asOf": self.as_of,
            "chainBlock": self.chain_block,
            "root": self.root,
            "tonnes": self.tonnes,
            "liabilitiesRoot": self.liabilities_root,
            "liabilitiesKilograms": self.liabilities_kilograms,
            "evidenceHash": self.evidence_hash,
        }

    def digest(self, domain: eip712.SigningDomain) -> bytes:
        """What is signed, and the report's id."""
        return eip712.digest(domain, TYPES, "ReserveReport", self.message())
