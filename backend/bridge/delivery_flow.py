"""A delivery: requested on chain → begun → asked → dispatched → finalised, rejected or refunded.

The chain decides the state; the flow does what is next at the registry. `begin` is final on chain
before the registry is touched, so a holder who could refund alone is never paid twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.bridge import unconfirmed
from backend.bridge.holdings import Found
from backend.bridge.parts import POLL_SECONDS, SLOW_SECONDS, Parts
from backend.bridge.permits import Permits
from backend.chain.abi import encode_call
from backend.chain.keys import Key
from backend.domain.classes import as_yyyymmdd
from backend.domain.deliveries import Finalisation, Periods, Phase, Rejection, State
from backend.domain.registry_answers import Answer, AnswerState, BreakKind
from backend.domain.registry_requests import SerialRange, TransferRequest
from backend.domain.serials import Interval
from backend.errors import CausewayError, ChainRejected
from backend.store.flows import Flow, add_flow, flows_at
from backend.store.queries import consumed, delivering
from backend.store.statements import OPEN, StatementState

DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class OnChain:
    """A delivery as the contract has it now."""

    phase: Phase
    periods: Periods
    broken: bool
    #: Holder, class, first position and tonnes: what its number stands for.
    what: tuple[str, int, int, int]


class DeliveryFlow:
    """The deliveries of one deployment."""

    def __init__(self, parts: Parts, permits: Permits) -> None:
        self._parts = parts
        self._permits = permits
        self._periods: Periods | None = None

    def discover(self) -> int:
        """Take up requests of final chain blocks; returns how many were new."""
        with self._parts.database.read() as connection:
            final = self._parts.services.final_number(connection)
            found = delivering.new_requests(connection, final)
        with self._parts.database.begin() as connection:
            for one in found:
                add_flow(
                    connection,
                    DELIVERY,
                    str(one.delivery_id),
                    "requested",
                    {
                        "holder": one.holder,
                        "recipient": one.registry_account,
                        "serials": str(SerialRange.of(one.serials)),
                    },
                    class_id=one.class_id,
                    first_position=one.first_position,
                    tonnes=one.serials.tonnes,
                    deadline=one.deadline,
                )
        return len(found)

    def on_chain(self, delivery_id: str) -> OnChain:
        """State and times by the contract itself."""
        contracts = self._parts.services.contracts
        found = contracts.read("Deliveries", "delivery", int(delivery_id))
        if self._periods is None:
            # Immutable in the contract.
            self._periods = Periods(*contracts.read("Deliveries", "periods").values())
        phase = Phase(
            State(found["state"]), found["requestedAt"], found["begunAt"], found["expiresAt"]
        )
        return OnChain(
            phase,
            self._periods,
            bool(found["broken"]),
            (found["holder"], found["classId"], found["firstPosition"], found["tonnes"]),
        )

    def advance(self, flow: Flow, custodian: Key | None) -> None:
        """One step. `custodian`: the key that may begin and dispatch, if this machine has one."""
        now = self.on_chain(flow.id)
        state = now.phase.state
        begins = state in (State.REQUESTED, State.BEGUN, State.DISPATCHED)
        if state is State.NONE:
            self._parts.flows.wait(flow, POLL_SECONDS, "the chain does not have it now")
        elif not self._is_same(flow, now):
            self._is_another(flow, now)
        elif begins and flow.content.get("statement"):
            self._follow_statement(flow)
        elif state is State.FINALISED:
            self._parts.flows.move(flow, "finalised", ended=True)
            self._hurry_retirements(flow)
        elif state in (State.REFUNDED, State.REFUNDED_DISPUTED):
            self._refunded(flow, state)
        elif state is State.REJECTED:
            self._wait_for_holder(flow, "rejected: the holder may refund")
        elif state is State.REQUESTED:
            self._begin(flow, now, custodian)
        elif state in (State.BEGUN, State.DISPATCHED):
            self._transfer(flow, now, custodian)

    def _is_same(self, flow: Flow, now: OnChain) -> bool:
        """Whether its number stands for what was taken up; the account is in the log alone."""
        with self._parts.database.read() as connection:
            recipient = delivering.recipient_of(connection, int(flow.id))
        taken_up = (flow.content["holder"], flow.class_id, flow.first_position, flow.tonnes)
        return now.what == taken_up and recipient in (None, flow.content["recipient"])

    def _is_another(self, flow: Flow, now: OnChain) -> None:
        """A reorganisation deeper than what counts as final gave its number to another request:
        nothing that was drafted for the old one may meet the new one.
        """
        reason = "the chain has another request of its number"
        self._give_up_statements(flow, reason)
        holder, class_id, first, tonnes = now.what
        said = (
            f"delivery {flow.id} was taken up as {flow.tonnes} t of class {flow.class_id} at "
            f"{flow.first_position} for {flow.content['holder']} to {flow.content['recipient']}; "
            f"the chain has {tonnes} t of class {class_id} at {first} for {holder} now"
        )
        held = self._parts.requests.of_flow(DELIVERY, flow.id)
        evidence = {
            "holder": holder, "class_id": str(class_id), "first_position": str(first),
            "tonnes": str(tonnes), "asked_at_registry": [one.request.as_json() for one in held],
        }  # fmt: skip
        self._parts.report(flow, "delivery-replaced", "", said, evidence)
        self._parts.flows.wait(flow, SLOW_SECONDS, reason)

    def _give_up_statements(self, flow: Flow, reason: str) -> None:
        """Drafts that nobody may send any more."""
        for one in self._parts.statements.stored.of_flow(DELIVERY, flow.id):
            if one.state in OPEN and not self._parts.statements.is_recorded(one):
                self._parts.statements.stored.set_state(one.id, StatementState.FAILED, reason)

    def _wait_for_holder(self, flow: Flow, reason: str) -> None:
        if flow.state == "rejected":
            self._parts.flows.wait(flow, SLOW_SECONDS, reason)
        else:
            self._parts.flows.move(flow, "rejected", reason=reason, wait=POLL_SECONDS)

    # ── begin ────────────────────────────────────────────────────────────────────────────────

    def _begin(self, flow: Flow, now: OnChain, custodian: Key | None) -> None:
        chain_time = self._parts.services.chain_time()
        if not now.phase.can_begin(now.periods, chain_time):
            reason = "too late to begin: the holder may refund at the deadline"
            self._parts.flows.wait(flow, SLOW_SECONDS, reason)
            return
        # Before the chain and long before the registry: what cannot end well is never begun, so
        # the holder has the ordinary refund at the deadline.
        if self._is_barred(flow) or self._allowed_holding(flow, now) is None:
            return
        if custodian is None:
            reason = "a custodian has to begin it: causeway delivery begin"
            self._parts.flows.wait(flow, SLOW_SECONDS, reason)
            return
        self._send(flow, "begin", (int(flow.id),), custodian)

    def _is_barred(self, flow: Flow) -> bool:
        """Whether the programme forbids it, wherever the serials lie."""
        programme = serials_of(flow).series.programme
        recipient = str(flow.content["recipient"])
        return self._wait_barred(flow, self._permits.bars_to_delivering(programme, recipient))

    def _allowed_holding(self, flow: Flow, now: OnChain) -> Found | None:
        """The block that has all of the serials and that they may leave; None when it waits."""
        serials = serials_of(flow)
        found = self._parts.holdings.holding(serials)
        if found is None or found.serials != serials:
            self._not_there(flow, now)
            return None
        account, recipient = found.account.account, str(flow.content["recipient"])
        asked = SerialRange.of(serials)
        bars = self._permits.bars_to_delivery(account, recipient, asked, found.block)
        return None if self._wait_barred(flow, bars) else found

    def _wait_barred(self, flow: Flow, bars: Sequence[str]) -> bool:
        """Whether there are reasons against it: reported once, and the flow waits."""
        if not bars:
            return False
        detail = "; ".join(bars)
        said = f"delivery {flow.id} cannot be made: {detail}"
        self._parts.report(flow, "programme-forbids", detail, said, {"reasons": list(bars)})
        self._parts.flows.wait(flow, SLOW_SECONDS, f"the holder may refund when due: {detail}")
        return True

    def _not_there(self, flow: Flow, now: OnChain) -> None:
        """Serials that no connected account holds whole, and of which no transfer was asked."""
        serials = serials_of(flow)
        with self._parts.database.read() as connection:
            account_id = consumed.account_of(connection, serials)
        if account_id is None or not self._parts.holdings.is_connected(account_id):
            reason = "no registry is connected: causeway delivery begin, then dispatch"
            self._parts.flows.wait(flow, SLOW_SECONDS, reason)
            return
        taken = self._retired_instead(serials, flow.class_id)
        if taken is not None and now.phase.state is not State.DISPATCHED:
            self._reject(flow, taken, "its serials were retired before they were transferred")
            return
        if not unconfirmed.unanswered_tonnes(self._parts.database, flow.class_id or 0):
            said = f"{serials} of delivery {flow.id} lies in no live block of the trust accounts"
            self._parts.report(flow, "serials-missing", "", said, {"serials": str(serials)})
        # Soon: the registry may have retired them for an instruction whose answer is still to come.
        self._parts.flows.wait(flow, POLL_SECONDS, "its serials are in no live block")

    def _retired_instead(self, serials: Interval, class_id: int | None) -> Answer | None:
        """The registry's word that it retired some of the serials: it chose them itself. What it
        was asked to retire stays live instead, so the holder is refunded, and at once.
        """
        assert class_id is not None
        for answer in unconfirmed.retired(self._parts.database, class_id):
            if any(part.interval.overlaps(serials) for part in answer.serials):
                return answer
        return None

    def _send(self, flow: Flow, function: str, args: tuple[Any, ...], custodian: Key) -> None:
        """A custodian's call, once: the contract refuses the second."""
        services = self._parts.services
        to = services.contracts.deployment["Deliveries"]
        last = flow.content.get(f"{function}_key")
        key = services.next_key(f"delivery-{function}", f"{services.chain_id}:{flow.id}", last)
        if not services.is_under_way(key):
            data = encode_call("Deliveries", function, args)
            services.sender.submit(key, custodian, to, data)
        content = {**flow.content, f"{function}_key": key}
        self._parts.flows.move(flow, flow.state, content=content, wait=POLL_SECONDS)

    # ── at the registry ──────────────────────────────────────────────────────────────────────

    def _transfer(self, flow: Flow, now: OnChain, custodian: Key | None) -> None:
        with self._parts.database.read() as connection:
            final = self._parts.services.final_number(connection)
            begun = delivering.is_begun(connection, int(flow.id), final)
        if not begun:
            self._parts.flows.wait(flow, POLL_SECONDS, "begun, and not yet final")
            return
        serials = serials_of(flow)
        held = self._held_request(flow)
        if held is None:
            # Begun by hand, or what was allowed then no longer is.
            found = None if self._is_barred(flow) else self._allowed_holding(flow, now)
            if found is None:
                return
            request = TransferRequest(
                transfer_reference(self._parts.services.chain_id, flow.id),
                found.account.account,
                SerialRange.of(serials),
                str(flow.content["recipient"]),
                flow.deadline,
                now.phase.expires_at,
                f"Causeway delivery {flow.id}",
            )
            self._parts.requests.keep(DELIVERY, flow.id, request)
            content = {**flow.content, "reference": request.reference}
            flow = self._parts.flows.move(flow, "asked", content=content)
        self._hear(flow, now, custodian)

    def _held_request(self, flow: Flow) -> TransferRequest | None:
        for one in self._parts.requests.of_flow(DELIVERY, flow.id):
            if isinstance(one.request, TransferRequest):
                return one.request
        return None

    def _hear(self, flow: Flow, now: OnChain, custodian: Key | None) -> None:
        held = self._parts.requests.of_flow(DELIVERY, flow.id)[0]
        assert isinstance(held.request, TransferRequest)
        answer = held.answer
        if answer is None or not answer.state.is_final:
            account = self._parts.holdings.by_text(str(held.request.account))
            heard = account.client.transfer(held.request)
            followed = self._parts.requests.hear(heard, flow.class_id)
            other = [one for one in followed.breaks if one.kind is BreakKind.OTHER_SERIALS]
            if followed.stops or other:
                # The recipient got other credits than the burnt ones: nothing is recorded.
                detail = "; ".join(one.detail for one in followed.breaks)
                self._parts.break_off(flow, "other-delivery", detail, {"answer": heard.as_json()})
                return
            answer = followed.answer
        if answer.state is AnswerState.DONE:
            self._finalise(flow, answer)
        elif answer.state in (AnswerState.REJECTED, AnswerState.EXPIRED, AnswerState.REFUSED):
            self._reject(flow, answer, answer.reason or answer.state.value)
        elif answer.state is AnswerState.ACCEPTED:
            self._dispatch(flow, now, answer, custodian)
        else:
            self._parts.flows.retry(flow, answer.reason or "the registry's answer is not known")

    def _dispatch(self, flow: Flow, now: OnChain, answer: Answer, custodian: Key | None) -> None:
        """The registry waits for the recipient: say so on chain, with its reference."""
        if now.phase.can_dispatch() and answer.registry_reference and custodian is not None:
            expires = min(answer.expires_at or now.phase.expires_at, now.phase.expires_at)
            if expires > self._parts.services.chain_time():
                args = (int(flow.id), answer.registry_reference, expires)
                try:
                    self._send(flow, "dispatch", args, custodian)
                except ChainRejected as error:
                    # Not needed for any end of it: the latest expiry stands.
                    self._parts.flows.wait(flow, SLOW_SECONDS, error.message)
                return
        if flow.state != "dispatched":
            self._parts.flows.move(flow, "dispatched", wait=POLL_SECONDS)
        else:
            self._parts.flows.wait(flow, POLL_SECONDS, "the recipient has not accepted yet")

    # ── ends ─────────────────────────────────────────────────────────────────────────────────

    def _finalise(self, flow: Flow, answer: Answer) -> None:
        assert answer.registry_date is not None
        done = Finalisation(
            int(flow.id),
            answer.registry_reference,
            as_yyyymmdd(answer.registry_date),
            answer.evidence,
        )
        self._state(flow, "Finalisation", done.message(), "delivered")

    def _reject(self, flow: Flow, answer: Answer, reason: str) -> None:
        refused = Rejection(int(flow.id), reason[:200], answer.evidence)
        self._state(flow, "Rejection", refused.message(), "refused")

    def _state(self, flow: Flow, kind: str, message: Mapping[str, Any], state: str) -> None:
        drafted = self._parts.statements.draft(
            kind, message, flow=(DELIVERY, flow.id), class_id=flow.class_id
        )
        content = {**flow.content, "statement": drafted.id}
        self._parts.flows.move(flow, state, content=content, wait=SLOW_SECONDS)

    def _follow_statement(self, flow: Flow) -> None:
        held = self._parts.statements.stored.get(str(flow.content["statement"]))
        if held.state is StatementState.FAILED:
            self._parts.break_off(flow, "statement-failed", held.reason or "", {"id": held.id})
        else:
            # Looked at again as soon as it is recorded.
            self._parts.flows.wait(flow, SLOW_SECONDS, held.reason)

    def _refunded(self, flow: Flow, state: State) -> None:
        """The holder has the tokens again. What the registry did all the same is a break."""
        # The contract refuses them from now on.
        self._give_up_statements(flow, "the delivery was refunded")
        held = self._parts.requests.of_flow(DELIVERY, flow.id)
        answer = self._last_answer(flow) if held else None
        if answer is not None and answer.state is AnswerState.DONE:
            self._record_break(flow, answer)
            return
        disputed = state is State.REFUNDED_DISPUTED
        if answer is not None and not answer.state.is_final:
            reason = "refunded while the registry had not ended the transfer"
            said = f"delivery {flow.id} was {reason}: cancel it there"
            self._parts.report(flow, "open-at-registry", "", said, {"answer": answer.as_json()})
        ending = "refunded, disputed" if disputed else "refunded"
        self._parts.flows.move(flow, ending, ended=True)
        self._hurry_retirements(flow)

    def _hurry_retirements(self, flow: Flow) -> None:
        """One whose serials this delivery named waited for its end."""
        assert flow.class_id is not None
        with self._parts.database.read() as connection:
            waiting = flows_at(connection, "retirement", flow.class_id, ("done",))
        for one in waiting:
            self._parts.flows.hurry(one.kind, one.id)

    def _last_answer(self, flow: Flow) -> Answer | None:
        """The newest word of the registry, asked once more."""
        held = self._parts.requests.of_flow(DELIVERY, flow.id)[0]
        if held.answer is not None and held.answer.state.is_final:
            return held.answer
        assert isinstance(held.request, TransferRequest)
        try:
            account = self._parts.holdings.by_text(str(held.request.account))
            heard = account.client.look_up(held.request.reference)
        except CausewayError:
            return held.answer
        if heard is None:
            return held.answer
        return self._parts.requests.hear(heard, flow.class_id).answer

    def _record_break(self, flow: Flow, answer: Answer) -> None:
        """The recipient has the credits, the holder the tokens: the custodian's shortfall."""
        assert answer.registry_date is not None
        done = Finalisation(
            int(flow.id),
            answer.registry_reference,
            as_yyyymmdd(answer.registry_date),
            answer.evidence,
        )
        self._parts.statements.draft(
            "Finalisation",
            done.message(),
            flow=(DELIVERY, flow.id),
            class_id=flow.class_id,
            extra={"function": "recordBreak"},
        )
        detail = f"delivery {flow.id} was refunded and delivered: {answer.registry_reference}"
        self._parts.break_off(flow, "paid-twice", detail, {"answer": answer.as_json()})


def transfer_reference(chain_id: int, delivery_id: str) -> str:
    """The reference of a delivery's transfer at the registry."""
    return f"dlv-{chain_id}-{delivery_id}"


def serials_of(flow: Flow) -> Interval:
    """The serials that a delivery names."""
    return SerialRange.parse(str(flow.content["serials"])).interval
