"""Deliveries: what is signed, and who may do what until when, as `Deliveries` decides it (L8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from backend.domain import eip712
from backend.domain.classes import from_yyyymmdd
from backend.domain.texts import check_text

DOMAIN_NAME = "Causeway Deliveries"
DOMAIN_VERSION = "1"
#: A custodian begins at the latest so many seconds before the deadline.
BEGIN_MARGIN = 48 * 3600

TYPES: dict[str, list[tuple[str, str]]] = {
    "Finalisation": [
        ("deliveryId", "uint64"),
        ("registryReference", "string"),
        ("registryDate", "uint32"),
        ("evidenceHash", "bytes32"),
    ],
    "Rejection": [
        ("deliveryId", "uint64"),
        ("reason", "string"),
        ("evidenceHash", "bytes32"),
    ],
}


def signing_domain(chain_id: int, deliveries: str) -> eip712.SigningDomain:
    """The EIP-712 domain of one Deliveries contract on one chain."""
    return eip712.SigningDomain(DOMAIN_NAME, DOMAIN_VERSION, chain_id, deliveries)


class State(IntEnum):
    """A delivery's state on chain."""

    NONE = 0
    REQUESTED = 1
    BEGUN = 2
    DISPATCHED = 3
    REJECTED = 4
    FINALISED = 5
    REFUNDED = 6
    REFUNDED_DISPUTED = 7

    @property
    def is_open(self) -> bool:
        """Whether the delivery still names serials that nothing else may use."""
        return self in (State.REQUESTED, State.BEGUN, State.DISPATCHED, State.REJECTED)


class Refund(IntEnum):
    """What a refund by the holder alone would be at some moment."""

    NONE = 0
    ORDINARY = 1
    DISPUTED = 2


@dataclass(frozen=True, slots=True)
class Periods:
    """Seconds: request to deadline, begin to the transfer's latest expiry, expiry to the second
    deadline. Immutable in the contract.
    """

    request: int
    transfer: int
    grace: int


@dataclass(frozen=True, slots=True)
class Phase:
    """A delivery's state and times (Unix seconds; 0 where not reached)."""

    state: State
    requested_at: int
    begun_at: int = 0
    expires_at: int = 0

    def deadline(self, periods: Periods) -> int:
        """When the holder may refund a delivery that nobody began."""
        return self.requested_at + periods.request

    def begin_until(self, periods: Periods) -> int:
        """The last moment for a custodian to begin, inclusive."""
        return self.deadline(periods) - BEGIN_MARGIN

    def second_deadline(self, periods: Periods) -> int:
        """When the holder may refund a begun delivery without a report; 0 before it begins."""
        return self.expires_at + periods.grace if self.expires_at else 0

    def can_begin(self, periods: Periods, now: int) -> bool:
        """Whether a custodian may begin at this chain time."""
        return self.state is State.REQUESTED and now <= self.begin_until(periods)

    def can_dispatch(self) -> bool:
        """Whether a custodian may name the registry's reference."""
        return self.state is State.BEGUN

    def can_end(self) -> bool:
        """Whether custodian and attestor may finalise."""
        return self.state in (State.BEGUN, State.DISPATCHED)

    def can_reject(self) -> bool:
        """Whether they may reject: the credits are in trust, and the holder may refund."""
        return self.can_end() or self.state is State.REQUESTED

    def refund(self, periods: Periods, now: int) -> Refund:
        """What the holder gets alone, without a reserve report, at this chain time."""
        if self.state is State.REJECTED:
            return Refund.ORDINARY
        if self.state is State.REQUESTED and now >= self.deadline(periods):
            return Refund.ORDINARY
        if self.can_end() and now >= self.second_deadline(periods):
            return Refund.DISPUTED
        return Refund.NONE

    def refunded_by_report(self, as_of: int) -> bool:
        """Whether a report of this time (Unix seconds) that lists the serials refunds at once."""
        return self.can_end() and as_of > self.expires_at


@dataclass(frozen=True, slots=True)
class Finalisation:
    """What is signed when the recipient's registry account has the credits."""

    delivery_id: int
    registry_reference: str
    registry_date: int
    evidence_hash: bytes

    def __post_init__(self) -> None:
        check_text("registry_reference", self.registry_reference)
        from_yyyymmdd(self.registry_date)

    def message(self) -> dict[str, Any]:
        return {
            "deliveryId": self.delivery_id,
            "registryReference": self.registry_reference,
            "registryDate": self.registry_date,
            "evidenceHash": self.evidence_hash,
        }

    def digest(self, domain: eip712.SigningDomain) -> bytes:
        """What is signed."""
        return eip712.digest(domain, TYPES, "Finalisation", self.message())


@dataclass(frozen=True, slots=True)
class Rejection:
    """What is signed when the registry or the recipient refused and the credits are back."""

    delivery_id: int
    reason: str
    evidence_hash: bytes

    def __post_init__(self) -> None:
        check_text("reason", self.reason)

    def message(self) -> dict[str, Any]:
        return {
            "deliveryId": self.delivery_id,
            "reason": self.reason,
            "evidenceHash": self.evidence_hash,
        }

    def digest(self, domain: eip712.SigningDomain) -> bytes:
        """What is signed."""
        return eip712.digest(domain, TYPES, "Rejection", self.message())
