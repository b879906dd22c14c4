"""What the custodian holds by its receipts and the newest exports, where no registry is asked."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

from backend.domain.serials import Interval, Series, subtract

#: Intervals of receipts that are not cancelled or failed, with the account they name.
_NAMED = text(
    "SELECT s.name, lower(b.block) AS first, upper(b.block) - 1 AS last, r.account"
    " FROM custody_blocks b JOIN receipts r ON r.id = b.receipt_id"
    " JOIN series s ON s.id = b.series_id ORDER BY s.name, first"
)
#: What the registries' exports show as gone among them: retired and cancelled rows.
_GONE = text(
    "SELECT s.name, lower(r.block) AS first, upper(r.block) - 1 AS last FROM registry_blocks r"
    " JOIN series s ON s.id = r.series_id"
    " WHERE r.series_id IN (SELECT DISTINCT series_id FROM custody_blocks)"
    " AND (r.kind = 'retirement' OR r.status NOT IN ('active', 'issued'))"
)
#: What the registries confirmed as retired: gone before any export shows it.
_CONFIRMED = text(
    "SELECT part->'series'->>'programme' AS programme, part->'series'->'codes' AS codes,"
    " (part->>'first')::bigint AS first, (part->>'last')::bigint AS last"
    " FROM registry_confirmations c, jsonb_array_elements(c.actual) AS part"
)
#: What a finalised delivery let go and custody does not know yet (`store.releases`).
_RELEASED = text(
    "SELECT s.name, (e.args->>'first')::bigint AS first, (e.args->>'last')::bigint AS last"
    " FROM chain_events e JOIN series s ON s.hash = e.args->>'seriesId'"
    " WHERE e.contract = 'Trust' AND e.name = 'SerialsReleased' AND NOT EXISTS ("
    "   SELECT FROM bridge_flows f WHERE f.kind = 'release'"
    "   AND f.id = e.transaction_hash || ':' || (e.args->>'first'))"
)


def live_in_custody(
    connection: Connection, asked: Collection[bytes]
) -> list[tuple[Interval, bytes]]:
    """(serials, account) that are live by receipts and exports; accounts in `asked` left out."""
    by_account: dict[bytes, list[Interval]] = {}
    for row in connection.execute(_NAMED):
        account = bytes.fromhex(row.account[2:])
        if account not in asked:
            serials = Interval(Series.parse(row.name), row.first, row.last)
            by_account.setdefault(account, []).append(serials)
    if not by_account:
        return []
    gone = [
        Interval(Series.parse(row.name), row.first, row.last) for row in connection.execute(_GONE)
    ]
    for row in connection.execute(_CONFIRMED):
        codes = tuple(int(code, 0) if isinstance(code, str) else code for code in row.codes)
        gone.append(Interval(Series(row.programme, codes), row.first, row.last))
    for row in connection.execute(_RELEASED):
        gone.append(Interval(Series.parse(row.name), row.first, row.last))
    return [
        (serials, account)
        for account, held in by_account.items()
        for serials in subtract(held, gone)
    ]
