"""The sequencer's signature over one commit, and every entry's path to it, fast.

The same tree and the same digest as `domain.acknowledgements`, which the tests hold it to.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from sha3 import keccak_256  # type: ignore[import-untyped]

from backend.chain.keys import Key
from backend.domain.eip712 import SigningDomain, encode_type
from backend.domain.orders import ACKNOWLEDGEMENT_TYPES

_TYPE_HASH: Final = keccak_256(
    encode_type(ACKNOWLEDGEMENT_TYPES, "Acknowledgement").encode()
).digest()


class Acknowledger:
    """Signs commits of one venue with the sequencer's key."""

    def __init__(self, domain: SigningDomain, key: Key) -> None:
        self._prefix = b"\x19\x01" + domain.separator
        self._key = key

    def sign(self, root: bytes) -> bytes:
        """The 65-byte signature of Acknowledgement(root)."""
        # The C keccak, as in chain.signatures: others leave Python's lock and queue up for it.
        signed = keccak_256(_TYPE_HASH + root).digest()
        return self._key.sign(keccak_256(self._prefix + signed).digest())

    def sign_commit(self, entries: Sequence[tuple[int, bytes]]) -> Signed:
        """The signature and the encoded path of each (seq, entry hash), in their order."""
        root, paths = encoded_paths([leaf(seq, entry_hash) for seq, entry_hash in entries])
        return Signed(self.sign(root), paths)


class Signed(NamedTuple):
    """The signature over a commit's root, and per entry its path as `encode_path` writes it."""

    signature: bytes
    paths: list[bytes]


def leaf(seq: int, entry_hash: bytes) -> bytes:
    """The leaf of one entry."""
    return sha256(b"\0" + seq.to_bytes(8, "big") + entry_hash).digest()


def encoded_paths(leaves: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The root over the leaves and the encoded path of each; there is at least one."""
    levels = [list(leaves)]
    while len(level := levels[-1]) > 1:
        above = [
            sha256(b"\1" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        if len(level) % 2:
            above.append(level[-1])
        levels.append(above)
    # From the root down: a node's path is its neighbour and then its parent's path.
    paths = [b""]
    for level in reversed(levels[:-1]):
        last = len(level) - 1
        paths = [
            (b"\1" + level[at - 1] if at & 1 else b"\0" + level[at + 1]) + paths[at >> 1]
            if at & 1 or at < last
            else paths[at >> 1]
            for at in range(len(level))
        ]
    return levels[-1][0], paths
