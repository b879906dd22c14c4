"""Join: admission, what one owns and from whom, who pays, a lost key; and one's own state."""

from __future__ import annotations

from typing import Annotated, Final

from eth_utils.address import is_address, to_checksum_address
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import services_of
from backend.api.site.rendering import page
from backend.store.queries import accounts
from backend.store.queries.reading import deployment

#: Sections in the order of the page; each has a title and a text.
SECTIONS: Final = ("admission", "own", "gas", "money", "holds", "key", "approvers", "leave")

router = APIRouter(include_in_schema=False)


@router.get("/join")
async def join_page(
    request: Request, address: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """What to know before joining; with `?address=` how that address stands."""
    wanted = address.strip()
    known = to_checksum_address(wanted) if is_address(wanted) else None
    head, (account, addresses) = await services_of(request).read(
        lambda db, head: (
            accounts.get_account(db, known, head) if known else None,
            deployment(db),
        )
    )
    return page(
        request,
        "join.html",
        "join",
        head=head,
        sections=SECTIONS,
        address=wanted,
        account=account,
        addresses=dict(sorted(addresses.items())),
    )
