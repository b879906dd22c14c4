"""What of a class is covered by live credits, as a reserve report's leaf says it (L3)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backend.domain.assignment import Piece
from backend.domain.positions import Positions
from backend.domain.serials import Interval, Series, merge, subtract


@dataclass(frozen=True, slots=True)
class Coverage:
    """`covered` = `exited` + `live` + `open` + `unnamed`, in tonnes.

    `exited`: appended positions that have fully exited. `live`: positions not exited whose serial
    lies in a live block. `open`: the open tonne, if its serial is live. `unnamed`: live tonnes of
    the class that no position names yet. `missing`: positions that should be live and are not.
    """

    exited: int
    live: int
    open: int
    unnamed: int
    missing: tuple[Piece, ...]

    @property
    def covered(self) -> int:
        return self.exited + self.live + self.open + self.unnamed

    @property
    def shortfall(self) -> int:
        """Tonnes that tokens stand on and no live credit does."""
        return sum(piece.tonnes for piece in self.missing)


class LiveSerials:
    """Disjoint live intervals, searched by series."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self._by_series: dict[Series, list[Interval]] = {}
        for interval in merge(intervals):
            self._by_series.setdefault(interval.series, []).append(interval)

    def within(self, interval: Interval) -> Iterator[Interval]:
        """The live parts of an interval, ascending."""
        held = self._by_series.get(interval.series, [])
        at = bisect_left(held, interval.first, key=lambda one: one.last)
        while at < len(held) and held[at].first <= interval.last:
            first, last = max(held[at].first, interval.first), min(held[at].last, interval.last)
            yield Interval(interval.series, first, last)
            at += 1

    def __iter__(self) -> Iterator[Interval]:
        for held in self._by_series.values():
            yield from held


def coverage_of(
    state: Positions,
    pieces: Iterable[Piece],
    named: Iterable[Interval],
    live: Iterable[Interval],
) -> Coverage:
    """The coverage of one class at one chain block.

    `pieces`: serials behind the positions after every exchange, at least of the open tonne and
    from `exited` on. `named`: serials of the class that stand in Trust's register, pending
    retirements and open deliveries included: a live block of these covers nothing new. `live`:
    serials of the class's live blocks.
    """
    alive, known = LiveSerials(live), LiveSerials(named)
    dead: list[Piece] = []
    backed = backed_open = 0
    for piece in pieces:
        for part in _live_parts(piece, state):
            found = list(alive.within(part.serials))
            tonnes = sum(serials.tonnes for serials in found)
            if part.position < state.exited:
                backed_open += tonnes
            else:
                backed += tonnes
            for serials in subtract([part.serials], found):
                start = part.position + serials.first - part.serials.first
                insort(dead, Piece(start, serials))
    unnamed = sum(
        interval.tonnes - sum(part.tonnes for part in known.within(interval)) for interval in alive
    )
    exited = state.exited - (1 if state.dust else 0)
    return Coverage(exited, backed, backed_open, unnamed, tuple(dead))


def _live_parts(piece: Piece, state: Positions) -> Iterator[Piece]:
    """The parts of a piece that must be live: its open tonne and what has not exited."""
    if state.dust and piece.position <= state.open_tonne < piece.end:
        yield piece.cut(state.open_tonne, state.open_tonne + 1)
    if piece.end > state.exited:
        yield piece.cut(max(piece.position, state.exited), piece.end)
