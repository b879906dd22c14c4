"""What webhooks tell: the types of events, which of them an endpoint wants.

An endpoint belongs to an account. Types of an account go to its own endpoints alone; the others
are public facts, and an endpoint may limit those of classes to some classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backend.errors import InvalidValue

#: Facts of one account.
ACCOUNT_TYPES: Final[Mapping[str, str]] = {
    "trade.executed": "An own order was filled, once for each side that is one's own.",
    "trade.voided": "A trade of one's own was undone before it settled.",
    "deposit.credited": "The venue credited a deposit: it can be traded with.",
    "withdrawal.accepted": "The venue took a withdrawal from the balance.",
    "withdrawal.credited": "A settled withdrawal can be claimed on chain.",
    "withdrawal.voided": "A withdrawal was undone before it settled.",
    "exit.changed": "A forced exit was requested, cancelled or executed on chain.",
    "certificate.issued": "Credits were retired; the account owns or gave the certificate.",
    "certificate.registry_status": "The registry confirmed, failed or made good a retirement.",
    "delivery.changed": "A delivery to a registry account entered another phase.",
    "alert.held": "Something happened to a class that the account holds.",
}
#: Facts of one class: what its programme did, by kind, and what halts it.
CLASS_TYPES: Final[Mapping[str, str]] = {
    "class.hold": "The programme put credits of the class on hold.",
    "class.release": "A hold ended.",
    "class.reversal": "The programme reported a reversal.",
    "class.label_gained": "A label was gained by all credits of the class.",
    "class.label_lost": "A label was lost.",
    "class.label_split": "Some credits of the class gained a label and may move to another class.",
    "class.expiry": "An end was set for what the credits may be used for.",
    "class.authorisation": "An authorisation was given, changed or withdrawn.",
    "class.corsia": "Eligibility for CORSIA changed.",
    "class.exchange": "An exchange of credits into another class opened.",
    "class.conversion": "A conversion into another class opened.",
    "class.invalidation": "The programme invalidated credits in trust.",
    "class.delivery_invalidation": "The programme invalidated credits under delivery.",
    "class.substitution": "Credits in trust were replaced by others.",
    "class.flags": "What may be done with the class changed: minting, trading, leaving.",
}
PUBLIC_TYPES: Final[Mapping[str, str]] = {
    "reserve.reported": "A reserve report was recorded on chain.",
    "break.found": "Registry, custody and chain do not agree about something.",
    "break.resolved": "A person said what became of a break.",
}
#: Sent whatever an endpoint wants.
SERVICE_TYPES: Final[Mapping[str, str]] = {
    "ping": "Asked for by the endpoint's owner.",
    "event.retracted": "The chain took back the fact of an earlier event; forget that event.",
}
TYPES: Final = {**ACCOUNT_TYPES, **CLASS_TYPES, **PUBLIC_TYPES}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened, to be told once to each endpoint that wants it.

    `key` names it for ever. `time`: Unix seconds. `block`: number and hash of the chain block that
    it stands on, None when no reorganisation can take it back.
    """

    key: str
    type: str
    time: int
    data: Mapping[str, Any]
    account: str | None = None
    class_id: int | None = None
    block: tuple[int, str] | None = None


def check_types(wanted: Sequence[str]) -> list[str]:
    """The wanted types, sorted; InvalidValue for one that there is not.

    `class.*` stands for all of one group, `*` for all.
    """
    if not wanted:
        raise InvalidValue("types", "[]", "names no type of event")
    groups = {name.partition(".")[0] + ".*" for name in TYPES}
    for name in wanted:
        if name not in TYPES and name not in groups and name != "*":
            raise InvalidValue("types", name, f"is none of {', '.join(sorted(TYPES))}")
    return sorted(set(wanted))


def wants(types: Collection[str], classes: Collection[int], account: str, fact: Fact) -> bool:
    """Whether an endpoint of `account` is told a fact; no classes means all of them."""
    if fact.type not in SERVICE_TYPES:
        group = fact.type.partition(".")[0] + ".*"
        if not {"*", group, fact.type} & set(types):
            return False
    if fact.type in ACCOUNT_TYPES:
        return fact.account == account
    return fact.class_id is None or not classes or fact.class_id in classes


def event_id(endpoint: str, sequence: int) -> str:
    """The id of an event: the same however often it is sent."""
    return f"evt_{endpoint.removeprefix('ep_')}_{sequence}"
