"""`causeway import`: registries' exports into the ledger; `causeway imports`: what came of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import typer

from backend.bridge.imports import import_export
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, jsonable, progress, reporting, say, table
from backend.errors import InvalidValue
from backend.registries.summary import dry_run
from backend.store.imports import discard_import
from backend.store.queries import registry

#: A person is shown so many lines of a kind; programs get all of them.
SHOWN = 50


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("import")(import_files)
    app.command("imports")(list_imports)


def import_files(
    files: list[Path] = typer.Argument(help="Exports as the registry gave them out."),
    dry: bool = typer.Option(False, "--dry-run", help="Read and check; needs no service."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Read registry exports: good rows are kept, each bad row is reported with its rule.

    An import that was interrupted goes on where it was when the same file is imported again.

    Exit 0 all good, 1 some row rejected, overlapping or contradicted or a control total not met, 2
    no known layout; of several files the highest.
    """
    worst = 0
    with ExitStack() as stack:
        context = None if dry else stack.enter_context(Context.load(as_json))
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
    rejections = document.get("rejections", len(document["rejected"]))
    held = [
        f"{document.get(name) or 0:,} {name}"
        for name in ("blocks", "volumes", "projects")
        if document.get(name) or name == "blocks"
    ]
    say(
        f"{document['file']}: {document['layout']}, {document['rows']:,} rows, "
        f"{document['accepted']:,} accepted, {rejections:,} rejected, "
        f"{', '.join(held)}, {document['series']:,} series"
    )
    for name in ("issued", "active", "retired", "cancelled", "moved"):
        if document.get(f"{name}_tonnes") is not None:
            say(f"  {name:<10}{int(document[f'{name}_tonnes']):>16,} t")
        elif document.get("kilograms", {}).get(name):
            say(f"  {name:<10}{document['kilograms'][name]:>16,} kg")
    for control in document.get("control_totals", ()):
        verdict = "agrees with" if control["agrees"] else "DIFFERS from"
        say(
            f"  control total {control['stated']:,} t (line {control['line']}) {verdict} the"
            f" {control['counted']:,} t of the accepted rows"
        )
    for rejection in document["rejected"][:SHOWN]:
        say(
            f"  row {rejection['row']} (line {rejection['line']}): {rejection['field']} = "
            f"{rejection['value']!r}: {rejection['rule']}"
        )
    _more(rejections, "rejected rows")
    for overlap in document["overlaps"][:SHOWN]:
        a, b = overlap["a"], overlap["b"]
        say(
            f"  overlap in {overlap['series']}: row {a['row']} {a['first']}-{a['last']} and "
            f"row {b['row']} {b['first']}-{b['last']}"
        )
    _more(len(document["overlaps"]), "overlaps")
    if document.get("known"):
        say(f"  this content was imported before, as import {document['import_id']}: "
            "nothing changes")  # fmt: skip
    for name, count in document.get("changes", {}).items():
        say(f"  {name:<14}{count:>12,}")
    if "contradictions_count" in document:
        say(f"  {'contradictions':<14}{document['contradictions_count']:>12,}")
    for found in document.get("contradictions", [])[:SHOWN]:
        say(f"  contradiction in {found['series']}: {found['description']}")
    _more(document.get("contradictions_count", 0), "contradictions")
    for label, count in document.get("unmapped_labels", {}).items():
        say(f"  label {label!r} is not in the vocabulary: {count} rows cannot be tokenized")
    _describe_speed(document)


def _more(count: int, what: str) -> None:
    if count > SHOWN:
        say(f"  … and {count - SHOWN:,} more {what}; all of them with --json or `causeway imports`")


def _describe_speed(document: dict[str, Any]) -> None:
    spent, rows = document.get("milliseconds", {}), document["rows"]
    if not spent or document.get("known"):
        return
    rates = [
        f"{name} {rows * 1000 // spent[name]:,}"
        for name in ("parse", "stage", "seal", "merge")
        if spent.get(name)
    ]
    if rates:
        say(f"  rows/s: {', '.join(rates)}")


def list_imports(
    import_id: int | None = typer.Argument(None, metavar="[ID]", help="One import, in full."),
    discard: bool = typer.Option(
        False, "--discard", help="Give up this import, which was interrupted."
    ),
    limit: int = typer.Option(20, min=1, max=200, help="How many, the newest first."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Imports with their reports, the newest first; unfinished ones say how far they are."""
    with reporting(as_json), Context.load(as_json) as context:
        if discard:
            if import_id is None:
                raise InvalidValue("ID", "", "is needed to give up an import")
            discard_import(context.database, import_id)
        with context.database.read() as connection:
            if import_id is None:
                found = list(registry.list_imports(connection, limit=limit).items)
            else:
                found = [registry.get_import(connection, import_id)]
        if import_id is not None:
            [one] = found
            emit(as_json, one, lambda: _describe_import(one))
        else:
            emit(as_json, {"imports": found}, lambda: _list(found))


def _list(found: Sequence[registry.Import]) -> None:
    table(
        "Imports",
        ("id", "file", "layout", "state", "rows", "rejected", "new", "unchanged", "changed",
         "contradictions"),
        [
            (
                one.id,
                one.file_name,
                one.layout,
                one.state,
                f"{one.rows:,}",
                f"{one.rejected:,}",
                *(f"{count:,}" for count in _counts(one)),
            )
            for one in found
        ],
    )  # fmt: skip
    for one in found:
        if one.state in ("reading", "merging"):
            say(
                f"import {one.id} is {one.state}, or was interrupted then: `causeway import` of the"
                f" same file goes on with it, `causeway imports {one.id} --discard` gives it up"
            )


def _counts(one: registry.Import) -> tuple[int, int, int, int]:
    merge = one.report.get("merge", {})
    changed = merge.get("updated", 0) + merge.get("split", 0)
    return (
        merge.get("new", 0),
        merge.get("unchanged", 0),
        changed,
        merge.get("contradictions", 0),
    )


def _describe_import(one: registry.Import) -> None:
    say(f"import {one.id} of {one.imported_at:%Y-%m-%d %H:%M:%S %Z}, {one.state}, {one.sha256}")
    if not one.report:
        say(f"  {one.rows:,} rows of {one.file_name} were staged")
        return
    merge = dict(one.report.get("merge", {}))
    contradictions = merge.pop("contradictions", 0)
    _describe(
        one.report
        | {
            "file": one.file_name,
            "changes": merge,
            "contradictions_count": contradictions,
            "import_id": one.id,
        }
    )
