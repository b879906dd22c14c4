"""What every adapter must do, run on each of them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from backend.domain.credits import Facts, Kind, Status
from backend.domain.serials import merge
from backend.errors import UnknownLayout
from backend.registries.labels import credit_class
from backend.registries.protocol import Adapter
from backend.registries.reader import ADAPTERS, open_export
from backend.registries.summary import as_json, load, summarise
from tests.registries.exports import BY_LAYOUT, SAMPLES, accepted, as_csv, table, write

pytestmark = pytest.mark.unit
every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.layout)


@every_adapter
def test_a_sample_is_recognised_and_accepted_whole(adapter: Adapter) -> None:
    summary = summarise(SAMPLES / BY_LAYOUT[adapter.layout])

    assert (summary.programme, summary.layout) == (adapter.programme, adapter.layout)
    assert summary.rows == summary.accepted > 0
    assert summary.accepted == summary.blocks + summary.volumes + summary.projects
    assert sum(map(bool, (summary.blocks, summary.volumes, summary.projects))) == 1
    assert summary.rejected == summary.overlaps == ()
    assert summary.unmapped_labels == {}
    assert summary.exit_code == 0


@every_adapter
def test_rows_and_lines_are_counted_as_a_person_counts_them(adapter: Adapter) -> None:
    path = SAMPLES / BY_LAYOUT[adapter.layout]
    records = accepted(load(path))

    assert [record.row for record in records] == list(range(1, len(records) + 1))
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    for record in records:
        assert len(next(csv.reader([lines[record.line - 1]]))) > 6
    assert records[0].line == 2


@every_adapter
def test_columns_are_read_by_name_in_any_order_and_case(adapter: Adapter, tmp_path: Path) -> None:
    header, rows = table(BY_LAYOUT[adapter.layout])
    turned = list(reversed(header))
    text = as_csv(
        [f" {name.upper()} " for name in turned], [[row[name] for name in turned] for row in rows]
    )

    shuffled = accepted(load(write(tmp_path, text)))

    assert shuffled == accepted(load(SAMPLES / BY_LAYOUT[adapter.layout]))


@every_adapter
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_byte_order_mark_and_an_empty_last_column_change_nothing(
    adapter: Adapter, ending: str, mark: str, tmp_path: Path
) -> None:
    header, rows = table(BY_LAYOUT[adapter.layout])
    text = mark + as_csv([*header, ""], [[*row.values(), ""] for row in rows], ending)

    assert accepted(load(write(tmp_path, text))) == accepted(
        load(SAMPLES / BY_LAYOUT[adapter.layout])
    )


@every_adapter
def test_blank_lines_and_spaces_around_cells_change_nothing(
    adapter: Adapter, tmp_path: Path
) -> None:
    header, rows = table(BY_LAYOUT[adapter.layout])
    text = as_csv(header, [[f"  {cell}\u00a0" for cell in row.values()] for row in rows])
    head, _, rest = text.partition("\n")

    loaded = load(write(tmp_path, f"\n{head}\n\n{rest}\n\n  \n"))

    assert accepted(loaded) == accepted(load(SAMPLES / BY_LAYOUT[adapter.layout]))
    assert accepted(loaded)[0].line == 4


@every_adapter
def test_a_missing_a_further_and_a_repeated_column_are_unknown_layouts(
    adapter: Adapter, tmp_path: Path
) -> None:
    header = list(adapter.columns)
    cases = {
        f"missing: {header[3].strip()}": header[:3] + header[4:],
        "not known there: Another label": [*header, "Another label"],
        f"there twice: {header[0].casefold()}": [*header, header[0]],
    }
    for expected, columns in cases.items():
        with pytest.raises(UnknownLayout) as caught:
            summarise(write(tmp_path, as_csv(columns, [])))
        assert adapter.layout in caught.value.message
        assert expected in caught.value.message


@every_adapter
def test_a_header_without_rows_is_a_good_export_of_nothing(
    adapter: Adapter, tmp_path: Path
) -> None:
    summary = summarise(write(tmp_path, as_csv(adapter.columns, [])))

    assert (summary.rows, summary.blocks, summary.batches, summary.series) == (0, 0, 0, 0)
    assert summary.exit_code == 0


@every_adapter
def test_the_figures_are_null_exactly_where_the_layout_cannot_tell(adapter: Adapter) -> None:
    shown = as_json(summarise(SAMPLES / BY_LAYOUT[adapter.layout]))
    figures = ("issued_tonnes", "active_tonnes", "retired_tonnes", "cancelled_tonnes",
               "moved_tonnes")  # fmt: skip
    told = {name for name in figures if shown[name] is not None}
    expected = {
        name
        for name, statuses in {
            "issued_tonnes": set(Status) if adapter.kind is not Kind.RETIREMENT else set(),
            "active_tonnes": {Status.ACTIVE},
            "retired_tonnes": {Status.RETIRED, Status.RETIRED_OR_CANCELLED},
            "cancelled_tonnes": {Status.CANCELLED},
            "moved_tonnes": {Status.MOVED},
        }.items()
        if statuses & set(adapter.tells)
    }

    loaded = load(SAMPLES / BY_LAYOUT[adapter.layout])
    blocks = sum(record.tonnes for record in loaded.records)
    total = 1000 * blocks + sum(volume.kilograms for volume in loaded.volumes)
    assert sum(shown["kilograms"].values()) == total
    # Isometric issues and retires single kilograms: no whole tonnes to show.
    assert told == (expected if total % 1000 == 0 else set())
    if told and adapter.kind is Kind.RETIREMENT:
        assert 1000 * sum(shown[name] for name in told) == total
    elif told:
        assert 1000 * shown["issued_tonnes"] == total
    assert list(shown) == [
        "file", "programme", "layout", "rows", "accepted", "rejected", "rejections",
        "issued_tonnes", "active_tonnes", "retired_tonnes", "cancelled_tonnes",
        "moved_tonnes", "kilograms", "blocks", "batches", "series", "volumes", "projects",
        "control_totals", "overlaps",
    ]  # fmt: skip


@every_adapter
def test_facts_survive_json(adapter: Adapter) -> None:
    loaded = load(SAMPLES / BY_LAYOUT[adapter.layout])
    for record in (*loaded.records, *loaded.volumes):
        assert Facts.from_json(record.facts.as_json()) == record.facts


@every_adapter
def test_an_export_cut_off_anywhere_keeps_its_whole_rows(adapter: Adapter, tmp_path: Path) -> None:
    content = (SAMPLES / BY_LAYOUT[adapter.layout]).read_bytes()
    header_end = content.index(b"\n") + 1
    whole = accepted(load(SAMPLES / BY_LAYOUT[adapter.layout]))
    for cut in range(header_end, len(content), 997):
        loaded = load(write(tmp_path, content[:cut]))
        kept = accepted(loaded)
        # The row that was cut may still be whole when only its last, optional cell is shorter.
        assert kept[:-1] == whole[: max(len(kept) - 1, 0)]
        assert loaded.summary.rows == len(kept) + len(loaded.summary.rejected)


def test_the_layouts_have_distinct_names_and_columns() -> None:
    assert len({adapter.layout for adapter in ADAPTERS}) == len(ADAPTERS)
    assert len({frozenset(adapter.columns) for adapter in ADAPTERS}) == len(ADAPTERS)


def test_every_layout_is_described_in_the_docs() -> None:
    text = (SAMPLES.parents[1] / "docs" / "layouts.md").read_text(encoding="utf-8")
    for adapter in ADAPTERS:
        assert f"`{adapter.layout}`" in text


def test_a_verra_row_becomes_a_piece_of_a_batch_in_its_generation() -> None:
    records = load(SAMPLES / BY_LAYOUT["verra-vcu-export"]).records

    assert {str(record.interval.series) for record in records} == {"VCS:1", "VCS:2"}
    assert {record.kind for record in records} == {Kind.PARTITION}
    # The counter restarted: both generations hold this number, and that is no overlap.
    assert len({r.interval.series for r in records if r.interval.first == 9_000_000_001}) == 2
    assert len({credit_class(record) for record in records}) >= 20
    labelled = next(record for record in records if len(record.labels) == 3)
    assert credit_class(labelled).cohort == (
        "article6-international-mitigation",
        "article6-other",
        "corsia-first-phase-scope",
    )


def test_a_cer_row_names_one_interval_in_the_partys_series_and_its_own_class() -> None:
    records = load(SAMPLES / BY_LAYOUT["gold-standard-issuances"]).records
    cers = [record for record in records if record.facts.product_type == "CER"]

    assert len(cers) == 3
    assert {str(record.interval.series) for record in cers} == {"CDM:ZZ"}
    assert len(merge(record.interval for record in cers)) == 1
    assert {record.batch for record in cers} == {None}
    for record in cers:
        made = credit_class(record)
        assert (made.programme, made.project, made.cohort) == ("GS", "990105", ("cer",))
        assert made.vintage_start.year == made.vintage_end.year


def test_a_gold_standard_class_has_the_year_of_the_serial_not_the_monitoring_period() -> None:
    record = load(SAMPLES / BY_LAYOUT["gold-standard-issuances"]).records[0]

    assert record.facts.monitoring_end is not None
    assert record.facts.monitoring_end.year == record.vintage_end.year + 1
    made = credit_class(record)
    assert (made.vintage_start.isoformat(), made.vintage_end.isoformat()) == (
        "2021-01-01",
        "2021-12-31",
    )


def test_an_export_is_closed_when_its_reader_stops_early() -> None:
    with open_export(SAMPLES / BY_LAYOUT["verra-vcu-export"]) as export:
        rows = iter(export)
        next(rows)
    with pytest.raises(ValueError, match="closed file"):
        list(rows)
