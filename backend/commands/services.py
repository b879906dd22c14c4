"""Commands that run the system: up, deploy, db migrate, worker, api, index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from backend.bridge.relabelling import relabel
from backend.commands.context import Context, clock
from backend.commands.output import JSON_OPTION, configure_logs, emit, reporting, say
from backend.commands.setup import deploy_contracts
from backend.domain.orders import exchange_domain
from backend.errors import ChainReplaced, DatabaseUnavailable, LocalError
from backend.exchange.projector import Projector
from backend.exchange.submission import Submission
from backend.local.chain_state import oldest_kept_block
from backend.local.plan import EXIT_OLDER_STATE
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.bridge.worker import Loop

#: The read models follow the journal so closely, and acts are sent so often.
PROJECT_SECONDS = 0.05
SETTLE_SECONDS = 0.2

database_app = typer.Typer(no_args_is_help=True, help="The database's schema.")
index_app = typer.Typer(no_args_is_help=True, help="The index of the chain.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("up")(up)
    app.command("deploy")(deploy)
    app.command("worker")(worker)
    app.command("api")(api)
    app.add_typer(database_app, name="db")
    app.add_typer(index_app, name="index")


def up(
    demo: bool = typer.Option(False, help="Walk the whole job once when everything runs."),
    fresh: bool = typer.Option(False, help="Set the data of earlier runs aside first."),
) -> None:
    """Start every service of one machine and keep it running until Ctrl-C."""
    from backend.local.supervisor import up as run

    with reporting():
        status = run(Settings.from_environment(), demo=demo, fresh=fresh)
    raise typer.Exit(status)


def deploy(
    roles: Path | None = typer.Option(
        None, help="JSON with everybody's addresses; without it this machine plays all parties."
    ),
) -> None:
    """Deploy the contracts, or finish or check an earlier deployment.

    Exit 3 when the recorded deployment is of other bytecode.
    """
    with reporting():
        code = deploy_contracts(Context.load(), roles)
    raise typer.Exit(code)


def worker() -> None:
    """Run the indexer, the sender, the bridge's jobs and the venue's settlement until stopped."""
    from backend.bridge.worker import Worker

    with reporting():
        context = Context.load()
        configure_logs()
        Worker(
            context.settings,
            context.rpc,
            context.deployment,
            context.keys,
            clock,
            lambda: oldest_kept_block(context.settings.home / "anvil"),
            [*venue_loops(context), *webhook_loops(context)],
        ).run()


def venue_loops(context: Context) -> list[Loop]:
    """What the worker does for the venue: read models of its journal, its acts on chain."""
    from backend.bridge.worker import Loop

    settings, deployment = context.settings, context.deployment
    projector = Projector(context.database, settings.venue)
    submission = Submission(
        context.rpc,
        exchange_domain(deployment.chain_id, deployment["Exchange"]),
        context.sender,
        context.log,
        context.database,
        settings.venue,
        lambda: context.keys.get("bridge"),
        settings.confirmations,
    )
    return [
        Loop("project", PROJECT_SECONDS, projector.catch_up),
        Loop("settle", SETTLE_SECONDS, submission.advance),
    ]


def webhook_loops(context: Context) -> list[Loop]:
    """What the worker does for webhooks: events of what is new, and their delivery."""
    from backend.bridge.worker import Loop
    from backend.hooks.deliverer import webhook_steps

    settings = context.settings
    steps = webhook_steps(
        context.database,
        confirmations=settings.confirmations,
        private=settings.webhooks_may_be_private,
    )
    return [Loop(*step) for step in steps]


def api() -> None:
    """Serve the HTTP API until stopped."""
    from backend.api.app import serve
    from backend.sandbox.sandbox import Sandbox

    with reporting():
        context = Context.load()
        playground = Sandbox(context) if context.settings.sandbox else None
        serve(context.settings, playground)


@database_app.command("migrate")
def migrate() -> None:
    """Bring the schema to the newest version; may be called by several processes at once."""
    with reporting():
        database = Context.load().database
        database.migrate()
        say("database: schema is up to date")
        if rows := relabel(database):
            say(f"database: {rows:,} rows have the labels of the newest vocabulary")


@index_app.command("status")
def status(as_json: bool = JSON_OPTION) -> None:
    """How far the index is, and how far the chain."""
    with reporting(as_json):
        context = Context.load(as_json)
        indexed, head = context.indexed_number(), context.rpc.block_number()
        document = {
            "chain_id": context.deployment.chain_id,
            "indexed": indexed,
            "head": head,
            "behind": max(head - indexed, 0),
        }
        emit(as_json, document, lambda: say(f"indexed chain block {indexed} of {head}"))


@index_app.command("rebuild")
def rebuild(as_json: bool = JSON_OPTION) -> None:
    """Make every table of the chain anew from the chain alone, and check L1."""
    with reporting(as_json):
        number = Context.load(as_json).indexer().rebuild()
        emit(as_json, {"indexed": number}, lambda: say(f"rebuilt up to chain block {number}"))


@index_app.command("check")
def check(as_json: bool = JSON_OPTION) -> None:
    """L1 over the whole index."""
    with reporting(as_json):
        Context.load(as_json).indexer().check()
        emit(as_json, {"L1": "holds"}, lambda: say("L1 holds in the index"))


@index_app.command("recover")
def recover(
    wait: float = typer.Option(0.0, help="Seconds to wait for a chain that is not local."),
) -> None:
    """Bring a chain that came back older to where the index stands, or say what is missing.

    Exit 4 when an older saved state of the chain has to be loaded first.
    """
    with reporting():
        context = Context.load()
        try:
            done = context.indexer().recover(wait)
        except ChainReplaced as error:
            say(f"chain: {error.message}")
            raise typer.Exit(EXIT_OLDER_STATE) from error
        except DatabaseUnavailable as error:
            raise LocalError(f"cannot compare chain and index: {error.message}") from error
        if done.replayed_blocks:
            say(
                f"chain: {done.replayed_blocks} chain blocks with "
                f"{done.replayed_transactions} transactions were lost and are back"
            )
        else:
            say("chain: nothing is missing")
