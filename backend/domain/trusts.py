"""Trust accounts as a lawyer reads them: who holds what for whom, under which law, until when.

The texts are the deployment's own. What is here is their form, their hash, and what follows from
their dates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.domain.registry_requests import (
    Inventory,
    RegistryAccount,
    TransferRequest,
    check_reference,
    check_text,
)
from backend.errors import InvalidValue

#: The hash of a trust's terms is EIP-712's hashStruct of this: every receipt carries it.
TERMS_TYPE = (
    "TrustTerms(string account,string trustee,string trusteeIdentifier,string governingLaw,"
    "string holderRight,string text)"
)
TERMS_TYPE_HASH = keccak(text=TERMS_TYPE)
MAX_TERMS_BYTES = 1_000_000
MAX_WIND_DOWN_DAYS = 3_650


@dataclass(frozen=True, slots=True)
class Consent:
    """A programme's consent to tokens of what an account holds; `until` inclusive, None: no end.

    When it ends nothing new is tokenized; holders have `wind_down_days` to retire or take
    delivery, and what is left is the trustee's to hold as the terms say.
    """

    given_by: str
    document: str
    given_on: date
    until: date | None
    wind_down_days: int

    def __post_init__(self) -> None:
        check_text("consent.given_by", self.given_by, required=True)
        check_text("consent.document", self.document, required=True)
        if self.until is not None and self.until < self.given_on:
            raise InvalidValue("consent.until", self.until, f"is before {self.given_on}")
        if not 0 <= self.wind_down_days <= MAX_WIND_DOWN_DAYS:
            rule = f"is not 0 … {MAX_WIND_DOWN_DAYS}"
            raise InvalidValue("consent.wind_down_days", self.wind_down_days, rule)


class Phase(StrEnum):
    """What may still be done with an account on a day."""

    NOT_YET = "not-yet"
    OPEN = "open"
    #: Nothing new comes in; retirements and deliveries go on.
    WINDING_DOWN = "winding-down"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class TrustAccount:
    """One registry account that holds credits in trust; one block backs one receipt, so blocks
    of several receipts are never mixed (segregation).

    `name` is the deployment's own, `account` the registry's. `holder_right`: the nature of the
    holder's right, in the deployment's words; `text`: the terms in full. `opened_on`, `closed_on`
    inclusive. `successor`: the name of the account that takes over, when the custodian changes.
    """

    name: str
    account: RegistryAccount
    trustee: str
    trustee_identifier: str
    custodian: str
    governing_law: str
    holder_right: str
    text: str
    opened_on: date
    closed_on: date | None = None
    consent: Consent | None = None
    successor: str = ""
    is_sample: bool = False

    def __post_init__(self) -> None:
        check_reference(self.name)
        for name in ("trustee", "custodian", "governing_law"):
            check_text(name, getattr(self, name), required=True)
        check_text("trustee_identifier", self.trustee_identifier)
        for name in ("holder_right", "text"):
            value: str = getattr(self, name)
            if not value.strip() or len(value.encode()) > MAX_TERMS_BYTES:
                raise InvalidValue(name, value[:80], f"is empty or over {MAX_TERMS_BYTES} bytes")
        if self.closed_on is not None and self.closed_on < self.opened_on:
            raise InvalidValue("closed_on", self.closed_on, f"is before {self.opened_on}")

    @property
    def account_id(self) -> bytes:
        """`account` of a receipt: keccak256 of the registry account's text."""
        return self.account.id

    @property
    def terms_hash(self) -> bytes:
        """`termsHash` of a receipt: binds trustee, account, law, right and text alike."""
        texts = (
            str(self.account),
            self.trustee,
            self.trustee_identifier,
            self.governing_law,
            self.holder_right,
            self.text,
        )
        return keccak(
            encode(["bytes32"] * 7, [TERMS_TYPE_HASH, *(keccak(text=one) for one in texts)])
        )

    def ends_on(self) -> date | None:
        """The last day on which something new may come in; None when no end is known."""
        ends = [self.closed_on, self.consent.until if self.consent else None]
        return min((end for end in ends if end is not None), default=None)

    def wound_down_on(self) -> date | None:
        """The last day of the wind-down; None when no end is known."""
        end = self.ends_on()
        days = self.consent.wind_down_days if self.consent else 0
        return None if end is None else end + timedelta(days=days)

    def phase(self, on: date) -> Phase:
        """What may be done on a day."""
        end, last = self.ends_on(), self.wound_down_on()
        if on < self.opened_on:
            return Phase.NOT_YET
        if end is None or on <= end:
            return Phase.OPEN
        assert last is not None
        return Phase.WINDING_DOWN if on <= last else Phase.ENDED


@dataclass(frozen=True, slots=True)
class Rebinding:
    """A receipt's blocks stand in another account from a day on: a change of custodian.

    Receipts never change; these records, oldest first, say where their blocks are.
    """

    receipt_id: str
    old: RegistryAccount
    new: RegistryAccount
    terms_hash: bytes
    registry_reference: str
    on: date


def check_trusts(trusts: Iterable[TrustAccount]) -> None:
    """Names and accounts once each, successors that exist at the same programme."""
    by_name: dict[str, TrustAccount] = {}
    accounts: dict[RegistryAccount, str] = {}
    for trust in trusts:
        if trust.name in by_name:
            raise InvalidValue("trusts.name", trust.name, "stands there twice")
        if trust.account in accounts:
            rule = f"is the account of {accounts[trust.account]} already"
            raise InvalidValue("trusts.account", str(trust.account), rule)
        by_name[trust.name] = trust
        accounts[trust.account] = trust.name
    for trust in by_name.values():
        if not trust.successor:
            continue
        successor = by_name.get(trust.successor)
        if successor is None or successor is trust:
            raise InvalidValue("trusts.successor", trust.successor, "is no other trust account")
        if successor.account.programme != trust.account.programme:
            raise InvalidValue("trusts.successor", trust.successor, "is at another registry")


def moves_to_successor(
    trust: TrustAccount, successor: TrustAccount, inventory: Inventory, deadline: int | None
) -> list[TransferRequest]:
    """A change of custodian: one transfer for each live block, so that no two receipts mix.

    The references follow from the serials, so planning it again plans the same.
    """
    if inventory.account != trust.account:
        raise InvalidValue("inventory", str(inventory.account), f"is not of {trust.account}")
    if successor.account.programme != trust.account.programme:
        raise InvalidValue("successor", str(successor.account), "is at another registry")
    _, _, recipient = str(successor.account).partition(":")
    return [
        TransferRequest(
            "move:" + keccak(text=f"{trust.account}>{successor.account}:{one.serials}").hex()[:32],
            trust.account,
            one.serials,
            recipient,
            deadline,
            None,
            f"change of custodian to {successor.name}",
        )
        for one in inventory.blocks
    ]
