"""Acts of the bridge on a history: deliveries, refunds, failures, holds, gaps, a conversion.

What is left afterwards is sound: every gap is covered again or its tokens are locked, every hold is
released. Each act is one of a custodian and an attestor, or of a holder alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eth_utils.crypto import keccak

from backend.chain import abi, bridge_calls, calls
from backend.chain.keys import Key
from backend.chain.sender import Call
from backend.domain import deliveries, eip712, programme_events, records
from backend.domain.classes import CreditClass
from backend.domain.deliveries import Finalisation, Rejection
from backend.domain.programme_events import (
    Conversion,
    Invalidation,
    Kind,
    ProgrammeEvent,
    Substitution,
)
from backend.domain.records import MadeGood, RegistryFailure
from backend.domain.reserve import Liabilities, Liability
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Interval

if TYPE_CHECKING:
    from scripts.load_history import History

GAS = 3_000_000
DAY = 20260501
EVIDENCE = keccak(text="evidence of the bridge")


class BridgeActs:
    """Everything once, on classes of a history; `spare` are serials that nothing has minted."""

    def __init__(self, history: History, spare: Sequence[tuple[CreditClass, Interval]]) -> None:
        self.history, self.spare = history, list(spare)
        self.contracts, self.deployment = history.contracts, history.deployment
        self._sent = 0

    def run(self) -> None:
        """One of each; a class without enough tonnes or holders is passed over."""
        for number, class_id in enumerate(self.history.class_ids):
            self.history.refresh()
            holder = self._holder(class_id, 8_000)
            if holder is None:
                continue
            if number % 3 == 0:
                self.deliver(holder, class_id)
            elif number % 3 == 1:
                self.hold(class_id)
                self.replace(class_id)
                self.fail(holder, class_id)
            else:
                self.convert(holder, class_id)
            self.retire(holder, class_id, 1_500)

    # ------------------------------------------------------------------- acts

    def deliver(self, holder: Key, class_id: int) -> None:
        """One delivery that ends at the recipient, one that is refused and refunded."""
        for finalised in (True, False):
            data = bridge_calls.request_delivery(holder.address, class_id, 1, "ACC-LOAD")
            self.send(holder, "Deliveries", data)
            delivery_id = int(self.contracts.read("Deliveries", "deliveryCount"))
            custodian = self.history.signers[0]
            self.send(custodian, "Deliveries", bridge_calls.begin_delivery(delivery_id))
            if not finalised:
                rejection = Rejection(delivery_id, "refused by the recipient", EVIDENCE)
                self.signed("Deliveries", deliveries, "reject", rejection)
                self.send(holder, "Deliveries", bridge_calls.refund_delivery(delivery_id))
                continue
            head = self.history.rpc.block("latest")
            assert head is not None
            expires = head.timestamp + 86_400
            dispatch = bridge_calls.dispatch_delivery(delivery_id, "TR-LOAD", expires)
            self.send(custodian, "Deliveries", dispatch)
            final = Finalisation(delivery_id, "TR-LOAD", DAY, EVIDENCE)
            hint = self._below(class_id, delivery_id)
            self.signed("Deliveries", deliveries, "finalise", final, hint)

    def hold(self, class_id: int) -> None:
        """A hold and its release."""
        for nonce, kind in enumerate((Kind.HOLD, Kind.RELEASE)):
            event = ProgrammeEvent(kind, class_id, "", "review", DAY, EVIDENCE, nonce)
            self.signed("ProgrammeEvents", programme_events, "publish", event)

    def replace(self, class_id: int) -> None:
        """Serials at the front die, are passed by a retirement, and others take their place."""
        state = self.contracts.positions(class_id).positions
        one = self._piece(class_id, state.exited, 2)
        dead = Invalidation(class_id, state.exited, one, "over-issued", DAY, EVIDENCE)
        self.signed("ProgrammeEvents", programme_events, "invalidate", dead, 0)
        passes = abi.encode_call("CarbonCredits", "passGaps", (class_id, 1))
        self.send(self.history.wallets[0], "CarbonCredits", passes)
        _, fresh = self._fresh(one.tonnes)
        named = Substitution(class_id, state.exited, (fresh,), "replaced", DAY, EVIDENCE)
        hints = [self.contracts.hint_for(fresh.series.id, fresh.first)]
        self.signed("ProgrammeEvents", programme_events, "substitute", named, hints)

    def fail(self, holder: Key, class_id: int) -> None:
        """The registry cannot retire a tonne; another is retired for it."""
        state = self.contracts.positions(class_id).positions
        self.retire(holder, class_id, 1_000)
        first = self._settled_to(class_id, state.exited)
        failure = RegistryFailure(class_id, first, 1, "frozen there", DAY, EVIDENCE)
        self.signed("RegistryRecords", records, "recordRegistryFailure", failure, 0)
        _, fresh = self._fresh(1)
        good = MadeGood(class_id, first, class_id, (fresh,), "GOOD-LOAD", DAY, EVIDENCE)
        hints = [self.contracts.hint_for(fresh.series.id, fresh.first)]
        self.signed("RegistryRecords", records, "recordMadeGood", good, hints, 0)

    def convert(self, holder: Key, class_id: int) -> None:
        """A tonne at the back becomes a class with one label more; its holder claims it."""
        state = self.contracts.positions(class_id).positions
        first = state.minted - 1
        entry = Liability(class_id, holder.address, 1_000)
        owed = Liabilities.of([entry])
        to = self._labelled(class_id)
        head = self.history.rpc.block_number()
        conversion = Conversion(
            Kind.LABEL_SPLIT, class_id, to, first, 1, (), owed.tree.root.hash, head, "label", DAY,
            EVIDENCE,
        )  # fmt: skip
        digest = self.signed("ProgrammeEvents", programme_events, "convert", conversion, [], 0)
        _, path = owed.proof(class_id, holder.address)
        self.send(holder, "ProgrammeEvents", bridge_calls.claim_conversion(digest, entry, path))

    def retire(self, holder: Key, class_id: int, kilograms: int) -> None:
        details = RetirementDetails("Load beneficiary", "After the bridge", "2026")
        data = calls.retire(holder.address, class_id, kilograms, holder.address, details)
        self.send(holder, "CarbonCredits", data)

    # ------------------------------------------------------------------- parts

    def send(self, key: Key, contract: str, data: bytes) -> None:
        """One transaction, mined and successful."""
        self._sent += 1
        block = self.history.rpc.block_number()
        name = f"load:{self.history.plan.seed}:bridge:{block}:{self._sent}"
        self.history.send([Call(name, key, self.deployment[contract], data, GAS)])

    def signed(self, contract: str, module: Any, function: str, said: Any, *more: Any) -> bytes:
        """An act of custodian and attestor; its digest."""
        domain = module.signing_domain(self.deployment.chain_id, self.deployment[contract])
        digest: bytes = eip712.digest(domain, module.TYPES, type(said).__name__, said.message())
        signatures = calls.ordered_signatures(self.history._signatures(digest))
        data = abi.encode_call(contract, function, (said.message(), *more, signatures))
        self.send(self.history.signers[0], contract, data)
        return digest

    def _holder(self, class_id: int, least: int) -> Key | None:
        for wallet in self.history.wallets:
            if self.history.safe[wallet.address, class_id] >= least:
                return wallet
        return None

    def _piece(self, class_id: int, position: int, most: int) -> Interval:
        """At most so many tonnes from a position on, on consecutive serials."""
        positions = self.history.replay().map(class_id)
        return next(positions.pieces(position, min(position + most, positions.minted))).serials

    def _fresh(self, tonnes: int) -> tuple[CreditClass, Interval]:
        """Serials that nothing has minted."""
        while self.spare[0][1].tonnes < tonnes:
            self.spare.pop(0)
        one, whole = self.spare[0]
        rest = (
            Interval(whole.series, whole.first + tonnes, whole.last)
            if (whole.tonnes > tonnes)
            else None
        )
        self.spare[0:1] = [(one, rest)] if rest else []
        return one, Interval(whole.series, whole.first, whole.first + tonnes - 1)

    def _settled_to(self, class_id: int, position: int) -> int:
        """The newest whole tonne that is retired and not settled."""
        state = self.contracts.positions(class_id).positions
        positions = self.history.replay().map(class_id)
        for at in range(state.exited - 1, -1, -1):
            is_open = state.dust and at == state.open_tonne
            if not is_open and not positions.is_settled(at, at + 1):
                return at
        raise AssertionError(f"nothing of {class_id} is retired and unsettled near {position}")

    def _below(self, class_id: int, delivery_id: int) -> int:
        """The hint of a finalisation: where an interval of the register begins below its serials.

        0 is the head, from which the contract walks a few nodes.
        """
        held = self.contracts.read("Deliveries", "delivery", delivery_id)
        register = self.history.replay()
        series_id = self.contracts.read("Trust", "seriesId", held["seriesNumber"])
        return register.intervals[series_id].predecessor(held["firstSerial"])

    def _labelled(self, class_id: int) -> CreditClass:
        """The class of this id with the CCP label, or without it where it has it."""
        one = next(one for one in self.history.lots if int(one.token_id) == class_id)
        cohort = tuple(sorted({*one.cohort} ^ {"ccp"}))
        return CreditClass(
            one.programme, one.project, one.unit_type, one.vintage_start, one.vintage_end, cohort
        )
