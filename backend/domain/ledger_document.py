"""The ledger of kept credits as a file: what an auditor needs to check it without our database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from backend.domain.eip712 import SigningDomain
from backend.domain.ledger import LedgerClass, RetirementOrder, interval_of, signing_domain
from backend.domain.registry_requests import SerialRange
from backend.domain.serials import Interval
from backend.errors import InvalidValue

VERSION = 1


@dataclass(frozen=True, slots=True)
class BookDeposit:
    """What a depositor brought, and for whom."""

    reference: str
    account: str
    owner: str
    serials: tuple[SerialRange, ...]


@dataclass(frozen=True, slots=True)
class BookBlock:
    """Where serials stand: owner, deposit, the part that asks for them or retired them."""

    serials: SerialRange
    account: str
    owner: str
    deposit: str
    kept_class: LedgerClass
    part: str | None
    retired: bool

    @property
    def interval(self) -> Interval:
        return interval_of(self.serials)


@dataclass(frozen=True, slots=True)
class BookRetirement:
    """What the registry retired for a part of an order."""

    part: str
    order: str
    registry_reference: str
    registry_date: date
    serials: tuple[SerialRange, ...]


@dataclass(frozen=True, slots=True)
class Book:
    """A whole ledger, as of when it was written."""

    chain_id: int
    contract: str
    deposits: tuple[BookDeposit, ...]
    blocks: tuple[BookBlock, ...]
    orders: tuple[tuple[RetirementOrder, bytes], ...]
    retired: tuple[BookRetirement, ...]

    @property
    def domain(self) -> SigningDomain:
        """What the owners' signatures are bound to."""
        return signing_domain(self.chain_id, self.contract)


def document_of(book: Book) -> dict[str, Any]:
    """The file's content; instructions are in it by their hash alone."""
    return {
        "version": VERSION,
        "chain_id": str(book.chain_id),
        "contract": book.contract,
        "deposits": [
            {
                "reference": one.reference,
                "account": one.account,
                "owner": one.owner,
                "serials": list(map(str, one.serials)),
            }
            for one in book.deposits
        ],
        "blocks": [
            {
                "serials": str(one.serials),
                "account": one.account,
                "owner": one.owner,
                "deposit": one.deposit,
                "programme": one.kept_class.programme,
                "project": one.kept_class.project,
                "vintage_start": one.kept_class.vintage_start.isoformat(),
                "vintage_end": one.kept_class.vintage_end.isoformat(),
                "labels": list(one.kept_class.labels),
                "part": one.part,
                "retired": one.retired,
            }
            for one in book.blocks
        ],
        "orders": [
            {
                "reference": order.reference,
                "owner": order.owner,
                "account": order.account,
                "serials": list(map(str, order.serials)),
                "instruction_hash": "0x" + order.instruction_hash.hex(),
                "signature": "0x" + signature.hex(),
            }
            for order, signature in book.orders
        ],
        "retired": [
            {
                "part": one.part,
                "order": one.order,
                "registry_reference": one.registry_reference,
                "registry_date": one.registry_date.isoformat(),
                "serials": list(map(str, one.serials)),
            }
            for one in book.retired
        ],
    }


def book_of(document: Any) -> Book:
    """The inverse; raises InvalidValue for what is no such file, or of another version."""
    try:
        if document["version"] != VERSION:
            raise InvalidValue("ledger.version", document["version"], f"is not {VERSION}")
        return Book(
            int(document["chain_id"]),
            str(document["contract"]),
            tuple(map(_deposit, document["deposits"])),
            tuple(map(_block, document["blocks"])),
            tuple(map(_order, document["orders"])),
            tuple(map(_retired, document["retired"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise InvalidValue("ledger", detail, "is not a ledger that was exported") from None


def _ranges(texts: Any) -> tuple[SerialRange, ...]:
    return tuple(SerialRange.parse(one) for one in texts)


def _deposit(found: Mapping[str, Any]) -> BookDeposit:
    serials = _ranges(found["serials"])
    return BookDeposit(found["reference"], found["account"], found["owner"], serials)


def _block(found: Mapping[str, Any]) -> BookBlock:
    kept = LedgerClass(
        found["programme"],
        found["project"],
        date.fromisoformat(found["vintage_start"]),
        date.fromisoformat(found["vintage_end"]),
        tuple(found["labels"]),
    )
    return BookBlock(
        SerialRange.parse(found["serials"]),
        found["account"],
        found["owner"],
        found["deposit"],
        kept,
        found["part"],
        found["retired"] is True,
    )


def _order(found: Mapping[str, Any]) -> tuple[RetirementOrder, bytes]:
    order = RetirementOrder(
        found["reference"],
        found["owner"],
        found["account"],
        _ranges(found["serials"]),
        bytes.fromhex(found["instruction_hash"][2:]),
    )
    return order, bytes.fromhex(found["signature"][2:])


def _retired(found: Mapping[str, Any]) -> BookRetirement:
    return BookRetirement(
        found["part"],
        found["order"],
        found["registry_reference"],
        date.fromisoformat(found["registry_date"]),
        _ranges(found["serials"]),
    )
