"""The command that runs a venue's watcher: meant for another operator's machine."""

from __future__ import annotations

import typer

from backend.commands.context import Context
from backend.commands.output import configure_logs, reporting
from backend.domain.orders import exchange_domain


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("watcher")(watcher)


def watcher() -> None:
    """Replay the venue's journal and sign its settlement until stopped.

    Reads the database, the chain and the key `watcher` of its own; writes only its snapshot.
    """
    from backend.exchange.own_chain import OwnChain
    from backend.exchange.watcher import Watch, Watcher
    from backend.store.journal import Journal

    with reporting():
        context = Context.load()
        configure_logs()
        settings, deployment = context.settings, context.deployment
        key = context.keys.get("watcher")
        chain = OwnChain(context.rpc, deployment, settings.confirmations)
        watch = Watch(
            key,
            exchange_domain(deployment.chain_id, deployment["Exchange"]),
            Journal(context.database, settings.venue),
            chain,
            settings.home / "watcher" / f"venue-{settings.venue}.snapshot",
        )
        Watcher(
            watch,
            key,
            context.database,
            settings.require_nats_url(),
            deployment.chain_id,
            settings.venue,
        ).run()
