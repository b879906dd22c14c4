"""`causeway import`: a registry's export into the ledger, or only a look at what is in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from backend.bridge.imports import import_export
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, jsonable, progress, reporting, say
from backend.registries.summary import dry_run


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("import")(import_files)


def import_files(
    files: list[Path] = typer.Argument(help="Exports as the registry gave them out."),
    dry: bool = typer.Option(False, "--dry-run", help="Read and check; needs no service."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Read registry exports: good rows are kept, each bad row is reported with its rule.

    Exit 0 all good, 1 some row rejected, overlapping or contradicted, 2 no known layout; of
    several files the highest.
    """
    worst = 0
    context = None if dry else Context.load(as_json)
    for path in files:
        if context is None:
            document, code = dry_run(path)
            text = json.dumps(document) if as_json else ""
        else:
            document, code = _import(context, path, as_json)
            text = json.dumps(jsonable(document)) if as_json else ""
        if as_json:
            sys.stdout.write(text + "\n")
        else:
            _describe(document)
        worst = max(worst, code)
    raise typer.Exit(worst)


def _import(context: Context, path: Path, as_json: bool) -> tuple[dict[str, Any], int]:
    with reporting(as_json):
        return import_export(context.database, path, progress)


def _describe(document: dict[str, Any]) -> None:
    if document.get("error"):
        say(f"{document['file']}: {document['error']}")
        return
    say(
        f"{document['file']}: {document['layout']}, {document['rows']} rows, "
        f"{document['accepted']} accepted, {len(document['rejected'])} rejected, "
        f"{document['blocks']} blocks in {document['series']} series"
    )
    for name in ("issued", "active", "retired", "cancelled"):
        if document[f"{name}_tonnes"] is not None:
            say(f"  {name:<10}{int(document[f'{name}_tonnes']):>16,} t")
    for rejection in document["rejected"]:
        say(
            f"  row {rejection['row']} (line {rejection['line']}): {rejection['field']} = "
            f"{rejection['value']!r}: {rejection['rule']}"
        )
    for overlap in document["overlaps"]:
        a, b = overlap["a"], overlap["b"]
        say(
            f"  overlap in {overlap['series']}: row {a['row']} {a['first']}-{a['last']} and "
            f"row {b['row']} {b['first']}-{b['last']}"
        )
    if document.get("known"):
        say("  this content was imported before: nothing changes")
    for name, count in document.get("changes", {}).items():
        say(f"  {name:<14}{count:>12}")
    for found in document.get("contradictions", []):
        say(f"  contradiction in {found['series']}: {found['description']}")
    for label, count in document.get("unmapped_labels", {}).items():
        say(f"  label {label!r} is not in the vocabulary: {count} rows cannot be tokenized")
