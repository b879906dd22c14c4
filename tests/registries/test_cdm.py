"""The CDM's whole public ledger: one series per host party, no overlap, no gap, sums that agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from backend.domain.credits import BlockRecord, Kind, Status
from backend.domain.serials import Interval, Series, merge
from backend.errors import InvalidValue
from backend.registries.labels import credit_class
from backend.registries.merge import KnownPiece, MergePlan, plan_merge
from backend.registries.summary import LoadedExport, dry_run, load, overlaps_among
from tests.registries.exports import BY_LAYOUT, SAMPLES
from tests.shared_data import requires_shared_data

pytestmark = pytest.mark.unit
ISSUANCES = "cdm/CDM_Issuance_2023-08.xlsx"
CANCELLATIONS = "cdm/CDM_VoluntaryCancellation_2023-08.xlsx"
ZZ = Series("CDM", (0x5A5A,))


def sample(layout: str) -> tuple[BlockRecord, ...]:
    return load(SAMPLES / BY_LAYOUT[layout]).records


def known(records: tuple[BlockRecord, ...]) -> list[KnownPiece]:
    return [KnownPiece(key, record) for key, record in enumerate(records)]


@pytest.fixture(scope="module")
def issued(request: pytest.FixtureRequest) -> LoadedExport:
    return load(request.getfixturevalue("shared_data") / ISSUANCES)


@pytest.fixture(scope="module")
def cancelled(request: pytest.FixtureRequest) -> LoadedExport:
    return load(request.getfixturevalue("shared_data") / CANCELLATIONS)


@requires_shared_data
def test_12513_blocks_fill_82_party_spaces_from_1_without_overlap_or_gap(
    issued: LoadedExport,
) -> None:
    by_party = defaultdict(list)
    for record in issued.records:
        by_party[record.interval.series].append(record.interval)

    assert len(issued.records) == 12_513
    assert len(by_party) == 82
    assert overlaps_among(issued.records) == []
    for blocks in by_party.values():
        [whole] = merge(blocks)
        assert whole.first == 1
        assert whole.tonnes == sum(block.tonnes for block in blocks)
    assert sum(record.tonnes for record in issued.records) == 2_416_896_868


@requires_shared_data
def test_ignoring_the_party_gives_thousands_of_false_overlaps(issued: LoadedExport) -> None:
    """Why the party is the series: in one space for all, blocks of two countries collide.

    8,503 of this file's blocks begin inside an earlier one (8,556 in the file of three months
    later, which is not here).
    """
    one_space = [
        replace(record, interval=Interval(ZZ, record.interval.first, record.interval.last))
        for record in issued.records
    ]

    assert len(overlaps_among(one_space, limit=0)) == 8_503
    refused = plan_merge([], one_space).contradictions
    assert len(refused) == 8_504
    assert all("overlap" in one.rule for one in refused)


@requires_shared_data
def test_26579_cancellations_lie_each_inside_one_block_and_meet_the_control_total(
    issued: LoadedExport, cancelled: LoadedExport
) -> None:
    plan = plan_merge(known(issued.records), cancelled.records)

    assert len(plan.new) == len(cancelled.records) == 26_579
    assert plan.contradictions == plan.updated == plan.split == ()
    [control] = cancelled.summary.controls
    assert control.stated == control.counted == 163_497_417
    assert {r.status for r in cancelled.records} == {Status.CANCELLED}
    assert Counter(r.facts.cancellation_platform for r in cancelled.records) == {
        True: 20_777, False: 5_802,
    }  # fmt: skip


@requires_shared_data
def test_the_same_ledger_again_changes_nothing_in_either_order(
    issued: LoadedExport, cancelled: LoadedExport
) -> None:
    both = (*issued.records, *cancelled.records)
    together = plan_merge([], both)
    assert len(together.new) == len(both)

    again = plan_merge(known(both), both)
    late = plan_merge(known(cancelled.records), issued.records)

    assert again == MergePlan(unchanged=again.unchanged)
    assert len(late.new) == 12_513
    assert late.contradictions == ()


@requires_shared_data
def test_the_cers_that_gold_standard_shows_lie_inside_blocks_of_the_ledger(
    shared_data: Path, issued: LoadedExport
) -> None:
    gold = [
        record
        for name in ("issuances", "retirements")
        for record in load(shared_data / f"offsetsdb/gold-standard/{name}.csv").records
        if record.interval.series.programme == "CDM"
    ]
    plan = plan_merge(known(issued.records), gold)

    assert len(plan.new) == len(gold) == 3
    assert plan.contradictions == ()
    backwards = plan_merge(known(tuple(gold)), issued.records)
    assert len(backwards.new) == 12_513


@requires_shared_data
def test_a_dry_run_of_the_workbooks_says_the_known_figures(shared_data: Path) -> None:
    shown, code = dry_run(shared_data / CANCELLATIONS)

    assert (code, shown["rows"], shown["accepted"], shown["series"]) == (0, 26_579, 26_579, 58)
    assert shown["cancelled_tonnes"] == 163_497_417
    assert shown["control_totals"] == [
        {"line": 26_582, "stated": 163_497_417, "counted": 163_497_417, "agrees": True}
    ]


def test_the_vintage_of_a_row_is_unknown_and_no_class_is_made_of_it() -> None:
    for record in (*sample("cdm-issuances"), *sample("cdm-voluntary-cancellations")):
        assert (record.vintage_start, record.vintage_end) == (None, None)
        with pytest.raises(InvalidValue, match="vintage"):
            credit_class(record)


def test_a_cancellation_over_two_blocks_outside_all_or_of_another_project_is_a_contradiction() -> (
    None
):
    blocks = sample("cdm-issuances")
    one, other = blocks[0], blocks[1]
    cut = sample("cdm-voluntary-cancellations")[0]

    def cancelling(first: int, last: int, like: BlockRecord = one) -> BlockRecord:
        facts = cut.facts._replace(product_type=like.facts.product_type)
        return replace(cut, project=like.project, interval=Interval(ZZ, first, last), facts=facts)

    far = blocks[-1].interval.last + 1
    for record, field, rule in (
        (cancelling(one.interval.last, other.interval.first), "Serial Number", "2 blocks touched"),
        (cancelling(far, far + 4), "Serial Number", "0 blocks touched"),
        (cancelling(1, 5, other), "project", "on the issuance"),
    ):
        [refused] = plan_merge(known(blocks), [record]).contradictions
        assert refused.field == field
        assert rule in refused.rule
    assert len(plan_merge(known(blocks), [cancelling(1, 5)]).new) == 1


def test_a_cancellation_of_another_unit_than_was_issued_is_a_contradiction() -> None:
    blocks = sample("cdm-issuances")
    cut = sample("cdm-voluntary-cancellations")[0]
    wrong = replace(cut, facts=cut.facts._replace(product_type="lCER"))

    [refused] = plan_merge(known(blocks), [wrong]).contradictions

    assert refused.field == "product_type"


def test_a_block_that_cuts_a_known_cancellation_is_a_contradiction_others_are_not() -> None:
    blocks = sample("cdm-issuances")
    early = replace(
        sample("cdm-voluntary-cancellations")[0],
        project=blocks[0].project,
        interval=Interval(ZZ, blocks[0].interval.last - 4, blocks[0].interval.last + 1),
        facts=blocks[0].facts._replace(),
    )
    plan = plan_merge(known((early,)), blocks)

    assert [c.record.row for c in plan.contradictions] == [1, 2]
    assert len(plan.new) == len(blocks) - 2


def test_a_view_of_another_programme_must_lie_inside_one_block_of_the_owner() -> None:
    blocks = sample("cdm-issuances")
    edge = blocks[0].interval.last
    view = replace(
        blocks[0], programme="GS", project="990105", interval=Interval(ZZ, edge - 9, edge)
    )
    over = replace(view, interval=Interval(ZZ, edge - 9, edge + 1))

    assert plan_merge(known(blocks), [view]).new == (view,)
    assert len(plan_merge(known(blocks), [over]).contradictions) == 1
    assert len(plan_merge(known((view,)), blocks).new) == len(blocks)
    cut = plan_merge(known((over,)), blocks)
    assert [c.record.row for c in cut.contradictions] == [1, 2]
    # Of its own programme a view is a block like any other: it cannot overlap itself.
    again = plan_merge(known((view,)), [replace(view, interval=Interval(ZZ, edge - 5, edge))])
    assert len(again.contradictions) == 1
    assert view.kind is Kind.ISSUANCE
