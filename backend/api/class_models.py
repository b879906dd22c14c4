"""What one class's answer looks like: facts, attributes, Article 6 and CORSIA."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from backend.api.models import ClassModel, FactModel, Integer, Model, SerialRunModel


class UpcomingPieceModel(Model):
    """A part of what would be consumed."""

    kind: Literal["whole", "rest_of_open", "part_of_opened"]
    kilograms: Integer
    serials: list[SerialRunModel]


class UpcomingModel(Model):
    """The serials that a retirement would take if nobody else came first."""

    class_id: Integer
    kilograms: Integer
    pieces: list[UpcomingPieceModel]


class MethodologyModel(Model):
    """A methodology's code, and its version where the registry states one."""

    code: str
    version: str


class UnknownSpellingModel(Model):
    """A registry's spelling that the vocabulary does not hold."""

    attribute: str
    programme: str
    spelling: str


class AttributesModel(Model):
    """What the newest import says of a class, in the codes of the vocabulary of attributes."""

    vocabulary: str = Field(description="Version of the vocabulary.")
    country: str | None = Field(description="ISO 3166 alpha-2, or `several`.")
    types: list[str]
    scopes: list[str] = Field(description="Sectoral scopes 1 to 16.")
    categories: list[str]
    category_source: Literal["stated", "methodology", ""] = Field(
        description="Whether the registry states it or the methodology implies it."
    )
    methodologies: list[MethodologyModel]
    direction: Literal["reduction", "removal", "mixed"] | None
    unknown: list[UnknownSpellingModel] = Field(description="Spellings that are never guessed.")


class MissingModel(Model):
    """One element that is not there."""

    code: str
    text: str


class AuthorisedUseModel(Model):
    """Whether the host party has authorised a use, today: nothing missing means it has."""

    use: Literal["ndc", "international-mitigation", "other"]
    authorised: bool
    missing: list[MissingModel]


class EligibilityModel(Model):
    """Where the class stands under a phase of CORSIA: scope is not eligibility."""

    phase: Literal["pilot", "first", "second"]
    status: Literal["out-of-scope", "scope", "eligible"]
    missing: list[MissingModel]


class ClassDetail(Model):
    """A class with the newest fact of each key."""

    credit_class: ClassModel
    facts: list[FactModel]
    attributes: AttributesModel | None = Field(
        description="None: no imported row is of this class."
    )
    article6: list[AuthorisedUseModel] = Field(description="By use, on the chain's day.")
    corsia: list[EligibilityModel] = Field(description="By phase, on the chain's day.")
    unreadable: list[str] = Field(
        description="Keys of facts whose document breaks a rule: they count as missing."
    )


class AlertModel(Model):
    """Something that holders of a class have to know; `reserve_short` is a break, the rest is of
    the chain.
    """

    key: str = Field(description="Names it for ever; later alerts have greater keys.")
    kind: str = Field(description="`hold`, `label_lost`, `invalidation` …, or `reserve_short`.")
    class_id: Integer
    at: Integer = Field(description="Unix seconds.")
    first_position: Integer | None
    tonnes: Integer | None
    subject: str
    reason: str
    as_of: Integer | None = Field(description="The programme's day, YYYYMMDD.")
    reference: str
    block_number: Integer | None = Field(description="None: no fact of the chain.")
