"""Settlement assets as people know them: symbol and decimals, as their contracts say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth_abi.abi import decode
from eth_utils.address import to_checksum_address
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from backend.api.answers import services_of
from backend.api.services import Services
from backend.errors import CausewayError

#: ERC-20's `symbol()` and `decimals()`.
_SYMBOL: Final = bytes.fromhex("95d89b41")
_DECIMALS: Final = bytes.fromhex("313ce567")
_LONGEST_SYMBOL: Final = 12


@dataclass(frozen=True, slots=True)
class Money:
    """A settlement asset. Without a chain to ask it is its address in base units."""

    asset: int
    address: str
    symbol: str
    decimals: int

    def as_json(self) -> dict[str, str | int]:
        return {"address": self.address, "symbol": self.symbol, "decimals": self.decimals}


async def money_of(request: Request, assets: set[int]) -> dict[int, Money]:
    """Each of these assets; what a contract said once is not asked again: it cannot change."""
    services = services_of(request)
    state = request.app.state
    if not hasattr(state, "money"):
        state.money = {}
    known: dict[int, Money] = state.money
    for asset in assets - known.keys():
        known_now = await run_in_threadpool(_ask, services, asset)
        if known_now is not None:
            known[asset] = known_now
    return {asset: known.get(asset) or _unknown(asset) for asset in assets}


def _ask(services: Services, asset: int) -> Money | None:
    """What the contract says; None when no node answers, or the answer is no symbol."""
    if services.chain is None:
        return None
    address = to_checksum_address(f"0x{asset:040x}")
    try:
        symbol = decode(["string"], services.chain.eth_call(address, _SYMBOL))[0]
        decimals = int.from_bytes(services.chain.eth_call(address, _DECIMALS), "big")
    except CausewayError:
        return None
    except Exception:  # whatever a stranger's bytes do to the decoder
        return None
    fits = symbol.isascii() and symbol.isalnum() and len(symbol) <= _LONGEST_SYMBOL
    return Money(asset, address, symbol, decimals) if fits and decimals <= 18 else None


def _unknown(asset: int) -> Money:
    address = to_checksum_address(f"0x{asset:040x}")
    return Money(asset, address, f"{address[:6]}…{address[-4:]}", 0)
