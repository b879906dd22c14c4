"""`causeway sandbox …`: the faucets and triggers of a local system, through its API."""

from __future__ import annotations

import secrets
import time
from typing import Any

import typer

from backend.client import Client
from backend.commands.context import Context
from backend.commands.funds import settlement_asset
from backend.commands.output import JSON_OPTION, emit, reporting, say
from backend.domain.units import KILOGRAMS_PER_TONNE, parse_kilograms
from backend.errors import ChainRejected, InvalidValue, ServiceError

sandbox_app = typer.Typer(no_args_is_help=True, help="Faucets and triggers of a local system.")
TO = typer.Option(..., "--to", help="Address, or name of a local key (made if missing).")
CLASS = typer.Argument(metavar="CLASS", help="Class number or token id.")
REQUEST = typer.Option(None, "--request", help="Your name of it: the same again is once.")
WEI = 10**18
#: How long `credits` waits for the mint, in seconds.
PATIENCE = 120.0


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(sandbox_app, name="sandbox")


def _ask(context: Context, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    with Client(context.settings.api_url, timeout=90.0) as client:
        answer: dict[str, Any] = client.send(method, f"/v1/sandbox/{path}", body)["data"]
    return answer


def _tell(as_json: bool, done: dict[str, Any], text: str) -> None:
    said = text if done["changed"] else f"{text} (it was so already)"
    if done["state"] != "done":
        said += f": {done['state']}"
    emit(as_json, done, lambda: say(said))


def _wallet(context: Context, name: str) -> str:
    if not name.startswith("0x"):
        context.keys.create_if_missing(name)
    return context.address(name)


@sandbox_app.command("status")
def status(as_json: bool = JSON_OPTION) -> None:
    """What is set now."""
    with reporting(as_json), Context.load(as_json) as context:
        with Client(context.settings.api_url) as client:
            found = client.get("/v1/sandbox")["data"]
        registry = f"registry {found['registry']['mode']}"
        text = f"chain block {found['head']['number']}, time {found['time']}, {registry}"
        emit(as_json, found, lambda: say(text))


@sandbox_app.command("gas")
def gas(
    target: str = TO,
    at_least: int = typer.Option(1, help="Of the chain's own money."),
    as_json: bool = JSON_OPTION,
) -> None:
    """A wallet can pay gas."""
    with reporting(as_json), Context.load(as_json) as context:
        address = _wallet(context, target)
        done = _ask(context, "PUT", f"gas/{address}", {"at_least": str(at_least * WEI)})
        _tell(as_json, done, f"{address} has {done['values']['wei']} wei")


@sandbox_app.command("admit")
def admit(
    target: str = TO,
    tier: str = typer.Option("professional", help="none, retail, professional, institution."),
    jurisdiction: str = typer.Option("HK", help="ISO 3166-1 alpha-2."),
    as_json: bool = JSON_OPTION,
) -> None:
    """A wallet is admitted."""
    with reporting(as_json), Context.load(as_json) as context:
        address = _wallet(context, target)
        body = {"tier": tier, "jurisdiction": jurisdiction}
        done = _ask(context, "PUT", f"admissions/{address}", body)
        _tell(as_json, done, f"{address} is {tier}, {jurisdiction}")


@sandbox_app.command("money")
def money(
    amount: str = typer.Argument(help="Such as 1250 or 12.50."),
    asset: str = typer.Argument(help="HKD, CNH or USD."),
    target: str = TO,
    request: str | None = REQUEST,
    as_json: bool = JSON_OPTION,
) -> None:
    """Test money for a wallet."""
    with reporting(as_json), Context.load(as_json) as context:
        held = settlement_asset(context, asset)
        body = {
            "request": request or secrets.token_hex(8),
            "to": _wallet(context, target),
            "asset": held.name,
            "amount": str(held.parse(amount)),
        }
        done = _ask(context, "POST", "money", body)
        _tell(as_json, done, f"{amount} {held.name} to {body['to']}, {done['transaction']}")


@sandbox_app.command("credits")
def sample_credits(
    amount: str = typer.Argument(help="Whole tonnes, such as 10t."),
    target: str = TO,
    request: str | None = REQUEST,
    wait: bool = typer.Option(True, help="Wait until they are minted."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Sample credits for a wallet: issued, put into trust, minted."""
    with reporting(as_json), Context.load(as_json) as context:
        tonnes, rest = divmod(parse_kilograms(amount), KILOGRAMS_PER_TONNE)
        if rest:
            raise InvalidValue("amount", amount, "is not whole tonnes")
        body = {
            "request": request or secrets.token_hex(8),
            "to": _wallet(context, target),
            "tonnes": str(tonnes),
        }
        done = _ask(context, "POST", "credits", body)
        ends = time.monotonic() + PATIENCE
        while wait and done["state"] != "minted":
            if done["state"] in ("failed", "refused", "expired"):
                raise ChainRejected(f"{body['request']} {done['state']}: {done['values']}")
            if time.monotonic() > ends:
                raise ServiceError(f"{body['request']} is {done['state']} after {PATIENCE:.0f} s")
            time.sleep(0.3)
            done = _ask(context, "POST", "credits", body)
        emit(as_json, done, lambda: say(f"{tonnes} t to {body['to']}: {done['state']}"))


@sandbox_app.command("registry")
def registry(
    mode: str = typer.Argument(
        help="normal, slow, failing, refusing, queueing, other-serials, maintenance."
    ),
    seconds: int = typer.Option(600, help="Of maintenance: how long."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What the simulated registry is like from now on."""
    with reporting(as_json), Context.load(as_json) as context:
        body = {"mode": mode, "seconds": str(seconds)}
        done = _ask(context, "PUT", "registry", body)
        _tell(as_json, done, f"the registry is {done['values']['mode']}")


@sandbox_app.command("recipient")
def recipient(
    account: str = typer.Argument(help="Registry account, such as SAMPLE-9002."),
    answer: str = typer.Argument(help="accept, reject or wait."),
    as_json: bool = JSON_OPTION,
) -> None:
    """What a registry account does with what is delivered to it."""
    with reporting(as_json), Context.load(as_json) as context:
        done = _ask(context, "PUT", f"recipients/{account}", {"answer": answer})
        _tell(as_json, done, f"{account}: {answer}")


@sandbox_app.command("hold")
def hold(credit_class: str = CLASS, as_json: bool = JSON_OPTION) -> None:
    """The programme holds a class; its instrument halts."""
    _hold(credit_class, True, as_json)


@sandbox_app.command("release")
def release(credit_class: str = CLASS, as_json: bool = JSON_OPTION) -> None:
    """The programme releases a class; its instrument trades again."""
    _hold(credit_class, False, as_json)


def _hold(credit_class: str, held: bool, as_json: bool) -> None:
    with reporting(as_json), Context.load(as_json) as context:
        class_id = context.class_id(credit_class)
        done = _ask(context, "PUT", f"holds/{class_id}", {"held": held})
        _tell(as_json, done, f"class {credit_class} is {'held' if held else 'released'}")


@sandbox_app.command("shortfall")
def shortfall(
    credit_class: str = CLASS,
    tonnes: int = typer.Argument(help="Whole tonnes; 0 brings them back."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Credits of a class leave the trust account, and the reserve report says so."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id = context.class_id(credit_class)
        done = _ask(context, "PUT", f"reserve/{class_id}", {"short_tonnes": str(tonnes)})
        _tell(as_json, done, f"{tonnes} t of class {credit_class} are short")


@sandbox_app.command("stale")
def stale(as_json: bool = JSON_OPTION) -> None:
    """The reserve report is too old for mints: its registry is closed, and time goes past it."""
    _age(True, as_json)


@sandbox_app.command("fresh")
def fresh(as_json: bool = JSON_OPTION) -> None:
    """The registry is open again, and the worker makes the reserve report that is due."""
    _age(False, as_json)


def _age(is_stale: bool, as_json: bool) -> None:
    with reporting(as_json), Context.load(as_json) as context:
        done = _ask(context, "PUT", "reserve", {"stale": is_stale})
        _tell(as_json, done, f"the reserve report is {'stale' if is_stale else 'fresh'}")


@sandbox_app.command("time")
def jump(
    ahead: str = typer.Argument(help="Such as +11d, +3h, +90s; or Unix seconds."),
    as_json: bool = JSON_OPTION,
) -> None:
    """The clocks of chain and registry go ahead; they never go back."""
    with reporting(as_json), Context.load(as_json) as context:
        newest = context.rpc.block("latest")
        assert newest is not None
        second = _second(ahead, newest.timestamp)
        done = _ask(context, "PUT", "time", {"at_least": str(second)})
        _tell(as_json, done, f"it is {done['values']['time']} on chain")


def _second(text: str, now: int) -> int:
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    digits = text.removeprefix("+").rstrip("smhd")
    if not digits.isascii() or not digits.isdigit():
        raise InvalidValue("ahead", text, "is not +11d, +3h, +90s or Unix seconds")
    if not text.startswith("+"):
        return int(text)
    return now + int(digits) * units.get(text[-1], 1)


@sandbox_app.command("reorganise")
def reorganise(
    depth: int = typer.Argument(min=1, help="Chain blocks to replace."),
    as_json: bool = JSON_OPTION,
) -> None:
    """The newest chain blocks are replaced by others; what was sent in them is sent again."""
    with reporting(as_json), Context.load(as_json) as context:
        first = context.rpc.block(max(0, context.rpc.block_number() - depth + 1))
        assert first is not None
        done = _ask(context, "POST", "reorganisations", {"from_hash": first.hash})
        _tell(as_json, done, f"{depth} chain blocks from {first.number} on were replaced")
