"""Tasks for people at a registry's pages, and the four eyes that make their answers count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import (
    RegistryAccount,
    Request,
    RetirementRequest,
    check_reference,
    check_text,
    request_from_json,
)
from backend.errors import InvalidValue, NotAuthorised

#: Evidence: a certificate, a screenshot, a statement of account.
MAX_FILE_BYTES = 8 * 1024 * 1024
#: What a registry's form takes as the reason of a retirement.
MAX_REASON_BYTES = 256


@dataclass(frozen=True, slots=True)
class StatementRequest:
    """Bring the registry's statement of an account: every live block of it."""

    reference: str
    account: RegistryAccount
    deadline: int | None = None

    def __post_init__(self) -> None:
        check_reference(self.reference)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": "statement",
            "reference": self.reference,
            "account": str(self.account),
            "deadline": self.deadline,
        }


TaskRequest = Request | StatementRequest


def task_request_from_json(found: Mapping[str, Any]) -> TaskRequest:
    """The inverse of `as_json` of all three kinds."""
    if found["kind"] == "statement":
        account = RegistryAccount.parse(found["account"])
        return StatementRequest(found["reference"], account, found["deadline"])
    return request_from_json(found)


class TaskState(StrEnum):
    """OPEN: somebody has to do it; ANSWERED: somebody else has to look; DONE: final."""

    OPEN = "open"
    ANSWERED = "answered"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Proposal:
    """One answer that a person brought, with its evidence, and what another said of it.

    `content` is an Answer's JSON, or a statement's; times are Unix seconds; `approved` is None
    until somebody has looked.
    """

    number: int
    content: Mapping[str, Any]
    evidence: bytes
    file_name: str
    answered_by: str
    answered_at: int
    reviewed_by: str = ""
    reviewed_at: int | None = None
    approved: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A request for people, every answer there was, and the approved one that stands."""

    request: TaskRequest
    state: TaskState
    created_at: int
    standing: Mapping[str, Any] | None
    proposals: tuple[Proposal, ...]

    @property
    def reference(self) -> str:
        return self.request.reference

    @property
    def waiting(self) -> Proposal | None:
        """The answer that somebody else has to look at."""
        last = self.proposals[-1] if self.proposals else None
        return last if last is not None and last.approved is None else None

    def is_late(self, now: int) -> bool:
        deadline = self.request.deadline
        return self.state is not TaskState.DONE and deadline is not None and deadline < now

    @property
    def answer(self) -> Answer:
        """What the client says of the task: ACCEPTED, without a reference of the registry, until
        an answer is approved.
        """
        if self.standing is None:
            told = "a task for people, not yet done and approved"
            return Answer(self.reference, AnswerState.ACCEPTED, reason=told)
        return Answer.from_json(self.standing)


def check_person(field: str, name: str) -> str:
    """A person's name or login as it will stand in the history."""
    return check_text(field, name.strip(), required=True)


def check_four_eyes(answered_by: str, reviewed_by: str) -> None:
    """Raises NotAuthorised when one person would confirm what they brought themselves."""
    if answered_by.strip().casefold() == reviewed_by.strip().casefold():
        raise NotAuthorised(
            f"{reviewed_by} brought this answer: another person has to approve it",
            answered_by=answered_by,
        )


def check_answer(request: Request, answer: Answer) -> None:
    """Raises InvalidValue for an answer that nobody can bring for this request."""
    if answer.reference != request.reference:
        raise InvalidValue("reference", answer.reference, f"is not {request.reference}")
    wanted = {AnswerState.DONE, AnswerState.REFUSED}
    if not isinstance(request, RetirementRequest):
        wanted |= {AnswerState.ACCEPTED, AnswerState.REJECTED, AnswerState.EXPIRED}
    if answer.state not in wanted:
        listed = ", ".join(sorted(wanted))
        raise InvalidValue("state", answer.state, f"is not one of {listed}")
    if answer.state is AnswerState.ACCEPTED:
        check_text("registry_reference", answer.registry_reference, required=True)
    elif answer.state is not AnswerState.DONE:
        check_text("reason", answer.reason, required=True)


def reason_text(request: RetirementRequest) -> str:
    """What to paste into the registry's field for the reason: at most 256 bytes, our reference
    always in it, so that a statement of the account shows which retirement is whose.
    """
    said = request.instruction
    parts = []
    if said.is_public and said.beneficiary:
        number = f" ({said.identifier})" if said.identifier else ""
        parts.append(f"On behalf of {said.beneficiary}{number}, {said.country}")
    if said.scheme:
        parts.append(f"{said.scheme} {said.scheme_period}")
    if said.claim_start and said.claim_end:
        parts.append(f"Claim period {said.claim_start} to {said.claim_end}")
    if said.is_public and said.note:
        parts.append(said.note)
    end = f"Ref. {request.reference}"
    text = ". ".join(parts)
    room = MAX_REASON_BYTES - len(end.encode()) - 2
    cut = text.encode()[:room].decode("utf-8", "ignore")
    return f"{cut}. {end}" if cut else end


def instructions_of(task: Task) -> list[tuple[str, str]]:
    """What a person does, as (what, exact text to use): the same on a page and a terminal."""
    request = task.request
    due = "none"
    if request.deadline is not None:
        due = datetime.fromtimestamp(request.deadline, UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [("account", str(request.account)), ("deadline", due)]
    if isinstance(request, StatementRequest):
        return [("do", "bring the statement of the account: every live block"), *lines]
    serials = request.serials
    what = [("serials", str(serials)), ("tonnes", f"{serials.tonnes:,}")]
    if not isinstance(request, RetirementRequest):
        until = "the registry's own rule"
        if request.expires_at is not None:
            moment = datetime.fromtimestamp(request.expires_at, UTC)
            until = moment.strftime("%Y-%m-%d %H:%M UTC")
        return [
            ("do", "transfer"),
            *lines,
            *what,
            ("recipient", request.recipient),
            ("acceptance until", until),
            ("comment", f"{request.note} Ref. {request.reference}".strip()),
        ]
    said = request.instruction
    return [
        ("do", "retire"),
        *lines,
        *what,
        ("reason code", said.reason_code),
        ("beneficiary", said.beneficiary or "none"),
        ("identifier", said.identifier or "none"),
        ("beneficiary is a", f"{said.kind}, {said.country or 'country not given'}"),
        ("use", f"{said.use_case} {said.scheme} {said.scheme_period}".strip()),
        ("show publicly", "yes" if said.is_public else "NO: keep the beneficiary private"),
        ("reason text", reason_text(request)),
    ]
