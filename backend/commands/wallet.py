"""What a wallet does: transfer and retire; and who may have one: admit, freeze."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from backend.chain import calls
from backend.chain.keys import Key
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, progress, reporting, say
from backend.commands.setup import hex_bytes, text_hash
from backend.domain.instruction_rules import check_instruction
from backend.domain.instructions import RetirementInstruction
from backend.domain.retirements import RetirementDetails, details_of
from backend.domain.units import format_kilograms, parse_kilograms
from backend.errors import InvalidValue, NotAuthorised
from backend.registries.programmes import programme_data
from backend.store.queries import lookup
from backend.store.queries.classes import get_class
from backend.store.registry_requests import RegistryRequests

TIERS = {"none": 0, "retail": 1, "professional": 2, "institution": 3}


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("transfer")(transfer)
    app.command("retire")(retire)
    app.command("admit")(admit)
    app.command("freeze")(freeze)


def once(name: str, request: str | None) -> str:
    """The key of a request: given by the caller to repeat it safely (L10), else a fresh one."""
    return f"{name}:{request or secrets.token_hex(8)}"


REQUEST_OPTION = typer.Option(
    None, "--request", help="Your own id: the same id again has the effect of once."
)


@dataclass(frozen=True)
class Sent:
    """What a command did, for `--json`."""

    transaction: str
    values: dict[str, Any]

    def document(self) -> dict[str, Any]:
        return {"transaction": self.transaction, **self.values}


def do_transfer(
    context: Context, class_id: int, kilograms: int, source: Key, target: str, key: str
) -> Sent:
    """Move kilograms of a class between two wallets."""
    data = calls.transfer(source.address, target, class_id, kilograms)
    transaction = context.send(key, source, "CarbonCredits", data)
    return Sent(
        transaction,
        {"class_id": class_id, "kilograms": kilograms, "from": source.address, "to": target},
    )


def transfer(
    credit_class: str = typer.Argument(metavar="CLASS", help="Class number or token id."),
    amount: str = typer.Argument(help="With its unit: 1500kg or 1.5t."),
    source: str = typer.Option(..., "--from", help="Name of a local key."),
    target: str = typer.Option(..., "--to", help="Address, or name of a local key."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Move credits from a wallet of this machine to another wallet."""
    with reporting(as_json), Context.load(as_json) as context:
        kilograms = parse_kilograms(amount)
        sent = do_transfer(
            context,
            context.class_id(credit_class),
            kilograms,
            context.key(source),
            context.address(target),
            once("transfer", request),
        )
        text = f"{format_kilograms(kilograms)} from {source} to {target}, {sent.transaction}"
        emit(as_json, sent.document(), lambda: say(text))


def do_retire(
    context: Context,
    class_id: int,
    kilograms: int,
    holder: Key,
    owner: str,
    details: RetirementDetails,
    key: str,
) -> Sent:
    """Retire kilograms; public texts go on chain, private ones only as their salted hash."""
    data = calls.retire(holder.address, class_id, kilograms, owner, details)
    return _certified(context, context.send(key, holder, "CarbonCredits", data), details)


def do_close(context: Context, class_id: int, holder: Key, key: str) -> Sent:
    """Retire exactly what is left of the class's open tonne, from the holder's tokens."""
    state = context.contracts.positions(class_id).positions
    if not state.dust:
        raise InvalidValue("class", class_id, "has no open tonne")
    data = calls.close_open_tonne(class_id, state.open_tonne)
    return _certified(context, context.send(key, holder, "CarbonCredits", data), None)


def _certified(context: Context, transaction: str, details: RetirementDetails | None) -> Sent:
    with context.database.read() as connection:
        found = lookup.certificates_of_transaction(connection, transaction)
    values: dict[str, Any] = {"certificates": found}
    if details is not None and not details.is_public:
        values["salt"] = details.salt
        values["details_hash"] = details.hash
    return Sent(transaction, values)


def retire(
    credit_class: str = typer.Argument(metavar="CLASS", help="Class number or token id."),
    amount: str | None = typer.Argument(None, help="With its unit: 1234kg or 1.5t."),
    source: str = typer.Option(..., "--from", help="Name of a local key."),
    beneficiary: str = typer.Option("", help="For whom; at most 256 bytes."),
    purpose: str = typer.Option("", help="Why; at most 256 bytes."),
    period: str = typer.Option("", help="For which period; at most 256 bytes."),
    private: bool = typer.Option(False, "--private", help="Only a salted hash goes on chain."),
    owner: str | None = typer.Option(None, help="Who gets the certificate; default the wallet."),
    instruction: Path | None = typer.Option(
        None, help="JSON file with everything the registry asks, in place of the words above."
    ),
    close: bool = typer.Option(False, "--close", help="Retire what is left of the open tonne."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Retire credits for ever and get a certificate."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id, holder = context.class_id(credit_class), context.key(source)
        if close == (amount is not None):
            raise InvalidValue("amount", amount, "is given unless --close is")
        with context.database.read() as connection:
            programme = get_class(connection, class_id).programme
        # Nothing has been burnt by now.
        context.bridge.permits.require_retiring(programme)
        if amount is None:
            sent = do_close(context, class_id, holder, once("close", request))
        else:
            if instruction is not None:
                if beneficiary or purpose or period or private:
                    rule = "says beneficiary, purpose, period and privacy already"
                    raise InvalidValue("instruction", str(instruction), rule)
                details = _instructed(context, programme, instruction, holder, request)
            else:
                salt = _salt(holder, request) if private else bytes(32)
                details = RetirementDetails(beneficiary, purpose, period, salt=salt)
            kilograms = parse_kilograms(amount)
            to = context.address(owner) if owner else holder.address
            key = once("retire", request)
            sent = do_retire(context, class_id, kilograms, holder, to, details, key)
        emit(as_json, sent.document(), lambda: _say_certificate(context, sent))


def _instructed(
    context: Context, programme: str, path: Path, holder: Key, request: str | None
) -> RetirementDetails:
    """Words and hash of an instruction that the class's programme would take, and we then have.

    Raises ProgrammeForbids with every rule it breaks: nothing has been burnt by then.
    """
    said = instruction_from(programme, path, holder, request)
    private = not said.is_public
    rules = programme_data(programme).rules
    check_instruction(rules, said, datetime.now(UTC).date())
    for notice in rules.notices:
        progress(f"note: {notice}")
    details = details_of(said, _salt(holder, request) if private else bytes(32))
    RegistryRequests(context.database).keep_instruction(said, details.hash)
    return details


def instruction_from(
    programme: str, path: Path, holder: Key, request: str | None
) -> RetirementInstruction:
    """The instruction of a file; a private one without a salt gets one that nobody can guess."""
    content = {"programme": programme, **_json_object(path)}
    if content.get("is_public") is False and "salt" not in content:
        content["salt"] = "0x" + _salt(holder, request and f"{request}:instruction").hex()
    return RetirementInstruction.from_json(content)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidValue("instruction", str(path), f"cannot be read: {error}") from None
    except ValueError as error:
        raise InvalidValue("instruction", str(path), f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidValue("instruction", str(path), "is not a JSON object")
    return found


def _salt(holder: Key, request: str | None) -> bytes:
    """A salt nobody can guess; the same for the same request, so that repeating is harmless."""
    if request is None:
        return secrets.token_bytes(32)
    return holder.derive(f"retire:{request}")


def _say_certificate(context: Context, sent: Sent) -> None:
    for certificate in sent.values["certificates"]:
        say(f"certificate {certificate}, {sent.transaction}")
        say(f"  {context.settings.api_url}/certificates/{certificate}")
    if "salt" in sent.values:
        say(f"  keep the salt, it proves the texts: 0x{sent.values['salt'].hex()}")


def do_admit(
    context: Context, account: str, tier: int, jurisdiction: str, expiry: int, key: str
) -> Sent:
    """Admit an address as a participant; the registrar's key sends it."""
    data = calls.admit(account, tier, jurisdiction, expiry)
    registrar = context.key("registrar")
    transaction = context.send(key, registrar, "Participants", data)
    return Sent(transaction, {"account": account, "tier": tier, "expiry": expiry})


def admit(
    account: str = typer.Argument(help="Address, or name of a local key (made if missing)."),
    tier: str = typer.Option("retail", help=f"One of {', '.join(TIERS)}; none ends admission."),
    jurisdiction: str = typer.Option("HK", help="ISO 3166-1 alpha-2."),
    expiry: str | None = typer.Option(None, help="YYYY-MM-DD, inclusive; default in a year."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Admit an address to hold credits."""
    with reporting(as_json), Context.load(as_json) as context:
        if tier not in TIERS:
            raise InvalidValue("tier", tier, f"is not one of {', '.join(TIERS)}")
        until = _end_of_day(expiry)
        if not account.startswith("0x"):
            context.keys.create_if_missing(account)
        address = context.address(account)
        key = once("admit", request)
        sent = do_admit(context, address, TIERS[tier], jurisdiction, until, key)
        text = f"{address} is {tier}, {jurisdiction}, until {until}, {sent.transaction}"
        emit(as_json, sent.document(), lambda: say(text))


def _end_of_day(day: str | None) -> int:
    if day is None:
        return int((datetime.now(UTC) + timedelta(days=365)).timestamp())
    try:
        start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidValue("expiry", day, "is not a day in the form YYYY-MM-DD") from None
    return int(start.timestamp()) + 86_399


def do_freeze(context: Context, account: str, frozen: bool, order: str, key: str) -> Sent:
    """Freeze or unfreeze under a legal order, signed by as many local freezers as are needed."""
    order_hash = text_hash(order)
    nonce = int.from_bytes(text_hash(f"{key}:{account}:{frozen}:{order}")[:8], "big")
    read = context.contracts.read
    digest = hex_bytes(read("LegalOrders", "hashFreeze", account, frozen, order_hash, nonce))
    needed: int = read("LegalOrders", "thresholds")["freezers"]
    listed = {address.lower() for address in context.deployment.roles.freezers}
    held = [signer for signer in context.keys.list() if signer.address.lower() in listed]
    if len(held) < needed:
        raise NotAuthorised(
            f"{needed} freezers must sign, {len(held)} keys of freezers are here",
            needed=needed,
            held=len(held),
        )
    signatures = [(one.address, one.sign(digest)) for one in held[:needed]]
    data = calls.set_frozen(account, frozen, order_hash, nonce, signatures)
    transaction = context.send(key, context.key("bridge"), "LegalOrders", data)
    return Sent(
        transaction,
        {"account": account, "frozen": frozen, "order_hash": order_hash, "nonce": nonce},
    )


def freeze(
    account: str = typer.Argument(help="Address, or name of a local key."),
    order: str = typer.Option(..., help="Name of the legal order; its keccak256 is published."),
    lift: bool = typer.Option(False, "--lift", help="Unfreeze."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Freeze an account under a published legal order (M of N signers), or lift it."""
    with reporting(as_json), Context.load(as_json) as context:
        address = context.address(account)
        sent = do_freeze(context, address, not lift, order, once("freeze", request))
        done = "unfrozen" if lift else "frozen"
        emit(as_json, sent.document(), lambda: say(f"{address} is {done}, {sent.transaction}"))
