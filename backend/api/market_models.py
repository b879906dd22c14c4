"""What requests to the market may say and what its answers look like; integers as strings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from backend.api.models import Integer, Model, OnChain
from backend.api.parameters import Address, ClassId, PageQuery, whole
from backend.domain.orders import MAX_NONCE, Conditions, Side
from backend.domain.venue_events import HaltReason, Reason, VoidReason
from backend.exchange.market_data import show_asset
from backend.store.queries.reading import DEFAULT_LIMIT, MAX_LIMIT

T = TypeVar("T")
#: Levels of a side of the book that one answer shows at most.
MAX_LEVELS = 500
_WHOLE_63 = "0|[1-9][0-9]{0,17}"

# ── requests ─────────────────────────────────────────────────────────────────────────────────


def _number(example: str, largest: int, pattern: str = _WHOLE_63) -> tuple[Any, Any]:
    schema = {"type": "string", "pattern": f"^({pattern})$", "examples": [example]}
    return whole(0, largest), WithJsonSchema(schema)


_SEQ = _number("1200", 10**18 - 1)
_NONCE = _number("17", MAX_NONCE, "0|[1-9][0-9]{0,13}")
Seq = Annotated[int, _SEQ[0], _SEQ[1]]
Nonce = Annotated[int, _NONCE[0], _NONCE[1]]


def _asset(value: Any) -> Any:
    if isinstance(value, int):
        return show_asset(value)
    return value


def _named(kind: type[Side | Reason | VoidReason | HaltReason]) -> BeforeValidator:
    def name(value: Any) -> Any:
        return kind(value).name.lower() if isinstance(value, int) else value

    return BeforeValidator(name)


InstrumentPath = Annotated[ClassId, Path(description="Token id of the class that is traded.")]
AssetPath = Annotated[Address, Path(description="Address of the settlement asset.")]
TraderPath = Annotated[Address, Path(description="Who signed the order.")]
NoncePath = Annotated[Nonce, Path(description="Nonce of the order.")]
TradePath = Annotated[Seq, Path(description="Number of the trade.")]


class VenueQuery(BaseModel):
    """What every read of the market accepts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_seq: Seq | None = Field(
        default=None,
        description="Answer only with this journal entry projected: waits at most one second,"
        " then 409 says how far behind the read models are.",
    )


class VenuePage(VenueQuery):
    """A list: pages by cursor."""

    cursor: str | None = Field(
        default=None, max_length=600, description="`next_cursor` of the page before; opaque."
    )
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Items a page.")


class MarketsQuery(VenuePage):
    instrument: ClassId | None = None
    asset: Address | None = Field(default=None, description="Settlement asset.")


class BookQuery(VenueQuery):
    levels: int = Field(default=50, ge=1, le=MAX_LEVELS, description="Levels a side.")


class CandlesQuery(VenuePage):
    interval: Literal["1m", "1h", "1d"] = Field(default="1h", description="Length of a candle.")


class OrdersQuery(VenuePage):
    state: Literal["open", "filled", "cancelled", "expired", "refused"] | None = None
    instrument: ClassId | None = None


class AccountTradesQuery(VenuePage):
    instrument: ClassId | None = None


class StatementQuery(VenuePage):
    class_id: ClassId | None = Field(default=None, description="Only movements of a class.")
    asset: Address | None = Field(default=None, description="Only of a settlement asset.")


class ActsQuery(PageQuery):
    kind: Literal["batch", "void", "anchor"] | None = None


# ── answers ──────────────────────────────────────────────────────────────────────────────────

AssetName = Annotated[
    str,
    BeforeValidator(_asset),
    Field(
        description="A settlement asset by its address, a class by its token id.",
        examples=["0xA51c1fc2f0D1a1b8494Ed1FE312d7C3a78Ed91C0"],
    ),
]
SideName = Annotated[Literal["buy", "sell"], _named(Side)]
ReasonName = Annotated[str, _named(Reason), Field(examples=["expired"])]
VoidReasonName = Annotated[str, _named(VoidReason), Field(examples=["after_pause"])]
HaltReasonName = Annotated[str, _named(HaltReason), Field(examples=["operator"])]


class VenueAnswer(BaseModel, Generic[T]):
    """One thing, and the journal entry it is true at."""

    seq: Integer = Field(description="Everything in `data` is true after this journal entry.")
    time_ms: Integer = Field(description="Its time, Unix milliseconds.")
    data: T


class VenuePageAnswer(BaseModel, Generic[T]):
    """A page of things, and the journal entry they are true at."""

    seq: Integer = Field(description="Everything in `data` is true after this journal entry.")
    time_ms: Integer = Field(description="Its time, Unix milliseconds.")
    data: list[T]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the rest.")


class SettlementAssetModel(Model):
    asset: AssetName
    listed: bool = Field(description="Whether it can be deposited and traded against.")


class SigningDomainModel(Model):
    """The EIP-712 domain of everything that is signed for the venue."""

    name: str
    version: str
    chain_id: Integer
    verifying_contract: str


class FieldModel(Model):
    name: str
    type: str


class LimitsModel(Model):
    """What an order may say; the contract refuses the rest as well."""

    max_quantity: Integer = Field(description="Tonnes.")
    max_balance: Integer = Field(description="Twice quantity × price must not exceed it.")
    max_fee_bps: Integer
    max_order_seconds: Integer = Field(description="Expiry is at most so long after signing.")
    max_nonce: Integer
    nonce_window: Integer = Field(description="How far above the lowest unused nonce one may go.")
    kilograms_per_tonne: Integer = Field(
        description="Orders are in tonnes, balances of classes in kilograms."
    )


class VenueModel(Model):
    """A venue: what to sign, what it costs, how far everything is."""

    venue: Integer
    name: str | None
    chain_id: Integer
    exchange: str
    signing_domain: SigningDomainModel
    signing_types: dict[str, list[FieldModel]]
    status: Literal["trading", "paused", "halted"]
    halt_reason: HaltReasonName | None
    halt_detail: Integer | None
    paused_at: Integer | None = Field(description="Unix seconds.")
    epoch: Integer = Field(description="Leaders that the venue has had.")
    rules: Integer = Field(description="Version of the matching rules.")
    window_seconds: Integer
    skew_seconds: Integer
    maker_fee_bps: Integer
    taker_fee_bps: Integer
    limits: LimitsModel
    assets: list[SettlementAssetModel]
    instruments: Integer = Field(description="Classes that can be traded.")
    last_trade: Integer
    settled_trade: Integer = Field(description="Up to here the chain has settled or voided.")
    last_withdrawal: Integer
    settled_withdrawal: Integer
    last_deposit: Integer


class MarketModel(Model):
    """A market: a class against a settlement asset. Prices in base units per tonne."""

    instrument: Integer
    asset: AssetName
    halted_for: list[Literal["hold", "gap"]] = Field(
        description="Why nothing is traded: a published hold of the class, or a gap in its"
        " positions. Empty while it trades."
    )
    last_trade: Integer | None = Field(description="Number of the newest trade that stands.")
    last_price: Integer | None
    last_time_ms: Integer | None
    best_bid: Integer | None
    best_ask: Integer | None
    trades: Integer = Field(description="Ever; voided ones apart.")
    tonnes: Integer
    turnover: Integer = Field(description="Base units.")
    day_trades: Integer = Field(description="Of the last 24 hours, in whole minutes.")
    day_tonnes: Integer
    day_turnover: Integer
    day_low: Integer | None
    day_high: Integer | None


class LevelModel(Model):
    price: Integer
    tonnes: Integer
    orders: Integer


class BookModel(Model):
    """Resting orders by price, the best first."""

    instrument: Integer
    asset: AssetName
    bids: list[LevelModel]
    asks: list[LevelModel]


class CandleModel(Model):
    """Trades of one interval; intervals without a trade have none. Voided trades leave it."""

    start: Integer = Field(description="Unix seconds.")
    open: Integer
    high: Integer
    low: Integer
    close: Integer
    trades: Integer
    tonnes: Integer
    turnover: Integer


class TapeTradeModel(Model):
    """A trade. `matched` ones are final unless voided; `settled` ones are on chain."""

    number: Integer
    seq: Integer
    time_ms: Integer
    instrument: Integer
    asset: AssetName
    price: Integer
    quantity: Integer
    taker_side: SideName
    state: Literal["matched", "settled", "voided"]


class TradeModel(TapeTradeModel):
    """A trade with the parties that its settlement names on chain."""

    maker: str
    maker_nonce: Integer
    taker: str
    taker_nonce: Integer
    maker_fee: Integer
    taker_fee: Integer
    retired: bool = Field(description="Bought to retire: earmarked, not credited.")
    void_reason: VoidReasonName | None
    transaction_hash: str | None = Field(description="That settled it, once it is indexed.")


class VenueOrderModel(Model):
    """An order as it was signed, and how far it is."""

    trader: str
    nonce: Integer
    instrument: Integer
    asset: AssetName
    side: SideName
    quantity: Integer = Field(description="Tonnes.")
    price: Integer
    max_fee_bps: Integer
    signed_at: Integer
    expiry: Integer
    conditions: Integer = Field(description="As signed; spelled out in the next four.")
    time_in_force: Literal["gtc", "ioc", "fok"]
    post_only: bool
    self_trade: Literal["cancel_taker", "cancel_maker", "cancel_both"]
    retire_on_fill: bool
    details_hash: str | None
    signature_kind: Integer
    state: Literal["open", "filled", "cancelled", "expired", "refused"]
    reason: ReasonName | None = Field(description="Why it ended or was refused.")
    remaining: Integer = Field(description="Tonnes that can match, or could when it ended.")
    filled: Integer = Field(description="Tonnes whose trades stand.")
    voided: Integer = Field(description="Tonnes whose trades were undone.")
    seq: Integer = Field(description="Journal entry that placed it.")
    time_ms: Integer
    last_seq: Integer = Field(description="Newest entry that changed it.")

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, found: Any) -> Any:
        values = dict(found) if isinstance(found, dict) else asdict(found)
        wants = Conditions.unpack(int(values["conditions"]))
        return {
            **values,
            "time_in_force": wants.time_in_force.name.lower(),
            "post_only": wants.post_only,
            "self_trade": wants.self_trade.name.lower(),
            "retire_on_fill": wants.retire_on_fill,
        }


class BalanceModel(Model):
    asset: AssetName
    total: Integer
    available: Integer
    reserved: Integer = Field(description="Held by open orders.")


class VenueAccountModel(Model):
    """What an account has at the venue: base units, or kilograms of a class."""

    address: str
    next_nonce: Integer = Field(description="The lowest that no command has used.")
    open_orders: Integer
    balances: list[BalanceModel]


class AccountTradeModel(Model):
    """A trade from the account's side."""

    number: Integer
    seq: Integer
    time_ms: Integer
    instrument: Integer
    asset: AssetName
    side: SideName
    role: Literal["maker", "taker"]
    nonce: Integer
    price: Integer
    quantity: Integer
    fee: Integer
    retired: bool
    state: Literal["matched", "settled", "voided"]
    void_reason: VoidReasonName | None
    counterparty: str


class StatementModel(Model):
    """One change of a total and what it left."""

    seq: Integer
    ordinal: Integer
    time_ms: Integer
    asset: AssetName
    change: Integer
    balance: Integer
    kind: Literal["deposit", "trade", "fee", "retirement", "withdrawal", "exit", "void"]
    reference: Integer | None = Field(description="Number of the deposit, trade or withdrawal.")


class VenueWithdrawalModel(Model):
    """A withdrawal; `settled`: its amount can be claimed on chain."""

    nonce: Integer
    number: Integer | None
    asset: AssetName
    amount: Integer
    held: Integer = Field(description="What settling moves: less when a forced exit came first.")
    after_trade: Integer | None
    state: Literal["accepted", "settled", "voided", "refused"]
    reason: ReasonName | None
    void_reason: VoidReasonName | None
    seq: Integer
    time_ms: Integer


class ExitModel(Model):
    """A forced exit; while it runs the account matches nothing."""

    seq: Integer
    asset: AssetName
    requested_at: Integer
    state: Literal["running", "executed", "ended"]
    ended_seq: Integer | None
    amount: Integer | None


class VenueDepositModel(Model):
    """A deposit that can be traded."""

    deposit_id: Integer
    asset: AssetName
    amount: Integer
    seq: Integer


class ExchangeBalanceModel(Model):
    """What the contract holds for an account: base units, or kilograms of a class."""

    asset: AssetName
    balance: Integer = Field(description="Tradable, as of the last settlement.")
    claimable: Integer = Field(description="`claim` pays it out, whoever sends it.")
    exit_requested_at: Integer | None = Field(
        description="Unix seconds. The exit can be executed two windows later and lapses, without"
        " an event, one window after that."
    )


class ActModel(OnChain):
    """A settled batch, a void or an anchor; a range with last = first − 1 is empty."""

    kind: Literal["batch", "void", "anchor"]
    first_trade: Integer
    last_trade: Integer
    first_withdrawal: Integer
    last_withdrawal: Integer
    reason: VoidReasonName | None
    seq: Integer = Field(description="Journal entry that it anchors.")
    head: str = Field(description="Hash of that entry.")
    transaction_hash: str
