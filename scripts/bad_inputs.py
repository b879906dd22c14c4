"""Bad inputs for every layout, what each of them gets, and the table that counts them.

`python scripts/bad_inputs.py` writes docs/bad-inputs.md; a test runs every case and compares it.
"""

from __future__ import annotations

import csv
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from backend.domain.credits import Record
from backend.errors import UnknownLayout
from backend.registries.layouts import ADAPTERS
from backend.registries.protocol import WHOLE_RECORD, Adapter
from backend.registries.summary import LoadedExport, load

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
from scripts.sample_roles import ROLES, Roles  # noqa: E402

SAMPLES = REPOSITORY / "backend" / "samples"
DOCUMENT = REPOSITORY / "docs" / "bad-inputs.md"

ROW, FILE, SAME = "row refused", "file refused", "read the same"
#: Columns of the table, in order.
SUBJECTS = (
    "serial", "text", "quantity", "project", "vintage", "status", "date", "number", "character",
    "record", "file", "form",
)  # fmt: skip
#: In place of a cell: characters that no cell may hold.
_CHARACTERS = {"a NUL": "a\0b", "a byte that is not UTF-8": "a\udcffb"}
_BAD_NUMBERS = {
    "text": "many", "a decimal": "1.5", "negative": "-5", "an exponent": "1e3",
    "a wrong thousands comma": "1,00", "Arabic digits": "\u0661", "5,000 digits": "9" * 5000,
}  # fmt: skip
_GOOD_DATES = {"iso": "2024-02-28", "us": "2/28/2024", "either": "2024-02-28",
               "worded": "28 Feb 2024"}  # fmt: skip
_BAD_DATES = {
    "iso": {"a day that is none": "2023-02-29", "day first": "28/02/2024",
            "a short year": "24-02-28"},
    "us": {"a day that is none": "2/29/2023", "day first": "28/2/2024", "ISO order": "2024-02-28"},
    "either": {"a day that is none": "29/02/2023", "month first": "01/13/2023",
               "words": "01 Jan 2020"},
    "worded": {"a day that is none": "29 Feb 2023", "ISO order": "2024-02-28",
               "a month that is none": "01 Foo 2020"},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One spoilt file: about what, what was done, what it must get, and the columns it may name."""

    subject: str
    what: str
    expect: str
    content: bytes
    fields: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sample:
    """A layout's sample: header, rows of cells, and the row that is spoilt."""

    header: list[str]
    rows: list[list[str]]
    spoilt: int

    def cell(self, column: str) -> str:
        return self.rows[self.spoilt][self.header.index(column)]

    def with_cells(self, cells: dict[str, str]) -> bytes:
        """The file with some cells of the one row changed."""
        rows = [list(row) for row in self.rows]
        for column, text in cells.items():
            rows[self.spoilt][self.header.index(column)] = text
        return encoded(self.header, rows)


def encoded(header: list[str], rows: list[list[str]], ending: str = "\n") -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator=ending)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def sample_of(layout: str) -> Sample:
    with (SAMPLES / f"sample-{layout}.csv").open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    return Sample(header, rows, ROLES[layout].row - 1)


def _cell(sample: Sample, subject: str, column: str, what: str, text: str, *also: str) -> Case:
    # A header's spaces do not count, so a rejection may name it either way.
    fields = frozenset({*(column, *also), *(" ".join(name.split()) for name in (column, *also))})
    return Case(subject, f"{column}: {what}", ROW, sample.with_cells({column: text}), fields)


def _serials(sample: Sample, roles: Roles) -> Iterator[Case]:
    """A serial that is not one, or that names another range, project or vintage."""
    column = roles.serial
    if column:
        text = sample.cell(column)
        # A party's range has no letters to foul; a prefix has no range.
        wrong = {
            "empty": "",
            "another registry's": "XYZ-1-2-3",
            "something after it": f"{text}-0",
            "something before it": f"#{text}",
            "a digit outside ASCII": _swap(text, "\uff11"),
            "a letter O for a digit": _swap(text, "O"),
            "two spaces in it": re.sub(r"[-_ ]", "  ", text, count=1),
        }
        if column == "serial":
            del wrong["something after it"], wrong["a letter O for a digit"]
        for what, spoilt in wrong.items():
            yield _cell(sample, "serial", column, what, spoilt)
    if roles.span:
        yield from _spans(sample, roles)
    if roles.bounds:
        yield from _bounds(sample, roles)
    if roles.project_in:
        yield from _others(sample, roles)


def _swap(text: str, character: str) -> str:
    """The last digit 1 … 9 replaced."""
    return re.sub(r"[1-9](?=[^1-9]*$)", character, text)


def _spans(sample: Sample, roles: Roles) -> Iterator[Case]:
    text = sample.cell(roles.serial)
    match = re.search(roles.span, text)
    if match is None:
        raise ValueError(f"no range in {text}")
    first, last = match[1], match[2]
    (a, b), (c, d) = match.span(1), match.span(2)

    def ranged(start: str, end: str) -> str:
        return text[:a] + start + text[b:c] + end + text[d:]

    for what, spoilt in {
        "reversed": ranged(last, first),
        "from 0": ranged("0", last),
        "beyond 2^63": ranged(first, str(2**63)),
        "a number of 5,000 digits": ranged(first, "9" * 5000),
        "a leading zero": ranged(f"0{first}", last),
        "without its last number": text[:c].rstrip("- to") + text[d:],
    }.items():
        yield _cell(sample, "serial", roles.serial, what, spoilt)
    longer = ranged(first, str(int(last) + 1))
    yield _cell(sample, "serial", roles.serial, "one unit more", longer, roles.quantity)


def _bounds(sample: Sample, roles: Roles) -> Iterator[Case]:
    low, high = roles.bounds
    first, last = sample.cell(low), sample.cell(high)
    for column in (low, high):
        for what, spoilt in {
            "empty": "", "text": "x", "negative": "-1", "Arabic digits": "\u0661",
            "a leading zero": f"0{first}1", "beyond 2^63": str(2**63),
        }.items():  # fmt: skip
            yield _cell(sample, "serial", column, what, spoilt, low, high)
    swapped = sample.with_cells({low: last, high: first})
    yield Case("serial", f"{low}, {high}: reversed", ROW, swapped, frozenset(roles.bounds))
    more = str(int(last) + 1)
    yield _cell(sample, "serial", high, "one unit more", more, roles.quantity)


def _others(sample: Sample, roles: Roles) -> Iterator[Case]:
    """The serial's own project and vintage against the row's."""
    text, project = sample.cell(roles.serial), sample.cell(roles.project)
    number = re.search(r"\d+$", project)
    if number is None:
        raise ValueError(f"no number in {project}")
    other = str(int(number[0]) + 1)
    spoilt = text.replace(number[0], other, 1)
    yield _cell(sample, "serial", roles.serial, "another project's", spoilt, roles.project)
    if roles.vintage_in and len(roles.vintage) == 1:
        year = sample.cell(roles.vintage[0])
        spoilt = text.replace(f"-{year}-", f"-{int(year) + 1}-", 1)
        yield _cell(sample, "serial", roles.serial, "another vintage's", spoilt, *roles.vintage)


def _quantities(sample: Sample, roles: Roles) -> Iterator[Case]:
    column = roles.quantity
    if not column:
        return
    wrong = dict(_BAD_NUMBERS)
    if not roles.zero:
        wrong["empty"] = ""
    if roles.counted:
        number = int(float(sample.cell(column).replace(",", "")))
        wrong |= {"one more": str(number + 1), "one less": str(number - 1), "zero": "0"}
    for what, spoilt in wrong.items():
        yield _cell(sample, "quantity", column, what, spoilt)


def _projects(sample: Sample, roles: Roles) -> Iterator[Case]:
    column = roles.project
    if not column:
        return
    text = sample.cell(column)
    wrong = {"empty": ""}
    if column not in roles.free:
        wrong |= {"text": "the forest", "another registry's": "XX1"}
    if roles.project_in:
        wrong["another project"] = text[:-1] + str((int(text[-1]) + 1) % 10)
    for what, spoilt in wrong.items():
        yield _cell(sample, "project", column, what, spoilt)


def _free_texts(sample: Sample, roles: Roles) -> Iterator[Case]:
    """Texts of Causeway's own layouts: anything goes that has one spelling only."""
    for column in roles.free:
        for what, spoilt in {
            "empty": "", "doubled spaces": "a  b", "full-width characters": "\uff21-\uff11",
            "a control character": "a\x07b", "a ligature": "\ufb01rst",
        }.items():  # fmt: skip
            yield _cell(sample, "text", column, what, spoilt)


def _vintages(sample: Sample, roles: Roles) -> Iterator[Case]:
    for column in roles.vintage:
        dated = "-" in sample.cell(column)
        wrong = {"text": "old", "a short year": "21", "before 1900": "0999"}
        if not (column == "Vintage" and roles.zero):
            wrong["empty"] = ""
        if roles.vintage_in:
            wrong["another"] = "1999-01-01" if dated else "1999"
        for what, spoilt in wrong.items():
            yield _cell(sample, "vintage", column, what, spoilt, *roles.vintage)


def _statuses(sample: Sample, roles: Roles) -> Iterator[Case]:
    if roles.status:
        yield _cell(sample, "status", roles.status, "empty", "")
        if roles.closed_status:
            yield _cell(sample, "status", roles.status, "a word nobody knows", "Pondered")


def _dates(sample: Sample, roles: Roles) -> Iterator[Case]:
    for column in roles.dates:
        wrong = {"text": "soon", "a number": "45000"} | _BAD_DATES[roles.style]
        if column in roles.required:
            wrong["empty"] = ""
        for what, spoilt in wrong.items():
            yield _cell(sample, "date", column, what, spoilt)


def _amounts(sample: Sample, roles: Roles) -> Iterator[Case]:
    for column in roles.amounts:
        wrong = dict(_BAD_NUMBERS)
        if column.endswith("Reversal"):
            del wrong["negative"]
        for what, spoilt in wrong.items():
            yield _cell(sample, "number", column, what, spoilt)


def _characters(sample: Sample, adapter: Adapter) -> Iterator[Case]:
    for column in adapter.columns:
        for what, text in _CHARACTERS.items():
            yield _cell(sample, "character", column, what, text)


def _records(sample: Sample) -> Iterator[Case]:
    """A record that is broken as a whole; the rows around it stay."""
    row = sample.rows[sample.spoilt]
    whole = frozenset({WHOLE_RECORD})
    for what, cells in (
        ("a cell too few", row[:-1] if row[-1] else row[:-2]),
        ("a cell too many", [*row, "surplus"]),
        ("one cell", ["only"]),
        ("a cell of 200,000 characters", ["x" * 200_000, *[""] * (len(row) - 1)]),
    ):
        rows = [*sample.rows[: sample.spoilt], cells, *sample.rows[sample.spoilt + 1 :]]
        yield Case("record", what, ROW, encoded(sample.header, rows), whole)
    before = encoded(sample.header, sample.rows[: sample.spoilt])
    after = encoded(sample.rows[sample.spoilt + 1], sample.rows[sample.spoilt + 2 :])
    for what, line in (
        ("text after a closing quote", b'"wrong"ly,x\n'),
        ("a quote inside a cell that never closes", b'a,"b\n'),
    ):
        yield Case("record", what, ROW, before + line + after, whole)


def _files(sample: Sample) -> Iterator[Case]:
    good = encoded(sample.header, sample.rows)
    names = [index for index, name in enumerate(sample.header) if name.strip()]
    column = names[len(names) // 2]

    def without(cells: list[str]) -> list[str]:
        return cells[:column] + cells[column + 1 :]

    spoilt = {
        "a column missing": encoded(without(sample.header), [without(r) for r in sample.rows]),
        "a column more": encoded([*sample.header, "Rating"], [[*row, "AA"] for row in sample.rows]),
        "a column twice": encoded(
            [*sample.header, sample.header[column]], [[*row, ""] for row in sample.rows]
        ),
        "a column renamed": encoded(
            [*sample.header[:column], "Renamed", *sample.header[column + 1 :]], sample.rows
        ),
        "no header": encoded(sample.rows[0], sample.rows[1:]),
        "empty": b"",
        "another separator": good.replace(b",", b"\t"),
        "UTF-16": good.decode("utf-8").encode("utf-16"),
        "compressed": b"\x1f\x8b\x08" + good,
        "a PDF": b"%PDF-1.7\n" + good,
        "an old workbook": b"\xd0\xcf\x11\xe0" + good,
        "a broken workbook": b"PK\x03\x04" + good,
    }
    for what, content in spoilt.items():
        yield Case("file", what, FILE, content)


def _forms(sample: Sample) -> Iterator[Case]:
    """Files that are written otherwise and say the same."""
    header, rows = sample.header, sample.rows
    good = encoded(header, rows)

    def turned(cells: list[str]) -> list[str]:
        return cells[::-1]

    same = {
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "lines ended by CR LF": encoded(header, rows, "\r\n"),
        "columns in another order": encoded(turned(header), [turned(row) for row in rows]),
        "headers in capitals with spaces": encoded(
            [f" {name.upper().replace(' ', '  ')} " for name in header], rows
        ),
        "a last column without a name": encoded([*header, ""], [[*row, ""] for row in rows]),
        "a last column `Unnamed 99`, as table programs write it": encoded(
            [*header, "Unnamed: 99"], [[*r, ""] for r in rows]
        ),
        "spaces around cells": encoded(header, [[f" {cell}\u00a0" for cell in r] for r in rows]),
        "blank lines": encoded(header, rows) + b"\n  \n",
    }
    for what, content in same.items():
        yield Case("form", what, SAME, content)


def cases_of(adapter: Adapter) -> list[Case]:
    """Every case of a layout, by subject."""
    sample, roles = sample_of(adapter.layout), ROLES[adapter.layout]
    return [
        *_serials(sample, roles),
        *_quantities(sample, roles),
        *_projects(sample, roles),
        *_free_texts(sample, roles),
        *_vintages(sample, roles),
        *_statuses(sample, roles),
        *_dates(sample, roles),
        *_amounts(sample, roles),
        *_characters(sample, adapter),
        *_records(sample),
        *_files(sample),
        *_forms(sample),
    ]


def _accepted(loaded: LoadedExport) -> list[Record]:
    return [*loaded.records, *loaded.volumes, *loaded.projects]


def outcome(case: Case, path: Path, good: list[Record], spoilt: int) -> str:
    """What a case got: one of the three, or what went wrong, in words."""
    path.write_bytes(case.content)
    try:
        loaded = load(path)
    except UnknownLayout:
        return FILE
    kept = _accepted(loaded)
    rejected = loaded.summary.rejected
    if not rejected:
        return SAME if kept == good else "read as something else"
    if len(rejected) != 1 or rejected[0].row != spoilt + 1:
        return f"rows refused: {[rejection.row for rejection in rejected]}"
    if kept != good[:spoilt] + good[spoilt + 1 :]:
        return "other rows changed"
    if rejected[0].field not in case.fields:
        return f"refused for {rejected[0].field}: {rejected[0].rule}"
    return ROW


def run(adapter: Adapter, directory: Path) -> list[tuple[Case, str]]:
    """Every case of a layout with what it got."""
    good = _accepted(load(SAMPLES / f"sample-{adapter.layout}.csv"))
    path = directory / "export.csv"
    spoilt = ROLES[adapter.layout].row - 1
    return [(case, outcome(case, path, good, spoilt)) for case in cases_of(adapter)]


def document() -> str:
    """docs/bad-inputs.md; the counts are of the cases, the tests say what they got."""
    header = ["layout", *SUBJECTS, "refused", "read the same"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    total: Counter[str] = Counter()
    kinds: dict[str, dict[str, None]] = defaultdict(dict)
    for adapter in ADAPTERS:
        found = cases_of(adapter)
        count = Counter(case.subject for case in found)
        count |= {"refused": sum(case.expect != SAME for case in found)}
        count |= {"read the same": sum(case.expect == SAME for case in found)}
        total.update(count)
        cells = [str(count[name] or "–") for name in header[1:]]
        lines.append("| " + " | ".join([f"`{adapter.layout}`", *cells]) + " |")
        for case in found:
            kinds[case.subject][case.what.rpartition(": ")[2]] = None
    cells = [str(total[name]) for name in header[1:]]
    lines.append("| " + " | ".join(["**all**", *cells]) + " |")
    gets = {"file": "the file is refused, exit code 2", "form": "it is read as the file it says"}
    row = "one row is refused, naming its column; every other row is read"
    whole = "one row is refused as a record; every other row is read"
    described = [
        f"- **{subject}**: {', '.join(kinds[subject])}. Each: "
        f"{gets.get(subject, whole if subject == 'record' else row)}."
        for subject in SUBJECTS
    ]
    return (
        "# Bad inputs\n\nHow many were tried on each layout, by what was spoilt. Written by "
        "`scripts/bad_inputs.py`; `tests/registries/test_bad_inputs.py` runs\nevery case on its "
        "sample and fails when one gets anything else than is said here. Damage at random places "
        "and hostile serials are\ntried by the fuzz tests beside it, label and flag rules of "
        "single layouts by `test_rejections.py`.\n\n"
        + "\n".join(lines)
        + "\n\n## What was tried, and what it gets\n\n"
        + "\n".join(described)
        + "\n"
    )


def main() -> None:
    """Run every case, print those that got something else, write the document."""
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for adapter in ADAPTERS:
            for case, got in run(adapter, Path(directory)):
                if got != case.expect:
                    failed += 1
                    print(f"{adapter.layout}: {case.subject}, {case.what}: {got}")
    if failed:
        raise SystemExit(f"{failed} cases got something else")
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(document())


if __name__ == "__main__":
    main()
