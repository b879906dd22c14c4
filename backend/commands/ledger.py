"""`causeway ledger`: credits that are kept without tokens: holdings, retirements, statements."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from backend.chain.keys import Key
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, progress, reporting, say, table
from backend.commands.wallet import REQUEST_OPTION, instruction_from, once
from backend.domain.instructions import RetirementInstruction
from backend.domain.ledger import RetirementOrder, check_serials
from backend.domain.ledger_document import document_of
from backend.domain.registry_requests import RegistryAccount, SerialRange
from backend.errors import InvalidValue
from backend.registries.programmes import programme_data
from backend.store.queries import ledger as kept
from backend.store.queries.ledger import Kept, LedgerRetirement
from backend.store.queries.ledger_export import export

ledger_app = typer.Typer(no_args_is_help=True, help="Credits that are kept without tokens.")
_MOST = 500


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(ledger_app, name="ledger")


@ledger_app.command("retire")
def retire(
    tonnes: int | None = typer.Argument(None, min=1, help="Whole tonnes; or --serials."),
    source: str = typer.Option(..., "--from", help="Local key of the owner, who signs the order."),
    account: str = typer.Option(..., help="Trust account, by name or PROGRAMME:ACCOUNT."),
    instruction: Path = typer.Option(..., help="JSON file with everything the registry asks."),
    serials: list[str] = typer.Option([], help="SPACE/FIRST-LAST, such as CDM:CN/101-200."),
    project: str | None = typer.Option(None, help="Only of this project."),
    vintage: int | None = typer.Option(None, help="Only of vintages that touch this year."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Order the retirement of kept credits; the worker asks the registry."""
    with reporting(as_json), Context.load(as_json) as context:
        if (tonnes is None) == (not serials):
            raise InvalidValue("tonnes", tonnes, "or --serials is given, and not both")
        owner, reference = context.key(source), once("retire", request)
        trust = context.custody.trust(account)
        programme = trust.account.programme
        said = instruction_from(programme, instruction, owner, request)
        context.bridge.ledger.check(str(trust.account), said)
        for notice in programme_data(programme).rules.notices:
            progress(f"note: {notice}")
        asked = [SerialRange.parse(one) for one in serials]
        if tonnes is not None:
            asked = _chosen(context, reference, owner, trust.account, (tonnes, project, vintage))
        made = _ordered(context, reference, owner, trust.account, asked, said)
        emit(as_json, made, lambda: _say(made))


def _chosen(
    context: Context,
    reference: str,
    owner: Key,
    account: RegistryAccount,
    wanted: tuple[int, str | None, int | None],
) -> list[SerialRange]:
    """Serials for so many tonnes; those of the order when it was given before (L10)."""
    with context.database.read() as connection:
        if kept.is_ordered(connection, reference):
            known = kept.get_retirement(connection, reference)
            if known.tonnes == wanted[0]:
                return [SerialRange.parse(one) for one in known.asked]
        found = kept.choose(connection, owner.address, str(account), *wanted)
    return [SerialRange.of(one) for one in found]


def _ordered(
    context: Context,
    reference: str,
    owner: Key,
    account: RegistryAccount,
    serials: list[SerialRange],
    said: RetirementInstruction,
) -> LedgerRetirement:
    order = RetirementOrder(
        reference, owner.address, str(account), check_serials(serials), said.hash
    )
    ledger = context.bridge.ledger
    return ledger.order(order, said, owner.sign(order.digest(ledger.domain)))


@ledger_app.command("list")
def list_retirements(
    owner: str | None = typer.Option(None, help="Address or local key."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Retirements of kept credits, the newest first."""
    with reporting(as_json), Context.load(as_json) as context:
        address = context.address(owner) if owner else None
        with context.database.read() as connection:
            page = kept.list_retirements(connection, owner=address, limit=_MOST)
        rows = [
            (one.reference, one.state, one.tonnes, one.account, one.owner, _why(one))
            for one in page.items
        ]
        columns = ("retirement", "state", "t", "account", "owner", "why")
        emit(as_json, {"retirements": page.items}, lambda: table("retirements", columns, rows))


def _why(one: LedgerRetirement) -> str:
    return "; ".join(sorted({part.reason for part in one.parts if part.reason}))


@ledger_app.command("show")
def show(
    reference: str = typer.Argument(help="Reference of the retirement."),
    as_json: bool = JSON_OPTION,
) -> None:
    """One retirement: what was asked, and what the registry really retired."""
    with reporting(as_json), Context.load(as_json) as context:
        with context.database.read() as connection:
            found = kept.get_retirement(connection, reference)
        emit(as_json, found, lambda: _say(found))


def _say(found: LedgerRetirement) -> None:
    say(f"retirement {found.reference}: {found.state}, {found.tonnes:,} t in {found.account}")
    say(f"  asked    {', '.join(found.asked)}")
    for part in found.parts:
        if part.registry_reference:
            day, serials = part.registry_date, ", ".join(part.serials)
            say(f"  {part.part}  {part.registry_reference} of {day}: {serials}")
        else:
            say(f"  {part.part}  {part.state}, {part.tonnes:,} t {part.reason or ''}".rstrip())


@ledger_app.command("statement")
def statement(
    owner: str | None = typer.Argument(None, help="Address or local key; default everybody."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What an owner has in custody, per account and class, and how much of it was retired."""
    with reporting(as_json), Context.load(as_json) as context:
        address = context.address(owner) if owner else None
        with context.database.read() as connection:
            found = kept.holdings(connection, owner=address)
        rows = [_statement_row(one) for one in found]
        columns = ("owner", "account", "credits", "held t", "waiting t", "retired t", "serials")
        emit(as_json, {"holdings": found}, lambda: table("in custody", columns, rows))


def _statement_row(one: Kept) -> tuple[object, ...]:
    vintage = f"{one.vintage_start} – {one.vintage_end}"
    credits = f"{one.programme}-{one.project} {vintage} {' '.join(one.labels)}".rstrip()
    serials = ", ".join(map(str, one.serials))
    return (one.owner, one.account, credits, one.held, one.waiting, one.retired, serials)


@ledger_app.command("export")
def export_ledger(
    file: Path = typer.Argument(help="Where to write it."), as_json: bool = JSON_OPTION
) -> None:
    """Write the whole ledger for an auditor: `causeway audit --ledger FILE` checks it."""
    with reporting(as_json), Context.load(as_json) as context:
        domain = context.bridge.ledger.domain
        with context.database.read() as connection:
            book = export(connection, domain.chain_id, domain.contract)
        document: dict[str, Any] = document_of(book)
        file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
        made = {"file": str(file), "blocks": len(book.blocks), "orders": len(book.orders)}
        at = datetime.now(UTC).strftime("%Y-%m-%d")
        text = f"{file}: {len(book.blocks):,} blocks, {len(book.orders):,} orders, {at}"
        emit(as_json, made, lambda: say(text))
