"""`causeway import` and `causeway imports`, as a person and as a program use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backend.cli import app
from backend.store.database import Database
from tests.registries.exports import SAMPLES

pytestmark = pytest.mark.integration
ISSUANCES = SAMPLES / "sample-cdm-issuances.csv"
CANCELLATIONS = SAMPLES / "sample-cdm-voluntary-cancellations.csv"


def causeway(database: Database, *arguments: str | Path) -> Result:
    environment = {"CAUSEWAY_DATABASE_URL": database.url, "COLUMNS": "200"}
    return CliRunner().invoke(app, [str(one) for one in arguments], env=environment)


def test_an_import_says_what_changed_and_is_listed_with_its_report(
    database: Database, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.csv"
    text = CANCELLATIONS.read_text(encoding="utf-8").splitlines()
    text[1] = text[1].replace(",CER,", ",ERU (from RMU),").replace(",tCER,", ",ERU (from RMU),")
    broken.write_text("\n".join([*text, "Total,,,,,,,1234,"]) + "\n", encoding="utf-8")

    assert causeway(database, "import", ISSUANCES).exit_code == 0
    shown = causeway(database, "import", broken)

    assert shown.exit_code == 1
    assert "control total 1,234 t" in shown.output
    assert "DIFFERS" in shown.output
    assert "'ERU (from RMU)': is not a unit of the CDM" in shown.output
    listed = causeway(database, "imports")
    assert listed.exit_code == 0
    assert "cdm-voluntary-cancellations" in listed.output
    found = json.loads(causeway(database, "imports", "--json").output)["imports"]
    assert [(one["state"], one["rejected"]) for one in found] == [("done", "1"), ("done", "0")]
    one = causeway(database, "imports", found[0]["id"])
    assert one.exit_code == 0
    assert "is not a unit of the CDM" in one.output
    missing = causeway(database, "imports", "99")
    assert missing.exit_code == 2
    again = causeway(database, "import", broken)
    assert "was imported before" in again.output


def test_a_file_of_no_layout_is_refused_with_exit_code_2(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("nothing,known\n1,2\n", encoding="utf-8")
    shown = causeway(database, "import", path)
    assert shown.exit_code == 2
    assert "no known layout" in shown.output
