"""A retirement at a registry: planned → asked → done → confirming → confirmed, or failed.

One retirement is a run of positions on consecutive serials of one live block, so one instruction.
The registry chooses serials: what it really retired is confirmed, if it can be true; else a break
is reported and nothing is recorded.
"""

from __future__ import annotations

from backend.bridge.certificates import CERTIFICATE, RETIREMENT
from backend.bridge.hearing import ask_again, hear
from backend.bridge.instructions import instruction_for
from backend.bridge.parts import POLL_SECONDS, SLOW_SECONDS, Parts
from backend.bridge.permits import Permits
from backend.domain.classes import as_yyyymmdd
from backend.domain.custody import RegistryRetirement
from backend.domain.records import RegistryFailure
from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import RetirementRequest, SerialRange
from backend.domain.serials import Interval
from backend.errors import RuleError
from backend.store.custody import ConfirmationState, Custody
from backend.store.flows import UNCONFIRMED, Flow, add_flow, flows_at, move_flow
from backend.store.queries import consumed, lookup

#: Expected serials that no account holds after so many looks are a break.
MAX_MISSING = 60


class RetirementFlow:
    """The retirements of one deployment."""

    def __init__(self, parts: Parts, permits: Permits) -> None:
        self._parts = parts
        self._permits = permits
        self._custody = Custody(parts.database)

    def advance(self, flow: Flow) -> None:
        """One step; harmless to repeat."""
        if self._is_settled(flow):
            self._parts.flows.move(flow, "confirmed", ended=True)
            self._parts.flows.hurry(CERTIFICATE, str(flow.content["certificate"]))
        elif flow.state == "planned":
            self._ask(flow)
        elif flow.state == "asked":
            self._hear(flow)
        elif flow.state == "done":
            self._confirm(flow)
        elif flow.state == "confirming":
            self._follow_confirmation(flow)

    def _is_settled(self, flow: Flow) -> bool:
        """Whether the chain has settled these positions, whoever recorded it."""
        assert flow.class_id is not None
        first, end = _span(flow)
        with self._parts.database.read() as connection:
            runs = consumed.settled_runs(connection, flow.class_id)
        return sum(max(0, min(end, r.end) - max(first, r.first)) for r in runs) == end - first

    def look_again(self, class_id: int, first: int) -> None:
        """A confirmation is recorded: its retirement has ended, and those whose serials were taken
        instead may find what the chain exchanged for them.
        """
        self._parts.flows.hurry(RETIREMENT, f"{class_id}:{first}")
        with self._parts.database.read() as connection:
            waiting = flows_at(connection, RETIREMENT, class_id, ("planned",))
        for one in waiting:
            self._parts.flows.hurry(one.kind, one.id)

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    def _ask(self, flow: Flow) -> None:
        assert flow.class_id is not None
        first, end = _span(flow)
        with self._parts.database.read() as connection:
            positions = lookup.position_map(connection, flow.class_id)
            expected = next(iter(positions.pieces(first, end))).serials
            account_id = consumed.account_of(connection, expected)
        bars = self._permits.bars_to_retiring(expected.series.programme)
        if self._parts.is_forbidden(flow, bars):
            return
        # Substitutes of a gap and units of a conversion stand in no receipt: the account that has
        # them is asked all the same.
        found = self._parts.holdings.holding(expected)
        if found is None:
            if account_id is not None and self._parts.holdings.is_connected(account_id):
                self._missing(flow, expected)
            else:
                # A person retires there and `causeway confirm-retirement` records it.
                reason = "no registry is connected: confirm by hand"
                self._parts.flows.wait(flow, SLOW_SECONDS, reason)
            return
        account, serials = found.account, found.serials
        asked_of = SerialRange.of(serials)
        flow = self._cut(flow, serials.tonnes)
        bars = self._permits.bars_to_retirement(account.account, asked_of, found.block)
        if self._parts.is_forbidden(flow, bars):
            return
        attempt = int(flow.content.get("attempt", 1))
        request = RetirementRequest(
            f"ret-{self._parts.services.chain_id}-{self._short(flow)}-{first}-{attempt}",
            account.account,
            asked_of,
            instruction_for(self._parts, flow, serials.series.programme),
        )
        self._parts.requests.keep(RETIREMENT, flow.id, request)
        content = {**flow.content, "reference": request.reference}
        asked = self._parts.flows.move(flow, "asked", content=content)
        self._hear(asked)

    def _short(self, flow: Flow) -> str:
        """A class's name inside a reference: its low half names class, the high the project."""
        return f"{flow.class_id:064x}"[:8] + f"{flow.class_id:064x}"[32:40]

    def _cut(self, flow: Flow, tonnes: int) -> Flow:
        """Keep the first tonnes of a flow; the rest becomes a retirement of its own."""
        assert flow.first_position is not None
        assert flow.tonnes is not None
        if tonnes >= flow.tonnes:
            return flow
        with self._parts.database.begin() as connection:
            rest = flow.first_position + tonnes
            add_flow(
                connection,
                RETIREMENT,
                f"{flow.class_id}:{rest}",
                "planned",
                {"certificate": flow.content["certificate"]},
                class_id=flow.class_id,
                first_position=rest,
                tonnes=flow.tonnes - tonnes,
            )
            return move_flow(connection, flow, flow.state, tonnes=tonnes)

    def _missing(self, flow: Flow, expected: Interval) -> None:
        """Serials that are gone: the registry may have chosen them for another retirement, whose
        confirmation will exchange them; waited for, and for ever only while there is such a one.
        """
        reason = f"{expected} is not in the accounts' inventory"
        assert flow.class_id is not None
        with self._parts.database.read() as connection:
            others = flows_at(connection, RETIREMENT, flow.class_id, UNCONFIRMED)
        if others:
            # Looked at again as soon as one of them is confirmed.
            self._parts.flows.wait(flow, SLOW_SECONDS, reason)
            return
        looks = int(flow.content.get("missing", 0)) + 1
        if looks > MAX_MISSING:
            detail = f"{expected} lies in no trust account"
            self._parts.break_off(flow, "serials-missing", detail, {"expected": str(expected)})
            return
        content = {**flow.content, "missing": looks}
        self._parts.flows.move(flow, "planned", content=content, wait=POLL_SECONDS, reason=reason)

    # ── hearing ──────────────────────────────────────────────────────────────────────────────

    def _hear(self, flow: Flow) -> None:
        answer = hear(self._parts, flow)
        if answer is None:
            return
        if answer.state is AnswerState.DONE:
            self._confirm(self._parts.flows.move(flow, "done"))
        elif not ask_again(self._parts, flow, answer):
            self._failed(flow, answer)

    def _failed(self, flow: Flow, answer: Answer) -> None:
        """Refused at last: recorded on chain."""
        reason = answer.reason or "the registry refused"
        assert flow.class_id is not None
        first, end = _span(flow)
        day = self._parts.services.chain_day()
        failure = RegistryFailure(
            flow.class_id, first, end - first, reason[:200], as_yyyymmdd(day), answer.evidence
        )
        self._parts.statements.draft(
            "RegistryFailure",
            failure.message(),
            flow=(flow.kind, flow.id),
            class_id=flow.class_id,
        )
        self._parts.flows.move(flow, "failed", ended=True, reason=reason)
        self._parts.flows.hurry(CERTIFICATE, str(flow.content["certificate"]))

    # ── confirming ───────────────────────────────────────────────────────────────────────────

    def _confirm(self, flow: Flow) -> None:
        """Draft what the registry really retired, if it can be true."""
        assert flow.class_id is not None
        first, _ = _span(flow)
        answer = self._parts.requests.get(str(flow.content["reference"])).answer
        assert answer is not None
        assert answer.registry_date is not None
        try:
            actual = tuple(part.interval for part in answer.serials)
            retirement = RegistryRetirement(
                flow.class_id,
                first,
                actual,
                answer.registry_reference,
                as_yyyymmdd(answer.registry_date),
                answer.evidence,
            )
            if self._waits_for_delivery(flow, retirement, answer):
                return
            self._require_possible(retirement)
        except RuleError as error:
            if not self._parts.has_caught_up():
                self._parts.flows.retry(flow, error.message)
                return
            self._parts.break_off(
                flow, "impossible-retirement", error.message, {"answer": answer.as_json()}
            )
            return
        services = self._parts.services
        drafted = self._custody.draft_confirmation(
            retirement, services.chain_id, self._parts.confirmations.domain.contract
        )
        content = {**flow.content, "confirmation": drafted.id}
        self._parts.flows.move(flow, "confirming", content=content, wait=SLOW_SECONDS)

    def _waits_for_delivery(
        self, flow: Flow, retirement: RegistryRetirement, answer: Answer
    ) -> bool:
        """Whether an open delivery names serials that the registry says it retired.

        A break for a person to see, and not the end: once the delivery is refunded, its serials
        stand at the back of the class and are confirmed as retired. Once it is delivered, the
        registry contradicts itself.
        """
        with self._parts.database.read() as connection:
            taken = consumed.open_delivery_of(connection, retirement.actual)
        if taken is None:
            return False
        said = ", ".join(map(str, retirement.actual))
        detail = f"{said}: retired, and named by delivery {taken}, which is open"
        evidence = {"answer": answer.as_json(), "delivery": str(taken)}
        self._parts.report(flow, "retired-in-delivery", str(taken), detail, evidence)
        self._parts.flows.wait(flow, SLOW_SECONDS, detail)
        return True

    def _require_possible(self, retirement: RegistryRetirement) -> None:
        """Actual serials lie in trust, in the same class, and are unconfirmed."""
        with self._parts.database.read() as connection:
            positions = lookup.position_map(connection, retirement.class_id)
        for exchange in positions.exchanges_for(retirement.first_position, retirement.actual):
            positions.exchange(exchange)
        positions.confirm(retirement.first_position, retirement.actual)

    def _follow_confirmation(self, flow: Flow) -> None:
        held = self._custody.confirmation(str(flow.content["confirmation"]))
        if held.state is ConfirmationState.FAILED:
            self._parts.break_off(
                flow, "confirmation-failed", held.reason or "", {"confirmation": held.id}
            )
        elif held.state is not ConfirmationState.RECORDED:
            # Looked at again as soon as it is.
            self._parts.flows.wait(flow, SLOW_SECONDS, held.reason)
        # Recorded: `_is_settled` ends the flow when the index has it.
        else:
            self._parts.flows.wait(flow, POLL_SECONDS)


def _span(flow: Flow) -> tuple[int, int]:
    assert flow.first_position is not None
    assert flow.tonnes is not None
    return flow.first_position, flow.first_position + flow.tonnes
