"""`causeway quote`: what a project, an issuance, a retirement or a delivery costs."""

from __future__ import annotations

import typer

from backend.commands.custody_terms import parse_day
from backend.commands.output import JSON_OPTION, emit, reporting, say
from backend.domain.fees import Occasion, Quote, Volume, money, quote
from backend.domain.money import format_money, parse_money
from backend.errors import InvalidValue
from backend.registries.fee_schedules import fee_schedules


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("quote")(quote_fees)


def quote_fees(
    occasion: str = typer.Argument(help="project, issuance, retirement or delivery."),
    programme: str = typer.Argument(help="VCS, ACR or PLAN_VIVO."),
    tonnes: str = typer.Argument(help="Whole tonnes: 72000 or 72,000."),
    on: str | None = typer.Option(None, help="Fees as of this day, YYYY-MM-DD; default today."),
    variant: str = typer.Option("", help="Which of a schedule's variants: ACR has acr and carb."),
    issued_before: int = typer.Option(0, min=0, help="Tonnes issued before in the same year."),
    estimated: int | None = typer.Option(
        None, min=0, help="Estimated annual reductions for the registration; default the tonnes."
    ),
    activated: bool = typer.Option(False, help="The activation of these credits was paid before."),
    validation: str = typer.Option("0", help="Cost of validation and monitoring, to be added."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What the programme charges, line by line, with the schedule it is from."""
    with reporting(as_json):
        if occasion not in list(Occasion):
            raise InvalidValue("occasion", occasion, f"is not one of {', '.join(Occasion)}")
        plain = tonnes.replace(",", "")
        if not (plain.isascii() and plain.isdecimal() and len(plain) <= 15):
            raise InvalidValue("tonnes", tonnes, "is not a number of whole tonnes")
        more = parse_money(validation, 3)
        found = quote(
            fee_schedules(),
            programme,
            Occasion(occasion),
            Volume(int(plain), issued_before, estimated),
            parse_day(on),
            variant=variant,
            activated=activated,
            extra={"validation and monitoring": more} if more else None,
        )
        emit(as_json, _document(found), lambda: _say(found))


def _document(found: Quote) -> dict[str, object]:
    return {
        "programme": found.schedule.programme,
        "schedule": found.schedule.name,
        "valid_from": found.schedule.valid_from,
        "valid_until": found.schedule.valid_until,
        "source": found.schedule.source,
        "currency": found.schedule.currency,
        "occasion": found.occasion,
        "tonnes": found.tonnes,
        "lines": [
            {"name": line.name, "mills": line.mills, "how": line.how} for line in found.lines
        ],
        "total_mills": found.total_mills,
        "total_cents": found.total_cents,
        "rounding": "total_cents: up to the cent",
        "complete": found.is_complete,
        "notes": found.notes,
    }


def _say(found: Quote) -> None:
    currency = found.schedule.currency
    say(f"{found.schedule.name}: {found.occasion} of {found.tonnes:,} t")
    for line in found.lines:
        amount = "unknown" if line.mills is None else money(line.mills)
        say(f"  {line.name:<26}{amount:>14}  {line.how}")
    total = format_money(found.total_cents, 2)
    rest = "" if found.is_complete else ", and what is unknown"
    say(f"  {'total':<26}{total:>14}  {currency}, rounded up to the cent{rest}")
    for note in found.notes:
        say(f"  note: {note}")
    say(f"  source: {found.schedule.source}")
