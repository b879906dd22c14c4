"""The data of every call that Causeway sends to the Exchange, from the domain's own values."""

from __future__ import annotations

from collections.abc import Sequence

from backend.chain.abi import checksum, encode_call
from backend.domain.batches import Void
from backend.domain.journal import Head
from backend.domain.orders import Order, asset_address
from backend.domain.retirements import RetirementDetails

# ── acts of the venue: `signatures` as `batches.pack_signatures` makes them ──────────────────


def settle(batch: bytes, signatures: bytes) -> bytes:
    """Exchange.settle; signatures of sequencer, watcher, then `batches.signature_slots`."""
    return encode_call("Exchange", "settle", (batch, signatures))


def void_trades(void: Void, signatures: bytes) -> bytes:
    """Exchange.voidTrades; signatures of sequencer and watcher."""
    return encode_call("Exchange", "voidTrades", (*void, signatures))


def anchor(head: Head, signatures: bytes) -> bytes:
    """Exchange.anchor; signatures of sequencer and watcher."""
    return encode_call("Exchange", "anchor", (*head, signatures))


def complete_retirement(order: Order) -> bytes:
    """Exchange.completeRetirement: retires what is earmarked for the order; anybody may send it."""
    return encode_call("Exchange", "completeRetirement", (_struct(order),))


def complete_retirement_publicly(order: Order, details: RetirementDetails) -> bytes:
    """Exchange.completeRetirementPublicly: the same, and the certificate shows its words. They
    must hash to what the order carries."""
    words = (details.beneficiary, details.purpose, details.period, details.instruction_hash)
    return encode_call("Exchange", "completeRetirementPublicly", (_struct(order), *words))


def _struct(order: Order) -> tuple[object, ...]:
    trader, asset = checksum("0x" + order.trader.hex()), asset_address(order.asset)
    return (trader, order.nonce, order.instrument, asset, *order[4:])


# ── a trader's own ───────────────────────────────────────────────────────────────────────────


def deposit(asset: int, amount: int) -> bytes:
    """Exchange.deposit: pulls base units that the sender has approved."""
    return encode_call("Exchange", "deposit", (asset_address(asset), amount))


def claim(account: str, asset: int) -> bytes:
    """Exchange.claim: pays an account what is claimable; anybody may send it."""
    return encode_call("Exchange", "claim", (account, asset))


def request_exit(assets: Sequence[int]) -> bytes:
    """Exchange.requestExit of the sender."""
    return encode_call("Exchange", "requestExit", (list(assets),))


def cancel_exit(assets: Sequence[int]) -> bytes:
    """Exchange.cancelExit of the sender."""
    return encode_call("Exchange", "cancelExit", (list(assets),))


def execute_exit(account: str, assets: Sequence[int]) -> bytes:
    """Exchange.executeExit; anybody may send it once it is due."""
    return encode_call("Exchange", "executeExit", (account, list(assets)))
