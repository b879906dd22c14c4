"""What custodian and attestor sign: custody receipts and registry retirements (L5, L10)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from backend.domain import eip712
from backend.domain.classes import CreditClass, as_yyyymmdd, from_yyyymmdd
from backend.domain.serials import Interval
from backend.errors import InvalidValue

#: Name and version in the EIP-712 domain of `Trust`.
DOMAIN_NAME = "Causeway Trust"
DOMAIN_VERSION = "1"
#: A receipt or a confirmation names at most this many intervals: the gas of one transaction.
MAX_INTERVALS = 64

TYPES: dict[str, list[tuple[str, str]]] = {
    "CreditClass": [
        ("programme", "string"),
        ("project", "string"),
        ("unitType", "uint8"),
        ("vintageStart", "uint32"),
        ("vintageEnd", "uint32"),
        ("cohort", "bytes32[]"),
    ],
    "Series": [("programme", "string"), ("codes", "uint256[]")],
    "Interval": [("series", "Series"), ("first", "uint64"), ("last", "uint64")],
    "Receipt": [
        ("recipient", "address"),
        ("creditClass", "CreditClass"),
        ("account", "bytes32"),
        ("intervals", "Interval[]"),
        ("evidenceHash", "bytes32"),
        ("termsHash", "bytes32"),
        ("validUntil", "uint64"),
    ],
    "RegistryRetirement": [
        ("classId", "uint256"),
        ("firstPosition", "uint64"),
        ("tonnes", "uint64"),
        ("actual", "Interval[]"),
        ("registryReference", "string"),
        ("registryDate", "uint32"),
        ("evidenceHash", "bytes32"),
    ],
}


def signing_domain(chain_id: int, trust: str) -> eip712.SigningDomain:
    """The EIP-712 domain of one Trust contract on one chain."""
    return eip712.SigningDomain(DOMAIN_NAME, DOMAIN_VERSION, chain_id, trust)


def class_message(credit_class: CreditClass) -> dict[str, Any]:
    """The struct `CreditClass` as the contracts and EIP-712 take it."""
    return {
        "programme": credit_class.programme,
        "project": credit_class.project,
        "unitType": int(credit_class.unit_type),
        "vintageStart": as_yyyymmdd(credit_class.vintage_start),
        "vintageEnd": as_yyyymmdd(credit_class.vintage_end),
        "cohort": list(credit_class.cohort_hashes),
    }


def interval_message(interval: Interval) -> dict[str, Any]:
    """The struct `Interval` as the contracts and EIP-712 take it."""
    series = {"programme": interval.series.programme, "codes": list(interval.series.codes)}
    return {"series": series, "first": interval.first, "last": interval.last}


def check_intervals(field: str, intervals: Iterable[Interval]) -> None:
    """Raises InvalidValue unless there are 1 … 64 of them."""
    listed = list(intervals)
    if not 1 <= len(listed) <= MAX_INTERVALS:
        raise InvalidValue(field, len(listed), f"needs 1 … {MAX_INTERVALS} intervals")


@dataclass(frozen=True, slots=True)
class Receipt:
    """Credits that the custodian holds, live, in a trust account, and who gets the tokens.

    `account`: keccak256 of the registry account's reference; `evidence_hash`: of what the
    signers saw; `terms_hash`: of the trust's terms; `valid_until`: Unix seconds, inclusive.
    """

    recipient: str
    credit_class: CreditClass
    account: bytes
    intervals: tuple[Interval, ...]
    evidence_hash: bytes
    terms_hash: bytes
    valid_until: int

    def __post_init__(self) -> None:
        check_intervals("intervals", self.intervals)

    @property
    def tonnes(self) -> int:
        return sum(interval.tonnes for interval in self.intervals)

    def message(self) -> dict[str, Any]:
        return {
            "recipient": self.recipient,
            "creditClass": class_message(self.credit_class),
            "account": self.account,
            "intervals": [interval_message(interval) for interval in self.intervals],
            "evidenceHash": self.evidence_hash,
            "termsHash": self.terms_hash,
            "validUntil": self.valid_until,
        }

    def digest(self, domain: eip712.SigningDomain) -> bytes:
        """What is signed, and the receipt's id: it binds chain and Trust."""
        return eip712.digest(domain, TYPES, "Receipt", self.message())


@dataclass(frozen=True, slots=True)
class RegistryRetirement:
    """The registry's answer: these serials it retired for these positions of a class.

    `actual` lists the serials in the order of the positions [first_position, +tonnes);
    `registry_date` is YYYYMMDD.
    """

    class_id: int
    first_position: int
    actual: tuple[Interval, ...]
    registry_reference: str
    registry_date: int
    evidence_hash: bytes

    def __post_init__(self) -> None:
        check_intervals("actual", self.actual)
        from_yyyymmdd(self.registry_date)
        if not 1 <= len(self.registry_reference.encode()) <= 256:
            raise InvalidValue("registry_reference", self.registry_reference, "needs 1 … 256 bytes")

    @property
    def tonnes(self) -> int:
        return sum(interval.tonnes for interval in self.actual)

    def message(self) -> dict[str, Any]:
        return {
            "classId": self.class_id,
            "firstPosition": self.first_position,
            "tonnes": self.tonnes,
            "actual": [interval_message(interval) for interval in self.actual],
            "registryReference": self.registry_reference,
            "registryDate": self.registry_date,
            "evidenceHash": self.evidence_hash,
        }

    def digest(self, domain: eip712.SigningDomain) -> bytes:
        return eip712.digest(domain, TYPES, "RegistryRetirement", self.message())
