"""Serial numbers: the series they are unique in, and inclusive intervals of them (L2)."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.domain.units import MAX_SERIAL
from backend.errors import InvalidValue, SerialsOverlap

#: Per programme the canonical tuple that names a series: field name, ABI type, check.
#: Source: section 10 of the project's table of serial spaces; `SeriesLib.sol` has the same table.
_Rule = tuple[str, str, Callable[[int], bool]]
#: Programmes whose units have no number space of their own that is known: the issuer's text names
#: it. Their credits are kept in the ledger; no contract accepts such a series.
LEDGER_PROGRAMMES = frozenset({"CERCARBONO", "CCER", "PHCER"})
_MAX_TEXT_BYTES = 200


def _fits(bits: int) -> Callable[[int], bool]:
    return lambda code: 0 <= code < 2**bits


def _is_party(code: int) -> bool:
    return 0 <= code < 2**16 and all(65 <= byte <= 90 for byte in code.to_bytes(2, "big"))


_ISSUANCE: tuple[_Rule, ...] = (
    ("project", "uint32", _fits(32)),
    ("vintage", "uint16", _fits(16)),
    ("batch", "uint32", _fits(32)),
)
SERIES_RULES: dict[str, tuple[_Rule, ...]] = {
    "VCS": (("generation", "uint8", lambda code: code in (1, 2)),),
    "GS": _ISSUANCE,
    "ACR": _ISSUANCE,
    "CAR": _ISSUANCE,
    "ART": _ISSUANCE,
    "CDM": (("party", "bytes2", _is_party),),
}
#: Puro's two number spaces, by the first code: 0 a GSRN of 18 digits (before the change of
#: registry), 1 the UUID of an issuance as a number of 128 bits. The contract knows neither yet.
PURO_LEGACY, PURO_ISSUANCE = 0, 1
_PURO_RULES: dict[int, tuple[_Rule, ...]] = {
    PURO_LEGACY: (
        ("kind", "uint8", lambda code: code == PURO_LEGACY),
        ("gsrn", "uint64", lambda code: 0 <= code < 10**18),
    ),
    PURO_ISSUANCE: (
        ("kind", "uint8", lambda code: code == PURO_ISSUANCE),
        ("issuance", "bytes16", _fits(128)),
    ),
}


def _rules_of(programme: str, codes: tuple[int, ...]) -> tuple[_Rule, ...]:
    """The canonical tuple; raises InvalidValue for a programme or a kind that has none."""
    if programme == "PURO":
        rules = _PURO_RULES.get(codes[0]) if codes else None
        if rules is None:
            raise InvalidValue("series.codes", codes, "does not begin with 0 (GSRN) or 1 (UUID)")
        return rules
    rules = SERIES_RULES.get(programme)
    if rules is None:
        raise InvalidValue("series.programme", programme, "has no series")
    return rules


def _check_text(text: str) -> None:
    """A key of a ledger series is printable text that a stripped cell could hold."""
    if not 1 <= len(text.encode("utf-8", "replace")) <= _MAX_TEXT_BYTES:
        raise InvalidValue("series.text", text, f"needs 1 … {_MAX_TEXT_BYTES} bytes")
    if text != text.strip() or not text.isprintable():
        raise InvalidValue("series.text", text, "has spaces around it or holds a control character")


#: The programme whose series are host parties: many projects and blocks share one.
PARTY_SERIES = "CDM"
#: Other programmes whose registries show units of a party's series: their rows are views of them.
VIEWERS = ("GS",)


def party_code(party: str) -> int:
    """The number of a CDM host party: its two ASCII capitals, big-endian (`"RW"` → 0x5257)."""
    if len(party) != 2 or not party.isascii() or not party.isupper() or not party.isalpha():
        raise InvalidValue("party", party, "is not an ISO 3166 alpha-2 code")
    return int.from_bytes(party.encode("ascii"), "big")


@dataclass(frozen=True, order=True, slots=True)
class Series:
    """The number space in which serials of one kind are unique.

    `codes` is the canonical tuple: VCS (generation: 1 = 12 segments, 2 = 13), GS, ACR, CAR and
    ART (project, vintage, batch), CDM and CER rows of any registry (party as two ASCII bytes),
    PURO (1, UUID of the issuance) or (0, GSRN). Ledger programmes (CERCARBONO, CCER, PHCER) have
    none: `text`, the issuer's own, names the space.
    """

    programme: str
    codes: tuple[int, ...]
    text: str = ""

    def __post_init__(self) -> None:
        if self.programme in LEDGER_PROGRAMMES:
            if self.codes:
                raise InvalidValue("series.codes", self.codes, "are none: the text names it")
            _check_text(self.text)
            return
        rules = _rules_of(self.programme, self.codes)
        if self.text:
            raise InvalidValue("series.text", self.text, "is only of programmes kept as a ledger")
        if len(rules) != len(self.codes):
            raise InvalidValue("series.codes", self.codes, f"needs {len(rules)} numbers")
        for (name, abi_type, fits), code in zip(rules, self.codes, strict=True):
            if not fits(code):
                raise InvalidValue(f"series.{name}", code, f"is not a canonical {abi_type}")

    @property
    def on_chain(self) -> bool:
        """Whether the contracts know series of this programme: only then are there tokens."""
        return self.programme in SERIES_RULES

    @property
    def first_number(self) -> int:
        """The lowest serial number: 0 where the issuer counts from 0 (Cercarbono until 2022)."""
        return 0 if self.programme in LEDGER_PROGRAMMES else 1

    @property
    def id(self) -> bytes:
        """keccak256(abi.encode(string programme, tuple…)), as the contract computes it.

        Of a ledger series keccak256(abi.encode(string programme, string text)).
        """
        if self.programme in LEDGER_PROGRAMMES:
            return keccak(encode(["string", "string"], [self.programme, self.text]))
        types = [abi_type for _, abi_type, _ in _rules_of(self.programme, self.codes)]
        values = [
            code.to_bytes(int(abi_type[5:]), "big") if abi_type.startswith("bytes") else code
            for abi_type, code in zip(types, self.codes, strict=True)
        ]
        return keccak(encode(["string", *types], [self.programme, *values]))

    def __str__(self) -> str:
        if self.programme in LEDGER_PROGRAMMES:
            return f"{self.programme}:{self.text}"
        if self.programme == "CDM":
            return f"CDM:{self.codes[0].to_bytes(2, 'big').decode('ascii')}"
        if self.programme == "PURO":
            kind, code = self.codes
            return f"PURO:{uuid_text(code) if kind == PURO_ISSUANCE else f'{code:018d}'}"
        return ":".join([self.programme, *map(str, self.codes)])

    @classmethod
    def parse(cls, text: str) -> Series:
        """The inverse of `str`: `"VCS:2"`, `"GS:11603:2025:30256"`, `"CDM:RW"`, `"CCER:…"`."""
        programme, _, rest = text.partition(":")
        if programme in LEDGER_PROGRAMMES:
            return cls(programme, (), rest)
        if programme == "CDM":
            return cls(programme, (party_code(rest),))
        if programme == "PURO":
            return cls(programme, _puro_codes(rest))
        if not _CODES.fullmatch(rest):
            raise InvalidValue("series", text, "is not PROGRAMME:code[:code…]")
        return cls(programme, tuple(int(code) for code in rest.split(":")))


_CODES = re.compile(r"(?:0|[1-9]\d{0,77})(?::(?:0|[1-9]\d{0,77}))*", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_GSRN = re.compile(r"\d{18}", re.ASCII)


def uuid_text(number: int) -> str:
    """A UUID in its usual form: `"00112233-4455-6677-8899-aabbccddeeff"`."""
    found = f"{number:032x}"
    return "-".join((found[:8], found[8:12], found[12:16], found[16:20], found[20:]))


def uuid_number(text: str) -> int:
    """The inverse of `uuid_text`; raises InvalidValue unless in lower case with hyphens."""
    if not _UUID.fullmatch(text):
        raise InvalidValue("uuid", text, "is not a UUID in lower case")
    return int(text.replace("-", ""), 16)


def _puro_codes(text: str) -> tuple[int, int]:
    if _GSRN.fullmatch(text):
        return PURO_LEGACY, int(text)
    return PURO_ISSUANCE, uuid_number(text)


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """A block of serials [first, last], both included, in one series; one serial = one tonne."""

    series: Series
    first: int
    last: int

    def __post_init__(self) -> None:
        if not self.series.first_number <= self.first <= MAX_SERIAL:
            lowest = self.series.first_number
            raise InvalidValue("first", self.first, f"is outside {lowest} … 2^63 − 2")
        if not self.first <= self.last <= MAX_SERIAL:
            raise InvalidValue(
                "last", self.last, f"is below first ({self.first}) or above 2^63 − 2"
            )

    @property
    def tonnes(self) -> int:
        return self.last - self.first + 1

    def overlaps(self, other: Interval) -> bool:
        return self.series == other.series and self.first <= other.last and other.first <= self.last

    def contains(self, other: Interval) -> bool:
        return self.series == other.series and self.first <= other.first and other.last <= self.last

    def __str__(self) -> str:
        return f"{self.series}/{self.first}-{self.last}"


@dataclass(slots=True)
class IntervalSet:
    """Disjoint intervals of one series, ordered: the oracle of `SerialIntervals.sol`."""

    series: Series
    _firsts: list[int] = field(default_factory=list)
    _lasts: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[Interval]:
        for first, last in zip(self._firsts, self._lasts, strict=True):
            yield Interval(self.series, first, last)

    def __len__(self) -> int:
        return len(self._firsts)

    @property
    def tonnes(self) -> int:
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def overlapping(self, interval: Interval) -> Interval | None:
        """The lowest interval held that shares a serial with `interval`."""
        index = bisect_left(self._lasts, interval.first)
        if index < len(self._firsts) and self._firsts[index] <= interval.last:
            return Interval(self.series, self._firsts[index], self._lasts[index])
        return None

    def predecessor(self, first: int) -> int:
        """The `first` of the last interval that begins below `first`, 0 if none: a good hint."""
        index = bisect_left(self._firsts, first)
        return self._firsts[index - 1] if index else 0

    def insert(self, interval: Interval) -> None:
        """Add an interval; raises SerialsOverlap when it shares one serial with another."""
        if interval.series != self.series:
            raise InvalidValue("series", interval.series, f"is not {self.series}")
        taken = self.overlapping(interval)
        if taken:
            raise SerialsOverlap(
                f"{interval} overlaps {taken}",
                series=str(self.series),
                first=interval.first,
                last=interval.last,
                taken_first=taken.first,
                taken_last=taken.last,
            )
        index = bisect_left(self._firsts, interval.first)
        self._firsts.insert(index, interval.first)
        self._lasts.insert(index, interval.last)

    def release(self, interval: Interval) -> None:
        """Take serials out of the one interval that holds them all; what is left stays held."""
        index = bisect_left(self._lasts, interval.last)
        if index >= len(self._firsts) or self._firsts[index] > interval.first:
            raise InvalidValue("interval", interval, "does not lie in one registered interval")
        first, last = self._firsts[index], self._lasts[index]
        rest = [(first, interval.first - 1), (interval.last + 1, last)]
        kept = [(low, high) for low, high in rest if low <= high]
        self._firsts[index : index + 1] = [low for low, _ in kept]
        self._lasts[index : index + 1] = [high for _, high in kept]

    def remove(self, interval: Interval) -> None:
        """Take out exactly one interval that is held."""
        index = bisect_left(self._firsts, interval.first)
        if index >= len(self._firsts) or (self._firsts[index], self._lasts[index]) != (
            interval.first,
            interval.last,
        ):
            raise InvalidValue("interval", interval, "is not in the register as it stands")
        del self._firsts[index], self._lasts[index]


def viewers_of(series: Series) -> list[str]:
    """Programmes beside its own whose rows may name a series."""
    return list(VIEWERS) if series.programme == PARTY_SERIES else []


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The same serials as the fewest disjoint intervals, ordered; overlaps are united."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        last = merged[-1] if merged else None
        if last and last.series == interval.series and interval.first <= last.last + 1:
            merged[-1] = Interval(last.series, last.first, max(last.last, interval.last))
        else:
            merged.append(interval)
    return merged


def subtract(whole: Iterable[Interval], taken: Iterable[Interval]) -> list[Interval]:
    """The serials of `whole` that are not in `taken`, as ordered disjoint intervals."""
    left: list[Interval] = []
    holes = merge(taken)
    for interval in merge(whole):
        cursor = interval.first
        for hole in holes:
            if hole.series != interval.series or hole.last < cursor or hole.first > interval.last:
                continue
            if hole.first > cursor:
                left.append(Interval(interval.series, cursor, hole.first - 1))
            cursor = hole.last + 1
        if cursor <= interval.last:
            left.append(Interval(interval.series, cursor, interval.last))
    return left
