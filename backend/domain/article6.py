"""Article 6 of the Paris Agreement: a host party's authorisation, and its adjustment, as facts.

Pure. A label says that a registry saw a letter; these facts say what the letter says, so that what
is missing can be named: the party, the vintage, the quantity, the use, the day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

from backend.domain.documents import Document
from backend.errors import InvalidValue


class Use(StrEnum):
    """What a party may authorise credits for."""

    #: Towards another party's nationally determined contribution.
    NDC = "ndc"
    #: International mitigation purposes, CORSIA among them.
    INTERNATIONAL = "international-mitigation"
    #: Other purposes, such as voluntary claims.
    OTHER = "other"


class Trigger(StrEnum):
    """What counts as the first transfer, when the party has to adjust; the party chooses."""

    AUTHORISATION = "authorisation"
    ISSUANCE = "issuance"
    USE_OR_CANCELLATION = "use-or-cancellation"


class Missing(NamedTuple):
    """One element that is not there, and why it is needed."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Authorisation:
    """A host party's letter. `tonnes` None: no limit is stated. Vintage days are inclusive.

    `letter` is the letter's reference, `letter_hash` the hash of its text.
    """

    letter: str
    letter_hash: str
    party: str
    signed_on: date
    uses: frozenset[Use]
    first_transfer: Trigger
    vintage_first: date
    vintage_last: date
    tonnes: int | None = None
    valid_until: date | None = None
    revoked_on: date | None = None

    def __post_init__(self) -> None:
        if self.vintage_last < self.vintage_first:
            raise InvalidValue(
                "authorisation.vintage_last", self.vintage_last, f"is before {self.vintage_first}"
            )

    @classmethod
    def read(cls, content: Any) -> Authorisation:
        """From a JSON document; raises InvalidValue naming the key and the rule."""
        doc = Document("authorisation", content)
        found = cls(
            letter=doc.text("letter"),
            letter_hash=doc.hash("letter_hash"),
            party=doc.country("party"),
            signed_on=doc.day("signed_on"),
            uses=doc.choices("uses", Use),
            first_transfer=doc.choice("first_transfer", Trigger),
            vintage_first=doc.day("vintage_first"),
            vintage_last=doc.day("vintage_last"),
            tonnes=doc.optional("tonnes", doc.tonnes),
            valid_until=doc.optional("valid_until", doc.day),
            revoked_on=doc.optional("revoked_on", doc.day),
        )
        doc.done()
        return found


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Evidence that the party has adjusted its accounts for these credits.

    `reference` names the record (a structured summary, an annual information), `evidence_hash` is
    the hash of its text.
    """

    party: str
    reference: str
    evidence_hash: str
    adjusted_on: date
    tonnes: int

    @classmethod
    def read(cls, content: Any) -> Adjustment:
        """From a JSON document; raises InvalidValue naming the key and the rule."""
        doc = Document("adjustment", content)
        found = cls(
            party=doc.country("party"),
            reference=doc.text("reference"),
            evidence_hash=doc.hash("evidence_hash"),
            adjusted_on=doc.day("adjusted_on"),
            tonnes=doc.tonnes("tonnes"),
        )
        doc.done()
        return found


@dataclass(frozen=True, slots=True)
class Credits:
    """What is asked about. `host` is None where the country is not known.

    `under_letter` are the tonnes of every class that names the same letter, this one included.
    """

    vintage_first: date
    vintage_last: date
    host: str | None
    tonnes: int
    under_letter: int
    labels: frozenset[str] = frozenset()


def lacks_authorisation(
    credits: Credits, authorisation: Authorisation | None, use: Use, on: date
) -> tuple[Missing, ...]:
    """What an authorised use of these credits on a day lacks; nothing when it has everything."""
    if authorisation is None:
        return (Missing("authorisation", "no letter of authorisation is recorded"),)
    letter, found = authorisation, []
    if credits.host is None:
        found.append(Missing("host", "the host country is not known: nobody can have authorised"))
    elif letter.party != credits.host:
        found.append(
            Missing("party", f"{letter.party} authorised, the host country is {credits.host}")
        )
    if use not in letter.uses:
        listed = ", ".join(sorted(letter.uses))
        found.append(Missing("use", f"the letter is for {listed}, not for {use}"))
    if credits.vintage_first < letter.vintage_first or credits.vintage_last > letter.vintage_last:
        found.append(
            Missing(
                "vintage",
                f"vintage {credits.vintage_first} … {credits.vintage_last} is not inside"
                f" {letter.vintage_first} … {letter.vintage_last} of the letter",
            )
        )
    if letter.tonnes is not None and credits.under_letter > letter.tonnes:
        found.append(
            Missing(
                "quantity",
                f"{credits.under_letter} t name the letter, which authorises {letter.tonnes} t",
            )
        )
    return (*found, *_not_in_force(letter, on))


def _not_in_force(letter: Authorisation, on: date) -> Iterable[Missing]:
    if on < letter.signed_on:
        yield Missing("signed", f"the letter is of {letter.signed_on}, later than {on}")
    if letter.valid_until is not None and letter.valid_until < on:
        yield Missing("validity", f"the letter was valid until {letter.valid_until}")
    if letter.revoked_on is not None and letter.revoked_on <= on:
        yield Missing("revoked", f"the letter was revoked on {letter.revoked_on}")


def first_transfer(
    authorisation: Authorisation, issued_on: date | None, used_on: date | None
) -> date | None:
    """When the party's duty to adjust begins, by its own trigger; None: not yet, or not known."""
    return {
        Trigger.AUTHORISATION: authorisation.signed_on,
        Trigger.ISSUANCE: issued_on and max(issued_on, authorisation.signed_on),
        Trigger.USE_OR_CANCELLATION: used_on and max(used_on, authorisation.signed_on),
    }[authorisation.first_transfer]


def lacks_adjustment(
    credits: Credits, adjustment: Adjustment | None, on: date
) -> tuple[Missing, ...]:
    """What the evidence of a corresponding adjustment for all of these credits lacks."""
    if adjustment is None:
        return (Missing("adjustment", "no evidence of a corresponding adjustment is recorded"),)
    found = []
    if adjustment.party != credits.host:
        found.append(
            Missing("adjustment-party", f"{adjustment.party} adjusted, the host is {credits.host}")
        )
    if adjustment.tonnes < credits.tonnes:
        found.append(
            Missing("adjustment-quantity", f"{adjustment.tonnes} t adjusted of {credits.tonnes} t")
        )
    if adjustment.adjusted_on > on:
        found.append(
            Missing("adjustment-date", f"adjusted on {adjustment.adjusted_on}, later than {on}")
        )
    return tuple(found)
