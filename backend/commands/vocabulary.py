"""`causeway vocabulary …`: what the vocabulary of attributes makes of a registry's spellings."""

from __future__ import annotations

from pathlib import Path

import typer

from backend.commands.output import EXIT_REFUSED, JSON_OPTION, emit, reporting, say, table
from backend.registries.attributes import VERSION, Attribute, read
from backend.registries.coverage import Coverage, check

vocabulary_app = typer.Typer(
    no_args_is_help=True, help="Status, type, methodology, country in one language."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(vocabulary_app, name="vocabulary")
    vocabulary_app.command("check")(check_files)
    vocabulary_app.command("read")(read_spelling)


def check_files(
    files: list[Path] = typer.Argument(help="Exports as the registry gave them out."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Count the cells that the vocabulary knows, and name every spelling that it does not.

    Exit 0 everything is known, 1 some spelling is not.
    """
    with reporting(as_json):
        found = [check(path) for path in files]
        document = {"vocabulary": VERSION, "files": [one.as_json() for one in found]}
        emit(as_json, document, lambda: _say(found))
    if any(one.unknown for one in found):
        raise typer.Exit(EXIT_REFUSED)


def _say(found: list[Coverage]) -> None:
    for one in found:
        say(f"{one.file}: {one.programme}, {one.rows} rows, vocabulary {one.vocabulary}")
        rows = [
            (name.value, count.known, count.silent, count.empty, count.unknown.total())
            for name, count in one.counts.items()
        ]
        table("", ("attribute", "known", "states nothing", "empty", "unknown"), rows)
        for name, count in one.counts.items():
            for spelling, times in count.unknown.most_common():
                say(f"  {name.value} {spelling!r} is not in the vocabulary: {times} times")


def read_spelling(
    attribute: Attribute = typer.Argument(help="Which attribute the text is of."),
    text: str = typer.Argument(help="The text as the registry writes it."),
    programme: str = typer.Option("VCS", help="Whose spelling it is: VCS, GS, ACR, CAR …"),
    as_json: bool = JSON_OPTION,
) -> None:
    """The codes of one spelling; exit 1 when it is not in the vocabulary."""
    with reporting(as_json):
        found = read(attribute, programme, text)
        document = {
            "vocabulary": VERSION,
            "codes": list(found.codes),
            "version": found.version,
            "unknown": list(found.unknown),
        }
        emit(
            as_json,
            document,
            lambda: say(", ".join(found.codes) if not found.unknown else f"unknown: {text}"),
        )
    if found.unknown:
        raise typer.Exit(EXIT_REFUSED)
