"""Stores listings, finds the pairs that changed, keeps cases and a person's decisions about them.

A decision is about the evidence that the person saw: when an import adds more, the case is open
again. Nothing here deletes; what no longer reaches the threshold is noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from backend.domain.duplicates import REGISTRY, Assessment, Key, Listing
from backend.domain.serials import Interval
from backend.errors import Conflict, DuplicateOpen, InvalidValue
from backend.store import duplicate_tables as tables
from backend.store.database import raw
from backend.store.queries.duplicates import DuplicateCase, get_case, open_duplicates, standing
from backend.store.tables import registry_blocks

DISTINCT, DUPLICATE = "distinct", "duplicate"
_FEW = 200


@dataclass(frozen=True, slots=True)
class Said:
    """Distinct facts that the rows of one import state of a project."""

    programme: str
    project: str
    project_name: str
    first: date | None
    last: date | None
    country: str
    developer: str
    methodologies: list[str]
    project_types: list[str]


_SAID = """
    SELECT DISTINCT programme, project, project_name,
           coalesce(CAST(facts ->> 'monitoring_start' AS date), vintage_start),
           coalesce(CAST(facts ->> 'monitoring_end' AS date), vintage_end),
           coalesce(facts ->> 'country', ''), coalesce(facts ->> 'developer', ''),
           coalesce(facts -> 'methodologies', '[]'), coalesce(facts -> 'project_types', '[]')
      FROM registry_blocks WHERE last_import > %s AND project_name <> ''
"""


def newly_said(connection: Connection, everything: bool = False) -> list[Said]:
    """What rows say that imports since the last call have changed; or what all of them say."""
    driver = raw(connection)
    done = driver.execute("SELECT import_id FROM duplicate_progress").fetchone()
    rows = driver.execute(_SAID, [0 if everything or done is None else done[0]])
    said = [Said(*row) for row in rows]
    driver.execute(
        # An import that was interrupted may still say something under its old number.
        "UPDATE duplicate_progress SET import_id = (SELECT coalesce("
        "min(id) FILTER (WHERE state IN ('reading', 'merging')) - 1, max(id), 0) FROM imports)"
    )
    return said


def merge_listings(connection: Connection, listings: Mapping[Key, Listing]) -> set[Key]:
    """Add what is new to the stored listings; returns those that changed."""
    if not listings:
        return set()
    held = load_listings(connection, listings)
    changed = {}
    for key, listing in listings.items():
        merged = held[key] | listing if key in held else listing
        if merged != held.get(key):
            changed[key] = merged
    with raw(connection).cursor() as cursor:
        cursor.executemany(
            "INSERT INTO project_listings (source, programme, project, listing)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT (source, programme, project)"
            " DO UPDATE SET listing = excluded.listing",
            [(*key, Jsonb(listing.as_json())) for key, listing in changed.items()],
        )
    return set(changed)


def load_listings(connection: Connection, keys: Iterable[Key] | None = None) -> dict[Key, Listing]:
    """Stored listings; all of them, or those of some keys."""
    table = tables.project_listings
    query = select(table)
    keys = None if keys is None else list(keys)
    # A statement of thousands of keys takes longer than reading everything.
    if keys is not None and len(keys) <= _FEW:
        wanted = tuple_(table.c.source, table.c.programme, table.c.project)
        query = query.where(wanted.in_(list(keys)))
    found = {}
    for row in connection.execute(query):
        key = Key(row.source, row.programme, row.project)
        found[key] = Listing.from_json(key, row.listing)
    return found


def with_blocks(connection: Connection, ids: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those (programme, project) of which blocks were imported."""
    wanted = list(ids)
    if not wanted:
        return set()
    rows = registry_blocks
    pair = tuple_(rows.c.programme, rows.c.project)
    found = connection.execute(
        select(rows.c.programme, rows.c.project).where(pair.in_(wanted)).distinct()
    )
    return {(row.programme, row.project) for row in found}


# ── serials that two sources list ────────────────────────────────────────────────────────────


def add_holdings(connection: Connection, held: Iterable[tuple[Key, Interval]]) -> None:
    """Serials that another bridge says it holds; the same again changes nothing."""
    with raw(connection).cursor() as cursor:
        cursor.executemany(
            "INSERT INTO bridge_holdings (source, programme, project, series, block)"
            " VALUES (%s, %s, %s, %s, int8range(%s, %s, '[]')) ON CONFLICT DO NOTHING",
            [(*key, str(one.series), one.first, one.last) for key, one in held],
        )


#: Rows of registries whose serials are another programme's (a CER held at Gold Standard), and what
#: other bridges hold, each against the rows of that series' own programme. Blocks of one kind and
#: programme in one series are disjoint: those that share a serial come from one btree.
_SHARED = text("""
    WITH elsewhere AS (
        SELECT 'registry' AS source, b.programme, b.project, b.series_id, b.block,
               s.programme AS owner
          FROM registry_blocks b JOIN series s ON s.id = b.series_id
         WHERE b.programme <> s.programme
        UNION ALL
        SELECT h.source, h.programme, h.project, s.id, h.block, s.programme
          FROM bridge_holdings h JOIN series s ON s.name = h.series)
    SELECT e.source, e.programme, e.project, r.programme AS other, r.project AS other_project,
           range_agg(e.block * r.block) AS shared
      FROM elsewhere e
     CROSS JOIN (VALUES ('partition'), ('issuance'), ('retirement')) AS kinds(kind)
     CROSS JOIN LATERAL (
        (SELECT b.programme, b.project, b.block FROM registry_blocks b
          WHERE b.series_id = e.series_id AND b.kind = kinds.kind AND b.programme = e.owner
            AND lower(b.block) > lower(e.block) AND lower(b.block) < upper(e.block))
        UNION ALL
        (SELECT b.programme, b.project, b.block FROM registry_blocks b
          WHERE b.series_id = e.series_id AND b.kind = kinds.kind AND b.programme = e.owner
            AND lower(b.block) <= lower(e.block) ORDER BY lower(b.block) DESC LIMIT 1)) r
     WHERE upper(r.block) > lower(e.block)
     GROUP BY 1, 2, 3, 4, 5
""")


def shared_serials(connection: Connection) -> dict[tuple[Key, Key], int]:
    """Pairs, in order, that list the same serials, and how many tonnes."""
    found: dict[tuple[Key, Key], int] = {}
    for row in connection.execute(_SHARED):
        one = Key(row.source, row.programme, row.project)
        other = Key(REGISTRY, row.other, row.other_project)
        pair = (one, other) if one < other else (other, one)
        tonnes = sum(part.upper - part.lower for part in row.shared)
        # The same serials are found from both sides.
        found[pair] = max(tonnes, found.get(pair, 0))
    return found


# ── cases ────────────────────────────────────────────────────────────────────────────────────


def save_cases(connection: Connection, found: Sequence[Assessment]) -> list[int]:
    """Keep what was found; a case that is known gets the newer evidence. Returns changed ids."""
    changed = []
    for one in found:
        reasons = Jsonb([list(reason) for reason in one.reasons])
        values = [*one.left, *one.right, one.kind.value, one.score, reasons, one.evidence]
        row = raw(connection).execute(_KEEP, values).fetchone()
        if row is not None:
            changed.append(int(row[0]))
            _settle(connection, row[0])
    return changed


_KEEP = """
    INSERT INTO duplicate_cases (left_source, left_programme, left_project, right_source,
        right_programme, right_project, kind, score, reasons, evidence, state, left_blocked,
        right_blocked)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'noted', false, false)
    ON CONFLICT (left_source, left_programme, left_project, right_source, right_programme,
        right_project)
    DO UPDATE SET kind = excluded.kind, score = excluded.score, reasons = excluded.reasons,
        evidence = excluded.evidence, changed_at = now()
        WHERE duplicate_cases.evidence <> excluded.evidence
    RETURNING id
"""


def known_pairs(connection: Connection) -> set[tuple[Key, Key]]:
    """Pairs that have a case: they are judged again even if nothing pairs them any more."""
    table = tables.duplicate_cases
    rows = connection.execute(select(table))
    return {
        (
            Key(row.left_source, row.left_programme, row.left_project),
            Key(row.right_source, row.right_programme, row.right_project),
        )
        for row in rows
    }


def decide(
    connection: Connection,
    case_id: int,
    decision: str,
    who: str,
    why: str,
    keep: str | None,
    evidence: str | None = None,
) -> DuplicateCase:
    """Record a person's decision; the newest one again changes nothing (L10).

    `distinct` frees both sides. `duplicate` blocks both, or all but `keep` (`VCS-1340`).
    `evidence`: what the person saw. Raises NotFound, InvalidValue, Conflict when the case has other
    evidence by now.
    """
    connection.execute(
        select(tables.duplicate_cases.c.id)
        .where(tables.duplicate_cases.c.id == case_id)
        .with_for_update()
    )
    case = get_case(connection, case_id)
    if decision not in (DISTINCT, DUPLICATE):
        raise InvalidValue("decision", decision, "is neither distinct nor duplicate")
    for field, said in (("who", who), ("why", why)):
        if not said.strip():
            raise InvalidValue(field, said, "is empty: a decision names a person and a reason")
    if keep is not None and (
        decision != DUPLICATE or keep not in (str(case.left), str(case.right))
    ):
        raise InvalidValue("keep", keep, f"is no side of a duplicate: {case.left} or {case.right}")
    if evidence not in (None, case.evidence):
        raise Conflict(
            f"case {case_id} has other evidence by now: look at it again", evidence=case.evidence
        )
    newest = next(iter(case.decisions), None)
    again = (decision, keep, who.strip(), why.strip(), case.evidence)
    if newest is not None and again == (
        newest.decision, newest.keep, newest.who, newest.why, newest.evidence
    ):  # fmt: skip
        return case
    connection.execute(
        insert(tables.duplicate_decisions).values(
            case_id=case_id,
            decision=decision,
            keep=keep,
            who=who.strip(),
            why=why.strip(),
            score=case.score,
            evidence=case.evidence,
        )
    )
    _settle(connection, case_id)
    return get_case(connection, case_id)


def _settle(connection: Connection, case_id: int) -> None:
    """Write down what the evidence and the newest decision make of a case."""
    case = get_case(connection, case_id)
    state, left, right = standing(case)
    raw(connection).execute(
        "UPDATE duplicate_cases SET state = %s, left_blocked = %s, right_blocked = %s"
        " WHERE id = %s",
        [state, left, right, case_id],
    )


def require_no_duplicates(connection: Connection, programme: str, project: str) -> None:
    """Raises DuplicateOpen while a case blocks minting credits of a project."""
    found = open_duplicates(connection, programme, project)
    if found:
        named = "; ".join(
            f"case {case.id} ({case.score} points, {case.state}) with"
            f" {case.right if str(case.left) == f'{programme}-{project}' else case.left}"
            for case in found
        )
        raise DuplicateOpen(
            f"{programme}-{project} may be credited twice: {named}; `causeway duplicates` shows why"
            " and takes a decision",
            programme=programme,
            project=project,
            cases=[str(case.id) for case in found],
        )
