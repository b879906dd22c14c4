"""Facts of the chain and acts of the venue: what each demands of a journal, what it changes.

For each kind a check, which raises InvalidValue for what cannot be in an honest journal, and an
act, which then cannot fail. What the chain would refuse to settle after a fact (a pause, an exit,
an invalidation) is voided with the fact, from the first such trade on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from backend.domain import commands
from backend.domain.batches import FIRST_CLASS, SettlementTrade
from backend.domain.orders import MAX_BALANCE, MAX_FEE_BPS, Account
from backend.domain.venue_events import (
    DepositCredited,
    Event,
    ExitEnded,
    ExitStarted,
    Reason,
    TradesSettled,
    VenueHalted,
    VenueResumed,
    VoidReason,
)
from backend.errors import InvalidValue
from backend.matching.accounts import AccountState, NonceState
from backend.matching.resting import end_order
from backend.matching.rulebook import NEVER, VERSIONS
from backend.matching.voids import first_unsettled, held_after, void_from

if TYPE_CHECKING:
    from backend.matching.engine import Engine

Check = Callable[["Engine", Any], None]
Act = Callable[["Engine", Any, list[Event]], None]


def _require(field: str, value: object, holds: bool, rule: str) -> None:
    if not holds:
        raise InvalidValue(field, value, rule)


def _end_all(engine: Engine, account: AccountState, reason: int, events: list[Event]) -> None:
    for one in tuple(account.orders.values()):
        end_order(engine, one, reason, events)


# ── facts of the chain ───────────────────────────────────────────────────────────────────────


def _check_place(engine: Engine, command: Any) -> None:
    place = (command.block, command.log_index)
    _require("chain place", place, place > engine.chain_place, f"is not after {engine.chain_place}")
    account = getattr(command, "account", getattr(command, "trader", bytes(20)))
    _require("account", account.hex(), len(account) == 20, "is not 20 bytes")


def _check_deposit(engine: Engine, command: commands.CreditDeposit) -> None:
    _check_place(engine, command)
    last = engine.last_deposit
    _require("deposit_id", command.deposit_id, command.deposit_id == last + 1, f"is not {last} + 1")
    _require("amount", command.amount, 0 < command.amount <= MAX_BALANCE, "is out of range")
    _require("asset", command.asset, 0 < command.asset < 1 << 256, "is no asset")


def _credit(engine: Engine, command: commands.CreditDeposit, events: list[Event]) -> None:
    _, _, number, address, asset, amount = command
    account = engine.account(address)
    engine.last_deposit = number
    # The chain pays a withdrawal that an exit has shorted from what comes in before it settles.
    for pending in engine.leaving if account.short else ():
        if pending.number in account.short and pending.withdrawal.asset == asset:
            filled = min(amount, pending.withdrawal.amount - pending.held)
            pending.held += filled
            amount -= filled
    account.slot(asset).available += amount
    events.append(DepositCredited(number, address, asset, command.amount))


def _touches(address: Account, asset: int) -> Callable[[SettlementTrade], bool]:
    def concerns(trade: SettlementTrade) -> bool:
        parties = (trade.maker.trader, trade.taker.trader)
        return address in parties and asset in (trade.maker.asset, trade.maker.instrument)

    return concerns


def _start_exit(engine: Engine, command: commands.StartExit, events: list[Event]) -> None:
    _, _, address, asset, requested_at = command
    account = engine.account(address)
    account.exits[asset] = requested_at
    account.recompute()
    events.append(ExitStarted(address, asset, requested_at))
    _end_all(engine, account, Reason.EXITING, events)
    touches, last = _touches(address, asset), requested_at + engine.window_seconds
    first = first_unsettled(engine, lambda trade: trade.time_s > last and touches(trade))
    void_from(engine, first, VoidReason.AFTER_EXIT, events)


def _check_end_exit(engine: Engine, command: commands.EndExit) -> None:
    _check_place(engine, command)
    _, _, address, asset, amount = command
    account = engine.accounts.get(address)
    running = account is not None and asset in account.exits
    # The contract lets an exit that lapsed long ago be cancelled: that ends nothing any more.
    ends = running or not amount
    _require("exit", f"{address.hex()} {asset}", ends, "is not running")
    first = first_unsettled(engine, _touches(address, asset))
    held = held_after(engine, first, address, asset)
    _require("amount", amount, amount <= held, f"is more than the {held} the account has")


def _end_exit(engine: Engine, command: commands.EndExit, events: list[Event]) -> None:
    _, _, address, asset, amount = command
    account = engine.account(address)
    if asset not in account.exits:
        return
    if amount:
        first = first_unsettled(engine, _touches(address, asset))
        void_from(engine, first, VoidReason.AFTER_EXIT, events)
        slot = account.slot(asset)
        taken = min(amount, slot.available)
        slot.available -= taken
        missing = amount - taken
        # The exit came before a withdrawal was settled: settling that one will move less.
        for pending in engine.leaving:
            same = pending.withdrawal.trader == address and pending.withdrawal.asset == asset
            if missing and same:
                short = min(missing, pending.held)
                pending.held -= short
                missing -= short
                account.short.add(pending.number)
    del account.exits[asset]
    account.recompute()
    events.append(ExitEnded(address, asset, amount))


def _invalidate(engine: Engine, command: commands.InvalidateNonce, events: list[Event]) -> None:
    _, _, trader, nonce, at = command
    account = engine.account(trader)
    if account.nonce_state(nonce) in (NonceState.UNUSED, NonceState.TOO_FAR):
        account.invalidated.add(nonce)
        return
    if nonce in account.orders:
        end_order(engine, account.orders[nonce], Reason.INVALIDATED, events)
    last = at + engine.window_seconds
    mine = (trader, nonce)
    first = first_unsettled(
        engine,
        lambda trade: trade.time_s > last and mine in (trade.maker[:2], trade.taker[:2]),
    )
    void_from(engine, first, VoidReason.AFTER_INVALIDATION, events)


def _pre_sign(engine: Engine, command: commands.NotePreSignature, _: list[Event]) -> None:
    engine.account(command.account).pre_signed.add(command.digest)


def _set_participant(engine: Engine, command: commands.SetParticipant, events: list[Event]) -> None:
    account = engine.account(command.account)
    account.tier, account.expiry, account.frozen = command.tier, command.expiry, command.frozen
    account.recompute()
    if account.blocked:
        _end_all(engine, account, account.blocked, events)
    elif account.expiry < engine.time_ms // 1_000:
        _end_all(engine, account, Reason.NOT_ADMITTED, events)
    else:
        for one in account.orders.values():
            engine.wait_until(one, min(one.order.expiry, account.expiry))


def _check_asset(engine: Engine, command: commands.ListAsset) -> None:
    _check_place(engine, command)
    _require("asset", command.asset, 0 < command.asset < FIRST_CLASS, "is no settlement asset")


def _check_class(engine: Engine, command: commands.ListClass) -> None:
    _check_place(engine, command)
    known = FIRST_CLASS <= command.instrument < 1 << 256
    _require("instrument", command.instrument, known, "is no class")


def _list_asset(engine: Engine, command: commands.ListAsset, _: list[Event]) -> None:
    if command.listed:
        engine.assets.add(command.asset)
    else:
        engine.assets.discard(command.asset)
    engine.list_markets()


def _list_class(engine: Engine, command: commands.ListClass, _: list[Event]) -> None:
    engine.classes.add(command.instrument)


def _check_flags(engine: Engine, command: commands.FlagClass) -> None:
    _check_place(engine, command)
    known = command.instrument in engine.classes
    _require("instrument", command.instrument, known, "is no class of the venue")


def _flag_class(engine: Engine, command: commands.FlagClass, events: list[Event]) -> None:
    """A class that is halted leaves the books; what was matched before stands and settles."""
    instrument = command.instrument
    if not command.flags:
        engine.class_flags.pop(instrument, None)
        engine.list_markets()
        return
    engine.class_flags[instrument] = command.flags
    engine.list_markets()
    resting = [
        one
        for account in engine.accounts.values()
        for one in account.orders.values()
        if one.order.instrument == instrument
    ]
    for one in sorted(resting, key=lambda order: order.rank):
        end_order(engine, one, Reason.CLASS_HALTED, events)


def _pause(engine: Engine, command: commands.PauseVenue, events: list[Event]) -> None:
    engine.paused_until = NEVER
    engine.reopen()
    first = first_unsettled(engine, lambda trade: trade.time_s >= command.at)
    void_from(engine, first, VoidReason.AFTER_PAUSE, events)


def _unpause(engine: Engine, command: commands.UnpauseVenue, _: list[Event]) -> None:
    engine.paused_until = command.at
    engine.reopen()


def _check_settled(engine: Engine, command: commands.NoteSettlement) -> None:
    _check_place(engine, command)
    trade, withdrawal = command.last_trade, command.last_withdrawal
    known = engine.settled_trade <= trade < engine.next_trade
    _require("last_trade", trade, known, "is no trade after the settled ones")
    known = engine.settled_withdrawal <= withdrawal < engine.next_withdrawal
    _require("last_withdrawal", withdrawal, known, "is no withdrawal after the settled ones")


def _settle(engine: Engine, command: commands.NoteSettlement, events: list[Event]) -> None:
    _, _, trade, withdrawal = command
    engine.settled_trade, engine.settled_withdrawal = trade, withdrawal
    queue, leaving, voided = engine.unsettled_queue, engine.leaving, engine.void_queue
    while queue and queue[0].number <= trade:
        queue.popleft()
    while leaving and leaving[0].number <= withdrawal:
        done = leaving.popleft()
        account = engine.account(done.withdrawal.trader)
        if done.number in account.short:
            account.short.remove(done.number)
            account.recompute()
    while voided and voided[0].last <= trade and voided[0].last_withdrawal <= withdrawal:
        voided.popleft()
    events.append(TradesSettled(trade, withdrawal))


# ── acts of the venue ────────────────────────────────────────────────────────────────────────


def _nothing_to_check(_: Engine, __: Any) -> None:
    """Any value the layout holds is possible."""


def _start_epoch(engine: Engine, command: commands.StartEpoch, _: list[Event]) -> None:
    engine.epochs += 1
    engine.leader = command.leader


def _check_rules(engine: Engine, command: commands.ActivateRules) -> None:
    version = command.version
    known = version in VERSIONS and version >= engine.rules
    _require("rules", version, known, f"is none of {sorted(VERSIONS)} from {engine.rules} on")


def _activate(engine: Engine, command: commands.ActivateRules, _: list[Event]) -> None:
    engine.rules = command.version


def _check_fees(_: Engine, command: commands.SetFees) -> None:
    for name, bps in zip(command._fields, command, strict=True):
        _require(name, bps, 0 <= bps <= MAX_FEE_BPS, "is above 1 %")


def _set_fees(engine: Engine, command: commands.SetFees, _: list[Event]) -> None:
    engine.fees = (command.maker_bps, command.taker_bps)
    engine.highest_fee_bps = max(engine.fees)


def _check_void(engine: Engine, command: commands.VoidTrades) -> None:
    number, reason, _, block_time = command
    found = next((one for one in engine.unsettled_queue if one.number == number), None)
    if found is None:
        raise InvalidValue("first_trade", number, "is no unsettled trade")
    # The others follow from facts of the chain: the engine voids with the fact itself.
    old = reason == VoidReason.OLDER_THAN_WINDOW
    _require("reason", reason, old, "is not OLDER_THAN_WINDOW")
    last = found.time_s + engine.window_seconds
    _require("block_time", block_time, block_time > last, f"does not exceed {last}")


def _void(engine: Engine, command: commands.VoidTrades, events: list[Event]) -> None:
    void_from(engine, command.first_trade, command.reason, events)


def _halt(engine: Engine, command: commands.Halt, events: list[Event]) -> None:
    engine.halted = True
    engine.reopen()
    events.append(VenueHalted(command.reason, command.detail))


def _resume(engine: Engine, _: commands.Resume, events: list[Event]) -> None:
    engine.halted = False
    engine.reopen()
    events.append(VenueResumed())


def _tick(_: Engine, __: commands.Tick, ___: list[Event]) -> None:
    """Time has passed: what expired has ended before this."""


FACTS: Final[dict[type[Any], tuple[Check, Act]]] = {
    commands.CreditDeposit: (_check_deposit, _credit),
    commands.StartExit: (_check_place, _start_exit),
    commands.EndExit: (_check_end_exit, _end_exit),
    commands.InvalidateNonce: (_check_place, _invalidate),
    commands.NotePreSignature: (_check_place, _pre_sign),
    commands.SetParticipant: (_check_place, _set_participant),
    commands.ListAsset: (_check_asset, _list_asset),
    commands.ListClass: (_check_class, _list_class),
    commands.PauseVenue: (_check_place, _pause),
    commands.UnpauseVenue: (_check_place, _unpause),
    commands.NoteSettlement: (_check_settled, _settle),
    commands.FlagClass: (_check_flags, _flag_class),
    commands.StartEpoch: (_nothing_to_check, _start_epoch),
    commands.ActivateRules: (_check_rules, _activate),
    commands.SetFees: (_check_fees, _set_fees),
    commands.VoidTrades: (_check_void, _void),
    commands.Halt: (_nothing_to_check, _halt),
    commands.Resume: (_nothing_to_check, _resume),
    commands.Tick: (_nothing_to_check, _tick),
}
#: Those that carry the place where the chain holds them.
OF_CHAIN: Final = frozenset(kind for kind in FACTS if "log_index" in kind._fields)
