"""Shapes of credits that are kept as a ledger, without tokens."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator

from backend.api.models import Integer, Model


class KeptModel(Model):
    """Tonnes of one class in one trust account."""

    owner: str | None = Field(description="Only in an owner's own statement.")
    account: str = Field(description="PROGRAMME:ACCOUNT[/SUB-ACCOUNT] at the registry.")
    programme: str
    project: str
    vintage_start: date
    vintage_end: date
    labels: list[str]
    held: Integer = Field(description="Live tonnes, those that wait included.")
    waiting: Integer = Field(description="Tonnes asked of the registry, not yet retired.")
    retired: Integer = Field(description="Tonnes.")
    serials: list[str] = Field(description="Live ones, SPACE/FIRST-LAST.")

    @field_validator("serials", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return [str(one) for one in value]


class RetiredPartModel(Model):
    """One request to the registry, and what it really retired."""

    part: str
    state: Literal["planned", "asked", "done", "confirmed", "failed", "broken"]
    reason: str | None
    tonnes: Integer
    deadline: Integer | None = Field(description="Unix seconds.")
    registry_reference: str | None
    registry_date: date | None
    certificate_id: str | None = Field(description="The registry's own, where it gives one.")
    serials: list[str] = Field(description="What the registry retired; empty until it did.")
    exchanged: list[tuple[str, str]] = Field(
        description="Serials that the registry took instead of those asked, and those that their"
        " owners have for them now."
    )


class LedgerRetirementModel(Model):
    """An owner's order to retire kept credits."""

    reference: str
    programme: str
    account: str
    owner: str
    tonnes: Integer
    asked: list[str] = Field(description="Serials that the owner named.")
    instruction: dict[str, Any] | None = Field(
        description="What the registry was told; null where it is private."
    )
    instruction_hash: str
    signature: str = Field(description="The owner's, over the EIP-712 struct LedgerRetirement.")
    ordered_at: Integer = Field(description="Unix seconds.")
    state: Literal["pending", "confirmed", "partly-confirmed", "failed", "broken"]
    parts: list[RetiredPartModel]


class LedgerStatementModel(Model):
    """What one owner has in custody without tokens."""

    owner: str
    holdings: list[KeptModel]


class LedgerHoldingsModel(Model):
    """What is kept of programmes whose ledger is public, per account and class."""

    programmes: list[str] = Field(description="Those whose ledger is public.")
    holdings: list[KeptModel]
