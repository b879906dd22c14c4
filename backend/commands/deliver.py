"""Deliveries and deposits: deliver, refund, deliveries, delivery, deposit."""

from __future__ import annotations

from typing import Any

import typer

from backend.bridge.receipts import Terms
from backend.chain import bridge_calls
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, reporting, say, table, utc
from backend.commands.wallet import REQUEST_OPTION, Sent, once
from backend.domain.deliveries import Refund, State
from backend.domain.registry_requests import SerialRange
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue, NotFound
from backend.store.queries import deliveries
from backend.store.queries.classes import get_class
from backend.store.queries.deliveries import Delivery

delivery_app = typer.Typer(no_args_is_help=True, help="What custodians do with a delivery.")
intake_app = typer.Typer(no_args_is_help=True, help="Credits on their way into trust.")
_MOST = 500


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("deliver")(deliver)
    app.command("refund")(refund)
    app.command("deliveries")(list_deliveries)
    app.add_typer(delivery_app, name="delivery")
    app.add_typer(intake_app, name="intake")


def newest_delivery(context: Context, transaction: str) -> Delivery:
    """The delivery that a transaction requested; raises NotFound."""
    with context.database.read() as connection:
        for one in deliveries.list_deliveries(connection, limit=_MOST).items:
            if one.transaction_hash == transaction:
                return one
    raise NotFound(f"{transaction} requested no delivery", transaction=transaction)


def deliver(
    credit_class: str = typer.Argument(metavar="CLASS", help="Class number or token id."),
    tonnes: int = typer.Argument(min=1, help="Whole tonnes."),
    source: str = typer.Option(..., "--from", help="Name of a local key."),
    account: str = typer.Option(..., "--account", help="Registry account to deliver to; public."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Burn tokens and ask for their credits at a registry account."""
    with reporting(as_json), Context.load(as_json) as context:
        class_id, holder = context.class_id(credit_class), context.key(source)
        with context.database.read() as connection:
            programme = get_class(connection, class_id).programme
        # Nothing has been burnt by now.
        context.bridge.permits.require_delivering(programme, account)
        data = bridge_calls.request_delivery(holder.address, class_id, tonnes, account)
        transaction = context.send(once("deliver", request), holder, "Deliveries", data)
        made = newest_delivery(context, transaction)
        emit(as_json, made, lambda: say_delivery(made))


def do_refund(context: Context, delivery_id: int, holder: Any, key: str) -> Sent:
    """The holder takes the tokens back, in the way that the delivery's phase allows now.

    Raises InvalidValue saying from when on it will be allowed.
    """
    now = context.bridge.deliveries.on_chain(str(delivery_id))
    chain_time = context.bridge.services.chain_time()
    if now.phase.state is State.NONE:
        raise NotFound(f"there is no delivery {delivery_id}", delivery_id=delivery_id)
    if not now.phase.state.is_open:
        raise InvalidValue("delivery", delivery_id, f"is {now.phase.state.name.lower()}")
    proof = b""
    # Ordinary by a report whenever one is late enough: at the second deadline it would be disputed.
    if now.phase.can_end() and now.phase.refunded_by_report(context.bridge.reserve.current().as_of):
        with context.database.read() as connection:
            made = deliveries.get_delivery(connection, delivery_id)
        serials = Interval(Series.parse(made.series), made.first, made.last)
        try:
            proof = context.bridge.reserve.proof_of_live(made.class_id, serials).encoded_live()
        except NotFound:
            proof = b""
    allowed = now.phase.refund(now.periods, chain_time)
    if not proof and allowed is Refund.NONE:
        earliest = (
            now.phase.deadline(now.periods)
            if now.phase.state is State.REQUESTED
            else now.phase.second_deadline(now.periods)
        )
        rule = f"cannot be refunded before {earliest} (chain time {chain_time})"
        raise InvalidValue("delivery", delivery_id, rule)
    data = bridge_calls.refund_delivery(delivery_id, proof)
    transaction = context.send(key, holder, "Deliveries", data)
    disputed = not proof and allowed is Refund.DISPUTED
    return Sent(transaction, {"delivery_id": delivery_id, "disputed": disputed})


def refund(
    delivery_id: int = typer.Argument(help="Number of the delivery."),
    source: str = typer.Option(..., "--from", help="Name of the holder's local key."),
    request: str | None = REQUEST_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Take the tokens of a delivery back: the holder alone, when its phase allows it."""
    with reporting(as_json), Context.load(as_json) as context:
        sent = do_refund(context, delivery_id, context.key(source), once("refund", request))
        how = ", disputed until the registry shows the serials" if sent.values["disputed"] else ""
        text = f"delivery {delivery_id} is refunded{how}, {sent.transaction}"
        emit(as_json, sent.document(), lambda: say(text))


def list_deliveries(
    holder: str | None = typer.Option(None, help="Address or local key."),
    state: str | None = typer.Option(None, help="requested, begun, dispatched, finalised …"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Deliveries, the newest first, with their deadlines."""
    with reporting(as_json), Context.load(as_json) as context:
        address = context.address(holder) if holder else None
        with context.database.read() as connection:
            page = deliveries.list_deliveries(connection, holder=address, state=state, limit=_MOST)
        rows = [
            (
                one.delivery_id,
                one.state,
                one.tonnes,
                f"{one.series}/{one.first}-{one.last}",
                one.registry_account,
                utc(one.second_deadline or one.deadline),
                one.bridge_reason or one.bridge_state or "",
            )
            for one in page.items
        ]
        columns = ("delivery", "state", "t", "serials", "to", "deadline", "bridge")
        emit(as_json, {"deliveries": page.items}, lambda: table("deliveries", columns, rows))


def say_delivery(made: Delivery) -> None:
    """A delivery for people."""
    say(f"delivery {made.delivery_id}: {made.state}, {made.tonnes:,} t")
    say(f"  serials  {made.series}/{made.first}-{made.last}")
    say(f"  to       {made.registry_account}")
    say(f"  deadline {utc(made.deadline)}: not begun by then, the holder refunds alone")


# ── custodians ───────────────────────────────────────────────────────────────────────────────


@delivery_app.command("begin")
def begin(
    delivery_id: int = typer.Argument(help="Number of the delivery."),
    key: str = typer.Option("custodian", help="Local key of a custodian."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Begin a delivery, before the registry is touched."""
    with reporting(as_json), Context.load(as_json) as context:
        with context.database.read() as connection:
            made = deliveries.get_delivery(connection, delivery_id)
        programme = Series.parse(made.series).programme
        # Not begun, the holder's refund is ordinary at the deadline.
        context.bridge.permits.require_delivering(programme, made.registry_account)
        data = bridge_calls.begin_delivery(delivery_id)
        sent = context.send(f"begin:{delivery_id}", context.key(key), "Deliveries", data)
        emit(as_json, {"transaction": sent}, lambda: say(f"delivery {delivery_id} begun, {sent}"))


@delivery_app.command("dispatch")
def dispatch(
    delivery_id: int = typer.Argument(help="Number of the delivery."),
    reference: str = typer.Option(..., help="The registry's reference of the transfer."),
    expires: int = typer.Option(..., help="When the transfer expires, Unix seconds."),
    key: str = typer.Option("custodian", help="Local key of a custodian."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Say on chain that the registry has the transfer, with its reference."""
    with reporting(as_json), Context.load(as_json) as context:
        data = bridge_calls.dispatch_delivery(delivery_id, reference, expires)
        sent = context.send(f"dispatch:{delivery_id}", context.key(key), "Deliveries", data)
        emit(as_json, {"transaction": sent}, lambda: say(f"delivery {delivery_id}, {sent}"))


# ── deposits ─────────────────────────────────────────────────────────────────────────────────


@intake_app.command("notice")
def notice(
    reference: str = typer.Argument(help="Your own id of the deposit."),
    trust: str = typer.Option(..., "--trust", help="Trust account, by name or registry account."),
    to: str = typer.Option(..., help="Who gets the tokens: address or local key."),
    serials: list[str] = typer.Option(..., help="SPACE/FIRST-LAST, such as VCS:2/100-199."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Say which credits will come into which trust account; the worker does the rest."""
    with reporting(as_json), Context.load(as_json) as context:
        account = context.custody.trust(trust)
        made = context.bridge.deposits.give_notice(
            reference,
            str(account.account),
            [SerialRange.parse(one) for one in serials],
            context.address(to),
            Terms(account.account_id, account.terms_hash),
        )
        document = {"deposit": made.id, "state": made.state, "content": dict(made.content)}
        emit(as_json, document, lambda: say(f"deposit {made.id}: {made.state}"))


@intake_app.command("list")
def list_deposits(as_json: bool = JSON_OPTION) -> None:
    """Deposits and how far each is."""
    with reporting(as_json), Context.load(as_json) as context:
        flows = context.bridge.parts.flows.of_kind("deposit")
        rows = [
            (one.id, one.state, one.tonnes or "", str(one.content["account"]), one.reason or "")
            for one in flows
        ]
        columns = ("deposit", "state", "t", "account", "why")
        document = {
            "deposits": [
                {"deposit": one.id, "state": one.state, "tonnes": one.tonnes, "reason": one.reason}
                for one in flows
            ]
        }
        emit(as_json, document, lambda: table("deposits", columns, rows))
