"""Requests to registries: kept before they are made, with every answer that was heard (L10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from backend.domain.instructions import RetirementInstruction
from backend.domain.registry_answers import Answer, Followed, follow
from backend.domain.registry_requests import Request, request_from_json
from backend.errors import Conflict, NotFound
from backend.store.breaks import add_break
from backend.store.bridge_tables import (
    registry_answers,
    registry_requests,
    retirement_instructions,
)
from backend.store.database import Database

ASKED = "asked"


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request of one flow, and the answer that stands; None before the first."""

    kind: str
    flow: str
    request: Request
    answer: Answer | None


class RegistryRequests:
    """The requests of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, kind: str, flow: str, request: Request) -> StoredRequest:
        """Store a request before it is made; the same again gives the stored one.

        Raises Conflict when the reference was used for something else.
        """
        table = registry_requests
        with self._database.begin() as connection:
            connection.execute(
                upsert(table)
                .values(
                    reference=request.reference,
                    kind=kind,
                    flow=flow,
                    request=request.as_json(),
                    state=ASKED,
                )
                .on_conflict_do_nothing()
            )
            row = connection.execute(
                select(table).where(table.c.reference == request.reference)
            ).one()
        held = _as_request(row)
        if held.request != request:
            raise Conflict(
                f"{request.reference} was used for {held.request.serials}, not {request.serials}",
                reference=request.reference,
            )
        return held

    def get(self, reference: str) -> StoredRequest:
        """One request; raises NotFound."""
        table = registry_requests
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.reference == reference)).first()
        if row is None:
            raise NotFound(f"no registry was asked {reference}", reference=reference)
        return _as_request(row)

    def of_flow(self, kind: str, flow: str) -> list[StoredRequest]:
        """The requests of one flow, oldest first."""
        table = registry_requests
        query = select(table).where(table.c.kind == kind, table.c.flow == flow)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.created_at, table.c.reference))
            return [_as_request(row) for row in rows]

    def hear(self, heard: Answer, class_id: int | None = None) -> Followed:
        """Take in an answer: what stands afterwards, and what does not fit, reported as breaks.

        One lock per request: of two answers that arrive at once the second is the later one.
        """
        table = registry_requests
        with self._database.begin() as connection:
            row = connection.execute(
                select(table).where(table.c.reference == heard.reference).with_for_update()
            ).first()
            if row is None:
                raise NotFound(f"no registry was asked {heard.reference}")
            held = _as_request(row)
            followed = follow(held.request, held.answer, heard)
            if held.answer is None or not held.answer.says_the_same(heard):
                connection.execute(
                    insert(registry_answers).values(
                        reference=heard.reference, answer=heard.as_json()
                    )
                )
            connection.execute(
                update(table)
                .where(table.c.reference == heard.reference)
                .values(
                    answer=followed.answer.as_json(),
                    state=followed.answer.state.value,
                    updated_at=func.now(),
                )
            )
            for one in followed.breaks:
                if one.kind.stops:
                    add_break(
                        connection,
                        f"answer {one.reference} {one.kind.value} {one.detail}"[:500],
                        one.kind.value,
                        one.detail,
                        {"request": held.request.as_json(), "answer": heard.as_json()},
                        flow_kind=held.kind,
                        flow=held.flow,
                        class_id=class_id,
                    )
            return followed

    # ── instructions ─────────────────────────────────────────────────────────────────────────

    def keep_instruction(
        self, instruction: RetirementInstruction, details_hash: bytes | None = None
    ) -> str:
        """Store an instruction by its hash, which certificates bind; returns the hash, 0x hex.

        A private certificate shows only the hash of its details: given here, it finds the
        instruction as well.
        """
        hashes = [instruction.hash] if details_hash is None else [instruction.hash, details_hash]
        rows = [{"hash": "0x" + one.hex(), "content": instruction.as_json()} for one in hashes]
        with self._database.begin() as connection:
            connection.execute(upsert(retirement_instructions).on_conflict_do_nothing(), rows)
        return "0x" + instruction.hash.hex()

    def instruction(self, key: str) -> RetirementInstruction | None:
        """The instruction of a hash; None when nobody gave it to us."""
        table = retirement_instructions
        with self._database.read() as connection:
            found = connection.execute(select(table.c.content).where(table.c.hash == key)).scalar()
        return None if found is None else RetirementInstruction.from_json(found)


def _as_request(row: Row[Any]) -> StoredRequest:
    answer = None if row.answer is None else Answer.from_json(row.answer)
    return StoredRequest(row.kind, row.flow, request_from_json(row.request), answer)
