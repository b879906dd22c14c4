"""Receipts and confirmations as JSON, complete: what is read back has the same digest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from backend.domain.classes import CreditClass, UnitType
from backend.domain.custody import Receipt, RegistryRetirement
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue


def class_json(credit_class: CreditClass) -> dict[str, Any]:
    """A class with its cohort by codes."""
    return {
        "programme": credit_class.programme,
        "project": credit_class.project,
        "unit_type": int(credit_class.unit_type),
        "vintage_start": credit_class.vintage_start.isoformat(),
        "vintage_end": credit_class.vintage_end.isoformat(),
        "cohort": list(credit_class.cohort),
    }


def class_from_json(found: dict[str, Any]) -> CreditClass:
    """The inverse of `class_json`."""
    return CreditClass(
        found["programme"],
        found["project"],
        UnitType(found["unit_type"]),
        date.fromisoformat(found["vintage_start"]),
        date.fromisoformat(found["vintage_end"]),
        tuple(found["cohort"]),
    )


def _intervals_json(intervals: Sequence[Interval]) -> list[dict[str, Any]]:
    return [
        {"series": str(one.series), "first": str(one.first), "last": str(one.last)}
        for one in intervals
    ]


def _intervals(found: Sequence[dict[str, Any]]) -> tuple[Interval, ...]:
    return tuple(
        Interval(Series.parse(one["series"]), int(one["first"]), int(one["last"])) for one in found
    )


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """Everything that `receipt_from_json` needs to make the same receipt."""
    return {
        "recipient": receipt.recipient,
        "credit_class": class_json(receipt.credit_class),
        "account": "0x" + receipt.account.hex(),
        "intervals": _intervals_json(receipt.intervals),
        "evidence_hash": "0x" + receipt.evidence_hash.hex(),
        "terms_hash": "0x" + receipt.terms_hash.hex(),
        "valid_until": str(receipt.valid_until),
    }


def receipt_from_json(found: dict[str, Any]) -> Receipt:
    """The inverse of `receipt_json`."""
    return Receipt(
        found["recipient"],
        class_from_json(found["credit_class"]),
        _bytes(found["account"]),
        _intervals(found["intervals"]),
        _bytes(found["evidence_hash"]),
        _bytes(found["terms_hash"]),
        int(found["valid_until"]),
    )


def retirement_json(retirement: RegistryRetirement) -> dict[str, Any]:
    """Everything that `retirement_from_json` needs to make the same confirmation."""
    return {
        "class_id": str(retirement.class_id),
        "first_position": str(retirement.first_position),
        "actual": _intervals_json(retirement.actual),
        "registry_reference": retirement.registry_reference,
        "registry_date": retirement.registry_date,
        "evidence_hash": "0x" + retirement.evidence_hash.hex(),
    }


def retirement_from_json(found: dict[str, Any]) -> RegistryRetirement:
    """The inverse of `retirement_json`."""
    return RegistryRetirement(
        int(found["class_id"]),
        int(found["first_position"]),
        _intervals(found["actual"]),
        found["registry_reference"],
        found["registry_date"],
        _bytes(found["evidence_hash"]),
    )


def _bytes(text_: str) -> bytes:
    if not text_.startswith("0x"):
        raise InvalidValue("hash", text_, "is not 0x hex")
    return bytes.fromhex(text_[2:])
