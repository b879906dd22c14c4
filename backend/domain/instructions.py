"""A retirement instruction: everything a registry asks before it retires, and its hash.

The holder sees and signs it before anything is burnt: the certificate's text never changes, and
`instruction_hash` of `RetirementDetails` binds these fields to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.errors import InvalidValue

MAX_TEXT_BYTES = 256
NO_SALT = bytes(32)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


class BeneficiaryKind(StrEnum):
    """Who benefits: some programmes serve no natural persons."""

    PERSON = "person"
    ENTITY = "entity"


class UseCase(StrEnum):
    """What the retirement is used for: a claim of one's own, or an obligation of a scheme."""

    VOLUNTARY = "voluntary"
    COMPLIANCE = "compliance"


#: The EIP-712 type of the struct; its hash leads the encoding, so no other struct can collide.
TYPE = (
    "RetirementInstruction(string programme,string beneficiary,string identifier,string kind,"
    "string country,string useCase,string scheme,string schemePeriod,string reasonCode,"
    "uint32 claimStart,uint32 claimEnd,bool isPublic,string note,bytes32 salt)"
)
TYPE_HASH = keccak(text=TYPE)


@dataclass(frozen=True, slots=True)
class RetirementInstruction:
    """For whom and why a registry shall retire; texts at most 256 bytes of UTF-8 each.

    `identifier`: the beneficiary's number in a public register (LEI, company number), "" if none;
    `country`: ISO 3166-1 alpha-2; `scheme` and `scheme_period`: of a compliance use, else "";
    `reason_code`: as the programme spells it; the claim period's ends are inclusive;
    `is_public`: whether the registry shall show the beneficiary; `salt`: random when it shall not,
    else zero, so that a hash of few possible contents gives nothing away.
    """

    programme: str
    beneficiary: str
    kind: BeneficiaryKind
    country: str
    use_case: UseCase
    reason_code: str
    identifier: str = ""
    scheme: str = ""
    scheme_period: str = ""
    claim_start: date | None = None
    claim_end: date | None = None
    is_public: bool = True
    note: str = ""
    salt: bytes = NO_SALT

    def __post_init__(self) -> None:
        for name in _TEXTS:
            text: str = getattr(self, name)
            if len(text.encode()) > MAX_TEXT_BYTES:
                raise InvalidValue(name, text, f"is longer than {MAX_TEXT_BYTES} bytes")
            if any(ord(character) < 32 or ord(character) == 127 for character in text):
                raise InvalidValue(name, text, "holds a control character")
        if self.country and not _COUNTRY.fullmatch(self.country):
            raise InvalidValue("country", self.country, "is not an ISO 3166-1 alpha-2 code")
        if (self.claim_start is None) != (self.claim_end is None):
            raise InvalidValue("claim_end", self.claim_end, "needs both days, or neither")
        if self.claim_start and self.claim_end and self.claim_end < self.claim_start:
            raise InvalidValue("claim_end", self.claim_end, f"is before {self.claim_start}")
        if len(self.salt) != 32:
            raise InvalidValue("salt", self.salt.hex(), "is not 32 bytes")

    @property
    def hash(self) -> bytes:
        """keccak256(abi.encode(typeHash, fields…)) with strings as their keccak256: EIP-712's
        hashStruct, without a domain, since the certificate that carries it names the chain.
        """
        return keccak(
            encode(
                [
                    *["bytes32"] * 10,
                    *["uint32"] * 2,
                    "bool",
                    *["bytes32"] * 2,
                ],
                [
                    TYPE_HASH,
                    *(keccak(text=text) for text in self._leading()),
                    _yyyymmdd(self.claim_start),
                    _yyyymmdd(self.claim_end),
                    self.is_public,
                    keccak(text=self.note),
                    self.salt,
                ],
            )
        )

    def _leading(self) -> tuple[str, ...]:
        return (
            self.programme,
            self.beneficiary,
            self.identifier,
            self.kind.value,
            self.country,
            self.use_case.value,
            self.scheme,
            self.scheme_period,
            self.reason_code,
        )

    def as_json(self) -> dict[str, Any]:
        """Every field; dates as YYYY-MM-DD, the salt as 0x hex."""
        found: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, date):
                value = value.isoformat()
            elif isinstance(value, bytes):
                value = "0x" + value.hex()
            elif isinstance(value, StrEnum):
                value = value.value
            found[entry.name] = value
        return found

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> RetirementInstruction:
        """The inverse of `as_json`; fields with a default may be left out.

        Raises InvalidValue for a field that is missing, unknown or of another form.
        """
        known = {entry.name for entry in fields(cls)}
        for name in found:
            if name not in known:
                raise InvalidValue("instruction", name, "is not a field of an instruction")
        for name in _REQUIRED:
            if name not in found:
                raise InvalidValue(name, None, "is missing from the instruction")
        values: dict[str, Any] = {}
        for name, value in found.items():
            values[name] = _parsed(name, value)
        return cls(**values)


_TEXTS = (
    "programme",
    "beneficiary",
    "identifier",
    "country",
    "scheme",
    "scheme_period",
    "reason_code",
    "note",
)
_REQUIRED = ("programme", "beneficiary", "kind", "country", "use_case", "reason_code")


def _yyyymmdd(day: date | None) -> int:
    return 0 if day is None else day.year * 10_000 + day.month * 100 + day.day


def _parsed(name: str, value: Any) -> Any:
    if name == "is_public":
        if not isinstance(value, bool):
            raise InvalidValue(name, value, "is neither true nor false")
        return value
    if name in ("claim_start", "claim_end"):
        return _day(name, value)
    if not isinstance(value, str):
        raise InvalidValue(name, value, "is not a text")
    if name == "salt":
        try:
            return bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            raise InvalidValue(name, value, "is not hexadecimal") from None
    if name in ("kind", "use_case"):
        kinds: type[StrEnum] = BeneficiaryKind if name == "kind" else UseCase
        if value not in list(kinds):
            raise InvalidValue(name, value, f"is not one of {', '.join(kinds)}")
        return kinds(value)
    return value


def _day(name: str, value: Any) -> date | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidValue(name, value, "is not a day in the form YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InvalidValue(name, value, "is not a day in the form YYYY-MM-DD") from None
