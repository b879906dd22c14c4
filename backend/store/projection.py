"""Chain events to rows of the read models: what each event changes, decided without SQL.

A `Projection` covers one range of chain blocks. It is given what stood before (position counters
and participants of the keys the range touches) and checks L1 as it goes: the supply that the
counters give must change exactly as the balances do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from backend.domain.classes import as_yyyymmdd, from_yyyymmdd
from backend.domain.events import ChainEvent
from backend.domain.positions import Positions, consume
from backend.domain.serials import Series
from backend.domain.units import MAX_SERIAL
from backend.errors import CausewayError, IndexInconsistent, InvalidValue
from backend.store import backing_projection, exchange_projection
from backend.store.exchange_projection import ExchangeChanges
from backend.store.rows import json_text, visible

NOBODY = "0x0000000000000000000000000000000000000000"
CAUSEWAY_CONTRACT_TIER = 255
#: `type(uint40).max`: a contract of Causeway never expires.
NEVER = 2**40 - 1
_PARTICIPANT_EVENTS = frozenset(
    {"ParticipantAdmitted", "ParticipantFrozen", "ParticipantUnfrozen", "CausewayContractAdded"}
)
#: What moves a class's counters, beside a gap that is passed.
_COUNTED = frozenset(
    {"CreditsMinted", "CreditsRetired", "CreditsBurntForDelivery", "CreditsRefunded"}
)
_LEGAL_KINDS = ("transfer", "recovery")

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Participant:
    """What the index knows of an account's admission."""

    tier: int = 0
    jurisdiction: str = ""
    expiry: int = 0
    frozen: bool = False


@dataclass(slots=True)
class Projection:
    """Rows by table name for one range of chain blocks, in the order of the events."""

    positions: dict[int, Positions]
    participants: dict[str, Participant]
    label_codes: Mapping[str, str] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    #: (account, class) → [kilograms, retired kilograms] gained in the range.
    balance_deltas: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    #: hash → series, for `BlockRegistered`.
    series: dict[str, Series] = field(default_factory=dict)
    #: Balances of the venue's Exchange.
    exchange: ExchangeChanges = field(default_factory=ExchangeChanges)
    _supply_before: dict[int, int] = field(default_factory=dict)

    def apply(self, events: Iterable[ChainEvent]) -> None:
        """Project every event; raises IndexInconsistent when two events contradict each other."""
        handlers = _HANDLERS
        for event in events:
            handler = handlers.get((event[0], event[1]))
            if handler is not None:
                try:
                    handler(self, event)
                except IndexInconsistent:
                    raise
                except (CausewayError, LookupError, TypeError, ValueError) as error:
                    raise _broken(event, f"cannot be projected: {error!r}") from error

    def check_conservation(self) -> None:
        """L1: per class of the range, what the balances gained is what the supply gained."""
        gained: dict[int, int] = defaultdict(int)
        for (_, class_id), (kilograms, _) in self.balance_deltas.items():
            gained[class_id] += kilograms
        for class_id in {*gained, *self._supply_before}:
            after = self.positions.get(class_id, Positions()).supply_kilograms
            before = self._supply_before.get(class_id, after)
            if gained[class_id] != after - before:
                raise IndexInconsistent(
                    f"L1: class {class_id} gained {gained[class_id]} kg in balances and "
                    f"{after - before} kg in its counters",
                    class_id=str(class_id),
                    balances=gained[class_id],
                    counters=after - before,
                )

    # ── helpers of the handlers ──────────────────────────────────────────────────────────────

    def move(self, event: ChainEvent, account: str, change: Row, ordinal: int) -> None:
        class_id, kilograms, retired = change
        if not kilograms and not retired:
            # Anybody may transfer nothing of a class that does not exist: it moves no balance.
            return
        self.rows["balance_changes"].append(
            (account, class_id, kilograms, retired, event[3], event[7], ordinal)
        )
        key = (account, class_id)
        delta = self.balance_deltas.get(key)
        if delta is None:
            self.balance_deltas[key] = [kilograms, retired]
        else:
            delta[0] += kilograms
            delta[1] += retired

    def set_positions(self, event: ChainEvent, class_id: int, after: Positions) -> None:
        before = self.positions.get(class_id, Positions())
        self._supply_before.setdefault(class_id, before.supply_kilograms)
        self.positions[class_id] = after
        row = (class_id, after.minted, after.exited, after.open_tonne, after.dust)
        self.rows["position_changes"].append((*row, event.block_number, event.log_index))

    def set_participant(self, event: ChainEvent, account: str, now: Participant) -> None:
        self.participants[account] = now
        row = (account, now.tier, now.jurisdiction, now.expiry, now.frozen)
        self.rows["participant_changes"].append((*row, event.block_number, event.log_index))

    def add(self, table: str, event: ChainEvent, *values: Any) -> None:
        self.rows[table].append((*values, event.block_number, event.log_index))


def touched(events: Iterable[ChainEvent]) -> tuple[set[int], set[str]]:
    """Classes and accounts whose state before the range a projection needs."""
    classes: set[int] = set()
    accounts: set[str] = set()
    for event in events:
        name = event[1]
        if name in _COUNTED:
            classes.add(event[2]["id"])
        elif name == "GapPassed":
            classes.add(event[2]["classId"])
        elif name in _PARTICIPANT_EVENTS:
            accounts.add(event[2]["account"])
    return classes, accounts


def _broken(event: ChainEvent, problem: str) -> IndexInconsistent:
    return IndexInconsistent(
        f"{event.contract}.{event.name} in chain block {event.block_number}, log "
        f"{event.log_index}: {problem}",
        contract=event.contract,
        event=event.name,
        block=event.block_number,
        log_index=event.log_index,
        transaction=event.transaction_hash,
    )


def _day(number: int) -> date:
    """The last real day not after YYYYMMDD, or the first day there is.

    A class that two signers minted for a day that does not exist is a class all the same: its
    balances need the row. Its id and the event keep the number as it was signed.
    """
    for candidate in range(min(number, as_yyyymmdd(date.max)), as_yyyymmdd(date.min), -1):
        try:
            return from_yyyymmdd(candidate)
        except InvalidValue:
            continue
    return date.min


# ── one function per event ───────────────────────────────────────────────────────────────────


def _transfer_single(to: Projection, event: ChainEvent) -> None:
    args = event[2]
    class_id, kilograms = args["id"], args["value"]
    if args["from"] != NOBODY:
        to.move(event, args["from"], (class_id, -kilograms, 0), 0)
    if args["to"] != NOBODY:
        to.move(event, args["to"], (class_id, kilograms, 0), 1)


def _transfer_batch(to: Projection, event: ChainEvent) -> None:
    args = event.args
    pairs = zip(args["ids"], args["values"], strict=True)
    for ordinal, (class_id, kilograms) in enumerate(pairs):
        if args["from"] != NOBODY:
            to.move(event, args["from"], (class_id, -kilograms, 0), 2 * ordinal)
        if args["to"] != NOBODY:
            to.move(event, args["to"], (class_id, kilograms, 0), 2 * ordinal + 1)


def _class_created(to: Projection, event: ChainEvent) -> None:
    args, made = event.args, event.args["creditClass"]
    hashes = list(made["cohort"])
    codes = [to.label_codes.get(label) for label in hashes]
    known = sorted(code for code in codes if code is not None)
    to.add(
        "classes",
        event,
        args["id"],
        args["number"],
        visible(made["programme"]),
        visible(made["project"]),
        made["unitType"],
        _day(made["vintageStart"]),
        _day(made["vintageEnd"]),
        hashes,
        known if len(known) == len(hashes) else None,
        args["projectHash"],
        args["vintageHash"],
    )


def _credits_minted(to: Projection, event: ChainEvent) -> None:
    class_id, first = event.args["id"], event.args["firstPosition"]
    before = to.positions.get(class_id, Positions())
    if before.minted != first:
        raise _broken(event, f"first position is {first}, {before.minted} were minted before")
    to.set_positions(event, class_id, replace(before, minted=first + event.args["tonnes"]))


def _credits_retired(to: Projection, event: ChainEvent) -> None:
    args = event.args
    class_id, kilograms = args["id"], args["kilograms"]
    before = to.positions.get(class_id, Positions())
    stated = (args["exited"], args["openTonne"], args["dust"])
    # The open tonne means nothing at dust 0, and the contract may leave an old one there.
    if (before.exited, before.dust) != (stated[0], stated[2]) or (
        before.dust and before.open_tonne != stated[1]
    ):
        held = (before.exited, before.open_tonne, before.dust)
        raise _broken(event, f"says the cursor is {stated}, the events before give {held}")
    after, _ = consume(before, kilograms)
    to.set_positions(event, class_id, after)
    to.move(event, args["from"], (class_id, 0, kilograms), 0)
    to.add(
        "certificates",
        event,
        args["certificateId"],
        class_id,
        args["certificateOwner"],
        args["from"],
        args["operator"],
        kilograms,
        *stated,
        args["detailsHash"],
        event.transaction_hash,
    )


def _details_published(to: Projection, event: ChainEvent) -> None:
    args = event.args
    texts = (args["beneficiary"], args["purpose"], args["period"])
    safe = [visible(text) for text in texts]
    to.add("certificate_details", event, args["certificateId"], *safe, args["instructionHash"])


def _fact_recorded(to: Projection, event: ChainEvent) -> None:
    args = event.args
    texts = [visible(args[key]) for key in ("key", "value", "vocabulary")]
    to.add("class_facts", event, args["id"], texts[0], texts[1], args["asOf"], texts[2])


def _transfer_forced(to: Projection, event: ChainEvent) -> None:
    detail = json_text(event.args)
    args = event.args
    to.add("legal_orders", event, args["orderId"], args["from"], "transfer", "forced", detail)


def _admitted(to: Projection, event: ChainEvent) -> None:
    args = event.args
    before = to.participants.get(args["account"], Participant())
    letters = bytes.fromhex(args["jurisdiction"][2:]).rstrip(b"\0").decode("ascii", "replace")
    now = Participant(args["tier"], visible(letters), args["expiry"], before.frozen)
    to.set_participant(event, args["account"], now)


def _causeway_contract(to: Projection, event: ChainEvent) -> None:
    account = event.args["account"]
    before = to.participants.get(account, Participant())
    now = replace(before, tier=CAUSEWAY_CONTRACT_TIER, expiry=NEVER)
    to.set_participant(event, account, now)


def _frozen(to: Projection, event: ChainEvent) -> None:
    account = event.args["account"]
    before = to.participants.get(account, Participant())
    now = replace(before, frozen=event.name == "ParticipantFrozen")
    to.set_participant(event, account, now)


def _series_created(to: Projection, event: ChainEvent) -> None:
    args = event.args
    series = Series(args["programme"], tuple(args["codes"]))
    if "0x" + series.id.hex() != args["seriesId"]:
        raise _broken(event, f"{series} does not hash to {args['seriesId']}")
    to.series[args["seriesId"]] = series


def _block_registered(to: Projection, event: ChainEvent) -> None:
    args = event.args
    if args["last"] > MAX_SERIAL:
        # No range of bigint holds it, and no registry has issued it: two signers erred.
        raise _broken(event, f"serials end at {args['last']}, the largest is {MAX_SERIAL}")
    # The writer replaces the hash by the series' number (backing_projection.SERIES_COLUMN).
    to.add(
        "class_blocks",
        event,
        args["classId"],
        args["firstPosition"],
        args["seriesId"],
        args["seriesId"],
        args["first"],
        args["last"],
        args["receiptId"],
        args["receiptId"],
    )


def _receipt_minted(to: Projection, event: ChainEvent) -> None:
    args = event.args
    to.add(
        "receipts_minted",
        event,
        args["receiptId"],
        args["classId"],
        args["recipient"],
        args["tonnes"],
        args["account"],
        args["evidenceHash"],
        args["termsHash"],
        list(args["signers"]),
        event.transaction_hash,
    )


def _receipt_cancelled(to: Projection, event: ChainEvent) -> None:
    to.add("receipts_cancelled", event, event.args["receiptId"], event.args["signer"])


def _serials_exchanged(to: Projection, event: ChainEvent) -> None:
    args = event.args
    values = (args["classId"], args["position"], args["counterpart"], args["tonnes"])
    to.add("exchanges", event, *values)


def _retirement_recorded(to: Projection, event: ChainEvent) -> None:
    args = event.args
    to.add(
        "registry_confirmations",
        event,
        args["confirmationId"],
        args["classId"],
        args["firstPosition"],
        args["tonnes"],
        json_text(args["actual"]),
        visible(args["registryReference"]),
        args["registryDate"],
        args["evidenceHash"],
        list(args["signers"]),
        event.transaction_hash,
    )


def _freeze_ordered(to: Projection, event: ChainEvent) -> None:
    args = event.args
    state = "frozen" if args["frozen"] else "unfrozen"
    detail = json_text(args)
    to.add("legal_orders", event, args["orderHash"], args["account"], "freeze", state, detail)


def _order_scheduled(to: Projection, event: ChainEvent) -> None:
    args = event.args
    kind = _LEGAL_KINDS[args["order"]["kind"]]
    detail = json_text(args)
    account = args["order"]["from"]
    to.add("legal_orders", event, args["orderId"], account, kind, "scheduled", detail)


def _order_ended(to: Projection, event: ChainEvent) -> None:
    state = "executed" if event.name == "OrderExecuted" else "cancelled"
    detail = json_text(event.args)
    to.add("legal_orders", event, event.args["orderId"], None, "order", state, detail)


_HANDLERS: dict[tuple[str, str], Callable[[Projection, ChainEvent], None]] = {
    ("CarbonCredits", "TransferSingle"): _transfer_single,
    ("CarbonCredits", "TransferBatch"): _transfer_batch,
    ("CarbonCredits", "ClassCreated"): _class_created,
    ("CarbonCredits", "CreditsMinted"): _credits_minted,
    ("CarbonCredits", "CreditsRetired"): _credits_retired,
    ("CarbonCredits", "RetirementDetailsPublished"): _details_published,
    ("CarbonCredits", "FactRecorded"): _fact_recorded,
    ("CarbonCredits", "TransferForced"): _transfer_forced,
    ("Participants", "ParticipantAdmitted"): _admitted,
    ("Participants", "CausewayContractAdded"): _causeway_contract,
    ("Participants", "ParticipantFrozen"): _frozen,
    ("Participants", "ParticipantUnfrozen"): _frozen,
    ("Trust", "SeriesCreated"): _series_created,
    ("Trust", "BlockRegistered"): _block_registered,
    ("Trust", "ReceiptMinted"): _receipt_minted,
    ("Trust", "ReceiptCancelled"): _receipt_cancelled,
    ("RegistryRecords", "SerialsExchanged"): _serials_exchanged,
    ("RegistryRecords", "RegistryRetirementRecorded"): _retirement_recorded,
    ("LegalOrders", "FreezeOrdered"): _freeze_ordered,
    ("LegalOrders", "OrderScheduled"): _order_scheduled,
    ("LegalOrders", "OrderExecuted"): _order_ended,
    ("LegalOrders", "OrderCancelled"): _order_ended,
    **backing_projection.HANDLERS,
    **exchange_projection.HANDLERS,
}
