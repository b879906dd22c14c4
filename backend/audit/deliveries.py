"""L3, L4, L8 and L10: each delivery's phases, deadlines, serials and refund."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backend.audit.calls import Calls
from backend.audit.evidence import Evidence, View, ViewFailed
from backend.audit.ledger import Ledger
from backend.audit.register import show
from backend.audit.report import Findings
from backend.domain.deliveries import BEGIN_MARGIN, Periods, State
from backend.domain.events import ChainEvent
from backend.domain.records import Settled
from backend.domain.serials import Interval

CONTRACT: Final = "Deliveries"
_UNDER_WAY: Final = (State.BEGUN, State.DISPATCHED)
#: Event → states it may follow, and the state it leads to (None: it leaves it as it is).
_STEPS: Final[Mapping[str, tuple[tuple[State, ...], State | None]]] = {
    "DeliveryBegun": ((State.REQUESTED,), State.BEGUN),
    "DeliveryDispatched": ((State.BEGUN,), State.DISPATCHED),
    "DeliveryRejected": ((State.REQUESTED, *_UNDER_WAY), State.REJECTED),
    "DeliveryFinalised": (_UNDER_WAY, State.FINALISED),
    "DeliveryBreakRecorded": ((State.REFUNDED, State.REFUNDED_DISPUTED), None),
    "DisputeCleared": ((State.REFUNDED_DISPUTED,), State.REFUNDED),
}


@dataclass(slots=True)
class Tracked:
    """One delivery as its events tell it."""

    request: ChainEvent
    holder: str
    class_id: int
    first: int
    tonnes: int
    serials: Interval | None
    requested_at: int
    state: State = State.REQUESTED
    begun_at: int = 0
    expires_at: int = 0
    refund: int = 0
    refunded_at: int = 0
    broken: bool = False
    last: ChainEvent | None = None
    refund_event: ChainEvent | None = None
    #: Positions (first, end) whose serials died while it was open: they never leave the register.
    dead: list[tuple[int, int]] = field(default_factory=list)
    #: Serials (first, last) that left the register with the finalisation.
    released: list[tuple[int, int]] = field(default_factory=list)

    def lived(self) -> list[tuple[int, int]]:
        """The serials (first, last) that a finalisation releases, ascending."""
        if self.serials is None:
            return []
        start, runs = self.first, []
        for first, end in [*sorted(self.dead), (self.first + self.tonnes, 0)]:
            if first > start:
                runs.append((start, first - 1))
            start = end
        offset = self.serials.first - self.first
        return [(low + offset, high + offset) for low, high in runs]


@dataclass(slots=True)
class DeliveryBook:
    """Every delivery, event by event, with what its serials and tokens did."""

    findings: Findings
    ledger: Ledger
    times: Mapping[int, int]
    periods: Periods | None = None
    found: dict[int, Tracked] = field(default_factory=dict)
    #: Times of reserve reports so far, the newest last.
    reports: list[int] = field(default_factory=list)

    def apply(self, event: ChainEvent) -> None:
        """Take one event of Deliveries or Reserve, a release of Trust, a death of Gaps."""
        if event.name == "ReserveReported":
            self.reports.append(event.args["asOf"])
        elif event.name == "SerialsReleased":
            self._let_go(event)
        elif event.name == "DeliveryInvalidated":
            self._died(event)
        elif event.contract != CONTRACT or "deliveryId" not in event.args:
            return
        elif event.name == "DeliveryRequested":
            self._requested(event)
        else:
            held = self.found.get(event.args["deliveryId"])
            if held is None:
                self._broken(event, "was never requested")
                return
            held.last = event
            if event.name == "DeliveryRefunded":
                self._refunded(event, held)
            else:
                self._step(event, held)

    def _broken(self, event: ChainEvent, what: str, law: str = "L4", **amounts: int) -> None:
        delivery_id = event.args["deliveryId"]
        held = self.found.get(delivery_id)
        serials = show([held.serials]) if held and held.serials else ()
        self.findings.broken(law, f"delivery {delivery_id} {what}", event, serials, **amounts)

    def _let_go(self, event: ChainEvent) -> None:
        """Serials leave the register only with the finalisation of the delivery that named them,
        those that lived, each run once."""
        args = event.args
        for held in self.found.values():
            named, run = held.serials, (args["first"], args["last"])
            if (
                named is not None
                and run in held.lived()
                and run not in held.released
                and held.last is not None
                and (held.last.name, held.last.transaction_hash)
                == ("DeliveryFinalised", event.transaction_hash)
                and args["seriesId"] == "0x" + named.series.id.hex()
            ):
                held.released.append(run)
                return
        self.findings.broken(
            "L2", f"serials {args['first']}-{args['last']} of series {args['seriesId']} left the "
            "register without a delivery", event, first=args["first"], last=args["last"],
        )  # fmt: skip

    def _died(self, event: ChainEvent) -> None:
        args = event.args
        first, end = args["firstPosition"], args["firstPosition"] + args["tonnes"]
        for held in self.found.values():
            inside = held.first <= first and end <= held.first + held.tonnes
            if inside and held.class_id == args["classId"]:
                held.dead.append((first, end))

    def _time(self, event: ChainEvent) -> int:
        return self.times[event.block_number]

    def _requested(self, event: ChainEvent) -> None:
        args = event.args
        delivery_id, class_id, first, tonnes = (
            args["deliveryId"], args["classId"], args["firstPosition"], args["tonnes"],
        )  # fmt: skip
        if delivery_id != len(self.found) + 1:
            self._broken(event, f"is number {len(self.found) + 1} of those there are", "L10")
        series = self.ledger.register.series.get(args["seriesId"])
        serials = None
        if series is not None:
            serials = Interval(series, args["firstSerial"], args["firstSerial"] + tonnes - 1)
        now = self._time(event)
        self.found.setdefault(
            delivery_id,
            Tracked(event, args["holder"], class_id, first, tonnes, serials, now, last=event),
        )
        standing = self._standing(class_id, first, tonnes)
        if standing != serials:
            self._broken(event, f"names {serials}, its positions stand on {standing}", "L2")
        if self.periods is not None and args["deadline"] != now + self.periods.request:
            self._broken(event, f"was given the deadline {args['deadline']}", "L8", now=now)

    def _standing(self, class_id: int, first: int, tonnes: int) -> Interval | None:
        """The one run of serials behind positions, None when it is not one."""
        position_map = self.ledger.register.map(class_id)
        if first + tonnes > position_map.minted:
            return None
        pieces = list(position_map.pieces(first, first + tonnes))
        return pieces[0].serials if len(pieces) == 1 else None

    def _step(self, event: ChainEvent, held: Tracked) -> None:
        step = _STEPS.get(event.name)
        if step is None:
            return
        before, after = step
        if held.state not in before:
            self._broken(event, f"cannot be followed by {event.name}: it is {held.state.name}")
        if event.name == "DeliveryBegun":
            self._begun(event, held)
        elif event.name == "DeliveryDispatched":
            latest = held.begun_at + self.periods.transfer if self.periods else None
            expires = event.args["expiresAt"]
            if expires < self._time(event) or (latest is not None and expires > latest):
                self._broken(event, f"was dispatched with the expiry {expires}", "L8")
        elif event.name == "DeliveryBreakRecorded":
            if held.broken:
                self._broken(event, "has two recorded breaks", "L10")
            held.broken = True
        elif event.name == "DisputeCleared" and not self._reported_after(held.refunded_at):
            self._broken(event, "was cleared without a report later than its refund", "L3")
        if after is not None:
            held.state = after

    def _begun(self, event: ChainEvent, held: Tracked) -> None:
        now = self._time(event)
        held.begun_at, held.expires_at = now, event.args["expiresAt"]
        if self.periods is None:
            return
        latest = held.requested_at + self.periods.request - BEGIN_MARGIN
        if now > latest:
            self._broken(event, f"was begun at {now}, the latest was {latest}", "L8")
        if event.args["expiresAt"] != now + self.periods.transfer:
            self._broken(event, f"expires at {event.args['expiresAt']}", "L8", now=now)

    def _reported_after(self, time: int) -> bool:
        return bool(self.reports) and self.reports[-1] > time

    def _refunded(self, event: ChainEvent, held: Tracked) -> None:
        """The holder's refund: its cause, its time, its serials again at the back."""
        args, now = event.args, self._time(event)
        position = args["firstPosition"]
        disputed = bool(args["disputed"])
        if not held.state.is_open:
            self._broken(event, f"was refunded when it was {held.state.name}", "L10")
        elif disputed and held.state not in _UNDER_WAY:
            self._broken(event, f"is disputed and was {held.state.name}", "L8")
        elif self.periods is not None:
            self._on_time(event, held, self.periods, disputed)
        if args["tonnes"] != held.tonnes:
            self._broken(event, "was refunded with other tonnes", "L1", tonnes=args["tonnes"])
        held.refund, held.refunded_at, held.refund_event = position, now, event
        held.state = State.REFUNDED_DISPUTED if disputed else State.REFUNDED

    def in_trust(self, class_id: int) -> list[Interval]:
        """Serials of deliveries of which no custodian may have touched the registry yet."""
        waiting = (State.REQUESTED, State.REJECTED)
        return [
            one.serials
            for one in self.found.values()
            if one.class_id == class_id and one.state in waiting and one.serials is not None
        ]

    def _on_time(self, event: ChainEvent, held: Tracked, periods: Periods, disputed: bool) -> None:
        """A refund keeps the deadlines, and an ordinary one of a begun delivery needs a report."""
        now = self._time(event)
        if held.state is State.REQUESTED:
            deadline = held.requested_at + periods.request
            if now < deadline:
                self._broken(event, f"was refunded before its deadline {deadline}", "L8", now=now)
        elif held.state in _UNDER_WAY and disputed:
            second = held.expires_at + periods.grace
            if now < second:
                self._broken(event, f"was refunded in dispute before {second}", "L8", now=now)
        elif held.state in _UNDER_WAY and not self._reported_after(held.expires_at):
            self._broken(event, "was refunded without a reserve report later than its expiry", "L3")

    # ------------------------------------------------------------------- the end

    def check(self, evidence: Evidence, calls: Calls) -> None:
        """Serials of every delivery are where its state says; stored as its events tell."""
        self._check_places()
        states = [one.state for one in self.found.values()]
        self.findings.count(
            "L8", deliveries=len(states), open_deliveries=sum(one.is_open for one in states),
            refunds=sum(one in (State.REFUNDED, State.REFUNDED_DISPUTED) for one in states),
        )  # fmt: skip
        self.findings.count("L4", deliveries_finalised=states.count(State.FINALISED))
        self.findings.count("L3", custodians_breaks=sum(one.broken for one in self.found.values()))
        if CONTRACT not in evidence.deployment.contracts:
            return
        self._check_holders(calls)
        self._check_stored(evidence)

    def _check_places(self) -> None:
        """Positions burnt are settled as delivered; a refund stands on the same serials."""
        register = self.ledger.register
        for held in self.found.values():
            position_map = register.map(held.class_id)
            end = held.first + held.tonnes
            kinds = {one.kind for one in position_map.settled_within(held.first, end)}
            if kinds != {Settled.DELIVERED}:
                self._broken(held.request, "has not settled its positions as delivered")
            if held.state is State.FINALISED and sorted(held.released) != held.lived():
                self._broken(
                    held.last or held.request, "is final and kept its serials in the register", "L2"
                )
            if held.refunded_at and not self._came_back(held):
                self._broken(held.last or held.request, "was refunded on other serials", "L2")

    def _came_back(self, held: Tracked) -> bool:
        return any(
            block.first_position == held.refund and block.serials == held.serials
            for block in self.ledger.register.blocks.get(held.class_id, [])
        )

    def _check_holders(self, calls: Calls) -> None:
        """L5: a request and a refund are the holder's own, or of an operator it approved."""
        approved = self._operators(calls.evidence)
        for held in self.found.values():
            for event, functions in (
                (held.request, ("request",)),
                (held.refund_event, ("refund", "refundWithReport")),
            ):
                if event is None:
                    continue
                made = calls.of(CONTRACT, event.transaction_hash)
                if made is None:
                    continue
                callers = {call.caller for call in made if call.function in functions}
                if not callers & ({held.holder} | approved.get(held.holder, set())):
                    self._broken(event, f"{event.name} was not called by its holder", "L5")

    @staticmethod
    def _operators(evidence: Evidence) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for event in evidence.events:
            if (event.contract, event.name) == ("CarbonCredits", "ApprovalForAll"):
                found.setdefault(event.args["account"], set()).add(event.args["operator"])
        return found

    def _check_stored(self, evidence: Evidence) -> None:
        ids = list(self.found)
        views: list[View] = [(CONTRACT, "delivery", (one,)) for one in ids]
        count, *stored = evidence.views("deliveries", [(CONTRACT, "deliveryCount", ()), *views])
        if count != len(ids):
            self.findings.broken("L10", f"{count} deliveries are stored, {len(ids)} published")
        for delivery_id, answer in zip(ids, stored, strict=True):
            held = self.found[delivery_id]
            if isinstance(answer, ViewFailed):
                self._broken(held.request, f"cannot be read: {answer.message}")
                continue
            wanted: dict[str, Any] = {
                "holder": held.holder, "state": int(held.state), "classId": held.class_id,
                "firstPosition": held.first, "tonnes": held.tonnes,
                "requestedAt": held.requested_at, "begunAt": held.begun_at,
                "expiresAt": held.expires_at, "refundedAt": held.refunded_at,
                "broken": held.broken,
            }  # fmt: skip
            differing = [name for name, value in wanted.items() if answer[name] != value]
            if differing:
                self._broken(
                    held.last or held.request, f"is stored otherwise: {', '.join(differing)}"
                )


def read_periods(evidence: Evidence) -> Periods | None:
    """The deadlines that this deployment's contract keeps; None without one."""
    if CONTRACT not in evidence.deployment.contracts:
        return None
    answer = evidence.views("periods", [(CONTRACT, "periods", ())])[0]
    if isinstance(answer, ViewFailed):
        return None
    return Periods(*(answer.values() if isinstance(answer, dict) else answer))
