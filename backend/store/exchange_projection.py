"""Events of the Exchange to rows: deposits, settled batches, claims, exits, fees, retirements.

A batch is rebuilt from its event's bytes (`domain.batches`), so that balances on chain follow from
logs alone. The zero address stands for what is nobody's yet: fees and what is to be retired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address

from backend.domain.batches import decode_batch, deltas
from backend.domain.events import ChainEvent

if TYPE_CHECKING:
    from backend.store.projection import Projection

NOBODY = "0x0000000000000000000000000000000000000000"


@lru_cache(maxsize=65_536)
def _address(account: bytes) -> str:
    return to_checksum_address(account)


@dataclass(slots=True)
class ExchangeChanges:
    """What a range of chain blocks changes: sums by (account, asset), shorted withdrawals."""

    #: (operator, developer) as the newest FeePayeesSet says.
    payees: tuple[str, str] = (NOBODY, NOBODY)
    #: (account, asset) → [balance, claimable] gained in the range.
    gained: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    #: Withdrawal → what it moved, where that was not its amount; told before its batch.
    short: dict[int, int] = field(default_factory=dict)
    _place: tuple[int, int] = (-1, -1)
    _ordinal: int = 0

    def move(
        self, to: Projection, event: ChainEvent, change: tuple[str, int, int, int], kind: str
    ) -> None:
        """`change` is (account, asset, balance, claimable)."""
        account, asset, balance, claimable = change
        if not balance and not claimable:
            return
        place = (event.block_number, event.log_index)
        self._ordinal = self._ordinal + 1 if place == self._place else 0
        self._place = place
        to.rows["exchange_changes"].append((*change, kind, *place, self._ordinal))
        sums = self.gained.setdefault((account, asset), [0, 0])
        sums[0] += balance
        sums[1] += claimable


def _deposited(to: Projection, event: ChainEvent) -> None:
    args = event.args
    values = (args["depositId"], args["account"], args["asset"], args["amount"])
    to.add("exchange_deposits", event, *values, event.transaction_hash)
    to.exchange.move(event=event, to=to, change=(*values[1:], 0), kind="deposit")


def _settled(to: Projection, event: ChainEvent) -> None:
    args = event.args
    batch = decode_batch(bytes.fromhex(args["batch"].removeprefix("0x")))
    last = batch.first_withdrawal + len(batch.withdrawals) - 1
    _act(to, event, "batch", batch.first_withdrawal, last, None)
    found = deltas(batch)
    balances = dict(found.balances)
    claimable = dict(found.claimable)
    for one in batch.withdrawals:
        moved = to.exchange.short.pop(one.number, None)
        if moved is not None:
            key = (one.withdrawal.trader, one.withdrawal.asset)
            balances[key] += one.withdrawal.amount - moved
            claimable[key] -= one.withdrawal.amount - moved
    for account, asset in sorted({*balances, *claimable}):
        key = (account, asset)
        change = (_address(account), asset, balances.get(key, 0), claimable.get(key, 0))
        to.exchange.move(to, event, change, "settlement")
    for asset, fees in sorted(found.fees.items()):
        to.exchange.move(to, event, (NOBODY, asset, fees, 0), "fee")
    for order, kilograms in found.earmarks.items():
        to.exchange.move(to, event, (NOBODY, order.instrument, kilograms, 0), "earmark")


def _act(
    to: Projection,
    event: ChainEvent,
    kind: str,
    first_withdrawal: int,
    last_withdrawal: int,
    reason: int | None,
) -> None:
    args = event.args
    to.add(
        "exchange_acts",
        event,
        kind,
        args["firstTrade"],
        args["lastTrade"],
        first_withdrawal,
        last_withdrawal,
        reason,
        args["seq"],
        args["head"],
        event.transaction_hash,
    )


def _withdrawal_short(to: Projection, event: ChainEvent) -> None:
    to.exchange.short[event.args["number"]] = event.args["moved"]


def _voided(to: Projection, event: ChainEvent) -> None:
    args = event.args
    _act(to, event, "void", args["firstWithdrawal"], args["lastWithdrawal"], args["reason"])


def _anchored(to: Projection, event: ChainEvent) -> None:
    values = ("anchor", 0, -1, 0, -1, None, event.args["seq"], event.args["head"])
    to.add("exchange_acts", event, *values, event.transaction_hash)


def _claimed(to: Projection, event: ChainEvent) -> None:
    args = event.args
    to.exchange.move(to, event, (args["account"], args["asset"], 0, -args["amount"]), "claim")


def _exit(to: Projection, event: ChainEvent) -> None:
    args = event.args
    state = event.name.removeprefix("Exit").lower()
    values = (args["account"], args["asset"], state, args.get("requestedAt"), args.get("amount"))
    to.add("exchange_exits", event, *values, event.transaction_hash)
    if state == "executed":
        amount = args["amount"]
        change = (args["account"], args["asset"], -amount, amount)
        to.exchange.move(to, event, change, "exit")


def _retired(to: Projection, event: ChainEvent) -> None:
    args = event.args
    to.add(
        "exchange_retirements",
        event,
        args["orderDigest"],
        args["trader"],
        args["instrument"],
        args["kilograms"],
        args["certificateId"],
        event.transaction_hash,
    )
    change = (NOBODY, args["instrument"], -args["kilograms"], 0)
    to.exchange.move(to, event, change, "retirement")


def _payees(to: Projection, event: ChainEvent) -> None:
    to.exchange.payees = (event.args["operator"], event.args["developer"])


def _fees_collected(to: Projection, event: ChainEvent) -> None:
    args = event.args
    amounts = (args["operatorAmount"], args["developerAmount"])
    to.exchange.move(to, event, (NOBODY, args["asset"], -sum(amounts), 0), "fee")
    for payee, amount in zip(to.exchange.payees, amounts, strict=True):
        to.exchange.move(to, event, (payee, args["asset"], 0, amount), "fee")


HANDLERS: dict[tuple[str, str], Callable[[Any, ChainEvent], None]] = {
    ("Exchange", name): handler
    for name, handler in {
        "Deposited": _deposited,
        "BatchSettled": _settled,
        "WithdrawalShort": _withdrawal_short,
        "TradesVoided": _voided,
        "Anchored": _anchored,
        "Claimed": _claimed,
        "ExitRequested": _exit,
        "ExitCancelled": _exit,
        "ExitExecuted": _exit,
        "RetirementCompleted": _retired,
        "FeePayeesSet": _payees,
        "FeesCollected": _fees_collected,
    }.items()
}
