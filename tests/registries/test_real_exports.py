"""The figures of the real exports, counted before this code existed."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from backend.domain.serials import Interval
from backend.errors import UnknownLayout
from backend.registries.labels import credit_class
from backend.registries.merge import KnownPiece, plan_merge
from backend.registries.summary import as_json, dry_run, load, summarise
from tests.registries.test_real_programmes import FIGURES as OTHERS
from tests.shared_data import requires_shared_data

pytestmark = [pytest.mark.unit, requires_shared_data]
VERRA = "offsetsdb/verra/transactions.csv"
SINGAPORE = "verra/vcus_sg.csv"
ISSUANCES = "offsetsdb/gold-standard/issuances.csv"
RETIREMENTS = "offsetsdb/gold-standard/retirements.csv"
FIGURES = {
    #           rows   issued    active     retired  cancelled  batches series
    VERRA: (200, 4_029_227, 3_891_681, 137_546, None, 115, 1),
    SINGAPORE: (92, 272_119, 0, 272_119, None, 25, 2),
    ISSUANCES: (100, 5_380_873, None, None, None, 97, 98),
    RETIREMENTS: (100, None, None, 813_318, 1_155_441, 45, 45),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_real_export_gives_its_known_figures(name: str, shared_data: Path) -> None:
    shown, code = dry_run(shared_data / name)
    rows, issued, active, retired, cancelled, batches, series = FIGURES[name]

    assert code == 0
    assert (shown["rows"], shown["accepted"], shown["blocks"]) == (rows, rows, rows)
    assert (shown["rejected"], shown["overlaps"]) == ([], [])
    assert (shown["issued_tonnes"], shown["active_tonnes"]) == (issued, active)
    assert (shown["retired_tonnes"], shown["cancelled_tonnes"]) == (retired, cancelled)
    assert (shown["batches"], shown["series"]) == (batches, series)


@pytest.mark.parametrize("name", FIGURES)
def test_every_label_of_a_real_export_is_in_the_vocabulary(name: str, shared_data: Path) -> None:
    loaded = load(shared_data / name)

    assert loaded.summary.unmapped_labels == {}
    assert all(credit_class(record).programme == loaded.summary.programme
               for record in loaded.records)  # fmt: skip


def test_six_rows_are_cancelled_and_none_of_them_has_a_date(shared_data: Path) -> None:
    records = load(shared_data / RETIREMENTS).records

    assert Counter(record.status for record in records) == {"retired": 94, "cancelled": 6}
    assert sum(record.tonnes for record in records) == 1_968_759
    assert all((record.facts.retired_on is None) == (record.status == "cancelled")
               for record in records)  # fmt: skip


def test_retirements_lie_in_issued_blocks_where_both_are_present(shared_data: Path) -> None:
    issued = defaultdict(list)
    for record in load(shared_data / ISSUANCES).records:
        issued[record.interval.series].append(record.interval)
    pairs: list[tuple[list[Interval], Interval]] = [
        (issued[record.interval.series], record.interval)
        for record in load(shared_data / RETIREMENTS).records
        if record.interval.series in issued
    ]

    assert len(pairs) == 2
    assert all(any(block.contains(cut) for block in blocks) for blocks, cut in pairs)


def test_both_real_gold_standard_exports_merge_without_a_contradiction(shared_data: Path) -> None:
    issued = load(shared_data / ISSUANCES).records
    retired = load(shared_data / RETIREMENTS).records

    together = plan_merge([], [*retired, *issued])

    assert len(together.new) == 200
    assert together.contradictions == ()
    known = [KnownPiece(key, record) for key, record in enumerate(together.new)]
    again = plan_merge(known, [*issued, *retired])
    assert len(again.unchanged) == 200
    assert again.new == again.updated == again.split == again.contradictions == ()


def test_the_real_verra_export_has_more_than_fifty_classes_that_can_be_tokenized(
    shared_data: Path,
) -> None:
    records = load(shared_data / VERRA).records

    assert len({credit_class(r) for r in records if r.status == "active"}) >= 50


def test_a_real_export_twice_in_one_file_overlaps_once_per_row(
    shared_data: Path, tmp_path: Path
) -> None:
    text = (shared_data / VERRA).read_text(encoding="utf-8")
    doubled = tmp_path / "doubled.csv"
    doubled.write_text(text + text.split("\n", 1)[1], encoding="utf-8")

    shown = as_json(summarise(doubled))

    assert (shown["accepted"], len(shown["overlaps"])) == (400, 200)
    assert all(pair["b"]["row"] - pair["a"]["row"] == 200 for pair in shown["overlaps"])


def test_every_other_file_there_is_of_no_known_layout(shared_data: Path) -> None:
    others = [
        path
        for path in shared_data.rglob("*")
        if path.is_file()
        and str(path.relative_to(shared_data)) not in FIGURES
        and path.parent.name != "cdm"
        and str(path.relative_to(shared_data)) not in OTHERS
    ]

    assert {path.suffix for path in others} == {".md", ".json", ".gz"}
    for path in others:
        with pytest.raises(UnknownLayout):
            summarise(path)
        shown, code = dry_run(path)
        assert code == 2
        assert str(path) in shown["error"]
