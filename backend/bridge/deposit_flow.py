"""A deposit: notice → immobilised in a trust account → receipt → approvals → report → minted.

Where the programme allows no tokens the credits stay in custody as a ledger: the flow ends there.
"""

from __future__ import annotations

from collections.abc import Sequence

from backend.bridge.parts import POLL_SECONDS, SLOW_SECONDS, Parts
from backend.bridge.permits import Permits
from backend.bridge.receipts import Terms
from backend.bridge.selection import Lot
from backend.domain.classes import CreditClass
from backend.domain.ledger import LedgerClass, check_serials
from backend.domain.registry_requests import SerialRange, check_reference
from backend.domain.serials import merge, subtract
from backend.errors import DuplicateOpen, InvalidValue, RuleError, SerialsOverlap
from backend.store import ledger
from backend.store.custody import Custody, ReceiptState
from backend.store.flows import Flow, move_flow
from backend.store.holdings import imported_classes
from backend.store.queries import registry

DEPOSIT = "deposit"
#: How long a notice waits for its credits, in seconds.
NOTICE_SECONDS = 30 * 86_400


class DepositFlow:
    """The deposits of one deployment."""

    def __init__(self, parts: Parts, permits: Permits) -> None:
        self._parts = parts
        self._permits = permits
        self._custody = Custody(parts.database)

    def give_notice(
        self,
        reference: str,
        account: str,
        serials: Sequence[SerialRange],
        recipient: str,
        terms: Terms,
    ) -> Flow:
        """A depositor says what they will move into which trust account, and who gets tokens.

        The same notice again gives the one that is there. Raises InvalidValue when the serials
        overlap each other or are of several spaces.
        """
        check_reference(reference)
        check_serials(serials)
        content = {
            "account": account,
            "serials": [str(one) for one in serials],
            "recipient": recipient,
            "account_id": "0x" + terms.account.hex(),
            "terms_hash": "0x" + terms.terms_hash.hex(),
        }
        made = self._parts.flows.begin(
            DEPOSIT,
            reference,
            "noticed",
            content,
            tonnes=sum(one.tonnes for one in serials),
            deadline=self._parts.services.chain_time() + NOTICE_SECONDS,
        )
        if dict(made.content) | content != dict(made.content):
            raise InvalidValue("reference", reference, "was used for another deposit")
        return made

    def advance(self, flow: Flow) -> None:
        """One step; harmless to repeat."""
        if flow.state == "noticed":
            self._look(flow)
        elif flow.state == "immobilised":
            self._draft(flow)
        elif flow.state == "receipt":
            self._follow(flow)

    def _look(self, flow: Flow) -> None:
        missing = self._missing(flow)
        if not missing:
            self._parts.flows.move(flow, "immobilised")
        elif flow.deadline is not None and self._parts.services.chain_time() > flow.deadline:
            reason = f"{missing[0]} did not arrive in time"
            self._parts.flows.move(flow, "failed", ended=True, reason=reason)
        else:
            self._parts.flows.wait(flow, POLL_SECONDS, f"{missing[0]} is not there yet")

    def _missing(self, flow: Flow) -> list[SerialRange]:
        """The serials that the registry's inventory of the account does not hold live now."""
        account = self._parts.holdings.by_text(str(flow.content["account"]))
        inventory = account.inventory()
        return [one for one in _serials(flow) if not inventory or not inventory.holding(one)]

    def _draft(self, flow: Flow) -> None:
        account = str(flow.content["account"])
        serials = _serials(flow)
        ledger_only = self._permits.is_ledger_only(account.partition(":")[0])
        bars = (
            self._permits.custody_bars(account)
            if ledger_only
            else self._permits.bars(account, serials)
        )
        if bars:
            self._parts.flows.wait(flow, SLOW_SECONDS, "; ".join(bars))
            return
        if ledger_only:
            self._keep(flow, serials)
            return
        try:
            lot = self._lot(serials)
        except RuleError as error:
            # The next import may say what the credits are.
            self._parts.flows.wait(flow, SLOW_SECONDS, error.message)
            return
        missing = self._missing(flow)
        if missing:
            self._parts.flows.wait(flow, SLOW_SECONDS, f"{missing[0]} has left the account")
            return
        terms = Terms(
            bytes.fromhex(str(flow.content["account_id"])[2:]),
            bytes.fromhex(str(flow.content["terms_hash"])[2:]),
        )
        until = flow.content.get("valid_until")
        if until is None:
            # Kept before it is drafted: the same receipt, with the same id, after a crash.
            until = self._parts.services.chain_time() + terms.valid_seconds
            content = {**flow.content, "valid_until": until}
            flow = self._parts.flows.move(flow, flow.state, content=content)
        try:
            held = self._parts.receipts.draft(
                lot,
                str(flow.content["recipient"]),
                terms,
                valid_until=int(until),
                confirmed=lot.intervals,
            )
        except DuplicateOpen as error:
            # A person has to decide first: nothing of the project is minted until then.
            self._parts.flows.wait(flow, SLOW_SECONDS, error.message)
            return
        content = {**flow.content, "receipt": held.id}
        self._parts.flows.move(flow, "receipt", content=content, class_id=lot.credit_class.token_id)

    def _keep(self, flow: Flow, serials: Sequence[SerialRange]) -> None:
        """Take them into the ledger: the notice's recipient owns them from now on."""
        account = self._parts.holdings.by_text(str(flow.content["account"]))
        inventory = account.inventory()
        blocks = [inventory.holding(one) if inventory else None for one in serials]
        kept = [
            (one, LedgerClass.of(account.account, block))
            for one, block in zip(serials, blocks, strict=True)
            if block is not None
        ]
        if len(kept) < len(serials):
            self._parts.flows.wait(flow, SLOW_SECONDS, "some of them have left the account")
            return
        owner, now = str(flow.content["recipient"]), self._parts.services.chain_time()
        try:
            with self._parts.database.begin() as connection:
                ledger.keep(connection, flow.id, str(account.account), owner, kept, now)
                reason = "the programme allows no tokens: kept as a ledger"
                move_flow(connection, flow, "kept", ended=True, reason=reason)
        except SerialsOverlap as error:
            # Somebody else's already (L2): this notice can never be true.
            self._parts.flows.move(flow, "failed", ended=True, reason=error.message)

    def _lot(self, serials: Sequence[SerialRange]) -> Lot:
        """One class over all of the serials; raises InvalidValue naming what does not fit."""
        intervals = tuple(one.interval for one in serials)
        classes: set[CreditClass] = set()
        rows: dict[int, registry.RegistryBlock] = {}
        with self._parts.database.read() as connection:
            for interval in intervals:
                parts = imported_classes(connection, interval)
                missing = subtract([interval], merge(part for part, _ in parts))
                if missing:
                    rule = "is in no imported row with a class: import the newest export"
                    raise InvalidValue("serials", str(missing[0]), rule)
                classes |= {credit_class for _, credit_class in parts}
                wanted = (str(interval.series), interval.first, interval.last)
                for row in registry.blocks_holding(connection, [wanted]):
                    rows[row.id] = row
        if len(classes) > 1:
            named = "; ".join(sorted(map(str, classes)))
            raise InvalidValue("serials", len(serials), f"are of several classes: {named}")
        return Lot(classes.pop(), intervals, tuple(rows.values()))

    def _follow(self, flow: Flow) -> None:
        held = self._custody.receipt(str(flow.content["receipt"]))
        if held.state is ReceiptState.MINTED:
            self._parts.flows.move(flow, "minted", ended=True)
        elif held.state in (ReceiptState.CANCELLED, ReceiptState.FAILED):
            self._parts.flows.move(flow, held.state.value, ended=True, reason=held.reason)
        else:
            self._parts.flows.wait(flow, POLL_SECONDS, held.reason)


def _serials(flow: Flow) -> list[SerialRange]:
    return [SerialRange.parse(text) for text in flow.content["serials"]]
