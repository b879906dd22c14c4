"""`causeway audit`: the independent checker, from the chain alone."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import typer

from backend.audit.checker import run
from backend.audit.render import render
from backend.audit.report import as_json as report_json
from backend.audit.report import exit_code
from backend.commands.output import JSON_OPTION, console, progress, reporting

_PROGRESS_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("audit")(audit)


def audit(
    rpc: str = typer.Option(..., help="JSON-RPC endpoint of any node of the chain."),
    deployment: Path = typer.Option(..., help="The file that the deployment wrote."),
    journal: Path | None = typer.Option(None, help="Exported journal of a venue."),
    acknowledgement: list[Path] = typer.Option(
        [], help="Answer that the sequencer signed, as JSON; needs --journal; repeatable."
    ),
    custody: list[Path] = typer.Option(
        [], help="Registry export of the trust account; repeatable."
    ),
    ledger: Path | None = typer.Option(
        None, help="Exported ledger of credits that are kept without tokens."
    ),
    strict: bool = typer.Option(False, "--strict", help="Exit 1 when a law is not checked."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Check every law against the chain, trusting nobody; needs no database.

    Exit 0 none broken, 1 broken (with --strict: or not checked), 2 could not run.
    """

    said = time.monotonic()

    def told(what: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > _PROGRESS_SECONDS:
            said = time.monotonic()
            progress(f"audit: {what} {done:,} of {total:,}")

    try:
        with reporting(as_json):
            found = run(
                rpc,
                deployment,
                journal,
                custody,
                told,
                acknowledgements=acknowledgement,
                ledger=ledger,
            )
    except typer.Exit as stopped:
        # Whatever kept the audit from running is not a verdict about the laws.
        raise typer.Exit(2) from stopped
    if as_json:
        sys.stdout.write(json.dumps(report_json(found), ensure_ascii=False) + "\n")
    else:
        render(found, console)
    raise typer.Exit(exit_code(found, strict))
