"""A certificate to print and to check, whole without its script.

Private texts that a holder types in are checked against the hash on chain, shown once and kept
nowhere.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from eth_utils.hexadecimal import is_hex
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from backend.api.answers import services_of
from backend.api.parameters import CertificateIdPath
from backend.api.site.rendering import page
from backend.domain.retirements import RetirementDetails
from backend.errors import InvalidValue
from backend.store.queries import certificates
from backend.store.queries.certificates import Certificate, Retirement
from backend.store.queries.reading import deployment

_FIELDS = ("salt", "beneficiary", "purpose", "period", "instruction_hash")
_NO_HASH = "0x" + "00" * 32

router = APIRouter(include_in_schema=False)


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
    body = await request.body()
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
    answer = page(
        request,
        "certificate.html",
        "explore",
        certificate=found,
        retirement=made,
        credit_class=found.credit_class,
        references={c.confirmation_id: c.reference for c in found.confirmations},
        exchanged=_exchanged(found),
        head=head,
        provisional=made.block_number > services.final_number(head),
        addresses=addresses,
        revealed=revealed,
        bound=_bound(made, revealed),
        data={
            "id": str(made.certificate_id),
            "block": str(made.block_number),
            "transaction": made.transaction_hash,
            "provisional": made.block_number > services.final_number(head),
        },
    )
    # What a holder revealed is nobody else's: no cache keeps the page.
    answer.headers["Cache-Control"] = "no-store" if given else "no-cache"
    return answer


def _bound(made: Retirement, revealed: Revealed | None) -> str | None:
    """Hash of the instruction that the texts carry, when it can be known and there is one."""
    if made.texts is not None:
        known = made.texts.instruction_hash
    elif revealed is not None and revealed.matches:
        known = revealed.given["instruction_hash"]
    else:
        return None
    return known if known and known != _NO_HASH else None


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
