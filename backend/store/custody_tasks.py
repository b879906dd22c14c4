"""Tasks of custodians in Postgres: opened once, answered by one person, approved by another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from eth_utils.crypto import keccak
from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from backend.domain.custody_tasks import (
    MAX_FILE_BYTES,
    Proposal,
    StatementRequest,
    Task,
    TaskRequest,
    TaskState,
    check_answer,
    check_four_eyes,
    check_person,
    task_request_from_json,
)
from backend.domain.registry_answers import Answer, follow
from backend.domain.registry_requests import RegistryAccount, check_text
from backend.errors import Conflict, InvalidValue, NotFound
from backend.store.custody_tables import custody_task_answers, custody_tasks
from backend.store.database import Database

_MAX_PAGE = 500


class PostgresTaskBook:
    """The TaskBook of the manual client, and what the people's commands need beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ── asked by the bridge ──────────────────────────────────────────────────────────────────

    def open_task(self, request: TaskRequest, now: int, until: int | None = None) -> Task:
        """The task of a request; opened when there is none, until `until` if it names no deadline.

        Again with the same content it is the same task, with the newer deadline while it is open.
        Raises Conflict for other content under the reference.
        """
        content = request.as_json()
        opened = content if content["deadline"] is not None else {**content, "deadline": until}
        row = {
            "reference": request.reference,
            "kind": content["kind"],
            "account": str(request.account),
            "request": opened,
            "content_hash": _content_hash(content),
            "state": TaskState.OPEN.value,
            "deadline": opened["deadline"],
            "created_at": now,
        }
        with self._database.begin() as connection:
            connection.execute(
                upsert(custody_tasks)
                .values(row)
                .on_conflict_do_nothing(index_elements=["reference"])
            )
            held = self._locked(connection, request.reference)
            if held.content_hash != row["content_hash"]:
                raise Conflict(
                    f"task {request.reference} was opened with other content",
                    reference=request.reference,
                )
            moved = request.deadline is not None and held.deadline != request.deadline
            if moved and held.state == TaskState.OPEN:
                connection.execute(
                    update(custody_tasks)
                    .where(custody_tasks.c.reference == request.reference)
                    .values(request=content, deadline=request.deadline)
                )
            return _task(connection, request.reference)

    def find_task(self, reference: str) -> Task | None:
        """The task of a reference, None when there is none."""
        with self._database.read() as connection:
            try:
                return _task(connection, reference)
            except NotFound:
                return None

    def newest_statement(self, account: RegistryAccount) -> Mapping[str, Any] | None:
        """The approved statement of an account with the newest date."""
        tasks = custody_tasks.c
        with self._database.read() as connection:
            found: Mapping[str, Any] | None = connection.execute(
                select(tasks.standing)
                .where(tasks.account == str(account), tasks.as_of.is_not(None))
                .order_by(tasks.as_of.desc())
                .limit(1)
            ).scalar()
        return found

    # ── for people ───────────────────────────────────────────────────────────────────────────

    def list_tasks(
        self, state: TaskState | None = None, after: str = "", limit: int = 100
    ) -> list[Task]:
        """Tasks by reference; those that are not done when no state is asked for."""
        tasks = custody_tasks.c
        wanted = (
            tasks.state != TaskState.DONE.value if state is None else tasks.state == state.value
        )
        with self._database.read() as connection:
            references = connection.execute(
                select(tasks.reference)
                .where(wanted, tasks.reference > after)
                .order_by(tasks.reference)
                .limit(min(limit, _MAX_PAGE))
            ).scalars()
            return [_task(connection, reference) for reference in list(references)]

    def answer(
        self,
        reference: str,
        content: Answer | Mapping[str, Any],
        by: str,
        now: int,
        file_name: str = "",
        file: bytes = b"",
    ) -> Task:
        """Bring an answer, or a statement, with its evidence; it counts once another approves.

        The same again from the same person changes nothing (L10). Raises Conflict when the task
        is done or another answer waits, InvalidValue for an answer that does not fit the request.
        """
        by = check_person("by", by)
        check_text("file_name", file_name)
        if len(file) > MAX_FILE_BYTES:
            raise InvalidValue("file", len(file), f"is over {MAX_FILE_BYTES} bytes")
        with self._database.begin() as connection:
            held = self._locked(connection, reference)
            task = _task(connection, reference)
            if task.state is TaskState.DONE:
                raise Conflict(f"task {reference} is done", reference=reference)
            document = self._checked(connection, task, content, file)
            waiting = task.waiting
            if waiting is not None:
                if waiting.content == document and waiting.answered_by == by:
                    return task
                raise Conflict(
                    f"an answer of {waiting.answered_by} to task {reference} waits for approval",
                    reference=reference,
                )
            connection.execute(
                insert(custody_task_answers).values(
                    reference=reference,
                    number=len(task.proposals) + 1,
                    content=document,
                    evidence="0x" + keccak(file or str(document).encode()).hex(),
                    file_name=file_name,
                    file=file,
                    answered_by=by,
                    answered_at=now,
                )
            )
            connection.execute(
                update(custody_tasks)
                .where(custody_tasks.c.reference == held.reference)
                .values(state=TaskState.ANSWERED.value)
            )
            return _task(connection, reference)

    def review(
        self, reference: str, number: int, by: str, approve: bool, note: str, now: int
    ) -> Task:
        """Approve an answer, or send it back with a note. Raises NotAuthorised for the person who
        brought it, Conflict when it was reviewed otherwise before.
        """
        by = check_person("by", by)
        check_text("note", note, required=not approve)
        with self._database.begin() as connection:
            self._locked(connection, reference)
            task = _task(connection, reference)
            found = next((one for one in task.proposals if one.number == number), None)
            if found is None:
                raise NotFound(f"task {reference} has no answer {number}", reference=reference)
            if found.approved is not None:
                if found.approved == approve and found.reviewed_by == by:
                    return task
                said = "approved" if found.approved else "sent back"
                raise Conflict(
                    f"answer {number} of task {reference} was {said} by {found.reviewed_by}",
                    reference=reference,
                )
            check_four_eyes(found.answered_by, by)
            answers = custody_task_answers.c
            connection.execute(
                update(custody_task_answers)
                .where(answers.reference == reference, answers.number == number)
                .values(reviewed_by=by, reviewed_at=now, approved=approve, note=note)
            )
            connection.execute(
                update(custody_tasks)
                .where(custody_tasks.c.reference == reference)
                .values(_after_review(task, found, approve))
            )
            return _task(connection, reference)

    def evidence(self, reference: str, number: int) -> tuple[str, bytes]:
        """Name and bytes of the file that came with an answer. Raises NotFound."""
        answers = custody_task_answers.c
        with self._database.read() as connection:
            row = connection.execute(
                select(answers.file_name, answers.file).where(
                    answers.reference == reference, answers.number == number
                )
            ).first()
        if row is None or not row.file:
            raise NotFound(f"task {reference} has no file with answer {number}")
        return row.file_name, bytes(row.file)

    def _locked(self, connection: Connection, reference: str) -> Row[Any]:
        row = connection.execute(
            select(custody_tasks).where(custody_tasks.c.reference == reference).with_for_update()
        ).first()
        if row is None:
            raise NotFound(f"there is no task {reference}", reference=reference)
        return row

    def _checked(
        self, connection: Connection, task: Task, content: Answer | Mapping[str, Any], file: bytes
    ) -> dict[str, Any]:
        """The document to store, once it fits the task's request."""
        request = task.request
        if isinstance(request, StatementRequest):
            if isinstance(content, Answer) or content["account"] != str(request.account):
                raise InvalidValue("statement", task.reference, f"is not of {request.account}")
            newest = self.newest_statement(request.account)
            if newest is not None and content["as_of"] <= newest["as_of"]:
                rule = f"is not after the newest approved statement ({newest['as_of']})"
                raise InvalidValue("as_of", content["as_of"], rule)
            return dict(content)
        if not isinstance(content, Answer):
            raise InvalidValue("answer", task.reference, "is a statement, not an answer")
        check_answer(request, content)
        if not file:
            return content.as_json()
        return {**content.as_json(), "evidence": "0x" + keccak(file).hex()}


def _content_hash(content: Mapping[str, Any]) -> str:
    """What makes a request the same again: all but its deadline, which may be moved."""
    same = {name: value for name, value in content.items() if name != "deadline"}
    return "0x" + keccak(json.dumps(same, sort_keys=True).encode()).hex()


def _after_review(task: Task, found: Proposal, approve: bool) -> dict[str, Any]:
    """Columns of the task: what stands, and whether anything is left to do."""
    if not approve:
        return {"state": TaskState.OPEN.value}
    if isinstance(task.request, StatementRequest):
        return {
            "state": TaskState.DONE.value,
            "standing": dict(found.content),
            "as_of": found.content["as_of"],
        }
    known = None if task.standing is None else Answer.from_json(task.standing)
    stands = follow(task.request, known, Answer.from_json(found.content)).answer
    state = TaskState.DONE if stands.state.is_final else TaskState.OPEN
    return {"state": state.value, "standing": stands.as_json()}


def _task(connection: Connection, reference: str) -> Task:
    """A task with all its answers, without the bytes of their files. Raises NotFound."""
    row = connection.execute(
        select(custody_tasks).where(custody_tasks.c.reference == reference)
    ).first()
    if row is None:
        raise NotFound(f"there is no task {reference}", reference=reference)
    answers = custody_task_answers.c
    proposals = connection.execute(
        select(*(one for one in answers if one.name != "file"))
        .where(answers.reference == reference)
        .order_by(answers.number)
    )
    return Task(
        task_request_from_json(row.request),
        TaskState(row.state),
        row.created_at,
        row.standing,
        tuple(
            Proposal(
                one.number,
                one.content,
                bytes.fromhex(one.evidence.removeprefix("0x")),
                one.file_name,
                one.answered_by,
                one.answered_at,
                one.reviewed_by or "",
                one.reviewed_at,
                one.approved,
                one.note or "",
            )
            for one in proposals
        ),
    )
