"""A signer's own process: looks at the evidence itself, then signs what is true (L5).

Custodian and attestor each run it with their own key. What a person decides (events of programmes,
substitutes, deposits without a registry to ask) no machine signs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from backend.bridge import unconfirmed
from backend.bridge.delivery_flow import serials_of, transfer_reference
from backend.bridge.parts import Parts
from backend.chain.keys import Key
from backend.domain.registry_answers import Answer, AnswerState
from backend.errors import CausewayError, NotFound, RegistryUnavailable
from backend.store.custody import Approval, Custody, StoredConfirmation, StoredReceipt
from backend.store.statements import Statement

log = structlog.get_logger("signer")


class Signers:
    """Signs open drafts with the keys that this machine holds; `keys` by name."""

    def __init__(self, parts: Parts, keys: Callable[[], Sequence[Key]]) -> None:
        self._parts = parts
        self._keys = keys
        self._custody = Custody(parts.database)
        #: Said once: why a draft is not signed.
        self._said: set[tuple[str, str]] = set()

    def sign_all(self) -> int:
        """Sign every open draft that is true; returns how many signatures were made."""
        keys = self._keys()
        if not keys:
            return 0
        made = 0
        receipts = self._custody.open_receipts()
        deposits = self._deposits() if receipts else set()
        for receipt in receipts:
            if receipt.id in deposits:
                made += self._sign(receipt.id, receipt.approvals, keys, self._receipt, receipt)
        confirmations = self._custody.open_confirmations()
        asked = self._asked() if confirmations else {}
        for confirmation in confirmations:
            check = partial(self._confirmation, asked.get(confirmation.id))
            made += self._sign(confirmation.id, confirmation.approvals, keys, check, confirmation)
        for statement in self._parts.statements.stored.open():
            made += self._sign(statement.id, statement.approvals, keys, self._statement, statement)
        return made

    def _deposits(self) -> set[str]:
        """Receipts that follow from deposits seen at a registry."""
        flows = self._parts.flows.of_kind("deposit", only_open=True)
        return {str(flow.content["receipt"]) for flow in flows if "receipt" in flow.content}

    def _asked(self) -> dict[str, str]:
        """What was asked of registries, by the confirmation that follows from it."""
        flows = self._parts.flows.of_kind("retirement", only_open=True)
        return {
            str(flow.content["confirmation"]): str(flow.content["reference"])
            for flow in flows
            if "confirmation" in flow.content
        }

    def _sign(
        self,
        subject: str,
        approvals: Sequence[Approval],
        keys: Sequence[Key],
        check: Callable[..., Callable[[Key], object] | str],
        held: object,
    ) -> int:
        signed = {one.signer.lower() for one in approvals}
        missing = [key for key in keys if key.address.lower() not in signed]
        if not missing:
            return 0
        try:
            found = check(held)
            if isinstance(found, str):
                self._say(subject, found)
                return 0
            for key in missing:
                found(key)
        except CausewayError as error:
            self._say(subject, error.message)
            return 0
        return len(missing)

    def _say(self, subject: str, reason: str) -> None:
        if (subject, reason) not in self._said:
            self._said.add((subject, reason))
            log.info("not signed", subject=subject, reason=reason)

    # ── checks: what to sign with, or why not ────────────────────────────────────────────────

    def _receipt(self, held: StoredReceipt) -> Callable[[Key], object] | str:
        for account in self._parts.holdings.accounts:
            if account.account.id != held.receipt.account:
                continue
            inventory = account.client.inventory(account.account)
            live = [block.serials for block in inventory.blocks]
            for wanted in held.receipt.intervals:
                if not any(
                    one.space == str(wanted.series)
                    and one.first <= wanted.first
                    and wanted.last <= one.last
                    for one in live
                ):
                    return f"{wanted} is not live in {account.account}"
            return lambda key: self._parts.receipts.sign(held.id, key)
        return "no registry is connected to its account: a person signs"

    def _confirmation(
        self, reference: str | None, held: StoredConfirmation
    ) -> Callable[[Key], object] | str:
        if reference is None:
            return "no registry was asked by us: a person signs"
        answer = self._ask(reference)
        said = [str(part) for part in answer.serials]
        wanted = [str(one) for one in held.retirement.actual]
        same = answer.registry_reference == held.retirement.registry_reference
        if answer.state is not AnswerState.DONE or not same or said != wanted:
            return f"the registry says {answer.state} {answer.registry_reference}: {said}"
        return lambda key: self._parts.confirmations.sign(held.id, key)

    def _statement(self, held: Statement) -> Callable[[Key], object] | str:
        if held.type == "ReserveReport":
            return self._report(held)
        if held.type not in ("Finalisation", "Rejection", "RegistryFailure"):
            return "a person signs"
        assert held.flow_kind is not None
        assert held.flow is not None
        references = [
            one.request.reference for one in self._parts.requests.of_flow(held.flow_kind, held.flow)
        ]
        if not references:
            return self._never_asked(held)
        answer = self._ask(references[-1])
        if held.type == "Finalisation":
            true = answer.state is AnswerState.DONE
            true &= answer.registry_reference == held.content["registryReference"]
        else:
            refusals = (AnswerState.REFUSED, AnswerState.REJECTED, AnswerState.EXPIRED)
            true = answer.state in refusals
        if not true:
            return f"the registry says {answer.state} {answer.registry_reference}"
        return lambda key: self._parts.statements.sign(held.id, key)

    def _never_asked(self, held: Statement) -> Callable[[Key], object] | str:
        """A rejection of what no registry was asked to transfer, and none ever can: the registry
        itself says that it knows of no transfer, and that it retired the serials.
        """
        if held.type != "Rejection":
            return "no registry was asked by us: a person signs"
        flow = self._parts.flows.get("delivery", str(held.flow))
        reference = transfer_reference(self._parts.services.chain_id, flow.id)
        assert flow.class_id is not None
        for answer in unconfirmed.retired(self._parts.database, flow.class_id):
            said = self._ask(answer.reference)
            retired = any(part.interval.overlaps(serials_of(flow)) for part in said.serials)
            asked = self._parts.requests.get(answer.reference).request
            account = self._parts.holdings.by_text(str(asked.account))
            if said.state is AnswerState.DONE and retired:
                if account.client.look_up(reference) is not None:
                    return f"the registry knows {reference}"
                return lambda key: self._parts.statements.sign(held.id, key)
        return "no registry says that it retired its serials: a person signs"

    def _report(self, held: Statement) -> Callable[[Key], object] | str:
        """Built anew from the registries and the chain: the same classes, nothing covered more."""
        sequence = self._parts.reserve.current().sequence
        if int(held.content["sequence"]) != sequence + 1:
            return f"the newest report on chain is {sequence}"
        trees = self._parts.reserve.trees(held.id)
        if "0x" + trees.reserve.tree.root.hash.hex() != held.content["root"]:
            return "its root is not that of its trees"
        excess = self._parts.reserve.excess(held.id, self._parts.reserve.build())
        if excess:
            return "; ".join(
                f"class {one}: {tonnes} t are not covered" for one, tonnes in excess.items()
            )
        return lambda key: self._parts.statements.sign(held.id, key)

    def _ask(self, reference: str) -> Answer:
        """The registry's own word, now; not what our database remembers."""
        held = self._parts.requests.get(reference)
        account = self._parts.holdings.by_text(str(held.request.account))
        answer = account.client.look_up(reference)
        if answer is None:
            raise NotFound(f"the registry knows no {reference}", reference=reference)
        if answer.state is AnswerState.UNKNOWN:
            raise RegistryUnavailable(f"the registry does not say how {reference} stands")
        return answer
