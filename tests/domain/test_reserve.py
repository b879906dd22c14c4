"""Trees of a reserve report: every leaf is proven, nothing else is (L3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.reserve import (
    ClassReserve,
    Liabilities,
    Liability,
    LiveBlock,
    ReserveReport,
    ReserveTree,
    signing_domain,
    verify_liability,
)
from backend.domain.serials import Interval
from backend.domain.sum_tree import MAX_SUM, NO_ROOT, Node, SumPath, SumTree
from backend.errors import InvalidValue, NotFound
from tests.domain.strategies import vcs

pytestmark = pytest.mark.unit

leaves = st.lists(
    st.builds(Node, st.binary(min_size=32, max_size=32), st.integers(0, 2**40)),
    max_size=40,
    unique_by=lambda node: node.hash,
)
ACCOUNT = keccak(text="trust account 1")


def naive_root(nodes: list[Node]) -> Node:
    """The definition: split at the largest power of two below n."""
    if not nodes:
        return Node(NO_ROOT, 0)
    if len(nodes) == 1:
        return nodes[0]
    split = 1
    while split * 2 < len(nodes):
        split *= 2
    left, right = naive_root(nodes[:split]), naive_root(nodes[split:])
    packed = b"\x01" + left.hash + left.sum.to_bytes(8) + right.hash + right.sum.to_bytes(8)
    return Node(keccak(packed), left.sum + right.sum)


@given(leaves)
def test_a_tree_built_from_below_is_the_tree_of_the_definition(nodes: list[Node]) -> None:
    tree = SumTree(nodes)
    assert tree.root == naive_root(nodes)
    for index, leaf in enumerate(nodes):
        assert tree.path(index).root(leaf) == tree.root


@given(leaves.filter(lambda nodes: len(nodes) > 1), st.data())
def test_a_path_with_anything_changed_leads_elsewhere(
    nodes: list[Node], data: st.DataObject
) -> None:
    tree = SumTree(nodes)
    index = data.draw(st.integers(0, len(nodes) - 1))
    path = tree.path(index)
    level = data.draw(st.integers(0, len(path.siblings) - 1))
    sibling = path.siblings[level]
    changed = list(path.siblings)
    changed[level] = Node(sibling.hash, sibling.sum + 1)
    assert SumPath(path.right_bits, tuple(changed)).root(nodes[index]) != tree.root
    assert path.root(Node(nodes[index].hash, nodes[index].sum + 1)) != tree.root
    assert SumPath(path.right_bits ^ 1 << level, path.siblings).root(nodes[index]) != tree.root


def test_a_path_with_bits_beyond_its_levels_or_a_sum_beyond_64_bits_proves_nothing() -> None:
    leaf = Node(b"l" * 32, 1)
    with pytest.raises(InvalidValue, match="more levels"):
        SumPath(2, (leaf,)).root(leaf)
    with pytest.raises(InvalidValue, match="64 bits"):
        SumPath(0, (Node(b"s" * 32, MAX_SUM),)).root(leaf)
    with pytest.raises(InvalidValue, match="outside"):
        SumTree([leaf]).path(1)


def some_tree() -> ReserveTree:
    """Three classes; the second has three blocks in two accounts."""
    made = []
    for class_id, spans in ((3, [(1, 9)]), (7, [(20, 29), (30, 34), (50, 50)]), (8, [])):
        blocks = tuple(LiveBlock.of(Interval(vcs, *span), ACCOUNT) for span in spans)
        made.append(ClassReserve(class_id, sum(block.tonnes for block in blocks) + 2, blocks))
    return ReserveTree(tuple(made))


def test_a_proof_names_per_interval_the_live_block_that_holds_it_and_leads_to_the_root() -> None:
    tree = some_tree()
    proof = tree.proof(7, [Interval(vcs, 31, 33), Interval(vcs, 20, 29)])
    assert [(p.block.first, p.block.last) for p in proof.blocks] == [(30, 34), (20, 29)]
    assert proof.root() == tree.tree.root
    assert tree.tree.root.sum == 9 + 16 + 6
    moved = replace(proof.blocks[0], block=replace(proof.blocks[0].block, account=b"x" * 32))
    with pytest.raises(InvalidValue, match="not in the blocks"):
        replace(proof, blocks=(moved,)).root()
    assert replace(proof, covered=proof.covered + 1).root() != tree.tree.root
    assert replace(proof, class_id=8).root() != tree.tree.root


@pytest.mark.parametrize("span", [(29, 30), (19, 20), (51, 51), (1, 9)])
def test_serials_that_no_single_live_block_of_the_class_holds_have_no_proof(
    span: tuple[int, int],
) -> None:
    with pytest.raises(NotFound):
        some_tree().proof(7, [Interval(vcs, *span)])
    with pytest.raises(NotFound):
        some_tree().proof(9, [])


def test_a_proof_is_packed_with_what_the_contract_cannot_derive_and_no_more() -> None:
    proof = some_tree().proof(7, [Interval(vcs, 50, 50), Interval(vcs, 20, 29)])
    (one, other), u64 = proof.blocks, "{:016x}".format
    wanted = ""
    for first, last, path in ((50, 50, one.path), (20, 29, other.path)):
        wanted += u64(first) + u64(last) + unpacked(path)
    wanted += u64(18) + unpacked(proof.path)
    assert proof.encoded().hex() == wanted
    single = replace(proof, blocks=(one,))
    assert single.encoded_live() == ACCOUNT + single.encoded()
    with pytest.raises(InvalidValue, match="is not one block"):
        proof.encoded_live()


def unpacked(path: SumPath) -> str:
    """The packed form of a path, written out."""
    levels = "".join(f"{node.hash.hex()}{node.sum:016x}" for node in path.siblings)
    return f"{len(path.siblings):02x}{path.right_bits:08x}{levels}"


@pytest.mark.parametrize("spans", [[(5, 9), (1, 4)], [(1, 5), (5, 9)], [(1, 9), (1, 9)]])
def test_blocks_that_overlap_or_do_not_ascend_are_no_class_of_a_report(
    spans: list[tuple[int, int]],
) -> None:
    with pytest.raises(InvalidValue):
        ClassReserve(1, 1, tuple(LiveBlock.of(Interval(vcs, *span), ACCOUNT) for span in spans))
    with pytest.raises(InvalidValue):
        ReserveTree((ClassReserve(2, 1, ()), ClassReserve(1, 1, ())))


holders = st.integers(1, 30).map(lambda number: "0x" + number.to_bytes(20, "big").hex())


@given(st.dictionaries(st.tuples(st.integers(1, 3), holders), st.integers(0, 5000), max_size=25))
def test_a_holder_proves_exactly_what_is_owed_to_them(
    balances: dict[tuple[int, str], int],
) -> None:
    owed = Liabilities.of(Liability(*key, kilograms) for key, kilograms in balances.items())
    root = owed.tree.root
    assert root.sum == sum(balances.values())
    for (class_id, holder), kilograms in balances.items():
        if not kilograms:
            with pytest.raises(NotFound):
                owed.proof(class_id, holder)
            continue
        entry, path = owed.proof(class_id, holder)
        assert entry.kilograms == kilograms
        assert verify_liability(entry, path, root.hash, root.sum)
        assert not verify_liability(replace(entry, kilograms=1 + kilograms), path, *_of(root))
        assert not verify_liability(entry, path, root.hash, root.sum + 1)


def _of(root: Node) -> tuple[bytes, int]:
    return root.hash, root.sum


def test_holders_are_ordered_by_the_bytes_of_their_address_not_by_its_checksum() -> None:
    upper = Liability(1, "0x" + "B" * 40, 1)
    lower = Liability(1, "0x" + "a" * 40, 1)
    assert Liabilities.of([upper, lower]).entries == (lower, upper)
    with pytest.raises(InvalidValue):
        Liabilities((lower, lower))


def test_l5_a_report_of_another_contract_chain_or_content_has_another_id() -> None:
    report = ReserveReport.of(1, 2, 3, some_tree(), Liabilities(()), b"e" * 32)
    here = signing_domain(1, "0x" + "11" * 20)
    changes: dict[str, Any] = {
        "sequence": 2,
        "as_of": 9,
        "chain_block": 9,
        "root": b"r" * 32,
        "tonnes": 9,
        "liabilities_root": b"r" * 32,
        "liabilities_kilograms": 9,
        "evidence_hash": b"f" * 32,
    }
    ids = {
        report.digest(here),
        report.digest(signing_domain(2, "0x" + "11" * 20)),
        report.digest(signing_domain(1, "0x" + "22" * 20)),
        *(replace(report, **{name: value}).digest(here) for name, value in changes.items()),
    }
    assert len(ids) == 11
    assert report.liabilities_root == NO_ROOT
