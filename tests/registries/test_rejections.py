"""Bad input: each error with the row, line, field and rule that the report must name."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.domain.units import MAX_SERIAL
from backend.errors import InvalidValue, UnknownLayout
from backend.registries.csv_rows import MAX_RECORD_LINES
from backend.registries.reader import open_export
from backend.registries.summary import dry_run, load, summarise
from tests.registries.exports import (
    ISSUANCES,
    RETIREMENTS,
    SAMPLES,
    VERRA,
    as_csv,
    changed,
    table,
    write,
)

pytestmark = pytest.mark.unit

_ROWS = table(VERRA)[1]
#: An active unlabelled row, a labelled and a retired one, each of the second generation.
ACTIVE = 1 + next(
    index
    for index, row in enumerate(_ROWS)
    if not row["Retirement/Cancellation Date"]
    and not row["Additional Certifications"]
    and "-VCS-" in row["Serial Number"]
)
LABELLED = 1 + next(i for i, row in enumerate(_ROWS) if row["Additional Certifications"])
FIRST = 1 + next(i for i, row in enumerate(_ROWS) if "-VCS-" not in row["Serial Number"])
SERIAL = _ROWS[ACTIVE - 1]["Serial Number"]
TONNES = int(_ROWS[ACTIVE - 1]["Quantity Issued"].replace(",", ""))
SEGMENTS = SERIAL.split("-")


def _serial(**segments: str) -> dict[str, str]:
    """The active row's serial with some segments changed, by their number from 0."""
    parts = [segments.get(f"s{index}", part) for index, part in enumerate(SEGMENTS)]
    return {"Serial Number": "-".join(part for part in parts if part)}


# row, cells to change, field reported, part of the rule
VERRA_CASES: list[tuple[int, dict[str, str], str, str]] = [
    (ACTIVE, _serial(s0="9OOO01"), "Serial Number", "letter O"),
    (ACTIVE, {"Serial Number": SERIAL[:-1] + "O"}, "Serial Number", "letter O"),
    (ACTIVE, _serial(s8=""), "Serial Number", "segment of the sectoral scope"),
    (
        ACTIVE,
        {"Serial Number": "0001-000001-000100-VCS-VCU-003-VER-US-0003-01012020-31122020-1"},
        "Serial Number",
        "segment of the sectoral scope",
    ),
    (ACTIVE, {"Serial Number": ""}, "Serial Number", "is empty"),
    (ACTIVE, {"Serial Number": "GS1-1-KE-GS1-16-2025-3-1-5"}, "Serial Number", "not a VCU serial"),
    (ACTIVE, _serial(s6="VRA"), "Serial Number", "not a VCU serial"),
    (ACTIVE, _serial(s7="zz"), "Serial Number", "not a VCU serial"),
    (ACTIVE, _serial(s12="2"), "Serial Number", "not a VCU serial"),
    (ACTIVE, _serial(s1="٣"), "Serial Number", "not a VCU serial"),
    (ACTIVE, _serial(s3=""), "Serial Number", "lacks the segment VCS"),
    (FIRST, {"Serial Number": _ROWS[FIRST - 1]["Serial Number"].replace("-VCU", "-VCS-VCU")},
     "Serial Number", "has the segment VCS, which batch"),
    (ACTIVE, _serial(s1="0"), "Serial Number", "outside 1"),
    (ACTIVE, _serial(s2="1"), "Serial Number", "below first"),
    (ACTIVE, _serial(s2=str(MAX_SERIAL + 1)), "Serial Number", "above 2^63"),
    (ACTIVE, _serial(s2="9" * 5000), "Serial Number", "more than 20 digits"),
    (ACTIVE, _serial(s10="30022021"), "Serial Number", "not a day of the calendar"),
    (ACTIVE, _serial(s9="990098"), "ID", "is not project 990098"),
    (ACTIVE, {"ID": "990099"}, "ID", "is not project"),
    (ACTIVE, {"ID": "VCS990001"}, "ID", "not a project's number"),
    (ACTIVE, {"ID": ""}, "ID", "not a project's number"),
    (ACTIVE, {"Quantity Issued": str(TONNES + 1)}, "Quantity Issued", f"is not the {TONNES}"),
    (ACTIVE, {"Quantity Issued": "-5"}, "Quantity Issued", "not a whole number"),
    (ACTIVE, {"Quantity Issued": "0"}, "Quantity Issued", "not positive"),
    (ACTIVE, {"Quantity Issued": "12.5"}, "Quantity Issued", "not a whole number"),
    (ACTIVE, {"Quantity Issued": "1,00"}, "Quantity Issued", "not a whole number"),
    (ACTIVE, {"Quantity Issued": ""}, "Quantity Issued", "not a whole number"),
    (ACTIVE, {"Quantity Issued": "١"}, "Quantity Issued", "not a whole number"),
    (ACTIVE, {"Total Vintage Quantity": "many"}, "Total Vintage Quantity", "not a whole number"),
    (ACTIVE, {"Vintage Start": "1999-01-01"}, "Vintage Start", "of the serial"),
    (ACTIVE, {"Vintage End": "2099-12-31"}, "Vintage End", "of the serial"),
    (ACTIVE, {"Vintage End": "1999-12-31"}, "Vintage End", "before Vintage Start"),
    (ACTIVE, {"Vintage Start": ""}, "Vintage Start", "not a date"),
    (ACTIVE, {"Issuance Date": "2023-02-29"}, "Issuance Date", "not a day of the calendar"),
    (ACTIVE, {"Issuance Date": "01/13/2023"}, "Issuance Date", "not a day of the calendar"),
    (ACTIVE, {"Issuance Date": "01 Jan 2020"}, "Issuance Date", "not a date"),
    (ACTIVE, {"Issuance Date": "20230101"}, "Issuance Date", "not a date"),
    (ACTIVE, {"Additional Certifications": "ICVCM CCP"}, "Additional Certifications", "flag 0"),
    (LABELLED, {"Additional Certifications": ""}, "Additional Certifications", "flag 1"),
    (LABELLED, {"Additional Certifications": " ; "}, "Additional Certifications", "flag 1"),
    (ACTIVE, {"Retirement/Cancellation Date": "soon"}, "Retirement/Cancellation Date",
     "not a date"),
    (ACTIVE, {"Retirement Beneficiary": "SAMPLE"}, "Retirement Beneficiary", "without Retirement"),
    (ACTIVE, {"Retirement Details": "SAMPLE"}, "Retirement Details", "without Retirement"),
    (ACTIVE, {"Name": "a\0b"}, "Name", "NUL"),
    (ACTIVE, {"Name": "wind \udcff farm"}, "Name", "not UTF-8"),
]  # fmt: skip

ISSUANCE_CASES: list[tuple[int, dict[str, str], str, str]] = [
    (1, {"Serial Number": "GS1-1-ZZ-GS990101-1-2021-900001"}, "Serial Number", "first and last"),
    (1, {"Serial Number": "ZZ-5-1-2-2-0-7 - ZZ-5-9-2-2-0-7"}, "Serial Number", "only Product Type"),
    (1, {"Serial Number": "900001"}, "Serial Number", "is not GS1-1"),
    (1, {"Serial Number": "GS1-1-ZZ-GS990101-1-2021-900001-0-5"}, "Serial Number", "outside 1"),
    (1, {"Serial Number": "GS1-1-ZZ-GS990101-1-2021-900001-9-5"}, "Serial Number", "below first"),
    (
        1,
        {"Serial Number": f"GS1-1-ZZ-GS990101-1-2021-{2**32}-1-5"},
        "Serial Number",
        "not a canonical uint32",
    ),
    (1, {"GSID": "990102"}, "GSID", "is not project 990101"),
    (1, {"GSID": "GS990101"}, "GSID", "not a project's number"),
    (1, {"Vintage": "2022"}, "Vintage", "is not 2021"),
    (1, {"Vintage": "21"}, "Vintage", "not a year"),
    (1, {"Vintage": "0000"}, "Vintage", "not a year"),
    (1, {"Quantity": "7"}, "Quantity", "of the serial"),
    (1, {"Quantity": "1e3"}, "Quantity", "not a whole number"),
    (1, {"Credit Status": "Retired"}, "Credit Status", "is not Issued"),
    (1, {"Product Type": "XER"}, "Product Type", "neither VER nor CER"),
    (1, {"Product Type": "PER"}, "Product Type", "planned"),
    (1, {"Product Type": "CER"}, "Serial Number", "which Product Type CER does not have"),
    (1, {"Issuance Date": "2026-04-13T25:00:00"}, "Issuance Date", "not a date"),
    (1, {"Issuance Date": ""}, "Issuance Date", "not a date"),
    (1, {"Monitoring Period End": "2001-01-01"}, "Monitoring Period End", "is before"),
    (19, {"Serial Number": "ZZ-5-1-2-2-0-7 - YY-5-9-2-2-0-7"}, "Serial Number", "two UN serials"),
    (19, {"Serial Number": "ZZ-5-1-2-2-0-7"}, "Serial Number", "two UN serials"),
    (19, {"Serial Number": "ZZ-6-1-2-2-0-7 - ZZ-6-9-2-2-0-7"}, "Serial Number", "unit type 6"),
    (19, {"Serial Number": "ZZ-5-1-2-2-0-7 - ZZ-5-9-2-2-0-7"}, "Quantity", "is not the 9"),
]
RETIREMENT_CASES: list[tuple[int, dict[str, str], str, str]] = [
    (2, {"Credit Status": "Held"}, "Credit Status", "neither Retired nor Canceled"),
    (2, {"Credit Status": ""}, "Credit Status", "neither Retired nor Canceled"),
    (2, {"Credit Status": "Retired", "Retirement Date": ""}, "Retirement Date", "is empty"),
    (2, {"Retirement Date": "14/02/2026"}, "Retirement Date", "not a date"),
    (2, {"Quantity": "1,000,000"}, "Quantity", "of the serial"),
]
CASES = [
    pytest.param(sample, *case, id=f"{sample[7:12]}-{case[2]}-{index}")
    for sample, cases in (
        (VERRA, VERRA_CASES),
        (ISSUANCES, ISSUANCE_CASES),
        (RETIREMENTS, RETIREMENT_CASES),
    )
    for index, case in enumerate(cases)
]


@pytest.mark.parametrize(("sample", "row", "cells", "field", "rule"), CASES)
def test_a_bad_cell_rejects_its_row_alone_and_says_why(
    sample: str, row: int, cells: dict[str, str], field: str, rule: str, tmp_path: Path
) -> None:
    header, rows = table(sample)
    before = load(SAMPLES / sample).records
    rows[row - 1] = rows[row - 1] | cells
    content = as_csv(header, [list(found.values()) for found in rows])

    loaded = load(write(tmp_path, content.encode("utf-8", "surrogateescape")))

    [rejection] = loaded.summary.rejected
    assert (rejection.row, rejection.line) == (row, before[row - 1].line)
    assert rejection.field == field
    assert rule in rejection.rule
    rejection.value.encode("utf-8")
    if cells.get(field, "").isascii() and "\0" not in cells.get(field, ""):
        assert rejection.value.rstrip("…") in (cells.get(field) or rows[row - 1][field])
    assert loaded.records == before[: row - 1] + before[row:]
    assert loaded.summary.exit_code == 1


def test_good_rows_of_older_and_unusual_spelling_are_accepted(tmp_path: Path) -> None:
    older = {
        "Issuance Date": "29/02/2024",
        "Vintage Start": "/".join(reversed(_ROWS[ACTIVE - 1]["Vintage Start"].split("-"))),
        "Total Vintage Quantity": "1,234,567",
        "ID": "0" + _ROWS[ACTIVE - 1]["ID"],
        "Serial Number": SERIAL + " ",
        "Retirement/Cancellation Date": "",
        "Country/Area": "Elsewhere",
    }
    loaded = load(changed(tmp_path, VERRA, ACTIVE, older))

    assert loaded.summary.rejected == ()
    record = loaded.records[ACTIVE - 1]
    assert record.facts.issued_on is not None
    assert record.facts.issued_on.isoformat() == "2024-02-29"
    assert record.project == _ROWS[ACTIVE - 1]["ID"]


def test_the_largest_serial_is_accepted(tmp_path: Path) -> None:
    cells = _serial(s1=str(MAX_SERIAL), s2=str(MAX_SERIAL)) | {"Quantity Issued": "1"}

    record = load(changed(tmp_path, VERRA, ACTIVE, cells)).records[ACTIVE - 1]

    assert (record.interval.first, record.tonnes) == (MAX_SERIAL, 1)


def test_the_sample_of_errors_is_reported_as_the_docs_say() -> None:
    shown, code = dry_run(SAMPLES / "sample-verra-vcu-export-errors.csv")

    assert code == 1
    assert [(r["row"], r["line"], r["field"]) for r in shown["rejected"]] == [
        (11, 12, "Serial Number"),
        (12, 13, "Serial Number"),
        (13, 14, "Serial Number"),
        (14, 15, "Quantity Issued"),
        (15, 16, "ID"),
        (16, 17, "Vintage End"),
        (17, 18, "Additional Certifications"),
        (18, 19, "Issuance Date"),
        (19, 20, "record"),
    ]
    assert [(o["a"]["row"], o["b"]["row"]) for o in shown["overlaps"]] == [(1, 20)]
    assert summarise(shown["file"]).unmapped_labels == {"SAMPLE – a label nobody mapped": 1}


# ── whole records ────────────────────────────────────────────────────────────────────────────

HEADER, GOOD = table(VERRA)
LINES = as_csv(HEADER, [list(row.values()) for row in GOOD]).splitlines(keepends=True)


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ("only,three,cells\n", "has 3 cells, the header has 17"),
        (LINES[3].rstrip("\n") + ",surplus\n", "has 18 cells"),
        ('2024-01-01,"never closed\n', "not valid CSV"),
        ('a "quoted" word,"wrong"ly\n', "not valid CSV"),
        ("," * 16 + "\n", "not a date"),
        ('"' + "x" * 200_000 + '"\n', "not valid CSV: field larger"),
        ("\udcff\udcfe\n" * 2, "has 1 cells"),
    ],
)
def test_a_broken_record_costs_no_good_row(bad: str, rule: str, tmp_path: Path) -> None:
    content = "".join([*LINES[:3], bad, *LINES[3:]])

    loaded = load(write(tmp_path, content.encode("utf-8", "surrogateescape")))

    assert len(loaded.records) == len(GOOD)
    assert [record.interval for record in loaded.records] == [
        record.interval for record in load(SAMPLES / VERRA).records
    ]
    first, more = loaded.summary.rejected[0], len(loaded.summary.rejected)
    assert (first.row, first.line) == (3, 4)
    assert [record.line for record in loaded.records] == [
        index + 2 + (more if index >= 2 else 0) for index in range(len(GOOD))
    ]
    assert rule in first.rule


def test_a_quote_closed_only_in_a_later_row_costs_one_row(tmp_path: Path) -> None:
    quoted = LINES[4].replace("SAMPLE – ", '"SAMPLE – ', 1)  # opened, never closed
    closing = LINES[6].replace("Sampleland", '"Sampleland"', 1)
    loaded = load(write(tmp_path, "".join([*LINES[:4], quoted, LINES[5], closing, *LINES[7:]])))

    assert [r.row for r in loaded.summary.rejected] == [4]
    assert len(loaded.records) == len(GOOD) - 1


def test_good_rows_swallowed_by_a_quote_that_closes_at_a_cells_end_are_kept(
    tmp_path: Path,
) -> None:
    plain = [
        ",".join(cell.replace(",", "") for cell in row.values()) + "\n"
        for row in GOOD
        if "," not in row["Additional Certifications"]
    ]
    opened = plain[0].replace("SAMPLE – ", '"SAMPLE – ', 1)
    closing = plain[4].replace(",Sampleland,", ',Sampleland",', 1)  # a stray quote, no harm alone
    content = "".join([LINES[0], opened, *plain[1:4], closing, *plain[5:]])

    loaded = load(write(tmp_path, content))

    [rejection] = loaded.summary.rejected
    assert (rejection.row, rejection.line) == (1, 2)
    assert "cells" in rejection.rule
    assert [record.line for record in loaded.records] == list(range(3, len(plain) + 2))
    alone = load(write(tmp_path, "".join([LINES[0], *plain]))).records
    assert [record.interval for record in loaded.records] == [r.interval for r in alone[1:]]


def test_a_quote_that_never_closes_is_given_up_after_a_bounded_number_of_lines(
    tmp_path: Path,
) -> None:
    plain = ",".join(cell.replace(",", "") for cell in GOOD[ACTIVE - 1].values()) + "\n"
    content = "".join([LINES[0], '"open\n', *[plain] * (MAX_RECORD_LINES + 10)])

    loaded = load(write(tmp_path, content))

    [rejection] = loaded.summary.rejected
    assert (rejection.row, rejection.line) == (1, 2)
    assert f"within {MAX_RECORD_LINES} lines" in rejection.rule
    assert len(loaded.records) == MAX_RECORD_LINES + 10


def test_a_note_over_many_lines_moves_the_lines_but_not_the_rows(tmp_path: Path) -> None:
    header, rows = table(RETIREMENTS)
    rows[0]["Note"] = 'one\ntwo\r\nthree, with a "quote"\n'
    rows[1]["Quantity"] = "no number"
    content = as_csv(header, [list(row.values()) for row in rows])

    [rejection] = load(write(tmp_path, content)).summary.rejected

    assert (rejection.row, rejection.line) == (2, 2 + 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"PK\x03\x04rest", "is not a readable workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old or an encrypted Excel workbook"),
        ("Vintage,ID\n".encode("utf-16"), "is UTF-16"),
        (b"\x1f\x8b\x08", "is compressed"),
        (b'"Vintage\n', "the header is not valid CSV"),
        (b"\xff\x00\x01\x02,\n", "no known layout"),
        (b"Issuance Date;Vintage Start;ID\n", "no known layout"),
        (",".join(HEADER[:-1]).encode(), "missing: Retirement Details"),
    ],
)
def test_a_file_that_is_no_known_export_says_so(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)

    with pytest.raises(UnknownLayout, match=message):
        summarise(path)
    shown, code = dry_run(path)
    assert code == 2
    assert (shown["programme"], shown["layout"], shown["rows"]) == (None, None, 0)
    assert message in shown["error"]


def test_a_path_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    for path, rule in (
        (tmp_path / "absent.csv", "does not exist"),
        (tmp_path, "is a directory"),
        ("nul\0byte", "is not a path"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ):
        with pytest.raises(InvalidValue, match=rule):
            summarise(path)
        assert dry_run(path)[1] == 2


def test_a_header_of_very_many_columns_is_refused_with_few_of_them_named(tmp_path: Path) -> None:
    # Quadratic work on it would take hours: the test's bound is that it ends at all.
    columns = [f"column {number % 150_000}" for number in range(200_000)]
    path = tmp_path / "wide.csv"
    path.write_text(",".join(columns) + "\n")
    with pytest.raises(UnknownLayout) as refused, open_export(path):
        pass
    assert len(refused.value.message) < 5_000
    values = refused.value.values
    assert all(len(values[name]) <= 30 for name in ("missing", "unexpected", "repeated"))
    assert values["repeated"][0] == "column 0"
