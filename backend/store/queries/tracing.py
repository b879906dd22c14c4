"""Both directions of a trace: serial → certificate, certificate → registry rows, wallet → both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from backend.domain.serials import Series
from backend.domain.units import MAX_SERIAL
from backend.errors import InvalidValue, NotFound
from backend.store import tables
from backend.store.queries.accounts import (
    Account,
    Holder,
    Holding,
    Movement,
    get_account,
    holders_of,
    holdings_of,
    movements_of,
)
from backend.store.queries.assignment import Span, changes_of, standing_at
from backend.store.queries.certificates import (
    Certificate,
    Retirement,
    consumers_of,
    get_certificate,
    list_retirements,
)
from backend.store.queries.classes import ClassSummary, get_class
from backend.store.queries.confirmed import Confirmation, confirmations_within
from backend.store.queries.reading import ChainHead, Page
from backend.store.queries.receipts import (
    ReceiptSummary,
    list_receipts,
    receipts_by_id,
)
from backend.store.queries.registry import RegistryBlock, blocks_holding

#: A trace names at most this many holders of the class and registry rows.
MOST_HOLDERS = 10


@dataclass(frozen=True, slots=True)
class SerialTrace:
    """Everything that is known of one serial number.

    `state`: not in trust (the registry's rows are all there is), in custody (a receipt that is
    not minted names it), live (a token stands on it), open (its tonne is partly retired),
    retired (no kilogram is left), retired and confirmed.
    """

    series: str
    number: int
    state: str
    registry: tuple[RegistryBlock, ...]
    receipt: ReceiptSummary | None
    credit_class: ClassSummary | None
    minted_position: int | None
    position: int | None
    retirements: tuple[Retirement, ...]
    retired_kilograms: int
    confirmation: Confirmation | None
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class CertificateTrace:
    """A certificate, the receipts its serials came by, the registry's rows they lie in."""

    certificate: Certificate
    receipts: tuple[ReceiptSummary, ...]
    registry: tuple[RegistryBlock, ...]


@dataclass(frozen=True, slots=True)
class WalletTrace:
    """What a wallet holds, has retired, received against receipts, and its newest movements."""

    account: Account
    holdings: Page[Holding]
    retirements: Page[Retirement]
    receipts: Page[ReceiptSummary]
    movements: Page[Movement]


def resolve_series(connection: Connection, text: str) -> Series:
    """A series by its name (`VCS:2`) or its hash on chain; raises InvalidValue or NotFound."""
    if not text.startswith("0x"):
        return Series.parse(text)
    table = tables.series
    name = connection.execute(select(table.c.name).where(table.c.hash == text.lower())).scalar()
    if name is None:
        raise NotFound(f"no series has the hash {text}", series=text)
    return Series.parse(name)


def trace_serial(connection: Connection, series: Series, number: int) -> SerialTrace:
    """One serial from the registry's rows to the certificates; raises NotFound if none knows it."""
    if not 1 <= number <= MAX_SERIAL:
        raise InvalidValue("number", number, "is outside 1 … 2^63 − 2")
    name = str(series)
    registry = tuple(blocks_holding(connection, [(name, number, number)]))
    table, known = tables.class_blocks, tables.series
    minted = connection.execute(
        select(table.c.class_id, table.c.first_position, table.c.first, table.c.receipt_id)
        .select_from(table.join(known, known.c.id == table.c.series_id))
        .where(known.c.name == name, table.c.first <= number, table.c.last >= number)
        .order_by(table.c.first.desc())
        .limit(1)
    ).first()
    if minted is None:
        return _not_minted(connection, series, number, registry)
    class_id, origin = minted.class_id, minted.first_position + number - minted.first
    made = changes_of(connection, [class_id])[class_id]
    position = standing_at(origin, origin + 1, made)[0].at
    credit_class = get_class(connection, class_id)
    retirements = tuple(consumers_of(connection, class_id, position))
    retired = sum(
        1000 if piece.kind == "whole" else piece.kilograms
        for retirement in retirements
        for piece in retirement.consumed
        if piece.span.first <= position < piece.span.end
    )
    confirmed = confirmations_within(connection, [Span(class_id, position, position + 1)])[0]
    if retired >= 1000:
        state = "retired and confirmed" if confirmed else "retired"
        holders: tuple[Holder, ...] = ()
    else:
        state = "open" if retired else "live"
        held = holders_of(connection, class_id, limit=MOST_HOLDERS)
        holders = tuple(holder for holder in held.items if holder.kilograms)
    return SerialTrace(
        series=name,
        number=number,
        state=state,
        registry=registry,
        receipt=next(iter(receipts_by_id(connection, [minted.receipt_id])), None),
        credit_class=credit_class,
        minted_position=origin,
        position=position,
        retirements=retirements,
        retired_kilograms=retired,
        confirmation=confirmed[0] if confirmed else None,
        holders=holders,
    )


def _not_minted(
    connection: Connection, series: Series, number: int, registry: tuple[RegistryBlock, ...]
) -> SerialTrace:
    held, known = tables.custody_blocks, tables.series
    receipt_id = connection.execute(
        select(held.c.receipt_id)
        .select_from(held.join(known, known.c.id == held.c.series_id))
        .where(known.c.name == str(series), held.c.block.op("@>")(func.int8(number)))
    ).scalar()
    if receipt_id is None and not registry:
        raise NotFound(
            f"no import and no receipt names {series}/{number}",
            series=str(series),
            number=str(number),
        )
    receipts = receipts_by_id(connection, [receipt_id] if receipt_id else [])
    return SerialTrace(
        series=str(series),
        number=number,
        state="in custody" if receipt_id else "not in trust",
        registry=registry,
        receipt=next(iter(receipts), None),
        credit_class=None,
        minted_position=None,
        position=None,
        retirements=(),
        retired_kilograms=0,
        confirmation=None,
        holders=(),
    )


def trace_certificate(connection: Connection, certificate_id: int) -> CertificateTrace:
    """A certificate back to the registry's rows; raises NotFound. A fixed number of queries."""
    certificate = get_certificate(connection, certificate_id)
    runs = [run for piece in certificate.pieces for run in piece.serials]
    receipts = receipts_by_id(connection, _once(run.receipt_id for run in runs))
    registry = blocks_holding(connection, [(run.series, run.first, run.last) for run in runs])
    return CertificateTrace(certificate, tuple(receipts), tuple(registry))


def trace_wallet(
    connection: Connection, address: str, head: ChainHead, limit: int = 50
) -> WalletTrace:
    """The first page of everything a wallet did and has."""
    return WalletTrace(
        account=get_account(connection, address, head),
        holdings=holdings_of(connection, address, limit=limit),
        retirements=list_retirements(connection, account=address, limit=limit),
        receipts=list_receipts(connection, recipient=address, limit=limit),
        movements=movements_of(connection, address, limit=limit),
    )


def _once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
