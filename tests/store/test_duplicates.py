"""Duplicates in Postgres: imports open cases, open cases block drafts, people decide."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from backend.bridge.duplicates import find_all, note_bridge, note_imports
from backend.commands.demo import SAMPLES
from backend.domain.credits import BlockRecord, Facts, Kind, ProjectRecord, Status
from backend.domain.duplicates import OPEN
from backend.domain.serials import Interval, Series
from backend.errors import DuplicateOpen, InvalidValue, NotFound, UnknownLayout
from backend.registries.bridge_lists import COLUMNS
from backend.registries.reader import open_export
from backend.registries.summary import load
from backend.store.custody import Custody
from backend.store.database import Database
from backend.store.duplicates import decide
from backend.store.queries.duplicates import DuplicateCase, list_cases, open_duplicates
from tests.shared_data import requires_shared_data, shared_data_directory
from tests.store.rows import VCS, gold, row, save
from tests.store.test_custody import CHAIN, TRUST, receipt

pytestmark = pytest.mark.integration

NAME = "Jodha Hills Wind Power Project"
FACTS = Facts(country="India", methodologies=("ACM0002",), project_types=("Wind",))
ONE = row(1, 100, project_name=NAME, facts=FACTS)
OTHER = gold(1, 50, Kind.ISSUANCE, project_name=NAME.upper(), facts=FACTS)


def bring(database: Database, records: Sequence[BlockRecord], name: str) -> list[int]:
    save(database, records, name)
    return note_imports(database)


def cases(database: Database, **wanted: Any) -> list[DuplicateCase]:
    with database.read() as connection:
        return list(list_cases(connection, **wanted).items)


def blocked(database: Database, programme: str, project: str) -> bool:
    with database.read() as connection:
        return bool(open_duplicates(connection, programme, project))


def settle(database: Database, case: int, decision: str, keep: str | None = None) -> DuplicateCase:
    with database.begin() as connection:
        return decide(connection, case, decision, "the registrar", "looked at both", keep)


def test_an_open_case_blocks_drafts_of_both_sides_until_a_person_decides(
    database: Database,
) -> None:
    custody = Custody(database)
    assert bring(database, [ONE], "one") == []
    (case_id,) = bring(database, [OTHER], "other")
    (case,) = cases(database)
    assert (case.id, case.state, case.blocked) == (case_id, "open", ("GS-11603", "VCS-1001"))
    assert case.score >= OPEN
    assert case.score == sum(reason.points for reason in case.reasons)

    with pytest.raises(DuplicateOpen, match=f"case {case_id} .* with GS-11603") as refused:
        custody.draft(receipt((1, 50)), CHAIN, TRUST)
    assert refused.value.values["cases"] == [str(case_id)]
    assert custody.open_receipts() == []

    decided = settle(database, case_id, "distinct")
    assert (decided.state, decided.blocked) == ("distinct", ())
    assert decided.decisions[0].who == "the registrar"
    assert custody.draft(receipt((1, 50)), CHAIN, TRUST).receipt.tonnes == 50


def test_of_a_duplicate_one_side_may_be_kept_and_a_later_decision_counts(
    database: Database,
) -> None:
    bring(database, [ONE], "one")
    (case_id,) = bring(database, [OTHER], "other")
    assert settle(database, case_id, "duplicate").blocked == ("GS-11603", "VCS-1001")
    kept = settle(database, case_id, "duplicate", "VCS-1001")
    assert (kept.state, kept.blocked) == ("duplicate", ("GS-11603",))
    assert not blocked(database, "VCS", "1001")
    assert blocked(database, "GS", "11603")
    assert [one.keep for one in kept.decisions] == ["VCS-1001", None]


def test_more_evidence_opens_a_decided_case_again_and_the_same_evidence_does_not(
    database: Database,
) -> None:
    bring(database, [ONE], "one")
    (case_id,) = bring(database, [OTHER], "other")
    settle(database, case_id, "distinct")
    assert find_all(database) == []
    assert bring(database, [ONE, row(101, 110, project_name=NAME, facts=FACTS)], "more") == []
    assert cases(database)[0].state == "distinct"

    stated = ProjectRecord("VCS", "1001", NAME, "Registered", cross_listings=("GS:11603",))
    assert note_imports(database, [stated]) == [case_id]
    assert cases(database)[0].state == "open"
    assert len(cases(database)[0].decisions) == 1


def test_a_decision_names_a_person_a_reason_and_a_side_that_exists(database: Database) -> None:
    bring(database, [ONE], "one")
    (case_id,) = bring(database, [OTHER], "other")
    for wrong in (
        {"decision": "perhaps"},
        {"who": " "},
        {"why": ""},
        {"keep": "VCS-2"},
        {"decision": "distinct", "keep": "VCS-1001"},
    ):
        said = {"decision": "duplicate", "who": "w", "why": "y", "keep": None} | wrong
        with database.begin() as connection, pytest.raises(InvalidValue):
            decide(connection, case_id, **said)
    with database.begin() as connection, pytest.raises(NotFound):
        decide(connection, case_id + 1, "distinct", "w", "y", None)
    assert cases(database)[0].decisions == ()


def test_the_order_of_imports_changes_no_case(database: Database) -> None:
    far = Facts(country="Kenya", methodologies=("VM0047",))
    files = {
        "one": [ONE],
        "other": [OTHER],
        "third": [row(500, 600, project="9", project_name="Quite another forest", facts=far)],
    }
    found = []
    for order in permutations(files):
        with database.begin() as connection:
            connection.exec_driver_sql(
                "TRUNCATE project_listings, duplicate_cases, duplicate_decisions,"
                " registry_blocks, registry_block_history, imports CASCADE"
            )
        for name in order:
            bring(database, files[name], name)
        found.append([(c.left, c.right, c.score, c.evidence, c.state) for c in cases(database)])
    assert len(found[0]) == 1
    assert all(one == found[0] for one in found)


def test_serials_of_another_programmes_series_are_one_reduction(database: Database) -> None:
    party = Series("CDM", (int.from_bytes(b"RW", "big"),))
    cer = replace(
        gold(11, 40, Kind.ISSUANCE, project_name="Rwanda lamps"),
        interval=Interval(party, 11, 40),
        batch=None,
    )
    issued = replace(
        cer,
        programme="CDM",
        project="7014",
        project_name="",
        interval=Interval(party, 1, 40),
        kind=Kind.ISSUANCE,
        status=Status.ISSUED,
    )
    bring(database, [cer], "held")
    bring(database, [issued], "issued")
    (case,) = cases(database)
    assert [(one.code, one.points) for one in case.reasons] == [("serials", 100)]
    assert "30 t" in case.reasons[0].text
    assert (str(case.left), str(case.right), case.kind) == (
        "CDM-7014",
        "GS-11603",
        "same_reduction",
    )


def bridge_list(path: Path, **cells: str) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow({"programme": "VCS", "project": "1001", "name": NAME} | cells)
    return path


def test_serials_that_another_bridge_holds_block_ours(database: Database, tmp_path: Path) -> None:
    bring(database, [ONE], "one")
    path = bridge_list(tmp_path / "list.csv", country="India")
    assert note_bridge(database, "otherbridge", path) == []
    assert not blocked(database, "VCS", "1001")
    path = bridge_list(tmp_path / "list.csv", series=str(VCS), first="90", last="120")
    (case_id,) = note_bridge(database, "otherbridge", path)
    (case,) = cases(database)
    assert (case.id, case.score) == (case_id, 100)
    assert "11 t" in case.reasons[0].text
    assert {str(case.left), str(case.right)} == {"otherbridge:VCS-1001", "VCS-1001"}
    assert blocked(database, "VCS", "1001")
    assert note_bridge(database, "otherbridge", path) == []


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"name": ""}, "name"),
        ({"first": "1"}, "series"),
        ({"series": "VCS:2", "first": "9", "last": "1"}, "last"),
        ({"series": "VCS:3", "first": "1", "last": "1"}, "series.generation"),
        ({"period_start": "2020"}, "period_start"),
    ],
)
def test_a_bridge_list_that_breaks_a_rule_names_line_and_field(
    database: Database, tmp_path: Path, cells: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidValue, match="line 2") as refused:
        note_bridge(database, "otherbridge", bridge_list(tmp_path / "list.csv", **cells))
    assert refused.value.field == field
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UnknownLayout):
        note_bridge(database, "otherbridge", tmp_path / "other.csv")
    with pytest.raises(InvalidValue, match="no name of a bridge"):
        note_bridge(database, "registry", tmp_path / "list.csv")


@requires_shared_data
def test_real_exports_of_two_programmes_open_no_false_case(database: Database) -> None:
    folder = shared_data_directory()
    others = ("offsetsdb/verra/transactions", "offsetsdb/gold-standard/issuances")
    for name in ("verra/vcus_sg", *others):
        with open_export(folder / f"{name}.csv") as export:
            records = [one for one in export if isinstance(one, BlockRecord)]
        assert bring(database, records, name) == [], name


def test_the_samples_of_the_demo_open_no_case(database: Database) -> None:
    folder = Path(__file__).parents[2] / "backend" / "samples"
    seen = 0
    for name in SAMPLES:
        if name.endswith(".csv"):
            export = load(folder / name)
            seen += len(export.records)
            assert bring(database, export.records, name) == [], name
    assert seen > 200
