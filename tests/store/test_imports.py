"""Saving exports: once, merged by series, with history and contradictions."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.registries.merge import KnownPiece, plan_merge
from backend.store import tables
from backend.store.block_rows import Labels, facts_json, read_records
from backend.store.database import Database
from backend.store.imports import remap_labels
from tests.conftest import DatabaseOpener
from tests.store.rows import GS, LABELS, VCS, gold, row, save

pytestmark = pytest.mark.integration


def stored(database: Database) -> list[BlockRecord]:
    """Every stored row as a record, by kind and serial."""
    with database.read() as connection:
        names = {
            found.id: series
            for found in connection.execute(select(tables.series))
            for series in (VCS, GS)
            if found.name == str(series)
        }
        records = [record for _, record in read_records(connection, names, "true", [])]
    return sorted(records, key=lambda one: (one.kind, one.interval))


def history(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(select(tables.registry_block_history)).all())


def test_what_is_stored_is_what_was_read(database: Database) -> None:
    rows = [row(1, 10), row(11, 20, Status.RETIRED_OR_CANCELLED, labels=("CCP",), batch=7)]
    result = save(database, rows, "a")
    assert (result.new, result.unchanged, result.known) == (2, 0, False)
    assert stored(database) == rows


def test_l10_the_same_content_again_changes_nothing_and_gives_the_first_result(
    database: Database,
) -> None:
    first = save(database, [row(1, 10), row(11, 20)], "a")
    again = save(database, [row(1, 10), row(11, 20)], "a")
    assert again == replace(first, known=True)
    with database.read() as connection:
        assert len(connection.execute(select(tables.imports)).all()) == 1


def test_the_same_rows_in_another_file_are_unchanged(database: Database) -> None:
    rows = [row(1, 10), row(11, 20, labels=("CCP",))]
    save(database, rows, "a")
    result = save(database, rows, "b")
    assert (result.new, result.unchanged, result.updated) == (0, 2, 0)
    assert history(database) == []


def test_a_newer_export_updates_and_splits_and_the_history_says_so(database: Database) -> None:
    save(database, [row(1, 10), row(11, 20), row(21, 30)], "a")
    newer = [
        row(1, 10, Status.RETIRED_OR_CANCELLED),
        row(11, 15),
        row(16, 20, Status.RETIRED_OR_CANCELLED),
        row(21, 30, facts=Facts(country="Kenya")),
        row(31, 40),
    ]
    result = save(database, newer, "b")
    assert (result.new, result.updated, result.split, result.contradictions) == (1, 2, 2, 0)
    assert stored(database) == newer
    changes = sorted(found.change for found in history(database))
    assert changes == ["facts", "split", "updated"]
    split = next(found for found in history(database) if found.change == "split")
    assert split.before["serials"] == "VCS:2/11-20"
    assert [part["serials"] for part in split.after["parts"]] == ["VCS:2/11-15", "VCS:2/16-20"]


def test_a_contradiction_is_reported_and_never_merged(database: Database) -> None:
    save(database, [row(1, 10, Status.RETIRED_OR_CANCELLED), row(11, 20)], "a")
    before = stored(database)
    result = save(database, [row(1, 10), row(15, 25)], "b")
    assert (result.contradictions, result.new, result.updated) == (2, 0, 0)
    assert stored(database) == before
    with database.read() as connection:
        found = connection.execute(select(tables.contradictions)).all()
    assert {one.detail["row"] for one in found} == {1, 2}
    assert any("never comes back" in one.description for one in found)


def test_a_gold_standard_retirement_outside_what_was_issued_is_a_contradiction(
    database: Database,
) -> None:
    assert save(database, [gold(1, 100, Kind.ISSUANCE)], "a").new == 1
    result = save(database, [gold(1, 10, Kind.RETIREMENT), gold(95, 101, Kind.RETIREMENT)], "b")
    assert (result.new, result.contradictions) == (1, 1)


def test_a_label_outside_the_vocabulary_is_kept_apart_until_a_newer_vocabulary_maps_it(
    database: Database,
) -> None:
    save(database, [row(1, 10, labels=("A label nobody knows",))], "a")
    blocks = tables.registry_blocks
    with database.read() as connection:
        found = connection.execute(select(blocks.c.cohort, blocks.c.unmapped)).one()
    assert (found.cohort, found.unmapped) == (None, ["A label nobody knows"])
    newer = Labels("newer", lambda programme, labels: ("known-now",) if labels else ())
    assert remap_labels(database, newer) == 1
    assert remap_labels(database, newer) == 0
    with database.read() as connection:
        found = connection.execute(select(blocks.c.cohort, blocks.c.unmapped)).one()
    assert (found.cohort, found.unmapped) == (["known-now"], [])
    assert LABELS.version != "newer"


def test_facts_are_written_as_the_domain_writes_them() -> None:
    facts = Facts(country="", total_vintage_tonnes=0, methodologies=("a", 'b"\\'), note="x\ty")
    assert orjson.loads(facts_json(facts)) == facts.as_json()
    assert facts_json(Facts()) == "{}"


def _random_export(rng: random.Random) -> list[BlockRecord]:
    """Pieces of serials 1 … 60, some overlapping, cut anew each time."""
    rows, first = [], 1
    while first <= 60:
        last = min(first + rng.choice((0, 4, 9, 9, 19)), 60)
        if rng.random() < 0.8:
            status = rng.choice((Status.ACTIVE, Status.ACTIVE, Status.RETIRED_OR_CANCELLED))
            rows.append(row(first, last, status, labels=rng.choice(((), ("CCP",)))))
        first = last + 1 if rng.random() < 0.95 else last
    rng.shuffle(rows)
    return rows


@settings(max_examples=12, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_many_exports_give_what_the_pure_rules_give(
    open_database: DatabaseOpener, seed: int
) -> None:
    """Twin: the same exports merged in memory by `plan_merge` alone."""
    with open_database() as database:
        rng = random.Random(seed)
        twin: dict[int, BlockRecord] = {}
        for number in range(5):
            export = _random_export(rng)
            save(database, export, str(number))
            twin = _merged(twin, export)
            kept = sorted(twin.values(), key=lambda one: (one.kind, one.interval))
            assert stored(database) == kept


def _merged(known: dict[int, BlockRecord], export: list[BlockRecord]) -> dict[int, BlockRecord]:
    plan = plan_merge([KnownPiece(key, one) for key, one in known.items()], export)
    after = dict(known)
    for update in plan.updated:
        after[update.key] = update.record
    new = list(plan.new)
    for split in plan.split:
        del after[split.key]
        new += split.parts
    following = max(after, default=0) + 1
    return after | dict(enumerate(new, following))


def test_ids_of_rows_stay_through_updates(database: Database) -> None:
    save(database, [row(1, 10)], "a")
    with database.read() as connection:
        before = connection.execute(text("SELECT id FROM registry_blocks")).scalars().all()
    save(database, [row(1, 4), row(5, 10, Status.RETIRED_OR_CANCELLED)], "b")
    with database.read() as connection:
        after = connection.execute(
            text("SELECT id FROM registry_blocks ORDER BY lower(block)")
        ).scalars()
        assert list(after)[:1] == list(before)
