"""Merkle-sum trees as `IReserve` hashes them: a node commits to the sums of both its children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from backend.errors import InvalidValue

#: Sums of nodes are uint64: a path whose sums pass it proves nothing.
MAX_SUM = 2**64 - 1
NO_ROOT = bytes(32)
#: No path is longer: rightBits has a bit for each level.
MAX_LEVELS = 255


#: Levels of a path whose turns fit 32 bits: 2^32 leaves.
MAX_PACKED_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Node:
    """The hash of a leaf or of a node, and its sum."""

    hash: bytes
    sum: int


@dataclass(frozen=True, slots=True)
class SumPath:
    """The way from a leaf to its root: siblings from the leaf's level upwards.

    Bit i of `right_bits` is set when our node is the right child at level i (0 = the leaf's).
    """

    right_bits: int = 0
    siblings: tuple[Node, ...] = ()

    def message(self) -> dict[str, Any]:
        """The struct `SumPath`: hashes and sums apart."""
        return {
            "rightBits": self.right_bits,
            "siblings": [node.hash for node in self.siblings],
            "sums": [node.sum for node in self.siblings],
        }

    def packed(self) -> bytes:
        """uint8 depth ‖ uint32 rightBits ‖ depth × (bytes32 sibling ‖ uint64 siblingSum)."""
        depth = len(self.siblings)
        if depth > MAX_PACKED_DEPTH:
            raise InvalidValue("depth", depth, f"is above {MAX_PACKED_DEPTH}")
        levels = (node.hash + node.sum.to_bytes(8, "big") for node in self.siblings)
        return bytes([depth]) + self.right_bits.to_bytes(4, "big") + b"".join(levels)

    def root(self, leaf: Node) -> Node:
        """Where the path leads from a leaf. Raises InvalidValue when a sum passes 64 bits or
        `right_bits` names levels that are not there: two paths must never mean the same.
        """
        if self.right_bits >> len(self.siblings):
            raise InvalidValue("right_bits", self.right_bits, "names more levels than siblings")
        node = leaf
        for level, sibling in enumerate(self.siblings):
            if self.right_bits >> level & 1:
                node = combined(sibling, node)
            else:
                node = combined(node, sibling)
        return node


def combined(left: Node, right: Node) -> Node:
    """keccak256(0x01 ‖ left ‖ uint64 leftSum ‖ right ‖ uint64 rightSum) and the sum of both."""
    total = left.sum + right.sum
    if total > MAX_SUM:
        raise InvalidValue("sum", total, "passes 64 bits")
    packed = (
        b"\x01"
        + left.hash
        + left.sum.to_bytes(8, "big")
        + right.hash
        + right.sum.to_bytes(8, "big")
    )
    return Node(keccak(packed), total)


class SumTree:
    """A tree over leaves in their order; over n it splits at the largest power of two below n.

    Built from below: neighbours pair, a last one without a neighbour moves up as it is. That is
    the same tree. No leaves: root 0 and sum 0.
    """

    def __init__(self, leaves: Sequence[Node]) -> None:
        self._levels: list[list[Node]] = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            above = [combined(*below[at : at + 2]) for at in range(0, len(below) - 1, 2)]
            if len(below) % 2:
                above.append(below[-1])
            self._levels.append(above)

    @property
    def root(self) -> Node:
        return self._levels[-1][0] if self._levels[-1] else Node(NO_ROOT, 0)

    def path(self, index: int) -> SumPath:
        """The path of the leaf with this index; raises InvalidValue when there is none."""
        if not 0 <= index < len(self._levels[0]):
            raise InvalidValue("leaf", index, f"is outside 0 … {len(self._levels[0]) - 1}")
        siblings: list[Node] = []
        right_bits = 0
        for level in self._levels[:-1]:
            other = index ^ 1
            if other < len(level):
                right_bits |= (index & 1) << len(siblings)
                siblings.append(level[other])
            index //= 2
        return SumPath(right_bits, tuple(siblings))
