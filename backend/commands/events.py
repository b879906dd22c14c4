"""`causeway event …`: what programmes do to credits in trust, drafted here, signed M of N."""

from __future__ import annotations

import secrets
from datetime import date
from typing import Any

import typer

from backend.chain import bridge_calls
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say, table
from backend.commands.setup import text_hash
from backend.commands.statements import sign_and_submit, statement_document
from backend.commands.trust import parse_serials
from backend.domain.classes import CreditClass, UnitType, as_yyyymmdd
from backend.domain.programme_events import (
    Conversion,
    Invalidation,
    Kind,
    ProgrammeEvent,
    Signed,
    Substitution,
)
from backend.domain.reserve import Liabilities
from backend.errors import InvalidValue
from backend.store.queries import lookup
from backend.store.queries.conversions import get_conversion, shares_at

event_app = typer.Typer(no_args_is_help=True, help="Events of programmes: holds, gaps, labels.")

CLASS = typer.Argument(metavar="CLASS", help="Class number or token id.")
REASON = typer.Option(..., help="Why, in words; public for ever.")
AS_OF = typer.Option(None, "--as-of", help="From when on, YYYY-MM-DD; default the chain's day.")
EVIDENCE = typer.Option("", help="What the signers saw; its keccak256 goes on chain.")
KEYS = typer.Option([], "--key", help="Sign with these local keys and submit; none: a draft.")
POSITION = typer.Option(..., help="First position.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(event_app, name="event")


def _day(context: Context, text: str | None) -> int:
    if text is None:
        return as_yyyymmdd(context.bridge.services.chain_day())
    try:
        return as_yyyymmdd(date.fromisoformat(text))
    except ValueError:
        raise InvalidValue("as_of", text, "is not a day in the form YYYY-MM-DD") from None


def do_event(context: Context, event: Signed, class_id: int, keys: list[str]) -> dict[str, Any]:
    """Draft an event; with keys it is signed and submitted."""
    kind = type(event).__name__
    drafted = context.bridge.statements.draft(kind, event.message(), class_id=class_id)
    return statement_document(sign_and_submit(context, drafted, keys))


def _emit(as_json: bool, done: dict[str, Any], effect: str) -> None:
    def text() -> None:
        say(f"{done['type']} {done['statement']}: {done['state']}")
        say(f"  {effect}")

    emit(as_json, done | {"effect": effect}, text)


@event_app.command("publish")
def publish(
    kind: str = typer.Argument(help="hold, release, reversal, label-gained, expiry, corsia …"),
    credit_class: str = CLASS,
    reason: str = REASON,
    subject: str = typer.Option("", help="Label code, letter, or whatever it is about."),
    as_of: str | None = AS_OF,
    evidence: str = EVIDENCE,
    key: list[str] = KEYS,
    as_json: bool = JSON_OPTION,
) -> None:
    """An event of a whole class: a hold and its release, a label, a reversal, a dated fact."""
    with reporting(as_json), Context.load(as_json) as context:
        wanted = _kind(kind)
        class_id = context.class_id(credit_class)
        event = ProgrammeEvent(
            wanted,
            class_id,
            subject,
            reason,
            _day(context, as_of),
            text_hash(evidence),
            secrets.randbits(63),
        )
        _emit(as_json, do_event(context, event, class_id, key), wanted.effect)


def _kind(text: str) -> Kind:
    try:
        return Kind[text.upper().replace("-", "_")]
    except KeyError:
        named = ", ".join(one.name.lower().replace("_", "-") for one in Kind)
        raise InvalidValue("kind", text, f"is not one of {named}") from None


@event_app.command("invalidate")
def invalidate(
    credit_class: str = CLASS,
    first_position: int = POSITION,
    serials: str = typer.Option(..., help="The dead serials, SERIES/FIRST-LAST."),
    reason: str = REASON,
    as_of: str | None = AS_OF,
    evidence: str = EVIDENCE,
    key: list[str] = KEYS,
    as_json: bool = JSON_OPTION,
) -> None:
    """Positions whose serials are dead become a gap, until others are substituted."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id = context.class_id(credit_class)
        (dead,) = parse_serials([serials])
        event = Invalidation(
            class_id, first_position, dead, reason, _day(context, as_of), text_hash(evidence)
        )
        effect = f"{event.tonnes} t are a gap: no mint, no trade, nothing consumes them."
        _emit(as_json, do_event(context, event, class_id, key), effect)


@event_app.command("substitute")
def substitute(
    credit_class: str = CLASS,
    first_position: int = POSITION,
    serials: list[str] = typer.Option(..., help="The new serials, SERIES/FIRST-LAST."),
    reason: str = REASON,
    as_of: str | None = AS_OF,
    evidence: str = EVIDENCE,
    key: list[str] = KEYS,
    as_json: bool = JSON_OPTION,
) -> None:
    """New serials of equal size stand behind a gap, recorded beside the old."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id = context.class_id(credit_class)
        event = Substitution(
            class_id,
            first_position,
            tuple(parse_serials(serials)),
            reason,
            _day(context, as_of),
            text_hash(evidence),
        )
        effect = f"{event.tonnes} t of the gap at {first_position} stand on new serials."
        _emit(as_json, do_event(context, event, class_id, key), effect)


@event_app.command("convert")
def convert(
    kind: str = typer.Argument(help="label-split, exchange or conversion."),
    credit_class: str = CLASS,
    first_position: int = POSITION,
    tonnes: int = typer.Option(..., min=1, help="How many tonnes become another class."),
    programme: str = typer.Option(..., help="Of the new class."),
    project: str = typer.Option(..., help="Of the new class."),
    start: str = typer.Option(..., help="Vintage of the new class, YYYY-MM-DD."),
    end: str = typer.Option(..., help="Vintage of the new class, YYYY-MM-DD."),
    labels: str = typer.Option("", help="Label codes of the new class, comma-separated."),
    serials: list[str] = typer.Option([], help="New serials; none for a label split."),
    reason: str = REASON,
    as_of: str | None = AS_OF,
    evidence: str = EVIDENCE,
    key: list[str] = KEYS,
    as_json: bool = JSON_OPTION,
) -> None:
    """Part of a class becomes another, pro rata for who holds now; `event claim` pays it out."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id = context.class_id(credit_class)
        to_class = CreditClass(
            programme,
            project,
            UnitType.CREDIT,
            date.fromisoformat(start),
            date.fromisoformat(end),
            tuple(sorted(filter(None, labels.split(",")))),
        )
        block, shares = pro_rata(context, class_id, tonnes)
        event = Conversion(
            _kind(kind),
            class_id,
            to_class,
            first_position,
            tonnes,
            tuple(parse_serials(serials)),
            shares.tree.root.hash,
            block,
            reason,
            _day(context, as_of),
            text_hash(evidence),
        )
        effect = (
            f"{tonnes} t become {to_class}, for {len(shares.entries)} holders at block {block}."
        )
        _emit(as_json, do_event(context, event, class_id, key), effect)


def pro_rata(context: Context, class_id: int, tonnes: int) -> tuple[int, Liabilities]:
    """The final chain block and what each holder of then gets, in kilograms; the sum is exact."""
    with context.database.read() as connection:
        block = context.bridge.services.final_number(connection)
        return block, shares_at(connection, class_id, block, tonnes)


@event_app.command("claim")
def claim(
    conversion: str = typer.Argument(help="Id of the conversion."),
    holder: str = typer.Argument(help="Address or local key."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Pay a conversion out to one holder, up to what the wallet has now; anyone may send it."""
    with reporting(as_json), Context.load(as_json) as context:
        address = context.address(holder)
        with context.database.read() as connection:
            made = get_conversion(connection, conversion)
            shares = shares_at(connection, made.from_class, made.chain_block, made.tonnes)
        entry, path = shares.proof(made.from_class, address)
        subject = bytes.fromhex(conversion[2:])
        data = bridge_calls.claim_conversion(subject, entry, path)

        def claimed() -> int:
            return int(context.contracts.read("ProgrammeEvents", "claimed", subject, address))

        # What a wallet did not hold the first time is claimed by another transaction.
        before = claimed()
        key = f"claim:{conversion}:{address}:{before}"
        sent = context.send(key, context.key("bridge"), "ProgrammeEvents", data)
        paid, left = claimed() - before, entry.kilograms - claimed()
        text = f"{paid} kg converted for {address}, {left} kg are left, {sent}"
        document = {"transaction": sent, "kilograms": paid, "left": left}
        emit(as_json, document, lambda: say(text))


@event_app.command("list")
def list_events(credit_class: str = CLASS, as_json: bool = JSON_OPTION) -> None:
    """What happened to a class, oldest first."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id = context.class_id(credit_class)
        with context.database.read() as connection:
            found = lookup.programme_events_of(connection, class_id)
        rows = [
            (one["as_of"] or "", one["kind"], one["subject"], one["reason"], one["tonnes"] or "")
            for one in found
        ]
        columns = ("as of", "event", "subject", "reason", "t")
        emit(as_json, {"events": found}, lambda: table("events", columns, rows))
