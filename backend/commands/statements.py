"""`causeway statements`: what waits for signatures beside receipts; signing, one key at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import typer

from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say, table
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
    with reporting(as_json):
        context = Context.load(as_json)
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
    with reporting(as_json):
        context = Context.load(as_json)
        held = context.bridge.statements.sign(statement, context.key(key))
        emit(as_json, statement_document(held), lambda: say(f"{held.type} {held.id}: signed"))


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
        held = context.bridge.statements.advance(statement_id, payer)
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
