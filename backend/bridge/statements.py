"""Statements of custodian and attestor on their way to the chain: drafted, signed, recorded once.

Which contract takes a statement, what it is called with and which event proves it recorded is a
table here; the way is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.bridge.approvals import Services, pairs
from backend.bridge.refusals import PERMANENT
from backend.chain.abi import encode_call
from backend.chain.calls import ordered_signatures
from backend.chain.keys import Key
from backend.domain import deliveries, eip712, programme_events, records, reserve
from backend.domain.serials import Interval, Series
from backend.errors import ChainRejected, InvalidValue
from backend.store.queries import consumed, recorded, shortfalls
from backend.store.queries.reading import chain_head
from backend.store.statements import Statement, Statements, StatementState


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of statement: its contract and types, and the events that record it.

    `key`: the event's argument that names the statement; its value is the digest, or the field
    of the message of the same name.
    """

    contract: str
    types: eip712.Types
    domain: Callable[[int, str], eip712.SigningDomain]
    function: str
    events: tuple[str, ...]
    key: str
    by_digest: bool = True


_RECORDS = (records.TYPES, records.signing_domain)
_DELIVERIES = (deliveries.TYPES, deliveries.signing_domain)
_EVENTS = (programme_events.TYPES, programme_events.signing_domain)
KINDS: Mapping[str, Kind] = {
    "RegistryFailure": Kind(
        "RegistryRecords",
        *_RECORDS,
        "recordRegistryFailure",
        ("RegistryFailureRecorded",),
        "failureId",
    ),
    "MadeGood": Kind(
        "RegistryRecords", *_RECORDS, "recordMadeGood", ("MadeGoodRecorded",), "madeGoodId"
    ),
    "Finalisation": Kind(
        "Deliveries",
        *_DELIVERIES,
        "finalise",
        ("DeliveryFinalised", "DeliveryBreakRecorded"),
        "deliveryId",
        by_digest=False,
    ),
    "Rejection": Kind(
        "Deliveries",
        *_DELIVERIES,
        "reject",
        ("DeliveryRejected",),
        "deliveryId",
        by_digest=False,
    ),
    "ProgrammeEvent": Kind(
        "ProgrammeEvents", *_EVENTS, "publish", ("ProgrammeEventPublished",), "eventId"
    ),
    "Invalidation": Kind(
        "ProgrammeEvents",
        *_EVENTS,
        "invalidate",
        ("PositionsInvalidated", "DeliveryInvalidated"),
        "eventId",
    ),
    "Substitution": Kind(
        "ProgrammeEvents", *_EVENTS, "substitute", ("PositionsSubstituted",), "eventId"
    ),
    "Conversion": Kind(
        "ProgrammeEvents", *_EVENTS, "convert", ("ConversionOpened",), "conversionId"
    ),
    "ReserveReport": Kind(
        "Reserve", reserve.TYPES, reserve.signing_domain, "report", ("ReserveReported",), "reportId"
    ),
}


class SignedStatements:
    """The statements of one deployment."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.stored = Statements(services.database)

    def domain(self, kind: str) -> eip712.SigningDomain:
        """What signatures over this type are bound to."""
        known = KINDS[kind]
        contract = self._services.contracts.deployment[known.contract]
        return known.domain(self._services.chain_id, contract)

    def draft(
        self,
        kind: str,
        message: Mapping[str, Any],
        *,
        flow: tuple[str, str] | None = None,
        class_id: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Statement:
        """Draft a statement; the same again gives the one that is there."""
        domain = self.domain(kind)
        digest = eip712.digest(domain, KINDS[kind].types, kind, message)
        return self.stored.draft(
            "0x" + digest.hex(),
            kind,
            domain.chain_id,
            domain.contract,
            message,
            flow=flow,
            class_id=class_id,
            extra=extra,
        )

    def sign(self, statement_id: str, key: Key) -> Statement:
        """Sign as custodian or attestor (L5)."""
        held = self.stored.get(statement_id)
        digest = bytes.fromhex(statement_id.removeprefix("0x"))
        message = held.message(KINDS[held.type].types)
        if eip712.digest(self.domain(held.type), KINDS[held.type].types, held.type, message) != (
            digest
        ):
            raise InvalidValue("statement", statement_id, "is of another deployment")
        self._services.approve(statement_id, digest, key)
        return self.stored.get(statement_id)

    def is_recorded(self, held: Statement) -> bool:
        """Whether the index has the event that this statement leads to."""
        kind = KINDS[held.type]
        value = held.id if kind.by_digest else held.content[kind.key]
        with self._services.database.read() as connection:
            return recorded.event_with(connection, kind.contract, kind.events, kind.key, value)

    def advance(self, statement_id: str, payer: Key) -> Statement:
        """One step towards the record on chain; harmless to repeat."""
        held = self.stored.get(statement_id)
        if held.state in (StatementState.RECORDED, StatementState.SUPERSEDED):
            return held
        if self.is_recorded(held):
            # Whoever submitted it, and whatever we thought of it before: the chain has it.
            return self.stored.set_state(held.id, StatementState.RECORDED)
        if held.state is StatementState.FAILED or not self._services.is_approved(held.approvals):
            return held
        key = self._services.next_key("statement", held.id, held.transaction_key)
        if self._services.is_under_way(key):
            return held  # under way: the sender brings it forward
        to = self._services.contracts.deployment[KINDS[held.type].contract]
        try:
            sent = self._services.sender.submit(key, payer, to, self._call(held))
        except ChainRejected as error:
            failed = error.values.get("error") in PERMANENT
            state = StatementState.FAILED if failed else StatementState.APPROVED
            return self.stored.set_state(held.id, state, error.message)
        return self.stored.set_state(held.id, StatementState.SUBMITTED, sent.reason, sent.key)

    # ── calls ────────────────────────────────────────────────────────────────────────────────

    def _call(self, held: Statement) -> bytes:
        kind = KINDS[held.type]
        message = held.message(kind.types)
        function = str(held.extra.get("function", kind.function))
        signatures = ordered_signatures(pairs(held.approvals))
        hints = () if function == "recordBreak" else self._hints(held.type, message)
        return encode_call(kind.contract, function, (message, *hints, signatures))

    def _hints(self, kind: str, message: Mapping[str, Any]) -> tuple[Any, ...]:
        """What the contract wants to know beyond the statement, so that it need not search."""
        if kind == "RegistryFailure":
            return (self._position_hint(message),)
        if kind == "MadeGood":
            return (self._serial_hints(message["substitutes"]), self._position_hint(message))
        if kind == "Finalisation":
            return (self._delivered_hint(message["deliveryId"]),)
        if kind == "Invalidation":
            return (self._gap_hint(message["classId"], message["firstPosition"]),)
        if kind == "Substitution":
            return (self._serial_hints(message["serials"]),)
        if kind == "Conversion":
            hint = self._gap_hint(message["fromClass"], message["firstPosition"])
            return (self._serial_hints(message["serials"]), hint)
        return ()

    def _gap_hint(self, class_id: int, position: int) -> int:
        """1 + the position of the last gap at or below a live one; of positions that a delivery
        burnt, of the last settled range: however many there are, the contract walks no further.
        """
        with self._services.database.read() as connection:
            indexed = chain_head(connection).number
            if position < consumed.counters_at(connection, class_id, indexed).exited:
                return recorded.settled_below(connection, class_id, position)
            gaps = shortfalls.gaps_of(connection, [class_id])[class_id]
            return max((1 + gap.first for gap in gaps if gap.first <= position), default=0)

    def _position_hint(self, message: Mapping[str, Any]) -> int:
        with self._services.database.read() as connection:
            return recorded.settled_below(connection, message["classId"], message["firstPosition"])

    def _serial_hints(self, serials: list[Mapping[str, Any]]) -> list[int]:
        contracts = self._services.contracts
        intervals = [interval_of_message(one) for one in serials]
        hints: list[int] = []
        for index, one in enumerate(intervals):
            hint = contracts.hint_for(one.series.id, one.first)
            earlier = [
                other.first
                for other in intervals[:index]
                if other.series == one.series and other.first < one.first
            ]
            hints.append(max([hint, *earlier]))
        return hints

    def _delivered_hint(self, delivery_id: int) -> int:
        """The registered interval that begins below the delivery's first serial."""
        contracts = self._services.contracts
        found = contracts.read("Deliveries", "delivery", delivery_id)
        series = contracts.read("Trust", "seriesId", found["seriesNumber"])
        return contracts.hint_for(bytes.fromhex(series[2:]), found["firstSerial"])


def interval_of_message(message: Mapping[str, Any]) -> Interval:
    """The interval behind an `Interval` struct."""
    series = Series(message["series"]["programme"], tuple(message["series"]["codes"]))
    return Interval(series, message["first"], message["last"])
