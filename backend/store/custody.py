"""Receipts and confirmations on their way: drafts, approvals, states; L2 before the chain (L10).

A receipt holds its serials from the draft on: the exclusion constraint of `custody_blocks` refuses
any other receipt over one of them, in every process. They become free again only when the receipt
is cancelled or failed, which a receipt that was minted can never be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import Range, insert
from sqlalchemy.exc import IntegrityError

from backend.domain import records
from backend.domain.custody import Receipt, RegistryRetirement, signing_domain
from backend.domain.serials import Interval, subtract
from backend.errors import Conflict, NotFound, SerialsOverlap
from backend.store import ledger, tables
from backend.store.backing_index import ensure_series
from backend.store.database import Database
from backend.store.duplicates import require_no_duplicates
from backend.store.holdings import require_in_registry
from backend.store.queries.register import held_on_chain
from backend.store.signed_content import (
    class_json,
    receipt_from_json,
    receipt_json,
    retirement_from_json,
    retirement_json,
)

_EXCLUSION_VIOLATION = "23P01"


class ReceiptState(StrEnum):
    """drafted → approved → submitted → minted; cancelled and failed end it too."""

    DRAFTED = "drafted"
    APPROVED = "approved"
    SUBMITTED = "submitted"
    MINTED = "minted"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ConfirmationState(StrEnum):
    """drafted → approved → submitted → recorded; failed ends it too."""

    DRAFTED = "drafted"
    APPROVED = "approved"
    SUBMITTED = "submitted"
    RECORDED = "recorded"
    FAILED = "failed"


_OPEN_RECEIPTS = (ReceiptState.DRAFTED, ReceiptState.APPROVED, ReceiptState.SUBMITTED)
_OPEN_CONFIRMATIONS = (
    ConfirmationState.DRAFTED,
    ConfirmationState.APPROVED,
    ConfirmationState.SUBMITTED,
)
#: From where a state may be reached; the same state again is always allowed and changes nothing
#: but reason and key. `submitted` follows `minted` when a reorganisation took the mint back.
_RECEIPT_STEPS: dict[str, tuple[str, ...]] = {
    "drafted": (),
    "approved": ("drafted",),
    "submitted": ("drafted", "approved", "minted"),
    "minted": ("drafted", "approved", "submitted"),
    "cancelled": ("drafted", "approved", "submitted"),
    "failed": ("drafted", "approved", "submitted"),
}
_CONFIRMATION_STEPS: dict[str, tuple[str, ...]] = {
    "drafted": (),
    "approved": ("drafted",),
    "submitted": ("drafted", "approved", "recorded"),
    # A statement that failed for us may be recorded by whoever else submits it.
    "recorded": ("drafted", "approved", "submitted", "failed"),
    "failed": ("drafted", "approved", "submitted"),
}


@dataclass(frozen=True, slots=True)
class Approval:
    """One signature over a receipt or confirmation. `role` is `custodian` or `attestor`."""

    signer: str
    role: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A receipt, where it stands, and who signed; `id` is its EIP-712 digest, 0x hex."""

    id: str
    chain_id: int
    trust: str
    receipt: Receipt
    state: ReceiptState
    reason: str | None
    transaction_key: str | None
    approvals: tuple[Approval, ...]


@dataclass(frozen=True, slots=True)
class StoredConfirmation:
    """A registry's confirmation, where it stands, and who signed; `id` is its digest, 0x hex."""

    id: str
    chain_id: int
    trust: str
    retirement: RegistryRetirement
    state: ConfirmationState
    reason: str | None
    transaction_key: str | None
    approvals: tuple[Approval, ...]


class Custody:
    """Receipts and confirmations of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ── receipts ─────────────────────────────────────────────────────────────────────────────

    def draft(
        self,
        receipt: Receipt,
        chain_id: int,
        trust: str,
        confirmed: Sequence[Interval] = (),
    ) -> StoredReceipt:
        """Store a receipt and hold its serials; the same receipt again gives the stored one.

        `confirmed`: serials that the registry's inventory of the account holds live.

        Raises SerialsOverlap naming both intervals and the receipt that holds the other,
        InvalidValue when an interval does not lie in imported active credits of this class, and
        DuplicateOpen while nobody has decided whether the project is credited elsewhere too.
        """
        receipt_id = "0x" + receipt.digest(signing_domain(chain_id, trust)).hex()
        with self._database.begin() as connection:
            inserted = connection.execute(
                insert(tables.receipts)
                .values(
                    id=receipt_id,
                    chain_id=chain_id,
                    trust=trust,
                    class_id=receipt.credit_class.token_id,
                    credit_class=class_json(receipt.credit_class),
                    recipient=receipt.recipient,
                    account="0x" + receipt.account.hex(),
                    tonnes=receipt.tonnes,
                    valid_until=receipt.valid_until,
                    evidence_hash="0x" + receipt.evidence_hash.hex(),
                    terms_hash="0x" + receipt.terms_hash.hex(),
                    content=receipt_json(receipt),
                    state=ReceiptState.DRAFTED.value,
                )
                .on_conflict_do_nothing()
                # Not rowcount: SQLAlchemy does not promise one for an INSERT.
                .returning(tables.receipts.c.id)
            ).first()
            if inserted is not None:
                wanted = receipt.credit_class
                require_in_registry(connection, wanted, receipt.intervals, confirmed)
                require_no_duplicates(connection, wanted.programme, wanted.project)
                _hold(connection, receipt_id, receipt.intervals)
            return _receipt(connection, receipt_id)

    def receipt(self, receipt_id: str) -> StoredReceipt:
        """One receipt; raises NotFound."""
        with self._database.read() as connection:
            return _receipt(connection, receipt_id)

    def approve(self, subject: str, approval: Approval) -> None:
        """Add a signature; the same signer's again changes nothing, another one is a Conflict."""
        with self._database.begin() as connection:
            _approve(connection, subject, approval)

    def set_state(
        self,
        receipt_id: str,
        state: ReceiptState,
        reason: str | None = None,
        transaction_key: str | None = None,
    ) -> StoredReceipt:
        """Move a receipt; raises Conflict when its state does not allow it.

        `cancelled` and `failed` free its serials. A receipt that the chain index shows as minted
        can be neither (L4).
        """
        with self._database.begin() as connection:
            held = _lock_row(connection, tables.receipts, receipt_id, "receipt")
            _require_step(_RECEIPT_STEPS, held, state.value, "receipt")
            if state in (ReceiptState.CANCELLED, ReceiptState.FAILED):
                _require_not_minted(connection, receipt_id)
                blocks = tables.custody_blocks
                connection.execute(delete(blocks).where(blocks.c.receipt_id == receipt_id))
            _move(connection, tables.receipts, held, state.value, reason, transaction_key)
            return _receipt(connection, receipt_id)

    def open_receipts(self) -> list[StoredReceipt]:
        """Receipts that are in no terminal state, oldest first: what the sweeper goes through."""
        return self._receipts(_OPEN_RECEIPTS)

    def _receipts(self, states: Sequence[ReceiptState]) -> list[StoredReceipt]:
        table = tables.receipts
        with self._database.read() as connection:
            found = connection.execute(
                select(table)
                .where(table.c.state.in_([state.value for state in states]))
                .order_by(table.c.created_at, table.c.id)
            ).all()
            signed = approvals_of(connection, [row.id for row in found])
            return [_as_receipt(row, signed.get(row.id, ())) for row in found]

    # ── confirmations ────────────────────────────────────────────────────────────────────────

    def draft_confirmation(
        self, retirement: RegistryRetirement, chain_id: int, registry_records: str
    ) -> StoredConfirmation:
        """Store a registry's confirmation; the same again gives the stored one.

        Raises Conflict when an open or recorded one covers one of its positions.
        """
        domain = records.signing_domain(chain_id, registry_records)
        confirmation_id = "0x" + retirement.digest(domain).hex()
        table = tables.confirmations
        with self._database.begin() as connection:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 1))"),
                {"key": f"confirm {retirement.class_id}"},
            )
            known = connection.execute(
                select(table.c.id, table.c.state).where(table.c.id == confirmation_id)
            ).first()
            if known is not None and known.state == ConfirmationState.FAILED.value:
                # Said again, it is tried again: what was refused then may be true now.
                _require_unconfirmed(connection, retirement)
                connection.execute(
                    update(table)
                    .where(table.c.id == confirmation_id)
                    .values(state=ConfirmationState.DRAFTED.value, reason=None)
                )
            if known is None:
                _require_unconfirmed(connection, retirement)
                connection.execute(
                    insert(table).values(
                        id=confirmation_id,
                        chain_id=chain_id,
                        trust=registry_records,
                        class_id=retirement.class_id,
                        first_position=retirement.first_position,
                        tonnes=retirement.tonnes,
                        reference=retirement.registry_reference,
                        registry_date=retirement.registry_date,
                        content=retirement_json(retirement),
                        state=ConfirmationState.DRAFTED.value,
                    )
                )
            return _confirmation(connection, confirmation_id)

    def confirmation(self, confirmation_id: str) -> StoredConfirmation:
        """One confirmation; raises NotFound."""
        with self._database.read() as connection:
            return _confirmation(connection, confirmation_id)

    def set_confirmation_state(
        self,
        confirmation_id: str,
        state: ConfirmationState,
        reason: str | None = None,
        transaction_key: str | None = None,
    ) -> StoredConfirmation:
        """Move a confirmation; raises Conflict when its state does not allow it."""
        with self._database.begin() as connection:
            held = _lock_row(connection, tables.confirmations, confirmation_id, "confirmation")
            _require_step(_CONFIRMATION_STEPS, held, state.value, "confirmation")
            _move(connection, tables.confirmations, held, state.value, reason, transaction_key)
            return _confirmation(connection, confirmation_id)

    def open_confirmations(self) -> list[StoredConfirmation]:
        """Confirmations that are in no terminal state, oldest first."""
        table = tables.confirmations
        with self._database.read() as connection:
            found = connection.execute(
                select(table)
                .where(table.c.state.in_([state.value for state in _OPEN_CONFIRMATIONS]))
                .order_by(table.c.created_at, table.c.id)
            ).all()
            signed = approvals_of(connection, [row.id for row in found])
            return [_as_confirmation(row, signed.get(row.id, ())) for row in found]


# ── serials ──────────────────────────────────────────────────────────────────────────────────


def _let_go(connection: Connection, interval: Interval, series_id: int) -> None:
    """Cut out of minted receipts what a finalised delivery has released: it may be held anew."""
    held, minted = tables.custody_blocks, tables.receipts_minted
    rows = connection.execute(
        select(held)
        .join(minted, minted.c.receipt_id == held.c.receipt_id)
        .where(
            text("int4range(series_id, series_id, '[]') && int4range(:series, :series, '[]')"),
            text("block && int8range(:first, :last, '[]')"),
        )
        .with_for_update(of=held),
        {"series": series_id, "first": interval.first, "last": interval.last},
    ).all()
    for row in rows:
        whole = Interval(interval.series, row.block.lower, row.block.upper - 1)
        low, high = max(whole.first, interval.first), min(whole.last, interval.last)
        on_chain = [
            Interval(interval.series, one.first, one.last)
            for one in held_on_chain(connection, series_id, low, high)
        ]
        released = subtract([Interval(interval.series, low, high)], on_chain)
        if not released:
            continue
        connection.execute(delete(held).where(held.c.id == row.id))
        for part in subtract([whole], released):
            connection.execute(
                insert(held).values(
                    series_id=series_id,
                    block=Range(part.first, part.last, bounds="[]"),
                    receipt_id=row.receipt_id,
                    ordinal=row.ordinal,
                )
            )


def _hold(connection: Connection, receipt_id: str, intervals: Sequence[Interval]) -> None:
    ids = ensure_series(connection, {interval.series for interval in intervals})
    # In one order everywhere, so that two receipts wait for each other in no circle.
    for interval, ordinal in sorted((interval, at) for at, interval in enumerate(intervals)):
        number = ids["0x" + interval.series.id.hex()]
        _require_not_on_chain(connection, interval, number)
        _require_not_kept(connection, interval)
        _let_go(connection, interval, number)
        try:
            with connection.begin_nested():
                connection.execute(
                    insert(tables.custody_blocks).values(
                        series_id=number,
                        block=Range(interval.first, interval.last, bounds="[]"),
                        receipt_id=receipt_id,
                        ordinal=ordinal,
                    )
                )
        except IntegrityError as error:
            if getattr(error.orig, "sqlstate", None) != _EXCLUSION_VIOLATION:
                raise
            raise _overlap(connection, interval, number, receipt_id) from error


def _require_not_on_chain(connection: Connection, interval: Interval, series_id: int) -> None:
    """Receipts that others drafted, or that a lost database knew, are on chain all the same."""
    for held in held_on_chain(connection, series_id, interval.first, interval.last):
        raise _overlap_with(interval, held.first, held.last, held.origin, "on chain")


def _require_not_kept(connection: Connection, interval: Interval) -> None:
    """What is kept as a ledger only has an owner there: no receipt makes tokens of it too."""
    for piece in ledger.touching(connection, interval):
        raise SerialsOverlap(
            f"{interval} overlaps {piece.serials} of the ledger (deposit {piece.deposit})",
            series=str(interval.series),
            deposit=piece.deposit,
        )


def _overlap(
    connection: Connection, interval: Interval, series_id: int, receipt_id: str
) -> SerialsOverlap:
    """The refusal with both intervals and the receipt that holds the other."""
    taken = connection.execute(
        text(
            "SELECT lower(block) AS first, upper(block) - 1 AS last, receipt_id"
            " FROM custody_blocks WHERE int4range(series_id, series_id, '[]') ="
            " int4range(:series, :series, '[]') AND block && int8range(:first, :last, '[]')"
            " ORDER BY first LIMIT 1"
        ),
        {"series": series_id, "first": interval.first, "last": interval.last},
    ).first()
    if taken is None:
        # The other receipt was cancelled between the refusal and this look: trying again works.
        return SerialsOverlap(f"{interval} was in trust a moment ago", series=str(interval.series))
    same = taken.receipt_id == receipt_id
    where = "of the same receipt" if same else "in trust"
    return _overlap_with(interval, taken.first, taken.last, taken.receipt_id, where)


def _overlap_with(
    interval: Interval, first: int, last: int, receipt_id: str, where: str
) -> SerialsOverlap:
    other = Interval(interval.series, first, last)
    return SerialsOverlap(
        f"{interval} overlaps {other} {where} (receipt {receipt_id})",
        series=str(interval.series),
        first=interval.first,
        last=interval.last,
        taken_first=first,
        taken_last=last,
        receipt_id=receipt_id,
    )


def _require_not_minted(connection: Connection, receipt_id: str) -> None:
    minted = tables.receipts_minted
    if connection.execute(select(minted).where(minted.c.receipt_id == receipt_id)).first():
        raise Conflict(
            f"receipt {receipt_id} is minted on chain: its serials are never freed (L4)",
            receipt_id=receipt_id,
        )


def _require_unconfirmed(connection: Connection, retirement: RegistryRetirement) -> None:
    """Neither the chain nor an open draft confirms one of these positions."""
    end = retirement.first_position + retirement.tonnes
    ours, chain = tables.confirmations, tables.registry_confirmations
    for table, key, extra in (
        (chain, chain.c.confirmation_id, ()),
        (ours, ours.c.id, (ours.c.state != ConfirmationState.FAILED.value,)),
    ):
        taken = connection.execute(
            select(key.label("id"), table.c.first_position, table.c.tonnes).where(
                table.c.class_id == retirement.class_id,
                table.c.first_position < end,
                table.c.first_position + table.c.tonnes > retirement.first_position,
                *extra,
            )
        ).first()
        if taken is not None:
            last = taken.first_position + taken.tonnes - 1
            raise Conflict(
                f"positions {retirement.first_position} … {end - 1} of class "
                f"{retirement.class_id} overlap {taken.first_position} … {last} of "
                f"confirmation {taken.id}",
                class_id=str(retirement.class_id),
                confirmation_id=taken.id,
                first=taken.first_position,
                last=last,
            )


# ── rows ─────────────────────────────────────────────────────────────────────────────────────


def _lock_row(connection: Connection, table: Table, key: str, what: str) -> Row[Any]:
    found = connection.execute(select(table).where(table.c.id == key).with_for_update()).first()
    if found is None:
        raise NotFound(f"no {what} has the id {key}", id=key)
    return found


def _require_step(steps: dict[str, tuple[str, ...]], held: Row[Any], state: str, what: str) -> None:
    if held.state != state and held.state not in steps[state]:
        raise Conflict(
            f"{what} {held.id} is {held.state} and cannot become {state}",
            id=held.id,
            state=held.state,
            wanted=state,
        )


def _move(
    connection: Connection,
    table: Table,
    held: Row[Any],
    state: str,
    reason: str | None,
    transaction_key: str | None,
) -> None:
    connection.execute(
        update(table)
        .where(table.c.id == held.id)
        .values(
            state=state,
            reason=reason,
            transaction_key=transaction_key or held.transaction_key,
            updated_at=func.now(),
        )
    )


def _approve(connection: Connection, subject: str, approval: Approval) -> None:
    table = tables.approvals
    added = connection.execute(
        insert(table)
        .values(
            subject=subject,
            signer=approval.signer,
            role=approval.role,
            signature=approval.signature,
        )
        .on_conflict_do_nothing()
        .returning(table.c.signer)
    ).first()
    if added is not None:
        return
    held = connection.execute(
        select(table).where(table.c.subject == subject, table.c.signer == approval.signer)
    ).one()
    # Signing is not deterministic everywhere: another valid signature of the same role is fine.
    if held.role != approval.role:
        raise Conflict(
            f"{approval.signer} signed {subject} as {held.role}, not as {approval.role}",
            signer=approval.signer,
            role=held.role,
        )


def approvals_of(
    connection: Connection, subjects: Sequence[str]
) -> dict[str, tuple[Approval, ...]]:
    """Who signed, per subject, by ascending signer."""
    table = tables.approvals
    found: dict[str, list[Approval]] = {}
    for row in connection.execute(
        select(table)
        .where(table.c.subject.in_(list(subjects)))
        .order_by(func.lower(table.c.signer))
    ):
        approval = Approval(row.signer, row.role, bytes(row.signature))
        found.setdefault(row.subject, []).append(approval)
    return {subject: tuple(signed) for subject, signed in found.items()}


def _receipt(connection: Connection, receipt_id: str) -> StoredReceipt:
    table = tables.receipts
    row = connection.execute(select(table).where(table.c.id == receipt_id)).first()
    if row is None:
        raise NotFound(f"no receipt has the id {receipt_id}", receipt_id=receipt_id)
    return _as_receipt(row, approvals_of(connection, [receipt_id]).get(receipt_id, ()))


def _as_receipt(row: Row[Any], signed: tuple[Approval, ...]) -> StoredReceipt:
    return StoredReceipt(
        row.id,
        row.chain_id,
        row.trust,
        receipt_from_json(row.content),
        ReceiptState(row.state),
        row.reason,
        row.transaction_key,
        signed,
    )


def _confirmation(connection: Connection, confirmation_id: str) -> StoredConfirmation:
    table = tables.confirmations
    row = connection.execute(select(table).where(table.c.id == confirmation_id)).first()
    if row is None:
        raise NotFound(f"no confirmation has the id {confirmation_id}", id=confirmation_id)
    return _as_confirmation(
        row, approvals_of(connection, [confirmation_id]).get(confirmation_id, ())
    )


def _as_confirmation(row: Row[Any], signed: tuple[Approval, ...]) -> StoredConfirmation:
    return StoredConfirmation(
        row.id,
        row.chain_id,
        row.trust,
        retirement_from_json(row.content),
        ConfirmationState(row.state),
        row.reason,
        row.transaction_key,
        signed,
    )
