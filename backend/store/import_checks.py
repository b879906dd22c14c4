"""What is plain about a step's rows is found by ordered look-ups in the database; the rest is not.

A verdict agrees with `plan_merge` or says `review`. Rows under review go to the pure rules with
everything they must see. What is plain: a row that shares no serial with
another row or a known piece, and, where events are checked against the other kind, agrees with it;
a row that repeats a known one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from backend.domain.credits import BlockRecord
from backend.domain.serials import PARTY_SERIES, Series
from backend.store.block_rows import record_of
from backend.store.database import raw
from backend.store.import_rows import Bounds, Staging, series_of

_WITHIN = "(series_id, first) >= (%(s0)s, %(f0)s) AND (series_id, first) < (%(s1)s, %(f1)s)"

#: One kind and, by series, the order of the staging's own index: what is no sort and one window.
_WINDOWED = f"""
    SELECT ctid AS place, *, max(last) OVER w AS reached, lead(first) OVER w AS following
      FROM {{rows}} WHERE {_WITHIN}
    WINDOW w AS (PARTITION BY series_id ORDER BY first
                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
"""
_RIVAL = "o.programme <> s.programme OR o.first <= o.reached OR o.following <= o.last"
#: Rows of a step that are not plainly new: few of a first import, all of a repeated one.
_MARKED = "INSERT INTO marked (place, verdict) "
#: Kept by the connection: a table that ends with its transaction makes the commit wait for the
#: disk.
_TABLE = """
    CREATE TEMP TABLE IF NOT EXISTS marked (place tid NOT NULL, verdict text NOT NULL)
        ON COMMIT DELETE ROWS
"""
#: Nothing is known of these series: only rows of the export can stand in each other's way.
_ALONE = f"""
    {_MARKED} SELECT o.place, 'review' AS verdict
      FROM ({_WINDOWED}) o JOIN series s ON s.id = o.series_id WHERE {_RIVAL}
"""
_MIXED = f"{_MARKED} SELECT ctid AS place, 'review' AS verdict FROM {{rows}} WHERE {_WITHIN}"
_SAME_VINTAGE = """{a}.vintage_start IS NOT DISTINCT FROM {b}.vintage_start
        AND {a}.vintage_end IS NOT DISTINCT FROM {b}.vintage_end"""


def _agrees(a: str, b: str) -> str:
    """Whether events of two kinds over the same serials are of the same credits."""
    return (
        f"{a}.project = {b}.project AND {_SAME_VINTAGE.format(a=a, b=b)}"
        f" AND coalesce({a}.facts ->> 'product_type' = {b}.facts ->> 'product_type', true)"
    )


#: Beside what is known, assembled of what a step needs. `k` is the piece of the row's own ledger
#: that begins last up to the row's end: pieces are disjoint, so when it does not reach the row none
#: does. `i` is the issued block that a retirement would lie in: the last that begins up to it,
#: found in the ordered beginnings of its series, which is several times cheaper than an index.
_TWIN = """
      LEFT JOIN LATERAL (
        SELECT b.id, lower(b.block) AS first, upper(b.block) - 1 AS last, b.project,
               b.project_name, b.vintage_start, b.vintage_end, b.batch, b.status, b.labels, b.facts
          FROM registry_blocks b
         WHERE b.series_id = o.series_id AND b.kind = o.kind AND b.programme = o.programme
           AND lower(b.block) <= o.last ORDER BY lower(b.block) DESC LIMIT 1) k ON true
"""
_TWIN_CASES = f"""
        WHEN k.first = o.first AND k.last = o.last AND k.project = o.project
         AND k.project_name = o.project_name AND {_SAME_VINTAGE.format(a="k", b="o")}
         AND k.batch IS NOT DISTINCT FROM o.batch AND k.status = o.status
         AND k.labels = o.labels AND k.facts = o.facts THEN 'same'
        WHEN k.last >= o.first THEN 'review'
"""
_ISSUED = """
      LEFT JOIN (SELECT series_id, array_agg(first ORDER BY first) AS firsts,
                        array_agg(id ORDER BY first) AS ids
                   FROM issued GROUP BY series_id) h ON h.series_id = o.series_id
      LEFT JOIN issued i ON i.id = h.ids[width_bucket(o.first, h.firsts)]
"""
# OFFSET 0: an import meets a table without statistics, and must not read all of it at every step.
_ISSUED_ROWS = """
    WITH issued AS MATERIALIZED (
        SELECT b.* FROM series s CROSS JOIN LATERAL (
            SELECT series_id, id, lower(block) AS first, upper(block) - 1 AS last, project,
                   vintage_start, vintage_end, facts FROM registry_blocks
             WHERE series_id = s.id AND kind = 'issuance' AND programme = s.programme OFFSET 0) b
         WHERE s.id = ANY(%(series)s))
"""
_ISSUED_CASES = f"""
        WHEN o.kind = 'retirement' AND NOT CASE WHEN i.id IS NULL THEN h.series_id IS NULL
             ELSE i.last >= o.last AND {_agrees("i", "o")} END THEN 'review'
"""


def _beside(same_kind: bool, issued: bool) -> str:
    """The verdicts of rows beside known ones of their own kind and beside issued blocks."""
    return f"""
    {_MARKED} {_ISSUED_ROWS if issued else ""} SELECT * FROM (
    SELECT o.place, CASE WHEN {_RIVAL} OR o.series_id = ANY(%(bad)s) THEN 'review'
        {_ISSUED_CASES if issued else ""}
        {_TWIN_CASES if same_kind else ""}
        ELSE 'new' END AS verdict
      FROM ({_WINDOWED}) o JOIN series s ON s.id = o.series_id
      {_TWIN if same_kind else ""}
      {_ISSUED if issued else ""}) found
     WHERE verdict <> 'new'
    """


#: Series in which issuances of the step do not plainly agree with known retirements and views: in
#: a batch one lies outside every issued block, in a party's a block cuts one or is of another kind.
_BAD = f"""
    SELECT DISTINCT r.series_id FROM (SELECT *, lower(block) AS first, upper(block) - 1 AS last
        FROM registry_blocks WHERE series_id = ANY(%(series)s) AND kind <> 'partition') r
      JOIN series s ON s.id = r.series_id
      LEFT JOIN LATERAL (
        SELECT * FROM {{rows}} n WHERE n.series_id = r.series_id AND n.kind = 'issuance'
           AND n.first <= CASE WHEN s.programme = '{PARTY_SERIES}' THEN r.last ELSE r.first END
         ORDER BY n.first DESC LIMIT 1) n ON true
      LEFT JOIN LATERAL (
        SELECT upper(b.block) - 1 AS last FROM registry_blocks b
         WHERE b.series_id = r.series_id AND b.kind = 'issuance' AND b.programme = s.programme
           AND lower(b.block) <= r.first ORDER BY lower(b.block) DESC LIMIT 1) k ON true
     WHERE (r.kind = 'retirement' OR r.programme <> s.programme)
       AND CASE WHEN s.programme = '{PARTY_SERIES}'
           THEN n.last >= r.first AND NOT (n.first <= r.first AND n.last >= r.last
                AND (r.programme <> s.programme OR ({_agrees("n", "r")})))
           ELSE NOT coalesce(n.last >= r.last, false) AND NOT coalesce(k.last >= r.last, false) END
"""


_NEW = f"""
    INSERT INTO registry_blocks (series_id, block, kind, programme, project, project_name,
        vintage_start, vintage_end, batch, status, cohort, vocabulary, labels, unmapped, facts,
        first_import, last_import, source_row, source_line)
    SELECT s.series_id, int8range(s.first, s.last, '[]'), s.kind, s.programme, s.project,
        s.project_name, s.vintage_start, s.vintage_end, s.batch, s.status, s.cohort, s.vocabulary,
        s.labels, s.unmapped, s.facts,
        %(import)s, %(import)s, s.row, s.line
      FROM {{rows}} s WHERE {_WITHIN} AND NOT EXISTS (SELECT FROM marked m WHERE m.place = s.ctid)
     ORDER BY s.series_id, s.first
"""
_HELD = """
    SELECT kind FROM (VALUES ('partition'), ('issuance'), ('retirement')) AS kinds(kind)
     WHERE EXISTS (SELECT FROM registry_blocks b
                    WHERE b.series_id = ANY(%s) AND b.kind = kinds.kind)
"""


def parameters(bounds: Bounds) -> dict[str, Any]:
    """What `WITHIN` names."""
    (s0, f0), (s1, f1) = bounds
    return {"s0": s0, "f0": f0, "s1": s1, "f1": f1}


def judge(connection: Connection, staging: Staging, bounds: Bounds, mixed: bool) -> dict[str, int]:
    """Mark the rows of a step that are not plainly new; count the rows `same`, `new` and `review`.

    `mixed`: the export holds issuances and retirements at once, which only the rules can judge.
    """
    driver = raw(connection)
    values = parameters(bounds)
    # The defaults of Postgres would sort a step on disk. A cache of look-ups that are never asked
    # twice costs more than they do.
    driver.execute("SET LOCAL work_mem = '32MB'; SET LOCAL enable_memoize = off")
    driver.execute(_TABLE)
    sizes = dict(
        driver.execute(
            staging.sql(
                f"SELECT series_id, count(*) FROM {{rows}} WHERE {_WITHIN} GROUP BY series_id"
            ),
            values,
        ).fetchall()
    )
    if mixed:
        driver.execute(staging.sql(_MIXED), values)
    else:
        series = list(sizes)
        held = {row[0] for row in driver.execute(_HELD, [series])}
        if not held:
            driver.execute(staging.sql(_ALONE), values)
        else:
            first = driver.execute(staging.sql("SELECT kind FROM {rows} LIMIT 1")).fetchone()
            kind = first[0] if first else ""
            bad = []
            if kind == "issuance":
                bad = [row[0] for row in driver.execute(staging.sql(_BAD), {"series": series})]
            statement = _beside(kind in held, kind == "retirement" and "issuance" in held)
            driver.execute(staging.sql(statement), values | {"series": series, "bad": bad})
    found = {"same": 0, "review": 0}
    found |= dict(
        driver.execute("SELECT verdict, count(*) FROM marked GROUP BY verdict").fetchall()
    )
    return found | {"new": sum(sizes.values()) - sum(found.values())}


def under_review(
    connection: Connection, staging: Staging, bounds: Bounds
) -> tuple[dict[int, Series], list[BlockRecord]]:
    """The rows of a judged step for the rules, in the order of the file, and their series."""
    found = raw(connection).execute(
        staging.sql(
            "SELECT row, line, series_id, first, last, kind, programme, project, project_name,"
            " vintage_start, vintage_end, batch, status, labels, facts"
            " FROM {rows} r JOIN marked m ON m.place = r.ctid"
            f" WHERE verdict = 'review' AND {_WITHIN} ORDER BY row"
        ),
        parameters(bounds),
    )
    rows = found.fetchall()
    series = series_of(connection, sorted({row[2] for row in rows}))
    return series, [record_of(series, row) for row in rows]


def store_new(connection: Connection, staging: Staging, bounds: Bounds, import_id: int) -> int:
    """Store the plainly new rows of a judged step, in the order of their serials; how many."""
    named = parameters(bounds) | {"import": import_id}
    return raw(connection).execute(staging.sql(_NEW), named).rowcount
