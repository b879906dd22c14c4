"""Which serial stands behind each position of a class, through everything that moves them (L2, L4).

A class's blocks are appended at mint, at a refund, when a gap is passed. A registry that retires
other serials than the positions expect makes an exchange, tonne for tonne; a substitute binds new
serials to the positions of a gap. `RegistryRecords` and this module keep the same pieces, and the
same settled positions: each is settled at most once, and what is settled never changes again.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from backend.domain.records import Settled
from backend.domain.serials import Interval, merge
from backend.errors import InvalidValue, SerialsOverlap

#: Trust takes no more in one confirmation; the gas of one transaction bounds it.
MAX_EXCHANGES = 64


#: Positions settled so stand on their serial no more: it stands at the back, or left.
LEFT = frozenset((Settled.DELIVERED, Settled.VOID))


@dataclass(frozen=True, order=True, slots=True)
class SettledRange:
    """Positions [first, end) that are settled, and how."""

    first: int
    end: int
    kind: Settled


@dataclass(frozen=True, order=True, slots=True)
class Piece:
    """A run of positions [position, position + tonnes) that stand on consecutive serials."""

    position: int
    serials: Interval

    @property
    def tonnes(self) -> int:
        return self.serials.tonnes

    @property
    def end(self) -> int:
        return self.position + self.tonnes

    def cut(self, first: int, end: int) -> Piece:
        """The part of the piece in positions [first, end)."""
        low, high = max(first, self.position), min(end, self.end)
        start = self.serials.first + low - self.position
        return Piece(low, Interval(self.serials.series, start, start + high - low - 1))


@dataclass(frozen=True, order=True, slots=True)
class Exchange:
    """The serials of [position, +tonnes) and of [counterpart, +tonnes) change places."""

    position: int
    counterpart: int
    tonnes: int


@dataclass(slots=True)
class PositionMap:
    """Position → serial for one class, as it stands after every exchange so far."""

    _pieces: list[Piece] = field(default_factory=list)
    _settled: list[SettledRange] = field(default_factory=list)  # disjoint, ascending

    @property
    def minted(self) -> int:
        return self._pieces[-1].end if self._pieces else 0

    @property
    def confirmed(self) -> list[tuple[int, int]]:
        """Position ranges [first, end) that a registry has confirmed as retired."""
        confirmed = Settled.CONFIRMED
        return [(one.first, one.end) for one in self._settled if one.kind is confirmed]

    @property
    def settled(self) -> list[SettledRange]:
        """Everything that is settled, by position."""
        return list(self._settled)

    def append(self, serials: Interval) -> Piece:
        """A block at the back: minted, refunded, or a gap that was passed."""
        piece = Piece(self.minted, serials)
        self._pieces.append(piece)
        return piece

    def pieces(self, first: int, end: int) -> Iterator[Piece]:
        """The serials behind positions [first, end), in the order of the positions."""
        if not 0 <= first <= end <= self.minted:
            raise InvalidValue("positions", (first, end), f"is outside 0 … {self.minted}")
        index = max(bisect_right(self._pieces, first, key=lambda piece: piece.position) - 1, 0)
        while index < len(self._pieces) and self._pieces[index].position < end:
            yield self._pieces[index].cut(first, end)
            index += 1

    def locate(self, serials: Interval) -> list[Piece]:
        """Where these serials stand: pieces in the order of the serials; complete or an error.

        A serial of a position that was delivered or passed stands there no more.
        """
        found: list[Piece] = []
        for piece in self._pieces:
            low = max(piece.serials.first, serials.first)
            high = min(piece.serials.last, serials.last)
            if piece.serials.series == serials.series and low <= high:
                start = piece.position + low - piece.serials.first
                found += self._standing(start, Interval(serials.series, low, high))
        found.sort(key=lambda piece: piece.serials)
        if sum(piece.tonnes for piece in found) != serials.tonnes:
            raise InvalidValue("actual", serials, "does not lie in trust in this class")
        return found

    def _standing(self, position: int, serials: Interval) -> Iterator[Piece]:
        """The parts of a run at a position that have not left."""
        whole = Piece(position, serials)
        cursor = position
        for one in self.settled_within(position, whole.end):
            if one.kind not in LEFT:
                continue
            if cursor < one.first:
                yield whole.cut(cursor, one.first)
            cursor = one.end
        if cursor < whole.end:
            yield whole.cut(cursor, whole.end)

    def settled_within(self, first: int, end: int) -> Iterator[SettledRange]:
        """The settled ranges that share a position with [first, end), whole, by position."""
        index = bisect_right(self._settled, first, key=lambda one: one.end)
        while index < len(self._settled) and self._settled[index].first < end:
            yield self._settled[index]
            index += 1

    def is_settled(self, first: int, end: int) -> bool:
        """Whether any position in [first, end) is settled already."""
        return next(self.settled_within(first, end), None) is not None

    def exchanges_for(self, first: int, actual: Iterable[Interval]) -> list[Exchange]:
        """The exchanges after which positions from `first` on stand on `actual`, in order.

        Raises when an actual serial is not in the class, is named twice or is already settled,
        or when it would take more than MAX_EXCHANGES. Deterministic: ascending positions, each
        exchange inside one piece on both sides and as long as it can be: `Trust` refuses others.
        """
        wanted = list(actual)
        if sum(i.tonnes for i in merge(wanted)) != sum(i.tonnes for i in wanted):
            raise SerialsOverlap("the actual serials name one serial twice")
        end = first + sum(interval.tonnes for interval in wanted)
        self._require_unsettled(first, end)
        work = PositionMap(list(self._pieces), list(self._settled))
        exchanges = []
        cursor = first
        for interval in joined(wanted):
            while True:
                here = next(work.pieces(cursor, end)).serials
                there = work.locate(interval)[0]
                taken = next(work.settled_within(there.position, there.end), None)
                if taken is not None:
                    said = taken.kind.name.lower().replace("_", " ")
                    raise SerialsOverlap(
                        f"{there.serials} is {said} for another retirement",
                        series=str(interval.series),
                        first=there.serials.first,
                        last=there.serials.last,
                    )
                tonnes = min(here.tonnes, there.tonnes)
                if there.position != cursor:
                    # Inside one run the two ranges may touch but must not overlap.
                    tonnes = min(tonnes, abs(there.position - cursor))
                    exchanges.append(Exchange(cursor, there.position, tonnes))
                    work.exchange(exchanges[-1])
                cursor += tonnes
                if tonnes == interval.tonnes:
                    break
                interval = Interval(interval.series, interval.first + tonnes, interval.last)
        if len(exchanges) > MAX_EXCHANGES:
            problem = f"needs {len(exchanges)} exchanges, a confirmation takes {MAX_EXCHANGES}"
            raise InvalidValue("actual", f"{end - first} t", f"{problem}: confirm it in parts")
        return exchanges

    def exchange(self, exchange: Exchange) -> None:
        """Swap the serials of two position ranges; each must lie inside one piece."""
        first, other, tonnes = exchange.position, exchange.counterpart, exchange.tonnes
        if tonnes <= 0 or abs(first - other) < tonnes:
            raise InvalidValue("exchange", exchange, "overlaps itself")
        for position in (first, other):
            if self.is_settled(position, position + tonnes):
                raise InvalidValue("exchange", exchange, "touches settled positions")
        here, there = self._isolate(first, tonnes), self._isolate(other, tonnes)
        self._replace(Piece(first, there.serials))
        self._replace(Piece(other, here.serials))

    def confirm(self, first: int, actual: Iterable[Interval]) -> None:
        """Record that the registry retired exactly `actual` for the positions from `first` on."""
        cursor = first
        for interval in actual:
            end = cursor + interval.tonnes
            for piece in self.pieces(cursor, end):
                # In this order: the same serials shuffled are another assignment.
                expected = interval.first + piece.position - cursor
                if (piece.serials.series, piece.serials.first) != (interval.series, expected):
                    problem = f"is not what positions {cursor}… stand on"
                    raise InvalidValue("actual", interval, problem)
            cursor = end
        self.settle(first, cursor, Settled.CONFIRMED)

    def settle(self, first: int, end: int, kind: Settled) -> None:
        """Record that positions [first, end) are settled; each is only once."""
        if not 0 <= first < end <= self.minted:
            raise InvalidValue("positions", (first, end), f"is outside 0 … {self.minted}")
        self._require_unsettled(first, end)
        insort(self._settled, SettledRange(first, end, kind))

    def rebind(self, first: int, serials: Interval) -> None:
        """Let positions from `first` on stand on other serials; they lie inside one piece."""
        self._require_unsettled(first, first + serials.tonnes)
        self._isolate(first, serials.tonnes)
        self._replace(Piece(first, serials))

    def _require_unsettled(self, first: int, end: int) -> None:
        taken = next(self.settled_within(first, end), None)
        if taken is not None:
            said = taken.kind.name.lower().replace("_", " ")
            raise InvalidValue("positions", (first, end), f"are {said} already")

    def _isolate(self, first: int, tonnes: int) -> Piece:
        """Cut the pieces so that [first, first + tonnes) is one of them."""
        index = bisect_right(self._pieces, first, key=lambda piece: piece.position) - 1
        if index < 0 or self._pieces[index].end < first + tonnes:
            raise InvalidValue("exchange", (first, tonnes), "does not lie inside one piece")
        piece, end = self._pieces[index], first + tonnes
        bounds = sorted({piece.position, first, end, piece.end})
        parts = [piece.cut(low, high) for low, high in pairwise(bounds)]
        self._pieces[index : index + 1] = parts
        return piece.cut(first, end)

    def _replace(self, piece: Piece) -> None:
        index = bisect_right(self._pieces, piece.position, key=lambda held: held.position) - 1
        self._pieces[index] = piece


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """The same serials in the same order, neighbours that continue each other as one."""
    found: list[Interval] = []
    for interval in intervals:
        last = found[-1] if found else None
        if last and last.series == interval.series and last.last + 1 == interval.first:
            found[-1] = Interval(last.series, last.first, interval.last)
        else:
            found.append(interval)
    return found
