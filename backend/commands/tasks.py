"""`causeway tasks`: what custodians do at a registry's pages, and four eyes on what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from backend.bridge.task_answers import Said, answer_of, misfits
from backend.commands.context import Context, clock
from backend.commands.output import JSON_OPTION, emit, reporting, say, table, utc
from backend.domain.custody_tasks import (
    MAX_FILE_BYTES,
    Proposal,
    StatementRequest,
    Task,
    TaskState,
    instructions_of,
)
from backend.domain.registry_answers import Answer
from backend.errors import InvalidValue, NotFound
from backend.store.custody_tasks import PostgresTaskBook

tasks_app = typer.Typer(no_args_is_help=True, help="Tasks of custodians at registries' pages.")
REFERENCE = typer.Argument(help="Reference of the task.")
BY = typer.Option(..., "--by", help="Your name or login, as the history will show it.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(tasks_app, name="tasks")


@tasks_app.command("list")
def list_tasks(
    state: str | None = typer.Option(None, help="open, answered or done; default all not done."),
    after: str = typer.Option("", help="Begin after this reference."),
    limit: int = typer.Option(100, min=1, max=500, help="At most so many."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What has to be done, by reference; the first column says what is late."""
    with reporting(as_json), Context.load(as_json) as context:
        if state is not None and state not in list(TaskState):
            raise InvalidValue("state", state, f"is not one of {', '.join(TaskState)}")
        wanted = None if state is None else TaskState(state)
        found = PostgresTaskBook(context.database).list_tasks(wanted, after, limit)
        now = clock()
        document = {"tasks": [task_document(one, now) for one in found]}
        rows = [
            (
                "LATE" if one.is_late(now) else "",
                one.reference,
                dict(instructions_of(one))["do"],
                str(one.request.account),
                "" if isinstance(one.request, StatementRequest) else str(one.request.serials),
                one.state,
                dict(instructions_of(one))["deadline"],
            )
            for one in found
        ]
        columns = ("", "task", "do", "account", "serials", "state", "deadline")
        emit(as_json, document, lambda: table("tasks", columns, rows))


@tasks_app.command("show")
def show(
    reference: str = REFERENCE,
    evidence: Path | None = typer.Option(None, help="Write the newest answer's file here."),
    as_json: bool = JSON_OPTION,
) -> None:
    """One task: the exact texts to use, every answer, and what does not fit."""
    with reporting(as_json), Context.load(as_json) as context:
        book = PostgresTaskBook(context.database)
        task = book.find_task(reference)
        if task is None:
            raise NotFound(f"there is no task {reference}", reference=reference)
        if evidence is not None:
            _, content = book.evidence(reference, len(task.proposals))
            evidence.write_bytes(content)
        emit(as_json, task_document(task, clock()), lambda: _say(task))


@tasks_app.command("answer")
def answer(
    reference: str = REFERENCE,
    by: str = BY,
    state: str = typer.Option(
        "done", help="done, refused; of a transfer also accepted (it waits), rejected, expired."
    ),
    registry_reference: str = typer.Option("", help="The registry's own reference."),
    serials: list[str] = typer.Option(
        [], help="What the registry took, SPACE/FIRST-LAST; default what was asked."
    ),
    day: str | None = typer.Option(None, "--date", help="The registry's date; default today."),
    certificate: str = typer.Option("", help="Number of the registry's certificate."),
    expires: str | None = typer.Option(None, help="Until when the recipient may accept."),
    reason: str = typer.Option("", help="Why it was refused, rejected or expired."),
    file: Path | None = typer.Option(None, help="Evidence; of a statement the CSV itself."),
    as_of: str | None = typer.Option(None, help="Of a statement: its time, ISO 8601 with zone."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Bring what the registry said. It counts when another person approves it."""
    with reporting(as_json), Context.load(as_json) as context:
        book = PostgresTaskBook(context.database)
        task = book.find_task(reference)
        if task is None:
            raise NotFound(f"there is no task {reference}", reference=reference)
        raw = b"" if file is None else _read(file)
        said = Said(state, registry_reference, serials, day, certificate, expires, reason, as_of)
        content = answer_of(task, said, raw)
        name = "" if file is None else file.name
        held = book.answer(reference, content, by, clock(), name, raw)
        emit(as_json, task_document(held, clock()), lambda: _say(held))


@tasks_app.command("approve")
def approve(
    reference: str = REFERENCE,
    by: str = BY,
    number: int | None = typer.Option(None, help="Number of the answer; default the one waiting."),
    send_back: bool = typer.Option(False, "--send-back", help="Do not approve; --note says why."),
    note: str = typer.Option("", help="What you saw."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Approve another person's answer, or send it back: four eyes."""
    with reporting(as_json), Context.load(as_json) as context:
        book = PostgresTaskBook(context.database)
        task = book.find_task(reference)
        if task is None:
            raise NotFound(f"there is no task {reference}", reference=reference)
        if number is None:
            if task.waiting is None:
                raise NotFound(f"no answer to task {reference} waits", reference=reference)
            number = task.waiting.number
        held = book.review(reference, number, by, not send_back, note, clock())
        emit(as_json, task_document(held, clock()), lambda: _say(held))


# ── shapes ───────────────────────────────────────────────────────────────────────────────────


def task_document(task: Task, now: int) -> dict[str, Any]:
    """One task for `--json`."""
    return {
        "reference": task.reference,
        "state": task.state,
        "late": task.is_late(now),
        "request": task.request.as_json(),
        "instructions": dict(instructions_of(task)),
        "standing": task.standing,
        "answers": [_proposal_document(task, one) for one in task.proposals],
    }


def _proposal_document(task: Task, one: Proposal) -> dict[str, Any]:
    statement = isinstance(task.request, StatementRequest)
    return {
        "number": one.number,
        "content": {"blocks": len(one.content["blocks"])} if statement else one.content,
        "evidence": one.evidence,
        "file": one.file_name,
        "answered_by": one.answered_by,
        "answered_at": one.answered_at,
        "reviewed_by": one.reviewed_by or None,
        "reviewed_at": one.reviewed_at,
        "approved": one.approved,
        "note": one.note,
        "breaks": misfits(task, one),
    }


def _say(task: Task) -> None:
    say(f"task {task.reference}: {task.state}")
    for name, text in instructions_of(task):
        say(f"  {name:<18}{text}")
    for one in task.proposals:
        say(f"  answer {one.number} by {one.answered_by}, {utc(one.answered_at)} {one.file_name}")
        if isinstance(task.request, StatementRequest):
            say(f"    {len(one.content['blocks'])} live blocks as of {one.content['as_of']}")
        else:
            said = Answer.from_json(one.content)
            serials = ", ".join(map(str, said.serials))
            say(f"    {said.state} {said.registry_reference} {serials} {said.reason}".rstrip())
        for text in misfits(task, one):
            say(f"    does not fit: {text}")
        if one.approved is None:
            say("    waits for another person: causeway tasks approve")
        else:
            verb = "approved" if one.approved else "sent back"
            say(f"    {verb} by {one.reviewed_by} {one.note}".rstrip())


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidValue("file", str(path), f"is over {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise InvalidValue("file", str(path), f"cannot be read: {error.strerror}") from None
