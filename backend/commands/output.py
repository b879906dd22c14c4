"""How commands speak: text for people, one JSON document for programs, errors to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

import structlog
import typer
from rich.console import Console
from rich.table import Table

from backend.errors import CausewayError, ChainRejected, RuleError

#: Exit codes: a rule said no, or the command could not run at all.
EXIT_REFUSED = 1
EXIT_COULD_NOT_RUN = 2

console = Console(highlight=False, soft_wrap=True)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)


def jsonable(value: Any) -> Any:
    """Integers as strings, as in the API: a token id does not fit a JSON number."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name.lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, date | datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return jsonable(asdict(value))
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    return str(value)


def emit(as_json: bool, document: Any, text: Callable[[], None]) -> None:
    """Print a document as JSON, or the same thing for people."""
    if as_json:
        sys.stdout.write(json.dumps(jsonable(document)) + "\n")
    else:
        text()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table; right-aligned where every cell of a column looks like a number."""
    listed = [[str(cell) for cell in row] for row in rows]
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        cells = [row[index] for row in listed]
        numeric = bool(cells) and all(cell[:1].isdigit() or cell in ("", "-") for cell in cells)
        drawn.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        drawn.add_row(*row)
    console.print(drawn)
    if not listed:
        console.print("  (none)")


def _printable(text: str) -> str:
    """The text with escapes for what cannot be shown: a file name need not be UTF-8."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def utc(seconds: int) -> str:
    """A Unix time as people read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def say(text: str) -> None:
    """One line for a person, markup off: texts may hold brackets, names of files anything."""
    console.print(_printable(text), markup=False)


def progress(text: str) -> None:
    """What a long job is doing, on stderr so that `--json` on stdout stays clean."""
    complaints.print(_printable(text), markup=False)


@contextmanager
def reporting(as_json: bool = False) -> Any:
    """Turn an error of the tree into a message and an exit code."""
    try:
        yield
    except CausewayError as error:
        if as_json:
            document = {"error": error.code, "message": error.message, "values": error.values}
            sys.stdout.write(json.dumps(jsonable(document)) + "\n")
        complaints.print(_printable(f"causeway: {error.message}"), markup=False)
        # A contract that reverts has refused by a rule, just as ours do.
        refused = isinstance(error, RuleError | ChainRejected)
        raise typer.Exit(EXIT_REFUSED if refused else EXIT_COULD_NOT_RUN) from error


def configure_logs() -> None:
    """Structured logs of the long-running processes: one JSON object a line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


JSON_OPTION = typer.Option(False, "--json", help="One JSON document on standard output.")
