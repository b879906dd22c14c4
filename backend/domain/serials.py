"""Serial numbers: the series they are unique in, and inclusive intervals of them (L2)."""

from __future__ import annotations

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


def party_code(party: str) -> int:
    """The number of a CDM host party: its two ASCII capitals, big-endian (`"RW"` → 0x5257)."""
    if len(party) != 2 or not party.isascii() or not party.isupper() or not party.isalpha():
        raise InvalidValue("party", party, "is not an ISO 3166 alpha-2 code")
    return int.from_bytes(party.encode("ascii"), "big")


@dataclass(frozen=True, order=True, slots=True)
class Series:
    """The number space in which serials of one kind are unique.

    `codes` is the canonical tuple: VCS (generation: 1 = 12 segments, 2 = 13), GS, ACR, CAR and
    ART (project, vintage, batch), CDM and CER rows of any registry (party as two ASCII bytes).
    """

    programme: str
    codes: tuple[int, ...]

    def __post_init__(self) -> None:
        rules = SERIES_RULES.get(self.programme)
        if rules is None:
            raise InvalidValue("series.programme", self.programme, "has no series on chain")
        if len(rules) != len(self.codes):
            raise InvalidValue("series.codes", self.codes, f"needs {len(rules)} numbers")
        for (name, abi_type, fits), code in zip(rules, self.codes, strict=True):
            if not fits(code):
                raise InvalidValue(f"series.{name}", code, f"is not a canonical {abi_type}")

    @property
    def id(self) -> bytes:
        """keccak256(abi.encode(string programme, tuple…)), as the contract computes it."""
        rules = SERIES_RULES[self.programme]
        types = [abi_type for _, abi_type, _ in rules]
        values = [
            code.to_bytes(2, "big") if abi_type == "bytes2" else code
            for abi_type, code in zip(types, self.codes, strict=True)
        ]
        return keccak(encode(["string", *types], [self.programme, *values]))

    def __str__(self) -> str:
        if self.programme == "CDM":
            return f"CDM:{self.codes[0].to_bytes(2, 'big').decode('ascii')}"
        return ":".join([self.programme, *map(str, self.codes)])

    @classmethod
    def parse(cls, text: str) -> Series:
        """The inverse of `str`: `"VCS:2"`, `"GS:11603:2025:30256"`, `"CDM:RW"`."""
        programme, *codes = text.split(":")
        if programme == "CDM" and len(codes) == 1:
            return cls(programme, (party_code(codes[0]),))
        try:
            return cls(programme, tuple(int(code) for code in codes))
        except ValueError:
            raise InvalidValue("series", text, "is not PROGRAMME:code[:code…]") from None


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """A block of serials [first, last], both included, in one series; one serial = one tonne."""

    series: Series
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= MAX_SERIAL:
            raise InvalidValue("first", self.first, "is outside 1 … 2^63 − 2")
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

    def remove(self, interval: Interval) -> None:
        """Take out exactly one interval that is held."""
        index = bisect_left(self._firsts, interval.first)
        if index >= len(self._firsts) or (self._firsts[index], self._lasts[index]) != (
            interval.first,
            interval.last,
        ):
            raise InvalidValue("interval", interval, "is not in the register as it stands")
        del self._firsts[index], self._lasts[index]


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
