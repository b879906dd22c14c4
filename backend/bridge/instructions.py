"""The instruction of a retirement: the holder's own, or what the certificate's words say."""

from __future__ import annotations

from backend.bridge.parts import Parts
from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.registries.programmes import programme_data
from backend.store.flows import Flow
from backend.store.queries import consumed

#: What a registry is told where nobody said more.
UNDISCLOSED = "Not disclosed"


def instruction_for(parts: Parts, flow: Flow, programme: str) -> RetirementInstruction:
    """The instruction that the certificate binds by its hash, if we have it; else its words."""
    certificate = int(flow.content["certificate"])
    with parts.database.read() as connection:
        words = consumed.words_of(connection, certificate)
        details_hash = consumed.details_hash_of(connection, certificate)
    given = parts.requests.instruction(words.instruction_hash if words else details_hash)
    if given is not None:
        return given
    return RetirementInstruction(
        programme=programme,
        beneficiary=(words.beneficiary if words else "") or UNDISCLOSED,
        kind=BeneficiaryKind.ENTITY,
        country="",
        use_case=UseCase.VOLUNTARY,
        reason_code=programme_data(programme).rules.plain_reason,
        is_public=words is not None,
        note=f"Causeway certificate {certificate} on chain {parts.services.chain_id}",
    )
