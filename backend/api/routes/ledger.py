"""`/v1/ledger`: credits that are kept without tokens; owners see all of theirs.

Everybody sees what the programmes themselves publish: where the capability `public_ledger` is yes.
A private instruction is shown to its owner alone.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from backend.api.answers import many, one
from backend.api.errors import responses
from backend.api.ledger_models import (
    LedgerHoldingsModel,
    LedgerRetirementModel,
    LedgerStatementModel,
)
from backend.api.models import Answer, PageAnswer
from backend.api.parameters import PageQuery
from backend.api.parameters import Query as Plain
from backend.api.session import require_account
from backend.domain.capabilities import Known, Mode
from backend.errors import NotFound
from backend.registries.custody_file import Custody
from backend.registries.programmes import programmes
from backend.store.queries import ledger as kept
from backend.store.queries.ledger import LedgerRetirement
from backend.store.queries.reading import Connection, Page

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])
#: The address in the path; a session of its own opens it.
Own = Annotated[str, Depends(require_account)]
ReferencePath = Annotated[
    str,
    Path(
        description="The owner's reference of the retirement.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,79}$",
        examples=["retire:2026-0001"],
    ),
]


@router.get("/holdings", response_model=Answer[LedgerHoldingsModel], responses=responses())
async def list_holdings(request: Request, query: Annotated[Plain, Query()]) -> Response:
    """What lies in custody without tokens, of programmes whose ledger is public."""
    public = _public(request)
    return await one(
        request,
        query,
        LedgerHoldingsModel,
        lambda db, head: {
            "programmes": public,
            "holdings": kept.holdings(db, programmes=public, by_owner=False),
        },
    )


@router.get("/retirements", response_model=PageAnswer[LedgerRetirementModel], responses=responses())
async def list_retirements(request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """Retirements without tokens, of programmes whose ledger is public, the newest first."""
    public = _public(request)

    def work(db: Connection, head: object) -> Page[LedgerRetirement]:
        page = kept.list_retirements(db, programmes=public, cursor=query.cursor, limit=query.limit)
        return Page(tuple(map(_shown, page.items)), page.next_cursor)

    return await many(request, query, LedgerRetirementModel, work)


@router.get(
    "/retirements/{reference}",
    response_model=Answer[LedgerRetirementModel],
    responses=responses(404),
)
async def get_retirement(
    request: Request, reference: ReferencePath, query: Annotated[Plain, Query()]
) -> Response:
    """One of them: what was asked, and what the registry really retired."""
    public = _public(request)

    def work(db: Connection, head: object) -> LedgerRetirement:
        found = kept.get_retirement(db, reference)
        if found.programme not in public:
            # As if it were not there: that it is, the programme does not publish.
            raise NotFound(f"there is no retirement {reference}", reference=reference)
        return _shown(found)

    return await one(request, query, LedgerRetirementModel, work)


@router.get(
    "/accounts/{address}",
    response_model=Answer[LedgerStatementModel],
    responses=responses(401, 403),
)
async def get_statement(
    request: Request, account: Own, query: Annotated[Plain, Query()]
) -> Response:
    """What an owner has in custody without tokens; needs a session of its own."""
    return await one(
        request,
        query,
        LedgerStatementModel,
        lambda db, head: {"owner": account, "holdings": kept.holdings(db, owner=account)},
        private=True,
    )


@router.get(
    "/accounts/{address}/retirements",
    response_model=PageAnswer[LedgerRetirementModel],
    responses=responses(401, 403),
)
async def list_own(
    request: Request, account: Own, query: Annotated[PageQuery, Query()]
) -> Response:
    """An owner's retirements without tokens, private ones too; needs a session of its own."""
    return await many(
        request,
        query,
        LedgerRetirementModel,
        lambda db, head: kept.list_retirements(
            db, owner=account, cursor=query.cursor, limit=query.limit
        ),
        private=True,
    )


def _public(request: Request) -> list[str]:
    """Programmes without tokens whose ledger is public, by their sources or in writing."""
    custody: Custody = request.app.state.custody
    today = datetime.now(UTC).date()
    found = [custody.programme(code, today) for code in programmes()]
    return [
        one.programme
        for one in found
        if one.mode is Mode.LEDGER and one.answer("public_ledger") is Known.YES
    ]


def _shown(found: LedgerRetirement) -> LedgerRetirement:
    """As everybody may see it."""
    said = found.instruction
    return replace(found, instruction=None) if said and not said.get("is_public") else found
