"""Workbooks: read as a CSV of the same table would be, and refused when they are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.errors import UnknownLayout
from backend.registries import workbooks
from backend.registries.cdm import CdmCancellations, CdmIssuances
from backend.registries.summary import load, summarise
from tests.registries.exports import BY_LAYOUT, SAMPLES, table
from tests.registries.workbook_maker import Cell, parts, write_parts, write_workbook

pytestmark = pytest.mark.unit
HEADER: list[Cell] = list(CdmCancellations.columns)


def row(first: int, last: int, **changes: Cell) -> list[Cell]:
    """A cancellation; keywords are positions `c0` … `c8`."""
    cells: list[Cell] = [
        "2023-01-02T03:04:05.123000", "Cancellation (4)", f"{first} - {last}", "ZZ-990001",
        "4 - Completed", "2", "CER", last - first + 1, "Yes",
    ]  # fmt: skip
    return [changes.get(f"c{index}", cell) for index, cell in enumerate(cells)]


@pytest.mark.parametrize("layout", ["cdm-issuances", "cdm-voluntary-cancellations"])
def test_a_workbook_gives_what_the_csv_of_the_same_table_gives(layout: str, tmp_path: Path) -> None:
    sample = BY_LAYOUT[layout]
    header, rows = table(sample)
    cells: list[list[Cell]] = [
        [int(text) if text.isdigit() else text for text in line.values()] for line in rows
    ]
    path = write_workbook(tmp_path / "a.xlsx", {"Report": [header, *cells]})

    assert load(path).records == load(SAMPLES / sample).records


def test_titles_before_the_header_blank_rows_and_empty_columns_change_nothing(
    tmp_path: Path,
) -> None:
    title: list[Cell] = ["Voluntary Cancellations as at 31 August 2023"]
    rows = [
        title,
        [],
        [*HEADER, None],
        [*row(1, 5)],
        [],
        [*row(6, 9), None],
        ["Total", *[None] * 6, 9],
    ]
    loaded = load(write_workbook(tmp_path / "a.xlsx", {"Cover": [["Notes"]], "Data": rows}))

    assert [(r.row, r.line) for r in loaded.records] == [(1, 4), (2, 6)]
    [control] = loaded.summary.controls
    assert (control.line, control.stated, control.counted) == (7, 9, 9)
    assert loaded.summary.exit_code == 0


def test_a_control_total_that_the_rows_do_not_meet_is_shown_beside_what_they_add_up_to(
    tmp_path: Path,
) -> None:
    rows = [HEADER, row(1, 5), row(6, 9, c6="ERU (from RMU)"), ["Total", *[None] * 6, 9]]
    summary = summarise(write_workbook(tmp_path / "a.xlsx", {"Data": rows}))

    assert [control.as_json() for control in summary.controls] == [
        {"line": 4, "stated": 9, "counted": 5, "agrees": False}
    ]
    [rejected] = summary.rejected
    assert (rejected.row, rejected.field, rejected.value) == (2, "Unit", "ERU (from RMU)")
    assert summary.rows == 2
    assert summary.exit_code == 1


@pytest.mark.parametrize(
    ("total", "counts_as_row"),
    [
        (["Total", None, None, None, None, None, None, 9, "Yes"], True),
        (["Total", None, None, None, None, None, None, "nine"], True),
        (["Total", None, None, None, None, None, None, "1,009"], False),
        (["TOTAL ", None, None, 9], False),
    ],
)
def test_only_the_word_total_and_one_number_is_a_control_total(
    total: list[Cell], counts_as_row: bool, tmp_path: Path
) -> None:
    summary = summarise(write_workbook(tmp_path / "a.xlsx", {"Data": [HEADER, row(1, 9), total]}))

    assert len(summary.rejected) == int(counts_as_row)
    assert len(summary.controls) == int(not counts_as_row)


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"c7": 4.5}, "Total", "is not a whole number"),
        ({"c7": -5}, "Total", "is not a whole number"),
        ({"c7": 4}, "Total", "is not the 5 of the serials"),
        ({"c7": None}, "Total", "is not a whole number"),
        ({"c7": 2**53 + 2}, "record", "a cell cannot keep exactly"),
        ({"c2": 15}, "Serial Range", "is not a range"),
        ({"c2": "5 - 1"}, "Serial Range", "below first"),
        ({"c2": "0 - 4"}, "Serial Range", "outside 1"),
        ({"c2": "1-5"}, "Serial Range", "is not a range"),
        ({"c3": "zz-990001"}, "Project Identifier", "is not PARTY-number"),
        ({"c3": 990001}, "Project Identifier", "is not PARTY-number"),
        ({"c5": 3}, "CP (Commitment Period)", "is not commitment period 1 or 2"),
        ({"c6": "ERU (from RMU)"}, "Unit", "is not a unit of the CDM"),
        ({"c6": "cer"}, "Unit", "is not a unit of the CDM"),
        ({"c4": "1 - Proposed"}, "Status", "is not 4 - Completed"),
        ({"c1": "Issuance (1)"}, "Transaction Type", "is not Cancellation (4)"),
        ({"c8": ""}, "VCP (From Voluntary Cancellation Platform)", "is neither Yes nor No"),
        ({"c0": 39395.5}, "Completion Date", "is not a date"),
        ({"c0": "2023-02-30"}, "Completion Date", "is not a day"),
    ],
)
def test_a_bad_cell_rejects_its_row_alone_and_says_why(
    change: dict[str, Cell], field: str, rule: str, tmp_path: Path
) -> None:
    rows = [HEADER, row(6, 9), row(1, 5, **change), row(10, 12)]
    loaded = load(write_workbook(tmp_path / "a.xlsx", {"Data": rows}))

    assert [record.row for record in loaded.records] == [1, 3]
    [rejected] = loaded.summary.rejected
    assert (rejected.row, rejected.line, rejected.field) == (2, 3, field)
    assert rule in rejected.rule


def test_a_workbook_without_a_known_header_names_the_nearest_layout(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "a.xlsx", {"One": [["a"]], "Two": [["title"], HEADER[:-1]]})

    with pytest.raises(UnknownLayout, match="missing: VCP"):
        summarise(path)


def test_a_header_below_more_titles_than_a_person_writes_is_not_looked_for(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [[f"title {n}"] for n in range(30)]
    with pytest.raises(UnknownLayout, match="no known layout"):
        summarise(write_workbook(tmp_path / "a.xlsx", {"One": [*rows, HEADER, row(1, 5)]}))


def test_two_sheets_with_a_known_layout_are_refused_by_their_names(tmp_path: Path) -> None:
    sheets = {"June": [HEADER, row(1, 5)], "July": [list(CdmIssuances.columns)]}
    with pytest.raises(UnknownLayout, match="'June' and 'July' both hold a known layout"):
        summarise(write_workbook(tmp_path / "a.xlsx", sheets))


def test_what_is_no_workbook_is_said(tmp_path: Path) -> None:
    good = parts({"Data": [HEADER, row(1, 5)]})
    cases: dict[str, tuple[dict[str, str | bytes], str]] = {
        "archive": ({"readme.txt": "hello"}, "is a zip archive, not a workbook"),
        "no rows": (dict(parts({"Data": []})), "no sheet has a header"),
        "no sheet": ({**good, "xl/_rels/workbook.xml.rels": ""}, "is not a readable workbook"),
        "broken sheet": (
            {**good, "xl/worksheets/sheet1.xml": "<worksheet><sheetData><row"},
            "is not a readable workbook|is empty",
        ),
        "not XML": (
            {**good, "xl/workbook.xml": b"\x00\xff" * 50},
            "is not a readable workbook|is empty",
        ),
    }
    for name, (content, message) in cases.items():
        path = write_parts(tmp_path / f"{name}.xlsx", content)
        with pytest.raises(UnknownLayout, match=message):
            summarise(path)


def test_a_workbook_cut_off_anywhere_is_refused_or_read_whole(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "a.xlsx", {"Data": [HEADER, row(1, 5), row(6, 9)]})
    content = path.read_bytes()
    for cut in range(4, len(content), 37):
        path.write_bytes(content[:cut])
        with pytest.raises(UnknownLayout, match="is not a readable workbook"):
            summarise(path)


def test_one_cell_far_out_does_not_take_the_memory(tmp_path: Path) -> None:
    content = parts({"Data": [HEADER, row(1, 5)]})
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    sheet = "xl/worksheets/sheet1.xml"
    bomb = {**content, sheet: content[sheet].replace("</sheetData>", far)}

    with pytest.raises(UnknownLayout, match="1,048,576 rows of 16,384 columns"):
        summarise(write_parts(tmp_path / "a.xlsx", bomb))


def test_a_workbook_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "MAX_UNPACKED_BYTES", 1000)
    path = write_workbook(tmp_path / "a.xlsx", {"Data": [HEADER, row(1, 5)]})

    with pytest.raises(UnknownLayout, match="more than 1,000"):
        summarise(path)
