"""The ledger of kept credits: every serial in one place, retired once, owners' tonnes exact.

Each act is one transaction under the account's lock, with the state of its flow: a crash leaves
all of it or nothing (L10). The exclusion constraint keeps a serial in one row (L2), a trigger keeps
retired rows as they are (L4); what is retired was kept in that account, in that class, here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text, update
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from backend.domain.instructions import RetirementInstruction
from backend.domain.ledger import LedgerClass, RetirementOrder, check_serials, interval_of
from backend.domain.registry_answers import Answer
from backend.domain.registry_requests import SerialRange
from backend.domain.serials import Interval, Series, subtract
from backend.errors import Conflict, InvalidValue, NotEnough, NotFound, SerialsOverlap
from backend.store import tables
from backend.store.backing_index import ensure_series
from backend.store.flows import Flow, add_flow, move_flow
from backend.store.ledger_tables import (
    ledger_blocks,
    ledger_deposits,
    ledger_orders,
    ledger_retired,
)
from backend.store.queries.custody_holdings import receipts_holding

#: The kind of the flows that ask registries for kept serials; each is a part of one order.
LEDGER_RETIREMENT = "ledger-retirement"
_EXCLUSION_VIOLATION = "23P01"
_TOUCHING = text(
    "SELECT b.*, s.name FROM series s JOIN ledger_blocks b"
    " ON int4range(b.series_id, b.series_id, '[]') = int4range(s.id, s.id, '[]')"
    " WHERE s.name = :series AND b.block && int8range(:first, :last, '[]') ORDER BY b.block"
)
#: Flows of an order: their ids begin with it, and `;` follows `:`.
_PARTS = text(
    "SELECT count(*) FROM bridge_flows WHERE kind = 'ledger-retirement'"
    " AND id > :order || ':' AND id < :order || ';' AND content ->> 'order' = :order"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Kept serials of one row. `part`: the flow that asks for them, None while nothing does."""

    id: int
    serials: Interval
    deposit: str
    account: str
    owner: str
    kept_class: LedgerClass
    part: str | None
    retired: bool


def lock_account(connection: Connection, account: str) -> None:
    """One act at a time on an account's ledger, to the end of the transaction."""
    key = {"key": f"ledger {account}"}
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 2))"), key)


# ── keeping ──────────────────────────────────────────────────────────────────────────────────


def keep(
    connection: Connection,
    deposit: str,
    account: str,
    owner: str,
    kept: Sequence[tuple[SerialRange, LedgerClass]],
    now: int,
) -> None:
    """Take serials into custody for an owner; the same deposit again changes nothing (L10).

    Raises SerialsOverlap when a serial is kept already, or is in trust under a receipt (L2).
    """
    lock_account(connection, account)
    added = connection.execute(
        upsert(ledger_deposits)
        .values(
            reference=deposit,
            account=account,
            owner=owner,
            tonnes=sum(serials.tonnes for serials, _ in kept),
            serials=[str(serials) for serials, _ in kept],
            kept_at=now,
        )
        .on_conflict_do_nothing()
        .returning(ledger_deposits.c.reference)
    ).first()
    if added is None:
        return
    parts = [(interval_of(serials), kept_class) for serials, kept_class in kept]
    ids = ensure_series(connection, {interval.series for interval, _ in parts})
    # In one order everywhere, so that two deposits wait for each other in no circle.
    for interval, kept_class in sorted(parts):
        for receipt in receipts_holding(connection, interval):
            raise SerialsOverlap(f"{interval} is in trust (receipt {receipt})", receipt_id=receipt)
        row = {
            "series_id": ids["0x" + interval.series.id.hex()],
            "block": Range(interval.first, interval.last, bounds="[]"),
            "deposit": deposit,
            "account": account,
            "owner": owner,
            "programme": kept_class.programme,
            "project": kept_class.project,
            "vintage_start": kept_class.vintage_start,
            "vintage_end": kept_class.vintage_end,
            "labels": list(kept_class.labels),
        }
        try:
            with connection.begin_nested():
                connection.execute(insert(ledger_blocks).values(row))
        except IntegrityError as error:
            if getattr(error.orig, "sqlstate", None) != _EXCLUSION_VIOLATION:
                raise
            taken = touching(connection, interval)[0]
            raise SerialsOverlap(
                f"{interval} overlaps {taken.serials}, which deposit {taken.deposit} brought",
                series=str(interval.series),
                first=interval.first,
                last=interval.last,
                deposit=taken.deposit,
            ) from error


# ── orders ───────────────────────────────────────────────────────────────────────────────────


def take_order(
    connection: Connection,
    order: RetirementOrder,
    instruction: RetirementInstruction,
    signature: bytes,
    now: int,
    deadline: int,
) -> None:
    """Store a signed order and reserve its serials: one flow for each run of one class.

    The same order again changes nothing; raises Conflict when its reference says something else,
    InvalidValue or NotEnough when a serial is not the owner's to retire.
    """
    lock_account(connection, order.account)
    known = connection.execute(
        select(ledger_orders).where(ledger_orders.c.reference == order.reference)
    ).first()
    if known is not None:
        if order_of(known) != order:
            rule = f"reference {order.reference} was used for another retirement"
            raise Conflict(rule, reference=order.reference)
        return
    connection.execute(
        insert(ledger_orders).values(
            reference=order.reference,
            programme=instruction.programme,
            account=order.account,
            owner=order.owner,
            tonnes=order.tonnes,
            serials=[str(one) for one in order.serials],
            instruction=instruction.as_json(),
            instruction_hash="0x" + order.instruction_hash.hex(),
            signature=signature,
            ordered_at=now,
        )
    )
    runs: list[list[Piece]] = []
    for asked in order.serials:
        for piece in _cut_out(connection, interval_of(asked)):
            _require_free(piece, order)
            last = runs[-1][-1] if runs else None
            if last is not None and _continues(last, piece):
                runs[-1].append(piece)
            else:
                runs.append([piece])
    for number, run in enumerate(runs, 1):
        _begin_part(connection, order.reference, number, order.account, run, deadline)


def _continues(one: Piece, after: Piece) -> bool:
    """Whether two pieces are one run that one request may name."""
    return (
        one.serials.series == after.serials.series
        and one.serials.last + 1 == after.serials.first
        and one.kept_class == after.kept_class
    )


def _require_free(piece: Piece, order: RetirementOrder) -> None:
    if piece.account != order.account:
        raise InvalidValue("serials", str(piece.serials), f"are kept in {piece.account}")
    if piece.owner != order.owner:
        raise InvalidValue("serials", str(piece.serials), f"are not {order.owner}'s")
    if piece.retired:
        raise InvalidValue("serials", str(piece.serials), f"are retired ({piece.part})")
    if piece.part is not None:
        raise NotEnough(f"{piece.serials} wait for retirement {piece.part}", part=piece.part)


def _begin_part(
    connection: Connection,
    reference: str,
    number: int,
    account: str,
    run: Sequence[Piece],
    deadline: int | None,
) -> None:
    part = f"{reference}:{number}"
    for piece in run:
        _set(connection, piece.id, part=part)
    add_flow(
        connection,
        LEDGER_RETIREMENT,
        part,
        "planned",
        {"order": reference, "account": account},
        tonnes=sum(piece.serials.tonnes for piece in run),
        deadline=deadline,
    )


def split_part(connection: Connection, flow: Flow, tonnes: int) -> Flow:
    """Keep the first tonnes of a part; what is left becomes a part of its own."""
    account, reference = str(flow.content["account"]), str(flow.content["order"])
    lock_account(connection, account)
    number = int(connection.execute(_PARTS, {"order": reference}).scalar_one()) + 1
    left, rest = tonnes, []
    for piece in pieces_of(connection, flow.id):
        if left <= 0:
            rest.append(piece)
        elif piece.serials.tonnes > left:
            rest.append(_cut(connection, piece, piece.serials.first + left)[1])
        left -= piece.serials.tonnes
    _begin_part(connection, reference, number, account, rest, flow.deadline)
    return move_flow(connection, flow, flow.state, tonnes=tonnes)


def fail_part(connection: Connection, flow: Flow, reason: str) -> None:
    """Nothing was retired and nothing will be: the serials are the owner's to use again."""
    lock_account(connection, str(flow.content["account"]))
    for piece in pieces_of(connection, flow.id):
        _set(connection, piece.id, part=None)
    move_flow(connection, flow, "failed", ended=True, reason=reason)


# ── what registries retired ──────────────────────────────────────────────────────────────────


def record(connection: Connection, flow: Flow, answer: Answer) -> None:
    """Record what a registry really retired for a part, and end its flow as confirmed.

    Serials that it took instead of those asked are exchanged tonne for tonne: whoever expected
    them has the unused ones of the same class now. Raises InvalidValue when the answer cannot be
    true: serials not kept in this account, of another class, or retired before (L4).
    """
    account = str(flow.content["account"])
    lock_account(connection, account)
    order = _order(connection, str(flow.content["order"]))
    actual = [interval_of(one) for one in check_serials(answer.serials)]
    expected = pieces_of(connection, flow.id)
    if sum(one.tonnes for one in actual) != sum(one.serials.tonnes for one in expected):
        raise InvalidValue("serials", answer.tonnes, f"are not the {flow.tonnes} t of {flow.id}")
    wanted = expected[0].kept_class
    for interval in actual:
        _require_true(connection, interval, account, wanted)
    taken = [piece for interval in actual for piece in _cut_out(connection, interval)]
    strangers = [piece for piece in taken if piece.part != flow.id]
    inside = {piece.id for piece in taken}
    unused = [one for one in pieces_of(connection, flow.id) if one.id not in inside]
    exchanged = _exchange(connection, strangers, unused, flow.id, order.owner)
    for interval in actual:
        for piece in touching(connection, interval):
            _set(connection, piece.id, retired=True)
    connection.execute(
        insert(ledger_retired).values(
            part=flow.id,
            reference=flow.content["order"],
            tonnes=answer.tonnes,
            serials=[str(one) for one in answer.serials],
            registry_reference=answer.registry_reference,
            registry_date=answer.registry_date,
            certificate_id=answer.certificate_id,
            evidence="0x" + answer.evidence.hex(),
            exchanged=exchanged,
        )
    )
    move_flow(connection, flow, "confirmed", ended=True)


def _require_true(
    connection: Connection, interval: Interval, account: str, wanted: LedgerClass
) -> None:
    pieces = touching(connection, interval)
    missing = subtract([interval], [piece.serials for piece in pieces])
    if missing:
        raise InvalidValue("serials", str(missing[0]), "are not kept in the ledger")
    for piece in pieces:
        if piece.retired:
            raise InvalidValue("serials", str(piece.serials), f"were retired by {piece.part}")
        if piece.account != account:
            raise InvalidValue("serials", str(piece.serials), f"are kept in {piece.account}")
        if piece.kept_class != wanted:
            rule = f"are of {piece.kept_class}, not {wanted}"
            raise InvalidValue("serials", str(piece.serials), rule)


def _exchange(
    connection: Connection,
    taken: Sequence[Piece],
    unused: Sequence[Piece],
    part: str,
    owner: str,
) -> list[list[str]]:
    """Swap owner and part of what was taken with what was asked and not taken, tonne for tonne."""
    swapped: list[list[str]] = []
    left, right = list(taken), list(unused)
    while left and right:
        one, other = left.pop(0), right.pop(0)
        tonnes = min(one.serials.tonnes, other.serials.tonnes)
        if one.serials.tonnes > tonnes:
            one, rest = _cut(connection, one, one.serials.first + tonnes)
            left.insert(0, rest)
        if other.serials.tonnes > tonnes:
            other, rest = _cut(connection, other, other.serials.first + tonnes)
            right.insert(0, rest)
        _set(connection, other.id, owner=one.owner, part=one.part)
        _set(connection, one.id, owner=owner, part=part)
        swapped.append([str(one.serials), str(other.serials)])
    return swapped


# ── pieces ───────────────────────────────────────────────────────────────────────────────────


def touching(connection: Connection, interval: Interval) -> list[Piece]:
    """Kept pieces that share a serial with an interval, ascending."""
    given = {"series": str(interval.series), "first": interval.first, "last": interval.last}
    return [as_piece(row) for row in connection.execute(_TOUCHING, given)]


def pieces_of(connection: Connection, part: str) -> list[Piece]:
    """What a part expects, ascending."""
    series = tables.series
    query = (
        select(ledger_blocks, series.c.name)
        .join(series, series.c.id == ledger_blocks.c.series_id)
        .where(ledger_blocks.c.part == part)
        .order_by(series.c.name, ledger_blocks.c.block)
    )
    return [as_piece(row) for row in connection.execute(query)]


def _cut_out(connection: Connection, interval: Interval) -> list[Piece]:
    """The pieces that are exactly an interval, cut at its ends.

    Raises InvalidValue when a serial of it is not kept; what is retired is never cut.
    """
    found = []
    pieces = touching(connection, interval)
    missing = subtract([interval], [piece.serials for piece in pieces])
    if missing:
        raise InvalidValue("serials", str(missing[0]), "are not kept in the ledger")
    for piece in pieces:
        if not piece.retired and piece.serials.first < interval.first:
            piece = _cut(connection, piece, interval.first)[1]
        if not piece.retired and piece.serials.last > interval.last:
            piece = _cut(connection, piece, interval.last + 1)[0]
        found.append(piece)
    return found


def _cut(connection: Connection, piece: Piece, at: int) -> tuple[Piece, Piece]:
    """Two pieces, the second from serial `at` on."""
    series, first, last = piece.serials.series, piece.serials.first, piece.serials.last
    table = ledger_blocks
    row = connection.execute(
        update(table)
        .where(table.c.id == piece.id)
        .values(block=Range(first, at - 1, bounds="[]"))
        .returning(table)
    ).one()
    values = {**row._mapping, "block": Range(at, last, bounds="[]")}
    del values["id"]
    made = connection.execute(insert(table).values(values).returning(table.c.id)).scalar_one()

    def part(number: int, low: int, high: int) -> Piece:
        serials = Interval(series, low, high)
        rest = (piece.deposit, piece.account, piece.owner, piece.kept_class)
        return Piece(number, serials, *rest, piece.part, piece.retired)

    return part(piece.id, first, at - 1), part(made, at, last)


def _set(connection: Connection, number: int, **values: object) -> None:
    connection.execute(update(ledger_blocks).where(ledger_blocks.c.id == number).values(**values))


def as_piece(row: Row[Any]) -> Piece:
    """A row of `ledger_blocks` with the name of its series."""
    serials = Interval(Series.parse(row.name), row.block.lower, row.block.upper - 1)
    kept_class = LedgerClass(
        row.programme, row.project, row.vintage_start, row.vintage_end, tuple(row.labels)
    )
    return Piece(
        row.id, serials, row.deposit, row.account, row.owner, kept_class, row.part, row.retired
    )


def _order(connection: Connection, reference: str) -> RetirementOrder:
    table = ledger_orders
    row = connection.execute(select(table).where(table.c.reference == reference)).first()
    if row is None:
        raise NotFound(f"there is no retirement {reference}", reference=reference)
    return order_of(row)


def order_of(row: Row[Any]) -> RetirementOrder:
    """A row of `ledger_orders` as it was signed."""
    serials = tuple(SerialRange.parse(one) for one in row.serials)
    instruction_hash = bytes.fromhex(row.instruction_hash[2:])
    return RetirementOrder(row.reference, row.owner, row.account, serials, instruction_hash)
