"""A retirement of kept credits: planned → asked → done → confirmed, or failed, or broken.

What is kept as a ledger only has no token and no certificate on chain: the owner signs an order,
the registry is asked for runs of its serials, and what it really retired is recorded with its
reference. Serials that it chose instead are exchanged tonne for tonne with their owners; an answer
that cannot be true is a break and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from backend.bridge.hearing import ask_again, hear
from backend.bridge.parts import POLL_SECONDS, Parts
from backend.bridge.permits import Permits
from backend.chain.keys import recover
from backend.domain.capabilities import require
from backend.domain.eip712 import SigningDomain
from backend.domain.instruction_rules import check_instruction
from backend.domain.instructions import RetirementInstruction
from backend.domain.ledger import RetirementOrder, signing_domain
from backend.domain.registry_answers import AnswerState
from backend.domain.registry_requests import (
    HeldBlock,
    Inventory,
    RegistryAccount,
    RetirementRequest,
    SerialRange,
)
from backend.errors import InvalidValue, NotAuthorised, RegistryUnavailable
from backend.registries.programmes import programme_data
from backend.store import ledger
from backend.store.flows import Flow
from backend.store.ledger import LEDGER_RETIREMENT
from backend.store.queries import ledger as kept

#: How long a retirement may take: not asked by then, it fails; asked, a person has to look.
ORDER_SECONDS = 30 * 86_400
#: Expected serials that the account does not hold after so many looks are a break.
MAX_MISSING = 60


class LedgerFlow:
    """The retirements of kept credits of one deployment."""

    def __init__(self, parts: Parts, permits: Permits) -> None:
        self._parts = parts
        self._permits = permits

    # ── ordering ─────────────────────────────────────────────────────────────────────────────

    @property
    def domain(self) -> SigningDomain:
        """What owners' signatures are bound to."""
        services = self._parts.services
        return signing_domain(services.chain_id, services.records)

    def check(self, account: str, instruction: RetirementInstruction) -> None:
        """Before the owner signs. Raises ProgrammeForbids with every reason, InvalidValue when
        the account's credits are tokens, or NotFound when there is no such trust account.
        """
        programme = RegistryAccount.parse(account).programme
        self._parts.holdings.by_text(account)
        if not self._permits.is_ledger_only(programme):
            raise InvalidValue("account", account, "holds what tokens stand for: retire those")
        self._permits.require_retiring(programme)
        rules = programme_data(programme).rules
        check_instruction(rules, instruction, self._parts.services.chain_day())

    def order(
        self, order: RetirementOrder, instruction: RetirementInstruction, signature: bytes
    ) -> kept.LedgerRetirement:
        """Take an owner's signed order; the same again gives what the first came to (L10).

        Raises NotAuthorised unless the owner signed it (L5), and what `check` raises; then
        InvalidValue, NotEnough or Conflict for serials that are not the owner's to retire now.
        """
        self.check(order.account, instruction)
        if instruction.hash != order.instruction_hash:
            raise InvalidValue(
                "instruction", "0x" + instruction.hash.hex(), "is not the one signed"
            )
        signer = recover(order.digest(self.domain), signature)
        if signer != order.owner:
            raise NotAuthorised(f"{signer} signed, not the owner {order.owner}", signer=signer)
        with self._parts.database.read() as connection:
            known = kept.is_ordered(connection, order.reference)
        if not known:
            self._require_askable(order)
        now = self._parts.services.chain_time()
        with self._parts.database.begin() as connection:
            ledger.take_order(connection, order, instruction, signature, now, now + ORDER_SECONDS)
            return kept.get_retirement(connection, order.reference)

    def _require_askable(self, order: RetirementOrder) -> None:
        """What the registry would never do is refused here, where its inventory can be seen."""
        account = self._parts.holdings.by_text(order.account)
        try:
            inventory = account.inventory()
        except RegistryUnavailable:
            return  # seen when it is asked
        bars: list[str] = []
        for asked in order.serials:
            for block, part in _within(inventory, asked):
                bars += self._permits.bars_to_retirement(account.account, part, block)
        require("retirement", dict.fromkeys(bars))

    # ── advancing ────────────────────────────────────────────────────────────────────────────

    def advance(self, flow: Flow) -> None:
        """One step; harmless to repeat."""
        if flow.state == "planned":
            self._ask(flow)
        elif flow.state == "asked":
            self._hear(flow)
        elif flow.state == "done":
            self._record(flow)

    def _ask(self, flow: Flow) -> None:
        if self._is_late(flow):
            self._fail(flow, "it was not asked of the registry in time")
            return
        account = self._parts.holdings.by_text(str(flow.content["account"]))
        with self._parts.database.read() as connection:
            expected = ledger.pieces_of(connection, flow.id)
            instruction = kept.instruction_of(connection, str(flow.content["order"]))
        run = _first_run(expected)
        found = next(iter(_within(account.inventory(), run)), None)
        if found is None or found[1].first != run.first:
            self._missing(flow, run)
            return
        block, asked_of = found
        bars = self._permits.bars_to_retirement(account.account, asked_of, block)
        kept_class = str(expected[0].kept_class)
        if self._parts.is_forbidden(flow, bars, **{"class": kept_class}):
            return
        if asked_of.tonnes < (flow.tonnes or 0):
            with self._parts.database.begin() as connection:
                flow = ledger.split_part(connection, flow, asked_of.tonnes)
        attempt = int(flow.content.get("attempt", 1))
        request = RetirementRequest(
            f"led-{self._parts.services.chain_id}-{flow.id}-{attempt}",
            account.account,
            asked_of,
            instruction,
            flow.deadline,
        )
        self._parts.requests.keep(LEDGER_RETIREMENT, flow.id, request)
        content = {**flow.content, "reference": request.reference}
        self._hear(self._parts.flows.move(flow, "asked", content=content))

    def _is_late(self, flow: Flow) -> bool:
        return flow.deadline is not None and self._parts.services.chain_time() > flow.deadline

    def _fail(self, flow: Flow, reason: str) -> None:
        with self._parts.database.begin() as connection:
            ledger.fail_part(connection, flow, reason)

    def _missing(self, flow: Flow, run: SerialRange) -> None:
        """Gone from the account: the registry may have chosen them for another retirement, which
        exchanges them when it is recorded; else somebody has to look.
        """
        reason = f"{run} is not in the account's inventory"
        looks = int(flow.content.get("missing", 0)) + 1
        if looks > MAX_MISSING:
            self._parts.break_off(flow, "serials-missing", reason, {"expected": str(run)})
            return
        content = {**flow.content, "missing": looks}
        self._parts.flows.move(flow, "planned", content=content, wait=POLL_SECONDS, reason=reason)

    def _hear(self, flow: Flow) -> None:
        answer = hear(self._parts, flow)
        if answer is None:
            self._tell_when_late(flow)
        elif answer.state is AnswerState.DONE:
            self._record(self._parts.flows.move(flow, "done"))
        elif not ask_again(self._parts, flow, answer):
            self._fail(flow, answer.reason or "the registry refused")

    def _tell_when_late(self, flow: Flow) -> None:
        """Asked, and no final answer by the deadline: nobody can say it failed, so it goes on."""
        if not self._is_late(flow):
            return
        reference = str(flow.content["reference"])
        detail = f"{reference} was asked and has no final answer by its deadline"
        evidence = {"reference": reference, "deadline": flow.deadline}
        self._parts.report(flow, "retirement-overdue", reference, detail, evidence)

    def _record(self, flow: Flow) -> None:
        answer = self._parts.requests.get(str(flow.content["reference"])).answer
        assert answer is not None
        try:
            with self._parts.database.begin() as connection:
                ledger.record(connection, flow, answer)
        except InvalidValue as error:
            said: dict[str, object] = {"answer": answer.as_json()}
            self._parts.break_off(flow, "impossible-retirement", error.message, said)


def _first_run(pieces: Sequence[ledger.Piece]) -> SerialRange:
    """The first serials of a part that follow each other: an exchange may have torn them apart."""
    run = SerialRange.of(pieces[0].serials)
    for piece in pieces[1:]:
        serials = SerialRange.of(piece.serials)
        if serials.space != run.space or serials.first != run.last + 1:
            break
        run = SerialRange(run.space, run.first, serials.last)
    return run


def _within(
    inventory: Inventory | None, wanted: SerialRange
) -> list[tuple[HeldBlock, SerialRange]]:
    """The live blocks of an account that have some of these serials, with the part they have."""
    found = []
    for block in inventory.blocks if inventory else ():
        held = block.serials
        if held.overlaps(wanted):
            first, last = max(held.first, wanted.first), min(held.last, wanted.last)
            found.append((block, SerialRange(wanted.space, first, last)))
    return sorted(found, key=lambda one: one[1])
