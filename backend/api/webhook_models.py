"""Shapes of `/v1/webhooks`: what is asked, endpoints, deliveries with their attempts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from backend.api.models import Integer, Model
from backend.api.parameters import ClassId, PageQuery
from backend.domain.webhooks import TYPES

_GROUPS = sorted({f"{name.partition('.')[0]}.*" for name in TYPES})
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def _sequence(value: Any) -> Any:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise ValueError("is not a sequence number in decimal digits, as a string")
    return int(value)


Sequence = Annotated[
    int,
    BeforeValidator(_sequence),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,17}$", "examples": ["17"]}),
]
Type = Annotated[str, Field(json_schema_extra={"enum": ["*", *_GROUPS, *sorted(TYPES)]})]
Types = Annotated[
    list[Type],
    Field(min_length=1, max_length=64, description="`class.*` stands for a group, `*` for all."),
]
Url = Annotated[
    str,
    Field(
        min_length=8,
        max_length=2_048,
        description="Where events are posted: https, at a public address.",
        examples=["https://example.com/causeway"],
    ),
]
Classes = Annotated[
    list[ClassId],
    Field(max_length=200, description="Public events of these classes only; none means all."),
]
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
EndpointPath = Annotated[
    str, Path(pattern="^ep_[0-9a-f]{16}$", description="Id of an endpoint of the account.")
]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WebhookRequest(Asked):
    """A new endpoint."""

    url: Url
    types: Types
    classes: Classes = []
    description: Description = ""


class WebhookChange(Asked):
    """What is to change; what is left out stays."""

    url: Url | None = None
    types: Types | None = None
    classes: Classes | None = None
    description: Description | None = None
    active: bool | None = Field(
        default=None,
        strict=True,
        description="false stops deliveries; true begins again, with what waits, at once.",
    )


class SecretRequest(Asked):
    """How long the secret of before signs beside the new one."""

    overlap_seconds: int = Field(default=86_400, ge=0, le=604_800, strict=True)


class ReplayRequest(Asked):
    """Events to send once more under their ids: one, or everything from one on."""

    sequence: Sequence | None = Field(default=None, description="This event alone.")
    from_sequence: Sequence | None = Field(default=None, description="This event and all after.")


class EndpointModel(Model):
    """An endpoint. Its secret is shown once, when it is made."""

    id: str
    account: str
    url: str
    description: str
    types: list[str]
    classes: list[Integer]
    state: Literal["active", "disabled"]
    reason: str | None = Field(description="Why it is disabled.")
    last_sequence: Integer = Field(description="Of its newest event; 0 before the first.")
    waiting: Integer = Field(description="Events that are not delivered yet.")
    failing_since: datetime | None = Field(description="Of the first failure since a success.")
    next_attempt_at: datetime | None
    secret_before_until: datetime | None = Field(description="Until then two secrets sign.")
    created_at: datetime


class EndpointAnswer(BaseModel):
    """One endpoint."""

    data: EndpointModel


class EndpointsAnswer(BaseModel):
    """The account's endpoints, the oldest first."""

    data: list[EndpointModel]


class SecretModel(EndpointModel):
    """An endpoint with its new secret."""

    secret: str = Field(description="`whsec_…`; it is not shown again.")


class SecretAnswer(BaseModel):
    """One endpoint and its secret."""

    data: SecretModel


class AttemptModel(Model):
    """One request to the endpoint."""

    at: datetime
    status: Integer | None = Field(description="HTTP status of the answer, if there was one.")
    error: str | None = Field(description="What went wrong, if there was none.")
    milliseconds: Integer
    answer: str = Field(description="Its first 1,024 characters.")


class DeliveryOfEvent(Model):
    """One event of the endpoint, and every attempt to deliver it, the oldest first."""

    sequence: Integer
    event_id: str
    type: str
    body: str = Field(description="The text that is signed and sent.")
    state: Literal["waiting", "delivered"]
    retracted: bool = Field(description="Whether the chain took its fact back.")
    created_at: datetime
    delivered_at: datetime | None
    attempts: list[AttemptModel]


class DeliveriesAnswer(BaseModel):
    """Events of an endpoint, the newest first."""

    data: list[DeliveryOfEvent]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the rest.")


class QueuedModel(BaseModel):
    """What was put in the queue."""

    sequence: Integer = Field(description="Of the first event that is sent.")
    events: Integer = Field(description="How many there are.")


class QueuedAnswer(BaseModel):
    """Events that are sent soon."""

    data: QueuedModel


class EventDeliveriesQuery(PageQuery):
    """Deliveries by state."""

    state: Literal["waiting", "delivered"] | None = None
