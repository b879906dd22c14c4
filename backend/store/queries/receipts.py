"""Custody receipts: what the bridge knows of them and what became of them on chain (L5, L10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Select, case, func, literal, select, true

from backend.errors import NotFound
from backend.store import tables
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page

#: Where receipts stand that are not on chain: after everything that is.
_NOT_ON_CHAIN = 2**63 - 1

STATES = ("drafted", "approved", "submitted", "minted", "cancelled", "failed")


@dataclass(frozen=True, slots=True)
class Approval:
    """One signature over a receipt."""

    signer: str
    role: str | None


@dataclass(frozen=True, slots=True)
class ReceiptSummary:
    """A receipt. `state` is the chain's where the chain has it, else the bridge's.

    `transaction_hash`, `block_number` and `log_index` are those of the mint, or of the
    cancellation (without a hash).
    """

    receipt_id: str
    state: str
    class_id: int | None
    recipient: str | None
    tonnes: int | None
    account: str | None
    evidence_hash: str | None
    terms_hash: str | None
    valid_until: int | None
    reason: str | None
    signers: tuple[str, ...]
    transaction_hash: str | None
    block_number: int | None
    log_index: int | None


@dataclass(frozen=True, slots=True)
class ReceiptBlock:
    """One interval of a receipt; `first_position` None until it is minted."""

    series: str
    series_hash: str
    first: int
    last: int
    first_position: int | None

    @property
    def tonnes(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt with its serials and signatures."""

    summary: ReceiptSummary
    serials: tuple[ReceiptBlock, ...]
    approvals: tuple[Approval, ...]


@dataclass(frozen=True, slots=True)
class _Combined:
    query: Select[Any]
    keys: tuple[Any, Any, Any]


def _receipts(only: Sequence[str] | None = None) -> _Combined:
    """Receipts of the bridge and of the chain, whichever knows them; all, or only these ids."""
    known, on_chain, gone = tables.receipts, tables.receipts_minted, tables.receipts_cancelled
    every = true()
    # Before the join: a full outer join would read all of the three tables.
    ours = select(known).where(every if only is None else known.c.id.in_(only)).subquery("ours")
    minted = (
        select(on_chain)
        .where(every if only is None else on_chain.c.receipt_id.in_(only))
        .subquery("minted")
    )
    cancelled = (
        select(
            gone.c.receipt_id,
            func.min(gone.c.block_number).label("block_number"),
            func.min(gone.c.log_index).label("log_index"),
            func.min(gone.c.signer).label("signer"),
        )
        .where(every if only is None else gone.c.receipt_id.in_(only))
        .group_by(gone.c.receipt_id)
        .subquery("cancelled")
    )
    first = func.coalesce(ours.c.id, minted.c.receipt_id)
    receipt_id = func.coalesce(first, cancelled.c.receipt_id)
    block = func.coalesce(minted.c.block_number, cancelled.c.block_number)
    index = func.coalesce(minted.c.log_index, cancelled.c.log_index)
    state = case(
        (minted.c.receipt_id.is_not(None), "minted"),
        (cancelled.c.receipt_id.is_not(None), "cancelled"),
        # The bridge's row survives a reorganisation that took the mint back.
        (ours.c.state == "minted", "submitted"),
        else_=ours.c.state,
    )
    query = select(
        receipt_id.label("receipt_id"),
        state.label("state"),
        func.coalesce(minted.c.class_id, ours.c.class_id).label("class_id"),
        func.coalesce(minted.c.recipient, ours.c.recipient).label("recipient"),
        func.coalesce(minted.c.tonnes, ours.c.tonnes).label("tonnes"),
        func.coalesce(minted.c.account, ours.c.account).label("account"),
        func.coalesce(minted.c.evidence_hash, ours.c.evidence_hash).label("evidence_hash"),
        func.coalesce(minted.c.terms_hash, ours.c.terms_hash).label("terms_hash"),
        ours.c.valid_until,
        ours.c.reason,
        minted.c.signers,
        cancelled.c.signer.label("canceller"),
        minted.c.transaction_hash,
        block.label("block_number"),
        index.label("log_index"),
    ).select_from(
        ours.outerjoin(minted, minted.c.receipt_id == ours.c.id, full=True).outerjoin(
            cancelled, cancelled.c.receipt_id == first, full=True
        )
    )
    keys = (
        func.coalesce(block, literal(_NOT_ON_CHAIN, BigInteger)),
        func.coalesce(index, 0),
        receipt_id,
    )
    return _Combined(query, keys)


def _summary(row: Row[Any]) -> ReceiptSummary:
    signers = tuple(row.signers or ()) or ((row.canceller,) if row.canceller else ())
    return ReceiptSummary(
        receipt_id=row.receipt_id,
        state=row.state,
        class_id=None if row.class_id is None else int(row.class_id),
        recipient=row.recipient,
        tonnes=row.tonnes,
        account=row.account,
        evidence_hash=row.evidence_hash,
        terms_hash=row.terms_hash,
        valid_until=row.valid_until,
        reason=row.reason,
        signers=signers,
        transaction_hash=row.transaction_hash,
        block_number=row.block_number,
        log_index=row.log_index,
    )


def list_receipts(
    connection: Connection,
    *,
    state: str | None = None,
    class_id: int | None = None,
    recipient: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ReceiptSummary]:
    """Receipts, those not yet on chain first, then the newest first."""
    combined = _receipts()
    query, columns = combined.query, combined.query.selected_columns
    if state is not None:
        query = query.where(columns.state == state)
    if class_id is not None:
        query = query.where(columns.class_id == class_id)
    if recipient is not None:
        query = query.where(columns.recipient == recipient)
    rows, following = fetch_page(
        connection, query, combined.keys, [int, int, str], cursor, limit, descending=True
    )
    return Page(tuple(_summary(row) for row in rows), following)


def receipts_by_id(connection: Connection, receipt_ids: Sequence[str]) -> list[ReceiptSummary]:
    """These receipts, as far as they are known, by id; one query."""
    if not receipt_ids:
        return []
    combined = _receipts(list(receipt_ids))
    rows = connection.execute(combined.query.order_by(combined.keys[2]))
    return [_summary(row) for row in rows]


def get_receipt(connection: Connection, receipt_id: str) -> Receipt:
    """One receipt; raises NotFound. Serials as minted, or as the bridge holds them in custody."""
    row = connection.execute(_receipts([receipt_id]).query).first()
    if row is None:
        raise NotFound(f"no receipt has the id {receipt_id}", receipt_id=receipt_id)
    summary = _summary(row)
    table = tables.approvals
    approvals = [
        Approval(r.signer, r.role)
        for r in connection.execute(
            select(table.c.signer, table.c.role)
            .where(table.c.subject == receipt_id)
            .order_by(table.c.signer)
        )
    ]
    known = {approval.signer for approval in approvals}
    approvals += [Approval(signer, None) for signer in summary.signers if signer not in known]
    serials = _minted(connection, receipt_id) or _in_custody(connection, receipt_id)
    return Receipt(summary, tuple(serials), tuple(approvals))


def _minted(connection: Connection, receipt_id: str) -> list[ReceiptBlock]:
    table, series = tables.class_blocks, tables.series
    rows = connection.execute(
        select(table, series.c.name)
        .select_from(table.join(series, series.c.id == table.c.series_id))
        .where(table.c.receipt_id == receipt_id)
        .order_by(table.c.first_position)
    )
    return [ReceiptBlock(r.name, r.series_hash, r.first, r.last, r.first_position) for r in rows]


def _in_custody(connection: Connection, receipt_id: str) -> list[ReceiptBlock]:
    table, series = tables.custody_blocks, tables.series
    rows = connection.execute(
        select(
            series.c.name,
            series.c.hash,
            func.lower(table.c.block).label("first"),
            (func.upper(table.c.block) - 1).label("last"),
        )
        .select_from(table.join(series, series.c.id == table.c.series_id))
        .where(table.c.receipt_id == receipt_id)
        .order_by(table.c.ordinal)
    )
    return [ReceiptBlock(r.name, r.hash, r.first, r.last, None) for r in rows]
