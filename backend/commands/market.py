"""Trading from the command line: order, cancel, orders, book, trades, account."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
import typer

from backend.client import Client, Placed
from backend.commands.context import Context
from backend.commands.funds import Holding, holding, settlement_asset, trader
from backend.commands.output import EXIT_REFUSED, JSON_OPTION, emit, jsonable, reporting, say, table
from backend.domain.money import format_money
from backend.domain.orders import NO_DETAILS
from backend.domain.retirements import RetirementDetails
from backend.errors import InvalidValue

CLASS = typer.Argument(metavar="CLASS", help="Class number or token id.")
WALLET = typer.Option(..., "--from", help="Name of a local key.")
ASSET = typer.Option("HKD", "--asset", help="Settlement asset: HKD, CNH, USD or an address.")


class SideName(StrEnum):
    """What an order does."""

    BUY = "buy"
    SELL = "sell"


class TimeInForceName(StrEnum):
    """How long it waits."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class SelfTradeName(StrEnum):
    """What happens when it meets an order of its own wallet."""

    CANCEL_TAKER = "cancel_taker"
    CANCEL_MAKER = "cancel_maker"
    CANCEL_BOTH = "cancel_both"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("order")(order)
    app.command("cancel")(cancel)
    app.command("orders")(orders)
    app.command("book")(book)
    app.command("trades")(trades)
    app.command("account")(account)


# ── writing ──────────────────────────────────────────────────────────────────────────────────


def order(
    side: SideName = typer.Argument(help="buy or sell."),
    tonnes: int = typer.Argument(help="Whole tonnes."),
    credit_class: str = CLASS,
    price: str = typer.Option(..., help="Money per tonne, such as 52.50: the limit."),
    source: str = WALLET,
    asset: str = ASSET,
    time_in_force: TimeInForceName = typer.Option(TimeInForceName.GTC, help="gtc, ioc or fok."),
    post_only: bool = typer.Option(False, "--post-only", help="Refused when it would match."),
    self_trade: SelfTradeName = typer.Option(
        SelfTradeName.CANCEL_TAKER, help="When it meets an order of the same wallet."
    ),
    max_fee_bps: int = typer.Option(100, help="Fee cap in basis points of each fill."),
    expires_in: int = typer.Option(86_400, help="Seconds; at most 30 days."),
    retire: bool = typer.Option(False, "--retire", help="Retire what is bought (IOC or FOK)."),
    beneficiary: str = typer.Option("", help="With --retire: for whom."),
    purpose: str = typer.Option("", help="With --retire: why."),
    period: str = typer.Option("", help="With --retire: for which period."),
    keep: Path | None = typer.Option(None, help="File for the signed acknowledgement."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Place a limit order signed by a wallet of this machine."""
    with reporting(as_json):
        context = Context.load(as_json)
        money = settlement_asset(context, asset)
        texts = (beneficiary, purpose, period)
        if any(texts) and not retire:
            raise InvalidValue("--beneficiary", texts, "is for --retire")
        placed = trader(context, source).place(
            side.value,
            context.class_id(credit_class),
            money.asset,
            tonnes,
            money.parse(price),
            time_in_force=time_in_force.value,
            post_only=post_only,
            self_trade=self_trade.value,
            retire_on_fill=retire,
            details_hash=RetirementDetails(*texts).hash if retire else NO_DETAILS,
            max_fee_bps=max_fee_bps,
            expires_in=expires_in,
        )
        if keep is not None:
            keep.write_bytes(orjson.dumps(jsonable(document_of(placed))))
        emit(as_json, document_of(placed), lambda: say_placed(placed, money))
        _require_taken(placed)


def cancel(
    nonce: int | None = typer.Argument(None, help="The order's nonce."),
    everything: bool = typer.Option(False, "--all", help="Every open order."),
    credit_class: str | None = typer.Option(None, "--class", help="With --all: of one class."),
    source: str = WALLET,
    as_json: bool = JSON_OPTION,
) -> None:
    """Cancel one order, or all of them; a nonce that no order has yet is used up."""
    with reporting(as_json):
        context = Context.load(as_json)
        if everything == (nonce is not None):
            raise InvalidValue("nonce", nonce, "is given unless --all is")
        if nonce is None:
            instrument = context.class_id(credit_class) if credit_class else 0
            placed = trader(context, source).cancel_all(instrument)
        else:
            placed = trader(context, source).cancel(nonce)
        emit(as_json, document_of(placed), lambda: say_placed(placed, None))
        _require_taken(placed)


def _require_taken(placed: Placed) -> None:
    """Exit 1 for what the venue refused: it is acknowledged all the same."""
    if placed.status == "refused":
        raise typer.Exit(EXIT_REFUSED)


def document_of(placed: Placed) -> dict[str, Any]:
    """An answer as JSON: what happened, and what proves it."""
    proof = placed.acknowledgement
    return {
        "status": placed.status,
        "repeated": placed.repeated,
        "nonce": placed.nonce,
        "seq": placed.seq,
        "filled": placed.filled,
        "resting": placed.resting,
        "ended": placed.ended,
        "reason": placed.reason,
        "events": list(placed.events),
        "entry": placed.entry,
        "acknowledgement": {
            "signer": placed.signer,
            "entry_hash": proof.entry_hash,
            "path": [{"left": step.left, "hash": step.hash} for step in proof.path],
            "signature": proof.signature,
        },
    }


def describe(placed: Placed, money: Holding | None) -> str:
    """One line about an answer."""
    parts = [f"{placed.status}, nonce {placed.nonce}, journal entry {placed.seq}"]
    for fill in placed.fills:
        price = money.show(int(fill["price"])) if money else fill["price"]
        parts.append(f"{fill['quantity']} t at {price} (trade {fill['number']})")
    if placed.resting:
        parts.append(f"{placed.resting} t rest")
    if placed.reason or placed.ended:
        parts.append(str(placed.reason or placed.ended))
    return "; ".join(parts)


def say_placed(placed: Placed, money: Holding | None) -> None:
    say(describe(placed, money))
    say(f"  acknowledged by {placed.signer}")


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def client(context: Context) -> Client:
    """The API as anybody reads it."""
    return Client(context.settings.api_url)


def book(
    credit_class: str = CLASS,
    asset: str = ASSET,
    levels: int = typer.Option(10, help="Levels a side."),
    as_json: bool = JSON_OPTION,
) -> None:
    """The order book of a class against a settlement asset."""
    with reporting(as_json):
        context = Context.load(as_json)
        money = settlement_asset(context, asset)
        found = client(context).book(context.class_id(credit_class), money.asset, levels=levels)

        def text() -> None:
            rows = [("ask", one) for one in reversed(found["asks"])]
            rows += [("bid", one) for one in found["bids"]]
            cells = [
                (side, _price(one["price"], money), one["tonnes"], one["orders"])
                for side, one in rows
            ]
            title = f"class {credit_class} against {money.name}, at journal entry {found['seq']}"
            table(title, ("side", "price", "tonnes", "orders"), cells)

        emit(as_json, found, text)


def trades(
    credit_class: str = CLASS,
    asset: str = ASSET,
    limit: int = typer.Option(20, help="The newest so many."),
    as_json: bool = JSON_OPTION,
) -> None:
    """The newest trades of a market."""
    with reporting(as_json):
        context = Context.load(as_json)
        money = settlement_asset(context, asset)
        instrument = context.class_id(credit_class)
        found = client(context).trades(instrument, money.asset, limit=limit)

        def text() -> None:
            rows = [
                (
                    one["number"],
                    _time(one["time_ms"]),
                    one["taker_side"],
                    one["quantity"],
                    _price(one["price"], money),
                    one["state"],
                )
                for one in found
            ]
            columns = ("trade", "time", "taker", "tonnes", "price", "state")
            table(f"class {credit_class} against {money.name}", columns, rows)

        emit(as_json, found, text)


def orders(
    wallet: str = typer.Argument(help="Name of a local key."),
    state: str | None = typer.Option(None, help="open, filled, cancelled, expired or refused."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Orders of a wallet of this machine, the newest first."""
    with reporting(as_json):
        context = Context.load(as_json)
        found = trader(context, wallet).orders(state=state)
        columns = ("nonce", "side", "tonnes", "filled", "open", "price", "state", "reason")

        def text() -> None:
            rows = []
            for one in found:
                money = settlement_asset(context, one["asset"])
                waiting = one["remaining"] if one["state"] == "open" else "-"
                price = f"{_price(one['price'], money)} {money.name}"
                row = (one["nonce"], one["side"], one["quantity"], one["filled"], waiting, price)
                rows.append((*row, one["state"], one["reason"] or ""))
            table(f"orders of {wallet}", columns, rows)

        emit(as_json, found, text)


def account(
    wallet: str = typer.Argument(help="Name of a local key."),
    statement: bool = typer.Option(False, "--statement", help="Every movement as well."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What a wallet has at the exchange."""
    with reporting(as_json):
        context = Context.load(as_json)
        mine = trader(context, wallet)
        found = mine.account()
        document: dict[str, Any] = {"account": found}
        if statement:
            document["statement"] = mine.statement()

        def text() -> None:
            rows = []
            for one in found["balances"]:
                held = holding(context, one["asset"])
                amounts = [held.show(int(one[name])) for name in ("total", "available", "reserved")]
                rows.append(amounts)
            table(f"{wallet} {mine.key.address}", ("total", "available", "reserved"), rows)
            for one in document.get("statement", ()):
                held = holding(context, one["asset"])
                change, left = held.show(int(one["change"])), held.show(int(one["balance"]))
                say(f"  {_time(one['time_ms'])}  {one['kind']:<10} {change}, leaves {left}")

        emit(as_json, document, text)


def _price(text: str, money: Holding) -> str:
    return format_money(int(text), money.decimals)


def _time(text: str) -> str:
    return datetime.fromtimestamp(int(text) // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
