"""Newer exports: the plan against a naive twin that knows single serials only (L2, L4)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue
from backend.registries.merge import KnownPiece, MergePlan, plan_merge
from backend.registries.summary import load
from tests.registries.exports import ISSUANCES, RETIREMENTS, SAMPLES, VERRA

pytestmark = pytest.mark.unit
ACTIVE, GONE = Status.ACTIVE, Status.RETIRED_OR_CANCELLED
VCS = Series("VCS", (2,))
MODEL = BlockRecord(
    "VCS", "990001", "SAMPLE – one", date(2020, 1, 1), date(2020, 12, 31), Interval(VCS, 1, 1),
    Kind.PARTITION, ACTIVE, (), 900_001,
)  # fmt: skip


def piece(first: int, last: int, status: Status = ACTIVE, **changes: object) -> BlockRecord:
    values: dict[str, object] = {"interval": Interval(VCS, first, last), "status": status}
    return replace(MODEL, **(values | changes))  # type: ignore[arg-type]


def known(*records: BlockRecord) -> list[KnownPiece]:
    return [KnownPiece(100 + key, record) for key, record in enumerate(records)]


def fields(plan: MergePlan) -> list[tuple[int, str]]:
    return [(c.record.interval.first, c.field) for c in plan.contradictions]


# ── the rules one by one ─────────────────────────────────────────────────────────────────────


def test_importing_the_same_export_twice_changes_nothing() -> None:
    for sample in (VERRA, ISSUANCES, RETIREMENTS):
        records = load(SAMPLES / sample).records
        first = plan_merge([], records)
        assert len(first.new) == len(records)

        again = plan_merge(known(*first.new), records)

        assert len(again.unchanged) == len(records)
        assert again == MergePlan(unchanged=again.unchanged)


def test_the_newer_sample_updates_splits_and_adds() -> None:
    before = load(SAMPLES / VERRA).records
    after = load(SAMPLES / "sample-verra-vcu-export-newer.csv").records

    plan = plan_merge(known(*before), after)

    assert len(plan.new) == 1
    assert [update.changes for update in plan.updated if "status" in update.changes] == [
        ("status", "retired_on", "reason")
    ]
    assert [update.changes for update in plan.updated if "status" not in update.changes] == [
        ("labels",)
    ]
    [split] = plan.split
    assert [part.status for part in split.parts] == [GONE, ACTIVE]
    assert plan.contradictions == ()
    assert len(plan.unchanged) == len(before) - 3


def test_the_older_sample_after_the_newer_is_contradicted_never_merged() -> None:
    newer = load(SAMPLES / "sample-verra-vcu-export-newer.csv").records
    plan = plan_merge(known(*newer), load(SAMPLES / VERRA).records)

    assert sorted(c.field for c in plan.contradictions) == ["Serial Number", "status"]
    assert plan.new == plan.split == ()


def test_a_retired_serial_never_comes_back_l4() -> None:
    plan = plan_merge(known(piece(1, 10, GONE)), [piece(1, 10)])

    [contradiction] = plan.contradictions
    assert (contradiction.field, contradiction.known) == ("status", (100,))
    assert "never comes back" in contradiction.rule


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project", "990002"),
        ("vintage_start", date(2020, 2, 1)),
        ("vintage_end", date(2020, 11, 30)),
        ("batch", 900_002),
    ],
)
def test_a_piece_that_changes_its_identity_is_a_contradiction(field: str, value: object) -> None:
    plan = plan_merge(known(piece(1, 10)), [piece(1, 10, **{field: value})])

    assert fields(plan) == [(1, field)]
    assert plan.updated == ()


def test_a_split_whose_part_contradicts_is_refused_whole() -> None:
    plan = plan_merge(known(piece(1, 10)), [piece(1, 4), piece(5, 10, project="990002")])

    assert fields(plan) == [(1, "Serial Number"), (5, "project")]
    assert plan.split == ()


def test_a_part_without_the_rest_is_a_contradiction() -> None:
    plan = plan_merge(known(piece(1, 10)), [piece(1, 4, GONE)])

    assert fields(plan) == [(1, "Serial Number")]
    assert "no row of the export accounts for" in plan.contradictions[0].rule


def test_a_retired_piece_may_be_cut_but_no_part_of_it_is_live() -> None:
    retired = known(piece(1, 10, GONE))

    assert len(plan_merge(retired, [piece(1, 4, GONE), piece(5, 10, GONE)]).split) == 1
    refused = plan_merge(retired, [piece(1, 4, GONE), piece(5, 10)])
    assert fields(refused) == [(1, "Serial Number"), (5, "status")]


def test_a_label_that_changes_is_a_dated_fact_and_named() -> None:
    plan = plan_merge(known(piece(1, 10)), [piece(1, 10, labels=("ICVCM CCP",))])

    [update] = plan.updated
    assert update.changes == ("labels",)
    split = plan_merge(
        known(piece(1, 10)),
        [piece(1, 4, facts=Facts(country="X")), piece(5, 10, GONE, labels=("ICVCM CCP",))],
    ).split[0]
    assert set(split.changes) == {"country", "status", "labels"}


def test_both_generations_may_hold_the_same_numbers() -> None:
    older = piece(1, 10, interval=Interval(Series("VCS", (1,)), 1, 10))

    assert plan_merge(known(piece(1, 10)), [older]).new == (older,)


def test_known_pieces_that_overlap_are_an_error_of_the_caller() -> None:
    with pytest.raises(InvalidValue, match="overlap"):
        plan_merge(known(piece(1, 10), piece(10, 12)), [piece(1, 10)])


# ── events: Gold Standard ────────────────────────────────────────────────────────────────────

GS = Series("GS", (990_101, 2021, 900_001))
RW = Series("CDM", (0x5A5A,))


def event(kind: Kind, first: int, last: int, series: Series = GS, **changes: object) -> BlockRecord:
    status = Status.ISSUED if kind is Kind.ISSUANCE else Status.RETIRED
    values: dict[str, object] = {
        "programme": "GS",
        "kind": kind,
        "status": status,
        "interval": Interval(series, first, last),
    }
    return replace(MODEL, **(values | changes))  # type: ignore[arg-type]


def issued(first: int, last: int, series: Series = GS, **changes: object) -> BlockRecord:
    return event(Kind.ISSUANCE, first, last, series, **changes)


def retired(first: int, last: int, series: Series = GS, **changes: object) -> BlockRecord:
    return event(Kind.RETIREMENT, first, last, series, **changes)


def test_a_retirement_inside_its_issuance_is_no_overlap_in_any_order() -> None:
    for first, second in (([issued(1, 100)], [retired(5, 9)]), ([retired(5, 9)], [issued(1, 100)])):
        plan = plan_merge(known(*first), second)
        assert plan.new == tuple(second)
    assert len(plan_merge([], [retired(5, 9), issued(1, 100)]).new) == 2


def test_a_retirement_outside_the_known_issuance_of_its_batch_is_a_contradiction() -> None:
    assert fields(plan_merge(known(issued(1, 100)), [retired(99, 101)])) == [(99, "Serial Number")]
    assert fields(plan_merge([], [issued(1, 100), retired(200, 201)])) == [(200, "Serial Number")]


def test_a_retirement_of_a_batch_whose_issuance_is_unknown_is_accepted() -> None:
    assert plan_merge([], [retired(99, 101)]).new == (retired(99, 101),)


def test_a_retirement_may_lie_across_two_adjacent_issuances() -> None:
    plan = plan_merge(known(issued(1, 50), issued(51, 100)), [retired(40, 60)])

    assert plan.contradictions == ()


def test_an_issuance_that_leaves_a_known_retirement_outside_is_a_contradiction() -> None:
    plan = plan_merge(known(retired(99, 101)), [issued(1, 100)])

    assert fields(plan) == [(1, "Serial Number")]
    assert "known to be retired" in plan.contradictions[0].rule


def test_an_event_is_never_split_and_retirements_never_overlap() -> None:
    cut = plan_merge(known(issued(1, 10)), [issued(1, 5), issued(6, 10)])
    assert fields(cut) == [(1, "Serial Number"), (6, "Serial Number")]
    twice = plan_merge(known(retired(1, 10)), [retired(10, 12)])
    assert fields(twice) == [(10, "Serial Number")]


def test_a_cancellation_does_not_become_a_retirement() -> None:
    plan = plan_merge(
        known(retired(1, 10, status=Status.CANCELLED)), [retired(1, 10, status=Status.RETIRED)]
    )
    assert fields(plan) == [(1, "status")]


def test_in_a_partys_series_unknown_issuances_prove_nothing_but_known_ones_must_agree() -> None:
    block = known(issued(1, 100, RW, batch=None))

    apart = plan_merge(block, [retired(200, 210, RW, batch=None)])
    assert len(apart.new) == 1
    other = plan_merge(block, [retired(5, 9, RW, batch=None, project="990002")])
    assert fields(other) == [(5, "project")]
    reverse = plan_merge(
        known(retired(5, 9, RW, batch=None)), [issued(1, 100, RW, batch=None, project="990002")]
    )
    assert fields(reverse) == [(1, "project")]


# ── the twin ─────────────────────────────────────────────────────────────────────────────────


class NaiveRegistry:
    """One entry per serial: (piece number, status, project). Knows nothing of intervals."""

    def __init__(self) -> None:
        self.serials: dict[int, tuple[int, Status, str]] = {}
        self.pieces = 0

    def verdicts(self, incoming: list[BlockRecord]) -> list[str]:
        """What must become of each row, from sets of serials alone."""
        sets = [set(range(r.interval.first, r.interval.last + 1)) for r in incoming]
        members: dict[int, set[int]] = defaultdict(set)
        for serial, (number, _, _) in self.serials.items():
            members[number].add(serial)
        found = []
        clashes = [
            any(mine & other for place, other in enumerate(sets) if place != index)
            for index, mine in enumerate(sets)
        ]
        for record, mine, clash in zip(incoming, sets, clashes, strict=True):
            touched = {self.serials[serial][0] for serial in mine & self.serials.keys()}
            if clash or len(touched) > 1:
                found.append("contradiction")
            elif not touched:
                found.append("new")
            else:
                whole = members[touched.pop()]
                if not mine <= whole:
                    found.append("contradiction")
                elif mine == whole:
                    found.append(self._same(record, mine))
                else:
                    # A row that clashes with another accounts for nothing of the whole.
                    free = [i for i, clash in enumerate(clashes) if not clash]
                    found.append(
                        self._part([incoming[i] for i in free], [sets[i] for i in free], whole)
                    )
        return found

    def _bad(self, record: BlockRecord, mine: set[int]) -> bool:
        states = {self.serials[serial][1:] for serial in mine}
        [(status, project)] = states
        return project != record.project or (status is GONE and record.status is ACTIVE)

    def _same(self, record: BlockRecord, mine: set[int]) -> str:
        if self._bad(record, mine):
            return "contradiction"
        [(status, _)] = {self.serials[serial][1:] for serial in mine}
        return "unchanged" if status is record.status else "updated"

    def _part(self, incoming: list[BlockRecord], sets: list[set[int]], whole: set[int]) -> str:
        parts = [(r, s) for r, s in zip(incoming, sets, strict=True) if s <= whole and s != whole]
        covered = sum(len(s) for _, s in parts)
        union = set().union(*(s for _, s in parts))
        good = union == whole and covered == len(whole)
        if good and not any(self._bad(record, mine) for record, mine in parts):
            return "split"
        return "contradiction"

    def apply(self, incoming: list[BlockRecord], verdicts: list[str]) -> None:
        for record, verdict in zip(incoming, verdicts, strict=True):
            if verdict != "contradiction":
                if verdict != "unchanged":
                    self.pieces += 1
                number = self.pieces if verdict != "unchanged" else None
                for serial in range(record.interval.first, record.interval.last + 1):
                    kept = self.serials[serial][0] if number is None else number
                    self.serials[serial] = (kept, record.status, record.project)


class Keeper:
    """What a store does with a plan."""

    def __init__(self) -> None:
        self.held: dict[int, BlockRecord] = {}
        self.next = 0

    def add(self, record: BlockRecord) -> None:
        self.held[self.next] = record
        self.next += 1

    def apply(self, plan: MergePlan) -> None:
        for update in plan.updated:
            self.held[update.key] = update.record
        for split in plan.split:
            del self.held[split.key]
            for part in split.parts:
                self.add(part)
        for record in plan.new:
            self.add(record)

    def state(self) -> dict[int, tuple[Status, str]]:
        return {
            serial: (record.status, record.project)
            for record in self.held.values()
            for serial in range(record.interval.first, record.interval.last + 1)
        }


def _verdict_of(plan: MergePlan, row: int) -> str:
    places = {
        "new": [r.row for r in plan.new],
        "updated": [u.record.row for u in plan.updated],
        "split": [part.row for s in plan.split for part in s.parts],
        "contradiction": [c.record.row for c in plan.contradictions],
    }
    found = [name for name, rows in places.items() if row in rows]
    assert len(found) <= 1
    return found[0] if found else "unchanged"


@st.composite
def exports(draw: st.DrawFn) -> list[BlockRecord]:
    """Rows over a small world of serials: mostly a partition, sometimes with overlaps."""
    bounds = sorted(draw(st.sets(st.integers(1, 24), max_size=7)))
    spans = list(zip(bounds, (bound - 1 for bound in bounds[1:]), strict=False))
    spans += draw(
        st.lists(st.tuples(st.integers(1, 24), st.integers(0, 6)).map(lambda p: (p[0], sum(p))),
                 max_size=draw(st.sampled_from((0, 0, 0, 2))))
    )  # fmt: skip
    rows = [
        piece(
            first,
            last,
            draw(st.sampled_from((ACTIVE, ACTIVE, GONE))),
            project=draw(st.sampled_from(("990001",) * 9 + ("990002",))),
        )
        for first, last in draw(st.permutations(spans))
        if draw(st.integers(0, 5))
    ]
    return [replace(row, row=number) for number, row in enumerate(rows, 1)]


@given(st.lists(exports(), max_size=5))
@settings(max_examples=300)
def test_a_sequence_of_exports_leaves_what_the_twin_leaves(
    history: list[list[BlockRecord]],
) -> None:
    twin, keeper = NaiveRegistry(), Keeper()
    for incoming in history:
        expected = twin.verdicts(incoming)
        pieces = [KnownPiece(key, record) for key, record in keeper.held.items()]

        plan = plan_merge(pieces, incoming)

        assert [_verdict_of(plan, record.row) for record in incoming] == expected
        twin.apply(incoming, expected)
        keeper.apply(plan)
        assert keeper.state() == {s: state[1:] for s, state in twin.serials.items()}
        again = plan_merge([KnownPiece(k, r) for k, r in keeper.held.items()], incoming)
        assert again.new == again.updated == again.split == ()


@given(exports(), exports(), st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_its_arguments(
    before: list[BlockRecord], after: list[BlockRecord], random: st.DataObject
) -> None:
    keeper = Keeper()
    keeper.apply(plan_merge([], before))
    pieces = [KnownPiece(key, record) for key, record in keeper.held.items()]
    plan = plan_merge(pieces, after)
    random.shuffle(pieces)  # type: ignore[attr-defined]
    shuffled = list(after)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert plan_merge(pieces, shuffled) == plan
