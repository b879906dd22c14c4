"""Moving credits and money into the exchange and out of it: deposit, withdraw, claim, exit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer

from backend.chain import abi, calls, exchange_calls
from backend.chain.keys import Key
from backend.client import Client, Trader
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say, utc
from backend.commands.wallet import REQUEST_OPTION, Sent, once
from backend.domain.money import format_money, parse_money
from backend.domain.units import format_kilograms, parse_kilograms
from backend.errors import InvalidValue, ServiceError

#: How long a withdrawal may take from its acknowledgement to the chain, in seconds.
SETTLEMENT_PATIENCE = 60.0


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("issue-test-money")(issue_test_money)
    app.command("deposit")(deposit)
    app.command("withdraw")(withdraw)
    app.command("claim")(claim)
    app.command("exit")(leave)


@dataclass(frozen=True)
class Holding:
    """Something an account of the exchange can hold, with the way people write amounts of it.

    `contract` is the settlement asset's name in the deployment, None for a class of credits.
    """

    asset: int
    name: str
    contract: str | None = None
    decimals: int = 3

    def parse(self, text: str) -> int:
        """Kilograms or base units; raises InvalidValue."""
        return parse_money(text, self.decimals) if self.contract else parse_kilograms(text)

    def show(self, amount: int) -> str:
        """The amount with its unit."""
        if self.contract:
            return f"{format_money(amount, self.decimals)} {self.name}"
        return f"{format_kilograms(amount)} of {self.name}"


def settlement_asset(context: Context, text: str) -> Holding:
    """A settlement asset by its name in the deployment (HKD) or by its address."""
    for name, known in context.deployment.contracts.items():
        if name in abi.SHARED_ABI and text.lower() in (name.lower(), known.address.lower()):
            decimals = context.contracts.read(name, "decimals")
            return Holding(int(known.address, 16), name, name, decimals)
    raise InvalidValue("asset", text, "is no settlement asset of this deployment")


def holding(context: Context, text: str) -> Holding:
    """A settlement asset, or a class by number or token id."""
    named = text.upper() in abi.SHARED_ABI or (text.startswith("0x") and len(text) == 42)
    if named:
        return settlement_asset(context, text)
    class_id = context.class_id(text)
    number = context.contracts.positions(class_id).number
    return Holding(class_id, f"class {number}" if number else hex(class_id))


def holdings(context: Context) -> list[Holding]:
    """Everything that can be held, from the chain alone."""
    contracts = context.deployment.contracts
    money = [settlement_asset(context, name) for name in contracts if name in abi.SHARED_ABI]
    classes = enumerate(context.contracts.class_ids(), 1)
    return [*money, *(Holding(class_id, f"class {number}") for number, class_id in classes)]


def account_of(context: Context, account: str, held: Holding) -> tuple[int, int, int]:
    """(balance, claimable, exit requested at) of an account as the contract has it."""
    found = context.contracts.read("Exchange", "accountOf", account, held.asset)
    return found["balance"], found["claimable"], found["exitRequestedAt"]


# ── in ───────────────────────────────────────────────────────────────────────────────────────


def do_issue(context: Context, held: Holding, amount: int, to: str, key: str) -> Sent:
    """Make test money; the issuer's key sends it."""
    if held.contract is None:
        raise InvalidValue("asset", held.name, "is no money")
    data = calls.issue_asset(held.contract, to, amount)
    transaction = context.send(key, context.key("issuer"), held.contract, data)
    return Sent(transaction, {"asset": held.asset, "amount": amount, "to": to})


def do_deposit(context: Context, held: Holding, amount: int, source: Key, key: str) -> Sent:
    """Put credits or money into the wallet's account; tradable once the chain block is final."""
    exchange = context.deployment["Exchange"]
    if held.contract is None:
        data = calls.transfer(source.address, exchange, held.asset, amount)
        transaction = context.send(key, source, "CarbonCredits", data)
    else:
        approval = abi.encode_call(held.contract, "approve", (exchange, amount))
        context.send(f"{key}:approve", source, held.contract, approval)
        data = exchange_calls.deposit(held.asset, amount)
        transaction = context.send(key, source, "Exchange", data)
    values = {"asset": held.asset, "amount": amount, "from": source.address}
    return Sent(transaction, values)


def issue_test_money(
    amount: str = typer.Argument(help="Such as 1250 or 12.50."),
    asset: str = typer.Argument(help="HKD, CNH or USD."),
    target: str = typer.Option(..., "--to", help="Address, or name of a local key."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Make test money of no value for a wallet; only on a deployment that has test assets."""
    with reporting(as_json):
        context = Context.load(as_json)
        held = settlement_asset(context, asset)
        units = held.parse(amount)
        to = context.address(target)
        sent = do_issue(context, held, units, to, once("issue", request))
        emit(as_json, sent.document(), lambda: say(f"{held.show(units)} to {to}"))


def deposit(
    amount: str = typer.Argument(help="Credits with their unit (10t, 500kg), money without."),
    what: str = typer.Argument(help="HKD, CNH, USD or an address; or a class number or id."),
    source: str = typer.Option(..., "--from", help="Name of a local key."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Put credits or money into the wallet's account at the exchange."""
    with reporting(as_json):
        context = Context.load(as_json)
        held = holding(context, what)
        units = held.parse(amount)
        sent = do_deposit(context, held, units, context.key(source), once("deposit", request))
        text = f"{held.show(units)} deposited by {source}, {sent.transaction}"
        emit(as_json, sent.document(), lambda: say(text))


# ── out ──────────────────────────────────────────────────────────────────────────────────────


def trader(context: Context, name: str) -> Trader:
    """A wallet of this machine as a client of the API; answers are checked against the chain."""
    settings = context.settings
    client = Client(settings.api_url, chain_url=settings.chain_url)
    return Trader(client, context.key(name))


def wait_claimable(context: Context, account: str, held: Holding, before: int) -> int:
    """Wait until more than `before` is claimable; returns the claimable amount."""
    deadline = time.monotonic() + SETTLEMENT_PATIENCE
    while time.monotonic() < deadline:
        claimable = account_of(context, account, held)[1]
        if claimable > before:
            return claimable
        time.sleep(0.2)
    raise ServiceError(
        f"the withdrawal is not settled after {SETTLEMENT_PATIENCE:.0f} s; it stays acknowledged, "
        "and `causeway claim` pays it out once it is"
    )


def do_claim(context: Context, held: Holding, account: str, key: str) -> Sent:
    """Pay an account what is claimable; anybody may, so the worker's key pays the gas."""
    claimable = account_of(context, account, held)[1]
    if not claimable:
        raise InvalidValue("account", account, f"has nothing of {held.name} to claim")
    data = exchange_calls.claim(account, held.asset)
    transaction = context.send(key, context.key("bridge"), "Exchange", data)
    return Sent(transaction, {"asset": held.asset, "amount": claimable, "account": account})


def withdraw(
    amount: str = typer.Argument(help="Credits with their unit (10t, 500kg), money without."),
    what: str = typer.Argument(help="HKD, CNH, USD or an address; or a class number or id."),
    source: str = typer.Option(..., "--from", help="Name of a local key."),
    wait: bool = typer.Option(True, help="Wait for the settlement and claim."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Take credits or money out of trading and, once settled, into the wallet."""
    with reporting(as_json):
        context = Context.load(as_json)
        held, key = holding(context, what), context.key(source)
        units = held.parse(amount)
        before = account_of(context, key.address, held)[1]
        answer = trader(context, source).withdraw(held.asset, units)
        document: dict[str, Any] = {"answer": answer, "amount": units, "asset": held.asset}
        if wait:
            wait_claimable(context, key.address, held, before)
            document |= do_claim(context, held, key.address, once("claim", None)).document()
        text = f"{held.show(units)} {'back in' if wait else 'on its way to'} {source}"
        emit(as_json, document, lambda: say(text))


def claim(
    what: str = typer.Argument(help="HKD, CNH, USD or an address; or a class number or id."),
    account: str = typer.Option(..., "--for", help="Address, or name of a local key."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Pay an account what has left trading."""
    with reporting(as_json):
        context = Context.load(as_json)
        held, address = holding(context, what), context.address(account)
        sent = do_claim(context, held, address, once("claim", request))
        text = f"{held.show(sent.values['amount'])} to {address}, {sent.transaction}"
        emit(as_json, sent.document(), lambda: say(text))


def leave(
    what: list[str] = typer.Argument(None, help="What to take out; default everything."),
    source: str = typer.Option(..., "--from", help="Name of a local key."),
    execute: bool = typer.Option(False, "--execute", help="Take out what is due by now."),
    cancel: bool = typer.Option(False, "--cancel", help="Trade on instead; within one window."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Leave the exchange without the operator: request, wait two windows, then --execute.

    Talks to the chain alone. Between request and end the account matches nothing.
    """
    with reporting(as_json):
        context = Context.load(as_json)
        if execute and cancel:
            raise InvalidValue("--cancel", "--execute", "exclude each other")
        key = context.key(source)
        chosen = [holding(context, one) for one in what or []] or holdings(context)
        state = {one: account_of(context, key.address, one) for one in chosen}
        if execute or cancel:
            assets = [one for one, (_, _, since) in state.items() if since]
        else:
            assets = [one for one, (balance, _, since) in state.items() if balance and not since]
        if not assets:
            raise InvalidValue("account", key.address, "has nothing here that this could be about")
        ids = [one.asset for one in assets]
        if execute:
            data = exchange_calls.execute_exit(key.address, ids)
        else:
            data = exchange_calls.cancel_exit(ids) if cancel else exchange_calls.request_exit(ids)
        transaction = context.send(once("exit", request), key, "Exchange", data)
        done = "claimable now" if execute else "trading again" if cancel else "leaving"
        document: dict[str, Any] = {"transaction": transaction, "assets": ids, "state": done}
        if not execute and not cancel:
            document |= _times_of_exit(context, key.address, assets)
            first, last = (utc(document[name]) for name in ("due_at", "lapses_at"))
            done += f", to be executed from {first} to {last}"
        names = ", ".join(one.name for one in assets)
        emit(as_json, document, lambda: say(f"{names} of {source}: {done}; {transaction}"))


def _times_of_exit(context: Context, account: str, assets: Sequence[Holding]) -> dict[str, int]:
    """Unix seconds between which what was just requested can be executed, as the contract has it:
    more than two windows later, at the latest three."""
    asked = max(account_of(context, account, one)[2] for one in assets)
    window = int(context.contracts.read("Exchange", "WINDOW"))
    return {"due_at": asked + 2 * window + 1, "lapses_at": asked + 3 * window}
