"""The pages: landing, API reference, a certificate to print and to check.

Templates and style are in `backend/web`. Everything a stranger wrote is escaped by Jinja. No
script, nothing from elsewhere. Private texts that a holder types in are checked against the
hash on chain, shown once and kept nowhere.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any
from unicodedata import category
from urllib.parse import parse_qsl

from eth_utils.hexadecimal import is_hex
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from backend.api.answers import services_of
from backend.api.parameters import CertificateIdPath
from backend.domain.retirements import RetirementDetails
from backend.domain.units import format_kilograms
from backend.errors import InvalidValue
from backend.store.queries import certificates, overview
from backend.store.queries.certificates import Certificate
from backend.store.queries.reading import deployment

#: A form of four short texts and two hashes is far below this.
MOST_FORM_BYTES = 16_384
_FIELDS = ("salt", "beneficiary", "purpose", "period", "instruction_hash")
_NO_HASH = "0x" + "00" * 32
#: Embeddings, overrides and isolates of direction, and what has no width (not the joiners that
#: emoji and Indic scripts need).
_DECEPTIVE = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u2060\ufeff")

router = APIRouter(include_in_schema=False)
_style = (files("backend") / "web" / "static" / "causeway.css").read_bytes()
_templates = Environment(
    loader=PackageLoader("backend", "web/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _moment(seconds: int | None) -> str:
    if seconds is None:
        return "time unknown"
    return f"{datetime.fromtimestamp(seconds, UTC):%d %B %Y, %H:%M} UTC"


def _day(number: int) -> str:
    """YYYYMMDD of a registry as a date; what is no day is shown as it came."""
    try:
        return f"{date(number // 10000, number // 100 % 100, number % 100):%d %B %Y}"
    except ValueError:
        return str(number)


def _visible(text: str) -> str:
    """Characters that reorder or hide text, and controls, by their code points.

    Whoever wrote a text could make it look like another one: an override of direction shows the
    letters of a name backwards. Letters of right-to-left scripts stay what they are.
    """
    return "".join(
        f"[U+{ord(char):04X}]" if char in _DECEPTIVE or category(char) == "Cc" else char
        for char in text
    )


_templates.filters.update(
    visible=_visible,
    kilograms=format_kilograms,
    tonnes=lambda tonnes: f"{tonnes:,} t",
    number=lambda value: f"{value:,}",
    moment=_moment,
    day=_day,
    long_date=lambda day: f"{day:%d %B %Y}",
)


def render(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """One page."""
    return HTMLResponse(_templates.get_template(name).render(**values), status)


class Revealed:
    """Private texts somebody typed in, and whether they are the ones the chain has the hash of."""

    def __init__(self, given: dict[str, str], details_hash: str) -> None:
        self.given = {name: given.get(name, "") for name in _FIELDS}
        self.matches, self.problem = False, ""
        try:
            details = RetirementDetails(
                self.given["beneficiary"],
                self.given["purpose"],
                self.given["period"],
                _bytes32("instruction_hash", self.given["instruction_hash"] or _NO_HASH),
                _bytes32("salt", self.given["salt"]),
            )
        except InvalidValue as error:
            self.problem = error.message
            return
        except UnicodeEncodeError:
            self.problem = "a text is not valid Unicode"
            return
        self.hash = "0x" + details.hash.hex()
        self.matches = self.hash == details_hash
        if not self.matches:
            self.problem = f"these texts hash to {self.hash}, the chain holds {details_hash}"


def _bytes32(name: str, text: str) -> bytes:
    text = text.strip()
    if not (text.startswith("0x") and len(text) == 66 and is_hex(text)):
        raise InvalidValue(name, text, "is not 0x and 64 hex digits")
    return bytes.fromhex(text[2:])


@router.get("/certificates/{certificate_id}")
async def certificate_page(request: Request, certificate_id: CertificateIdPath) -> Response:
    """The certificate; query parameters may carry the private texts (a link to share)."""
    given = dict(request.query_params)
    return await _certificate(request, certificate_id, given if given.keys() & {*_FIELDS} else None)


@router.post("/certificates/{certificate_id}")
async def reveal_page(request: Request, certificate_id: CertificateIdPath) -> Response:
    """The same with private texts from the form: they stay out of addresses and logs."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415, "the form is application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM_BYTES:
            raise HTTPException(413, f"a form holds at most {MOST_FORM_BYTES} bytes")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise InvalidValue("form", "…", "is not application/x-www-form-urlencoded") from error
    return await _certificate(request, certificate_id, dict(pairs))


async def _certificate(
    request: Request, certificate_id: int, given: dict[str, str] | None
) -> Response:
    services = services_of(request)
    head, (found, addresses) = await services.read(
        lambda db, head: (certificates.get_certificate(db, certificate_id), deployment(db))
    )
    made = found.retirement
    revealed = None
    if given is not None and made.texts is None:
        revealed = Revealed(given, made.details_hash)
    page = render(
        "certificate.html",
        certificate=found,
        retirement=made,
        credit_class=found.credit_class,
        references={c.confirmation_id: c.reference for c in found.confirmations},
        exchanged=_exchanged(found),
        head=head,
        provisional=made.block_number > services.final_number(head),
        addresses=addresses,
        revealed=revealed,
    )
    # What a holder revealed is nobody else's: no cache keeps the page.
    page.headers["Cache-Control"] = "no-store" if given else "no-cache"
    return page


def _exchanged(found: Certificate) -> bool:
    """Whether any serial differs from the one expected at the retirement."""
    return any(
        [(r.position, r.series, r.first, r.last) for r in piece.expected] != _joined(piece.serials)
        for piece in found.pieces
    )


def _joined(runs: Any) -> list[tuple[int, str, int, int]]:
    """Runs without the cuts that confirmations make."""
    joined: list[tuple[int, str, int, int]] = []
    for run in runs:
        if joined:
            position, series, first, last = joined[-1]
            if series == run.series and last + 1 == run.first:
                joined[-1] = (position, series, first, run.last)
                continue
        joined.append((run.position, run.series, run.first, run.last))
    return joined


@router.get("/")
async def landing_page(request: Request) -> Response:
    """What this is, how it stands, where to go on."""
    services = services_of(request)
    head, found = await services.read(lambda db, head: overview.get_overview(db))
    return render("landing.html", head=head, overview=found)


@router.get("/docs")
async def reference_page(request: Request) -> Response:
    """The API reference, from the OpenAPI schema, without anything from elsewhere."""
    return render("reference.html", schema=request.app.openapi())


@router.get("/static/causeway.css")
async def style_sheet() -> Response:
    return Response(
        _style, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"}
    )


@router.get("/favicon.ico")
async def no_icon() -> Response:
    return Response(status_code=204)
