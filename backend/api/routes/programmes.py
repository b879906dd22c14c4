"""`/v1/programmes`, `/v1/trust-accounts`, `/v1/retirement-instructions`: rules before a signature.

An instruction is checked by the programme's rules and kept by its hash before the holder retires:
afterwards the certificate's text never changes, and some registries change nothing either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from backend.api.answers import respond, services_of
from backend.api.errors import responses
from backend.api.programme_models import (
    CapabilityModel,
    InstructionAnswer,
    InstructionRequest,
    ProgrammeModel,
    ProgrammesAnswer,
    RetirementRulesModel,
    SchemeModel,
    TrustAccountModel,
    TrustAccountsAnswer,
)
from backend.api.session import session_account
from backend.domain.capabilities import QUESTIONS, Programme, bars_to_retiring, require
from backend.domain.instruction_rules import InstructionRules, check_instruction
from backend.domain.instructions import RetirementInstruction
from backend.domain.retirements import RetirementDetails, details_of
from backend.domain.trusts import TrustAccount
from backend.registries.custody_file import Custody
from backend.registries.programmes import programme_data, programmes
from backend.store.queries.classes import get_class
from backend.store.registry_requests import RegistryRequests

router = APIRouter(prefix="/v1", tags=["registry"])


@router.get("/programmes", response_model=ProgrammesAnswer, responses=responses())
async def list_programmes(request: Request) -> Response:
    """What each programme's registry allows, and what it asks of a retirement."""
    custody, today = _custody(request), datetime.now(UTC).date()
    found = [_programme(custody.programme(code, today)) for code in programmes()]
    return respond(request, ProgrammesAnswer(data=found))


@router.get("/trust-accounts", response_model=TrustAccountsAnswer, responses=responses())
async def list_trust_accounts(request: Request) -> Response:
    """The trust accounts with their terms in full: receipts carry the hash of the terms."""
    found = [_trust(one) for one in _custody(request).trusts]
    return respond(request, TrustAccountsAnswer(data=found))


@router.post(
    "/retirement-instructions/check",
    response_model=InstructionAnswer,
    responses=responses(400, 404),
)
async def check_only(request: Request, body: InstructionRequest) -> Response:
    """Check an instruction by the programme's rules; nothing is kept, and no session is needed.

    What would be signed comes back. Refused with every rule it breaks (`programme-forbids`:
    `fields`, `codes` and `reasons` in the same order).
    """

    def work() -> InstructionAnswer:
        programme, said, details = _checked(request, body)
        return _answer(programme, said.hash, details)

    return _uncached(await run_in_threadpool(work))


@router.post(
    "/retirement-instructions", response_model=InstructionAnswer, responses=responses(400, 401, 404)
)
async def check_and_keep(
    request: Request,
    body: InstructionRequest,
    account: Annotated[str, Depends(session_account)],
) -> Response:
    """Check an instruction by the programme's rules and keep it; what to sign comes back.

    Needs a session. Refused with every rule it breaks (`programme-forbids`).
    """

    def work() -> InstructionAnswer:
        programme, said, details = _checked(request, body)
        RegistryRequests(services_of(request).database).keep_instruction(said, details.hash)
        return _answer(programme, said.hash, details)

    return _uncached(await run_in_threadpool(work))


def _checked(
    request: Request, body: InstructionRequest
) -> tuple[str, RetirementInstruction, RetirementDetails]:
    """The class's programme, the instruction and the certificate's words; raises what is wrong."""
    with services_of(request).database.read() as connection:
        programme = get_class(connection, body.class_id).programme
    content = {"programme": programme, **body.instruction.model_dump(mode="json")}
    said = RetirementInstruction.from_json(content)
    today = datetime.now(UTC).date()
    require("retirement", bars_to_retiring(_custody(request).programme(programme, today)))
    check_instruction(programme_data(programme).rules, said, today)
    return programme, said, details_of(said, bytes.fromhex(body.details_salt[2:]))


def _answer(programme: str, instruction: bytes, details: RetirementDetails) -> InstructionAnswer:
    return InstructionAnswer(
        programme=programme,
        instruction_hash="0x" + instruction.hex(),
        details_hash="0x" + details.hash.hex(),
        beneficiary=details.beneficiary,
        purpose=details.purpose,
        period=details.period,
        notices=list(programme_data(programme).rules.notices),
    )


def _uncached(answer: InstructionAnswer) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(answer.model_dump_json(), media_type="application/json", headers=headers)


def _custody(request: Request) -> Custody:
    found: Custody = request.app.state.custody
    return found


def _programme(found: Programme) -> ProgrammeModel:
    return ProgrammeModel(
        programme=found.programme,
        name=found.name,
        mode=found.mode,
        mode_reason=found.mode_reason,
        answers={
            name: CapabilityModel(question=QUESTIONS[name], answer=one.answer, source=one.source)
            for name, one in found.answers.items()
        },
        retirement=_rules(programme_data(found.programme).rules),
    )


def _rules(rules: InstructionRules) -> RetirementRulesModel:
    return RetirementRulesModel(
        beneficiary_required=rules.beneficiary_required,
        identifier_required=rules.identifier_required,
        claim_required=rules.claim_required,
        private_allowed=rules.private_allowed,
        kinds=list(rules.kinds),
        countries=list(rules.countries),
        uses=list(rules.uses),
        reasons=list(rules.reasons),
        schemes=[
            SchemeModel(name=one.name, periods=list(one.periods), filed_from=one.filed_from)
            for one in rules.schemes
        ],
        notices=list(rules.notices),
    )


def _trust(trust: TrustAccount) -> TrustAccountModel:
    return TrustAccountModel(
        name=trust.name,
        account=str(trust.account),
        account_id="0x" + trust.account_id.hex(),
        terms_hash="0x" + trust.terms_hash.hex(),
        trustee=trust.trustee,
        trustee_identifier=trust.trustee_identifier,
        custodian=trust.custodian,
        governing_law=trust.governing_law,
        holder_right=trust.holder_right,
        terms=trust.text,
        opened_on=trust.opened_on,
        ends_on=trust.ends_on(),
        wound_down_on=trust.wound_down_on(),
        consent_document=trust.consent.document if trust.consent else None,
        successor=trust.successor or None,
        sample=trust.is_sample,
    )
