"""What custodian and attestor sign for the newer contracts: drafts, signatures, states (L5, L10).

Failures, substitutes, ends of deliveries, programme events and reserve reports are all the same
here: an EIP-712 message whose digest is the id, drafted once, signed apart, submitted, recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from backend.domain.eip712 import Types
from backend.errors import Conflict, NotFound
from backend.store.bridge_tables import statements
from backend.store.custody import Approval, approvals_of
from backend.store.database import Database


class StatementState(StrEnum):
    """drafted → approved → submitted → recorded; failed and superseded end it too."""

    DRAFTED = "drafted"
    APPROVED = "approved"
    SUBMITTED = "submitted"
    RECORDED = "recorded"
    FAILED = "failed"
    SUPERSEDED = "superseded"


OPEN = (StatementState.DRAFTED, StatementState.APPROVED, StatementState.SUBMITTED)
_STEPS: dict[StatementState, tuple[StatementState, ...]] = {
    StatementState.DRAFTED: (StatementState.FAILED,),
    StatementState.APPROVED: (StatementState.DRAFTED,),
    StatementState.SUBMITTED: (*OPEN, StatementState.RECORDED),
    # Whoever submitted it: the chain has it.
    StatementState.RECORDED: tuple(StatementState),
    StatementState.FAILED: OPEN,
    StatementState.SUPERSEDED: (*OPEN, StatementState.FAILED),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `message` has the EIP-712 values; `extra` is JSON for the call."""

    id: str
    type: str
    chain_id: int
    contract: str
    flow_kind: str | None
    flow: str | None
    class_id: int | None
    content: Mapping[str, Any]
    extra: Mapping[str, Any]
    state: StatementState
    reason: str | None
    transaction_key: str | None
    approvals: tuple[Approval, ...]

    def message(self, types: Types) -> dict[str, Any]:
        """The message that was signed, with bytes and integers as EIP-712 takes them."""
        found: dict[str, Any] = message_from_json(types, self.type, self.content)
        return found


class Statements:
    """The statements of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def draft(
        self,
        statement_id: str,
        kind: str,
        chain_id: int,
        contract: str,
        message: Mapping[str, Any],
        *,
        flow: tuple[str, str] | None = None,
        class_id: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Statement:
        """Store a statement; the same again gives the stored one, a failed one anew."""
        with self._database.begin() as connection:
            connection.execute(
                insert(statements)
                .values(
                    id=statement_id,
                    type=kind,
                    chain_id=chain_id,
                    contract=contract,
                    flow_kind=flow[0] if flow else None,
                    flow=flow[1] if flow else None,
                    class_id=class_id,
                    content=message_json(message),
                    extra=dict(extra or {}),
                    state=StatementState.DRAFTED.value,
                )
                .on_conflict_do_update(
                    index_elements=[statements.c.id],
                    set_={
                        "state": StatementState.DRAFTED.value,
                        "reason": None,
                        "extra": dict(extra or {}),
                    },
                    where=statements.c.state == StatementState.FAILED.value,
                )
            )
        return self.get(statement_id)

    def get(self, statement_id: str) -> Statement:
        """One statement; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(
                select(statements).where(statements.c.id == statement_id)
            ).first()
            if row is None:
                raise NotFound(f"no statement has the id {statement_id}", id=statement_id)
            signed = approvals_of(connection, [statement_id])
        return _as_statement(row, signed.get(statement_id, ()))

    def open(self) -> list[Statement]:
        """Statements that have not ended, oldest first."""
        return self._where(statements.c.state.in_([state.value for state in OPEN]))

    def of_flow(self, kind: str, flow: str) -> list[Statement]:
        """The statements of one flow, oldest first."""
        return self._where(statements.c.flow_kind == kind, statements.c.flow == flow)

    def of_type(self, kind: str) -> list[Statement]:
        """The statements of one type, oldest first."""
        return self._where(statements.c.type == kind)

    def _where(self, *conditions: Any) -> list[Statement]:
        query = select(statements).where(*conditions)
        with self._database.read() as connection:
            rows = connection.execute(
                query.order_by(statements.c.created_at, statements.c.id)
            ).all()
            signed = approvals_of(connection, [row.id for row in rows])
        return [_as_statement(row, signed.get(row.id, ())) for row in rows]

    def set_state(
        self,
        statement_id: str,
        state: StatementState,
        reason: str | None = None,
        transaction_key: str | None = None,
    ) -> Statement:
        """Move a statement; raises Conflict when its state does not allow it."""
        with self._database.begin() as connection:
            row = connection.execute(
                select(statements).where(statements.c.id == statement_id).with_for_update()
            ).first()
            if row is None:
                raise NotFound(f"no statement has the id {statement_id}", id=statement_id)
            held = StatementState(row.state)
            if held is not state and held not in _STEPS[state]:
                raise Conflict(
                    f"{row.type} {statement_id} is {held} and cannot become {state}",
                    id=statement_id,
                )
            connection.execute(
                update(statements)
                .where(statements.c.id == statement_id)
                .values(
                    state=state.value,
                    reason=reason,
                    transaction_key=transaction_key or row.transaction_key,
                    updated_at=func.now(),
                )
            )
        return self.get(statement_id)


def message_json(message: Any) -> Any:
    """A message with bytes as 0x hex and integers as strings."""
    if isinstance(message, Mapping):
        return {key: message_json(value) for key, value in message.items()}
    if isinstance(message, list | tuple):
        return [message_json(value) for value in message]
    if isinstance(message, bytes):
        return "0x" + message.hex()
    return str(int(message)) if isinstance(message, int) else message


def message_from_json(types: Types, kind: str, found: Any) -> Any:
    """The inverse of `message_json` for a struct, an array or a value of EIP-712's types."""
    if kind.endswith("[]"):
        return [message_from_json(types, kind[:-2], value) for value in found]
    if kind in types:
        return {name: message_from_json(types, field, found[name]) for name, field in types[kind]}
    if kind.startswith("uint"):
        return int(found)
    return bytes.fromhex(found[2:]) if kind.startswith("bytes") else found


def _as_statement(row: Row[Any], signed: tuple[Approval, ...]) -> Statement:
    return Statement(
        row.id,
        row.type,
        row.chain_id,
        row.contract,
        row.flow_kind,
        row.flow,
        None if row.class_id is None else int(row.class_id),
        row.content,
        row.extra,
        StatementState(row.state),
        row.reason,
        row.transaction_key,
        signed,
    )
