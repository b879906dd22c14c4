"""Certificates by what people remember of them: for whom they are, or the registry's reference."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.store import tables
from backend.store.queries.certificates import Retirement, retirements_from, select_retirements

#: A search is of what one person looks for: more than a page is no answer.
MOST_FOUND = 50
#: Shorter texts fit everything.
SHORTEST = 3


def find_retirements(connection: Connection, text: str) -> tuple[Retirement, ...]:
    """Retirements whose public beneficiary holds the text in any case, or that the registry
    confirmed under exactly this reference; the newest first, at most `MOST_FOUND`.
    """
    if len(text) < SHORTEST:
        return ()
    made, public = tables.certificates, tables.certificate_details
    beneficiary = public.c.beneficiary.icontains(text, autoescape=True)
    wanted = [beneficiary, *_under(connection, text)]
    newest = (made.c.block_number.desc(), made.c.log_index.desc())
    query = select_retirements().where(or_(*wanted)).order_by(*newest).limit(MOST_FOUND)
    found, _ = retirements_from(connection, connection.execute(query).all())
    spelled = text.casefold()
    return tuple(
        one
        for one in found
        if text in one.references
        or (one.texts is not None and spelled in one.texts.beneficiary.casefold())
    )


def _under(connection: Connection, reference: str) -> list[ColumnElement[bool]]:
    """For each confirmation of a reference: the retirements that may stand on its positions."""
    known, made = tables.registry_confirmations, tables.certificates
    rows = connection.execute(
        select(known.c.class_id, known.c.first_position, known.c.tonnes)
        .where(known.c.reference == reference)
        .limit(MOST_FOUND)
    )
    found = []
    for class_id, first, tonnes in rows:
        whole = made.c.kilograms // KILOGRAMS_PER_TONNE + 1
        front = and_(made.c.exited < first + tonnes, made.c.exited + whole >= first)
        opened = made.c.open_tonne.between(first, first + tonnes - 1)
        found.append(and_(made.c.class_id == class_id, or_(front, opened)))
    return found
