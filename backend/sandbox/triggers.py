"""Triggers: what goes wrong in real life, on demand, by the parts it would go wrong in."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from backend.domain.classes import ClassFlag, as_yyyymmdd
from backend.domain.programme_events import Kind, ProgrammeEvent
from backend.domain.serials import Interval
from backend.errors import Conflict, InvalidValue, NotFound, ProgrammeForbids, ServiceError
from backend.sandbox.effects import Effect
from backend.sandbox.machine import Machine
from backend.sandbox.registry import SimulatedRegistry, Window

#: Who signs on this machine.
SIGNERS: Final = ("custodian", "attestor")
LONGEST_JUMP: Final = 400 * 86_400
DEEPEST: Final = 32
LONGEST_MAINTENANCE: Final = 86_400
ANSWERS: Final = {"accept": "accept", "reject": "reject", "wait": "manual"}
REASON: Final = "Sandbox: a developer asked for it"


class Triggers:
    """Each call states what shall be so; where it is so already nothing happens."""

    def __init__(self, machine: Machine, simulated: SimulatedRegistry) -> None:
        self._machine, self._registry = machine, simulated

    def registry(self, mode: str, seconds: int) -> Effect:
        """The registry is normal, slow, failing …, or closed for so many seconds."""
        if not 1 <= seconds <= LONGEST_MAINTENANCE:
            raise InvalidValue("seconds", seconds, f"is not 1 … {LONGEST_MAINTENANCE}")
        changed = self._registry.set_mode(mode, seconds)
        return Effect(changed, values={"mode": self._registry.mode})

    def recipient(self, account: str, answer: str) -> Effect:
        """An account at the registry that accepts, rejects or leaves open what is sent to it."""
        if answer not in ANSWERS:
            raise InvalidValue("answer", answer, f"is none of {', '.join(ANSWERS)}")
        if account == self._registry.trust.account.account:
            raise InvalidValue("account", account, "is the trust account itself")
        self._registry.open(account, acceptance=ANSWERS[answer])
        return Effect(True, values={"account": account, "answer": answer})

    # ── holds ────────────────────────────────────────────────────────────────────────────────

    def hold(self, class_id: int, held: bool) -> Effect:
        """The programme holds a class, or releases it: its instrument halts, or trades again.

        Custodian and attestor sign the event; the worker brings it to the chain.
        """
        flags = self._positions(class_id)["flags"]
        wanted = Kind.HOLD if held else Kind.RELEASE
        statements = self._machine.bridge.statements
        for one in statements.stored.open():
            if one.type == "ProgrammeEvent" and one.content["classId"] == str(class_id):
                if one.content["kind"] != str(int(wanted)):
                    raise Conflict(
                        f"another event of the class is {one.state.value}: ask again when it is "
                        "recorded",
                        statement=one.id,
                    )
                return Effect(False, state=one.state.value, values={"held": held})
        if bool(flags & ClassFlag.HOLD) == held:
            return Effect(False, values={"held": held})
        event = ProgrammeEvent(
            wanted,
            class_id,
            "",
            REASON,
            as_yyyymmdd(self._machine.bridge.services.chain_day()),
            bytes(32),
            secrets.randbits(63),
        )
        drafted = statements.draft("ProgrammeEvent", event.message(), class_id=class_id)
        return Effect(True, state=self._signed(drafted.id), values={"held": held})

    def _signed(self, statement_id: str) -> str:
        for name in SIGNERS:
            self._machine.bridge.statements.sign(statement_id, self._machine.keys.get(name))
        return self._machine.bridge.statements.stored.get(statement_id).state.value

    # ── the reserve ──────────────────────────────────────────────────────────────────────────

    def shortfall(self, class_id: int, tonnes: int) -> Effect:
        """So many tonnes of a class lie no more in trust; 0 brings them back.

        The registry moves credits to another account without anybody having asked for it; a new
        reserve report, signed as always, says what is short, and mints of the class stop.
        """
        blocks = self._machine.contracts.blocks_of(class_id)
        if not blocks:
            raise NotFound(f"no class has the id {class_id}", class_id=str(class_id))

        def of_class(serials: Sequence[Interval]) -> list[Interval]:
            return [
                Interval(one.series, max(one.first, block.first), min(one.last, block.last))
                for block in blocks
                for one in serials
                if one.series.id == block.series_id
                and one.first <= block.last
                and block.first <= one.last
            ]

        aside = of_class(self._registry.held(aside=True))
        missing = tonnes - sum(one.tonnes for one in aside)
        here = of_class(self._registry.held(aside=False)) if missing > 0 else aside
        if missing > sum(one.tonnes for one in here):
            raise InvalidValue("short_tonnes", tonnes, "is more than lies in trust")
        # From the back: what the next retirements stand on stays.
        for serials in reversed(here):
            part = min(abs(missing), serials.tonnes)
            if part:
                moved = Interval(serials.series, serials.last - part + 1, serials.last)
                self._registry.move(moved, aside=missing > 0)
                missing += -part if missing > 0 else part
        changed = sum(one.tonnes for one in aside) != tonnes
        state = self._report() if changed else "done"
        return Effect(changed, state=state, values={"short_tonnes": str(tonnes)})

    def _report(self) -> str:
        """A reserve report over what is live now, younger than the newest, signed by both."""
        reserve = self._machine.bridge.reserve
        for _ in range(50):
            built = reserve.build()
            if built.report.as_of > reserve.current().as_of:
                return self._signed(reserve.draft(built).id)
            time.sleep(0.1)
        raise ServiceError("the registry's clock stands still: no report is younger than the last")

    def stale_reserve(self, stale: bool) -> Effect:
        """The newest reserve report is too old for mints, or a fresh one is on its way.

        Nobody stops the worker, which goes on wanting to renew the report: its registry is closed,
        so that no inventory can be had, and chain and registry jump past the report's greatest
        age. Opened again, the worker makes the report that is due; `due` until it is recorded.
        Maintenance that was asked for otherwise stays as it was.
        """
        windows = self._registry.windows
        others = [one for one in windows if not _is_of_stale(one)]
        is_closed = others != windows
        if not stale:
            # Whatever the report's age: what closed the registry may have come no further.
            if is_closed:
                self._registry.close_in(others)
            state = "due" if self._is_stale() else "done"
            return Effect(is_closed, state=state, values={"stale": False})
        reserve = self._machine.bridge.reserve
        if not reserve.current().sequence:
            raise Conflict("there is no reserve report yet that could grow stale")
        if is_closed and self._is_stale():
            return Effect(False, values={"stale": True})
        try:
            # No report is as of a later second than the registry's when it closes: neither the
            # newest nor one that is being signed.
            self._registry.close_in([*others, _window_of_stale(self._registry.time)])
            past = self._registry.time + reserve.max_age() + 1
            self.time(past)
            self._registry.close_in([*others, _window_of_stale(past)])
        except BaseException:
            self._registry.close_in(others)
            raise
        return Effect(True, values={"stale": True, "time": str(past)})

    def _is_stale(self) -> bool:
        bridge = self._machine.bridge
        age = bridge.services.chain_time() - bridge.reserve.current().as_of
        return age > bridge.reserve.max_age()

    # ── the chain ────────────────────────────────────────────────────────────────────────────

    def time(self, at_least: int) -> Effect:
        """The chain's clock shows at least this second, and the registry's too."""
        rpc = self._machine.rpc
        newest = rpc.block("latest")
        assert newest is not None
        if at_least > newest.timestamp + LONGEST_JUMP:
            raise InvalidValue("at_least", at_least, f"is more than {LONGEST_JUMP} s ahead")
        changed = newest.timestamp < at_least
        if changed:
            rpc.call("evm_setNextBlockTimestamp", at_least)
            rpc.call("evm_mine")
        self._registry.advance_to(at_least)
        return Effect(changed, values={"time": str(max(newest.timestamp, at_least))})

    def reorganise(self, from_hash: str) -> Effect:
        """The chain block of this hash and all above it are replaced by others.

        Transactions in them are sent again by whoever sent them. Raises ProgrammeForbids when the
        venue has taken anything of them for final: it would halt for ever.
        """
        machine, rpc = self._machine, self._machine.rpc
        found = rpc.call("eth_getBlockByHash", from_hash, False)
        head = rpc.block_number()
        canonical = found and rpc.block(int(found["number"], 16))
        if not canonical or canonical.hash != from_hash:
            return Effect(False, values={"head": str(head)})
        depth = head - canonical.number + 1
        if depth > DEEPEST or canonical.number <= machine.deployment.deployed_at_block:
            raise InvalidValue("from_hash", from_hash, f"is {depth} deep, at most {DEEPEST} are")
        final = head - machine.settings.confirmations
        if canonical.number <= final and self._venue_saw(canonical.number, final):
            raise ProgrammeForbids(
                f"the venue acted on chain blocks {canonical.number} … {final} as final: without "
                "them it halts for ever; start the system with a higher CAUSEWAY_CONFIRMATIONS",
                from_hash=from_hash,
                confirmations=machine.settings.confirmations,
            )
        # An Anvil that mines meanwhile loses state.
        rpc.call("evm_setAutomine", False)
        try:
            rpc.call("anvil_reorg", depth, [])
        finally:
            rpc.call("evm_setAutomine", True)
        rpc.call("evm_mine")
        return Effect(True, values={"depth": str(depth), "head": str(rpc.block_number())})

    def _venue_saw(self, first: int, last: int) -> bool:
        deployment = self._machine.deployment
        return bool(self._machine.rpc.get_logs([deployment["Exchange"]], first, last, []))

    def _positions(self, class_id: int) -> Any:
        found = self._machine.contracts.read("CarbonCredits", "positions", class_id)
        if not found["number"]:
            raise NotFound(f"no class has the id {class_id}", class_id=str(class_id))
        return found


def _window_of_stale(start: int) -> Window:
    return Window(start, start + LONGEST_JUMP)


def _is_of_stale(window: Window) -> bool:
    """Known by its length: what a mode of the registry closes is a day long at most."""
    return window == _window_of_stale(window.start)
