"""What is plain about a step's rows is found by ordered look-ups in the database; the rest is not.

A verdict agrees with `plan_merge` or says `review`; rows without one are new. Rows under review go
to the pure rules with everything they must see. What is plain: a row that shares no serial with
another row or a known piece, and, where events are checked against the other kind, agrees with it;
a row that repeats a known one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from backend.domain.serials import PARTY_SERIES
from backend.store.database import raw
from backend.store.import_rows import Bounds, Staging

_WITHIN = "(series_id, first) >= (%(s0)s, %(f0)s) AND (series_id, first) < (%(s1)s, %(f1)s)"
WITHIN = _WITHIN.replace("series_id, first", "s.series_id, s.first")

_WINDOWED = f"""
    SELECT *, max(last) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
           lead(first) OVER w AS following
      FROM {{rows}} WHERE {_WITHIN}
    WINDOW w AS (PARTITION BY series_id, kind, programme ORDER BY first, last, row)
"""
_RIVAL = "o.programme <> s.programme OR o.first <= o.reached OR o.following <= o.last"
#: Nothing is known of these series: only rows of the export can stand in each other's way.
_ALONE = f"""
    CREATE TEMP TABLE verdicts ON COMMIT DROP AS
    SELECT o.row, 'review' AS verdict FROM ({_WINDOWED}) o JOIN series s ON s.id = o.series_id
     WHERE {_RIVAL}
"""
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
#: does. `i` is the issued block that a retirement would lie in.
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
      LEFT JOIN LATERAL (
        SELECT b.id, upper(b.block) - 1 AS last, b.project, b.vintage_start, b.vintage_end, b.facts
          FROM registry_blocks b
         WHERE b.series_id = o.series_id AND b.kind = 'issuance' AND b.programme = o.programme
           AND lower(b.block) <= o.first ORDER BY lower(b.block) DESC LIMIT 1) i ON true
"""
_ISSUED_CASES = f"""
        WHEN o.kind = 'retirement' AND NOT CASE WHEN i.id IS NULL
             THEN NOT EXISTS (SELECT FROM registry_blocks b WHERE b.series_id = o.series_id
                                 AND b.kind = 'issuance' AND b.programme = o.programme)
             ELSE i.last >= o.last AND {_agrees("i", "o")} END THEN 'review'
"""


def _beside(same_kind: bool, issued: bool) -> str:
    """The verdicts of rows beside known ones of their own kind and beside issued blocks."""
    return f"""
    CREATE TEMP TABLE verdicts ON COMMIT DROP AS SELECT * FROM (
    SELECT o.row, CASE WHEN {_RIVAL} OR o.series_id = ANY(%(bad)s) THEN 'review'
        {_ISSUED_CASES if issued else ""}
        {_TWIN_CASES if same_kind else ""}
        ELSE 'new' END AS verdict
      FROM ({_WINDOWED}) o JOIN series s ON s.id = o.series_id
      {_TWIN if same_kind else ""}
      {_ISSUED if issued else ""}) judged
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
    """Make the temporary table `verdicts` (row, verdict) of a step; count `same` and `review`.

    `mixed`: the export holds issuances and retirements at once, which only the rules can judge.
    """
    driver = raw(connection)
    values = parameters(bounds)
    if mixed:
        statement = "CREATE TEMP TABLE verdicts ON COMMIT DROP AS SELECT row, 'review' AS verdict"
        driver.execute(staging.sql(f"{statement} FROM {{rows}} WHERE {_WITHIN}"), values)
    else:
        series = [
            row[0]
            for row in driver.execute(
                staging.sql(f"SELECT DISTINCT series_id FROM {{rows}} WHERE {_WITHIN}"), values
            )
        ]
        held = {row[0] for row in driver.execute(_HELD, [series])}
        if not held:
            driver.execute(staging.sql(_ALONE), values)
        else:
            first = driver.execute(staging.sql("SELECT kind FROM {rows} LIMIT 1")).fetchone()
            kind = first[0] if first else ""
            bad = []
            if kind == "issuance":
                bad = [row[0] for row in driver.execute(staging.sql(_BAD), {"series": series})]
            # A cache of look-ups that are never asked twice costs more than they do.
            driver.execute("SET LOCAL enable_memoize = off")
            statement = _beside(kind in held, kind == "retirement" and "issuance" in held)
            driver.execute(staging.sql(statement), values | {"bad": bad})
    found = driver.execute("SELECT verdict, count(*) FROM verdicts GROUP BY verdict").fetchall()
    return {"same": 0, "review": 0} | dict(found)
