"""L1 to L5, L8, L10 of deliveries, gaps and records: honest pasts hold, each bent one is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from backend.audit.bridge import Bridge
from backend.audit.evidence import Evidence
from backend.audit.ledger import Ledger
from backend.audit.register import Register
from backend.audit.report import Break, Findings
from backend.chain.manifest import Deployment
from backend.chain.rpc import Rpc
from backend.domain.deliveries import Periods
from backend.domain.events import ChainBlock, ChainEvent
from backend.domain.serials import Interval, Series
from backend.store.database import Database
from tests.api.backing_history import GRACE, REQUEST, TRANSFER, BackingHistory, RandomBacking
from tests.api.history import FIRST_TIME, address, make_class

pytestmark = pytest.mark.unit

HOLDER = address(1)
ONE = make_class(0)
CLASS = ONE.token_id
VCS = Series("VCS", (2,))
PERIODS = Periods(REQUEST, TRANSFER, GRACE)


class Past(BackingHistory):
    """A past that is written nowhere: its events are judged."""

    def timestamp(self, block: int) -> int:
        """A day a chain block."""
        return FIRST_TIME + 86_400 * block

    def save(self) -> None:
        self.saved, self._events = self.saved + self._events, []


@dataclass
class _Deployed:
    contracts: dict[str, Any] = field(default_factory=dict)


def past() -> Past:
    made = Past(cast("Database", None))
    made.mint(ONE, HOLDER, [Interval(VCS, 1, 10)])
    return made


def judged(events: list[ChainEvent], periods: Periods | None = None) -> tuple[Findings, Bridge]:
    """The books after these events; what only views can tell is not asked."""
    block = ChainBlock(events[-1].block_number, "0x", "0x", 0)
    evidence = Evidence(
        cast("Rpc", None), cast("Deployment", _Deployed()), block, events, [], lambda *_: None
    )
    for event in events:
        number = event.block_number
        evidence._blocks[number] = ChainBlock(number, "0x", "0x", FIRST_TIME + 86_400 * number)
    findings = Findings()
    books = Bridge(evidence, Ledger(findings, Register(findings)))
    books.deliveries.periods = periods
    books.replay()
    books.programme._compare_flags()
    books.deliveries._check_places()
    return findings, books


def breaks(events: list[ChainEvent], periods: Periods | None = None) -> dict[str, list[Break]]:
    findings, _ = judged(events, periods)
    return {law: found for law, found in findings.breaks.items() if found}


@pytest.mark.parametrize("seed", range(6))
def test_honest_pasts_of_every_kind_hold(seed: int) -> None:
    history = Past(cast("Database", None))
    RandomBacking(history, seed).grow(250)
    findings, books = judged(history.saved)
    assert not {law: found for law, found in findings.breaks.items() if found}
    for class_id, made in history.classes.items():
        held = books.ledger.classes[class_id]
        assert held.positions.supply_kilograms == sum(made.left)
        came = held.minted_kilograms + held.refunded_kilograms
        assert came - held.retired_kilograms - held.burnt_kilograms == sum(made.left)
        register = books.ledger.register
        assert register.map(class_id).settled == made.pieces.settled
        assert list(books.programme.gaps[class_id]) == list(history.gaps[class_id])
        assert books.programme.uncovered(class_id) == (
            history.gaps[class_id].uncovered - history.locked[class_id] // 1000
        )
    held_now = {
        (str(one.series), number)
        for intervals in books.ledger.register.intervals.values()
        for one in intervals
        for number in range(one.first, one.last + 1)
    }
    assert held_now == history.register
    states = {one.state.name.lower() for one in books.deliveries.found.values()}
    assert states == {one.state for one in history.deliveries}


# ── each lie by its name ─────────────────────────────────────────────────────────────────────


def delivered(*acts: str) -> Past:
    made = past()
    one = made.request(HOLDER, CLASS, 3)
    assert one is not None
    for act in acts:
        if act == "refund":
            made.refund(one)
        elif act == "dispute":
            made.refund(one, disputed=True)
        else:
            made.act(one, act)
    made.save()
    return made


def bend(events: list[ChainEvent], name: str, which: int = 0, **changes: Any) -> list[ChainEvent]:
    """The events with the arguments of one of them changed."""
    at = [index for index, event in enumerate(events) if event.name == name][which]
    bent = list(events)
    bent[at] = events[at]._replace(args={**events[at].args, **changes})
    return bent


def without(events: list[ChainEvent], name: str) -> list[ChainEvent]:
    return [event for event in events if event.name != name]


def invalidated() -> Past:
    made = past()
    made.invalidate(CLASS, 2, 3)
    made.save()
    return made


def held() -> Past:
    made = past()
    made.emit(
        "ProgrammeEvents", "ProgrammeEventPublished", eventId="0x01", classId=CLASS, kind=0,
        subject="", reason="review", asOf=20260801, evidenceHash="0x02", signers=[],
    )  # fmt: skip
    made.emit("CarbonCredits", "ClassFlagsSet", id=CLASS, flags=1)
    made.next_block()
    return made


def retired_while_held() -> list[ChainEvent]:
    made = held()
    made.retire(HOLDER, CLASS, 1_000)
    made.save()
    return made.saved


def delivered_while_held() -> list[ChainEvent]:
    made = held()
    made.request(HOLDER, CLASS, 1)
    made.save()
    return made.saved


def minted_while_halted() -> list[ChainEvent]:
    made = past()
    made.invalidate(CLASS, 2, 3)
    made.mint(ONE, HOLDER, [Interval(VCS, 50, 51)])
    made.save()
    return made.saved


def retired_over_a_gap() -> list[ChainEvent]:
    """The cursor runs over dead positions as if they were none."""
    made = past()
    made.invalidate(CLASS, 1, 2)
    hidden = made.gaps.pop(CLASS)
    made.retire(HOLDER, CLASS, 3_000)
    made.gaps[CLASS] = hidden
    made.save()
    return made.saved


def deposited_while_in_delivery() -> list[ChainEvent]:
    made = delivered("begin")
    made.register.clear()
    made.mint(ONE, HOLDER, [Interval(VCS, 2, 3)])
    made.save()
    return made.saved


def confirmed_what_was_delivered() -> list[ChainEvent]:
    made = delivered("begin", "finalise")
    actual = {"series": {"programme": "VCS", "codes": [2]}, "first": 1, "last": 1}
    made.emit(
        "RegistryRecords", "RegistryRetirementRecorded", confirmationId="0x0c", classId=CLASS,
        firstPosition=0, tonnes=1, actual=[actual], registryReference="R", registryDate=20260901,
        evidenceHash="0x01", signers=[],
    )  # fmt: skip
    made.next_block()
    made.save()
    return made.saved


def finalised_with_dead(*runs: tuple[int, int]) -> list[ChainEvent]:
    """The middle one of three delivered serials died on the way; these runs left the register."""
    made = past()
    one = made.request(HOLDER, CLASS, 3)
    assert one is not None
    made.act(one, "begin")
    made.emit("Gaps", "DeliveryInvalidated", eventId="0x0e", classId=CLASS,
              firstPosition=one.first + 1, tonnes=1)  # fmt: skip
    made.next_block()
    made.act(one, "finalise")
    made.save()
    events = list(made.saved)
    at = next(n for n, event in enumerate(events) if event.name == "SerialsReleased")
    whole = events[at]
    events[at : at + 1] = [
        whole._replace(args={**whole.args, "first": first, "last": last}) for first, last in runs
    ]
    return events


def test_l2_what_died_on_the_way_stays_in_the_register() -> None:
    assert not breaks(finalised_with_dead((1, 1), (3, 3)))


LIES: list[tuple[str, str, Callable[[], list[ChainEvent]]]] = [
    ("L8", "were retired while a hold stands", retired_while_held),
    ("L8", "were delivered while a hold stands", delivered_while_held),
    ("L3", "were minted of class", minted_while_halted),
    ("L3", "2 t were consumed that are a gap (invalidated)", retired_over_a_gap),
    ("L2", "which was registered before", deposited_while_in_delivery),
    ("L4", "are delivered already", confirmed_what_was_delivered),
    (
        "L2", "its positions stand on VCS:2/1-3",
        lambda: bend(delivered().saved, "DeliveryRequested", firstSerial=4),
    ),
    (
        "L4", "cannot be followed by DeliveryFinalised: it is REQUESTED",
        lambda: without(delivered("begin", "finalise").saved, "DeliveryBegun"),
    ),
    (
        "L2", "is final and kept its serials",
        lambda: without(delivered("begin", "finalise").saved, "SerialsReleased"),
    ),
    (
        "L2", "left the register without a delivery",
        lambda: without(delivered("begin", "finalise").saved, "DeliveryFinalised"),
    ),
    ("L2", "left the register without a delivery", lambda: finalised_with_dead((1, 3))),
    ("L2", "is final and kept its serials", lambda: finalised_with_dead((1, 1))),
    (
        "L2", "was refunded on other serials",
        lambda: bend(delivered("reject", "refund").saved, "BlockAppended", first=4, last=6),
    ),
    (
        "L10", "was refunded when it was FINALISED",
        lambda: delivered("begin", "finalise").saved
        + [
            event._replace(block_number=99, transaction_hash="0x99")
            for event in delivered("reject", "refund").saved
            if event.name == "DeliveryRefunded"
        ],
    ),
    (
        "L4", "has not settled its positions as delivered",
        lambda: without(delivered().saved, "PositionsSettled"),
    ),
    (
        "L1", "a delivery takes what is not there",
        lambda: bend(delivered().saved, "CreditsBurntForDelivery", firstPosition=2),
    ),
    (
        "L8", "is told to be halted by 0",
        lambda: bend(invalidated().saved, "ClassFlagsSet", flags=0),
    ),
    (
        "L10", "took effect twice",
        lambda: invalidated().saved
        + [e._replace(block_number=99, transaction_hash="0x99") for e in invalidated().saved
           if e.name == "PositionsInvalidated"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("law", "what", "lie"), LIES, ids=[one[1] for one in LIES])
def test_a_bent_past_is_found_and_named(
    law: str, what: str, lie: Callable[[], list[ChainEvent]]
) -> None:
    found = breaks(lie())
    assert any(what in one.what for one in found.get(law, ())), found


def moved(events: list[ChainEvent], name: str, block: int) -> list[ChainEvent]:
    """The events with those of one transaction at a later chain block; days are chain blocks."""
    home = next(event.block_number for event in events if event.name == name)
    return [
        event._replace(block_number=block) if event.block_number >= home else event
        for event in events
    ]


DEADLINES: list[tuple[str, str, Callable[[], list[ChainEvent]]]] = [
    ("L8", "was begun at", lambda: moved(delivered("begin").saved, "DeliveryBegun", 12)),
    ("L8", "was refunded before its deadline", lambda: delivered("refund").saved),
    ("L8", "was refunded in dispute before", lambda: delivered("begin", "dispute").saved),
    ("L3", "without a reserve report later", lambda: delivered("begin", "refund").saved),
]


@pytest.mark.parametrize(("law", "what", "lie"), DEADLINES, ids=[one[1] for one in DEADLINES])
def test_l8_a_deadline_that_was_not_kept_is_found(
    law: str, what: str, lie: Callable[[], list[ChainEvent]]
) -> None:
    found = breaks(lie(), PERIODS)
    assert any(what in one.what for one in found.get(law, ())), found


def test_l8_a_refund_at_the_deadline_is_the_holders_right() -> None:
    events = moved(delivered("refund").saved, "DeliveryRefunded", 12)
    assert not [
        one for one in breaks(events, PERIODS).get("L8", ()) if "before its deadline" in one.what
    ]
