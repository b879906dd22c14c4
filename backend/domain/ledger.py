"""Credits that are kept as a ledger only: what they are, and the order by which an owner retires.

No token stands for them, so the owner signs the order itself: EIP-712, bound to chain and
deployment like every other act of a wallet (L5).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from backend.domain import eip712
from backend.domain.custody import MAX_INTERVALS
from backend.domain.registry_requests import HeldBlock, RegistryAccount, SerialRange
from backend.domain.registry_requests import check_reference as check_any_reference
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue

DOMAIN_NAME = "Causeway Ledger"
DOMAIN_VERSION = "1"
#: Flows and requests to registries append to it: together they stay within 120 characters.
MAX_REFERENCE = 80
TYPES: dict[str, list[tuple[str, str]]] = {
    "LedgerRetirement": [
        ("reference", "string"),
        ("owner", "address"),
        ("account", "string"),
        ("serials", "string[]"),
        ("tonnes", "uint64"),
        ("instructionHash", "bytes32"),
    ]
}


def signing_domain(chain_id: int, contract: str) -> eip712.SigningDomain:
    """What orders are bound to: the deployment's `RegistryRecords` on one chain."""
    return eip712.SigningDomain(DOMAIN_NAME, DOMAIN_VERSION, chain_id, contract)


@dataclass(frozen=True, order=True, slots=True)
class LedgerClass:
    """What makes kept credits interchangeable: as the registry's inventory names it."""

    programme: str
    project: str
    vintage_start: date
    vintage_end: date
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, account: RegistryAccount, block: HeldBlock) -> LedgerClass:
        """The class of a block in an account."""
        labels = tuple(sorted(set(block.labels)))
        return cls(account.programme, block.project, block.vintage_start, block.vintage_end, labels)

    def __str__(self) -> str:
        labels = f" with {', '.join(self.labels)}" if self.labels else ""
        vintage = f"{self.vintage_start} to {self.vintage_end}"
        return f"{self.programme}-{self.project}, {vintage}{labels}"


def interval_of(serials: SerialRange) -> Interval:
    """The same serials as the database holds them, whether or not they have a series on chain."""
    return Interval(Series.parse(serials.space), serials.first, serials.last)


def check_serials(serials: Iterable[SerialRange]) -> tuple[SerialRange, ...]:
    """In order; raises InvalidValue unless there are 1 … 64 that share no serial."""
    ordered = tuple(sorted(serials))
    if not 1 <= len(ordered) <= MAX_INTERVALS:
        raise InvalidValue("serials", len(ordered), f"needs 1 … {MAX_INTERVALS} ranges")
    for one, other in pairwise(ordered):
        if one.overlaps(other):
            raise InvalidValue("serials", str(other), f"overlaps {one}")
    return ordered


@dataclass(frozen=True, slots=True)
class RetirementOrder:
    """An owner's order to retire kept serials; `reference` is theirs and counts once (L10).

    `serials` are the owner's, ascending: the expected ones, since registries choose.
    `instruction_hash`: of the retirement instruction, which may be private.
    """

    reference: str
    owner: str
    account: str
    serials: tuple[SerialRange, ...]
    instruction_hash: bytes

    def __post_init__(self) -> None:
        check_any_reference(self.reference)
        if len(self.reference) > MAX_REFERENCE:
            rule = f"is longer than {MAX_REFERENCE} characters"
            raise InvalidValue("reference", self.reference, rule)
        if check_serials(self.serials) != self.serials:
            raise InvalidValue("serials", list(map(str, self.serials)), "are not ascending")

    @property
    def tonnes(self) -> int:
        return sum(one.tonnes for one in self.serials)

    def message(self) -> dict[str, Any]:
        """The struct as EIP-712 takes it."""
        return {
            "reference": self.reference,
            "owner": self.owner,
            "account": self.account,
            "serials": [str(one) for one in self.serials],
            "tonnes": self.tonnes,
            "instructionHash": self.instruction_hash,
        }

    def digest(self, domain: eip712.SigningDomain) -> bytes:
        """What the owner signs."""
        return eip712.digest(domain, TYPES, "LedgerRetirement", self.message())
