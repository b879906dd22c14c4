"""Questions: holdings, certificate, trace."""

from __future__ import annotations

import typer

from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say, table
from backend.domain.units import format_kilograms
from backend.errors import InvalidValue
from backend.store.queries import accounts, certificates, reading, registry, tracing
from backend.store.queries.accounts import Holding
from backend.store.queries.certificates import Certificate, Retirement

#: A list for people stops here; `--json` and the API have everything.
SHOWN = 200
_MOST = 500


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("holdings")(holdings)
    app.command("certificate")(certificate)
    app.command("trace")(trace)


def holdings(
    wallet: str | None = typer.Argument(None, help="Address or local key; none: the registries."),
    programme: str | None = typer.Option(None, help="Only credits of this programme."),
    project: str | None = typer.Option(None, help="Only credits of this project."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What a wallet holds; or, without one, what the registries say and what may be tokenized."""
    with reporting(as_json):
        context = Context.load(as_json)
        if wallet is None:
            _registry_holdings(context, programme, project)
        else:
            _wallet_holdings(context, context.address(wallet))


def _wallet_holdings(context: Context, address: str) -> None:
    with context.database.read() as connection:
        head = reading.chain_head(connection)
        held: list[Holding] = []
        cursor: str | None = None
        while True:
            page = accounts.holdings_of(connection, address, cursor=cursor, limit=_MOST)
            held += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
    document = {
        "account": address,
        "chain_block": head.number,
        "holdings": [
            {
                "class_id": one.credit_class.class_id,
                "class_number": one.credit_class.number,
                "programme": one.credit_class.programme,
                "project": one.credit_class.project,
                "vintage_start": one.credit_class.vintage_start,
                "vintage_end": one.credit_class.vintage_end,
                "cohort": one.credit_class.cohort,
                "kilograms": one.kilograms,
                "retired_kilograms": one.retired_kilograms,
            }
            for one in held
        ],
    }

    def text() -> None:
        table(
            f"{address} at chain block {head.number}",
            ("class", "credits", "vintage", "labels", "holds", "retired"),
            [
                (
                    one.credit_class.number,
                    f"{one.credit_class.programme}-{one.credit_class.project}",
                    f"{one.credit_class.vintage_start} … {one.credit_class.vintage_end}",
                    ", ".join(one.credit_class.cohort or ()),
                    format_kilograms(one.kilograms),
                    format_kilograms(one.retired_kilograms),
                )
                for one in held[:SHOWN]
            ],
        )

    emit(context.as_json, document, text)


def _registry_holdings(context: Context, programme: str | None, project: str | None) -> None:
    with context.database.read() as connection:
        lots = registry.list_lots(connection, programme=programme, project=project)
    document = {"lots": lots}

    def text() -> None:
        table(
            "Active credits at the registries, as imported",
            ("credits", "vintage", "labels", "blocks", "active t", "in trust t", "tokenizable t"),
            [
                (
                    f"{lot.programme}-{lot.project}",
                    f"{lot.vintage_start} … {lot.vintage_end}",
                    "label not in the vocabulary" if lot.unmapped else ", ".join(lot.cohort or ()),
                    lot.blocks,
                    f"{lot.active_tonnes:,}",
                    f"{lot.in_trust_tonnes:,}",
                    f"{lot.active_tonnes - lot.in_trust_tonnes:,}" if lot.tokenizable else "0",
                )
                for lot in lots[:SHOWN]
            ],
        )
        if len(lots) > SHOWN:
            say(f"… and {len(lots) - SHOWN} more; narrow with --programme, --project or --json")

    emit(context.as_json, document, text)


def certificate(
    certificate_id: int = typer.Argument(metavar="ID", help="Number on the certificate."),
    as_json: bool = JSON_OPTION,
) -> None:
    """A certificate: what was retired, which serials, and its status at the registry."""
    with reporting(as_json):
        context = Context.load(as_json)
        with context.database.read() as connection:
            found = certificates.get_certificate(connection, certificate_id)
        emit(as_json, found, lambda: _say_certificate(context, found))


def _say_certificate(context: Context, found: Certificate) -> None:
    one, what = found.retirement, found.credit_class
    say(f"certificate {one.certificate_id}: {format_kilograms(one.kilograms)} CO2e retired")
    say(f"  class      {what.number}: {what.programme}-{what.project} {what.project_name or ''}")
    say(f"  vintage    {what.vintage_start} … {what.vintage_end}")
    say(f"  labels     {', '.join(what.cohort or ()) or '-'}")
    say(f"  owner      {one.owner}")
    say(f"  retired by {one.holder}")
    if one.texts is None:
        say(f"  texts      private, hash {one.details_hash}")
    else:
        say(f"  for        {one.texts.beneficiary or '-'}")
        say(f"  purpose    {one.texts.purpose or '-'}  period {one.texts.period or '-'}")
    say(f"  registry   {one.status} {', '.join(one.references)}")
    for piece in found.pieces:
        span = piece.consumption.span
        tonnes = f"tonnes {span.first}…{span.end - 1}" if span.tonnes > 1 else f"tonne {span.first}"
        say(f"  {format_kilograms(piece.consumption.kilograms)} of {tonnes}")
        for run in piece.serials:
            state = "actual" if run.confirmation_id else "expected"
            if piece.still_open:
                state += ", tonne still open"
            say(f"    serials {run.series} {run.first}-{run.last} ({state})")
    say(f"  chain      block {one.block_number}, transaction {one.transaction_hash}")
    say(f"  page       {context.settings.api_url}/certificates/{one.certificate_id}")


def trace(
    what: str = typer.Argument(help="SERIES/NUMBER (VCS:2/1000001), certificate id, or wallet."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Follow a serial, a certificate or a wallet in either direction."""
    with reporting(as_json):
        context = Context.load(as_json)
        if "/" in what:
            _trace_serial(context, what)
        elif what.isdecimal():
            _trace_certificate(context, int(what))
        else:
            _trace_wallet(context, context.address(what))


def _trace_serial(context: Context, what: str) -> None:
    name, _, number = what.partition("/")
    if not number.isdecimal() or not number.isascii():
        raise InvalidValue("serial", what, "is not SERIES/NUMBER")
    with context.database.read() as connection:
        series = tracing.resolve_series(connection, name)
        found = tracing.trace_serial(connection, series, int(number))

    def text() -> None:
        say(f"serial {found.series} {found.number}: {found.state}")
        for row in found.registry:
            say(
                f"  registry   {row.programme}-{row.project} {row.project_name}: {row.status}, "
                f"{row.first}-{row.last} ({row.source.get('file')} row {row.source.get('row')})"
            )
        if found.receipt:
            say(f"  receipt    {found.receipt.receipt_id} ({found.receipt.state})")
        if found.credit_class:
            say(f"  class      {found.credit_class.number}, position {found.position}")
        for one in found.retirements:
            _say_retirement(one)
        if found.confirmation:
            say(f"  confirmed  {found.confirmation.reference}")
        for holder in found.holders:
            say(f"  class held by {holder.account}: {format_kilograms(holder.kilograms)}")

    emit(context.as_json, found, text)


def _say_retirement(one: Retirement) -> None:
    say(
        f"  retired    certificate {one.certificate_id}: {format_kilograms(one.kilograms)} "
        f"by {one.holder}, {one.status}"
    )


def _trace_certificate(context: Context, certificate_id: int) -> None:
    with context.database.read() as connection:
        found = tracing.trace_certificate(connection, certificate_id)

    def text() -> None:
        _say_certificate(context, found.certificate)
        for receipt in found.receipts:
            say(f"  receipt    {receipt.receipt_id}, signed by {', '.join(receipt.signers)}")
        for row in found.registry:
            say(
                f"  registry   {row.series} {row.first}-{row.last}: {row.status}, "
                f"{row.project_name} ({row.source.get('file')} row {row.source.get('row')})"
            )

    emit(context.as_json, found, text)


def _trace_wallet(context: Context, address: str) -> None:
    with context.database.read() as connection:
        head = reading.chain_head(connection)
        found = tracing.trace_wallet(connection, address, head)

    def text() -> None:
        one = found.account
        say(f"wallet {address}: {one.state}, {one.tier_name}, {one.jurisdiction or '-'}")
        for held in found.holdings.items:
            say(
                f"  holds      class {held.credit_class.number}: {format_kilograms(held.kilograms)}"
            )
        for receipt in found.receipts.items:
            say(f"  receipt    {receipt.receipt_id}: {receipt.tonnes} t, {receipt.state}")
        for retired in found.retirements.items:
            _say_retirement(retired)
        for moved in found.movements.items:
            say(
                f"  {moved.kind:<10} class {moved.class_id % 10**6}…: "
                f"{moved.kilograms:+,} kg, chain block {moved.block_number}"
            )

    emit(context.as_json, found, text)
