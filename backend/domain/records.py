"""What custodian and attestor sign about positions a registry did not retire (L4, L5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from backend.domain import custody, eip712
from backend.domain.classes import from_yyyymmdd
from backend.domain.custody import check_intervals, interval_message
from backend.domain.serials import Interval
from backend.domain.texts import check_text
from backend.errors import InvalidValue

DOMAIN_NAME = "Causeway Registry Records"
DOMAIN_VERSION = "1"

TYPES: dict[str, list[tuple[str, str]]] = {
    "Series": custody.TYPES["Series"],
    "Interval": custody.TYPES["Interval"],
    "RegistryRetirement": custody.TYPES["RegistryRetirement"],
    "RegistryFailure": [
        ("classId", "uint256"),
        ("firstPosition", "uint64"),
        ("tonnes", "uint64"),
        ("reason", "string"),
        ("registryDate", "uint32"),
        ("evidenceHash", "bytes32"),
    ],
    "MadeGood": [
        ("classId", "uint256"),
        ("firstPosition", "uint64"),
        ("tonnes", "uint64"),
        ("substituteClass", "uint256"),
        ("substitutes", "Interval[]"),
        ("registryReference", "string"),
        ("registryDate", "uint32"),
        ("evidenceHash", "bytes32"),
    ],
}


class Settled(IntEnum):
    """How a position was settled; each at most once."""

    NONE = 0
    CONFIRMED = 1
    DELIVERED = 2
    VOID = 3
    MADE_GOOD = 4


def signing_domain(chain_id: int, records: str) -> eip712.SigningDomain:
    """The EIP-712 domain of one RegistryRecords contract on one chain."""
    return eip712.SigningDomain(DOMAIN_NAME, DOMAIN_VERSION, chain_id, records)


@dataclass(frozen=True, slots=True)
class RegistryFailure:
    """The registry did not retire what positions [first_position, +tonnes) expected.

    It settles nothing: a later confirmation or substitute ends it. `registry_date`: YYYYMMDD.
    """

    class_id: int
    first_position: int
    tonnes: int
    reason: str
    registry_date: int
    evidence_hash: bytes

    def __post_init__(self) -> None:
        from_yyyymmdd(self.registry_date)
        check_text("reason", self.reason)
        if self.tonnes < 1:
            raise InvalidValue("tonnes", self.tonnes, "is not positive")

    def message(self) -> dict[str, Any]:
        return {
            "classId": self.class_id,
            "firstPosition": self.first_position,
            "tonnes": self.tonnes,
            "reason": self.reason,
            "registryDate": self.registry_date,
            "evidenceHash": self.evidence_hash,
        }

    def digest(self, domain: eip712.SigningDomain) -> bytes:
        """What is signed, and the failure's id."""
        return eip712.digest(domain, TYPES, "RegistryFailure", self.message())


@dataclass(frozen=True, slots=True)
class MadeGood:
    """Substitutes of equal size that were retired for positions the registry never will."""

    class_id: int
    first_position: int
    substitute_class: int
    substitutes: tuple[Interval, ...]
    registry_reference: str
    registry_date: int
    evidence_hash: bytes

    def __post_init__(self) -> None:
        check_intervals("substitutes", self.substitutes)
        from_yyyymmdd(self.registry_date)
        check_text("registry_reference", self.registry_reference)

    @property
    def tonnes(self) -> int:
        return sum(interval.tonnes for interval in self.substitutes)

    def message(self) -> dict[str, Any]:
        return {
            "classId": self.class_id,
            "firstPosition": self.first_position,
            "tonnes": self.tonnes,
            "substituteClass": self.substitute_class,
            "substitutes": [interval_message(interval) for interval in self.substitutes],
            "registryReference": self.registry_reference,
            "registryDate": self.registry_date,
            "evidenceHash": self.evidence_hash,
        }

    def digest(self, domain: eip712.SigningDomain) -> bytes:
        """What is signed, and the record's id."""
        return eip712.digest(domain, TYPES, "MadeGood", self.message())
