"""What an audit says: one verdict per law, the figures behind it, and every break it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from backend.domain.events import ChainEvent

#: The laws of the registry, in the words of its design.
LAWS: Mapping[str, str] = {
    "L1": "conservation",
    "L2": "serials",
    "L3": "backing",
    "L4": "finality",
    "L5": "signatures",
    "L6": "limits",
    "L7": "solvency",
    "L8": "exits",
    "L9": "replay",
    "L10": "once",
    "L11": "integers",
}


class Status(StrEnum):
    """`broken` wins over `not checked`, which wins over `holds`."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Break:
    """One place where a law does not hold.

    `transaction` and `block` are those of the event that breaks it, or of the last event that
    touched the state that differs; None when no event ever did. `serials` as `VCS:2/17-20`.
    """

    what: str
    transaction: str | None
    block: int | None
    serials: tuple[str, ...] = ()
    amounts: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LawReport:
    """The verdict on one law; `reason` says what was compared or why it was not."""

    status: Status
    reason: str
    figures: Mapping[str, int]
    breaks: tuple[Break, ...] = ()


@dataclass(frozen=True, slots=True)
class CodeReport:
    """Whether the code on chain is what the deployment file and the sources say.

    `contracts`: per name one of `holds`, `broken`, with what was compared in words.
    """

    status: Status
    reason: str
    contracts: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Everything one audit found at one chain block."""

    chain_id: int
    block: int
    block_hash: str
    code: CodeReport
    laws: Mapping[str, LawReport]

    @property
    def broken(self) -> list[str]:
        """Names of what is broken: laws, and `code`."""
        names = [name for name, law in self.laws.items() if law.status is Status.BROKEN]
        return names + (["code"] if self.code.status is Status.BROKEN else [])

    @property
    def not_checked(self) -> list[str]:
        """Names of what was not checked: laws, and `code`."""
        names = [name for name, law in self.laws.items() if law.status is Status.NOT_CHECKED]
        return names + (["code"] if self.code.status is Status.NOT_CHECKED else [])


def exit_code(report: AuditReport, strict: bool = False) -> int:
    """0 none broken, 1 something is broken or, when strict, not checked. 2 is for no report."""
    if report.broken or (strict and report.not_checked):
        return 1
    return 0


def _as_text(value: Any) -> Any:
    """Integers as strings, all the way down: a JSON reader must not round them."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    return str(value)


def as_json(report: AuditReport) -> dict[str, Any]:
    """The report as `causeway audit --json` prints it; every integer is a string."""
    laws = {
        name: {
            "status": str(law.status),
            "reason": law.reason,
            "figures": _as_text(law.figures),
            "breaks": [
                {
                    "what": found.what,
                    "transaction": found.transaction,
                    "block": _as_text(found.block),
                    "serials": list(found.serials),
                    "amounts": _as_text(found.amounts),
                }
                for found in law.breaks
            ],
        }
        for name, law in report.laws.items()
    }
    return {
        "block": str(report.block),
        "block_hash": report.block_hash,
        "chain_id": str(report.chain_id),
        "code": {
            "status": str(report.code.status),
            "reason": report.code.reason,
            "contracts": _as_text(report.code.contracts),
        },
        "laws": laws,
    }


@dataclass(slots=True)
class Findings:
    """Collects breaks, gaps and figures while the laws are checked."""

    breaks: dict[str, list[Break]] = field(default_factory=lambda: {law: [] for law in LAWS})
    figures: dict[str, dict[str, int]] = field(default_factory=lambda: {law: {} for law in LAWS})
    gaps: dict[str, list[str]] = field(default_factory=lambda: {law: [] for law in LAWS})

    def broken(
        self,
        law: str,
        what: str,
        event: ChainEvent | None = None,
        serials: tuple[str, ...] = (),
        **amounts: int | str,
    ) -> None:
        """Record a break; `event` is what broke the law or last touched what differs."""
        transaction = event.transaction_hash if event else None
        block = event.block_number if event else None
        self.breaks[law].append(Break(what, transaction, block, tuple(serials), amounts))

    def unreadable(self, law: str, what: str, transaction: str, block: int) -> None:
        """Record a log that could not even be decoded."""
        self.breaks[law].append(Break(what, transaction, block))

    def count(self, law: str, **figures: int) -> None:
        """State figures behind a verdict; the last statement of a name counts."""
        self.figures[law].update(figures)

    def gap(self, law: str, reason: str) -> None:
        """Something this law asks for could not be checked."""
        self.gaps[law].append(reason)

    def verdict(self, law: str, reason: str) -> LawReport:
        """`reason` is what holding means; gaps and breaks put their own in its place."""
        breaks, gaps = self.breaks[law], self.gaps[law]
        if breaks:
            more = f"; {'; '.join(gaps)}" if gaps else ""
            said = f"{len(breaks)} found, the first: {breaks[0].what}{more}"
            return LawReport(Status.BROKEN, said, self.figures[law], tuple(breaks))
        if gaps:
            return LawReport(Status.NOT_CHECKED, "; ".join(gaps), self.figures[law])
        return LawReport(Status.HOLDS, reason, self.figures[law])
