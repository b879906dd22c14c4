"""The same project or reduction under two programmes or bridges: evidence, points, candidates.

Pure. A listing merges everything that was said about one project in one place; merging is a union,
so the order in which exports arrive changes nothing. Points are integers and each has its reason.
From `OPEN` points on, a pair is put to a person and blocks minting until it is decided; from
`NOTED` on, it is shown and blocks nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

#: Where the registries' own exports are listed; a bridge has its name.
REGISTRY: Final = "registry"
OPEN: Final = 60
NOTED: Final = 40
#: A key that more listings share says nothing of them: a common word, a town full of projects.
COMMON: Final = 40

Period = tuple[date, date]
Place = tuple[int, int]


class Key(NamedTuple):
    """Which listing: the source, whose programme it is under, and the project's id there."""

    source: str
    programme: str
    project: str

    def __str__(self) -> str:
        name = f"{self.programme}-{self.project}"
        return name if self.source == REGISTRY else f"{self.source}:{name}"


class Kind(StrEnum):
    """What two listings seem to be."""

    SAME_PROJECT = "same_project"
    #: Also the periods meet or serials are shared: the same tonnes may be counted twice.
    SAME_REDUCTION = "same_reduction"


@dataclass(frozen=True, slots=True)
class Listing:
    """What one source says of one project, in the words of the vocabulary of attributes.

    Names and developers in normal spelling (no case, no accents). Places are latitude and longitude
    in millionths of a degree. Periods are inclusive, disjoint and sorted. `stated` are ids under
    other programmes that this listing names itself: (programme, project).
    """

    key: Key
    names: tuple[str, ...] = ()
    developers: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    methodologies: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    periods: tuple[Period, ...] = ()
    stated: tuple[tuple[str, str], ...] = ()

    def __or__(self, other: Listing) -> Listing:
        """Both together; raises ValueError for listings of two projects."""
        if self.key != other.key:
            raise ValueError(f"{self.key} is not {other.key}")
        merged = {
            entry.name: tuple(sorted({*getattr(self, entry.name), *getattr(other, entry.name)}))
            for entry in fields(self)
            if entry.name not in ("key", "periods")
        }
        return Listing(self.key, periods=_united(self.periods + other.periods), **merged)

    def as_json(self) -> dict[str, Any]:
        """Without its key; dates as YYYY-MM-DD."""
        found: dict[str, Any] = {
            entry.name: [list(one) if isinstance(one, tuple) else one for one in value]
            for entry in fields(self)
            if entry.name not in ("key", "periods") and (value := getattr(self, entry.name))
        }
        if self.periods:
            found["periods"] = [
                [first.isoformat(), last.isoformat()] for first, last in self.periods
            ]
        return found

    @classmethod
    def from_json(cls, key: Key, found: Mapping[str, Any]) -> Listing:
        """The inverse of `as_json`."""
        values: dict[str, Any] = {
            name: tuple(tuple(one) if isinstance(one, list) else one for one in value)
            for name, value in found.items()
        }
        values["periods"] = tuple(
            (date.fromisoformat(first), date.fromisoformat(last))
            for first, last in found.get("periods", ())
        )
        return cls(key, **values)


def _united(periods: Iterable[Period]) -> tuple[Period, ...]:
    """The days covered, as disjoint periods that do not touch."""
    united: list[Period] = []
    for first, last in sorted(periods):
        if united and first <= united[-1][1] + timedelta(days=1):
            united[-1] = (united[-1][0], max(last, united[-1][1]))
        else:
            united.append((first, last))
    return tuple(united)


class Reason(NamedTuple):
    """One piece of evidence: positive points for, negative against."""

    code: str
    points: int
    text: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """How much speaks for one project behind two listings, and why."""

    left: Key
    right: Key
    kind: Kind
    reasons: tuple[Reason, ...]

    @property
    def score(self) -> int:
        return max(0, sum(reason.points for reason in self.reasons))

    @property
    def is_open(self) -> bool:
        """Whether it blocks minting until a person has decided."""
        return self.score >= OPEN

    @property
    def evidence(self) -> str:
        """SHA-256 of the reasons: a decision is about these and no others."""
        said = "\n".join(f"{one.code}\t{one.points}\t{one.text}" for one in sorted(self.reasons))
        return hashlib.sha256(f"{self.left}\n{self.right}\n{said}".encode()).hexdigest()


# ── words of a name ──────────────────────────────────────────────────────────────────────────

_WORD = re.compile(r"[^\W_]+")
_EMPTY = """
a an and at by for from in into of on the to with through using use de del des di da do du e el en
et la las le les los y un una para por project projects proyecto projeto projet programme program
activity activities cdm vcs gs poa vpa cpa bundled bundle grouped large small scale mw kw kwp
reduction reductions emission emissions ghg carbon
"""
_LEGAL = """
ltd limited inc incorporated llc llp lp gmbh ag sa sas sarl spa srl bv nv plc pvt private pte co
company corp corporation ltda sac cv kg oy ab as the and of
"""
_EMPTY_WORDS, _LEGAL_FORMS = frozenset(_EMPTY.split()), frozenset(_LEGAL.split())
_NOBODY = frozenset(("multiple proponents", "credits transferred from approved ghg program"))


def name_words(name: str) -> frozenset[str]:
    """The words of a name that tell it from others; `name` is in normal spelling."""
    return frozenset(
        word
        for word in _WORD.findall(name)
        if word not in _EMPTY_WORDS and (len(word) > 1 or word.isdecimal())
    )


def developer_words(name: str) -> frozenset[str]:
    """A developer's words without its legal form; none for a placeholder."""
    if name in _NOBODY:
        return frozenset()
    return frozenset(w for w in _WORD.findall(name) if w not in _LEGAL_FORMS and len(w) > 1)


def _numbers(words: frozenset[str]) -> frozenset[str]:
    return frozenset(word for word in words if any(letter.isdecimal() for letter in word))


# ── evidence ─────────────────────────────────────────────────────────────────────────────────


def assess(left: Listing, right: Listing, shared_tonnes: int = 0) -> Assessment:
    """Everything that speaks for and against; the same whichever of the two comes first.

    `shared_tonnes`: how many serial numbers both sources list as theirs.
    """
    if right.key < left.key:
        left, right = right, left
    reasons: list[Reason] = []
    if shared_tonnes:
        reasons.append(Reason("serials", 100, f"both list the same {shared_tonnes} t by serial"))
    # The same id in two sources is the same project by definition: only shared serials count.
    if left.key[1:] != right.key[1:]:
        reasons += _stated(left, right)
        reasons += _names(left, right)
        reasons += _developers(left, right)
        reasons += _countries(left, right)
        reasons += _places(left, right)
        reasons += _methods(left, right)
        reasons += _periods(left, right)
    meets = any(reason.code in ("serials", "periods") and reason.points > 0 for reason in reasons)
    kind = Kind.SAME_REDUCTION if meets else Kind.SAME_PROJECT
    return Assessment(left.key, right.key, kind, tuple(reasons))


def _stated(left: Listing, right: Listing) -> Iterator[Reason]:
    for one, other in ((left, right), (right, left)):
        if tuple(other.key[1:]) in one.stated:
            yield Reason("stated", 80, f"{one.key} names {other.key} as its other listing")
            return


def _names(left: Listing, right: Listing) -> Iterator[Reason]:
    best, shared = 0, frozenset[str]()
    parts = False
    for one in map(name_words, left.names):
        for other in map(name_words, right.names):
            if not one or not other:
                continue
            percent = 100 * len(one & other) // len(one | other)
            if (percent, len(one & other)) > (best, len(shared)):
                best, shared = percent, one & other
                mine, yours = _numbers(one), _numbers(other)
                parts = bool(mine and yours and mine != yours)
    if best == 100:
        yield Reason("name", 40 if len(shared) > 2 else 20, f"same name: {_listed(shared)}")
    elif best >= 80:
        yield Reason("name", 30, f"names {best} % alike: {_listed(shared)}")
    elif best >= 70:
        yield Reason("name", 15, f"names {best} % alike: {_listed(shared)}")
    if parts and best >= 70:
        yield Reason("numbers", -20, "the names number different parts")


def _developers(left: Listing, right: Listing) -> Iterator[Reason]:
    ours = {words for name in left.developers if (words := developer_words(name))}
    both = ours & {developer_words(name) for name in right.developers}
    if both:
        yield Reason("developer", 15, f"same developer: {_listed(min(both, key=sorted))}")


def _countries(left: Listing, right: Listing) -> Iterator[Reason]:
    if not left.countries or not right.countries:
        return
    both = set(left.countries) & set(right.countries)
    if both:
        yield Reason("country", 5, f"same country: {_listed(both)}")
    else:
        yield Reason("country", -40, f"{_listed(left.countries)} is not {_listed(right.countries)}")


def _places(left: Listing, right: Listing) -> Iterator[Reason]:
    if not left.places or not right.places:
        return
    metres = min(distance_metres(one, other) for one in left.places for other in right.places)
    if metres <= 1_000:
        yield Reason("place", 35, f"{metres} m apart")
    elif metres <= 10_000:
        yield Reason("place", 15, f"{metres // 1000} km apart")
    elif metres > 200_000:
        yield Reason("place", -30, f"{metres // 1000} km apart")


def _methods(left: Listing, right: Listing) -> Iterator[Reason]:
    if left.methodologies and right.methodologies:
        both = set(left.methodologies) & set(right.methodologies)
        if both:
            yield Reason("methodology", 10, f"same methodology: {_listed(both)}")
    if left.categories and right.categories:
        same = set(left.categories) & set(right.categories)
        if same:
            yield Reason("category", 5, f"same category: {_listed(same)}")
        else:
            yield Reason(
                "category", -20, f"{_listed(left.categories)} is not {_listed(right.categories)}"
            )


def _periods(left: Listing, right: Listing) -> Iterator[Reason]:
    if not left.periods or not right.periods:
        return
    days = sum(
        (min(last, end) - max(first, start)).days + 1
        for first, last in left.periods
        for start, end in right.periods
        if first <= end and start <= last
    )
    if days:
        yield Reason("periods", 10, f"credited for the same {days} days")
    else:
        yield Reason("periods", 0, "credited for different periods")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


# ── distance, in integers ────────────────────────────────────────────────────────────────────

_ONE = 10**9
_PI = 3_141_592_654
_METRES_PER_DEGREE = 111_195


def _cosine(microdegrees: int) -> int:
    """cos of up to 90 degrees, times 10^9: the first terms of its series."""
    x = microdegrees * _PI // (180 * 10**6)
    square = x * x // _ONE
    total, term = _ONE, _ONE
    for k in (2, 4, 6, 8, 10):
        term = -term * square // _ONE // (k * (k - 1))
        total += term
    return max(total, 0)


def distance_metres(one: Place, other: Place) -> int:
    """Metres between two places, by the plane at their middle latitude; exact enough below 500 km.

    Longitudes meet at 180 degrees.
    """
    north = abs(one[0] - other[0])
    east = abs(one[1] - other[1])
    east = min(east, 360 * 10**6 - east)
    east = east * _cosine(abs(one[0] + other[0]) // 2) // _ONE
    return _root(north * north + east * east) * _METRES_PER_DEGREE // 10**6


def _root(square: int) -> int:
    """The integer part of a square root."""
    if square < 2:
        return square
    guess = 1 << ((square.bit_length() + 1) // 2)
    while (better := (guess + square // guess) // 2) < guess:
        guess = better
    return guess


# ── candidates ───────────────────────────────────────────────────────────────────────────────

#: A tenth of a degree: about 11 km.
_CELL = 100_000


class Candidates(NamedTuple):
    """Pairs worth an assessment, in order; and the keys too common to pair by."""

    pairs: tuple[tuple[Key, Key], ...]
    common: tuple[str, ...]


def candidates(
    listings: Iterable[Listing], touched: Iterable[Key] | None = None, common: int = COMMON
) -> Candidates:
    """Pairs that share a rare word twice, a whole name and country, a place, or a stated id.

    Nothing is compared with everything: a key that more than `common` listings share is left out
    and named, so the work grows with the number of listings. `touched`: only pairs with one of
    these. Listings of one programme in one source are its own affair and never paired.
    """
    found = sorted(listings, key=lambda one: one.key)
    wanted = None if touched is None else frozenset(touched)
    shelves: dict[str, list[Key]] = defaultdict(list)
    words: dict[str, list[Key]] = defaultdict(list)
    by_id: dict[tuple[str, str], list[Key]] = defaultdict(list)
    for one in found:
        by_id[one.key[1:]].append(one.key)
        for name in one.names:
            spelled = " ".join(sorted(name_words(name)))
            if not spelled:
                continue
            for country in one.countries or ("",):
                shelves[f"name {spelled} {country}"].append(one.key)
        for word in {word for name in one.names for word in name_words(name)}:
            words[word].append(one.key)
        for cell in {(lat // _CELL, lon // _CELL) for lat, lon in one.places}:
            for north in (-1, 0, 1):
                for east in (-1, 0, 1):
                    shelves[f"cell {cell[0] + north} {cell[1] + east}"].append(one.key)
    pairs: set[tuple[Key, Key]] = set()
    too_common = []
    for name, keys in shelves.items():
        if len(keys) > (9 * common if name.startswith("cell") else common):
            too_common.append(name)
        else:
            pairs.update(_pairs(keys, wanted))
    counted = Counter[tuple[Key, Key]]()
    for keys in words.values():
        if len(keys) <= common:
            counted.update(_pairs(keys, wanted))
    pairs.update(pair for pair, times in counted.items() if times > 1)
    for one in found:
        for other in one.stated:
            for key in by_id.get(other, ()):
                pairs.update(_pairs(sorted((one.key, key)), wanted))
    return Candidates(tuple(sorted(pairs)), tuple(sorted(too_common)))


def _pairs(keys: list[Key], wanted: frozenset[Key] | None) -> Iterator[tuple[Key, Key]]:
    """Pairs of sorted keys under different programmes, one of them wanted."""
    distinct = list(dict.fromkeys(keys))
    for index, one in enumerate(distinct):
        for other in distinct[index + 1 :]:
            if one.programme != other.programme and (
                wanted is None or one in wanted or other in wanted
            ):
                yield (one, other) if one < other else (other, one)
