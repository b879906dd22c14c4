"""Programme events: what is signed, what each does to a class, as `ProgrammeEvents` has it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from backend.domain import custody, eip712
from backend.domain.classes import CreditClass, from_yyyymmdd
from backend.domain.custody import MAX_INTERVALS, check_intervals, class_message, interval_message
from backend.domain.serials import Interval
from backend.domain.texts import check_text
from backend.errors import InvalidValue

DOMAIN_NAME = "Causeway Programme Events"
DOMAIN_VERSION = "1"

TYPES: dict[str, list[tuple[str, str]]] = {
    "CreditClass": custody.TYPES["CreditClass"],
    "Series": custody.TYPES["Series"],
    "Interval": custody.TYPES["Interval"],
    "ProgrammeEvent": [
        ("kind", "uint8"),
        ("classId", "uint256"),
        ("subject", "string"),
        ("reason", "string"),
        ("asOf", "uint32"),
        ("evidenceHash", "bytes32"),
        ("nonce", "uint64"),
    ],
    "Invalidation": [
        ("classId", "uint256"),
        ("firstPosition", "uint64"),
        ("tonnes", "uint64"),
        ("serials", "Interval"),
        ("reason", "string"),
        ("asOf", "uint32"),
        ("evidenceHash", "bytes32"),
    ],
    "Substitution": [
        ("classId", "uint256"),
        ("firstPosition", "uint64"),
        ("serials", "Interval[]"),
        ("reason", "string"),
        ("asOf", "uint32"),
        ("evidenceHash", "bytes32"),
    ],
    "Conversion": [
        ("kind", "uint8"),
        ("fromClass", "uint256"),
        ("toClass", "CreditClass"),
        ("firstPosition", "uint64"),
        ("tonnes", "uint64"),
        ("serials", "Interval[]"),
        ("root", "bytes32"),
        ("chainBlock", "uint64"),
        ("reason", "string"),
        ("asOf", "uint32"),
        ("evidenceHash", "bytes32"),
    ],
}


class Kind(IntEnum):
    """What happened, by the number that the contract has."""

    HOLD = 0
    RELEASE = 1
    REVERSAL = 2
    LABEL_GAINED = 3
    LABEL_LOST = 4
    EXPIRY = 5
    AUTHORISATION = 6
    CORSIA = 7
    LABEL_SPLIT = 8
    EXCHANGE = 9
    CONVERSION = 10

    @property
    def converts(self) -> bool:
        """Whether positions become another class: a `Conversion`, never a published event."""
        return self in (Kind.LABEL_SPLIT, Kind.EXCHANGE, Kind.CONVERSION)

    @property
    def effect(self) -> str:
        """What the event does to holders of the class, in one sentence."""
        return _EFFECTS[self]


_EFFECTS = {
    Kind.HOLD: "Minting, trading, retirement and delivery requests of the class stop.",
    Kind.RELEASE: "What a hold stopped goes on.",
    Kind.REVERSAL: "A matter of the buffer: issued units stand; holders are informed.",
    Kind.LABEL_GAINED: "The whole class gains the label from the date on; its id does not change.",
    Kind.LABEL_LOST: "The whole class loses the label from the date on; its id does not change.",
    Kind.EXPIRY: "A dated fact: for which uses the units are no longer eligible.",
    Kind.AUTHORISATION: "A dated fact: what a party authorised by its letter under Article 6.",
    Kind.CORSIA: "A dated fact: what CORSIA's scope or eligibility is from the date on.",
    Kind.LABEL_SPLIT: "A part of the class becomes another class, pro rata, on the same serials.",
    Kind.EXCHANGE: "Units are swapped for others of the programme, pro rata.",
    Kind.CONVERSION: "Units become another programme's, pro rata; the old serials are dead.",
}


class GapKind(IntEnum):
    """Why positions may not be consumed."""

    NONE = 0
    INVALIDATED = 1
    DISPUTED = 2
    CONVERTING = 3


def signing_domain(chain_id: int, events: str) -> eip712.SigningDomain:
    """The EIP-712 domain of one ProgrammeEvents contract on one chain."""
    return eip712.SigningDomain(DOMAIN_NAME, DOMAIN_VERSION, chain_id, events)


def _check_run(first_position: int, tonnes: int) -> None:
    if first_position < 0:
        raise InvalidValue("first_position", first_position, "is negative")
    if tonnes < 1:
        raise InvalidValue("tonnes", tonnes, "is not positive")


@dataclass(frozen=True, slots=True)
class ProgrammeEvent:
    """A published event that needs no serials. `subject`: the label code, the letter or whatever
    the kind is about; `as_of`: YYYYMMDD; `nonce` makes each unique.
    """

    kind: Kind
    class_id: int
    subject: str
    reason: str
    as_of: int
    evidence_hash: bytes
    nonce: int

    def __post_init__(self) -> None:
        if self.kind.converts:
            raise InvalidValue("kind", self.kind.name, "is a conversion, which names positions")
        if self.subject:
            check_text("subject", self.subject)
        check_text("reason", self.reason)
        from_yyyymmdd(self.as_of)

    def message(self) -> dict[str, Any]:
        return {
            "kind": int(self.kind),
            "classId": self.class_id,
            "subject": self.subject,
            "reason": self.reason,
            "asOf": self.as_of,
            "evidenceHash": self.evidence_hash,
            "nonce": self.nonce,
        }


@dataclass(frozen=True, slots=True)
class Invalidation:
    """Live positions [first_position, +tonnes), all in one piece, whose serials are dead."""

    class_id: int
    first_position: int
    serials: Interval
    reason: str
    as_of: int
    evidence_hash: bytes

    def __post_init__(self) -> None:
        _check_run(self.first_position, self.tonnes)
        check_text("reason", self.reason)
        from_yyyymmdd(self.as_of)

    @property
    def tonnes(self) -> int:
        return self.serials.tonnes

    def message(self) -> dict[str, Any]:
        return {
            "classId": self.class_id,
            "firstPosition": self.first_position,
            "tonnes": self.tonnes,
            "serials": interval_message(self.serials),
            "reason": self.reason,
            "asOf": self.as_of,
            "evidenceHash": self.evidence_hash,
        }


@dataclass(frozen=True, slots=True)
class Substitution:
    """New serials of the gap that begins at `first_position`, together exactly its tonnes."""

    class_id: int
    first_position: int
    serials: tuple[Interval, ...]
    reason: str
    as_of: int
    evidence_hash: bytes

    def __post_init__(self) -> None:
        check_intervals("serials", self.serials)
        check_text("reason", self.reason)
        from_yyyymmdd(self.as_of)

    @property
    def tonnes(self) -> int:
        return sum(interval.tonnes for interval in self.serials)

    def message(self) -> dict[str, Any]:
        return {
            "classId": self.class_id,
            "firstPosition": self.first_position,
            "serials": [interval_message(interval) for interval in self.serials],
            "reason": self.reason,
            "asOf": self.as_of,
            "evidenceHash": self.evidence_hash,
        }


@dataclass(frozen=True, slots=True)
class Conversion:
    """Positions of one class become another, pro rata for who held at `chain_block`.

    `root`: Merkle-sum root of liability leaves of `from_class`, its sum tonnes × 1000. `serials`
    empty: the same serials (LABEL_SPLIT); else new ones of equal size, and the old are dead.
    """

    kind: Kind
    from_class: int
    to_class: CreditClass
    first_position: int
    tonnes: int
    serials: tuple[Interval, ...]
    root: bytes
    chain_block: int
    reason: str
    as_of: int
    evidence_hash: bytes

    def __post_init__(self) -> None:
        if not self.kind.converts:
            raise InvalidValue("kind", self.kind.name, "is no conversion")
        _check_run(self.first_position, self.tonnes)
        check_text("reason", self.reason)
        from_yyyymmdd(self.as_of)
        named = sum(interval.tonnes for interval in self.serials)
        if len(self.serials) > MAX_INTERVALS:
            raise InvalidValue("serials", len(self.serials), f"are more than {MAX_INTERVALS}")
        if (self.kind is Kind.LABEL_SPLIT) != (not self.serials):
            raise InvalidValue("serials", named, "are for exchanges and conversions, and only them")
        if self.serials and named != self.tonnes:
            raise InvalidValue("serials", f"{named} t", f"are not the {self.tonnes} t converted")

    def message(self) -> dict[str, Any]:
        return {
            "kind": int(self.kind),
            "fromClass": self.from_class,
            "toClass": class_message(self.to_class),
            "firstPosition": self.first_position,
            "tonnes": self.tonnes,
            "serials": [interval_message(interval) for interval in self.serials],
            "root": self.root,
            "chainBlock": self.chain_block,
            "reason": self.reason,
            "asOf": self.as_of,
            "evidenceHash": self.evidence_hash,
        }


#: Everything a programme's event is signed as.
Signed = ProgrammeEvent | Invalidation | Substitution | Conversion


def digest(event: Signed, domain: eip712.SigningDomain) -> bytes:
    """What is signed, and the event's id."""
    return eip712.digest(domain, TYPES, type(event).__name__, event.message())
