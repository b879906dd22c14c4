"""A change of custodian: each block to the successor's account, then its receipt's new place.

Receipts never change; where their blocks stand is an append-only record. A block that the registry
would split or mix stops the flow with a reported break.
"""

from __future__ import annotations

from datetime import date

from backend.bridge.holdings import Holdings
from backend.bridge.parts import POLL_SECONDS, SLOW_SECONDS
from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import TransferRequest, request_from_json
from backend.domain.trusts import Rebinding, moves_to_successor
from backend.errors import InvalidValue
from backend.registries.custody_file import Custody
from backend.store.breaks import Breaks
from backend.store.database import Database
from backend.store.flows import Flow, Flows, add_flow, move_flow
from backend.store.queries.custody_holdings import receipts_holding
from backend.store.registry_requests import RegistryRequests
from backend.store.trust_accounts import record_rebinding

MOVE = "move"


class MoveFlow:
    """The moves of one deployment's trust accounts to their successors."""

    def __init__(self, database: Database, holdings: Holdings, custody: Custody) -> None:
        self._database = database
        self._holdings = holdings
        self._custody = custody
        self._flows = Flows(database)
        self._requests = RegistryRequests(database)

    def plan(self, name: str, deadline: int | None = None) -> list[Flow]:
        """One flow for each live block of an account; planned again, only new blocks are added.

        Raises InvalidValue when the custody file names no successor, NotFound.
        """
        trust = self._custody.trust(name)
        if not trust.successor:
            raise InvalidValue("successor", name, "is not named in the custody file")
        successor = self._custody.trust(trust.successor)
        account = self._holdings.by_text(str(trust.account))
        inventory = account.client.inventory(trust.account)
        with self._database.begin() as connection:
            for request in moves_to_successor(trust, successor, inventory, deadline):
                content = {
                    "request": request.as_json(),
                    "successor": str(successor.account),
                    "terms_hash": "0x" + successor.terms_hash.hex(),
                }
                add_flow(connection, MOVE, request.reference, "planned", content)
        return [
            one
            for one in self._flows.of_kind(MOVE)
            if one.content["request"]["account"] == str(trust.account)
        ]

    def advance(self, flow: Flow) -> None:
        """One step; harmless to repeat."""
        request = request_from_json(flow.content["request"])
        assert isinstance(request, TransferRequest)
        if flow.state == "planned":
            self._requests.keep(MOVE, flow.id, request)
            flow = self._flows.move(flow, "asked")
        held = self._requests.get(request.reference)
        answer = held.answer
        if answer is None or not answer.state.is_final:
            client = self._holdings.by_text(str(request.account)).client
            followed = self._requests.hear(client.transfer(request))
            if followed.breaks:
                # Other serials would mix the blocks of two receipts.
                self._stop(flow, "; ".join(one.detail for one in followed.breaks))
                return
            answer = followed.answer
        if answer.state is AnswerState.DONE:
            self._rebind(flow, request, answer)
        elif answer.state is AnswerState.ACCEPTED:
            self._flows.wait(flow, SLOW_SECONDS, answer.reason or "the successor has to accept it")
        elif answer.state is AnswerState.UNKNOWN:
            self._flows.retry(flow, answer.reason or "the registry's answer is not known")
        else:
            self._stop(flow, f"{answer.state}: {answer.reason}")

    def _rebind(self, flow: Flow, request: TransferRequest, answer: Answer) -> None:
        """In one transaction: where the receipts' blocks stand now, and the flow's end."""
        on = answer.registry_date
        assert isinstance(on, date)
        successor = self._custody.trust(str(flow.content["successor"])).account
        terms_hash = bytes.fromhex(str(flow.content["terms_hash"])[2:])
        with self._database.begin() as connection:
            for receipt_id in receipts_holding(connection, request.serials.interval):
                record_rebinding(
                    connection,
                    Rebinding(
                        receipt_id,
                        request.account,
                        successor,
                        terms_hash,
                        answer.registry_reference,
                        on,
                    ),
                )
            move_flow(connection, flow, "moved", ended=True)

    def _stop(self, flow: Flow, detail: str) -> None:
        Breaks(self._database).report(
            f"move {flow.id} {detail}"[:500],
            "other-move",
            detail,
            {"request": flow.content["request"]},
            flow_kind=MOVE,
            flow=flow.id,
        )
        self._flows.move(flow, "broken", ended=True, reason=detail, wait=POLL_SECONDS)
