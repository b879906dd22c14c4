"""`causeway duplicates …`: projects that may be credited twice, and a person's decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from backend.bridge.duplicates import find_all, note_bridge
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say, table
from backend.store.duplicates import decide
from backend.store.queries.duplicates import DuplicateCase, get_case, list_cases

_MOST = 500

duplicates_app = typer.Typer(
    no_args_is_help=True, help="One project under two programmes or bridges: found, shown, decided."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(duplicates_app, name="duplicates")
    duplicates_app.command("list")(list_them)
    duplicates_app.command("show")(show)
    duplicates_app.command("decide")(take_decision)
    duplicates_app.command("find")(find)
    duplicates_app.command("bridge")(take_in)


def list_them(
    state: str | None = typer.Option(None, help="open, duplicate, distinct or noted."),
    programme: str | None = typer.Option(None, help="Only cases with a side of it."),
    project: str | None = typer.Option(None, help="Only cases with a side of it."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Cases, the newest first; open ones block minting."""
    with reporting(as_json), Context.load(as_json) as context:
        found: list[DuplicateCase] = []
        cursor: str | None = None
        with context.database.read() as connection:
            while True:
                page = list_cases(
                    connection,
                    state=state,
                    programme=programme,
                    project=project,
                    cursor=cursor,
                    limit=_MOST,
                )
                found += page.items
                cursor = page.next_cursor
                if cursor is None:
                    break
        rows = [
            (one.id, one.score, one.state, one.left, one.right, one.kind, _codes(one))
            for one in found
        ]
        columns = ("case", "points", "state", "one", "other", "seems", "because of")
        emit(
            as_json,
            {"cases": [_document(one) for one in found]},
            lambda: table("", columns, rows),
        )


def _codes(case: DuplicateCase) -> str:
    return ", ".join(f"{one.code} {one.points:+}" for one in case.reasons)


def _document(case: DuplicateCase) -> dict[str, Any]:
    return {
        "id": case.id,
        "left": str(case.left),
        "right": str(case.right),
        "kind": case.kind,
        "score": case.score,
        "state": case.state,
        "blocked": case.blocked,
        "reasons": case.reasons,
        "evidence": case.evidence,
        "found_at": case.found_at,
        "decisions": case.decisions,
    }


def show(
    case: int = typer.Argument(help="Number of the case."), as_json: bool = JSON_OPTION
) -> None:
    """One case with every reason and every decision."""
    with reporting(as_json), Context.load(as_json) as context:
        with context.database.read() as connection:
            found = get_case(connection, case)
        emit(as_json, _document(found), lambda: _say(found))


def _say(case: DuplicateCase) -> None:
    say(f"case {case.id}: {case.left} and {case.right}, {case.score} points, {case.state}")
    for reason in case.reasons:
        say(f"  {reason.points:+4} {reason.code}: {reason.text}")
    for one in case.decisions:
        keep = f", {one.keep} may be minted" if one.keep else ""
        say(f"  {one.at:%Y-%m-%d} {one.who} decided {one.decision}{keep}: {one.why}")
    say(f"  not minted: {', '.join(case.blocked) or 'nothing'}")


def take_decision(
    case: int = typer.Argument(help="Number of the case."),
    decision: str = typer.Argument(help="distinct or duplicate."),
    who: str = typer.Option(..., help="Who decides."),
    why: str = typer.Option(..., help="Why."),
    keep: str | None = typer.Option(None, help="Of a duplicate, the side that may be minted."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Decide a case; new evidence of more points opens it again."""
    with reporting(as_json), Context.load(as_json) as context:
        with context.database.begin() as connection:
            found = decide(connection, case, decision, who, why, keep)
        emit(as_json, _document(found), lambda: _say(found))


def find(as_json: bool = JSON_OPTION) -> None:
    """Compare everything that was imported; imports do so by themselves for what they bring."""
    with reporting(as_json), Context.load(as_json) as context:
        changed = find_all(context.database)
        emit(as_json, {"changed": changed}, lambda: say(f"{len(changed)} cases are new or changed"))


def take_in(
    source: str = typer.Argument(help="Name of the other bridge."),
    file: Path = typer.Argument(help="What it lists: a CSV file, see docs/duplicates.md."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Take in what another bridge says it holds, and compare it."""
    with reporting(as_json), Context.load(as_json) as context:
        changed = note_bridge(context.database, source, file)
        emit(as_json, {"changed": changed}, lambda: say(f"{len(changed)} cases are new or changed"))
