"""What answers look like: one model per thing, integers as decimal strings."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

#: Every integer is a decimal string: JSON numbers lose what does not fit into a double.
Integer = Annotated[
    int,
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^-?[0-9]+$", "examples": ["1000"]}),
]
SeriesName = Annotated[str, BeforeValidator(str), Field(examples=["VCS:2"])]
T = TypeVar("T")


def _unit_type(value: Any) -> Any:
    return ("credit", "allowance")[value] if value in (0, 1) else value


class Model(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Head(Model):
    """The newest chain block that the answer shows."""

    chain_id: Integer | None = Field(description="None while nothing is indexed.")
    number: Integer = Field(description="−1 while nothing is indexed.")
    hash: str | None
    timestamp: Integer | None = Field(description="Unix seconds.")
    final_number: Integer = Field(description="Chain blocks up to this one are final.")


class Answer(BaseModel, Generic[T]):
    """One thing, and the chain block it is true at."""

    head: Head
    data: T


class PageAnswer(BaseModel, Generic[T]):
    """A page of things, and the chain block they are true at."""

    head: Head
    data: list[T]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the rest.")


class OnChain(Model):
    """Something that a chain event made."""

    block_number: Integer
    log_index: Integer
    provisional: bool = Field(
        default=False, description="The chain block is not final: a reorganisation may undo it."
    )

    @model_validator(mode="after")
    def _say_whether_provisional(self, info: ValidationInfo) -> OnChain:
        self.provisional = self.block_number > (info.context or {}).get("final", -1)
        return self


class PositionsModel(Model):
    """Counters of a class: L1 supply = (minted − exited) × 1000 + dust."""

    minted: Integer = Field(description="Tonnes ever minted.")
    exited: Integer = Field(description="Tonnes consumed from the front, an opened one included.")
    open_tonne: Integer = Field(description="Position of the open tonne; nothing while dust is 0.")
    dust: Integer = Field(description="Kilograms left of the open tonne.")


class ClassModel(OnChain):
    """A class of interchangeable credits: one token id."""

    class_id: Integer
    number: Integer
    programme: str
    project: str
    project_name: str | None
    unit_type: Annotated[Literal["credit", "allowance"], BeforeValidator(_unit_type)]
    vintage_start: date
    vintage_end: date
    cohort: list[str] | None = Field(description="Label codes; null where a hash is unknown.")
    cohort_hashes: list[str]
    project_hash: str
    vintage_hash: str
    positions: PositionsModel
    supply_kilograms: Integer
    live_tonnes: Integer
    retired_kilograms: Integer
    confirmed_tonnes: Integer


class FactModel(OnChain):
    """A dated fact about a class, never part of its id."""

    key: str
    value: str
    as_of: Integer = Field(description="YYYYMMDD")
    vocabulary: str


class SerialRunModel(Model):
    """Positions that stand on consecutive serials."""

    position: Integer
    tonnes: Integer
    series: SeriesName
    series_hash: str
    first: Integer
    last: Integer
    receipt_id: str
    confirmation_id: str | None
    status: Literal["expected", "actual"] = Field(
        default="expected", description="`actual`: the registry says it retired exactly these."
    )

    @model_validator(mode="after")
    def _say_which(self) -> SerialRunModel:
        self.status = "expected" if self.confirmation_id is None else "actual"
        return self


class ClassBlockModel(OnChain):
    """A block of serials as it was minted, and what its positions stand on now."""

    first_position: Integer
    tonnes: Integer
    series: SeriesName
    series_hash: str
    first: Integer
    last: Integer
    receipt_id: str
    consumed_tonnes: Integer
    serials: list[SerialRunModel]


class HolderModel(Model):
    account: str
    kilograms: Integer
    retired_kilograms: Integer


class HoldingModel(Model):
    credit_class: ClassModel
    kilograms: Integer
    retired_kilograms: Integer


class AccountModel(Model):
    """What the chain says of an address."""

    address: str
    state: Literal["unknown", "admitted", "expired", "frozen"]
    tier: Integer
    tier_name: str
    jurisdiction: str | None
    expiry: Integer | None = Field(description="Unix seconds, inclusive; null: never.")
    frozen: bool
    classes_held: Integer
    kilograms: Integer
    retired_kilograms: Integer
    block_number: Integer | None
    log_index: Integer | None


class MovementModel(OnChain):
    """One change of a balance."""

    account: str
    class_id: Integer
    kind: Literal["mint", "transfer", "burn", "retirement"]
    kilograms: Integer
    retired_kilograms: Integer
    counterparty: str | None
    transaction_hash: str
    timestamp: Integer | None


class ReceiptModel(Model):
    """A custody receipt: the chain's state where the chain has it, else the bridge's."""

    receipt_id: str
    state: Literal["drafted", "approved", "submitted", "minted", "cancelled", "failed"]
    class_id: Integer | None
    recipient: str | None
    tonnes: Integer | None
    account: str | None
    evidence_hash: str | None
    terms_hash: str | None
    valid_until: Integer | None
    reason: str | None
    signers: list[str]
    transaction_hash: str | None
    block_number: Integer | None
    log_index: Integer | None
    provisional: bool = False

    @model_validator(mode="after")
    def _say_whether_provisional(self, info: ValidationInfo) -> ReceiptModel:
        final = (info.context or {}).get("final", -1)
        self.provisional = self.block_number is None or self.block_number > final
        return self


class ReceiptBlockModel(Model):
    series: SeriesName
    series_hash: str
    first: Integer
    last: Integer
    tonnes: Integer
    first_position: Integer | None


class ApprovalModel(Model):
    signer: str
    role: str | None


class ReceiptDetail(Model):
    """A receipt with its serials and who signed it."""

    summary: ReceiptModel
    serials: list[ReceiptBlockModel]
    approvals: list[ApprovalModel]


class TextsModel(Model):
    """What a public certificate says."""

    beneficiary: str
    purpose: str
    period: str
    instruction_hash: str


class SpanModel(Model):
    """Positions [first, end) of the class."""

    first: Integer
    end: Integer
    tonnes: Integer


class ConsumptionModel(Model):
    """One piece of what a retirement took."""

    kind: Literal["whole", "rest_of_open", "part_of_opened"]
    span: SpanModel
    kilograms: Integer


class IntervalModel(Model):
    series: SeriesName
    first: Integer
    last: Integer
    tonnes: Integer


class RegistryEntryModel(OnChain):
    """What the registry did for positions that were consumed: never changed, only added to."""

    kind: Literal["confirmed", "failed", "made good"]
    entry_id: str
    class_id: Integer
    first_position: Integer
    tonnes: Integer
    reference: str | None
    reason: str | None = Field(description="Why it failed.")
    substitute_class: Integer | None = Field(description="Class of what was retired instead.")
    serials: list[IntervalModel] = Field(description="What the registry retired.")
    registry_date: Integer = Field(description="YYYYMMDD")
    evidence_hash: str
    signers: list[str]
    transaction_hash: str


class RetirementModel(OnChain):
    """A retirement; `status` is how far the registry has confirmed it, `history` its record."""

    certificate_id: Integer
    class_id: Integer
    owner: str
    holder: str
    operator: str
    kilograms: Integer
    exited: Integer = Field(description="The class's counters before the retirement.")
    open_tonne: Integer
    dust: Integer
    details_hash: str
    texts: TextsModel | None = Field(description="null: private, only the hash is on chain.")
    consumed: list[ConsumptionModel]
    status: Literal["pending", "partly confirmed", "confirmed", "failed", "made good"]
    confirmed_kilograms: Integer
    made_good_kilograms: Integer
    failed_kilograms: Integer
    history: list[RegistryEntryModel]
    references: list[str]
    transaction_hash: str
    timestamp: Integer | None


class PieceModel(Model):
    """A piece with its serials: `expected` at the retirement, `serials` as they stand now."""

    consumption: ConsumptionModel
    expected: list[SerialRunModel]
    serials: list[SerialRunModel]
    confirmed_kilograms: Integer
    still_open: bool


class ConfirmationModel(OnChain):
    """The registry retired `actual`, in this order, for positions of the class."""

    confirmation_id: str
    class_id: Integer
    first_position: Integer
    tonnes: Integer
    actual: list[IntervalModel]
    reference: str
    registry_date: Integer = Field(description="YYYYMMDD")
    evidence_hash: str
    signers: list[str]
    transaction_hash: str


class CertificateModel(Model):
    """A certificate with every serial number behind it."""

    retirement: RetirementModel
    credit_class: ClassModel
    pieces: list[PieceModel]
    confirmations: list[ConfirmationModel]


class UseModel(Model):
    receipt_id: str
    first: Integer
    last: Integer


class RangeModel(BaseModel):
    first: Integer
    last: Integer

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, found: Any) -> Any:
        if isinstance(found, tuple):
            return {"first": found[0], "last": found[1]}
        return found


class RegistryBlockModel(Model):
    """A row of a registry's export as it stands after the newest import."""

    id: Integer
    series: SeriesName
    first: Integer
    last: Integer
    tonnes: Integer
    kind: Literal["partition", "issuance", "retirement"]
    programme: str
    project: str
    project_name: str
    vintage_start: date | None
    vintage_end: date | None
    status: str
    cohort: list[str] | None
    vocabulary: str
    labels: list[str]
    unmapped: list[str]
    facts: dict[str, Any]
    source: dict[str, Any]
    first_import: Integer
    last_import: Integer
    in_trust: list[UseModel]
    free: list[RangeModel]
    free_tonnes: Integer
    tokenizable: bool
    reasons: list[str] = Field(description="Why nothing of it can be tokenized.")


class LotModel(Model):
    """Active imported credits of one class-to-be."""

    programme: str
    project: str
    project_name: str
    vintage_start: date | None
    vintage_end: date | None
    cohort: list[str] | None
    blocks: Integer
    active_tonnes: Integer
    in_trust_tonnes: Integer
    unmapped: bool


class ImportModel(Model):
    id: Integer
    imported_at: datetime
    file_name: str
    sha256: str
    programme: str
    layout: str
    rows: Integer
    accepted: Integer
    rejected: Integer
    state: Literal["reading", "merging", "done", "abandoned"]
    finished_at: datetime | None


class ImportDetail(ImportModel):
    """One imported file with its figures and the rows it refused."""

    report: dict[str, Any]


class ContradictionModel(Model):
    """Two exports that cannot both be true."""

    id: Integer
    import_id: Integer
    series: SeriesName
    description: str
    detail: dict[str, Any]
    found_at: datetime


class PlacementModel(OnChain):
    """A place the serial had: the position it came to, by what, and what became of it there."""

    class_id: Integer
    first_position: Integer
    position: Integer | None = Field(description="After every exchange; null: it was replaced.")
    came_by: Literal["receipt", "refund", "gap passed", "conversion", "substitute"]
    source: str
    receipt_id: str = Field(description="Receipt or event by which it came into trust.")
    outcome: Literal["stands", "delivered", "void", "replaced"]


class SerialTraceModel(Model):
    """Everything that is known of one serial number."""

    series: SeriesName
    number: Integer
    state: Literal[
        "not in trust",
        "in custody",
        "live",
        "open",
        "retired",
        "retired and confirmed",
        "retired and made good",
        "made good",
        "in delivery",
        "delivered",
        "invalidated",
        "disputed",
        "converted",
    ]
    registry: list[RegistryBlockModel]
    receipt: ReceiptModel | None
    credit_class: ClassModel | None
    minted_position: Integer | None
    position: Integer | None
    retirements: list[RetirementModel]
    retired_kilograms: Integer
    confirmation: ConfirmationModel | None
    placements: list[PlacementModel] = Field(description="All its places, the newest last.")
    history: list[RegistryEntryModel] = Field(description="What the registry did for its tonne.")
    holders: list[HolderModel] = Field(description="The largest holders while it is live.")


class CertificateTraceModel(Model):
    """A certificate, the receipts its serials came by, the registry's rows they lie in."""

    certificate: CertificateModel
    receipts: list[ReceiptModel]
    registry: list[RegistryBlockModel]


class ServiceHealth(BaseModel):
    status: Literal["ok", "down", "behind", "off"]
    detail: str


class Health(BaseModel):
    """Whether answers can be relied on now."""

    status: Literal["ok", "degraded"]
    database: ServiceHealth
    index: ServiceHealth
    chain: ServiceHealth
    bus: ServiceHealth
    indexed_number: Integer | None
    chain_number: Integer | None
    lag_blocks: Integer | None
