"""Positions that certificates consumed: what the bridge asks the registries to retire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from backend.domain.positions import Positions
from backend.domain.serials import Interval
from backend.store.queries.certificates import Consumption, consumption

_NEW = text(
    "SELECT c.certificate_id, c.class_id, c.exited, c.open_tonne, c.dust, c.kilograms"
    " FROM certificates c WHERE c.block_number <= :block AND NOT EXISTS ("
    "   SELECT FROM bridge_flows f WHERE f.kind = 'certificate'"
    "   AND f.id = c.certificate_id::text)"
    " ORDER BY c.block_number, c.log_index LIMIT :limit"
)
_ONE = text(
    "SELECT class_id, exited, open_tonne, dust, kilograms FROM certificates"
    " WHERE certificate_id = :certificate"
)
_STATE = text(
    "SELECT minted, exited, open_tonne, dust FROM position_changes"
    " WHERE class_id = :class_id AND block_number <= :block"
    " ORDER BY block_number DESC, log_index DESC LIMIT 1"
)
_TEXTS = text(
    "SELECT beneficiary, purpose, period, instruction_hash FROM certificate_details"
    " WHERE certificate_id = :certificate"
)
_SETTLED = text(
    "SELECT first_position, tonnes, 'confirmed' AS how FROM registry_confirmations"
    " WHERE class_id = :class_id"
    " UNION ALL SELECT first_position, tonnes, 'made good' FROM made_good"
    " WHERE class_id = :class_id"
    " UNION ALL SELECT first_position, tonnes, 'gone' FROM settled_positions"
    " WHERE class_id = :class_id ORDER BY 1"
)
#: Serials of deliveries that have neither been finalised nor refunded.
_DELIVERED = text(
    "SELECT d.delivery_id FROM deliveries d WHERE d.series_hash = :series"
    " AND d.first_serial <= :last AND d.first_serial + d.tonnes - 1 >= :first AND NOT EXISTS ("
    "   SELECT FROM delivery_changes c WHERE c.delivery_id = d.delivery_id"
    "   AND c.act IN ('finalised', 'refunded', 'refunded_disputed')) LIMIT 1"
)

#: The account of the receipt by which a serial came into trust, the newest first.
_ACCOUNT = text(
    "SELECT m.account FROM class_blocks b JOIN receipts_minted m ON m.receipt_id = b.receipt_id"
    " WHERE b.series_hash = :series AND b.first <= :serial AND b.last >= :serial"
    " ORDER BY m.block_number DESC, m.log_index DESC LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Words:
    """What a public certificate says, for the registry's form."""

    beneficiary: str
    purpose: str
    period: str
    instruction_hash: str


@dataclass(frozen=True, slots=True)
class SettledRun:
    """Positions [first, end) of a class that are settled: `confirmed`, `made good` or gone."""

    first: int
    end: int
    how: str


def new_certificates(connection: Connection, block: int, limit: int = 200) -> list[int]:
    """Certificates up to a final chain block that the bridge has not taken up, oldest first."""
    rows = connection.execute(_NEW, {"block": block, "limit": limit})
    return [int(row.certificate_id) for row in rows]


def consumed_by(connection: Connection, certificate_id: int) -> tuple[int, Sequence[Consumption]]:
    """Class and pieces of one certificate, in the order they were taken."""
    row = connection.execute(_ONE, {"certificate": certificate_id}).one()
    class_id = int(row.class_id)
    return class_id, consumption(class_id, row.exited, row.open_tonne, row.dust, row.kilograms)


def counters_at(connection: Connection, class_id: int, block: int) -> Positions:
    """A class's counters after a chain block."""
    row = connection.execute(_STATE, {"class_id": class_id, "block": block}).first()
    if row is None:
        return Positions()
    return Positions(row.minted, row.exited, row.open_tonne if row.dust else 0, row.dust)


def words_of(connection: Connection, certificate_id: int) -> Words | None:
    """The texts of a public certificate; None when it is private."""
    row = connection.execute(_TEXTS, {"certificate": certificate_id}).first()
    if row is None:
        return None
    return Words(row.beneficiary, row.purpose, row.period, row.instruction_hash)


def details_hash_of(connection: Connection, certificate_id: int) -> str:
    """The hash of a certificate's details, 0x hex; raises NoResultFound."""
    query = text("SELECT details_hash FROM certificates WHERE certificate_id = :certificate")
    return str(connection.execute(query, {"certificate": certificate_id}).scalar_one())


def open_delivery_of(connection: Connection, serials: Iterable[Interval]) -> int | None:
    """An open delivery that names one of these serials, None when there is none."""
    for one in serials:
        given = {"series": "0x" + one.series.id.hex(), "first": one.first, "last": one.last}
        found = connection.execute(_DELIVERED, given).scalar()
        if found is not None:
            return int(found)
    return None


def account_of(connection: Connection, serials: Interval) -> bytes | None:
    """The trust account that the first of these serials came into trust by."""
    given = {"series": "0x" + serials.series.id.hex(), "serial": serials.first}
    found = connection.execute(_ACCOUNT, given).scalar()
    return None if found is None else bytes.fromhex(found[2:])


def settled_runs(connection: Connection, class_id: int) -> list[SettledRun]:
    """Everything settled in a class, by position."""
    return [
        SettledRun(row.first_position, row.first_position + row.tonnes, row.how)
        for row in connection.execute(_SETTLED, {"class_id": class_id})
    ]
