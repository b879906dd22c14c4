"""What answers about duplicates across registries look like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from backend.api.models import Integer, Model

State = Literal["open", "duplicate", "distinct", "noted"]
ListingName = Annotated[
    str,
    BeforeValidator(str),
    Field(
        examples=["VCS-1340"],
        description="Programme and project; of another bridge with its name before a colon.",
    ),
]


class EvidenceModel(Model):
    """One reason."""

    code: str
    points: Integer = Field(description="Negative: speaks against.")
    text: str


class DecisionModel(Model):
    """What a person decided, of which evidence."""

    decision: Literal["distinct", "duplicate"]
    keep: str | None = Field(description="The side that may be minted although it is a duplicate.")
    who: str
    why: str
    score: Integer
    evidence: str = Field(description="SHA-256 of the reasons that the person saw.")
    at: datetime


class DuplicateCaseModel(Model):
    """Two listings that seem to be one project or one reduction."""

    id: Integer
    left: ListingName
    right: ListingName
    kind: Literal["same_project", "same_reduction"]
    score: Integer = Field(description="Sum of the points; from 60 on it blocks minting.")
    reasons: list[EvidenceModel]
    evidence: str
    state: State
    blocked: list[str] = Field(description="Sides whose credits are not minted.")
    found_at: datetime
    changed_at: datetime
    decisions: list[DecisionModel] = Field(description="The newest first.")
