"""Acknowledgements: each entry of a commit leads to its root by its own path, and only by that."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.acknowledgements import (
    Acknowledgement,
    acknowledgement_digest,
    decode_path,
    encode_path,
    leaf,
    root_of_path,
    tree,
    verify_acknowledgement,
)
from backend.domain.orders import exchange_domain
from backend.errors import InvalidValue, NotAuthorised

pytestmark = pytest.mark.unit

HASHES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20)


@given(HASHES, st.integers(1, 2**40))
def test_every_entry_of_a_commit_leads_to_the_root(hashes: list[bytes], first: int) -> None:
    root, paths = tree([leaf(first + at, one) for at, one in enumerate(hashes)])
    for at, (one, path) in enumerate(zip(hashes, paths, strict=True)):
        assert root_of_path(first + at, one, path) == root
        assert root_of_path(first + at + 1, one, path) != root
        assert decode_path(encode_path(path)) == path


def test_one_entry_is_its_own_root_and_an_odd_one_moves_up() -> None:
    a, b, c = (leaf(seq, bytes([seq]) * 32) for seq in (1, 2, 3))
    assert tree([a]) == (a, [()])
    below = sha256(b"\1" + a + b).digest()
    root, paths = tree([a, b, c])
    assert root == sha256(b"\1" + below + c).digest()
    assert [len(path) for path in paths] == [2, 2, 1]


def test_a_commit_without_entries_and_a_path_of_another_form_are_refused() -> None:
    with pytest.raises(InvalidValue):
        tree([])
    for raw in (b"\2" + bytes(32), bytes(32), bytes(34)):
        with pytest.raises(InvalidValue):
            decode_path(raw)


def test_an_acknowledgement_is_of_one_of_the_venues_sequencers() -> None:
    domain = exchange_domain(31337, "0x" + "11" * 20)
    held = Acknowledgement(7, bytes(32), (), bytes(65))
    signed: list[bytes] = []

    def recover(digest: bytes, signature: bytes) -> str:
        signed.append(digest)
        return "0xAb" + "00" * 19

    verify_acknowledgement(domain, held, ["0xab" + "00" * 19], recover)
    assert signed == [acknowledgement_digest(domain, leaf(7, bytes(32)))]
    with pytest.raises(NotAuthorised, match="entry 7"):
        verify_acknowledgement(domain, held, ["0x" + "22" * 20], recover)
