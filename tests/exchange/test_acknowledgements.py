"""The fast signature over a commit equals the slow definition, and proves what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.chain.keys import address_of, named_key, recover
from backend.domain.acknowledgements import (
    Acknowledgement,
    acknowledgement_digest,
    decode_path,
    encode_path,
    leaf,
    tree,
    verify_acknowledgement,
)
from backend.domain.orders import exchange_domain
from backend.errors import NotAuthorised
from backend.exchange import acknowledgements
from backend.exchange.acknowledgements import Acknowledger, encoded_paths

pytestmark = pytest.mark.unit

DOMAIN = exchange_domain(31_337, "0x" + "e5" * 20)
KEY = bytes([9] * 32)
ENTRIES = st.lists(
    st.tuples(st.integers(1, 2**63), st.binary(min_size=32, max_size=32)), min_size=1, max_size=70
)


@given(ENTRIES)
def test_fast_paths_are_the_paths_of_the_definition(entries: list[tuple[int, bytes]]) -> None:
    leaves = [leaf(*one) for one in entries]
    assert leaves == [acknowledgements.leaf(*one) for one in entries]
    root, paths = tree(leaves)
    assert encoded_paths(leaves) == (root, [encode_path(one) for one in paths])


@given(ENTRIES)
def test_every_entry_of_a_commit_is_proven_by_one_signature(
    entries: list[tuple[int, bytes]],
) -> None:
    signature, paths = Acknowledger(DOMAIN, named_key("sequencer", KEY)).sign_commit(entries)
    for (seq, entry_hash), path in zip(entries, paths, strict=True):
        made = Acknowledgement(seq, entry_hash, decode_path(path), signature)
        assert recover(acknowledgement_digest(DOMAIN, made.root), signature) == address_of(KEY)


def test_an_entry_that_was_not_acknowledged_has_no_proof() -> None:
    entries = [(seq, bytes([seq] * 32)) for seq in range(1, 8)]
    signature, paths = Acknowledger(DOMAIN, named_key("sequencer", KEY)).sign_commit(entries)
    good = Acknowledgement(3, entries[2][1], decode_path(paths[2]), signature)
    verify_acknowledgement(DOMAIN, good, [address_of(KEY)], recover)
    for wrong in (
        good._replace(seq=4),
        good._replace(entry_hash=bytes(32)),
        good._replace(path=decode_path(paths[3])),
        good._replace(path=good.path[1:]),
    ):
        with pytest.raises(NotAuthorised):
            verify_acknowledgement(DOMAIN, wrong, [address_of(KEY)], recover)
