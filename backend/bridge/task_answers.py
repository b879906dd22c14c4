"""What a person says of a custodian's task, from words of a form to an answer that is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from backend.domain.custody_tasks import Proposal, StatementRequest, Task
from backend.domain.registry_answers import Answer, AnswerState, follow
from backend.domain.registry_requests import SerialRange
from backend.errors import InvalidValue
from backend.registries.clients.statement import read_statement, statement_json


@dataclass(frozen=True, slots=True)
class Said:
    """The fields of the form; empty where nothing was said.

    `serials`: SPACE/FIRST-LAST, default what was asked; `day`: YYYY-MM-DD, default today in UTC;
    `expires` and `as_of`: ISO 8601 with zone.
    """

    state: str = "done"
    registry_reference: str = ""
    serials: Sequence[str] = ()
    day: str | None = None
    certificate: str = ""
    expires: str | None = None
    reason: str = ""
    as_of: str | None = None


def answer_of(task: Task, said: Said, file: bytes) -> Answer | dict[str, Any]:
    """An answer, or of a task that asks for one a statement read from `file`.

    Raises InvalidValue naming the field, the value and the rule.
    """
    if isinstance(task.request, StatementRequest):
        if not file or said.as_of is None:
            raise InvalidValue("file", None, "and as_of are what a statement needs")
        moment = _moment("as_of", said.as_of)
        return statement_json(read_statement(task.request.account, moment, file))
    if said.state not in list(AnswerState):
        raise InvalidValue("state", said.state, f"is not one of {', '.join(AnswerState)}")
    state = AnswerState(said.state)
    done = state is AnswerState.DONE
    taken = tuple(SerialRange.parse(one) for one in said.serials) or (task.request.serials,)
    return Answer(
        task.reference,
        state,
        said.registry_reference,
        taken if done else (),
        _day(said.day) if done else None,
        said.certificate,
        None if said.expires is None else _moment("expires", said.expires),
        said.reason,
    )


def misfits(task: Task, one: Proposal) -> list[str]:
    """What does not fit the request: the second pair of eyes should see it first."""
    if isinstance(task.request, StatementRequest):
        return []
    found = follow(task.request, None, Answer.from_json(one.content)).breaks
    return [f"{each.kind}: {each.detail}" for each in found]


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidValue("date", text, "is not a day in the form YYYY-MM-DD") from None


def _moment(field: str, text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidValue(field, text, "is not a time such as 2026-05-31T23:59:59+08:00")
    return int(found.timestamp())
