"""Vectors of what custodians and attestors sign of records and reserve, and proofs of mints.

Part of `scripts/make_vectors.py`, which writes them.
"""

from __future__ import annotations

import random
from typing import Any

from backend.domain import records, reserve
from backend.domain.records import MadeGood, RegistryFailure
from backend.domain.reserve import (
    ClassReserve,
    Liabilities,
    Liability,
    LiveBlock,
    ReserveReport,
    ReserveTree,
)
from backend.domain.serials import Interval, Series

VCS = Series("VCS", (2,))
REPORT_ABI = "(uint64,uint64,uint64,bytes32,uint64,bytes32,uint128,bytes32)"
FAILURE_ABI = "(uint256,uint64,uint64,string,uint32,bytes32)"
MADE_GOOD_ABI = (
    "(uint256,uint64,uint64,uint256,((string,uint256[]),uint64,uint64)[],string,uint32,bytes32)"
)
RECORD_TYPES, RESERVE_TYPES = records.TYPES, reserve.TYPES


def failure_messages(rng: random.Random) -> list[dict[str, Any]]:
    reasons = ("Account suspended", "x" * 256, "账户 · 🌍")
    return [
        RegistryFailure(
            rng.randrange(2**256), rng.randrange(2**48), rng.randrange(1, 2**40), reason,
            20260131, rng.randbytes(32),
        ).message()
        for reason in reasons
    ]  # fmt: skip


def made_good_messages(rng: random.Random) -> list[dict[str, Any]]:
    made = []
    for count in (1, 3, 64):
        firsts = [1000 * n + rng.randrange(500) for n in range(1, count + 1)]
        substitutes = tuple(Interval(VCS, one, one + rng.randrange(400)) for one in firsts)
        good = MadeGood(
            rng.randrange(2**256), rng.randrange(2**48), rng.randrange(2**256), substitutes,
            f"REF-{count}", 20260228, rng.randbytes(32),
        )  # fmt: skip
        made.append(good.message())
    return made


def a_tree(rng: random.Random, classes: int) -> ReserveTree:
    """A reserve of so many classes, each with 1 … 9 blocks of one series."""
    serial = 1
    made = []
    for class_id in sorted(rng.sample(range(1, 10**6), classes)):
        blocks = []
        for _ in range(rng.randrange(1, 10)):
            last = serial + rng.randrange(50)
            blocks.append(LiveBlock.of(Interval(VCS, serial, last), rng.randbytes(32)))
            serial = last + 1 + rng.randrange(3)
        made.append(ClassReserve(class_id, rng.randrange(1, 10**6), tuple(blocks)))
    return ReserveTree(tuple(made))


def some_liabilities(rng: random.Random, count: int) -> Liabilities:
    return Liabilities.of(
        Liability(rng.randrange(1, 5), "0x" + rng.randbytes(20).hex(), rng.randrange(10**9))
        for _ in range(count)
    )


def report_messages(rng: random.Random) -> list[dict[str, Any]]:
    return [
        ReserveReport.of(
            number, rng.randrange(2**40), rng.randrange(2**40), a_tree(rng, classes),
            some_liabilities(rng, number), rng.randbytes(32),
        ).message()
        for number, classes in enumerate((1, 2, 7), 1)
    ]  # fmt: skip


def proof_vectors(rng: random.Random) -> list[dict[str, str]]:
    """Proofs of one block each out of trees of many sizes, packed as a mint carries them."""
    made = []
    for classes in (1, 2, 3, 4, 5, 8, 11, 17):
        tree = a_tree(rng, classes)
        entry = rng.choice(tree.classes)
        block = rng.choice(entry.blocks)
        proof = tree.proof(entry.class_id, [Interval(VCS, block.first, block.last)])
        root = tree.tree.root
        made.append(
            {
                "classId": str(entry.class_id),
                "covered": str(entry.covered),
                "account": "0x" + block.account.hex(),
                "seriesId": "0x" + block.series_id.hex(),
                "first": str(block.first),
                "last": str(block.last),
                "root": "0x" + root.hash.hex(),
                "tonnes": str(root.sum),
                "proof": "0x" + proof.encoded().hex(),
            }
        )
    return made
