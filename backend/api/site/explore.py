"""The explorer: a serial, project, certificate, wallet or transaction, and its way drawn as a path.

One field for everything: what was typed says by its form what it is. Registry's row, receipt,
class and position, holder or certificate, registry's confirmation stand one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from eth_utils.address import is_address, to_checksum_address
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from backend.api.answers import services_of
from backend.api.site.language import Texts
from backend.api.site.rendering import class_name, page, texts_of, vintage
from backend.errors import CausewayError, InvalidValue, NotFound
from backend.store.queries import classes, lookup, registry, tracing
from backend.store.queries.certificates import Retirement
from backend.store.queries.classes import ClassSummary
from backend.store.queries.finding import find_retirements
from backend.store.queries.reading import MAX_LIMIT, ChainHead, Connection
from backend.store.queries.receipts import ReceiptSummary
from backend.store.queries.registry import Lot, RegistryBlock
from backend.store.queries.tracing import SerialTrace, WalletTrace

#: `VCS:2/9000074655`, `GS:11603:2025:30256/110`, also with a range of which the first counts.
_SERIAL: Final = re.compile(
    r"(?P<series>[A-Z]{2,10}(?::[\w-]+)+)\s*/\s*(?P<number>\d{1,19})(?:-\d+)?"
)
_TRANSACTION: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_MOST: Final = 100

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One station of a path: what it is, in which words, and where it leads."""

    title: str
    text: str
    detail: str = ""
    link: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """What registries and chain know of the projects that fit a text, and the certificates that
    name it: for whom they are, or under which reference the registry confirmed them.
    """

    classes: tuple[ClassSummary, ...]
    lots: tuple[Lot, ...]
    retirements: tuple[Retirement, ...]


@router.get("/explore")
async def explore_page(request: Request, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """What the text names; several kinds of things may fit a project's name."""
    wanted = q.strip()
    if wanted.isdigit():
        return RedirectResponse(f"/certificates/{wanted}", 303)
    texts = texts_of(request)
    values: dict[str, Any] = {"q": wanted, "steps": (), "wallet": None, "project": None}
    refused: CausewayError | None = None
    head: ChainHead | None = None
    try:
        head, found = await services_of(request).read(lambda db, head: _find(db, head, wanted))
    except (NotFound, InvalidValue) as error:
        found, refused = None, error
    if isinstance(found, int):
        return RedirectResponse(f"/certificates/{found}", 303)
    if isinstance(found, SerialTrace):
        values |= {"serial": found, "steps": _path(texts, found)}
    elif isinstance(found, WalletTrace):
        values["wallet"] = found
    elif isinstance(found, Project):
        values["project"] = found
    return page(
        request, "explore.html", "explore", head=head, refused=refused, **{"serial": None} | values
    )


def _find(
    connection: Connection, head: ChainHead, wanted: str
) -> SerialTrace | WalletTrace | Project | int | None:
    if not wanted:
        return None
    serial = _SERIAL.fullmatch(wanted)
    if serial:
        series = tracing.resolve_series(connection, serial["series"])
        return tracing.trace_serial(connection, series, int(serial["number"]))
    if is_address(wanted):
        return tracing.trace_wallet(connection, to_checksum_address(wanted), head)
    if _TRANSACTION.fullmatch(wanted):
        made = lookup.certificates_of_transaction(connection, wanted.lower())
        if not made:
            raise NotFound(f"no certificate was made by transaction {wanted}", transaction=wanted)
        return made[0]
    return _projects(connection, wanted)


def _projects(connection: Connection, wanted: str) -> Project:
    """Classes and lots whose programme, number or name holds every word, and certificates."""
    words = re.split(r"[\s/-]+", wanted.casefold())

    def fits(programme: str, project: str, name: str | None) -> bool:
        text = f"{programme} {project} {name or ''}".casefold()
        return all(word in text for word in words)

    known = classes.list_classes(connection, limit=MAX_LIMIT).items
    lots = registry.list_lots(connection)
    return Project(
        tuple(one for one in known if fits(one.programme, one.project, one.project_name))[:_MOST],
        tuple(one for one in lots if fits(one.programme, one.project, one.project_name))[:_MOST],
        find_retirements(connection, wanted),
    )


def _path(t: Texts, found: SerialTrace) -> Sequence[Step]:
    """From the registry's rows to what became of the credit."""
    steps = [_row(t, row) for row in found.registry]
    if found.receipt is not None:
        steps.append(_receipt(t, found.receipt))
    if found.credit_class is not None:
        made = found.credit_class
        at = t("explore.position", number=t.number(found.position or 0))
        if found.minted_position != found.position:
            at += " " + t("explore.minted_at", number=t.number(found.minted_position or 0))
        name = f"{class_name(made)}, {vintage(made)}"
        steps.append(Step(t("explore.token"), name, at, f"/v1/classes/{made.class_id}"))
    for made_retirement in found.retirements:
        steps.append(
            Step(
                t("explore.retired"),
                t.kilograms(made_retirement.kilograms),
                t.moment(made_retirement.timestamp),
                f"/certificates/{made_retirement.certificate_id}",
                made_retirement.status,
            )
        )
    if found.confirmation is not None:
        detail = t("explore.confirmed_as", reference=found.confirmation.reference)
        steps.append(Step(t("explore.confirmation"), detail, "", "", "confirmed"))
    elif found.holders:
        names = ", ".join(f"{one.account[:6]}…{one.account[-4:]}" for one in found.holders[:3])
        steps.append(Step(t("explore.holders"), names, t("explore.holders_words")))
    return steps


def _row(t: Texts, row: RegistryBlock) -> Step:
    serials = f"{row.series} / {row.first} – {row.last}"
    words = t("explore.row_words", status=row.status, file=str(row.source.get("file", "")))
    return Step(t("explore.row"), serials, words, f"/v1/imports/{row.last_import}")


def _receipt(t: Texts, receipt: ReceiptSummary) -> Step:
    signers = t("explore.signers", count=len(receipt.signers))
    link = f"/v1/receipts/{receipt.receipt_id}"
    return Step(t("explore.receipt"), f"{receipt.receipt_id[:18]}…", signers, link, receipt.state)
