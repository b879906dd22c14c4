"""Custody: tokenize, approve, confirm-retirement. This machine holds the keys of all parties."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import TypeVar

import typer

from backend.bridge.receipts import WAITS, Terms
from backend.bridge.selection import Lot, lots_of
from backend.bridge.service import CONFIRMATION
from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, emit, progress, reporting, say
from backend.commands.setup import text_hash
from backend.commands.statements import sign_and_submit
from backend.domain.classes import as_yyyymmdd
from backend.domain.serials import Interval, Series
from backend.errors import ChainRejected, InvalidValue, NotFound, ServiceError
from backend.store.custody import Custody, StoredConfirmation, StoredReceipt
from backend.store.queries import registry
from backend.store.queries.registry import RegistryBlock

#: Who signs on this machine.
SIGNERS = ("custodian", "attestor")
#: How long a command waits for a flow to end, in seconds.
PATIENCE = 60.0
_PAGE = 500
#: What the demo trust says of itself; a real one names its own deed.
DEFAULT_ACCOUNT = "SAMPLE-TRUST-ACCOUNT"
DEFAULT_TERMS = "Sample terms of a demonstration trust: no rights arise from them."

Flow = TypeVar("Flow", StoredReceipt, StoredConfirmation)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("tokenize")(tokenize)
    app.command("approve")(approve)
    app.command("cancel-receipt")(cancel_receipt)
    app.command("confirm-retirement")(confirm_retirement)


def tokenizable(context: Context, programme: str, project: str) -> list[RegistryBlock]:
    """Imported rows of a project with serials that can go into trust."""
    found: list[RegistryBlock] = []
    cursor: str | None = None
    with context.database.read() as connection:
        while True:
            page = registry.list_blocks(
                connection,
                programme=programme,
                project=project,
                tokenizable=True,
                cursor=cursor,
                limit=_PAGE,
            )
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


def why_not(context: Context, programme: str, project: str) -> str:
    """Why no row of a project can be tokenized, in words."""
    with context.database.read() as connection:
        page = registry.list_blocks(connection, programme=programme, project=project, limit=_PAGE)
    if not page.items:
        return f"no credits of {programme}-{project} were imported"
    reasons = sorted({reason for row in page.items for reason in row.reasons})
    return f"no credits of {programme}-{project} can be tokenized: {'; '.join(reasons)}"


def _touches(row: RegistryBlock, year: int) -> bool:
    start, end = row.vintage_start, row.vintage_end
    return start is not None and end is not None and start.year <= year <= end.year


def select_lots(
    context: Context, project: str, vintage: int | None, labels: str | None, tonnes: int | None
) -> list[Lot]:
    """Lots of a project (`VCS-1340`), narrowed to a vintage's year or an exact set of labels."""
    programme, _, number = project.partition("-")
    if not number:
        raise InvalidValue("project", project, "is not PROGRAMME-NUMBER, such as VCS-1340")
    rows = tokenizable(context, programme, number)
    if vintage is not None:
        rows = [row for row in rows if _touches(row, vintage)]
    if labels is not None:
        wanted = tuple(sorted(filter(None, labels.split(","))))
        rows = [row for row in rows if row.cohort == wanted]
    lots = lots_of(rows, tonnes)
    if not lots:
        raise NotFound(why_not(context, programme, number), project=project)
    return lots


def do_tokenize(context: Context, lot: Lot, recipient: str, terms: Terms) -> StoredReceipt:
    """Draft, sign with the local custodian and attestor, and see it through to the mint."""
    drafted = context.bridge.receipts.draft(lot, recipient, terms)
    for name in SIGNERS:
        context.bridge.receipts.sign(drafted.id, context.key(name))
    payer = context.key("bridge")

    def advance() -> StoredReceipt:
        held = context.bridge.receipts.advance(drafted.id, payer)
        if held.reason is not None and held.reason.startswith(WAITS):
            report_reserve(context)
        return held

    return settled(context, advance, ("minted",))


def report_reserve(context: Context) -> None:
    """See a reserve report on chain that this machine's custodian and attestor sign.

    The worker may be drafting or signing one too: then its is the one.
    """
    drafted = context.bridge.reserve.tend(uncovered=True)
    if drafted is None:
        return
    with suppress(ChainRejected):  # another report was faster: the next step sees whether it covers
        sign_and_submit(context, drafted, SIGNERS)


def settled(context: Context, advance: Callable[[], Flow], wanted: tuple[str, ...]) -> Flow:
    """Step a flow until it ends; the worker may be stepping it too, and that is harmless."""
    deadline = time.monotonic() + PATIENCE
    while True:
        flow = advance()
        if flow.state.value in wanted:
            return flow
        if flow.state.value in ("failed", "cancelled"):
            raise ChainRejected(f"{flow.id} {flow.state.value}: {flow.reason}", id=flow.id)
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{flow.id} is {flow.state.value} after {PATIENCE:.0f} s"
                + (f": {flow.reason}" if flow.reason else "; `causeway holdings` shows it later"),
                id=flow.id,
            )
        if flow.transaction_key is not None:
            done = context.sender.wait(flow.transaction_key, PATIENCE)
            if done.block_number is not None:
                context.wait_indexed(done.block_number)
        else:
            time.sleep(0.2)


def require_admitted(context: Context, account: str) -> None:
    """Raise InvalidValue unless the account may receive credits now."""
    held = context.contracts.participant(account)
    now = context.rpc.block("latest")
    if held.tier == 0:
        raise InvalidValue("to", account, "is not admitted: `causeway admit` does it")
    if held.frozen_since:
        raise InvalidValue("to", account, "is frozen")
    if now is not None and held.expiry < now.timestamp:
        raise InvalidValue("to", account, f"was admitted until {held.expiry}")


def tokenize(
    project: str = typer.Argument(help="PROGRAMME-NUMBER, such as VCS-1340."),
    to: str = typer.Option(..., help="Who gets the tokens: address or local key."),
    tonnes: int | None = typer.Option(None, min=1, help="At most so many; default all."),
    vintage: int | None = typer.Option(None, help="Only vintages that touch this year."),
    labels: str | None = typer.Option(None, help="Only this set of label codes, comma-separated."),
    account: str = typer.Option(DEFAULT_ACCOUNT, help="Reference of the registry account."),
    terms: str = typer.Option(DEFAULT_TERMS, help="Text of the trust's terms; its hash is signed."),
    draft_only: bool = typer.Option(False, "--draft", help="Only draft; others sign and submit."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Put imported active credits into trust and mint their tokens: one receipt per class."""
    with reporting(as_json), Context.load(as_json) as context:
        recipient = context.address(to)
        # Signed first and refused at the mint, it would hold its serials for 30 days.
        require_admitted(context, recipient)
        conditions = Terms(text_hash(account), text_hash(terms))
        done: list[StoredReceipt] = []
        lots = select_lots(context, project, vintage, labels, tonnes)
        for number, lot in enumerate(lots, 1):
            progress(f"receipt {number} of {len(lots)}: {lot.tonnes:,} t of {lot.credit_class}")
            if draft_only:
                done.append(context.bridge.receipts.draft(lot, recipient, conditions))
            else:
                done.append(do_tokenize(context, lot, recipient, conditions))
        emit(as_json, {"receipts": [receipt_document(one) for one in done]}, lambda: _say(done))


def receipt_document(held: StoredReceipt) -> dict[str, object]:
    """A receipt for `--json`."""
    return {
        "receipt_id": held.id,
        "state": held.state.value,
        "class_id": held.receipt.credit_class.token_id,
        "tonnes": held.receipt.tonnes,
        "recipient": held.receipt.recipient,
        "serials": [str(interval) for interval in held.receipt.intervals],
        "valid_until": held.receipt.valid_until,
        "signers": [approval.signer for approval in held.approvals],
        "transaction_key": held.transaction_key,
    }


def _say(receipts: list[StoredReceipt]) -> None:
    for held in receipts:
        say(f"receipt {held.id}: {held.state.value}, {held.receipt.tonnes:,} t")
        say(f"  class  {held.receipt.credit_class}")
        for interval in held.receipt.intervals:
            say(f"  serial {interval}")


def approve(
    receipt_id: str = typer.Argument(help="Id of a drafted receipt."),
    key: str = typer.Option(..., help="Local key of a custodian or an attestor."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Sign a drafted receipt; with enough signatures the worker submits it."""
    with reporting(as_json), Context.load(as_json) as context:
        held = context.bridge.receipts.sign(receipt_id, context.key(key))
        emit(as_json, receipt_document(held), lambda: _say([held]))


def cancel_receipt(
    receipt_id: str = typer.Argument(help="Id of a receipt that is not minted."),
    key: str = typer.Option("custodian", help="Local key of a custodian or an attestor."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Cancel a receipt on chain; its serials are free again."""
    with reporting(as_json), Context.load(as_json) as context:
        context.bridge.receipts.cancel(receipt_id, context.key(key))
        context.sender.wait(f"cancel:{receipt_id}", PATIENCE)
        held = context.bridge.receipts.advance(receipt_id, context.key("bridge"))
        emit(as_json, receipt_document(held), lambda: _say([held]))


def parse_serials(texts: list[str]) -> list[Interval]:
    """`VCS:2/100-199` or `VCS:2/100` as intervals."""
    found = []
    for text in texts:
        series, _, numbers = text.partition("/")
        first, _, last = numbers.partition("-")
        if not (first.isdecimal() and (not last or last.isdecimal()) and numbers.isascii()):
            raise InvalidValue("serials", text, "is not SERIES/FIRST-LAST, such as VCS:2/100-199")
        found.append(Interval(Series.parse(series), int(first), int(last or first)))
    return found


def do_confirm(
    context: Context,
    certificate_id: int,
    reference: str,
    day: date,
    actual: list[Interval] | None,
) -> list[StoredConfirmation]:
    """Draft, sign and record what the registry answered for a certificate."""
    evidence = text_hash(f"{reference}\n{day.isoformat()}\n{certificate_id}")
    drafted = context.bridge.confirmations.draft(
        certificate_id, reference, as_yyyymmdd(day), actual, evidence
    )
    payer = context.key("bridge")
    done = []
    for one in drafted:
        for name in SIGNERS:
            context.bridge.confirmations.sign(one.id, context.key(name))

        def advance(confirmation_id: str = one.id) -> StoredConfirmation:
            context.bridge.advance(CONFIRMATION, confirmation_id, payer)
            return Custody(context.database).confirmation(confirmation_id)

        done.append(settled(context, advance, ("recorded",)))
    return done


def confirm_retirement(
    certificate: int = typer.Argument(help="Number of the certificate."),
    reference: str = typer.Option(..., help="The registry's own reference of the retirement."),
    day: str = typer.Option(..., "--date", help="When the registry retired, YYYY-MM-DD."),
    serials: list[str] = typer.Option(
        [], help="What the registry retired, SERIES/FIRST-LAST; default the expected serials."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Record that the registry has retired a certificate's serials, with the actual ones."""
    with reporting(as_json), Context.load(as_json) as context:
        try:
            on = date.fromisoformat(day)
        except ValueError:
            raise InvalidValue("date", day, "is not a day in the form YYYY-MM-DD") from None
        actual = parse_serials(serials) or None
        done = do_confirm(context, certificate, reference, on, actual)
        document = {
            "confirmations": [
                {
                    "confirmation_id": held.id,
                    "state": held.state.value,
                    "class_id": held.retirement.class_id,
                    "first_position": held.retirement.first_position,
                    "tonnes": held.retirement.tonnes,
                    "serials": [str(interval) for interval in held.retirement.actual],
                }
                for held in done
            ]
        }

        def text() -> None:
            for held in done:
                say(f"confirmed {held.id}: {held.retirement.tonnes:,} t, {reference}")
                for interval in held.retirement.actual:
                    say(f"  serials {interval}")

        emit(as_json, document, text)
