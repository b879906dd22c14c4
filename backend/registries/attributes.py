"""One language of attributes: every programme's spellings to codes, what is unknown reported.

The vocabulary is data (`vocabulary/*.json`, versioned). A text that it does not hold is unknown and
is named; nothing is guessed from a part of it. Two things are read inside a text because they are
stated there: the code of a methodology (`AMS-I.D.`) and its version (`v3.1`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from backend.domain.credits import BlockRecord, Facts


class Attribute(StrEnum):
    """What of a project or of its credits a spelling says."""

    COUNTRY = "country"
    TYPE = "type"
    METHODOLOGY = "methodology"
    STATUS = "status"
    UNIT_STATUS = "unit_status"
    DIRECTION = "direction"


def _load(name: str) -> Mapping[str, Any]:
    text = files("backend.registries").joinpath("vocabulary", f"{name}.json").read_text("utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


_ATTRIBUTES, _COUNTRIES, _METHODOLOGIES = map(_load, ("attributes", "countries", "methodologies"))
#: Versions of the three tables; recorded with everything that was read by them.
VERSION = ".".join(str(table["version"]) for table in (_ATTRIBUTES, _COUNTRIES, _METHODOLOGIES))
#: Codes and what they mean.
CATEGORIES: Mapping[str, str] = _ATTRIBUTES["categories"]
TYPES: Mapping[str, Mapping[str, str | None]] = _ATTRIBUTES["types"]
SCOPES: Mapping[str, str] = _ATTRIBUTES["scopes"]
STATUSES: Mapping[str, str] = _ATTRIBUTES["statuses"]
UNIT_STATUSES: Mapping[str, str] = _ATTRIBUTES["unit_statuses"]
DIRECTIONS: Mapping[str, str] = _ATTRIBUTES["directions"]
COUNTRIES: Mapping[str, Mapping[str, Any]] = _COUNTRIES["countries"]
METHODOLOGIES: Mapping[str, Mapping[str, Any]] = _METHODOLOGIES["methodologies"]
#: Which columns of which exports hold which attribute.
COLUMNS: list[Mapping[str, Any]] = _ATTRIBUTES["columns"]
#: A country text that names no one country on purpose.
SEVERAL = "several"

_EVERY = "*"
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−", "-") | {"’": "'", "‘": "'", "“": '"', "”": '"'})
_SPACES = re.compile(r"\s+")


@lru_cache(maxsize=65536)
def normal(text: str) -> str:
    """A text without what spellings differ in by accident: case, accents, dashes, spaces."""
    plain = unicodedata.normalize("NFKD", text.translate(_DASHES))
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _SPACES.sub(" ", kept).strip().casefold()


@dataclass(frozen=True, slots=True)
class Reading:
    """What one cell says: codes, and the spellings the vocabulary does not hold."""

    codes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    version: str = ""

    def __or__(self, other: Reading) -> Reading:
        return Reading(
            tuple(dict.fromkeys(self.codes + other.codes)),
            tuple(dict.fromkeys(self.unknown + other.unknown)),
        )


Spellings = Mapping[str, tuple[str, ...]]


def _spelled(table: Mapping[str, Any]) -> Spellings:
    """Normal spelling → codes; no code where a registry's word states nothing (`Other`)."""
    found: dict[str, tuple[str, ...]] = {}
    for text, codes in table.items():
        listed = () if codes is None else (codes,) if isinstance(codes, str) else tuple(codes)
        if found.setdefault(normal(text), listed) != listed:
            raise ValueError(f"the vocabulary gives {text!r} two meanings")
    return found


def _country_spellings() -> Spellings:
    table: dict[str, str] = {}
    for code, entry in (COUNTRIES | _COUNTRIES["groups"]).items():
        for text in (code, entry.get("alpha3", code), entry["name"], *entry.get("also", ())):
            table[text] = code
    return _spelled(table)


def _methodology_spellings() -> Spellings:
    table: dict[str, Any] = dict.fromkeys(_METHODOLOGIES["nothing"])
    for code, entry in METHODOLOGIES.items():
        for text in (code, *entry.get("names", ())):
            table[text] = code
    return _spelled(table)


def _tables() -> Mapping[Attribute, Mapping[str, Spellings]]:
    tables: dict[Attribute, Mapping[str, Spellings]] = {
        Attribute(name): {programme: _spelled(table) for programme, table in by.items()}
        for name, by in _ATTRIBUTES["spellings"].items()
    }
    tables[Attribute.COUNTRY] = {_EVERY: _country_spellings()}
    tables[Attribute.METHODOLOGY] = {_EVERY: _methodology_spellings()} | {
        programme: _spelled(table) for programme, table in _METHODOLOGIES["programmes"].items()
    }
    return tables


_TABLES = _tables()


def _look_up(attribute: Attribute, programme: str, text: str) -> tuple[str, ...] | None:
    by, key = _TABLES[attribute], normal(text)
    own = by.get(programme, {}).get(key)
    return by.get(_EVERY, {}).get(key) if own is None else own


@lru_cache(maxsize=16384)
def read(attribute: Attribute, programme: str, text: str) -> Reading:
    """The codes of one spelling; an empty text says nothing and is not unknown."""
    if not text.strip():
        return Reading()
    if attribute is Attribute.METHODOLOGY:
        return _methodology(programme, text)
    codes = _look_up(attribute, programme, text)
    return Reading(unknown=(text,)) if codes is None else Reading(codes)


@lru_cache(maxsize=16384)
def read_list(attribute: Attribute, programme: str, text: str, separator: str) -> Reading:
    """The codes of a list in one cell whose values may hold the separator themselves.

    Parts are joined again as long as that gives a known spelling: `a, b` may be one value.
    """
    whole = read(attribute, programme, text)
    if not whole.unknown:
        return whole
    parts = [part.strip() for part in text.split(separator)]
    found, at = Reading(), 0
    while at < len(parts):
        for end in range(len(parts), at, -1):
            one = read(attribute, programme, f"{separator} ".join(parts[at:end]))
            if not one.unknown or end == at + 1:
                found, at = found | one, end
                break
    return found


# ── methodologies ────────────────────────────────────────────────────────────────────────────

_NUMBERED = re.compile(r"(?<![a-z0-9])(ar[- ]?)?(acm|ams|am|vmr|vmd|vm)[- ]?(\d{3,5})(?!\d)")
_SMALL = re.compile(r"(?<![a-z0-9])ams[ .-]*(i{1,3}|[123])[ .-]+([a-z]{1,2}\d?)(?![a-z0-9])")
_VERSION = re.compile(r"(?<![a-z])(?:version|ver|v)[ .:]*(\d{1,2}(?:\.\d{1,2})*)", re.ASCII)
_TAIL = re.compile(
    r"[\s,(-]*(?:(?:version|ver|v)[ .:]*\d{1,2}(?:\.\d{0,2})*|"
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
    r" \d{1,2}, \d{4})\)?\.?$"
)


def _codes_in(text: str) -> list[str]:
    """Every methodology's code that stands in a normal text, in order."""
    found: list[tuple[int, str]] = []
    for match in _NUMBERED.finditer(text):
        prefix = "AR-" if match[1] else ""
        found.append((match.start(), f"{prefix}{match[2].upper()}{match[3]}"))
    for match in _SMALL.finditer(text):
        numeral = "I" * int(match[1]) if match[1].isdecimal() else match[1].upper()
        found.append((match.start(), f"AMS-{numeral}.{match[2].upper()}"))
    return list(dict.fromkeys(code for _, code in sorted(found)))


def _version_in(text: str) -> str:
    versions = {match[1].rstrip(".") for match in _VERSION.finditer(text)}
    return versions.pop() if len(versions) == 1 else ""


def _methodology(programme: str, text: str) -> Reading:
    key = normal(text)
    exact = _look_up(Attribute.METHODOLOGY, programme, text)
    if exact is not None:
        return Reading(exact, version=_version_in(key))
    bare = key
    while bare != (cut := _TAIL.sub("", bare)):
        bare = cut
    named = _look_up(Attribute.METHODOLOGY, programme, bare)
    if named is not None:
        return Reading(named, version=_version_in(key[len(bare) :]))
    codes = _codes_in(key)
    if not codes:
        return Reading(unknown=(text,))
    known = tuple(code for code in codes if code in METHODOLOGIES)
    unknown = tuple(code for code in codes if code not in METHODOLOGIES)
    return Reading(known, unknown, _version_in(key) if len(codes) == 1 else "")


# ── a record ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Unknown:
    """A spelling that the vocabulary does not hold."""

    attribute: str
    programme: str
    spelling: str


class Methodology(NamedTuple):
    """A methodology's code, and its version where the text states one, else ""."""

    code: str
    version: str


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a record says, in codes. `vocabulary` is the version it was read by.

    `country` is ISO 3166 alpha-2, `several`, or None; `categories` follow from the types, else
    from what a methodology covers (`category_source`).
    """

    vocabulary: str
    country: str | None
    types: tuple[str, ...]
    scopes: tuple[str, ...]
    categories: tuple[str, ...]
    category_source: str
    methodologies: tuple[Methodology, ...]
    direction: str | None
    status: str | None
    unit_status: str | None
    unknown: tuple[Unknown, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"methodologies": [one._asdict() for one in self.methodologies]}

    def as_facts(self) -> dict[str, str]:
        """Key → value of dated facts about a class; only what is known, lists by commas."""
        listed = {
            "country": self.country or "",
            "activity-type": ",".join(self.types),
            "sectoral-scope": ",".join(self.scopes),
            "category": ",".join(self.categories),
            "methodology": ",".join(
                f"{code} {version}".strip() for code, version in self.methodologies
            ),
            "reduction-or-removal": self.direction or "",
        }
        return {key: value for key, value in listed.items() if value}


def _split(codes: Iterable[str], kind: str) -> tuple[str, ...]:
    return tuple(code.partition(":")[2] for code in codes if code.startswith(kind + ":"))


def _categories(codes: Iterable[str]) -> tuple[str, ...]:
    """Categories of type references: stated ones, and those of the types."""
    of_types = (TYPES[code]["category"] for code in _split(codes, "type"))
    return tuple(sorted({c for c in (*_split(codes, "category"), *of_types) if c}))


def implied_by(methodology: str) -> str | None:
    """What a methodology covers whoever uses it: `type:…`, `category:…`, `scope:…`, or None."""
    found: str | None = METHODOLOGIES[methodology].get("implies")
    return found


def _direction(programme: str, texts: Iterable[str]) -> str | None:
    said = {code for text in texts for code in read(Attribute.DIRECTION, programme, text).codes}
    return "mixed" if len(said) > 1 else next(iter(said), None)


def attributes_of_texts(
    programme: str,
    *,
    country: str = "",
    types: Iterable[str] = (),
    methodologies: Iterable[str] = (),
    direction: Iterable[str] = (),
    status: str = "",
    unit_status: str = "",
) -> Attributes:
    """The attributes that these cells state; a text that names no direction is no unknown one."""
    readings = {
        Attribute.COUNTRY: [read(Attribute.COUNTRY, programme, country)],
        Attribute.TYPE: [read(Attribute.TYPE, programme, text) for text in types],
        Attribute.METHODOLOGY: [
            read(Attribute.METHODOLOGY, programme, text) for text in methodologies
        ],
        Attribute.STATUS: [read(Attribute.STATUS, programme, status)],
        Attribute.UNIT_STATUS: [read(Attribute.UNIT_STATUS, programme, unit_status)],
    }
    codes = {
        attribute: tuple(dict.fromkeys(code for one in found for code in one.codes))
        for attribute, found in readings.items()
    }
    stated, methods = codes[Attribute.TYPE], codes[Attribute.METHODOLOGY]
    categories, source = _categories(stated), "stated"
    if not categories:
        categories = _categories([ref for code in methods if (ref := implied_by(code))])
        source = "methodology" if categories else ""
    return Attributes(
        vocabulary=VERSION,
        country=next(iter(codes[Attribute.COUNTRY]), None),
        types=_split(stated, "type"),
        scopes=_split(stated, "scope"),
        categories=categories,
        category_source=source,
        methodologies=tuple(
            Methodology(code, one.version)
            for one in readings[Attribute.METHODOLOGY]
            for code in one.codes
        ),
        direction=_direction(programme, direction),
        status=next(iter(codes[Attribute.STATUS]), None),
        unit_status=next(iter(codes[Attribute.UNIT_STATUS]), None),
        unknown=tuple(
            dict.fromkeys(
                Unknown(attribute.value, programme, text)
                for attribute, found in readings.items()
                for one in found
                for text in one.unknown
            )
        ),
    )


def attributes_of(record: BlockRecord) -> Attributes:
    """The attributes of one row of an export, its unknown spellings listed."""
    return attributes_of_facts(record.programme, record.facts, record.labels)


def attributes_of_facts(programme: str, facts: Facts, labels: Iterable[str]) -> Attributes:
    """The attributes that the facts and labels of a row state."""
    return attributes_of_texts(
        programme,
        country=facts.country,
        types=facts.project_types,
        methodologies=facts.methodologies,
        direction=labels,
    )


def is_regional(country: str | None, serial_country: str) -> bool:
    """Whether credits were issued for another country than the project is listed under.

    Registries do so for regional projects (CD and ML under Rwanda): a fact, never a refusal.
    """
    return country is not None and read(Attribute.COUNTRY, _EVERY, serial_country).codes != (
        country,
    )
