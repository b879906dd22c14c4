"""`causeway statements`: what waits for signatures beside receipts; signing, one key at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import typer

from backend.bridge.service import STATEMENT
from backend.commands.context import Context
from backend.commands.custody_terms import parse_day
from backend.commands.output import JSON_OPTION, emit, reporting, say, table
from backend.commands.setup import text_hash
from backend.domain.classes import as_yyyymmdd
from backend.domain.records import MadeGood
from backend.domain.registry_requests import SerialRange
from backend.errors import ChainRejected, ServiceError
from backend.store.statements import Statement, StatementState

statements_app = typer.Typer(no_args_is_help=True, help="Statements of custodian and attestor.")
#: How long a command waits until the chain has a statement, in seconds.
PATIENCE = 60.0


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(statements_app, name="statements")


@statements_app.command("list")
def list_statements(as_json: bool = JSON_OPTION) -> None:
    """Statements that have not ended, oldest first."""
    with reporting(as_json), Context.load(as_json) as context:
        found = context.bridge.statements.stored.open()
        rows = [
            (one.id, one.type, one.state.value, ", ".join(a.role for a in one.approvals))
            for one in found
        ]
        columns = ("statement", "type", "state", "signed by")
        document = {"statements": [statement_document(one) for one in found]}
        emit(as_json, document, lambda: table("statements", columns, rows))


@statements_app.command("sign")
def sign(
    statement: str = typer.Argument(help="Id of the statement."),
    key: str = typer.Option(..., help="Local key of a custodian or an attestor."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Sign a statement; with enough signatures the worker submits it."""
    with reporting(as_json), Context.load(as_json) as context:
        held = context.bridge.statements.sign(statement, context.key(key))
        emit(as_json, statement_document(held), lambda: say(f"{held.type} {held.id}: signed"))


@statements_app.command("made-good")
def made_good(
    credit_class: str = typer.Argument(metavar="CLASS", help="Class of the failed positions."),
    first_position: int = typer.Option(..., help="First position that was not retired."),
    substitute_class: str = typer.Option(..., help="Class of what was retired instead."),
    serials: list[str] = typer.Option(..., help="What was retired, SERIES/FIRST-LAST."),
    reference: str = typer.Option(..., help="The registry's reference of that retirement."),
    day: str = typer.Option(..., "--date", help="When the registry retired, YYYY-MM-DD."),
    key: list[str] = typer.Option([], "--key", help="Sign with these keys and submit."),
    as_json: bool = JSON_OPTION,
) -> None:
    """For positions the registry can never retire others of equal size were retired instead."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id = context.class_id(credit_class)
        said = MadeGood(
            class_id,
            first_position,
            context.class_id(substitute_class),
            tuple(SerialRange.parse(one).interval for one in serials),
            reference,
            as_yyyymmdd(parse_day(day, "date")),
            text_hash(f"{reference}\n{day}"),
        )
        drafted = context.bridge.statements.draft("MadeGood", said.message(), class_id=class_id)
        done = sign_and_submit(context, drafted, key)
        emit(as_json, statement_document(done), lambda: say(f"made good {done.id}: {done.state}"))


def statement_document(held: Statement) -> dict[str, object]:
    """A statement for `--json`."""
    return {
        "statement": held.id,
        "type": held.type,
        "state": held.state.value,
        "content": dict(held.content),
        "signers": [one.signer for one in held.approvals],
        "reason": held.reason,
    }


def sign_and_submit(context: Context, drafted: Statement, keys: Sequence[str]) -> Statement:
    """Sign with local keys and see it on chain; without keys it stays a draft."""
    for name in keys:
        context.bridge.statements.sign(drafted.id, context.key(name))
    return recorded(context, drafted.id) if keys else drafted


def recorded(context: Context, statement_id: str) -> Statement:
    """Step a statement until the chain has it; the worker may be stepping it too."""
    payer = context.key("bridge")
    deadline = time.monotonic() + PATIENCE
    while True:
        context.bridge.advance(STATEMENT, statement_id, payer)
        held = context.bridge.statements.stored.get(statement_id)
        if held.state is StatementState.RECORDED:
            return held
        if held.state in (StatementState.FAILED, StatementState.SUPERSEDED):
            raise ChainRejected(f"{held.type} {held.id} {held.state}: {held.reason}", id=held.id)
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{held.type} {held.id} is {held.state}: {held.reason or 'more must sign'}",
                id=held.id,
            )
        if held.transaction_key is not None:
            done = context.sender.wait(held.transaction_key, PATIENCE)
            if done.block_number is not None:
                context.wait_indexed(done.block_number)
        else:
            time.sleep(0.2)
