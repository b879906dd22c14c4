"""Every stable code that can reach a page says something in every language."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import errors
from backend.api.errors import OF_THE_API
from backend.api.site.language import LANGUAGES, catalogue
from backend.bridge.delivery_flow import DELIVERY
from backend.bridge.deposit_flow import DEPOSIT
from backend.bridge.move_flow import MOVE
from backend.domain.custody_tasks import instructions_of
from backend.domain.programme_events import Kind
from backend.domain.registry_answers import BreakKind
from backend.store.custody import ReceiptState
from backend.store.ledger import LEDGER_RETIREMENT
from backend.store.queries.accounts import TIERS

pytestmark = pytest.mark.unit

BACKEND = Path(__file__).resolve().parents[2] / "backend"
FLOWS = (DEPOSIT, "retirement", "certificate", DELIVERY, MOVE, LEDGER_RETIREMENT)
#: Functions that take a code, and which of their arguments it is.
BREAKS = {"report": 1, "break_off": 1, "add_break": 2}
STATES = {"move": 1, "move_flow": 2, "reopen": 2, "begin": 2, "add_flow": 3, "_state": 3}


def said_at(places: dict[str, int], *folders: str) -> set[str]:
    """Every text that code of these folders puts in such a place."""
    found: set[str] = set()
    for folder in folders:
        for path in (BACKEND / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(call, ast.Call):
                    found |= set(_texts(call, places))
    return found


def _texts(call: ast.Call, places: dict[str, int]) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    place = places.get(name or getattr(call.func, "id", ""))
    if place is None or len(call.args) <= place:
        return
    for part in ast.walk(call.args[place]):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def evidence() -> set[str]:
    return said_at({"Reason": 0}, "domain")


def error_codes(kind: type[errors.CausewayError] = errors.CausewayError) -> set[str]:
    below = (error_codes(one) for one in kind.__subclasses__())
    return {kind.code}.union(*below)


def instruction_words() -> set[str]:
    """What a task's instructions say in words of ours where the request says nothing."""
    tree = ast.parse(inspect.getsource(instructions_of))
    chosen: list[ast.expr] = []
    quoted = {
        id(part)
        for one in ast.walk(tree)
        if isinstance(one, ast.JoinedStr)
        for part in ast.walk(one)
    }
    for one in ast.walk(tree):
        if isinstance(one, ast.Assign):
            chosen.append(one.value)
        elif isinstance(one, ast.IfExp):
            chosen += [one.body, one.orelse]
        elif isinstance(one, ast.BoolOp) and id(one) not in quoted:
            chosen += one.values
    constants = [one.value for one in chosen if isinstance(one, ast.Constant)]
    return {one for one in constants if isinstance(one, str)}


CODES = {
    "break": said_at(BREAKS, "bridge", "store") | {one.value for one in BreakKind},
    "flow_state": said_at(STATES, "bridge") | said_at(STATES, "store/ledger.py"),
    "evidence": evidence(),
    "caution": said_at({"Caution": 0}, "api"),
    "instruction": instruction_words(),
    "problem": error_codes() | set(OF_THE_API),
    "status": {one.value for one in ReceiptState},
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("chapter", CODES)
def test_every_code_that_can_reach_a_page_has_a_text(chapter: str, language: str) -> None:
    texts = catalogue(language)
    # The scan itself finds what it is for.
    assert len(CODES[chapter]) >= 4, chapter
    missing = {code for code in CODES[chapter] if f"{chapter}.{code}" not in texts}
    assert missing == set()


@pytest.mark.parametrize("chapter", ["break", "flow_state", "evidence", "caution", "instruction"])
def test_no_text_is_of_a_code_that_is_gone(chapter: str) -> None:
    said = {key for key in catalogue("en") if key.startswith(f"{chapter}.")}
    assert said == {f"{chapter}.{code}" for code in CODES[chapter]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_with_a_prefix_has_a_text(language: str) -> None:
    texts = catalogue(language)
    kinds = {f"script.alert_{one.name.lower()}" for one in Kind}
    tiers = {f"script.tier_{name}" for name in TIERS.values()}
    flows = {f"operator.flow_{kind}" for kind in FLOWS}
    assert kinds | tiers | flows <= texts.keys()


def test_instructions_are_found_by_the_very_words_that_they_have() -> None:
    """They are told apart by their English: a word that changes takes its text with it."""
    english = catalogue("en")
    assert all(english[f"instruction.{one}"] == one for one in CODES["instruction"])
