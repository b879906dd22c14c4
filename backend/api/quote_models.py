"""What a total-cost quote is asked with and how it is answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from backend.api.market_models import AssetName, VenueQuery
from backend.api.models import Integer, Model
from backend.api.parameters import Address, ClassId, Query, UpcomingQuery
from backend.api.quoting import MOST_DELIVERED
from backend.domain.orders import MAX_QUANTITY


class PurchaseQuery(VenueQuery):
    """What is bought, with which money."""

    instrument: ClassId = Field(description="Token id of the class that is traded.")
    asset: Address = Field(description="Address of the settlement asset.")
    tonnes: int = Field(ge=1, le=MAX_QUANTITY, description="Whole tonnes.")


class RetireQuery(UpcomingQuery):
    """What is retired."""

    class_id: ClassId


class DeliverQuery(Query):
    """What is delivered."""

    class_id: ClassId
    tonnes: int = Field(ge=1, le=MOST_DELIVERED, description="Whole tonnes.")


class TakenLevelModel(Model):
    """What is taken at one price."""

    price: Integer = Field(description="Base units per tonne.")
    tonnes: Integer
    fills: Integer = Field(description="Orders that are met: each fill has a fee of its own.")
    notional: Integer
    fee: Integer


class PurchaseModel(Model):
    """A buy order against the book as it stands at `seq`."""

    asset: AssetName
    tonnes: Integer
    levels: list[TakenLevelModel] = Field(description="By price, the cheapest first.")
    average_price: Integer = Field(description="Base units per tonne, rounded up.")
    worst_price: Integer = Field(description="The limit with which an order fills whole.")
    notional: Integer
    fee: Integer
    max_fee_bps: Integer = Field(description="The lowest fee cap that an order may have.")
    needed: Integer = Field(
        description="What the account must have free to place it with that limit and cap;"
        " what the fills do not take is free again at once."
    )


class PartModel(Model):
    """One line of the cost."""

    name: str = Field(
        description="`credits`, `exchange-fee`, `delivery-fee`, or `PROGRAMME:fee`.",
        examples=["exchange-fee"],
    )
    currency: str | None = Field(
        description="Address of a settlement asset, or an ISO 4217 code; null: not known."
    )
    unit: Literal["base-unit", "mill"] = Field(
        description="Of a settlement asset; or thousandths of the currency."
    )
    amount: Integer | None = Field(description="Null: no source says how much.")
    payer: Literal["holder", "operator"] = Field(
        description="Of what the operator bears the holder is charged nothing."
    )
    how: str = Field(description="The reckoning, or why no amount is known.")


class TotalModel(Model):
    """What the holder pays in one currency."""

    currency: str
    unit: Literal["base-unit", "mill"]
    amount: Integer


class StepModel(Model):
    """How long one step may take by its source."""

    name: Literal["settlement-window", "at-registry", "begin", "transfer"]
    seconds: Integer
    source: str = Field(description="Which data say so.")


class VisibilityModel(Model):
    """When the registry shows it."""

    kilograms: Integer = Field(description="Of tonnes that are whole: promised by `at_latest`.")
    open_kilograms: Integer = Field(
        description="Of a tonne that stays open: shown when the tonne closes, no date is known."
    )
    at_latest: Integer | None = Field(
        description="Unix seconds, an estimate and no guarantee: every step as long as its source"
        " allows, from `valid_until` (or the chain's time, if ahead) on; its finality is not"
        " counted. Null: nothing says how long the registry takes."
    )
    steps: list[StepModel]


class QuoteModel(Model):
    """What it costs in all, until when that holds, by when the registry should show it."""

    action: Literal["buy", "retire", "buy-and-retire", "deliver"]
    class_id: Annotated[Integer, Field(description="Token id.")]
    kilograms: Integer
    purchase: PurchaseModel | None
    parts: list[PartModel] = Field(description="Every line, those the operator bears too.")
    totals: list[TotalModel] = Field(
        description="Of the lines that the holder pays, one for each currency: none is converted."
    )
    is_complete: bool = Field(description="Whether every line that the holder pays is known.")
    quoted_at: Integer = Field(description="Unix seconds.")
    valid_until: Integer = Field(
        description="Unix seconds; after it ask again. Nothing is reserved meanwhile: the limit"
        " of a signed order keeps the price."
    )
    visibility: VisibilityModel | None = Field(description="Null for what goes to no registry.")
