"""The data of every call to the Exchange, from the domain's own values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from backend.chain.abi import encode_call
from backend.domain.batches import Void, pack_signatures
from backend.domain.orders import Order, asset_address
from backend.domain.retirements import RetirementDetails


class Permit(NamedTuple):
    """An owner's ERC-2612 permit for the Exchange; `nonce` is the one it was signed with."""

    owner: str
    asset: int
    amount: int
    deadline: int
    signature: bytes
    nonce: int


def settle(batch: bytes, signatures: Iterable[bytes]) -> bytes:
    """Exchange.settle; 65-byte signatures: sequencer, watcher, then `batches.signature_slots`."""
    return encode_call("Exchange", "settle", (batch, pack_signatures(signatures)))


def void_trades(void: Void, sequencer: bytes, watcher: bytes) -> bytes:
    """Exchange.voidTrades, with both keys' 65-byte signatures."""
    args = (*void, pack_signatures((sequencer, watcher)))
    return encode_call("Exchange", "voidTrades", args)


def anchor(seq: int, head: bytes, sequencer: bytes, watcher: bytes) -> bytes:
    """Exchange.anchor, with both keys' 65-byte signatures."""
    return encode_call("Exchange", "anchor", (seq, head, pack_signatures((sequencer, watcher))))


def deposit_with_permit(permit: Permit, intent_deadline: int = 0, intent: bytes = b"") -> bytes:
    """Exchange.depositWithPermit; `intent` is the owner's DepositIntent of 65 bytes, or none."""
    r, s, v = permit.signature[:32], permit.signature[32:64], permit.signature[64]
    head = (permit.owner, asset_address(permit.asset), permit.amount, permit.deadline)
    args = (*head, v if v >= 27 else v + 27, r, s, permit.nonce, intent_deadline, intent)
    return encode_call("Exchange", "depositWithPermit", args)


def complete_retirement(order: Order, details: RetirementDetails | None = None) -> bytes:
    """Exchange.completeRetirement; with public `details` (the order names their hash) publicly."""
    trader, asset = "0x" + order.trader.hex(), asset_address(order.asset)
    struct = (trader, order.nonce, order.instrument, asset, *order[4:])
    if details is None or not details.is_public:
        return encode_call("Exchange", "completeRetirement", (struct,))
    texts = (details.beneficiary, details.purpose, details.period, details.instruction_hash)
    return encode_call("Exchange", "completeRetirementPublicly", (struct, *texts))


def collect_fees(asset: int) -> bytes:
    """Exchange.collectFees: to the payees' claimable; anybody may send it."""
    return encode_call("Exchange", "collectFees", (asset,))


def pause() -> bytes:
    """Exchange.pause, by the guardian."""
    return encode_call("Exchange", "pause")


def unpause() -> bytes:
    """Exchange.unpause, after the signers' delay."""
    return encode_call("Exchange", "unpause")


def set_asset(asset: int, listed: bool) -> bytes:
    """Exchange.setAsset: lists or delists a settlement asset."""
    return encode_call("Exchange", "setAsset", (asset_address(asset), listed))


def set_keys(sequencer: str, watcher: str) -> bytes:
    """Exchange.setKeys, after the signers' delay."""
    return encode_call("Exchange", "setKeys", (sequencer, watcher))


def set_fee_payees(operator: str, developer: str, developer_share_bps: int) -> bytes:
    """Exchange.setFeePayees, after the admin's delay."""
    return encode_call("Exchange", "setFeePayees", (operator, developer, developer_share_bps))


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


def invalidate(nonces: Sequence[int]) -> bytes:
    """Exchange.invalidate: ends nonces of the sender for matches later than a window from now."""
    return encode_call("Exchange", "invalidate", (list(nonces),))


def pre_sign(digest: bytes) -> bytes:
    """Exchange.preSign of the sender: a contract wallet's signature."""
    return encode_call("Exchange", "preSign", (digest,))
