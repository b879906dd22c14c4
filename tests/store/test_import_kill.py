"""Kill -9 in the middle of an import: it goes on where it was, and comes to the same end (L10)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from backend.bridge.imports import import_export
from backend.errors import Conflict, NotFound
from backend.store.database import Database
from backend.store.imports import discard_import
from scripts.ledger_files import write_ledger
from tests.store import import_and_die

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Issuances and cancellations of the samples, repeated under ten parties."""
    folder = tmp_path_factory.mktemp("ledger")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAUSEWAY_SHARED_DATA", str(folder / "none"))
        issuances, cancellations, _ = write_ledger(folder, 480)
    return issuances, cancellations


@pytest.fixture(scope="module")
def whole(ledger: tuple[Path, Path], module_database: Database) -> list[tuple[Any, ...]]:
    """What the ledger holds when nothing is killed."""
    for path in ledger:
        run(module_database, path)
    return contents(module_database)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.bridge.imports.BATCH_ROWS", 40)
    monkeypatch.setattr("backend.store.imports.COMMIT_ROWS", 40)
    monkeypatch.setattr("backend.store.import_rows.STEP_ROWS", 50)


def die(database: Database, path: Path, moment: str, count: int) -> None:
    """Import in a process that is killed at the moment."""
    command = [sys.executable, "-m", import_and_die.__name__, database.url, str(path), moment]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([*command, str(count)], cwd=ROOT, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL


def run(database: Database, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Import to the end; the document and what was said on the way."""
    said: list[str] = []
    document, code = import_export(database, path, said.append)
    assert code == 0
    return document, said


def contents(database: Database) -> list[tuple[Any, ...]]:
    """What the ledger holds, apart from ids and numbers of imports."""
    with database.read() as connection:
        rows = connection.execute(
            text(
                "SELECT s.name, b.kind, b.block, b.project, b.status, b.facts,"
                " b.source_row, b.source_line"
                " FROM registry_blocks b JOIN series s ON s.id = b.series_id"
                " ORDER BY s.name, b.kind, b.block"
            )
        )
        return [tuple(row) for row in rows]


def left_over(database: Database) -> list[str]:
    """Tables of imports that are not done, and their steps."""
    with database.read() as connection:
        tables = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE tablename ~ '^import_(rows|entries)_'")
        )
        steps = connection.execute(text("SELECT count(*) FROM import_steps")).scalar()
        return [*tables.scalars(), *["a step"] * (steps or 0)]


@pytest.mark.parametrize(
    ("moment", "count", "says"),
    [
        ("staging", 3, "going on after row 80"),
        ("staged", 3, "going on after row 120"),
        ("closing", 1, "going on after row 240"),
        ("merging", 2, "going on after 48 merged rows"),
        ("merged", 2, "going on after 96 merged rows"),
        ("ending", 1, "going on after 240 merged rows"),
    ],
)
def test_l10_an_import_that_was_killed_goes_on_and_comes_to_the_same_end(
    moment: str,
    count: int,
    says: str,
    database: Database,
    ledger: tuple[Path, Path],
    whole: list[tuple[Any, ...]],
) -> None:
    issuances, cancellations = ledger
    run(database, issuances)
    die(database, cancellations, moment, count)

    document, said = run(database, cancellations)

    assert [line for line in said if says in line], said
    assert document["changes"] == {"new": 240, "unchanged": 0, "updated": 0, "split": 0}
    assert (document["known"], document["rows"]) == (False, 240)
    assert document["milliseconds"].keys() >= {"parse", "stage", "seal", "merge"}
    [control] = document["control_totals"]
    assert control["agrees"]
    assert contents(database) == whole
    assert left_over(database) == []


def test_an_import_killed_while_it_was_merged_is_ended_before_another_begins(
    database: Database, ledger: tuple[Path, Path]
) -> None:
    issuances, cancellations = ledger
    die(database, issuances, "merging", 2)
    document, said = run(database, cancellations)

    assert [line for line in said if "finishing its import, which was interrupted" in line]
    assert document["changes"]["new"] == 240
    again, _ = run(database, issuances)
    assert again["known"]
    assert again["changes"]["new"] == 240
    assert left_over(database) == []


def test_an_import_killed_while_it_was_read_lets_others_pass_and_can_still_go_on(
    database: Database, ledger: tuple[Path, Path]
) -> None:
    issuances, cancellations = ledger
    die(database, cancellations, "staged", 2)
    first, _ = run(database, issuances)
    second, said = run(database, cancellations)

    assert [line for line in said if "going on after row 80" in line]
    assert first["changes"]["new"] == second["changes"]["new"] == 240


@pytest.mark.parametrize(("moment", "merged"), [("staged", 0), ("merged", 96)])
def test_an_interrupted_import_can_be_given_up_and_its_file_imported_anew(
    moment: str, merged: int, database: Database, ledger: tuple[Path, Path]
) -> None:
    issuances, _ = ledger
    die(database, issuances, moment, 2)
    with database.read() as connection:
        import_id = connection.execute(text("SELECT id FROM imports")).scalar_one()

    discard_import(database, import_id)

    assert left_over(database) == []
    with pytest.raises(Conflict, match="abandoned"):
        discard_import(database, import_id)
    with pytest.raises(NotFound):
        discard_import(database, import_id + 1)
    document, said = run(database, issuances)
    assert not [line for line in said if "going on" in line]
    assert (document["changes"]["new"], document["changes"]["unchanged"]) == (240 - merged, merged)
