"""`causeway facts …`: dated facts of a class: attributes, Article 6, CORSIA."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import typer

from backend.bridge.class_facts import (
    ATTRIBUTES,
    VOCABULARY,
    Standing,
    attribute_facts,
    canonical,
    day_of,
    of_class,
)
from backend.chain import calls
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say
from backend.domain.classes import as_yyyymmdd
from backend.errors import InvalidValue

facts_app = typer.Typer(no_args_is_help=True, help="Dated facts of a class, on chain.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(facts_app, name="facts")
    facts_app.command("show")(show)
    facts_app.command("record")(record)
    facts_app.command("attributes")(record_attributes)


def _standing(context: Context, class_id: int) -> Standing:
    now = context.rpc.block("latest")
    assert now is not None
    with context.database.read() as connection:
        return of_class(connection, class_id, day_of(now.timestamp))


def _send(
    context: Context, class_id: int, key: str, value: str, as_of: date, vocabulary: str
) -> str:
    """Record one fact; the same fact again is the same transaction."""
    content = f"{key}\n{value}\n{as_of}\n{vocabulary}"
    name = f"fact:{class_id:#x}:{hashlib.sha256(content.encode()).hexdigest()[:32]}"
    data = calls.record_fact(class_id, key, value, as_yyyymmdd(as_of), vocabulary)
    return context.send(name, context.key("facts"), "CarbonCredits", data)


def _day(context: Context, text: str | None) -> date:
    if text is not None:
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise InvalidValue("as-of", text, "is not a day YYYY-MM-DD") from None
    now = context.rpc.block("latest")
    assert now is not None
    return day_of(now.timestamp)


def show(
    credit_class: str = typer.Argument(metavar="CLASS", help="Class number or token id."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What is recorded of a class, and what its use under Article 6 and CORSIA lacks."""
    with reporting(as_json), Context.load(as_json) as context:
        found = _standing(context, context.class_id(credit_class))
        emit(as_json, _document(found), lambda: _say(found))


def _document(found: Standing) -> dict[str, Any]:
    return {
        "class_id": found.detail.credit_class.class_id,
        "facts": found.detail.facts,
        "attributes": None if found.attributes is None else found.attributes.as_json(),
        "article6": [
            {"use": one.use, "authorised": one.authorised, "missing": _missing(one.missing)}
            for one in found.uses
        ],
        "corsia": [
            {"phase": one.phase, "status": one.status, "missing": _missing(one.missing)}
            for one in found.corsia
        ],
        "unreadable": found.unreadable,
    }


def _missing(missing: tuple[Any, ...]) -> list[dict[str, str]]:
    return [{"code": one.code, "text": one.text} for one in missing]


def _say(found: Standing) -> None:
    say(f"class {found.detail.credit_class.number}")
    for fact in found.detail.facts:
        say(f"  {fact.key} = {fact.value} (as of {fact.as_of}, {fact.vocabulary})")
    for key in found.unreadable:
        say(f"  {key} cannot be read and counts as missing")
    for use in found.uses:
        say(f"  Article 6, {use.use}: {'authorised' if use.authorised else 'not authorised'}")
        for one in use.missing:
            say(f"    {one.text}")
    for phase in found.corsia:
        say(f"  CORSIA, {phase.phase} phase: {phase.status}")
        for one in phase.missing:
            say(f"    {one.text}")


def record(
    credit_class: str = typer.Argument(metavar="CLASS", help="Class number or token id."),
    key: str = typer.Argument(help="article6.authorisation, article6.adjustment, corsia.…"),
    file: Path = typer.Argument(help="The document as JSON, see docs/facts.md."),
    as_of: str | None = typer.Option(None, help="YYYY-MM-DD; default the chain's day."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Record a document about a class; it is checked before it is sent."""
    with reporting(as_json), Context.load(as_json) as context:
        try:
            value = canonical(key, orjson.loads(file.read_bytes()))
        except (OSError, orjson.JSONDecodeError) as error:
            raise InvalidValue("file", str(file), f"cannot be read: {error}") from None
        class_id = context.class_id(credit_class)
        transaction = _send(context, class_id, key, value, _day(context, as_of), VOCABULARY)
        document = {"key": key, "value": value, "transaction": transaction}
        emit(as_json, document, lambda: say(f"{key} recorded: {transaction}"))


def record_attributes(
    credit_class: str = typer.Argument(metavar="CLASS", help="Class number or token id."),
    as_of: str | None = typer.Option(None, help="YYYY-MM-DD; default the chain's day."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Record the attributes of the newest import that the chain does not show yet."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id = context.class_id(credit_class)
        changed = attribute_facts(_standing(context, class_id))
        day = _day(context, as_of)
        sent = {
            key: _send(context, class_id, key, value, day, ATTRIBUTES)
            for key, value in changed.items()
        }
        emit(
            as_json,
            {"vocabulary": ATTRIBUTES, "recorded": changed, "transactions": sent},
            lambda: say(f"{len(sent)} facts recorded: {', '.join(changed) or 'all were there'}"),
        )
