"""Volumes and projects: kept by reference, updated by a newer export, with what was before."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from backend.domain.credits import Facts, Kind, ProjectRecord, Status, VolumeRecord
from backend.domain.serials import Interval, Series
from backend.registries.merge import plan_merge
from backend.store.database import Database
from backend.store.entries import projects_said, volumes_said
from backend.store.imports import Batch, ExportFile, ImportResult, save_import
from tests.store.rows import LABELS, gold
from tests.store.rows import save as save_rows

pytestmark = pytest.mark.integration
VOLUME = VolumeRecord(
    programme="ISOMETRIC",
    project="prj_1",
    project_name="SAMPLE – a removal\twith a tab",
    reference="iss_1",
    kilograms=19,
    kind=Kind.ISSUANCE,
    status=Status.ISSUED,
    vintage_start=date(2024, 1, 1),
    vintage_end=date(2024, 12, 31),
    labels=("Removal",),
    parts=(("buffer", 7), ("project", 12)),
    series=Series("CERCARBONO", (), "CDC_1_1"),
    facts=Facts(country="Sampleland", issued_on=date(2025, 1, 2), methodologies=("one",)),
    row=1,
    line=2,
)
PROJECT = ProjectRecord(
    programme="ACR",
    project="123",
    name="SAMPLE – a forest",
    status="Registered",
    methodologies=("a", "b"),
    crediting_start=date(2020, 1, 1),
    cross_listings=("ARB:CAFR123",),
    estimated_annual_tonnes=0,
    row=1,
    line=2,
)


def save(database: Database, name: str, **batch: Any) -> ImportResult:
    def batches(after: int, figures: Any) -> Any:
        rows = [*batch.get("volumes", ()), *batch.get("projects", ())]
        yield Batch(len(rows), **batch)

    export = ExportFile(name, name * 8, "X", "test", batches, lambda *_: {"a": 1})
    return save_import(database, export, plan_merge, LABELS)


def said(database: Database, import_id: int) -> list[Any]:
    with database.read() as connection:
        return [*volumes_said(connection, import_id), *projects_said(connection, import_id)]


def history(database: Database) -> list[Any]:
    with database.read() as connection:
        found = connection.execute(text("SELECT * FROM registry_entry_history ORDER BY id"))
        return list(found.all())


def test_what_is_kept_is_what_was_read(database: Database) -> None:
    made = save(database, "a", volumes=[VOLUME])
    assert said(database, made.import_id) == [VOLUME]
    made = save(database, "b", projects=[PROJECT])
    assert said(database, made.import_id) == [PROJECT]
    assert (made.new, made.accepted, made.rows) == (1, 1, 1)


def test_a_newer_export_updates_by_reference_and_the_history_says_what_was_before(
    database: Database,
) -> None:
    save(database, "a", volumes=[VOLUME, replace(VOLUME, reference="iss_2", row=2)])
    newer = [replace(VOLUME, kilograms=23), replace(VOLUME, reference="iss_2", row=2),
             replace(VOLUME, reference="iss_3", row=3)]  # fmt: skip
    result = save(database, "b", volumes=newer)

    assert (result.new, result.updated, result.unchanged) == (1, 1, 1)
    [change] = history(database)
    assert (change.reference, change.before["kilograms"], change.after["kilograms"]) == (
        "iss_1", 19, 23,
    )  # fmt: skip
    again = save(database, "c", volumes=newer)
    assert (again.new, again.updated, again.unchanged) == (0, 0, 3)


def test_rows_that_share_a_reference_are_told_apart_by_their_order(database: Database) -> None:
    twice = [VOLUME, replace(VOLUME, kilograms=5, row=2)]
    assert save(database, "a", volumes=twice).new == 2
    assert save(database, "b", volumes=twice).unchanged == 2
    issued_and_retired = [replace(VOLUME, kind=Kind.RETIREMENT, status=Status.RETIRED)]
    assert save(database, "c", volumes=issued_and_retired).new == 1


def test_a_projects_newer_status_is_an_update_and_a_repeated_row_is_no_project(
    database: Database,
) -> None:
    first = save(database, "a", projects=[PROJECT, replace(PROJECT, row=2)])
    assert (first.new, first.unchanged) == (1, 1)
    second = save(database, "b", projects=[replace(PROJECT, status="Completed")])
    assert (second.new, second.updated) == (0, 1)
    [change] = history(database)
    assert (change.before["status"], change.after["status"]) == ("Registered", "Completed")


def test_more_retired_in_a_series_than_its_issuances_sum_up_to_is_a_contradiction(
    database: Database,
) -> None:
    series = Series("CERCARBONO", (), "CDC_1_1")
    issued = replace(VOLUME, programme="CERCARBONO", kilograms=100_000, series=series)
    assert save(database, "a", volumes=[issued]).contradictions == 0
    cut = replace(
        gold(1, 60, Kind.RETIREMENT),
        programme="CERCARBONO",
        interval=Interval(series, 1, 60),
        batch=None,
    )
    assert save_rows(database, [cut], "b").contradictions == 0
    more = replace(cut, interval=Interval(series, 61, 101))
    assert save_rows(database, [more], "c").contradictions == 1
    # It is said when something new is said of the series, not by every import.
    assert save_rows(database, [more], "d").contradictions == 0
    assert save(database, "e", volumes=[replace(issued, kilograms=101_000)]).contradictions == 0
