"""The real exports of ACR, CAR, ART, ARB, Cercarbono, Isometric and the lists of projects."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from backend.domain.credits import Kind, Status
from backend.domain.serials import Series
from backend.registries import acr, art, car, cercarbono
from backend.registries.layouts import ADAPTERS
from backend.registries.merge import KnownPiece, plan_merge
from backend.registries.summary import dry_run, load
from tests.registries.exports import accepted
from tests.shared_data import requires_shared_data

pytestmark = [pytest.mark.unit, requires_shared_data]
ACR, CAR = "offsetsdb/american-carbon-registry", "offsetsdb/climate-action-reserve"
ART, CDC, ISO = "offsetsdb/art-trees", "offsetsdb/cercarbono", "offsetsdb/isometric"
#: File → layout, rows, kilograms by status: sums of the files' own columns, counted without
#: this code.
FIGURES: dict[str, tuple[str, int, dict[str, int]]] = {
    f"{ACR}/issuances.csv": ("acr-issuances", 100, {"issued": 7_749_713_000}),
    f"{ACR}/retirements.csv": ("acr-retirements", 100, {"retired": 298_881_000}),
    f"{ACR}/cancellations.csv": (
        "acr-cancellations",
        50,
        {"cancelled": 73_150_000, "moved": 7_573_559_000},
    ),
    f"{ACR}/projects.csv": ("acr-projects", 50, {}),
    f"{CAR}/issuances.csv": ("car-issuances", 100, {"issued": 10_275_056_000}),
    f"{CAR}/retirements.csv": ("car-retirements", 100, {"retired": 1_506_818_000}),
    f"{CAR}/cancellations.csv": ("car-cancellations", 50, {"moved": 4_406_143_000}),
    f"{CAR}/projects.csv": ("car-projects", 50, {}),
    f"{ART}/issuances.csv": ("art-issuances", 11, {"issued": 62_322_618_000}),
    f"{ART}/retirements.csv": ("art-retirements", 8, {"retired": 420_998_000}),
    f"{ART}/cancellations.csv": ("art-cancellations", 3, {"retired": 36_100_000}),
    f"{ART}/projects.csv": ("art-projects", 28, {}),
    "offsetsdb/arb/nc-arboc_issuance_sheet3.csv": (
        "arb-issuances",
        100,
        {"issued": 8_069_970_000},
    ),
    f"{CDC}/issuances.csv": (
        "cercarbono-issuances",
        100,
        {"issued": 1_842_925_000, "buffer": 323_935_000},
    ),
    f"{CDC}/retirements.csv": ("cercarbono-retirements", 100, {"retired": 639_718_000}),
    f"{CDC}/projects.csv": ("cercarbono-projects", 50, {}),
    f"{ISO}/issuances.csv": ("isometric-issuances", 100, {"issued": 85_162_160}),
    f"{ISO}/retirements.csv": ("isometric-retirements", 100, {"retired": 14_366_110}),
    f"{ISO}/projects.csv": ("isometric-projects", 50, {}),
    "offsetsdb/verra/projects.csv": ("verra-projects", 50, {}),
    "offsetsdb/gold-standard/projects.csv": ("gold-standard-projects", 50, {}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_real_export_is_read_whole_with_its_known_figures(name: str, shared_data: Path) -> None:
    shown, code = dry_run(shared_data / name)
    layout, rows, kilograms = FIGURES[name]

    assert code == 0
    assert (shown["layout"], shown["rows"], shown["accepted"]) == (layout, rows, rows)
    assert shown["rejected"] == []
    assert shown["kilograms"] == kilograms
    assert shown["blocks"] + shown["volumes"] + shown["projects"] == rows
    assert load(shared_data / name).summary.unmapped_labels == {}


@pytest.mark.parametrize(
    ("name", "parse", "field", "count"),
    [
        (f"{ACR}/retirements.csv", acr.parse_serial, "Credit Serial Numbers", 100),
        (f"{ACR}/cancellations.csv", acr.parse_serial, "Credit Serial Numbers", 50),
        (f"{CAR}/retirements.csv", car.parse_serial, "Offset Credit Serial Numbers", 100),
        (f"{CAR}/cancellations.csv", car.parse_serial, "Offset Credit Serial Numbers", 50),
        (f"{ART}/retirements.csv", art.parse_serial, "Credit Serial Numbers", 8),
        (f"{ART}/cancellations.csv", art.parse_serial, "Credit Serial Numbers", 3),
        (f"{CDC}/issuances.csv", cercarbono.parse_serial, "serial", 100),
        (f"{CDC}/retirements.csv", cercarbono.parse_serial, "serial", 100),
    ],
)
def test_every_real_serial_prints_as_it_was_read(
    name: str, parse: object, field: str, count: int, shared_data: Path
) -> None:
    assert callable(parse)
    with (shared_data / name).open(encoding="utf-8-sig", newline="") as file:
        texts = [row[field] for row in csv.DictReader(file)]

    assert len(texts) == count
    assert [str(parse(text)) for text in texts] == texts


@pytest.mark.parametrize("registry", [ACR, CAR, ART, CDC])
def test_retired_and_cancelled_ranges_of_one_registry_overlap_nowhere(
    registry: str, shared_data: Path
) -> None:
    records = [
        record
        for path in sorted((shared_data / registry).glob("*.csv"))
        for record in load(path).records
    ]

    plan = plan_merge([], records)

    assert len(plan.new) == len(records) > 10
    assert plan.contradictions == ()
    known = [KnownPiece(key, record) for key, record in enumerate(plan.new)]
    again = plan_merge(known, records)
    assert len(again.unchanged) == len(records)


def test_most_cancellations_of_acr_and_car_are_moves_to_a_compliance_programme(
    shared_data: Path,
) -> None:
    def moves(registry: str) -> Counter[tuple[Status, str]]:
        records = load(shared_data / registry / "cancellations.csv").records
        return Counter((record.status, record.facts.moved_to) for record in records)

    assert moves(ACR) == {
        (Status.MOVED, "ARB"): 41,
        (Status.MOVED, "ECY"): 6,
        (Status.CANCELLED, ""): 3,
    }
    assert moves(CAR) == {(Status.MOVED, "ARB"): 45, (Status.MOVED, "ECY"): 5}


def test_a_cancellation_for_corsia_is_a_use(shared_data: Path) -> None:
    for record in load(shared_data / ART / "cancellations.csv").records:
        assert (record.status, record.facts.use_case) == (Status.RETIRED, "CORSIA")


def test_both_standards_of_the_art_registry_are_numbered_together(shared_data: Path) -> None:
    records = load(shared_data / ART / "retirements.csv").records

    assert Counter(record.project for record in records) == {"130": 4, "102": 3, "126": 1}
    # FCPF issues two batches of one vintage and program: both begin at 1.
    assert {str(r.interval.series) for r in records if r.project == "130"} == {
        "ART:130:2022:18",
        "ART:130:2022:19",
        "ART:130:2023:20",
        "ART:130:2023:21",
    }


def test_the_buffers_of_the_issuances_are_parts_of_them(shared_data: Path) -> None:
    def buffer(name: str) -> int:
        volumes = load(shared_data / name).volumes
        return sum(kg for volume in volumes for part, kg in volume.parts if part == "buffer")

    assert buffer(f"{ACR}/issuances.csv") == 70_953_000
    assert buffer(f"{ART}/issuances.csv") == 3_569_215_000
    assert buffer(f"{ISO}/issuances.csv") > 0


def test_cercarbono_counts_from_0_in_older_prefixes_and_retires_no_more_than_it_issued(
    shared_data: Path,
) -> None:
    issued = {v.series: v.kilograms for v in load(shared_data / CDC / "issuances.csv").volumes}
    retired = defaultdict[Series, int](int)
    firsts = Counter[int]()
    for record in load(shared_data / CDC / "retirements.csv").records:
        retired[record.interval.series] += 1000 * record.tonnes
        firsts[record.interval.first] += 1

    assert (firsts[0], len(retired)) == (5, 22)
    assert all(tonnes <= issued[series] for series, tonnes in retired.items())


def test_a_name_that_is_not_public_is_no_beneficiary(shared_data: Path) -> None:
    records = load(shared_data / CDC / "retirements.csv").records

    hidden = [record for record in records if record.facts.note == "Not public"]
    assert len(hidden) == 80
    assert {record.facts.beneficiary for record in hidden} == {""}
    assert sum(bool(record.facts.obligated_party) for record in records) == 84


def test_23_of_100_retirements_of_isometric_are_no_whole_tonnes(shared_data: Path) -> None:
    volumes = load(shared_data / ISO / "retirements.csv").volumes

    assert sum(volume.kilograms % 1000 != 0 for volume in volumes) == 23
    assert min(volume.kilograms for volume in volumes) == 2


def test_isometrics_totals_of_its_projects_are_the_sums_of_its_issuances(
    shared_data: Path,
) -> None:
    issued = Counter[str]()
    for volume in load(shared_data / ISO / "issuances.csv").volumes:
        issued[volume.project] += volume.kilograms
    totals = {
        p.project: p.issued_kilograms for p in load(shared_data / ISO / "projects.csv").projects
    }
    compared = {project for project in issued if project in totals}

    # The sample holds the newest 100 issuances: the one project with older ones has issued more.
    assert len(compared) > 5
    assert [p for p in compared if issued[p] != totals[p]] == ["prj_1HHYZFVGW1S044ZY"]


def test_arb_rows_without_credits_are_kept_and_a_reversal_is_a_part(shared_data: Path) -> None:
    volumes = load(shared_data / "offsetsdb/arb/nc-arboc_issuance_sheet3.csv").volumes
    empty = [volume for volume in volumes if not volume.kilograms]

    assert [volume.reference for volume in empty] == ["CAFR5012 | 4", "CALS5014 | 6"]
    assert [volume.vintage_start for volume in empty] == [None, None]
    assert empty[0].parts == (("reversed", 27_150_000),)
    assert len({volume.reference for volume in volumes}) == 100
    assert sum(volume.facts.moved_from.startswith(("ACR", "CAR")) for volume in volumes) == 100


def test_projects_state_their_ids_under_compliance_programmes(shared_data: Path) -> None:
    def listings(registry: str) -> Counter[str]:
        projects = load(shared_data / registry / "projects.csv").projects
        return Counter(
            listing.partition(":")[0] for one in projects for listing in one.cross_listings
        )

    assert listings(ACR) == {"ARB": 14, "ECY": 4}
    assert listings(CAR) == {"ARB": 41, "ECY": 2}


def test_every_programme_has_a_real_file_but_those_that_publish_none() -> None:
    seen = {layout for layout, _, _ in FIGURES.values()}
    elsewhere = {"verra-vcu-export", "gold-standard-issuances", "gold-standard-retirements"}
    elsewhere |= {"cdm-issuances", "cdm-voluntary-cancellations"}

    assert {adapter.layout for adapter in ADAPTERS} - seen - elsewhere == {
        "verra-projects-2026",
        "gold-standard-holdings",
        "acr-holdings",
        "car-holdings",
        "art-holdings",
        "puro-holdings",
        "ccer-holdings",
        "phcer-holdings",
    }


def test_a_project_is_recorded_once_and_as_the_registry_spells_it(shared_data: Path) -> None:
    for name, (layout, rows, _) in FIGURES.items():
        if layout.endswith("-projects"):
            loaded = load(shared_data / name)
            assert {record.kind for record in accepted(loaded)} == {Kind.PROJECT}
            assert len({project.project for project in loaded.projects}) == rows
            assert all(project.status for project in loaded.projects)
