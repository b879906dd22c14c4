"""The reserve as anybody may read it: the report on chain, each class in it, a holder's proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from backend.domain.reserve import ReserveReport
from backend.domain.sum_tree import SumPath
from backend.errors import NotFound
from backend.store.backing_tables import reserves_reported
from backend.store.queries.reading import chain_head
from backend.store.queries.shortfalls import Shortfall, short_classes
from backend.store.reserve_trees import get_report, newest_recorded


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class in a report, in tonnes: `covered` is what mints may reach, `minted` what they
    had reached then; `live` lies live behind positions, `not_minted` beyond them; `shortfall`
    stands on serials that no trust account holds live.
    """

    class_id: int
    covered: int
    minted: int
    exited: int
    live: int
    not_minted: int
    shortfall: int


@dataclass(frozen=True, slots=True)
class PublishedReport:
    """The newest report on chain. `age`: seconds before the chain's newest block. `classes` is
    empty when the trees of the report are not kept here. `halted`: the classes with a gap or a
    flag now, whatever the report says.
    """

    sequence: int
    report_id: str
    as_of: int
    age: int
    chain_block: int
    root: str
    tonnes: int
    liabilities_root: str
    liabilities_kilograms: int
    evidence_hash: str
    signers: tuple[str, ...]
    classes: tuple[ClassFigures, ...]
    halted: tuple[Shortfall, ...]
    transaction_hash: str
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class Sibling:
    """One level of a path: the other child's hash and sum."""

    hash: str
    sum: int


def siblings_of(path: SumPath) -> tuple[Sibling, ...]:
    """A path as it is shown."""
    return tuple(Sibling("0x" + node.hash.hex(), node.sum) for node in path.siblings)


@dataclass(frozen=True, slots=True)
class LiabilityProof:
    """That a balance is in the liabilities of a report: leaf, path, and the root it leads to."""

    sequence: int
    report_id: str
    chain_block: int
    class_id: int
    holder: str
    kilograms: int
    leaf: str
    right_bits: int
    siblings: tuple[Sibling, ...]
    root: str
    root_kilograms: int


def get_reserve(connection: Connection) -> PublishedReport:
    """The newest report on chain; raises NotFound before the first."""
    table = reserves_reported
    row = connection.execute(select(table).order_by(table.c.sequence.desc()).limit(1)).first()
    if row is None:
        raise NotFound("there is no reserve report yet: nothing can be minted")
    try:
        trees = get_report(connection, row.report_id)
    except NotFound:
        classes: tuple[ClassFigures, ...] = ()
    else:
        found: Mapping[str, Any] = trees.figures["classes"]
        classes = tuple(
            ClassFigures(
                entry.class_id,
                entry.covered,
                *(
                    int(found[str(entry.class_id)][name])
                    for name in ("minted", "exited", "live", "not_minted", "shortfall")
                ),
            )
            for entry in trees.reserve.classes
        )
    now = chain_head(connection).timestamp or row.as_of
    return PublishedReport(
        row.sequence,
        row.report_id,
        row.as_of,
        max(0, now - row.as_of),
        row.chain_block,
        row.root,
        row.tonnes,
        row.liabilities_root,
        int(row.liabilities_kilograms),
        row.evidence_hash,
        tuple(row.signers),
        classes,
        tuple(short_classes(connection)),
        row.transaction_hash,
        row.block_number,
        row.log_index,
    )


def liability_proof(connection: Connection, holder: str, class_id: int) -> LiabilityProof:
    """A holder's proof from the newest report whose trees are kept; NotFound without a balance."""
    trees = newest_recorded(connection)
    if trees is None:
        raise NotFound("there is no reserve report whose trees are kept here")
    entry, path = trees.liabilities.proof(class_id, holder)
    root = trees.liabilities.tree.root
    return LiabilityProof(
        trees.sequence,
        trees.id,
        trees.chain_block,
        class_id,
        holder,
        entry.kilograms,
        "0x" + entry.leaf().hash.hex(),
        path.right_bits,
        siblings_of(path),
        "0x" + root.hash.hex(),
        root.sum,
    )


def report_of(report: PublishedReport) -> ReserveReport:
    """The report as it was signed: its digest is `report_id`."""
    return ReserveReport(
        report.sequence,
        report.as_of,
        report.chain_block,
        bytes.fromhex(report.root[2:]),
        report.tonnes,
        bytes.fromhex(report.liabilities_root[2:]),
        report.liabilities_kilograms,
        bytes.fromhex(report.evidence_hash[2:]),
    )
