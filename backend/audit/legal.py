"""L5 and L8: freezes, forced transfers and recoveries by order, and transfers by their holders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.audit.authority import FIRST, SECOND, Roles, check_stored_roles
from backend.audit.calls import Calls, as_message, recover_signers
from backend.audit.evidence import Evidence, ViewFailed
from backend.audit.ledger import NOBODY
from backend.audit.report import Findings
from backend.domain import eip712
from backend.domain.events import ChainEvent

DOMAIN_NAME, DOMAIN_VERSION = "Causeway Legal Orders", "1"
TYPES: dict[str, list[tuple[str, str]]] = {
    "Freeze": [
        ("account", "address"),
        ("frozen", "bool"),
        ("orderHash", "bytes32"),
        ("nonce", "uint256"),
    ],
    "Order": [
        ("kind", "uint8"),
        ("from", "address"),
        ("to", "address"),
        ("ids", "uint256[]"),
        ("amounts", "uint256[]"),
        ("reasonHash", "bytes32"),
        ("nonce", "uint256"),
    ],
    "Cancel": [("orderId", "bytes32")],
}
#: `State` of the contract.
SCHEDULED, EXECUTED, CANCELLED = 1, 2, 3
#: `Kind` of the contract: a transfer names amounts, a recovery moves whole balances.
TRANSFER = 0


#: Why credits left an account without its own act, as a break says it.
_TAKEN: Mapping[str, str] = {
    "forced": "forced to give other credits than an order published",
    "converted": "made to give other credits than its claim of a conversion says",
}
_FOLLOWED = ("LegalOrders", "CarbonCredits", "Participants", "ProgrammeEvents")


@dataclass(slots=True)
class LegalRecord:
    """Walks the acts of law in log order."""

    findings: Findings
    evidence: Evidence
    calls: Calls
    roles: Roles = field(default_factory=lambda: Roles("LegalOrders"))
    states: dict[str, int] = field(default_factory=dict)
    orders: dict[str, ChainEvent] = field(default_factory=dict)
    last: dict[str, ChainEvent] = field(default_factory=dict)
    executed_in: dict[str, str] = field(default_factory=dict)
    #: Kilograms an order may still move, by (order, class).
    left: dict[tuple[str, int], int] = field(default_factory=dict)
    frozen: dict[str, ChainEvent] = field(default_factory=dict)
    ordered: set[tuple[str, str, bool]] = field(default_factory=set)
    approvals: dict[tuple[str, str], bool] = field(default_factory=dict)
    forced: defaultdict[tuple[str, str, str, int], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    #: Class that each conversion takes.
    converted: dict[str, int] = field(default_factory=dict)
    signatures: int = 0
    indirect: int = 0
    acts: int = 0
    times: dict[int, int] = field(default_factory=dict)

    def check(self) -> None:
        """Signatures and order of every act; every transfer by its holder, operator or order."""
        acts = [event for event in self.evidence.events if event.contract == "LegalOrders"]
        self.times = self.evidence.times(event.block_number for event in acts)
        handlers = {
            "FreezeOrdered": self._freeze,
            "OrderScheduled": self._scheduled,
            "OrderExecuted": self._executed,
            "OrderCancelled": self._cancelled,
            "TransferForced": self._forced,
            "TransferSingle": self._transferred,
            "TransferBatch": self._transferred,
            "CreditsRetired": self._retired,
            "ApprovalForAll": self._approved,
            "ParticipantFrozen": self._participant_frozen,
            "ParticipantUnfrozen": self._participant_frozen,
            "Converted": self._converted,
        }
        converted = {
            event.args["conversionId"]: event.args["fromClass"]
            for event in self.evidence.events
            if (event.contract, event.name) == ("ProgrammeEvents", "ConversionOpened")
        }
        self.converted.update(converted)
        for event in self.evidence.events:
            if event.contract == "LegalOrders":
                self.roles.apply(self.findings, event)
            if event.contract in _FOLLOWED:
                handler = handlers.get(event.name)
                if handler:
                    handler(event)
        for (what, transaction, account, class_id), kilograms in self.forced.items():
            if kilograms:
                event = next(e for e in self.evidence.events if e.transaction_hash == transaction)
                self.findings.broken(
                    "L5", f"{account} was {_TAKEN[what]}", event, class_id=class_id,
                    kilograms=kilograms,
                )  # fmt: skip
        check_stored_roles(self.findings, self.evidence, self.roles)
        self._check_stored()

    # ------------------------------------------------------------ acts of law

    def _domain(self) -> eip712.SigningDomain:
        address = self.evidence.deployment.contracts["LegalOrders"].address
        return eip712.SigningDomain(
            DOMAIN_NAME, DOMAIN_VERSION, self.evidence.deployment.chain_id, address
        )

    def _signed(self, event: ChainEvent, function: str, kind: str, message: Any, role: int) -> str:
        """Check who signed an act; its digest is its id."""
        self.acts += 1
        digest = eip712.digest(self._domain(), TYPES, kind, as_message(TYPES, kind, message))
        emitted: list[str] = event.args["signers"]
        counts, needed = self.roles.counts(list(dict.fromkeys(emitted))), self.roles.thresholds
        if counts[role] < needed[role - 1] or counts[role] != len(emitted):
            self.findings.broken(
                "L5", f"{event.name}: {counts[role]} of {needed[role - 1]} signers had the role",
                event, signers=len(emitted), with_role=counts[role],
            )  # fmt: skip
        found = self.calls.of("LegalOrders", event.transaction_hash)
        if found is None:
            self.indirect += 1
            return "0x" + digest.hex()
        recovered = [
            recover_signers(digest, call.args["signatures"])
            for call in found
            if call.function == function
        ]
        self.signatures += sum(len(signers or ()) for signers in recovered)
        if emitted not in recovered:
            self.findings.broken(
                "L5", f"{event.name}: no call of its transaction carries the signatures of the "
                "signers it names", event,
            )  # fmt: skip
        return "0x" + digest.hex()

    def _freeze(self, event: ChainEvent) -> None:
        args = event.args
        act = self._signed(event, "setFrozen", "Freeze", args, FIRST)
        if act in self.states:
            self.findings.broken("L10", f"freeze order {act} was used twice", event)
        self.states[act], self.last[act] = EXECUTED, event
        self.ordered.add((event.transaction_hash, args["account"], args["frozen"]))

    def _participant_frozen(self, event: ChainEvent) -> None:
        account, frozen = event.args["account"], event.name == "ParticipantFrozen"
        if (event.transaction_hash, account, frozen) not in self.ordered:
            self.findings.broken(
                "L5", f"{account} was {'frozen' if frozen else 'released'} without an order", event
            )
        if frozen:
            self.frozen[account] = event
        else:
            self.frozen.pop(account, None)

    def _scheduled(self, event: ChainEvent) -> None:
        order, order_id = event.args["order"], event.args["orderId"]
        digest = self._signed(event, "schedule", "Order", order, SECOND)
        if digest != order_id:
            self.findings.broken("L5", f"order {order_id} is not the hash of its content", event)
        if order_id in self.states:
            self.findings.broken("L10", f"order {order_id} was scheduled twice", event)
        self.states[order_id], self.last[order_id] = SCHEDULED, event
        self.orders[order_id] = event
        if order["kind"] == TRANSFER:
            for class_id, amount in zip(order["ids"], order["amounts"], strict=False):
                key = (order_id, class_id)
                self.left[key] = self.left.get(key, 0) + amount

    def _cancelled(self, event: ChainEvent) -> None:
        order_id = event.args["orderId"]
        self._signed(event, "cancel", "Cancel", {"orderId": order_id}, SECOND)
        self._advance(event, order_id, CANCELLED)

    def _executed(self, event: ChainEvent) -> None:
        order_id = event.args["orderId"]
        scheduled = self.orders.get(order_id)
        if scheduled is not None:
            early = scheduled.args["executableAt"] - self.times[event.block_number]
            if early > 0:
                self.findings.broken(
                    "L5", f"order {order_id} was executed before its delay was over", event,
                    seconds=early,
                )  # fmt: skip
        self._advance(event, order_id, EXECUTED)
        self.executed_in[order_id] = event.transaction_hash

    def _advance(self, event: ChainEvent, order_id: str, state: int) -> None:
        if self.states.get(order_id) != SCHEDULED:
            self.findings.broken(
                "L5", f"{event.name}: order {order_id} was not scheduled at that time", event
            )
        self.states[order_id], self.last[order_id] = state, event

    # -------------------------------------------------------------- transfers

    def _forced(self, event: ChainEvent) -> None:
        args = event.args
        order_id, class_id, kilograms = args["orderId"], args["id"], args["kilograms"]
        scheduled = self.orders.get(order_id)
        order = scheduled.args["order"] if scheduled else None
        fits = (
            order is not None
            and self.executed_in.get(order_id) == event.transaction_hash
            and (order["from"], order["to"]) == (args["from"], args["to"])
            and class_id in order["ids"]
        )
        if fits and order is not None and order["kind"] == TRANSFER:
            left = self.left[order_id, class_id] = self.left[order_id, class_id] - kilograms
            fits = left >= 0
        if not fits:
            self.findings.broken(
                "L5", f"credits were moved by force that order {order_id} does not name", event,
                class_id=class_id, kilograms=kilograms,
            )  # fmt: skip
        key = ("forced", event.transaction_hash, args["from"], class_id)
        self.forced[key] -= kilograms

    def _converted(self, event: ChainEvent) -> None:
        """A claim takes as many credits of the old class as it gives of the new."""
        args = event.args
        class_id = self.converted.get(args["conversionId"], 0)
        key = ("converted", event.transaction_hash, args["holder"], class_id)
        self.forced[key] -= args["kilograms"]

    def _address(self, contract: str) -> str:
        held = self.evidence.deployment.contracts.get(contract)
        return held.address if held is not None else ""

    def _transferred(self, event: ChainEvent) -> None:
        args = event.args
        operator, source = args["operator"], args["from"]
        contracts = self.evidence.deployment.contracts
        escrow = self._address("ProgrammeEvents")
        if source == NOBODY:
            # A refund's mint is settled against CreditsRefunded, like every mint (L1).
            allowed = operator in (contracts["Trust"].address, self._address("Deliveries"))
        elif operator == escrow and source != escrow:
            allowed = event.name == "TransferSingle" and args["to"] == escrow
            key = ("converted", event.transaction_hash, source, args.get("id", 0))
            self.forced[key] += args.get("value", 0)
        elif operator == contracts["LegalOrders"].address and operator != source:
            allowed = True  # settled against TransferForced in the same transaction
            moved = (
                [(args["id"], args["value"])]
                if event.name == "TransferSingle"
                else zip(args["ids"], args["values"], strict=True)
            )
            for class_id, kilograms in moved:
                self.forced["forced", event.transaction_hash, source, class_id] += kilograms
        else:
            allowed = operator == source or self.approvals.get((source, operator), False)
        if not allowed:
            self.findings.broken(
                "L5", f"{operator} moved credits of {source} without being their holder or "
                "approved", event, kilograms=_moved(event),
            )  # fmt: skip

    def _retired(self, event: ChainEvent) -> None:
        operator, holder = event.args["operator"], event.args["from"]
        if operator != holder and not self.approvals.get((holder, operator), False):
            self.findings.broken(
                "L5", f"{operator} retired credits of {holder} without being approved", event,
                kilograms=event.args["kilograms"],
            )  # fmt: skip

    def _approved(self, event: ChainEvent) -> None:
        if event.contract == "CarbonCredits":
            args = event.args
            self.approvals[args["account"], args["operator"]] = args["approved"]

    # ----------------------------------------------------------------- stored

    def _check_stored(self) -> None:
        orders = list(self.states)
        stored = self.evidence.views(
            "legal orders", [("LegalOrders", "orderState", (order,)) for order in orders]
        )
        for order, answer in zip(orders, stored, strict=True):
            state = None if isinstance(answer, ViewFailed) else answer["state"]
            if state != self.states[order]:
                self.findings.broken(
                    "L5", f"order {order} is stored in another state than its events say",
                    self.last[order], stored=str(state), published=self.states[order],
                )  # fmt: skip
        pairs = list(self.approvals)
        approved = self.evidence.views(
            "approvals", [("CarbonCredits", "isApprovedForAll", pair) for pair in pairs]
        )
        for pair, answer in zip(pairs, approved, strict=True):
            if answer is not self.approvals[pair]:
                self.findings.broken(
                    "L5", f"the approval of {pair[1]} by {pair[0]} is not what was published"
                )
        self._check_frozen()

    def _check_frozen(self) -> None:
        """L8: nobody is frozen but by a published order."""
        accounts = sorted(
            {
                event.args["account"]
                for event in self.evidence.events
                if event.contract == "Participants" and "account" in event.args
            }
        )
        rows = self.evidence.views(
            "participants", [("Participants", "participant", (account,)) for account in accounts]
        )
        for account, row in zip(accounts, rows, strict=True):
            is_frozen = isinstance(row, ViewFailed) or row["frozenSince"] != 0
            if is_frozen != (account in self.frozen):
                self.findings.broken(
                    "L8", f"{account} is {'' if is_frozen else 'not '}frozen, which no published "
                    "order says", self.frozen.get(account),
                )  # fmt: skip
        self.findings.count("L8", participants=len(accounts), frozen_by_order=len(self.frozen))


def _moved(event: ChainEvent) -> int:
    if event.name == "TransferSingle":
        return int(event.args["value"])
    return int(sum(event.args["values"]))
