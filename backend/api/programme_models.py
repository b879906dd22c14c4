"""Shapes of programmes, trust accounts and retirement instructions."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from backend.api.parameters import ClassId

_HEX32 = "^0x[0-9a-f]{64}$"


class CapabilityModel(BaseModel):
    """One answer about a programme and where it is from."""

    question: str
    answer: str = Field(description="`yes`, `no`, `sub-accounts` (only in them) or `unknown`.")
    source: str


class SchemeModel(BaseModel):
    """A scheme whose obligations credits can meet."""

    name: str
    periods: list[str] = Field(description="Empty: any text.")
    filed_from: date | None = Field(description="Units filed before cannot be used for it.")


class RetirementRulesModel(BaseModel):
    """What the registry asks of a retirement."""

    beneficiary_required: bool
    identifier_required: bool
    claim_required: bool
    private_allowed: bool
    kinds: list[str]
    countries: list[str] = Field(description="Empty: any.")
    uses: list[str]
    reasons: list[str] = Field(description="Empty: any text.")
    schemes: list[SchemeModel]
    notices: list[str] = Field(description="Show them before anything is signed.")


class ProgrammeModel(BaseModel):
    """What one programme allows, with what this deployment has in writing."""

    programme: str
    name: str
    mode: str = Field(description="`token`, or `ledger`: kept with every law, without a token.")
    mode_reason: str
    answers: dict[str, CapabilityModel]
    retirement: RetirementRulesModel


class ProgrammesAnswer(BaseModel):
    """Every programme."""

    data: list[ProgrammeModel]


class TrustAccountModel(BaseModel):
    """A trust account: its `account_id` and `terms_hash` stand in its receipts."""

    name: str
    account: str
    account_id: str
    terms_hash: str
    trustee: str
    trustee_identifier: str
    custodian: str
    governing_law: str
    holder_right: str
    terms: str
    opened_on: date
    ends_on: date | None = Field(description="Last day on which credits come in.")
    wound_down_on: date | None
    consent_document: str | None
    successor: str | None
    sample: bool = Field(description="Texts are samples: no rights arise from them.")


class TrustAccountsAnswer(BaseModel):
    """Every trust account of the deployment."""

    data: list[TrustAccountModel]


class InstructionModel(BaseModel):
    """Everything a registry asks before it retires; docs/custody-file.md explains the fields."""

    model_config = ConfigDict(extra="forbid")

    beneficiary: str = Field(max_length=256)
    kind: str = Field(max_length=16, description="`person` or `entity`.")
    country: str = Field(max_length=2, description="ISO 3166-1 alpha-2.")
    use_case: str = Field(max_length=16, description="`voluntary` or `compliance`.")
    reason_code: str = Field(max_length=256, description="As the programme spells it.")
    identifier: str = Field("", max_length=256)
    scheme: str = Field("", max_length=256)
    scheme_period: str = Field("", max_length=256)
    claim_start: date | None = None
    claim_end: date | None = None
    is_public: bool = True
    note: str = Field("", max_length=256)
    salt: str = Field("0x" + "00" * 32, pattern=_HEX32)


class InstructionRequest(BaseModel):
    """An instruction for credits of a class; `details_salt` is the certificate's, when private."""

    model_config = ConfigDict(extra="forbid")

    class_id: ClassId
    instruction: InstructionModel
    details_salt: str = Field("0x" + "00" * 32, pattern=_HEX32)


class InstructionAnswer(BaseModel):
    """What to sign: the words of the certificate and the hashes that bind them."""

    programme: str
    instruction_hash: str
    details_hash: str
    beneficiary: str
    purpose: str
    period: str
    notices: list[str]
