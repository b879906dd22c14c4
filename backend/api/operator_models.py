"""What answers and requests of `/v1/operator` look like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.api.models import Integer, Model
from backend.api.parameters import PageQuery

RoleName = Literal["custodian", "attestor", "registrar", "facts", "guardian", "admin", "operator"]
ActName = Literal["read", "sign", "answer a task", "approve an answer", "decide"]
#: One line that a person typed: no control characters.
Line = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Reason = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"\S")]


class PersonModel(BaseModel):
    """Who is signed in, and what the chain lets them do here."""

    account: str
    roles: list[RoleName] = Field(description="As Trust and AccessManager say now.")
    may: list[ActName]


class PersonAnswer(BaseModel):
    data: PersonModel


class SignerModel(Model):
    signer: str
    role: Literal["custodian", "attestor"]


class DraftModel(BaseModel):
    """One message that custodian and attestor sign."""

    id: str = Field(description="EIP-712 digest: what is signed.")
    type: str = Field(examples=["Receipt"], description="Primary type of the message.")
    state: str
    reason: str | None
    class_id: Integer | None
    signed_by: list[SignerModel]
    cautions: list[str] = Field(
        description="What bars it, and what to look at before it is signed."
    )
    typed_data: dict[str, Any] = Field(
        description="As `eth_signTypedData_v4` takes it; integers are decimal strings."
    )


class DraftAnswer(BaseModel):
    data: DraftModel


class DraftsAnswer(BaseModel):
    """Receipts, confirmations, statements; not paged: what waits for signatures is never much."""

    data: list[DraftModel]


class SignatureRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    signature: str = Field(
        pattern="^0x[0-9a-fA-F]{130}$",
        description="65 bytes r ‖ s ‖ v over the draft's id, by the account of the session.",
    )


class TaskAnswerModel(BaseModel):
    """What a person brought, and what another said of it. Times are Unix seconds."""

    number: Integer
    content: dict[str, Any]
    evidence: str = Field(description="keccak256 of the file, or of the answer.")
    file: str
    answered_by: str
    answered_at: Integer
    reviewed_by: str | None
    reviewed_at: Integer | None
    approved: bool | None = Field(description="null: another person has to look.")
    note: str
    misfits: list[str] = Field(description="What does not fit the request.")


class TaskModel(BaseModel):
    """What a custodian does at a registry's own pages."""

    reference: str
    state: Literal["open", "answered", "done"]
    late: bool
    created_at: Integer
    deadline: Integer | None
    request: dict[str, Any]
    instructions: dict[str, str] = Field(description="The exact texts to use.")
    answers: list[TaskAnswerModel]


class TaskAnswer(BaseModel):
    data: TaskModel


class TasksAnswer(BaseModel):
    data: list[TaskModel]
    next_after: str | None = Field(description="`after` of the next page.")


class TasksQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    state: Literal["open", "answered", "done"] | None = Field(
        default=None, description="Default: everything that is not done."
    )
    after: str = Field(default="", max_length=120, pattern=r"^[A-Za-z0-9._:-]*$")
    limit: int = Field(default=100, ge=1, le=500)


class TaskAnswerRequest(BaseModel):
    """What the registry said; of a statement only `as_of` and the file count."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["done", "refused", "accepted", "rejected", "expired"] = "done"
    registry_reference: Line = ""
    serials: list[Line] = Field(
        default=[], max_length=64, description="SPACE/FIRST-LAST; default what was asked."
    )
    date: Line | None = Field(default=None, description="The registry's, YYYY-MM-DD; or today.")
    certificate: Line = ""
    expires: Line | None = Field(default=None, description="ISO 8601 with zone.")
    reason: Line = ""
    as_of: Line | None = Field(default=None, description="Of a statement, ISO 8601 with zone.")
    file_name: Line = ""
    file: str = Field(default="", description="Evidence, base64; at most 8 MiB before that.")


class ReviewRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    approve: bool
    note: Line = Field(default="", description="Needed to send an answer back.")


class DecisionRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    decision: Literal["distinct", "duplicate"]
    keep: Line | None = Field(default=None, description="Side of a duplicate that may be minted.")
    why: Reason
    evidence: Line = Field(description="`evidence` of the case as it was seen.")


class ResolutionRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    because: Reason


class FlowsQuery(PageQuery):
    stuck: bool = Field(default=True, description="False: everything that has not ended.")


class FlowModel(Model):
    """One deposit, retirement, certificate, delivery or move under way."""

    kind: str
    id: str
    state: str
    since: datetime
    class_id: Integer | None
    tonnes: Integer | None
    deadline: Integer | None = Field(description="Unix seconds.")
    attempts: Integer = Field(description="Failures in a row.")
    due_at: datetime = Field(description="When it is tried again.")
    reason: str | None


class RejectedQuery(PageQuery):
    field: Line | None = None
    text: Line | None = Field(default=None, description="In the value or the rule.")


class RejectedModel(Model):
    """A row that an import refused, and the rule it breaks."""

    row: Integer
    line: Integer
    field: str
    value: str
    rule: str
