"""What the operator's pages show: drafts in words, why classes are halted, a day in figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backend.api.operator_documents import Caution, cautions_of
from backend.bridge.drafts import Draft, open_drafts
from backend.bridge.operators import Act, Person
from backend.domain.classes import ClassFlag
from backend.domain.custody_tasks import TaskState
from backend.domain.serials import Interval
from backend.errors import NotFound
from backend.registries.custody_file import Custody
from backend.store import breaks
from backend.store.breaks import list_breaks
from backend.store.custody import StoredConfirmation, StoredReceipt
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.database import Database
from backend.store.queries import duplicates, flows, registry, reserve, shortfalls
from backend.store.queries.classes import ClassSummary, classes_by_id
from backend.store.queries.reading import MAX_LIMIT, Connection
from backend.store.queries.reserve import PublishedReport
from backend.store.queries.role_holders import role_holders
from backend.store.queries.shortfalls import PublishedEvent, Shortfall
from backend.store.reserve_trees import ReserveTrees

#: How many of a class's events explain why it is halted.
_EVENTS: Final = 5


@dataclass(frozen=True, slots=True)
class DraftView:
    """A draft as a signer reads it. `lines`: key of a text, or the contract's own name of a field,
    and what it says; `figures`: of a reserve report, per class.
    """

    draft: Draft
    title: str
    known: bool
    lines: tuple[tuple[str, str], ...]
    serials: tuple[Interval, ...]
    cautions: tuple[Caution, ...]
    missing: tuple[tuple[str, int], ...]
    figures: tuple[tuple[str, Mapping[str, str]], ...]

    @property
    def signers(self) -> frozenset[str]:
        return frozenset(one.signer for one in self.draft.approvals)


def drafts(database: Database, custody: Custody, found: Sequence[Draft]) -> list[DraftView]:
    """Each draft with what it says, who has to sign yet, and what to look at first."""
    with database.read() as connection:
        needed = role_holders(connection).thresholds.get("Trust", (1, 1))
        wanted = {one.class_id for one in found if one.class_id is not None}
        names = {key: _name(one) for key, one in classes_by_id(connection, wanted).items()}
    return [_draft(database, custody, one, needed, names) for one in found]


def _draft(
    database: Database,
    custody: Custody,
    draft: Draft,
    needed: tuple[int, int],
    names: Mapping[int, str],
) -> DraftView:
    held = draft.held
    serials: tuple[Interval, ...] = ()
    figures: tuple[tuple[str, Mapping[str, str]], ...] = ()
    title = names.get(draft.class_id or 0, "")
    if isinstance(held, StoredReceipt):
        lines, serials = _receipt(custody, held), held.receipt.intervals
        title = str(held.receipt.credit_class)
    elif isinstance(held, StoredConfirmation):
        lines, serials = _confirmation(held), held.retirement.actual
    else:
        lines = tuple((name, _text(value)) for name, value in held.content.items())
        if held.type == "ReserveReport":
            figures = _figures(database, held.id)
    signed = [one.role for one in draft.approvals]
    missing = [
        (role, count - signed.count(role))
        for role, count in zip(("custodian", "attestor"), needed, strict=True)
    ]
    return DraftView(
        draft,
        title,
        isinstance(held, StoredReceipt | StoredConfirmation),
        lines,
        serials,
        tuple(cautions_of(database, custody, draft)),
        tuple((role, count) for role, count in missing if count > 0),
        figures,
    )


def _receipt(custody: Custody, held: StoredReceipt) -> tuple[tuple[str, str], ...]:
    receipt = held.receipt
    trust = custody.trust_of(receipt.account)
    account = f"{trust.name} ({trust.account})" if trust else "0x" + receipt.account.hex()
    return (
        ("tonnes", f"{receipt.tonnes:,} t"),
        ("recipient", receipt.recipient),
        ("account", account),
        ("valid_until", str(receipt.valid_until)),
        ("terms", "0x" + receipt.terms_hash.hex()),
        ("evidence", "0x" + receipt.evidence_hash.hex()),
    )


def _confirmation(held: StoredConfirmation) -> tuple[tuple[str, str], ...]:
    said = held.retirement
    return (
        ("tonnes", f"{said.tonnes:,} t"),
        ("positions", f"{said.first_position} – {said.first_position + said.tonnes - 1}"),
        ("reference", said.registry_reference),
        ("date", str(said.registry_date)),
        ("evidence", "0x" + said.evidence_hash.hex()),
    )


def _figures(database: Database, report_id: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """What a drafted report says of each class, as it is kept with its trees."""
    try:
        kept = ReserveTrees(database).get(report_id).figures
    except NotFound:
        return ()
    by_class = dict(kept.get("classes", {}))
    with database.read() as connection:
        known = classes_by_id(connection, {int(class_id) for class_id in by_class})
    return tuple(
        (_name(known[int(class_id)]) if int(class_id) in known else class_id, figures)
        for class_id, figures in by_class.items()
    )


def _text(value: Any) -> str:
    """A value of a message in one line: structs by their fields, lists by commas."""
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value) or "–"
    return str(value)


def _name(found: ClassSummary) -> str:
    start, end = found.vintage_start, found.vintage_end
    name = found.project_name or f"{found.programme} {found.project}"
    years = str(start.year) if start.year == end.year else f"{start.year}–{end.year}"
    return f"{name}, {found.programme}-{found.project}, {years}"


# ── halted classes ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class HaltedView:
    """A class that neither mints nor trades: why, and the orders and events behind it."""

    shortfall: Shortfall
    name: str
    number: int | None
    is_held: bool
    is_short: bool
    since: int | None
    events: tuple[PublishedEvent, ...]
    breaks: int


def halted(database: Database) -> dict[str, Any]:
    """Every class with a flag or a gap, and the newest report with the classes short in it."""
    with database.read() as connection:
        found = shortfalls.short_classes(connection)
        known = classes_by_id(connection, {one.class_id for one in found})
        report = _report(connection)
        short = [one for one in report.classes if one.shortfall] if report else []
        more = classes_by_id(connection, {one.class_id for one in short})
        views = [_halted(connection, one, known.get(one.class_id)) for one in found]
    names = {class_id: _name(one) for class_id, one in more.items()}
    return {"found": views, "report": report, "short": short, "names": names}


def _report(connection: Connection) -> PublishedReport | None:
    try:
        return reserve.get_reserve(connection)
    except NotFound:
        return None


def _halted(connection: Connection, found: Shortfall, known: ClassSummary | None) -> HaltedView:
    events = shortfalls.list_programme_events(
        connection, class_id=found.class_id, limit=_EVENTS
    ).items
    return HaltedView(
        found,
        _name(known) if known else str(found.class_id),
        known.number if known else None,
        bool(found.flags & ClassFlag.HOLD),
        bool(found.flags & ClassFlag.GAP),
        shortfalls.flagged_since(connection, found.class_id),
        events,
        len(
            list_breaks(
                connection, state=breaks.OPEN, class_id=found.class_id, limit=MAX_LIMIT
            ).items
        ),
    )


# ── a day ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Count:
    """One figure of the first page: section, how many, whether it is somebody's to do now."""

    tab: str
    path: str
    number: int
    urgent: bool
    more: bool = False


def today(database: Database, person: Person) -> dict[str, Any]:
    """How much waits in every section; `mine`: what the person can sign and has not signed."""
    now = int(time.time())
    waiting = [one for one in open_drafts(database) if one.waits]
    mine = [
        one
        for one in waiting
        if person.may(Act.SIGN) and person.account not in {sign.signer for sign in one.approvals}
    ]
    tasks = PostgresTaskBook(database).list_tasks(limit=MAX_LIMIT)
    late = sum(one.is_late(now) for one in tasks)
    answered = sum(one.state is TaskState.ANSWERED for one in tasks)
    with database.read() as connection:
        opened = duplicates.list_cases(connection, state="open", limit=MAX_LIMIT)
        short = shortfalls.short_classes(connection)
        broken = list_breaks(connection, state=breaks.OPEN, limit=MAX_LIMIT)
        stuck = flows.list_flows(connection, now=now, limit=MAX_LIMIT)
        imports = registry.list_imports(connection, limit=1).items
    rejected = imports[0].rejected if imports else 0
    counts = (
        Count("signatures", "/signatures", len(waiting), bool(mine)),
        Count("tasks", "/tasks", len(tasks), bool(late), len(tasks) == MAX_LIMIT),
        Count("imports", f"/imports/{imports[0].id}" if imports else "/imports", rejected, False),
        Count(
            "duplicates", "/duplicates", len(opened.items), bool(opened.items),
            opened.next_cursor is not None,
        ),
        Count("classes", "/classes", len(short), bool(short)),
        Count(
            "breaks", "/breaks", len(broken.items), bool(broken.items),
            broken.next_cursor is not None,
        ),
        Count(
            "flows", "/flows", len(stuck.items), bool(stuck.items), stuck.next_cursor is not None
        ),
    )  # fmt: skip
    return {
        "counts": counts,
        "mine": len(mine),
        "late": late,
        "answered": answered,
        "newest_import": imports[0] if imports else None,
    }
