"""Vectors of the bridge: what is signed around deliveries and programme events, and histories of
a class whose cursor meets gaps. `make_vectors` writes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from eth_abi.abi import encode

from backend.domain import deliveries, gaps, positions, programme_events
from backend.domain.classes import CreditClass, UnitType
from backend.domain.gaps import Gap, Gaps
from backend.domain.programme_events import GapKind, Kind
from backend.domain.serials import Interval, Series
from backend.errors import NotEnough

CONTRACT = "0x00000000000000000000000000000000C0FFEE01"
INTERVAL_ABI = "((string,uint256[]),uint64,uint64)"
CLASS_ABI = "(string,string,uint8,uint32,uint32,bytes32[])"
ABIS = {
    "Finalisation": "(uint64,string,uint32,bytes32)",
    "Rejection": "(uint64,string,bytes32)",
    "ProgrammeEvent": "(uint8,uint256,string,string,uint32,bytes32,uint64)",
    "Invalidation": f"(uint256,uint64,uint64,{INTERVAL_ABI},string,uint32,bytes32)",
    "Substitution": f"(uint256,uint64,{INTERVAL_ABI}[],string,uint32,bytes32)",
    "Conversion": (
        f"(uint8,uint256,{CLASS_ABI},uint64,uint64,{INTERVAL_ABI}[],bytes32,uint64,string,"
        "uint32,bytes32)"
    ),
}
#: Kinds of a history's rows.
MINT, INVALIDATE, RETIRE, DELIVER, SUBSTITUTE = range(5)
COLUMNS = ["kind", "amount", "tonnes", "went", "minted", "exited", "openTonne", "dust"]


def vectors(typed: Callable[..., dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By file name; `typed` makes the vectors of one struct."""
    rng = random.Random(0x6A9)
    return {
        "bridge": {
            primary: typed(primary, ABIS[primary], messages, *_domain(primary))
            for primary, messages in _messages(rng).items()
        },
        "gaps": gap_histories(rng),
    }


def _domain(primary: str) -> tuple[Any, Any]:
    module = deliveries if primary in deliveries.TYPES else programme_events
    return module.signing_domain(31337, CONTRACT), module.TYPES


def _messages(rng: random.Random) -> dict[str, list[dict[str, Any]]]:
    def digest() -> bytes:
        return rng.randbytes(32)

    serials = tuple(
        Interval(Series("GS", (11_603, 2025, batch)), 1 + batch, 40 + batch) for batch in range(3)
    )
    into = CreditClass(
        "CAR", "项目-1067", UnitType.CREDIT, date(2020, 1, 1), date(2020, 12, 31), ("ccp",)
    )
    day, text = 20260131, "Une raison — 理由"
    named = rng.randrange(2**256)
    return {
        "Finalisation": [
            deliveries.Finalisation(number, text, day, digest()).message()
            for number in (1, 2**64 - 1)
        ],
        "Rejection": [deliveries.Rejection(7, text, digest()).message()],
        "ProgrammeEvent": [
            programme_events.ProgrammeEvent(
                kind, named, "ccp" if kind else "", text, day, digest(), rng.randrange(2**64)
            ).message()
            for kind in (Kind.HOLD, Kind.CORSIA)
        ],
        "Invalidation": [
            programme_events.Invalidation(named, 12, serials[1], text, day, digest()).message()
        ],
        "Substitution": [
            programme_events.Substitution(named, 12, serials[:n], text, day, digest()).message()
            for n in (1, 3)
        ],
        "Conversion": [
            programme_events.Conversion(
                kind, named, into, 5, tonnes, given, digest(), 900, text, day, digest()
            ).message()
            for kind, tonnes, given in (
                (Kind.LABEL_SPLIT, 20, ()),
                (Kind.CONVERSION, 120, serials),
            )
        ],
    }


@dataclass
class History:
    """One class: its counters, its gaps, and where its pieces begin and end."""

    state: positions.Positions = field(default_factory=positions.Positions)
    held: Gaps = field(default_factory=Gaps)
    pieces: list[tuple[int, int]] = field(default_factory=list)
    rows: list[tuple[int, ...]] = field(default_factory=list)

    def piece(self, position: int) -> tuple[int, int]:
        return next(one for one in self.pieces if one[0] <= position < one[1])

    def note(self, kind: int, amount: int, tonnes: int, went: bool) -> None:
        now = self.state
        counters = (now.minted, now.exited, now.open_tonne, now.dust)
        self.rows.append((kind, amount, tonnes, int(went), *counters))

    def mint(self, tonnes: int) -> None:
        self.pieces.append((self.state.minted, self.state.minted + tonnes))
        self.state, _ = positions.mint(self.state, tonnes)
        self.note(MINT, tonnes, 0, True)

    def invalidate(self, first: int, tonnes: int) -> None:
        self.held.open(
            Gap(first, tonnes, GapKind.INVALIDATED), self.state.exited, self.state.minted
        )
        self.note(INVALIDATE, first, tonnes, True)

    def substitute(self, gap: Gap) -> None:
        self.held.close(gap.first)
        start, end = self.piece(gap.first)
        self.pieces.remove((start, end))
        parts = ((start, gap.first), (gap.first, gap.end), (gap.end, end))
        self.pieces += [(low, high) for low, high in parts if low < high]
        self.note(SUBSTITUTE, gap.first, gap.tonnes, True)

    def retire(self, kilograms: int) -> None:
        try:
            self.state, _ = gaps.consume(self.state, self.held, kilograms, self._passed)
        except NotEnough:
            self.note(RETIRE, kilograms, 0, False)
        else:
            self.note(RETIRE, kilograms, 0, True)

    def deliver(self, tonnes: int) -> None:
        went = True
        try:
            ready = Gaps(list(self.held))
            passed = ready.before_consumption(self.state.exited, self.state.minted, tonnes)
            first = self.state.exited + sum(one.gap.tonnes for one in passed)
            went = self.piece(first)[1] - first >= tonnes
        except NotEnough:
            went = False
        if went:
            for one in self.held.before_consumption(self.state.exited, self.state.minted, tonnes):
                self._passed(one)
                self.state = positions.pass_gap(self.state, one.gap.first, one.gap.tonnes)
            self.state = positions.burn(self.state, self.state.exited, tonnes)
        self.note(DELIVER, tonnes, 0, went)

    def _passed(self, one: gaps.Passed) -> None:
        self.pieces.append((one.new_first, one.new_first + one.gap.tonnes))


def gap_histories(rng: random.Random, count: int = 12, length: int = 30) -> dict[str, Any]:
    """Mints, invalidations, retirements, deliveries, substitutes; and the counters after each."""
    encoded = []
    for _ in range(count):
        history = History()
        for _ in range(3):
            history.mint(rng.randrange(5, 40))
        while len(history.rows) < length:
            _one_act(rng, history)
        encoded.append("0x" + encode(["uint256[8][]"], [history.rows]).hex())
    return {"columns": COLUMNS, "count": str(count), "sequences": encoded}


def _one_act(rng: random.Random, history: History) -> None:
    live = history.state.minted - history.state.exited
    kind = rng.choice((MINT, INVALIDATE, INVALIDATE, RETIRE, RETIRE, RETIRE, DELIVER, SUBSTITUTE))
    if kind == MINT and not list(history.held):
        history.mint(rng.randrange(1, 30))
    elif kind == INVALIDATE and live:
        first = history.state.exited + rng.choice((0, rng.randrange(live)))
        tonnes = rng.randrange(1, 6)
        if first + tonnes <= history.piece(first)[1] and not history.held.within(
            first, first + tonnes
        ):
            history.invalidate(first, tonnes)
    elif kind == RETIRE and history.state.supply_kilograms:
        wish = rng.choice((1, 999, 1000, 1001, history.state.dust, rng.randrange(1, 15_000)))
        history.retire(max(1, min(wish, history.state.supply_kilograms)))
    elif kind == DELIVER and live:
        history.deliver(rng.randrange(1, min(live, 8) + 1))
    elif kind == SUBSTITUTE and (held := list(history.held)):
        history.substitute(rng.choice(held))
