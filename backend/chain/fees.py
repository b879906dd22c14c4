"""EIP-1559 fees: what to offer now, and what a replacement must offer. Wei per gas everywhere."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from backend.chain.rpc import Request, Rpc
from backend.errors import ChainRejected

#: Nodes replace a pending transaction only when both fees rise by at least an eighth.
_BUMP: Final = (9, 8)
_DEFAULT_PRIORITY: Final = 1_000_000_000


class Fees(NamedTuple):
    """What a transaction offers at most, and of it to the block's producer."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int


#: The two calls whose answers `fees_from` takes, to be sent in a batch with others.
FEE_CALLS: Final[tuple[Request, Request]] = (
    ("eth_getBlockByNumber", ("latest", False)),
    ("eth_maxPriorityFeePerGas", ()),
)


def fees_from(block: dict[str, Any], priority: Any) -> Fees:
    """Twice the base fee (six full blocks of growth) plus the tip the node suggests."""
    base = int(block.get("baseFeePerGas") or "0x0", 16)
    tip = _DEFAULT_PRIORITY if isinstance(priority, ChainRejected) else int(priority, 16)
    return Fees(2 * base + tip, tip)


def current_fees(rpc: Rpc) -> Fees:
    """What to offer now."""
    block, priority = rpc.try_batch(FEE_CALLS)
    if isinstance(block, ChainRejected):
        raise block
    return fees_from(block, priority)


def bumped(old: Fees, now: Fees) -> Fees:
    """Fees of a replacement: at least an eighth above the old, at least what is usual now."""
    return Fees(*(max(_raised(o), n) for o, n in zip(old, now, strict=True)))


def _raised(fee: int) -> int:
    numerator, denominator = _BUMP
    return max(-(-fee * numerator // denominator), fee + 1)
