"""Duplicates across registries: cases with their evidence, decisions, and what blocks minting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select

from backend.domain.duplicates import OPEN, Key
from backend.errors import NotFound
from backend.store import duplicate_tables as tables
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page

STATES = ("open", "duplicate", "distinct", "noted")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided of which evidence. `keep` is the side that may be minted."""

    decision: str
    keep: str | None
    who: str
    why: str
    score: int
    evidence: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason with its points, negative against."""

    code: str
    points: int
    text: str


@dataclass(frozen=True, slots=True)
class DuplicateCase:
    """Two listings that seem to be one project. `state`: open, duplicate, distinct, noted.

    `blocked` names the sides that are not minted; decisions are the newest first.
    """

    id: int
    left: Key
    right: Key
    kind: str
    score: int
    reasons: tuple[Evidence, ...]
    evidence: str
    state: str
    blocked: tuple[str, ...]
    found_at: datetime
    changed_at: datetime
    decisions: tuple[Decision, ...]


def standing(case: DuplicateCase) -> tuple[str, bool, bool]:
    """(state, left blocked, right blocked) by the evidence and the newest decision.

    A decision holds while the evidence is what the person saw, or less.
    """
    if case.score < OPEN:
        return "noted", False, False
    newest = next(iter(case.decisions), None)
    if newest is None or (newest.evidence != case.evidence and case.score > newest.score):
        return "open", True, True
    if newest.decision == "distinct":
        return "distinct", False, False
    return "duplicate", newest.keep != str(case.left), newest.keep != str(case.right)


def open_duplicates(
    connection: Connection, programme: str, project: str
) -> tuple[DuplicateCase, ...]:
    """Cases that block minting credits of a project: undecided ones, and decided duplicates."""
    table = tables.duplicate_cases
    found = connection.execute(
        select(table)
        .where(
            or_(
                and_(
                    table.c.left_blocked,
                    table.c.left_programme == programme,
                    table.c.left_project == project,
                ),
                and_(
                    table.c.right_blocked,
                    table.c.right_programme == programme,
                    table.c.right_project == project,
                ),
            )
        )
        .order_by(table.c.id)
    ).all()
    return _cases(connection, found)


def list_cases(
    connection: Connection,
    *,
    state: str | None = None,
    programme: str | None = None,
    project: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[DuplicateCase]:
    """Cases, the newest first. `programme` and `project` are of either side."""
    table = tables.duplicate_cases
    query = select(table)
    if state is not None:
        query = query.where(table.c.state == state)
    if programme is not None:
        query = query.where(
            or_(table.c.left_programme == programme, table.c.right_programme == programme)
        )
    if project is not None:
        query = query.where(or_(table.c.left_project == project, table.c.right_project == project))
    rows, following = fetch_page(
        connection, query, [table.c.id], [int], cursor, limit, descending=True
    )
    return Page(_cases(connection, rows), following)


def get_case(connection: Connection, case_id: int) -> DuplicateCase:
    """One case; raises NotFound."""
    table = tables.duplicate_cases
    row = connection.execute(select(table).where(table.c.id == case_id)).first()
    if row is None:
        raise NotFound(f"no case of duplicates has the id {case_id}", case_id=str(case_id))
    return _cases(connection, [row])[0]


def _cases(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[DuplicateCase, ...]:
    decisions = tables.duplicate_decisions
    said: dict[int, list[Decision]] = defaultdict(list)
    if rows:
        found = connection.execute(
            select(decisions)
            .where(decisions.c.case_id.in_([row.id for row in rows]))
            .order_by(decisions.c.id.desc())
        )
        for one in found:
            said[one.case_id].append(
                Decision(one.decision, one.keep, one.who, one.why, one.score, one.evidence, one.at)
            )
    return tuple(_case(row, tuple(said[row.id])) for row in rows)


def _case(row: Row[Any], decisions: tuple[Decision, ...]) -> DuplicateCase:
    left = Key(row.left_source, row.left_programme, row.left_project)
    right = Key(row.right_source, row.right_programme, row.right_project)
    sides = ((left, row.left_blocked), (right, row.right_blocked))
    return DuplicateCase(
        id=row.id,
        left=left,
        right=right,
        kind=row.kind,
        score=row.score,
        reasons=tuple(Evidence(*reason) for reason in row.reasons),
        evidence=row.evidence,
        state=row.state,
        blocked=tuple(str(key) for key, blocked in sides if blocked),
        found_at=row.found_at,
        changed_at=row.changed_at,
        decisions=decisions,
    )
