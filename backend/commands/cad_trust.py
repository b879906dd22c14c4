"""`causeway cad-trust …`: the ledger in the CAD Trust data model, and uploads checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer

from backend.bridge.cad_trust import export as export_ledger
from backend.bridge.cad_trust import take_in
from backend.commands.context import Context
from backend.commands.output import EXIT_REFUSED, JSON_OPTION, emit, reporting, say
from backend.errors import InvalidValue
from backend.registries.cad_trust_check import Fault, check
from backend.registries.cad_trust_files import read, write_csv, write_json
from backend.registries.cad_trust_model import Version

#: So many faults are shown to a person; `--json` has all.
_SHOWN = 50

cad_trust_app = typer.Typer(no_args_is_help=True, help="The CAD Trust data model, 1 and 2.0.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(cad_trust_app, name="cad-trust")
    cad_trust_app.command("export")(export)
    cad_trust_app.command("check")(check_upload)
    cad_trust_app.command("import")(import_upload)


def export(
    out: Path = typer.Argument(help="A file for JSON, a folder for CSV."),
    version: Version = typer.Option(Version.V2, help="Version of the model."),
    form: str = typer.Option("json", "--format", help="json or csv."),
    programme: str | None = typer.Option(None, help="Only this programme."),
    project: str | None = typer.Option(None, help="Only this project."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Write the ledger as an upload; what is written passes the check."""
    with reporting(as_json), Context.load(as_json) as context:
        if form not in ("json", "csv"):
            raise InvalidValue("format", form, "is neither json nor csv")
        data, left_out = export_ledger(context.database, version, programme, project)
        if form == "json":
            write_json(data, out)
        else:
            write_csv(data, out)
        counts = {entity: len(rows) for entity, rows in data.entities.items()}

        def text() -> None:
            say(f"{out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
            for rule, count in Counter(one.rule for one in left_out).items():
                say(f"  {count} pieces left out: {rule}")

        document = {"out": str(out), "version": version, "counts": counts, "left_out": left_out}
        emit(as_json, document, text)


def check_upload(
    path: Path = typer.Argument(help="A JSON document, or a folder of CSV files."),
    version: Version | None = typer.Option(None, help="Where the document does not say it."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Check an upload: fields, pick lists, blocks, splits, references. Exit 1 with faults."""
    with reporting(as_json):
        data = read(path, version)
        faults = check(data)
        document = {
            "version": data.version,
            "counts": {entity: len(rows) for entity, rows in data.entities.items()},
            "faults": [fault.as_json() for fault in faults],
        }
        emit(as_json, document, lambda: _say(str(path), faults))
    if faults:
        raise typer.Exit(EXIT_REFUSED)


def _say(name: str, faults: Sequence[Fault]) -> None:
    say(f"{name}: {len(faults)} faults")
    for code, count in Counter(fault.code for fault in faults).most_common():
        say(f"  {code:<14}{count:>8}")
    for fault in faults[:_SHOWN]:
        say(f"  {fault.entity} {fault.row}: {fault.field} = {fault.value!r}: {fault.rule}")


def import_upload(
    path: Path = typer.Argument(help="A JSON document, or a folder of CSV files."),
    version: Version | None = typer.Option(None, help="Where the document does not say it."),
    accept_new: bool = typer.Option(False, help="Import units that the ledger does not know."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Compare an upload with the ledger; new units come in if asked, never tokenizable."""
    with reporting(as_json), Context.load(as_json) as context:
        found = take_in(context.database, path, version, accept_new)

        def text() -> None:
            say(f"{path}: {found.units} units, {found.agree} agree, {found.new} new")
            for one in found.differences[:_SHOWN]:
                say(f"  {one.serials}: {one.field} is {one.ours} here, {one.theirs} there")
            _say(str(path), found.faults)

        emit(as_json, found, text)
    if found.faults or found.differences:
        raise typer.Exit(EXIT_REFUSED)
