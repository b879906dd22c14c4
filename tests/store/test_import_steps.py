"""The merge in steps against its oracle: `plan_merge` over everything that is known, at once."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.registries.merge import KnownPiece, MergePlan, plan_merge
from backend.store import tables
from backend.store.block_rows import read_records
from backend.store.database import Database
from backend.store.imports import ImportResult
from tests.store.rows import GS, gold, row, save

pytestmark = pytest.mark.integration
ZZ = Series("CDM", (0x5A5A,))
OTHER = Series("GS", (11603, 2025, 30257))
ISSUED, GONE = Kind.ISSUANCE, Kind.RETIREMENT


def cdm(first: int, last: int, kind: Kind, **changes: Any) -> BlockRecord:
    """A row of the CDM's ledger: its vintage is unknown."""
    values: dict[str, Any] = {
        "programme": "CDM",
        "project": "7014",
        "vintage_start": None,
        "vintage_end": None,
        "interval": Interval(ZZ, first, last),
        "kind": kind,
        "facts": Facts(product_type="CER"),
    }
    status = Status.ISSUED if kind is ISSUED else Status.CANCELLED
    return row(first, last, status, **(values | changes))


def view(first: int, last: int, kind: Kind, **changes: Any) -> BlockRecord:
    """A CER that Gold Standard shows, in the party's series."""
    made = gold(first, last, kind, **changes)
    return replace(made, interval=Interval(ZZ, first, last), batch=None)


MAKERS = {
    "verra": lambda first, last, draw: row(
        first,
        last,
        draw(st.sampled_from((Status.ACTIVE, Status.ACTIVE, Status.RETIRED_OR_CANCELLED))),
        project=draw(st.sampled_from(("1001",) * 9 + ("1002",))),
    ),
    "gold issued": lambda first, last, draw: replace(
        gold(first, last, ISSUED),
        interval=Interval(draw(st.sampled_from((GS, GS, OTHER))), first, last),
    ),
    "gold retired": lambda first, last, draw: replace(
        gold(first, last, GONE),
        status=draw(st.sampled_from((Status.RETIRED, Status.CANCELLED))),
        interval=Interval(draw(st.sampled_from((GS, GS, OTHER))), first, last),
    ),
    "cdm issued": lambda first, last, draw: cdm(
        first, last, ISSUED, project=draw(st.sampled_from(("7014",) * 5 + ("7015",)))
    ),
    "cdm cancelled": lambda first, last, draw: cdm(
        first,
        last,
        GONE,
        project=draw(st.sampled_from(("7014",) * 5 + ("7015",))),
        facts=Facts(product_type=draw(st.sampled_from(("CER", "CER", "CER", "tCER", "")))),
    ),
    "view issued": lambda first, last, draw: view(first, last, ISSUED),
    "view retired": lambda first, last, draw: view(first, last, GONE),
}


FAMILIES = (
    ("verra",),
    ("gold issued", "gold retired"),
    ("cdm issued", "cdm cancelled", "view issued", "view retired"),
)


@st.composite
def exports(draw: st.DrawFn, layouts: tuple[str, ...]) -> list[BlockRecord]:
    """Rows over serials 1 … 20 of one layout, rarely of all: mostly disjoint, often not."""
    chosen = layouts if draw(st.integers(0, 7)) == 0 else (draw(st.sampled_from(layouts)),)
    rows = []
    for layout in chosen:
        bounds = sorted(draw(st.sets(st.integers(1, 20), min_size=2, max_size=7)))
        spans = [(first, after - 1) for first, after in itertools.pairwise(bounds)]
        if draw(st.booleans()):
            first, more = draw(st.tuples(st.integers(1, 20), st.integers(0, 6)))
            spans.append((first, first + more))
        for first, last in draw(st.permutations(spans)):
            if draw(st.integers(0, 4)):
                rows.append(MAKERS[layout](first, last, draw))
    return rows


@st.composite
def histories(draw: st.DrawFn) -> list[list[BlockRecord]]:
    """Exports of one registry after another; sometimes one of them again."""
    layouts = draw(st.sampled_from(FAMILIES))
    history = draw(st.lists(exports(layouts), min_size=1, max_size=4))
    if draw(st.booleans()):
        history.append(draw(st.sampled_from(history)))
    return history


def clear(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "TRUNCATE imports, registry_blocks, registry_block_history, contradictions,"
                " import_rejections, import_steps, registry_entry_history"
            )
        )


def stored(database: Database) -> list[BlockRecord]:
    with database.read() as connection:
        names = {
            found.id: Series.parse(found.name)
            for found in connection.execute(select(tables.series))
        }
        return ordered(record for _, record in read_records(connection, names, "true", []))


def ordered(records: Any) -> list[BlockRecord]:
    return sorted(records, key=lambda one: (one.kind, one.interval, one.programme, one.project))


def merged(known: dict[int, BlockRecord], plan: MergePlan) -> dict[int, BlockRecord]:
    after = dict(known)
    for update in plan.updated:
        after[update.key] = update.record
    new = list(plan.new)
    for split in plan.split:
        del after[split.key]
        new += split.parts
    following = max(after, default=0) + 1
    return after | dict(enumerate(new, following))


def counts(plan: MergePlan) -> dict[str, int]:
    return {
        "new": len(plan.new),
        "unchanged": len(plan.unchanged),
        "updated": len(plan.updated),
        "split": sum(len(split.parts) for split in plan.split),
        "contradictions": len(plan.contradictions),
    }


def came_to(result: ImportResult) -> dict[str, int]:
    return {name: getattr(result, name) for name in counts(MergePlan())}


@pytest.mark.parametrize("step_rows", [1, 4, 20_000])
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories())
def test_steps_of_any_size_come_to_what_the_rules_say_of_everything_at_once(
    module_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    step_rows: int,
    history: list[list[BlockRecord]],
) -> None:
    monkeypatch.setattr("backend.store.import_rows.STEP_ROWS", step_rows)
    clear(module_database)
    twin: dict[int, BlockRecord] = {}
    for number, export in enumerate(history):
        numbered = [replace(one, row=at) for at, one in enumerate(export, 1)]
        plan = plan_merge([KnownPiece(key, one) for key, one in twin.items()], numbered)

        result = save(module_database, export, f"export {number}")

        assert came_to(result) == counts(plan)
        twin = merged(twin, plan)
        assert stored(module_database) == ordered(twin.values())


def test_what_is_plain_never_reaches_python(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New rows, repeated rows and cancellations inside their block are the database's work."""

    def refuse(known: Any, incoming: Any) -> Any:
        raise AssertionError("a plain row was put under review")

    monkeypatch.setattr("tests.store.rows.plan_merge", refuse)
    blocks = [cdm(1 + 10 * n, 10 + 10 * n, ISSUED) for n in range(30)]
    cuts = [cdm(3 + 10 * n, 5 + 10 * n, GONE) for n in range(30)]
    pieces = [row(1 + 10 * n, 10 + 10 * n) for n in range(30)]
    for turn, expected in (("a", "new"), ("b", "unchanged")):
        for name, export in (("blocks", blocks), ("cuts", cuts), ("pieces", pieces)):
            assert getattr(save(database, export, name + turn), expected) == 30


def test_one_serial_that_is_shared_is_enough_and_a_neighbour_shares_none(
    database: Database,
) -> None:
    save(database, [row(5, 10)], "piece")
    save(database, [cdm(1, 10, ISSUED), cdm(11, 20, ISSUED)], "blocks")
    save(database, [cdm(5, 8, GONE)], "cut")
    for name, record, refused in (
        ("after", row(10, 12), 1),
        ("beside", row(11, 12), 0),
        ("before", row(3, 5), 1),
        ("below", row(3, 4), 0),
        ("block", cdm(20, 22, ISSUED), 1),
        ("next block", cdm(21, 22, ISSUED), 0),
        ("cut again", cdm(8, 9, GONE), 1),
        ("cut beside", cdm(9, 10, GONE), 0),
        ("cut over", cdm(15, 21, GONE), 1),
    ):
        result = save(database, [record], name)
        assert (result.contradictions, result.new) == (refused, 1 - refused), name
    both = [row(30, 40), row(40, 41)]
    assert save(database, both, "both").contradictions == 2
