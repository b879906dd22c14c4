"""The programmes as committed data: what each registry allows, and what it asks of a retirement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from backend.domain.capabilities import Capability, Known, Mode, Programme
from backend.domain.instruction_rules import InstructionRules, Scheme
from backend.domain.instructions import BeneficiaryKind, UseCase
from backend.domain.serials import SERIES_RULES
from backend.errors import InvalidValue, NotFound
from backend.registries.documents import Node


@dataclass(frozen=True, slots=True)
class ProgrammeData:
    """One programme: its capabilities and the rules of its retirements."""

    capabilities: Programme
    rules: InstructionRules


def parse_programmes(document: Any) -> Mapping[str, ProgrammeData]:
    """Programmes by code. Raises InvalidValue naming the place of what has another form."""
    top = Node(document, "programmes")
    if top.number("version") != 1:
        raise InvalidValue("programmes.version", document["version"], "is not 1")
    found: dict[str, ProgrammeData] = {}
    for node in top.nodes("programmes"):
        made = _programme(node)
        code = made.capabilities.programme
        if code in found:
            raise InvalidValue(node.place, code, "stands there twice")
        found[code] = made
    top.done()
    return found


def _programme(node: Node) -> ProgrammeData:
    code = node.text("programme")
    answers = {
        name: _capability(f"{node.place}.answers.{name}", pair)
        for name, pair in node.mapping("answers").items()
    }
    capabilities = Programme(
        code,
        node.text("name"),
        node.member("mode", Mode),
        node.text("mode_reason"),
        code in SERIES_RULES,
        answers,
    )
    rules = _rules(code, node.node("retirement"))
    node.done()
    return ProgrammeData(capabilities, rules)


def _capability(place: str, pair: Any) -> Capability:
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)):
        raise InvalidValue(place, pair, "is not [answer, source]")
    if pair[0] not in list(Known):
        raise InvalidValue(place, pair[0], f"is not one of {', '.join(Known)}")
    return Capability(Known(pair[0]), pair[1])


def _rules(code: str, node: Node) -> InstructionRules:
    use_of = node.mapping("use_of")
    for value in use_of.values():
        if value not in list(UseCase):
            raise InvalidValue(f"{node.place}.use_of", value, f"is not one of {', '.join(UseCase)}")
    made = InstructionRules(
        code,
        node.flag("beneficiary_required"),
        node.flag("identifier_required"),
        node.members("kinds", BeneficiaryKind),
        node.texts("countries"),
        node.members("uses", UseCase),
        node.texts("reasons"),
        {name: UseCase(value) for name, value in use_of.items()},
        tuple(_scheme(one) for one in node.nodes("schemes")),
        node.flag("claim_required"),
        node.flag("private_allowed"),
        node.texts("notices"),
        node.texts("sources"),
    )
    node.done()
    return made


def _scheme(node: Node) -> Scheme:
    made = Scheme(node.text("name"), node.texts("periods"), node.optional_day("filed_from"))
    node.done()
    return made


@lru_cache(maxsize=1)
def programmes() -> Mapping[str, ProgrammeData]:
    """The committed table, by programme code."""
    text = files("backend.registries").joinpath("programmes.json").read_text(encoding="utf-8")
    return parse_programmes(json.loads(text))


def programme_data(code: str) -> ProgrammeData:
    """One programme. Raises NotFound."""
    found = programmes().get(code)
    if found is None:
        listed = ", ".join(programmes())
        raise NotFound(f"there is no programme {code!r}: {listed}", programme=code)
    return found
