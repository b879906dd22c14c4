"""CAD Trust: what is written reads back, and the faults of real uploads are found."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue, UnknownLayout
from backend.registries.cad_trust import dataset_of, pieces_of
from backend.registries.cad_trust_check import check, check_split
from backend.registries.cad_trust_files import read, write_csv, write_json
from backend.registries.cad_trust_model import Dataset, Row, Version
from backend.registries.cad_trust_reading import records_of
from backend.registries.summary import load
from tests.shared_data import requires_shared_data, shared_data_directory

pytestmark = pytest.mark.unit

VERSIONS = list(Version)
VCS = Series("VCS", (2,))


def piece(first: int, last: int, **changes: Any) -> BlockRecord:
    values: dict[str, Any] = {
        "programme": "VCS",
        "project": "1001",
        "project_name": "A wind farm",
        "vintage_start": date(2020, 1, 1),
        "vintage_end": date(2020, 12, 31),
        "interval": Interval(VCS, first, last),
        "kind": Kind.PARTITION,
        "status": Status.ACTIVE,
        "batch": 10683,
        "facts": Facts(
            methodologies=("ACM0002",),
            project_types=("Energy industries (renewable/non-renewable sources)",),
            issued_on=date(2021, 5, 1),
        ),
    }
    return BlockRecord(**(values | changes))


def codes(faults: list[Any]) -> Counter[str]:
    return Counter(fault.code for fault in faults)


# ── round trip ───────────────────────────────────────────────────────────────────────────────

LABELS = ["ICVCM CCP", "Article 6 Authorized – NDC Use", "CCB-Gold"]


@st.composite
def ledgers(draw: st.DrawFn) -> list[BlockRecord]:
    """Disjoint pieces of a few projects, whose facts agree within a project."""
    found, cursor = [], 1
    for _ in range(draw(st.integers(1, 8))):
        first = cursor + draw(st.integers(0, 5))
        cursor = first + draw(st.integers(1, 10**6))
        number = draw(st.integers(1, 3))
        start = date(2015 + number, 1, 1)
        found.append(
            piece(
                first,
                cursor - 1,
                project=str(number),
                project_name=f"Project {number}",
                vintage_start=start,
                vintage_end=start + timedelta(days=draw(st.sampled_from([0, 364, 900]))),
                status=draw(st.sampled_from(list(Status))),
                batch=draw(st.sampled_from([None, 7, 10683])),
                labels=tuple(draw(st.lists(st.sampled_from(LABELS), unique=True))),
                facts=Facts(
                    methodologies=("ACM0002", "AMS-I.D.")[:number],
                    project_types=("Wind",) if number == 1 else (),
                    issued_on=draw(st.sampled_from([None, date(2021, 5, 1), date(2022, 1, 1)])),
                    verifier=draw(st.sampled_from(["", "A verifier"])),
                ),
            )
        )
    return found


@pytest.mark.parametrize("version", VERSIONS)
@given(pieces=ledgers())
@settings(max_examples=60)
def test_what_is_written_passes_the_check_and_reads_back(
    version: Version, pieces: list[BlockRecord]
) -> None:
    data, left_out = dataset_of(version, pieces)
    assert left_out == []
    assert check(data) == []
    back, faults = records_of(data)
    assert faults == []
    assert back == pieces


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", ["json", "csv"])
def test_files_hold_the_same(version: Version, form: str, tmp_path: Path) -> None:
    pieces = [
        piece(1, 100, labels=("ICVCM CCP",)),
        piece(101, 101, status=Status.RETIRED, labels=("ICVCM CCP", "CCB-Gold")),
        piece(500, 600, status=Status.BUFFER, batch=None),
    ]
    data, _ = dataset_of(version, pieces)
    if form == "json":
        path = tmp_path / "upload.json"
        write_json(data, path)
    else:
        path = tmp_path / "upload"
        assert len(write_csv(data, path)) >= 4
    found = read(path)
    assert found.version is version
    assert check(found) == []
    assert records_of(found) == (pieces, [])


def test_the_second_version_also_keeps_who_used_the_credits() -> None:
    used = piece(
        1, 9, status=Status.RETIRED,
        facts=Facts(country="India", retired_on=date(2023, 1, 2), beneficiary="A company",
                    note="for 2022"),
    )  # fmt: skip
    data, _ = dataset_of(Version.V2, [used])
    (unit,) = data.rows("unit")
    assert unit["unitRetirementBeneficiary"] == "A company"
    assert records_of(data) == ([used], [])


def test_events_become_pieces_that_partition_what_was_issued() -> None:
    block = piece(1, 100, kind=Kind.ISSUANCE, status=Status.ISSUED)
    gone = [
        piece(first, last, kind=Kind.RETIREMENT, status=Status.RETIRED)
        for first, last in ((10, 20), (21, 30), (100, 100))
    ]
    found = [(p.interval.first, p.interval.last, p.status) for p in pieces_of([*gone, block])]
    assert found == [
        (1, 9, Status.ISSUED),
        (10, 20, Status.RETIRED),
        (21, 30, Status.RETIRED),
        (31, 99, Status.ISSUED),
        (100, 100, Status.RETIRED),
    ]
    with pytest.raises(InvalidValue, match="share serials"):
        pieces_of([*gone, replace(gone[0], interval=Interval(VCS, 20, 21)), block])


def test_what_the_model_cannot_hold_is_left_out_with_a_reason() -> None:
    nameless = piece(1, 2, vintage_start=None, vintage_end=None)
    data, left_out = dataset_of(Version.V1, [nameless, piece(3, 4)])
    assert len(data.rows("unit")) == 1
    assert [one.rule for one in left_out] == ["the registry does not give the vintage"]


def test_a_type_is_stated_or_not_determined() -> None:
    removal = piece(1, 2, labels=("Carbon Dioxide Removals",),
                    facts=Facts(methodologies=("VM0047",)))  # fmt: skip
    kinds = [
        dataset_of(Version.V1, [one])[0].rows("unit")[0]["unitType"]
        for one in (removal, replace(removal, labels=()))
    ]
    assert kinds == ["Removal - nature", "Not Determined"]


# ── faults ───────────────────────────────────────────────────────────────────────────────────


def upload(*units: Row) -> Dataset:
    """Units of one project with bare numbers, as the CDM upload has them."""
    data = Dataset(Version.V1)
    data.add("project", {
        "warehouseProjectId": "p", "currentRegistry": "CDM", "projectId": "6328",
        "originProjectId": "IN-6328", "registryOfOrigin": "CDM", "projectName": "n",
        "projectLink": "l", "projectDeveloper": "d", "sector": "s", "projectType": "t",
        "coveredByNDC": "Unknown", "projectStatus": "Registered", "unitMetric": "tCO2e",
        "methodology": "m",
    })  # fmt: skip
    data.add("issuance", {
        "id": "i", "warehouseProjectId": "p", "startDate": "2012-01-01", "endDate": "2012-12-31",
        "verificationApproach": "a", "verificationBody": "b",
    })  # fmt: skip
    for unit in units:
        data.add("unit", unit)
    return data


def unit(first: object, last: object, count: object, **changes: object) -> Row:
    return {
        "issuanceId": "i", "countryJurisdictionOfOwner": "India", "unitBlockStart": str(first),
        "unitBlockEnd": str(last), "unitCount": count, "vintageYear": 2012, "unitType": "Reduction"
        " - technical", "unitStatus": "Held", "unitRegistryLink": "l",
        "correspondingAdjustmentDeclaration": "Unknown",
        "correspondingAdjustmentStatus": "Not Applicable",
    } | changes  # fmt: skip


def test_a_good_upload_of_bare_numbers_has_no_fault() -> None:
    assert check(upload(unit(1, 10, 10), unit(11, 11, "1"))) == []


def test_held_units_that_are_all_one_short_are_each_named() -> None:
    """What the real upload of 2023 did on 10,995 rows: count = end - start."""
    data = upload(*[unit(n * 10 + 1, n * 10 + 10, 9) for n in range(50)])
    faults = check(data)
    assert codes(faults) == {"count": 50}
    assert all("one short, the last serial counts too" in fault.rule for fault in faults)
    assert [fault.row for fault in faults] == list(range(1, 51))


def test_a_join_that_fanned_out_is_a_block_twice_with_two_vintages() -> None:
    retired = {"unitStatus": "Retired"}
    faults = check(
        upload(
            unit(1, 45650, 45650, **retired),
            unit(1, 45650, 45650, vintageYear=2013, **retired),
            unit(45651, 45660, 10, **retired),
        )
    )
    assert codes(faults) == {"repeated": 1}
    assert faults[0].row == 2
    assert "with vintage 2013 instead of 2012: a join that fanned out" in faults[0].rule


def test_overlaps_are_found_in_one_space_and_not_across_parties() -> None:
    data = upload(unit(1, 100, 100), unit(90, 95, 6), unit(100, 120, 21), unit(121, 121, 1))
    assert [(fault.row, fault.code) for fault in check(data)] == [(2, "overlap"), (3, "overlap")]
    other = {**data.rows("project")[0], "warehouseProjectId": "q", "originProjectId": "CN-1"}
    data = upload(unit(1, 100, 100), unit(1, 100, 100, issuanceId="j"))
    data.add("project", other)
    data.add("issuance", {**data.rows("issuance")[0], "id": "j", "warehouseProjectId": "q"})
    assert check(data) == []


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (unit(5, 4, 0), {"integer", "block"}),
        (unit(5, 4, -7), {"integer", "block"}),
        (unit(5, 5, 0), {"integer", "count"}),
        (unit(1, 10, 10, vintageYear=1677), {"year"}),
        (unit(1, 10, 10, vintageYear=3001), {"year"}),
        (unit(1, 10, 10, vintageYear="2012"), set()),
        (unit(1, 10, 11), {"count"}),
        (unit(1, 10, 10.5), {"integer", "count"}),
        (unit(1, 10, True), {"integer"}),
        (unit("", 10, 10), {"missing", "block"}),
        (unit("ABC1", "ABC10", 10), set()),
        (unit("ABC1", "ABD10", 10), {"block"}),
        (unit("ABC", "ABC", 1), {"block"}),
        (unit(1, 10, 10, unitStatus="held"), {"pick"}),
        (unit(1, 10, 10, unitType="Reduction"), {"pick"}),
        (unit(1, 10, 10, correspondingAdjustmentStatus="Done"), {"pick"}),
        (unit(1, 10, 10, unitOwnerr="x"), {"unknown-field"}),
        (unit(1, 10, 10, unitRegistryLink=None), {"missing"}),
        (unit(1, 10, 10, issuanceId="nowhere"), {"reference"}),
    ],
)  # fmt: skip
def test_each_fault_of_a_unit_is_named(row: Row, found: set[str]) -> None:
    assert {fault.code for fault in check(upload(row))} == found


@given(
    st.dictionaries(
        st.sampled_from(sorted(unit(1, 1, 1))),
        st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.lists(st.integers()),
        max_size=4,
    )
)
def test_no_value_breaks_the_check(changes: dict[str, Any]) -> None:
    data = upload(unit(1, 10, 10) | changes)
    faults = check(data)
    records, more = records_of(data)
    assert records == []
    assert len(more) == 1
    if changes.keys() & {"unitBlockStart", "unitBlockEnd"} and not faults:
        assert str(changes.get("unitBlockStart", "1")).isdecimal()


# ── splits ───────────────────────────────────────────────────────────────────────────────────


def test_the_split_of_the_manual_is_refused_where_the_server_takes_it() -> None:
    """Three records with the same block, whose counts add up."""
    original = unit("ABC1", "ABC10", 10)
    parts = [unit("ABC1", "ABC10", count) for count in (5, 3, 2)]
    faults = check_split(Version.V1, original, parts)
    assert codes(faults) == {"count": 3, "split": 2}
    assert sum("shares serials" in fault.rule for fault in faults) == 2


@pytest.mark.parametrize(
    ("parts", "rules"),
    [
        ([(1, 4), (5, 10)], []),
        ([(5, 10), (1, 4)], []),
        ([(1, 10)], ["needs at least 2 parts"]),
        ([(1, 4), (6, 10)], ["leaves out 5 … 5"]),
        ([(1, 4), (5, 9)], ["leaves out 10 … 10"]),
        ([(1, 5), (5, 10)], ["shares serials with another part"]),
        ([(1, 4), (5, 11)], ["is not inside ABC1 … 10", "leaves out 5 … 10"]),
    ],
)
def test_parts_of_a_split_partition_the_unit(
    parts: list[tuple[int, int]], rules: list[str]
) -> None:
    rows = [unit(f"ABC{a}", f"ABC{b}", b - a + 1) for a, b in parts]
    faults = check_split(Version.V1, unit("ABC1", "ABC10", 10), rows)
    assert [fault.rule for fault in faults] == rules


def test_a_part_keeps_the_vintage_of_the_unit() -> None:
    parts = [unit("ABC1", "ABC4", 4), unit("ABC5", "ABC10", 6, vintageYear=2013)]
    faults = check_split(Version.V1, unit("ABC1", "ABC10", 10), parts)
    assert [fault.field for fault in faults] == ["vintageYear"]


@given(st.integers(1, 60), st.sets(st.integers(1, 59), min_size=1, max_size=6), st.data())
def test_a_split_passes_exactly_when_it_partitions(
    last: int, cuts: set[int], data: st.DataObject
) -> None:
    edges = sorted({0, last, *(cut for cut in cuts if cut < last)})
    blocks = [(a + 1, b) for a, b in pairwise(edges)]
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(blocks) - 1))
        a, b = blocks[at]
        blocks[at] = (max(1, a + data.draw(st.integers(-2, 2))), b)
    blocks = [(min(a, b), b) for a, b in blocks]
    whole = [n for a, b in blocks for n in range(a, b + 1)]
    partitions = sorted(whole) == list(range(1, last + 1)) and len(blocks) > 1
    rows = [unit(f"X{a}", f"X{b}", b - a + 1) for a, b in data.draw(st.permutations(blocks))]
    assert (check_split(Version.V1, unit("X1", f"X{last}", last), rows) == []) == partitions


# ── files ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", InvalidValue),
        ("[]", UnknownLayout),
        ('{"version": "3", "unit": []}', UnknownLayout),
        ('{"version": "1", "unit": {}}', InvalidValue),
        ('{"version": "1", "unit": [1]}', InvalidValue),
        ('{"version": "1", "unit": [], "splits": [{}]}', InvalidValue),
    ],
)
def test_a_document_of_another_shape_says_so(
    text: str, error: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "upload.json"
    path.write_text(text)
    with pytest.raises(error):
        read(path)


def test_splits_and_strange_entities_of_a_document_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "upload.json"
    split = {"unit": unit("ABC1", "ABC10", 10), "records": [unit("ABC1", "ABC10", 10)] * 2}
    path.write_text(json.dumps({"version": "1", "splits": [split], "nonsense": []}))
    assert codes(check(read(path))) == {"split": 1, "entity": 1}
    with pytest.raises(InvalidValue, match="cannot be read"):
        read(tmp_path / "absent.json")


@requires_shared_data
@pytest.mark.parametrize("version", VERSIONS)
def test_the_real_verra_exports_go_out_and_come_back(version: Version) -> None:
    folder = shared_data_directory()
    for name in ("verra/vcus_sg.csv", "offsetsdb/verra/transactions.csv"):
        records = load(folder / name).records
        data, left_out = dataset_of(version, pieces_of(records))
        assert left_out == []
        assert check(data) == []
        back, faults = records_of(data)
        assert faults == []
        assert {(one.interval, one.status, one.labels, one.batch) for one in back} == {
            (one.interval, one.status, one.labels, one.batch) for one in records
        }


LARGE = ("CN", "IN")


@requires_shared_data
def test_the_real_cancellations_of_the_cdm_are_cut_out_of_what_was_issued() -> None:
    """The upload that others made of this ledger had 9,411 overlaps; here are none."""
    folder = shared_data_directory() / "cdm"
    # The two parties with most blocks would take most of the time and show nothing else.
    issued, gone = (
        [one for one in load(folder / name).records if str(one.interval.series)[4:] not in LARGE]
        for name in ("CDM_Issuance_2023-08.xlsx", "CDM_VoluntaryCancellation_2023-08.xlsx")
    )
    year = {"vintage_start": date(2010, 1, 1), "vintage_end": date(2010, 12, 31)}
    pieces = [replace(one, **year) for one in pieces_of([*issued, *gone])]
    assert sum(one.tonnes for one in pieces) == sum(one.tonnes for one in issued)
    data, left_out = dataset_of(Version.V1, pieces)
    assert left_out == []
    assert [fault for fault in check(data) if fault.code in ("overlap", "repeated", "count")] == []
