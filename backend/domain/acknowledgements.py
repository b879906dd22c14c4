"""What the sequencer signs for its answers: one Merkle root over the entries of one commit.

leaf = SHA-256(0x00 ‖ seq (u64) ‖ entry hash), node = SHA-256(0x01 ‖ left ‖ right); an odd node
moves up unchanged. A trader who keeps its leaf, its path and the signed root can prove that the
entry was promised: a journal without it, or with another in its place, is then a forgery (L9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from backend.domain.eip712 import SigningDomain, digest
from backend.domain.orders import ACKNOWLEDGEMENT_TYPES
from backend.errors import InvalidValue, NotAuthorised

_LEAF: Final = b"\0"
_NODE: Final = b"\1"
_HASH: Final = 32


class Step(NamedTuple):
    """One level of a path: the neighbour's hash, and whether it stands on the left."""

    left: bool
    hash: bytes


class Acknowledgement(NamedTuple):
    """Entry `seq` with this hash is under the root that `signature` signs."""

    seq: int
    entry_hash: bytes
    path: tuple[Step, ...]
    signature: bytes

    @property
    def root(self) -> bytes:
        return root_of_path(self.seq, self.entry_hash, self.path)


def leaf(seq: int, entry_hash: bytes) -> bytes:
    """The leaf of one entry."""
    if len(entry_hash) != _HASH:
        raise InvalidValue("entry hash", entry_hash.hex(), "is not 32 bytes")
    return sha256(_LEAF + seq.to_bytes(8, "big") + entry_hash).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()


def tree(leaves: Sequence[bytes]) -> tuple[bytes, list[tuple[Step, ...]]]:
    """The root over the leaves, and the path of each of them in their order."""
    if not leaves:
        raise InvalidValue("leaves", 0, "are none: an empty commit has no root")
    paths: list[list[Step]] = [[] for _ in leaves]
    # Per node of the level: its hash and the leaves below it.
    level = [(one, range(index, index + 1)) for index, one in enumerate(leaves)]
    while len(level) > 1:
        above = []
        for index in range(0, len(level) - 1, 2):
            (left, under_left), (right, under_right) = level[index], level[index + 1]
            for place in under_left:
                paths[place].append(Step(False, right))
            for place in under_right:
                paths[place].append(Step(True, left))
            above.append((_node(left, right), range(under_left.start, under_right.stop)))
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0][0], [tuple(path) for path in paths]


def root_of_path(seq: int, entry_hash: bytes, path: Sequence[Step]) -> bytes:
    """The root that an entry and its path lead to."""
    found = leaf(seq, entry_hash)
    for step in path:
        found = _node(step.hash, found) if step.left else _node(found, step.hash)
    return found


def encode_path(path: Sequence[Step]) -> bytes:
    """33 bytes a level from below: 0 or 1 (the neighbour stands on the left), its hash."""
    return b"".join(bytes((step.left,)) + step.hash for step in path)


def decode_path(raw: bytes) -> tuple[Step, ...]:
    """The inverse of `encode_path`; raises InvalidValue for anything else."""
    width = _HASH + 1
    steps = [raw[at : at + width] for at in range(0, len(raw), width)]
    if any(len(one) != width or one[0] > 1 for one in steps):
        raise InvalidValue("path", raw.hex()[:80], "is no list of 0 or 1 and 32 bytes")
    return tuple(Step(bool(one[0]), one[1:]) for one in steps)


def acknowledgement_digest(domain: SigningDomain, root: bytes) -> bytes:
    """The 32 bytes that the sequencer signs for a commit."""
    return digest(domain, ACKNOWLEDGEMENT_TYPES, "Acknowledgement", {"root": root})


def verify_acknowledgement(
    domain: SigningDomain,
    acknowledgement: Acknowledgement,
    sequencers: Sequence[str],
    recover: Callable[[bytes, bytes], str],
) -> None:
    """Raises NotAuthorised unless one of the venue's sequencers signed it.

    `recover(digest, signature)` names the signer: `chain.keys.recover`, or any other.
    """
    signed = acknowledgement_digest(domain, acknowledgement.root)
    signer = recover(signed, acknowledgement.signature)
    if signer.lower() not in {one.lower() for one in sequencers}:
        raise NotAuthorised(
            f"the acknowledgement of entry {acknowledgement.seq} is signed by {signer}, "
            "who is no sequencer of this venue",
            seq=acknowledgement.seq,
            signer=signer,
        )
