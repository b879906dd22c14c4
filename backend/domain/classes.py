"""Classes of interchangeable credits and the token ids that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum, IntFlag

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.domain.units import TokenId
from backend.errors import InvalidValue

_HALF = (1 << 128) - 1
_MAX_NAME_BYTES = 64


class UnitType(IntEnum):
    """What kind of unit a class holds."""

    CREDIT = 0
    ALLOWANCE = 1


class ClassFlag(IntFlag):
    """What halts a class on chain: with any flag it neither mints nor trades (L8).

    HOLD, a published order, also stops retirement and delivery; GAP: positions that nothing may
    consume, with no credit and no locked token behind them (`SHORT` in the contract).
    """

    HOLD = 1
    GAP = 2


def flag_names(flags: int) -> tuple[str, ...]:
    """Names of the flags that are set, in lower case; unknown bits have none."""
    return tuple(str(flag.name).lower() for flag in ClassFlag if flags & flag)


def as_yyyymmdd(day: date) -> int:
    """A date as the number the contracts use: 2020-12-31 → 20201231."""
    return day.year * 10000 + day.month * 100 + day.day


def from_yyyymmdd(number: int) -> date:
    """The inverse of `as_yyyymmdd`; raises InvalidValue for a day that does not exist."""
    try:
        return date(number // 10000, number // 100 % 100, number % 100)
    except ValueError:
        raise InvalidValue("date", number, "is not a day in the form YYYYMMDD") from None


def label_hash(code: str) -> bytes:
    """keccak256 of a label code of the vocabulary, for instance `ccp`."""
    return keccak(text=code)


def project_hash(programme: str, project: str) -> bytes:
    """P = keccak256(abi.encode(string programme, string project))."""
    return keccak(encode(["string", "string"], [programme, project]))


def _check_name(field: str, name: str) -> None:
    """The contract's rule for the names of a class (`ClassLib._requireName`)."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise InvalidValue(field, ascii(name), "is not text that UTF-8 can hold") from None
    if not 1 <= len(encoded) <= _MAX_NAME_BYTES:
        raise InvalidValue(field, name, f"needs 1 … {_MAX_NAME_BYTES} bytes")
    if any(byte < 0x20 or byte == 0x7F for byte in encoded):
        raise InvalidValue(field, name, "holds a control character")


@dataclass(frozen=True, order=True, slots=True)
class CreditClass:
    """Credits that are interchangeable: only immutable identifiers.

    `cohort` is the set of label codes the credits carried when they were minted, sorted.
    """

    programme: str
    project: str
    unit_type: UnitType
    vintage_start: date
    vintage_end: date
    cohort: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name("programme", self.programme)
        _check_name("project", self.project)
        if self.vintage_end < self.vintage_start:
            raise InvalidValue("vintage_end", self.vintage_end, f"is before {self.vintage_start}")
        if list(self.cohort) != sorted(set(self.cohort)):
            raise InvalidValue("cohort", self.cohort, "is not sorted without duplicates")

    @property
    def cohort_hashes(self) -> tuple[bytes, ...]:
        """Hashes of the label codes, ascending as numbers."""
        return tuple(sorted(label_hash(code) for code in self.cohort))

    @property
    def project_hash(self) -> bytes:
        return project_hash(self.programme, self.project)

    @property
    def vintage_hash(self) -> bytes:
        """C = keccak256(abi.encode(uint8 unitType, uint32 start, uint32 end, bytes32[] cohort))."""
        return keccak(
            encode(
                ["uint8", "uint32", "uint32", "bytes32[]"],
                [
                    int(self.unit_type),
                    as_yyyymmdd(self.vintage_start),
                    as_yyyymmdd(self.vintage_end),
                    list(self.cohort_hashes),
                ],
            )
        )

    @property
    def token_id(self) -> TokenId:
        """(uint256(P) & (2^128 − 1)) << 128 | (uint256(C) & (2^128 − 1))."""
        project = int.from_bytes(self.project_hash, "big") & _HALF
        vintage = int.from_bytes(self.vintage_hash, "big") & _HALF
        return TokenId(project << 128 | vintage)

    def __str__(self) -> str:
        labels = f" [{', '.join(self.cohort)}]" if self.cohort else ""
        return (
            f"{self.programme}-{self.project} {self.vintage_start:%Y-%m-%d}…"
            f"{self.vintage_end:%Y-%m-%d}{labels}"
        )
