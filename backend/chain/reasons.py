"""Why a mined transaction reverted, decoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.chain import abi
from backend.chain.rpc import Rpc
from backend.errors import ChainRejected


def revert_reason(
    rpc: Rpc, receipt: Mapping[str, Any], *, sender: str, to: str | None, data: bytes, gas: int
) -> str:
    """One line such as `TrustReceiptUsed(receiptId=0x…)`; says so where no node can tell.

    The trace is exact; nodes without one repeat the call on the state before its chain block,
    which differs when an earlier transaction of that block mattered.
    """
    try:
        trace = rpc.call(
            "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
        )
        output = bytes.fromhex((trace.get("output") or "0x")[2:])
        decoded = abi.decode_error(output)
        if decoded:
            return abi.describe_error(*decoded)
    except ChainRejected:
        pass  # not every node traces
    if int(receipt["gasUsed"], 16) >= gas:
        return f"out of gas: all {gas} were used"
    call = {"from": sender, "data": "0x" + data.hex(), "gas": hex(gas)} | ({"to": to} if to else {})
    for block in (int(receipt["blockNumber"], 16) - 1, int(receipt["blockNumber"], 16)):
        try:
            rpc.call("eth_call", call, hex(max(block, 0)))
        except ChainRejected as refusal:
            if "error" in refusal.values or refusal.values.get("code") == 3:
                return refusal.message
    return "reverted without a reason"
