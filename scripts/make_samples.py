"""Write `backend/samples/`: registry exports in the true formats about projects that do not exist.

Deterministic: the same files every time. Run `python scripts/make_samples.py`.
Nothing in them can be taken for a real credit: project names begin with `SAMPLE –`, the country is
Sampleland (ZZ), and project, batch and serial numbers lie far beyond those in use.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

from backend.registries.cdm import CdmCancellations, CdmIssuances
from backend.registries.gold_standard import GoldStandardIssuances, GoldStandardRetirements
from backend.registries.layouts import ADAPTERS
from backend.registries.verra import COLUMNS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from scripts.sample_apx import APX_SHARED
from scripts.sample_registries import ROWS

SAMPLES = Path(__file__).resolve().parent.parent / "backend" / "samples"
COUNTRY, CODE = "Sampleland", "ZZ"
#: Far beyond the largest VCU number in use. Both generations begin here: they may share numbers.
FIRST_VCU = 9_000_000_001
CORSIA = "CORSIA – Pilot Phase, 2021-2023 Eligible"
ARTICLE_6 = "Article 6 Authorized – Intl mitigation purposes; Article 6 Authorized – Other purposes"


@dataclass(frozen=True)
class Project:
    number: int
    name: str
    kind: str
    methodology: str
    scope: int
    labels: tuple[str, ...]


VERRA_PROJECTS = (
    Project(990001, "Windy Ridge wind farm", "Energy industries (renewable/non-renewable sources)",
            "ACM0002", 1, ("", CORSIA)),
    Project(990002, "Green Valley afforestation", "Agriculture Forestry and Other Land Use",
            "VM0047", 14, ("Carbon Dioxide Removals", "Carbon Dioxide Removals; ICVCM CCP")),
    Project(990003, "Mangrove Bay restoration", "Agriculture Forestry and Other Land Use",
            "VM0033", 14, ("CCB-Biodiversity Gold", "CCB-Gold; ICVCM CCP", "CCB-No Distinction")),
    Project(990004, "Clean Kitchen cookstoves", "Energy demand", "VMR0006; VM0050", 3,
            ("", f"{ARTICLE_6}; CORSIA - First Phase, 2024-2026 Scope")),
    Project(990005, "Old Quarry landfill gas", "Waste handling and disposal", "ACM0001", 13,
            ("", "GHG Emissions Reductions; ICVCM CCP")),
    Project(990006, "River Bend biogas", "Energy industries (renewable/non-renewable sources); "
            "Livestock, enteric fermentation, and manure management", "ACM0010", 15,
            ("", "Social Carbon")),
)  # fmt: skip


@dataclass(frozen=True)
class VerraRow:
    """One piece of a batch; `retired` is empty while it is active."""

    project: Project
    issued: date
    start: date
    end: date
    vintage_total: int
    generation: int
    batch: int
    first: int
    last: int
    labels: str
    retired: str = ""
    beneficiary: str = ""
    reason: str = ""

    @property
    def serial(self) -> str:
        segment, admin = ("-VCS", "VER") if self.generation == 2 else ("", "APX")
        project = self.project
        return (
            f"{self.batch}-{self.first}-{self.last}{segment}-VCU-999-{admin}-{CODE}-{project.scope}"
            f"-{project.number}-{self.start:%d%m%Y}-{self.end:%d%m%Y}-{int(bool(self.labels))}"
        )

    @property
    def cells(self) -> list[str]:
        project = self.project
        details = f"SAMPLE – retired for {self.beneficiary}" if self.beneficiary else ""
        return [
            self.issued.isoformat(), "07: Affordable and Clean Energy; 13: Climate Action",
            self.start.isoformat(), self.end.isoformat(), str(project.number),
            f"SAMPLE – {project.name}", COUNTRY, project.kind, project.methodology,
            f"{self.vintage_total:,}", f"{self.last - self.first + 1:,}", self.serial, self.labels,
            self.retired, self.beneficiary, self.reason, details,
        ]  # fmt: skip


def retire(row: VerraRow, day: date, buyer: int) -> VerraRow:
    """The same piece after its retirement."""
    reasons = ("Environmental Benefit", "Retirement for Person or Organization", "Other")
    beneficiary = f"SAMPLE – Buyer {buyer} Ltd." if buyer % 3 else ""
    return replace(
        row, retired=day.isoformat(), beneficiary=beneficiary, reason=reasons[buyer % len(reasons)]
    )


def verra_rows(random: Random) -> list[VerraRow]:
    """Batches of every project, vintage and cohort, each cut into pieces."""
    rows: list[VerraRow] = []
    serial = {1: FIRST_VCU, 2: FIRST_VCU}
    batch = {1: 8101, 2: 900_001}
    for year in (2017, 2020, 2021, 2022, 2023):
        generation = 1 if year < 2018 else 2
        for project in VERRA_PROJECTS:
            # One vintage that is not a calendar year: registries issue for any period.
            odd = project.number == 990004
            start = date(year, 3, 1) if odd else date(year, 1, 1)
            end = date(year + 1, 2, 28) if odd else date(year, 12, 31)
            for labels in project.labels if generation == 2 else project.labels[:1]:
                pieces = [random.randint(1, 900) * random.choice((1, 1, 5, 40)) for _ in range(3)]
                total = sum(pieces)
                issued = date(year + 2, random.randint(1, 12), random.randint(1, 28))
                for index, tonnes in enumerate(pieces):
                    first = serial[generation]
                    row = VerraRow(
                        project, issued, start, end, total * 2, generation, batch[generation],
                        first, first + tonnes - 1, labels,
                    )  # fmt: skip
                    serial[generation] = row.last + 1
                    if index == 1 or (index == 2 and random.random() < 0.3):
                        row = retire(row, issued + timedelta(random.randint(30, 300)), len(rows))
                    rows.append(row)
                batch[generation] += 1
                serial[generation] += 10_000
    # As in real exports, the order of rows is not the order of serials.
    random.shuffle(rows)
    return rows


def newer(rows: Sequence[VerraRow]) -> list[VerraRow]:
    """The same export some weeks later: a piece retired, a piece split, a label, a new batch."""
    active = [row for row in rows if not row.retired and row.last - row.first > 100]
    whole, cut, labelled = active[0], active[1], next(row for row in active[2:] if not row.labels)
    day = date(2026, 6, 1)
    after = []
    for row in rows:
        if row is whole:
            after.append(retire(row, day, 201))
        elif row is cut:
            after.append(retire(replace(row, last=row.first + 99), day, 202))
            after.append(replace(row, first=row.first + 100))
        elif row is labelled:
            after.append(replace(row, labels="ICVCM CCP"))
        else:
            after.append(row)
    top = max(rows, key=lambda row: (row.generation, row.last))
    first = top.last + 10_001
    after.append(
        replace(top, issued=day, batch=top.batch + 1, first=first, last=first + 999,
                retired="", beneficiary="", reason="")
    )  # fmt: skip
    return after


def erroneous(rows: Sequence[VerraRow]) -> list[list[str]]:
    """Ten good rows, then one row for each error; docs/layouts.md and the tests name them."""
    generation_two = [row for row in rows if row.generation == 2]
    cells = [row.cells for row in generation_two[:20]]
    column = {name: index for index, name in enumerate(COLUMNS)}

    def change(row: int, name: str, text: str) -> None:
        cells[row][column[name]] = text

    serial = [row.serial for row in generation_two[:20]]
    change(10, "Serial Number", serial[10].replace("9000", "9OOO", 1))
    change(11, "Serial Number", serial[11].replace(f"-{CODE}-", "-", 1))
    scope = generation_two[12].project.scope
    change(12, "Serial Number", serial[12].replace(f"-{CODE}-{scope}-", f"-{CODE}-", 1))
    change(13, "Quantity Issued", "1,000,000")
    change(14, "ID", "990099")
    change(15, "Vintage End", "2031-12-31")
    flagged = "" if generation_two[16].labels else "ICVCM CCP"
    change(16, "Additional Certifications", flagged)
    change(17, "Issuance Date", "2023-02-29")
    cells[18] = cells[18][:-2]
    # Accepted, but they overlap: the same piece twice. And a label that the table does not have.
    cells[19] = list(cells[0])
    odd = replace(generation_two[20], labels="SAMPLE – a label nobody mapped")
    return [*cells, odd.cells]


GOLD_PROJECTS = (
    (990101, "Sunny Plain solar park", "PV", 1, "ACM0002 Grid-connected electricity generation"),
    (990102, "Water for Schools", "Energy Efficiency - Domestic", 16, "GS TPDDTEC v3.1"),
    (990103, "Hill Farm biogas", "Biogas - Heat", 4, ""),
    (990104, "Cedar Hills planting", "A/R", 22, ""),
)
CER_PROJECT = (990105, "Stove programme of the CDM", "Energy Efficiency - Domestic", 990000)


def _gold_label(number: int, year: int) -> str:
    if number == 990104:
        return "Emission Removal"
    return "ICVCM CCP, Emission Reduction" if year == 2024 else "Emission Reduction"


def gold_standard_rows(random: Random) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Issuances of whole blocks and retirements inside them, CER rows among both."""
    issuances: list[dict[str, str]] = []
    retirements: list[dict[str, str]] = []
    # CER rows are a view of credits that the CDM's own ledger has: inside its first block.
    batch, un_number = 900_001, 1

    def add(common: dict[str, str], cut: tuple[int, int], serial: str, number: int) -> None:
        tonnes = int(common["Quantity"])
        issuances.append(common | {"Credit Status": "Issued"})
        if number % 3 == 2:
            return
        cancelled = number % 5 == 0
        retirements.append(
            common
            | {
                "Credit Status": "Canceled" if cancelled else "Retired",
                "Quantity": str(cut[1] - cut[0] + 1),
                "Serial Number": serial,
                "Issuance Date": common["Issuance Date"][:10],
                "Retirement Date": "" if cancelled else "2026-02-14",
                "Note": f"SAMPLE – first line, {tonnes} t issued\nsecond line of the note",
                "Use Case": "" if cancelled else "Voluntary",
                "Using Entity": "" if number % 2 else f"SAMPLE – Buyer {number} Ltd.",
            }
        )

    for project, name, kind, code, methodology in GOLD_PROJECTS:
        for year in (2021, 2022, 2023, 2024):
            tonnes = random.randint(500, 40_000)
            first, last = random.randint(1, 100), random.randint(150, 499)
            stem = f"GS1-1-{CODE}-GS{project}-{code}-{year}-{batch}"
            common = _gold_common(project, name, kind, methodology, year, tonnes)
            common |= {
                "Product Type": "VER",
                "Label": _gold_label(project, year),
                "Serial Number": f"{stem}-1-{tonnes}",
            }
            add(common, (first, last), f"{stem}-{first}-{last}", len(issuances))
            batch += 1
    project, name, kind, cdm = CER_PROJECT
    for year in (2018, 2019, 2020):
        tonnes = random.randint(500, 5_000)
        common = _gold_common(project, name, kind, "", year, tonnes)
        common |= {
            "Product Type": "CER",
            "Serial Number": _un_serial(un_number, un_number + tonnes - 1, cdm),
        }
        cut = (un_number + 10, un_number + 109)
        add(common, cut, _un_serial(*cut, cdm), len(issuances))
        un_number += tonnes
    return issuances, retirements


def cdm_rows(random: Random) -> tuple[list[list[str]], list[list[str]]]:
    """A party's issued blocks without a gap, and voluntary cancellations inside them."""
    issuances: list[list[str]] = []
    cancellations: list[list[str]] = []
    first = 1
    for number in range(24):
        tonnes = random.randint(500, 90_000)
        project, period = str(990_000 + number % 5), "1" if number < 12 else "2"
        unit = "tCER" if number % 11 == 10 else "CER"
        day = f"20{10 + number // 2}-{1 + number % 12:02d}-15"
        span = f"{first} - {first + tonnes - 1}"
        issuances.append(
            [f"{day}T09:30:00", "Issuance (1)", "4 - Completed", span, unit, period, CODE,
             project, str(tonnes)]
        )  # fmt: skip
        for cut in range(number % 3):
            span, cancelled = f"{first + 100 * cut} - {first + 100 * cut + 49}", "50"
            cancellations.append(
                [f"2024-{1 + number % 12:02d}-01T12:00:00.250000", "Cancellation (4)", span,
                 f"{CODE}-{project}", "4 - Completed", period, unit, cancelled,
                 "No" if cut else "Yes"]
            )  # fmt: skip
        first += tonnes
    return issuances, cancellations


def _un_serial(first: int, last: int, project: int) -> str:
    return f"{CODE}-5-{first}-1-1-0-{project} - {CODE}-5-{last}-1-1-0-{project}"


def _gold_common(
    project: int, name: str, kind: str, methodology: str, year: int, tonnes: int
) -> dict[str, str]:
    """Columns of both layouts. The monitoring period is not the vintage, as in real exports."""
    return {
        "Vintage": str(year),
        "Quantity": str(tonnes),
        "GSID": str(project),
        "Project Name": f"SAMPLE – {name}",
        "Project Developer": "SAMPLE – Developer Ltd.",
        "Country": COUNTRY,
        "Project Type": kind,
        "Methodology": methodology,
        "Programme of Activities": "Standalone",
        "Issuance Date": f"{year + 1}-11-05T10:20:30.123456",
        "Monitoring Period Start": f"{year}-01-01",
        "Monitoring Period End": f"{year + 1}-03-31",
        "Article Six Authorization": "Not Applicable",
    }


def write(
    name: str, header: Sequence[str], rows: Iterable[Sequence[str]], quoted: bool = False
) -> None:
    """One export as the registries write them: UTF-8, LF, quotes only where needed.

    `quoted`: with a byte order mark and every cell in quotes, as Verra's newer lists are.
    """
    encoding, quoting = ("utf-8-sig", csv.QUOTE_ALL) if quoted else ("utf-8", csv.QUOTE_MINIMAL)
    with (SAMPLES / name).open("w", encoding=encoding, newline="") as file:
        table = csv.writer(file, lineterminator="\n", quoting=quoting)
        table.writerow(header)
        table.writerows(rows)


def write_others() -> None:
    """One sample of every other layout: as APX's reports do, with a column without a name."""
    by_layout = {adapter.layout: adapter for adapter in ADAPTERS}
    for layout, rows in ROWS.items():
        columns = by_layout[layout].columns
        trailing = [""] if layout.startswith(("acr-", "car-", "art-")) else []
        unknown = {name for row in rows() for name in row} - set(columns)
        if unknown - APX_SHARED:
            raise SystemExit(f"{layout} has no column {', '.join(sorted(unknown))}")
        cells = [[row.get(column, "") for column in columns] + trailing for row in rows()]
        quoted = layout == "verra-projects-2026"
        write(f"sample-{layout}.csv", [*columns, *trailing], cells, quoted)


def main() -> None:
    """Write every sample."""
    SAMPLES.mkdir(exist_ok=True)
    rows = verra_rows(Random(2026))
    write("sample-verra-vcu-export.csv", COLUMNS, (row.cells for row in rows))
    write("sample-verra-vcu-export-newer.csv", COLUMNS, (row.cells for row in newer(rows)))
    write("sample-verra-vcu-export-errors.csv", COLUMNS, erroneous(rows))
    issuances, retirements = gold_standard_rows(Random(2027))
    for name, columns, events in (
        ("sample-gold-standard-issuances.csv", GoldStandardIssuances.columns, issuances),
        ("sample-gold-standard-retirements.csv", GoldStandardRetirements.columns, retirements),
    ):
        write(name, columns, ([event.get(column, "") for column in columns] for event in events))
    issued, cancelled = cdm_rows(Random(2028))
    write("sample-cdm-issuances.csv", CdmIssuances.columns, issued)
    write("sample-cdm-voluntary-cancellations.csv", CdmCancellations.columns, cancelled)
    write_others()


if __name__ == "__main__":
    main()
