"""Commands of custodians and operators: tasks with four eyes, capabilities, trusts, quotes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backend.cli import app
from backend.domain.custody_tasks import TaskState
from backend.errors import RegistryUnavailable
from backend.registries.clients.manual import ManualRegistryClient
from backend.registries.custody_file import load_custody, sample_text
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.database import Database
from tests.store.test_custody_tasks import ACCOUNT, MOVE, RETIRE, STATEMENT

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as a person would; gives its JSON document, or its text."""
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path / "home"))

    def one(*words: str, expect: int = 0, as_json: bool = True) -> Any:
        done = CliRunner().invoke(app, [*words, *(["--json"] if as_json else [])])
        assert done.exit_code == expect, done.output
        return json.loads(done.stdout) if as_json else done.output

    return one


@pytest.fixture
def book(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresTaskBook]:
    """Tasks of a retirement, a transfer and a statement, in a database the commands use."""
    monkeypatch.setenv("CAUSEWAY_DATABASE_URL", migrated_url)
    database = Database(migrated_url)
    made = PostgresTaskBook(database)
    client = ManualRegistryClient("VCS", load_custody(None), made, lambda: 1_000)
    client.retire(RETIRE)
    client.transfer(MOVE)
    yield made
    database.close()


@pytest.mark.integration
def test_a_task_goes_from_the_list_to_done_through_two_people(
    run: Run, book: PostgresTaskBook, tmp_path: Path
) -> None:
    listed = run("tasks", "list")["tasks"]
    assert [(one["reference"], one["late"]) for one in listed] == [
        (MOVE.reference, True),
        (RETIRE.reference, True),
    ]
    shown = run("tasks", "show", RETIRE.reference, as_json=False)
    assert "Ref. retire:1:0" in shown
    assert "VCS:2/100-109" in shown

    proof, copy = tmp_path / "proof.pdf", tmp_path / "copy.pdf"
    proof.write_bytes(b"certificate of the registry")
    words = ("--registry-reference", "R-1", "--date", "2026-01-02", "--serials", "VCS:2/200-209")
    evidence = ("--certificate", "C-1", "--file", str(proof))
    answered = run("tasks", "answer", RETIRE.reference, "--by", "desk one", *words, *evidence)
    assert answered["state"] == "answered"
    (answer,) = answered["answers"]
    assert answer["breaks"] == ["other-serials: VCS:2/100-109 asked, VCS:2/200-209 done"]
    run("tasks", "show", RETIRE.reference, "--evidence", str(copy))
    assert copy.read_bytes() == proof.read_bytes()

    same = run("tasks", "approve", RETIRE.reference, "--by", "desk one", expect=1)
    assert same["error"] == "not-authorised"
    done = run("tasks", "approve", RETIRE.reference, "--by", "desk two", "--note", "seen")
    assert (done["state"], done["standing"]["serials"]) == ("done", ["VCS:2/200-209"])
    assert [one["reference"] for one in run("tasks", "list")["tasks"]] == [MOVE.reference]
    assert [one["reference"] for one in run("tasks", "list", "--state", "done")["tasks"]] == [
        RETIRE.reference
    ]
    assert "approved by desk two seen" in run("tasks", "show", RETIRE.reference, as_json=False)


@pytest.mark.integration
def test_an_answer_sent_back_opens_the_task_again(run: Run, book: PostgresTaskBook) -> None:
    words = ("--state", "accepted", "--registry-reference", "T-1")
    expires = ("--expires", "2026-02-01T00:00:00+08:00")
    run("tasks", "answer", MOVE.reference, "--by", "desk one", *words, *expires)
    back = run(
        "tasks", "approve", MOVE.reference, "--by", "desk two", "--send-back", "--note", "no proof"
    )
    assert back["state"] == "open"
    assert back["answers"][0]["note"] == "no proof"
    missing = run("tasks", "approve", MOVE.reference, "--by", "desk two", expect=2)
    assert missing["error"] == "not-found"


@pytest.mark.integration
def test_a_statement_is_brought_as_a_file(run: Run, book: PostgresTaskBook, tmp_path: Path) -> None:
    client = ManualRegistryClient("VCS", load_custody(None), book, lambda: 1_000)
    with pytest.raises(RegistryUnavailable, match="asks for it") as caught:
        client.inventory(ACCOUNT)
    reference = caught.value.values["reference"]
    path = tmp_path / "statement.csv"
    path.write_bytes(STATEMENT)
    words = ("tasks", "answer", reference, "--by", "desk one", "--file", str(path))
    assert run(*words, expect=1)["error"] == "invalid-value"
    run(*words, "--as-of", "1970-01-01T00:15:00Z")
    done = run("tasks", "approve", reference, "--by", "desk two")
    assert (done["state"], done["answers"][0]["content"]) == ("done", {"blocks": "1"})
    assert client.inventory(ACCOUNT).as_of == 900


REFUSED = (
    (("list", "--state", "lost"), "is not one of"),
    (("show", "retire:never"), "no task"),
    (("answer", RETIRE.reference, "--by", "x", "--state", "maybe"), "is not one of"),
    (("answer", RETIRE.reference, "--by", " ", "--registry-reference", "R"), "is empty"),
    (("answer", RETIRE.reference, "--by", "x"), "registry_reference"),
    (("answer", RETIRE.reference, "--by", "x", "--date", "1 May"), "YYYY-MM-DD"),
    (("answer", RETIRE.reference, "--by", "x", "--file", "missing.pdf"), "cannot be read"),
    (("answer", MOVE.reference, "--by", "x", "--expires", "soon"), "is not a time"),
)


@pytest.mark.integration
def test_what_is_refused_says_why(run: Run, book: PostgresTaskBook) -> None:
    for words, message in REFUSED:
        done = CliRunner().invoke(app, ["tasks", *words, "--json"])
        assert done.exit_code in (1, 2)
        assert message in json.loads(done.stdout)["message"]
    assert {one.state for one in book.list_tasks()} == {TaskState.OPEN}


@pytest.mark.unit
def test_capabilities_are_shown_with_their_sources(run: Run) -> None:
    (found,) = run("capabilities", "GS", "--on", "2026-06-01")["programmes"]
    assert found["answers"]["holds_for_others"]["answer"] == "sub-accounts"
    assert found["retirement"]["beneficiary_required"] is True
    everything = run("capabilities", as_json=False)
    assert "a ledger only" in everything
    assert run("capabilities", "XYZ", expect=2)["error"] == "not-found"
    assert run("capabilities", "--on", "soon", expect=1)["error"] == "invalid-value"


@pytest.mark.unit
def test_trusts_are_those_of_the_file_that_the_setting_names(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("trusts")["sample"] is True
    assert "SAMPLES" in run("trusts", as_json=False)
    path = tmp_path / "custody.json"
    path.write_text(sample_text().replace("Hong Kong", "Elsewhere").replace("true", "false", 1))
    monkeypatch.setenv("CAUSEWAY_CUSTODY", str(path))
    found = run("trusts", "--name", "sample-vcs", "--on", "2100-01-01")
    (trust,) = found["trusts"]
    assert (found["sample"], trust["governing_law"], trust["phase"]) == (
        False,
        "Elsewhere",
        "winding-down",
    )
    path.write_text("{}")
    assert run("trusts", "--check", str(path), expect=1)["error"] == "invalid-value"


@pytest.mark.unit
def test_a_quote_says_how_each_line_is_reckoned(run: Run) -> None:
    words = ("quote", "project", "VCS", "72,000", "--validation", "40000", "--on", "2022-06-01")
    found = run(*words)
    assert found["total_cents"] == "5688000"
    assert "56,880.00" in run(*words, as_json=False)
    assert run("quote", "party", "VCS", "1", expect=1)["error"] == "invalid-value"
    assert run("quote", "issuance", "VCS", "1.5", expect=1)["error"] == "invalid-value"
    unknown = run("quote", "retirement", "VCS", "10", "--on", "2022-06-01")
    assert unknown["complete"] is False
