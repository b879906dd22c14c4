"""The data of calls around deliveries and conversions that their holders and custodians send."""

from __future__ import annotations

from backend.chain.abi import encode_call
from backend.domain.reserve import Liability
from backend.domain.sum_tree import SumPath


def request_delivery(holder: str, class_id: int, tonnes: int, registry_account: str) -> bytes:
    """Deliveries.request: burns whole tonnes and names their serials."""
    return encode_call("Deliveries", "request", (holder, class_id, tonnes, registry_account))


def begin_delivery(delivery_id: int) -> bytes:
    """Deliveries.begin, by a custodian."""
    return encode_call("Deliveries", "begin", (delivery_id,))


def dispatch_delivery(delivery_id: int, registry_reference: str, expires_at: int) -> bytes:
    """Deliveries.dispatch, by a custodian; `expires_at` in Unix seconds."""
    return encode_call("Deliveries", "dispatch", (delivery_id, registry_reference, expires_at))


def refund_delivery(delivery_id: int, reserve_proof: bytes = b"") -> bytes:
    """Deliveries.refund, or refundWithReport when there is a proof."""
    if reserve_proof:
        return encode_call("Deliveries", "refundWithReport", (delivery_id, reserve_proof))
    return encode_call("Deliveries", "refund", (delivery_id,))


def claim_conversion(conversion_id: bytes, entry: Liability, path: SumPath) -> bytes:
    """ProgrammeEvents.claimConversion, for one holder by anyone."""
    said = path.message()
    args = (conversion_id, entry.holder, entry.kilograms)
    return encode_call(
        "ProgrammeEvents",
        "claimConversion",
        (*args, said["rightBits"], said["siblings"], said["sums"]),
    )
