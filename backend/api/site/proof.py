"""Proof: the newest reserve report against what is minted, class by class, and every open break."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.api.answers import services_of
from backend.api.site.rendering import page
from backend.errors import NotFound
from backend.store import breaks
from backend.store.breaks import StoredBreak
from backend.store.queries import reserve
from backend.store.queries.classes import ClassSummary, classes_by_id, list_classes
from backend.store.queries.reading import MAX_LIMIT, Connection, deployment
from backend.store.queries.reserve import ClassFigures, PublishedReport

#: The laws, each with a text of its own.
LAWS: Final = tuple(f"L{number}" for number in range(1, 12))

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One class: what the report covers and what is minted now; figures None beyond the report."""

    credit_class: ClassSummary
    figures: ClassFigures | None

    @property
    def room(self) -> int | None:
        """Tonnes that may still be minted under the report."""
        if self.figures is None:
            return None
        return max(0, self.figures.covered - self.credit_class.positions.minted)

    @property
    def percent(self) -> int:
        """Live tonnes behind the outstanding ones, in whole percent, rounded down (L11)."""
        if self.figures is None:
            return 0
        outstanding = self.figures.minted - self.figures.exited
        return 100 if not outstanding else min(100, self.figures.live * 100 // outstanding)


@dataclass(frozen=True, slots=True)
class _Found:
    report: PublishedReport | None
    rows: tuple[Row, ...]
    breaks: tuple[StoredBreak, ...]
    addresses: dict[str, str]


@router.get("/proof")
async def proof_page(request: Request) -> Response:
    """Reserve and supply side by side, and how to check both without this service."""
    head, found = await services_of(request).read(lambda db, head: _read(db))
    return page(request, "proof.html", "proof", head=head, found=found, laws=LAWS)


def _read(connection: Connection) -> _Found:
    try:
        report = reserve.get_reserve(connection)
    except NotFound:
        report = None
    figures = {one.class_id: one for one in report.classes} if report else {}
    known = {one.class_id: one for one in list_classes(connection, limit=MAX_LIMIT).items}
    known |= classes_by_id(connection, figures.keys() - known.keys())
    rows = tuple(Row(one, figures.get(class_id)) for class_id, one in known.items())
    ordered = tuple(sorted(rows, key=lambda row: row.credit_class.number))
    opened = breaks.list_breaks(connection, state=breaks.OPEN, limit=MAX_LIMIT).items
    return _Found(report, ordered, opened, deployment(connection))
