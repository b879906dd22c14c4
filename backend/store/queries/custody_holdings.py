"""What the custodian holds by its receipts and the newest exports, where no registry is asked."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

from backend.domain.serials import Interval, Series, subtract
from backend.store.queries.confirmed import interval_of

#: Intervals of receipts that are not cancelled or failed, with the account they name.
_NAMED = text(
    "SELECT b.id, s.name, lower(b.block) AS first, upper(b.block) - 1 AS last, r.account"
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
_CONFIRMED = text("SELECT actual FROM registry_confirmations")
#: What finalised deliveries let go since the receipt was minted; a newer receipt may have it again.
_RELEASED = text(
    "SELECT b.id, s.name, g.first, g.last FROM custody_blocks b"
    " JOIN receipts_minted m ON m.receipt_id = b.receipt_id"
    " JOIN serials_released g ON g.series_id = b.series_id"
    " AND (g.block_number, g.log_index) > (m.block_number, m.log_index)"
    " AND int8range(g.first, g.last, '[]') && b.block JOIN series s ON s.id = g.series_id"
)


_HOLDING = text(
    "SELECT DISTINCT b.receipt_id FROM custody_blocks b JOIN series s ON s.id = b.series_id"
    " WHERE s.name = :series AND b.block && int8range(:first, :last, '[]') ORDER BY 1"
)


def receipts_holding(connection: Connection, serials: Interval) -> list[str]:
    """Receipts that name one of these serials and stand."""
    given = {"series": str(serials.series), "first": serials.first, "last": serials.last}
    return [str(one) for one in connection.execute(_HOLDING, given).scalars()]


def live_in_custody(
    connection: Connection, asked: Collection[bytes]
) -> list[tuple[Interval, bytes]]:
    """(serials, account) that are live by receipts and exports; accounts in `asked` left out."""
    released: dict[int, list[Interval]] = {}
    for row in connection.execute(_RELEASED):
        serials = Interval(Series.parse(row.name), row.first, row.last)
        released.setdefault(row.id, []).append(serials)
    by_account: dict[bytes, list[Interval]] = {}
    for row in connection.execute(_NAMED):
        account = bytes.fromhex(row.account[2:])
        if account not in asked:
            serials = Interval(Series.parse(row.name), row.first, row.last)
            left = subtract([serials], released.get(row.id, []))
            by_account.setdefault(account, []).extend(left)
    if not by_account:
        return []
    gone = [
        Interval(Series.parse(row.name), row.first, row.last) for row in connection.execute(_GONE)
    ]
    for row in connection.execute(_CONFIRMED):
        gone += [interval_of(struct) for struct in row.actual]
    return [
        (serials, account)
        for account, held in by_account.items()
        for serials in subtract(held, gone)
    ]
