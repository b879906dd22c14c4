"""What a registry answered to a request: late, twice, or with something else than was asked.

An answer is a value with a state, never an exception, and `follow` says what a new answer changes
and what it breaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

from backend.domain.registry_requests import Request, SerialRange, check_reference, check_text
from backend.errors import Conflict, InvalidValue


class AnswerState(StrEnum):
    """How far a request is, in the registry's words."""

    #: Nobody can tell: no answer, or one that cannot be read. Ask again by our reference.
    UNKNOWN = "unknown"
    #: Taken, not yet done; a transfer waits for its recipient. Without a reference of the registry
    #: nobody has put it to the registry yet.
    ACCEPTED = "accepted"
    #: Retired, or transferred and taken by the recipient.
    DONE = "done"
    #: Not taken: nothing happened and nothing will.
    REFUSED = "refused"
    #: A transfer that its recipient did not take: the credits are back.
    REJECTED = "rejected"
    #: A transfer that its recipient did not take in time: the credits are back.
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self not in (AnswerState.UNKNOWN, AnswerState.ACCEPTED)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the registry said of one request, by our reference.

    DONE carries `registry_reference`, the `serials` it really took (in its order, possibly other
    than asked) and its `registry_date`; ACCEPTED a transfer's `expires_at` (Unix seconds) where
    the registry names one; the others a `reason`. `evidence`: keccak256 of the bytes it came in.
    """

    reference: str
    state: AnswerState
    registry_reference: str = ""
    serials: tuple[SerialRange, ...] = ()
    registry_date: date | None = None
    certificate_id: str = ""
    expires_at: int | None = None
    reason: str = ""
    evidence: bytes = bytes(32)

    def __post_init__(self) -> None:
        check_reference(self.reference)
        check_text("registry_reference", self.registry_reference)
        if self.state is AnswerState.DONE:
            check_text("registry_reference", self.registry_reference, required=True)
            if not self.serials:
                raise InvalidValue("serials", self.reference, "are missing from what is done")
            if self.registry_date is None:
                raise InvalidValue("registry_date", self.reference, "is missing from what is done")
        elif self.serials:
            raise InvalidValue("serials", self.reference, f"cannot be {self.state}")

    @property
    def tonnes(self) -> int:
        return sum(part.tonnes for part in self.serials)

    def says_the_same(self, other: Answer) -> bool:
        """Equal but for the bytes: a registry may print the same fact twice differently."""
        return replace(self, evidence=b"", reason="") == replace(other, evidence=b"", reason="")

    def as_json(self) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "state": self.state.value,
            "registry_reference": self.registry_reference,
            "serials": [str(part) for part in self.serials],
            "registry_date": self.registry_date.isoformat() if self.registry_date else None,
            "certificate_id": self.certificate_id,
            "expires_at": self.expires_at,
            "reason": self.reason,
            "evidence": "0x" + self.evidence.hex(),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Answer:
        """The inverse of `as_json`."""
        day = found["registry_date"]
        return cls(
            found["reference"],
            AnswerState(found["state"]),
            found["registry_reference"],
            tuple(SerialRange.parse(text) for text in found["serials"]),
            None if day is None else date.fromisoformat(day),
            found["certificate_id"],
            found["expires_at"],
            found["reason"],
            bytes.fromhex(found["evidence"].removeprefix("0x")),
        )


class BreakKind(StrEnum):
    """A difference between what was asked or said before and what the registry says now."""

    #: The registry chose other serials: no fault, but the register has to follow.
    OTHER_SERIALS = "other-serials"
    OTHER_QUANTITY = "other-quantity"
    #: A serial named twice inside one answer.
    SERIAL_TWICE = "serial-twice"
    #: A final answer, and then another that does not say the same.
    CONTRADICTION = "contradiction"
    OTHER_REFERENCE = "other-reference"

    @property
    def stops(self) -> bool:
        """Whether a person has to look before anything is recorded on chain."""
        return self is not BreakKind.OTHER_SERIALS


@dataclass(frozen=True, slots=True)
class Break:
    """One difference, in words a person can act on."""

    kind: BreakKind
    reference: str
    detail: str


class Followed(NamedTuple):
    """What stands after an answer: the answer that holds, and what does not fit."""

    answer: Answer
    breaks: tuple[Break, ...]

    @property
    def stops(self) -> bool:
        return any(one.kind.stops for one in self.breaks)


def follow(request: Request, known: Answer | None, heard: Answer) -> Followed:
    """What stands when `heard` arrives after `known`: a final answer never changes (L4).

    The same answer again changes nothing; UNKNOWN never replaces what was known; what is late
    counts as if it had come in time, as long as it contradicts nothing final.
    """
    for answer in (known, heard):
        if answer is not None and answer.reference != request.reference:
            raise Conflict(
                f"an answer to {answer.reference} is none to {request.reference}",
                reference=request.reference,
                answered=answer.reference,
            )
    if known is not None and known.state.is_final:
        if heard.state.is_final and not known.says_the_same(heard):
            detail = f"was {_said(known)}, is now {_said(heard)}"
            return Followed(known, (Break(BreakKind.CONTRADICTION, request.reference, detail),))
        return Followed(known, ())
    if heard.state is AnswerState.UNKNOWN and known is not None:
        return Followed(known, ())
    breaks = list(_differences(request, heard))
    if (
        known is not None
        and known.registry_reference
        and heard.registry_reference
        and known.registry_reference != heard.registry_reference
    ):
        detail = f"was {known.registry_reference}, is now {heard.registry_reference}"
        breaks.append(Break(BreakKind.OTHER_REFERENCE, request.reference, detail))
    return Followed(heard, tuple(breaks))


def _differences(request: Request, answer: Answer) -> list[Break]:
    """Where a DONE answer is not exactly what was asked."""
    if answer.state is not AnswerState.DONE:
        return []
    found = []
    reference = request.reference
    said = ", ".join(map(str, answer.serials))
    if answer.tonnes != request.serials.tonnes:
        detail = f"{request.serials.tonnes} t asked, {answer.tonnes} t done: {said}"
        found.append(Break(BreakKind.OTHER_QUANTITY, reference, detail))
    ordered = sorted(answer.serials)
    for one, after in pairwise(ordered):
        if one.overlaps(after):
            found.append(Break(BreakKind.SERIAL_TWICE, reference, f"{one} and {after}"))
    if _joined(ordered) != [request.serials]:
        detail = f"{request.serials} asked, {said} done"
        found.append(Break(BreakKind.OTHER_SERIALS, reference, detail))
    return found


def _joined(ordered: list[SerialRange]) -> list[SerialRange]:
    """Ranges that continue each other as one."""
    joined: list[SerialRange] = []
    for one in ordered:
        last = joined[-1] if joined else None
        if last is not None and last.space == one.space and one.first == last.last + 1:
            joined[-1] = SerialRange(one.space, last.first, one.last)
        else:
            joined.append(one)
    return joined


def _said(answer: Answer) -> str:
    said = f"{answer.state.value} {answer.registry_reference}".strip()
    serials = ", ".join(map(str, answer.serials))
    return f"{said} ({serials})" if serials else said
