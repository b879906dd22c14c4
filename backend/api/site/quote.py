"""What it costs in all: a page without a wallet, and the same lines for the pages that sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import services_of
from backend.api.market_answers import read_market, venue_of
from backend.api.quoting import delivery_terms, quoter_of
from backend.api.site.language import Texts
from backend.api.site.market import venue_if_open
from backend.api.site.money import Money, money_of
from backend.api.site.rendering import page, texts_of
from backend.domain import quotes as rules
from backend.domain.fees import money as mills_text
from backend.domain.orders import account_of
from backend.domain.quotes import Action, Part, Payer, Step, TotalCost, Unit, Visibility
from backend.domain.units import KILOGRAMS_PER_TONNE, parse_kilograms
from backend.errors import CausewayError, Conflict, InvalidValue, NotEnough, NotFound, RuleError
from backend.store.queries import classes
from backend.store.queries.classes import ClassSummary
from backend.store.queries.market import VenueHead
from backend.store.queries.reading import MAX_LIMIT, Connection

HOUR: Final = 3_600
_MOST_TEXT: Final = 80
_NOT_ASKED: Final[dict[str, Any]] = {"shown": None, "refused": None, "why": ""}

router = APIRouter(include_in_schema=False)
Short = Annotated[str, Query(max_length=_MOST_TEXT)]


@dataclass(frozen=True, slots=True)
class Line:
    """One line as people read it; `borne`: by the operator, so in no total."""

    label: str
    amount: str
    note: str = ""
    borne: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A quote in words; `as_of` says which book or chain block it was reckoned from."""

    cost: TotalCost
    lines: tuple[Line, ...]
    totals: tuple[str, ...]
    until: str
    visible: tuple[str, str] | None
    waits: str
    needed: str
    as_of: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form or a page's script asks for."""

    action: str
    class_id: str
    amount: str
    unit: str
    asset: str


@router.get("/quote")
async def quote_page(
    request: Request,
    action: Short = Action.BUY,
    class_id: Annotated[str, Query(alias="class", max_length=_MOST_TEXT)] = "",
    amount: Short = "",
    unit: Short = "t",
    asset: Short = "",
) -> Response:
    """The form, and the answer once something is asked."""
    _, (known, assets) = await read_market(
        request, None, lambda db, head: _offered(db, venue_of(request))
    )
    money = await money_of(request, set(assets))
    asked = Asked(action, class_id, amount, unit, asset)
    answer = await _answer(request, asked) if amount else _NOT_ASKED
    return _of_now(
        request,
        "quote.html",
        asked=asked,
        actions=tuple(Action),
        known=known,
        money=[money[one] for one in assets],
        **answer,
    )


@router.get("/quote/lines")
async def quote_lines(
    request: Request,
    action: Short,
    class_id: Annotated[str, Query(alias="class", max_length=_MOST_TEXT)],
    amount: Short,
    unit: Short = "t",
    asset: Short = "",
) -> Response:
    """The answer alone, which scripts of the ticket and the retire page put into their page."""
    asked = Asked(action, class_id, amount, unit, asset)
    return _of_now(request, "quote_lines.html", **await _answer(request, asked))


def _of_now(request: Request, name: str, **values: Any) -> Response:
    """A page that nothing keeps: an old quote that comes back would look as if it held."""
    made = page(request, name, **values)
    made.headers["Cache-Control"] = "no-store"
    return made


def _offered(db: Connection, number: int) -> tuple[tuple[ClassSummary, ...], list[int]]:
    venue = venue_if_open(db, number)
    assets = [one.asset for one in venue.assets if one.listed] if venue else []
    return classes.list_classes(db, limit=MAX_LIMIT).items, assets


async def _answer(request: Request, asked: Asked) -> dict[str, Any]:
    """What the template shows: the quote in words, or why there is none."""
    texts = texts_of(request)
    try:
        cost, as_of = await _quote(request, texts, asked)
    except (RuleError, NotFound) as error:
        return _NOT_ASKED | {"refused": error, "why": _refusal(texts, asked, error)}
    money = (await money_of(request, _assets(cost))).values()
    return _NOT_ASKED | {"shown": _shown(texts, cost, {one.address: one for one in money}, as_of)}


async def _quote(request: Request, texts: Texts, asked: Asked) -> tuple[TotalCost, str]:
    if asked.action not in tuple(Action):
        raise InvalidValue("action", asked.action, f"is not one of {', '.join(Action)}")
    action, quoter = Action(asked.action), quoter_of(request)
    class_id, kilograms = _number(asked.class_id), parse_kilograms(asked.amount + asked.unit)
    if action is Action.RETIRE:
        services = services_of(request)
        head, found = await services.read(lambda db, head: quoter.retire(db, class_id, kilograms))
        return found, texts("common.as_of", number=texts.number(head.number))
    tonnes, rest = divmod(kilograms, KILOGRAMS_PER_TONNE)
    if rest:
        raise InvalidValue("amount", asked.amount, texts("quote.whole"))
    if action is Action.DELIVER:
        terms = await delivery_terms(request)
        head, found = await services_of(request).read(
            lambda db, head: quoter.deliver(db, class_id, tonnes, terms)
        )
        return found, texts("common.as_of", number=texts.number(head.number))
    asset = int.from_bytes(account_of(asked.asset), "big")
    buy = quoter.buy if action is Action.BUY else quoter.buy_and_retire

    def bought(db: Connection, head: VenueHead) -> TotalCost:
        return buy(db, head, class_id, asset, tonnes)

    at, found = await read_market(request, None, bought)
    return found, texts("common.as_of_entry", seq=texts.number(at.seq))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidValue("class", text, "is no token id")
    return int(text)


def _refusal(texts: Texts, asked: Asked, error: CausewayError) -> str:
    """Why there is no quote, where this page has words of its own for it; else empty."""
    values = error.values
    if isinstance(error, NotEnough) and {"asked", "available"} <= values.keys():
        there = {name: texts.number(int(values[name])) for name in ("asked", "available")}
        if asked.action == Action.RETIRE:
            return texts("quote.too_much_to_retire", **there)
        if asked.action == Action.DELIVER:
            return texts("quote.too_much_to_deliver", **there)
        return texts("quote.too_much_to_buy", **there)
    if isinstance(error, Conflict):
        # A quote signs nothing: what no order can do is all that it can be in conflict with.
        return texts(f"quote.closed_{values['reason']}")
    return ""


# ── in words ─────────────────────────────────────────────────────────────────────────────────


def _assets(cost: TotalCost) -> set[int]:
    named = {one.currency for one in cost.parts if one.unit is Unit.BASE_UNIT and one.currency}
    return {int(one, 16) for one in named}


def _shown(texts: Texts, cost: TotalCost, money: dict[str, Money], as_of: str) -> Shown:
    def amount(currency: str | None, unit: Unit, value: int | None) -> str:
        if value is None or currency is None:
            return texts("quote.not_known")
        if unit is Unit.MILL:
            return f"{currency} {mills_text(value)}"
        one = money[currency]
        return texts.money(value, one.symbol, one.decimals)

    lines = []
    for part in cost.parts:
        label, note = _label(texts, cost, part, money)
        borne = part.payer is Payer.OPERATOR
        shown = amount(part.currency, part.unit, part.amount)
        if borne:
            note = "; ".join(one for one in (texts("quote.operator_bears"), note) if one)
        lines.append(Line(label, shown, note, borne))
    bought = cost.purchase
    needed = ""
    if bought is not None:
        needed = amount(cost.parts[0].currency, Unit.BASE_UNIT, bought.needed)
    seen = cost.visibility
    return Shown(
        cost,
        tuple(lines),
        tuple(amount(one.currency, one.unit, one.amount) for one in cost.totals),
        f"{datetime.fromtimestamp(cost.valid_until, UTC):%H:%M:%S} UTC",
        None if seen is None or not seen.kilograms else _visible(texts, seen),
        "" if seen is None or not seen.open_kilograms else _waits(texts, seen),
        needed,
        as_of,
    )


def _label(texts: Texts, cost: TotalCost, part: Part, money: dict[str, Money]) -> tuple[str, str]:
    """What a line is called, and a word on its reckoning."""
    bought = cost.purchase
    if part.name == "credits" and bought is not None:
        one = money[part.currency or ""]
        average, worst = (
            texts.money(price, one.symbol, one.decimals)
            for price in (bought.average_price, bought.worst_price)
        )
        note = texts("quote.prices", average=average, worst=worst)
        return texts("quote.credits", tonnes=texts.tonnes(bought.tonnes)), note
    if part.name == "exchange-fee" and bought is not None:
        bps = bought.taker_fee_bps
        percent = f"{bps // 100}.{bps % 100:02d}"
        fills = texts.number(sum(one.fills for one in bought.levels))
        note = texts("quote.exchange_fee_how", percent=percent, fills=fills)
        return texts("quote.exchange_fee"), note
    if part.name == "delivery-fee":
        return texts("quote.delivery_fee"), texts("quote.delivery_fee_how")
    name = part.name.partition(":")[2]
    return texts("quote.programme_fee", name=name), ""


def _visible(texts: Texts, seen: Visibility) -> tuple[str, str]:
    """The date, rounded up to the minute that is shown, and the steps that lead to it."""
    if seen.at_latest is None:
        return texts("quote.no_date"), ""
    steps = " + ".join(_step(texts, one) for one in seen.steps)
    return texts.moment(-(-seen.at_latest // 60) * 60), texts("quote.steps", steps=steps)


def _step(texts: Texts, step: Step) -> str:
    if step.seconds % HOUR:
        time = texts("quote.minutes", count=-(-step.seconds // 60))
    else:
        time = texts("quote.hours", count=step.seconds // HOUR)
    words = {
        rules.SETTLEMENT: texts("quote.step_settlement", time=time),
        rules.AT_REGISTRY: texts("quote.step_registry", time=time),
        rules.BEGIN: texts("quote.step_begin", time=time),
        rules.TRANSFER: texts("quote.step_transfer", time=time),
    }
    return words[step.name]


def _waits(texts: Texts, seen: Visibility) -> str:
    return texts("quote.when_closes", amount=texts.kilograms(seen.open_kilograms))
