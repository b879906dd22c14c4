"""`causeway registry-simulator`: a registry to talk to, as a process of its own."""

from __future__ import annotations

from pathlib import Path

import typer

from backend.commands.output import configure_logs, reporting


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("registry-simulator")(simulate)


def simulate(
    programme: str = typer.Option("VCS", help="Whose registry it plays: VCS, GS …"),
    book: Path = typer.Option(..., help="File of its book; made when it is not there."),
    host: str = typer.Option("127.0.0.1", help="Address it listens on."),
    port: int = typer.Option(8700, min=1, max=65_535, help="Port it listens on."),
    token: str = typer.Option(
        "", envvar="CAUSEWAY_SIMULATOR_TOKEN", help="Bearer token of account holders; none: open."
    ),
    admin_token: str = typer.Option(
        "", envvar="CAUSEWAY_SIMULATOR_ADMIN_TOKEN", help="Bearer token of /admin; none: open."
    ),
) -> None:
    """Run a simulated registry until stopped: docs/registry-api.md is its API."""
    from backend.registries.simulator.service import serve

    with reporting():
        configure_logs()
        serve(book, programme, host, port, token, admin_token)
