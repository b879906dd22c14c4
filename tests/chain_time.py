"""How chain time goes on in tests: from the newest chain block, not from the machine's clock.

Blocks mined within one second stand ahead of the machine's clock, so Anvil's `evm_increaseTime`,
which counts from that clock, can fall short of a delay on a quick machine.
"""

from collections.abc import Callable
from typing import Any


def pass_time(call: Callable[..., Any], seconds: int) -> None:
    """Mine a chain block `seconds` after the newest; `call` asks the node for a method."""
    newest = call("eth_getBlockByNumber", "latest", False)
    call("evm_setNextBlockTimestamp", int(newest["timestamp"], 16) + seconds)
    call("evm_mine")
