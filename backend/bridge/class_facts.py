"""Structured facts of a class: what is recorded on chain, read strictly, and what follows from it.

Each is one dated fact (`FactRecorded`) whose value is a JSON document: anybody can read the same
documents from the chain and come to the same answer. The newest of a key holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson

from backend.domain.article6 import (
    Adjustment,
    Authorisation,
    Credits,
    Missing,
    Use,
    lacks_authorisation,
)
from backend.domain.corsia import Activity, Cover, Eligibility, Evidence, Phase, eligibility
from backend.domain.credits import Facts
from backend.errors import InvalidValue
from backend.registries.attributes import VERSION as ATTRIBUTES_VERSION
from backend.registries.attributes import Attributes, attributes_of_facts
from backend.store.database import Connection
from backend.store.queries.classes import ClassDetail, get_class_detail, minted_with_fact

#: Key of a fact → how its document is read.
DOCUMENTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "article6.authorisation": Authorisation.read,
    "article6.adjustment": Adjustment.read,
    "corsia.activity": Activity.read,
    "corsia.representation": Cover.read,
    "corsia.insurance": Cover.read,
}
#: The language of these documents; recorded with each fact.
VOCABULARY: Final = "facts/1"
#: Keys of attributes carry the version of their own vocabulary.
ATTRIBUTES: Final = f"attributes/{ATTRIBUTES_VERSION}"


@dataclass(frozen=True, slots=True)
class AuthorisedUse:
    """Whether one use is authorised; nothing missing means it is."""

    use: str
    missing: tuple[Missing, ...]

    @property
    def authorised(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class Standing:
    """A class with everything that follows from its facts on a day."""

    detail: ClassDetail
    attributes: Attributes | None
    uses: tuple[AuthorisedUse, ...]
    corsia: tuple[Eligibility, ...]
    unreadable: tuple[str, ...]


def day_of(timestamp: int) -> date:
    """The UTC day of a chain block's time."""
    return datetime.fromtimestamp(timestamp, UTC).date()


def canonical(key: str, content: Any) -> str:
    """The text that is recorded for a document; raises InvalidValue when it breaks a rule."""
    if key not in DOCUMENTS:
        raise InvalidValue("key", key, f"is none of {', '.join(sorted(DOCUMENTS))}")
    DOCUMENTS[key](content)
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()


def parse(key: str, value: str) -> Any:
    """The document of a recorded fact; raises InvalidValue."""
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidValue(key, value[:200], f"is not JSON: {error}") from None
    return DOCUMENTS[key](content)


def of_class(connection: Connection, class_id: int, on: date) -> Standing:
    """What is recorded and imported of a class, and what follows on a day; raises NotFound."""
    detail = get_class_detail(connection, class_id)
    found, unreadable = _documents(detail)
    attributes = _attributes(detail)
    credits = _credits(connection, detail, attributes, found.get("article6.authorisation"))
    evidence = Evidence(
        activity=found.get("corsia.activity"),
        authorisation=found.get("article6.authorisation"),
        adjustment=found.get("article6.adjustment"),
        representation=found.get("corsia.representation"),
        insurance=found.get("corsia.insurance"),
    )
    uses = tuple(
        AuthorisedUse(use.value, lacks_authorisation(credits, evidence.authorisation, use, on))
        for use in Use
    )
    phases = tuple(eligibility(phase, credits, evidence, on) for phase in Phase)
    return Standing(detail, attributes, uses, phases, unreadable)


def _documents(detail: ClassDetail) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Documents by key; those that cannot be read count as missing and are named."""
    found: dict[str, Any] = {}
    unreadable = []
    for fact in detail.facts:
        if fact.key in DOCUMENTS:
            try:
                found[fact.key] = parse(fact.key, fact.value)
            except InvalidValue:
                unreadable.append(fact.key)
    return found, tuple(unreadable)


def _attributes(detail: ClassDetail) -> Attributes | None:
    if detail.stated is None:
        return None
    programme = detail.credit_class.programme
    return attributes_of_facts(programme, Facts.from_json(detail.stated), detail.labels)


def _credits(
    connection: Connection,
    detail: ClassDetail,
    attributes: Attributes | None,
    authorisation: Authorisation | None,
) -> Credits:
    held = detail.credit_class
    return Credits(
        vintage_first=held.vintage_start,
        vintage_last=held.vintage_end,
        host=None if attributes is None else attributes.country,
        tonnes=held.positions.minted,
        under_letter=_under_letter(connection, authorisation),
        labels=frozenset(held.cohort or ()),
    )


def _under_letter(connection: Connection, authorisation: Authorisation | None) -> int:
    """Tonnes ever minted of all classes whose newest authorisation is the same letter."""
    if authorisation is None:
        return 0
    total = 0
    for _, value, minted in minted_with_fact(connection, "article6.authorisation"):
        try:
            other = parse("article6.authorisation", value)
        except InvalidValue:
            continue
        if other.letter_hash == authorisation.letter_hash:
            total += minted
    return total


def attribute_facts(standing: Standing) -> dict[str, str]:
    """Attributes that the chain does not show yet, or shows otherwise: key → value."""
    if standing.attributes is None:
        return {}
    shown = {fact.key: (fact.value, fact.vocabulary) for fact in standing.detail.facts}
    return {
        key: value
        for key, value in standing.attributes.as_facts().items()
        if shown.get(key) != (value, ATTRIBUTES)
    }
