"""The data of every call to the Exchange, from the domain's own values."""

from __future__ import annotations

from collections.abc import Sequence

from backend.chain.abi import encode_call
from backend.domain.orders import asset_address


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
