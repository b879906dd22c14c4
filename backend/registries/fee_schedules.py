"""The committed fee schedules of the programmes."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

from backend.domain.fees import Basis, Fee, Occasion, Schedule, Tier, check_schedules
from backend.errors import InvalidValue
from backend.registries.documents import Node


def parse_schedules(document: Any) -> tuple[Schedule, ...]:
    """Schedules of a document. Raises InvalidValue naming the place of what has another form."""
    top = Node(document, "fees")
    if top.number("version") != 1:
        raise InvalidValue("fees.version", document["version"], "is not 1")
    found = tuple(_schedule(node) for node in top.nodes("schedules"))
    top.done()
    check_schedules(found)
    return found


def _schedule(node: Node) -> Schedule:
    made = Schedule(
        node.text("programme"),
        node.text("name"),
        node.text("currency"),
        node.optional_day("valid_from"),
        node.optional_day("valid_until"),
        node.text("source"),
        tuple(_fee(one) for one in node.nodes("fees")),
    )
    node.done()
    return made


def _fee(node: Node) -> Fee:
    made = Fee(
        node.text("name"),
        node.members("occasions", Occasion),
        node.member("basis", Basis),
        node.text("when"),
        node.number("mills", 0),
        node.optional_number("cap_mills"),
        tuple(_tier(one) for one in node.nodes("tiers")),
        node.texts("of"),
        node.text("variant", ""),
        node.text("credited_against", ""),
    )
    node.done()
    return made


def _tier(node: Node) -> Tier:
    made = Tier(node.optional_number("up_to"), node.number("mills"))
    node.done()
    return made


@lru_cache(maxsize=1)
def fee_schedules() -> tuple[Schedule, ...]:
    """The committed table."""
    text = files("backend.registries").joinpath("fees.json").read_text(encoding="utf-8")
    return parse_schedules(json.loads(text))
