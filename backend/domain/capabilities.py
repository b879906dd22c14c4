"""What a programme allows, as data with its source, and the reasons why something may not be done.

What is not known is said to be unknown and counts as a no where tokens depend on it, until the
deployment states it with a document. A statement can never turn a known no into a yes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from backend.domain.registry_requests import HeldBlock, RegistryAccount, SerialRange, check_text
from backend.domain.trusts import Phase, TrustAccount
from backend.errors import InvalidValue, ProgrammeForbids

#: Every capability, as a question that can be answered with yes, no or unknown.
QUESTIONS: Mapping[str, str] = {
    "holds_for_others": "may an account hold credits for others",
    "sub_accounts": "are there sub-accounts",
    "transfer": "may credits move to another account of the registry",
    "recipient_accepts": "does the recipient have to accept a transfer",
    "retire_on_behalf": "may credits be retired on behalf of somebody else",
    "choice_of_serials": "may the account holder choose the serials",
    "partial_retirement": "may a part of a block be retired or moved",
    "consent_to_tokenize": "does a token need the programme's written consent",
    "foreign_holders": "may foreigners hold accounts",
    "natural_persons": "may natural persons hold accounts",
    "public_ledger": "is the ledger public",
    "retirement_final": "is a retirement final, its words included",
}


class Mode(StrEnum):
    """Whether Causeway makes tokens of a programme's credits."""

    TOKEN = "token"
    #: Custody, serials and retirements are kept with every law; there is no token.
    LEDGER = "ledger"


class Known(StrEnum):
    """An answer. SUB_ACCOUNTS: only in a sub-account kept for them."""

    YES = "yes"
    NO = "no"
    SUB_ACCOUNTS = "sub-accounts"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Capability:
    """One answer and where it is from."""

    answer: Known
    source: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What a deployment has in writing about a question that was open; `until` inclusive."""

    programme: str
    capability: str
    answer: Known
    given_by: str
    document: str
    until: date | None = None

    def __post_init__(self) -> None:
        if self.capability not in QUESTIONS:
            raise InvalidValue("statement.capability", self.capability, "is no capability")
        if self.answer is Known.UNKNOWN:
            raise InvalidValue("statement.answer", self.answer, "states nothing")
        check_text("statement.given_by", self.given_by, required=True)
        check_text("statement.document", self.document, required=True)


@dataclass(frozen=True, slots=True)
class Programme:
    """What one programme's registry allows. `has_series`: serials have a series on chain."""

    programme: str
    name: str
    mode: Mode
    mode_reason: str
    has_series: bool
    answers: Mapping[str, Capability]

    def __post_init__(self) -> None:
        for question in QUESTIONS:
            if question not in self.answers:
                raise InvalidValue(f"{self.programme}.{question}", None, "is missing")
        for name, capability in self.answers.items():
            if name not in QUESTIONS:
                raise InvalidValue(f"{self.programme}.{name}", name, "is no capability")
            check_text(f"{self.programme}.{name}.source", capability.source, required=True)
        if self.mode is Mode.TOKEN and not self.has_series:
            raise InvalidValue(self.programme, self.mode, "needs a series on chain")

    def answer(self, question: str) -> Known:
        return self.answers[question].answer

    def with_statements(self, statements: Iterable[Statement], on: date) -> Programme:
        """The same with what was unknown answered by statements that hold on a day.

        Raises InvalidValue for a statement against an answer that is known.
        """
        answers = dict(self.answers)
        for one in statements:
            if one.programme != self.programme:
                continue
            known = self.answers[one.capability].answer
            if known not in (Known.UNKNOWN, one.answer):
                raise InvalidValue(
                    f"statement.{one.capability}",
                    one.answer.value,
                    f"contradicts {self.programme}, where it is {known.value} "
                    f"({self.answers[one.capability].source})",
                )
            if one.until is None or on <= one.until:
                source = f"stated by {one.given_by}: {one.document}"
                answers[one.capability] = Capability(one.answer, source)
        return Programme(
            self.programme, self.name, self.mode, self.mode_reason, self.has_series, answers
        )

    def _unless(self, question: str, *wanted: Known) -> list[str]:
        """The reason against it when a question is answered otherwise."""
        capability = self.answers[question]
        if capability.answer in wanted:
            return []
        return [f"{QUESTIONS[question]} at {self.name}: {capability.answer} ({capability.source})"]


def bars_to_custody(programme: Programme, trust: TrustAccount, on: date) -> tuple[str, ...]:
    """Why an account may not take credits in, token or not; empty when it may."""
    bars = []
    if trust.account.programme != programme.programme:
        bars.append(f"account {trust.account} is not at the registry of {programme.programme}")
    phase = trust.phase(on)
    if phase is not Phase.OPEN:
        bars.append(f"trust account {trust.name} is {phase} on {on}")
    if trust.account.sub_account:
        bars += programme._unless("sub_accounts", Known.YES)
    return tuple(bars)


def bars_to_receipt(
    programme: Programme, trust: TrustAccount, serials: Iterable[SerialRange], on: date
) -> tuple[str, ...]:
    """Why tokens may not be made of these serials in this account on a day; empty when they may.

    `programme` with the deployment's statements already in it.
    """
    bars = list(bars_to_custody(programme, trust, on))
    if programme.mode is Mode.LEDGER:
        bars.append(f"{programme.name} is kept as a ledger only: {programme.mode_reason}")
    holds = programme.answer("holds_for_others")
    if holds is Known.SUB_ACCOUNTS and not trust.account.sub_account:
        bars.append(f"{programme.name} holds for others in sub-accounts only: {trust.account}")
    elif holds is not Known.SUB_ACCOUNTS:
        bars += programme._unless("holds_for_others", Known.YES)
    # A holder who can never take delivery would be stranded.
    bars += programme._unless("transfer", Known.YES)
    bars += programme._unless("retire_on_behalf", Known.YES)
    bars += programme._unless("partial_retirement", Known.YES)
    # Not knowing whether consent is needed is a reason to have it.
    if programme.answer("consent_to_tokenize") is not Known.NO:
        if trust.consent is None:
            bars.append(f"no consent of {programme.name} to tokens is recorded for {trust.name}")
        elif on < trust.consent.given_on:
            bars.append(f"the consent for {trust.name} begins on {trust.consent.given_on}")
    for one in serials:
        if one.space.partition(":")[0] not in (programme.programme, "CDM"):
            bars.append(f"{one} is not a serial of {programme.programme}")
    return tuple(bars)


def bars_to_retiring(programme: Programme) -> tuple[str, ...]:
    """Why no holder should burn tokens for a retirement there, whatever the serials."""
    return tuple(programme._unless("retire_on_behalf", Known.YES))


def bars_to_delivering(
    programme: Programme, recipient: str, trusts: Iterable[RegistryAccount]
) -> tuple[str, ...]:
    """Why no holder should burn tokens for a delivery there, whatever the serials.

    `recipient`: ACCOUNT or ACCOUNT/SUB-ACCOUNT; `trusts`: the trust accounts of the deployment.
    """
    bars = list(programme._unless("transfer", Known.YES))
    for one in trusts:
        if one.programme == programme.programme and recipient == _within(one):
            bars.append(f"{recipient} is a trust account itself")
    return tuple(bars)


def _within(account: RegistryAccount) -> str:
    """An account's name at its own registry."""
    return str(account).partition(":")[2]


def bars_to_retirement(
    programme: Programme, account: RegistryAccount, serials: SerialRange, block: HeldBlock | None
) -> tuple[str, ...]:
    """Why a registry cannot be asked to retire these serials; empty when it can.

    `block`: what the account's inventory has around them. Consent that ended is no reason: a
    wind-down is there for retirements.
    """
    bars = []
    if account.programme != programme.programme:
        bars.append(f"account {account} is not at the registry of {programme.programme}")
    bars += bars_to_retiring(programme)
    bars += _bars_of_block(programme, account, serials, block)
    return tuple(bars)


def bars_to_delivery(
    programme: Programme,
    account: RegistryAccount,
    recipient: str,
    serials: SerialRange,
    block: HeldBlock | None,
) -> tuple[str, ...]:
    """Why a registry cannot be asked to move these serials to a recipient; empty when it can."""
    bars = list(bars_to_delivering(programme, recipient, [account]))
    bars += _bars_of_block(programme, account, serials, block)
    return tuple(bars)


def _bars_of_block(
    programme: Programme, account: RegistryAccount, serials: SerialRange, block: HeldBlock | None
) -> list[str]:
    if block is None or not block.serials.contains(serials):
        return [f"{serials} does not lie in one live block of {account}"]
    if block.serials != serials:
        return programme._unless("partial_retirement", Known.YES)
    return []


def require(what: str, bars: Iterable[str]) -> None:
    """Raises ProgrammeForbids with every reason when there is one."""
    listed = list(bars)
    if listed:
        raise ProgrammeForbids(f"{what}: {'; '.join(listed)}", what=what, reasons=listed)
