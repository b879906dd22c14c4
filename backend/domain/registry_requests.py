"""What we ask of a registry and what it says it holds: accounts, blocks, requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from eth_utils.crypto import keccak

from backend.domain.instructions import RetirementInstruction
from backend.domain.serials import LEDGER_PROGRAMMES, Interval, Series
from backend.domain.units import MAX_SERIAL
from backend.errors import InvalidValue

#: Ours, and safe in a URL, a file's name and a form of a registry's page.
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,119}", re.ASCII)
MAX_TEXT_BYTES = 256


def check_reference(reference: str) -> str:
    """Our own id of a request; raises InvalidValue when it would not survive a form or a URL."""
    if not _REFERENCE.fullmatch(reference):
        rule = "is not 1 … 120 characters of A-Z a-z 0-9 . _ : -, beginning with one of the first"
        raise InvalidValue("reference", reference, rule)
    return reference


def check_text(field: str, text: str, required: bool = False) -> str:
    """A line of text for a registry's form: at most 256 bytes of UTF-8, no control characters."""
    if required and not text.strip():
        raise InvalidValue(field, text, "is empty")
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise InvalidValue(field, text, f"is longer than {MAX_TEXT_BYTES} bytes")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidValue(field, text, "holds a control character")
    return text


@dataclass(frozen=True, order=True, slots=True)
class SerialRange:
    """Serials [first, last] as a registry counts them; one serial is one tonne.

    `space` is where they are unique: `str(Series)` for programmes with a series on chain
    (`VCS:2`), else `PROGRAMME:` and the issuer's text, for what is kept as a ledger only.
    """

    space: str
    first: int
    last: int

    def __post_init__(self) -> None:
        check_text("space", self.space, required=True)
        if ":" not in self.space:
            raise InvalidValue("space", self.space, "is not PROGRAMME:…")
        # Issuers of what is kept as a ledger only may count from 0.
        lowest = 0 if self.space.partition(":")[0] in LEDGER_PROGRAMMES else 1
        if not lowest <= self.first <= self.last <= MAX_SERIAL:
            rule = f"are not a range within {lowest} … 2^63 − 2"
            raise InvalidValue("serials", f"{self.first}-{self.last}", rule)

    @property
    def tonnes(self) -> int:
        return self.last - self.first + 1

    @property
    def interval(self) -> Interval:
        """The same serials for the chain; InvalidValue when the programme has no series there."""
        series = Series.parse(self.space)
        if not series.on_chain:
            raise InvalidValue(
                "space", self.space, "has no series on chain: it is kept as a ledger only"
            )
        return Interval(series, self.first, self.last)

    def overlaps(self, other: SerialRange) -> bool:
        return self.space == other.space and self.first <= other.last and other.first <= self.last

    def contains(self, other: SerialRange) -> bool:
        return self.space == other.space and self.first <= other.first and other.last <= self.last

    def __str__(self) -> str:
        return f"{self.space}/{self.first}-{self.last}"

    @classmethod
    def of(cls, interval: Interval) -> SerialRange:
        """The range that an interval of a series is."""
        return cls(str(interval.series), interval.first, interval.last)

    @classmethod
    def parse(cls, text: str) -> SerialRange:
        """The inverse of `str`: `"VCS:2/100-199"`; the space may itself hold a `/`."""
        space, slash, numbers = text.rpartition("/")
        match = re.fullmatch(r"(\d{1,19})-(\d{1,19})", numbers, re.ASCII)
        if not slash or match is None:
            raise InvalidValue("serials", text, "is not SPACE/FIRST-LAST, such as VCS:2/100-199")
        return cls(space, int(match[1]), int(match[2]))


@dataclass(frozen=True, order=True, slots=True)
class RegistryAccount:
    """An account at a programme's registry, by the registry's own numbers."""

    programme: str
    account: str
    sub_account: str = ""

    def __post_init__(self) -> None:
        for name in ("programme", "account", "sub_account"):
            value: str = getattr(self, name)
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value, re.ASCII) and (
                value or name != "sub_account"
            ):
                raise InvalidValue(name, value, "is not 1 … 64 characters of A-Z a-z 0-9 . _ -")

    @property
    def id(self) -> bytes:
        """What a receipt and a reserve report name: keccak256 of the text of the account."""
        return keccak(text=str(self))

    def __str__(self) -> str:
        below = f"/{self.sub_account}" if self.sub_account else ""
        return f"{self.programme}:{self.account}{below}"

    @classmethod
    def parse(cls, text: str) -> RegistryAccount:
        """The inverse of `str`: `"VCS:1234/56"`."""
        programme, colon, rest = text.partition(":")
        if not colon:
            raise InvalidValue("account", text, "is not PROGRAMME:ACCOUNT[/SUB-ACCOUNT]")
        account, _, sub_account = rest.partition("/")
        return cls(programme, account, sub_account)


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the registry says of an account: whose it is, and what it may do."""

    account: RegistryAccount
    holder: str
    is_open: bool
    holds_for_others: bool
    sub_accounts: tuple[str, ...] = ()
    as_of: int = 0


@dataclass(frozen=True, slots=True)
class HeldBlock:
    """A block of live credits in an account. `block_id` is the registry's own name of the piece;
    it changes when the block is split, the serials do not.
    """

    block_id: str
    serials: SerialRange
    project: str
    vintage_start: date
    vintage_end: date
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every live block of one account as of a moment of the registry's clock (Unix seconds).

    `leaving`: blocks of a transfer whose recipient has not answered. They are not live here: they
    come back when it is rejected or expires.
    """

    account: RegistryAccount
    as_of: int
    blocks: tuple[HeldBlock, ...]
    leaving: tuple[HeldBlock, ...] = ()

    @property
    def tonnes(self) -> int:
        return sum(block.serials.tonnes for block in self.blocks)

    def holding(self, serials: SerialRange) -> HeldBlock | None:
        """The block that has all of these serials, None when no single one does."""
        for block in self.blocks:
            if block.serials.contains(serials):
                return block
        return None


@dataclass(frozen=True, slots=True)
class RetirementRequest:
    """Retire these serials, which lie in one block, for whom the instruction names.

    `reference` is ours: presented twice it has the effect of once. `deadline`: Unix seconds by
    which the custodian should have acted, None for none.
    """

    reference: str
    account: RegistryAccount
    serials: SerialRange
    instruction: RetirementInstruction
    deadline: int | None = None

    def __post_init__(self) -> None:
        check_reference(self.reference)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": "retirement",
            "reference": self.reference,
            "account": str(self.account),
            "serials": str(self.serials),
            "instruction": self.instruction.as_json(),
            "deadline": self.deadline,
        }


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """Move these serials, which lie in one block, to another account of the registry.

    `recipient` is the account's text as its owner gave it. `expires_at`: Unix seconds after
    which the recipient may not accept any more, None for the registry's own rule.
    """

    reference: str
    account: RegistryAccount
    serials: SerialRange
    recipient: str
    deadline: int | None = None
    expires_at: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        check_reference(self.reference)
        check_text("recipient", self.recipient, required=True)
        check_text("note", self.note)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": "transfer",
            "reference": self.reference,
            "account": str(self.account),
            "serials": str(self.serials),
            "recipient": self.recipient,
            "deadline": self.deadline,
            "expires_at": self.expires_at,
            "note": self.note,
        }


Request = RetirementRequest | TransferRequest


def request_from_json(found: Mapping[str, Any]) -> Request:
    """The inverse of both `as_json`; raises InvalidValue for another kind."""
    account = RegistryAccount.parse(found["account"])
    serials = SerialRange.parse(found["serials"])
    if found["kind"] == "retirement":
        instruction = RetirementInstruction.from_json(found["instruction"])
        return RetirementRequest(
            found["reference"], account, serials, instruction, found["deadline"]
        )
    if found["kind"] == "transfer":
        return TransferRequest(
            found["reference"],
            account,
            serials,
            found["recipient"],
            found["deadline"],
            found["expires_at"],
            found["note"],
        )
    raise InvalidValue("kind", found["kind"], "is neither retirement nor transfer")
