"""Total-cost quotes: what buying, retiring or delivering costs in all, until when the answer holds
and by when the registry should show it. Pure: book, fees, data and the time are given.

A quote reserves nothing and promises no price: the limit that the holder signs keeps the price. It
says what the matcher would charge if the book stayed as it is, to the base unit (L11).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from eth_utils.address import to_checksum_address

from backend.domain.deliveries import BEGIN_MARGIN, Periods
from backend.domain.fees import Occasion, Schedule, Volume
from backend.domain.fees import quote as programme_quote
from backend.domain.orders import MAX_QUANTITY, asset_address, fee_of
from backend.domain.positions import Consumed, Positions
from backend.domain.units import KILOGRAMS_PER_TONNE, MAX_TONNES
from backend.errors import InvalidValue, NotEnough, NotFound


class Action(StrEnum):
    """What somebody wants to do."""

    BUY = "buy"
    RETIRE = "retire"
    BUY_AND_RETIRE = "buy-and-retire"
    DELIVER = "deliver"


class Payer(StrEnum):
    """Whose money a part is: of what the operator bears the holder is charged nothing."""

    HOLDER = "holder"
    OPERATOR = "operator"


class Unit(StrEnum):
    """What a part's integers count."""

    #: The smallest unit of a settlement asset.
    BASE_UNIT = "base-unit"
    #: A thousandth of a currency unit, as fee schedules count.
    MILL = "mill"


#: Fills that one quote reckons, and prices that it lists: anybody may ask for one.
MOST_FILLS: Final = 10_000
MOST_LEVELS: Final = 1_000
#: Steps between the quote's end and the registry's page, by name.
SETTLEMENT: Final = "settlement-window"
AT_REGISTRY: Final = "at-registry"
BEGIN: Final = "begin"
TRANSFER: Final = "transfer"


@dataclass(frozen=True, slots=True)
class Offer:
    """A resting sell order: base units per tonne, tonnes left, its own fee cap, its last second."""

    price: int
    tonnes: int
    max_fee_bps: int
    expiry: int


@dataclass(frozen=True, slots=True)
class Venue:
    """What the venue charges each side of a fill, and how long a match may wait to be settled."""

    maker_fee_bps: int
    taker_fee_bps: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Level:
    """What is taken at one price; `fee` is the sum of the floors of its `fills` fills."""

    price: int
    tonnes: int
    fills: int
    fee: int

    @property
    def notional(self) -> int:
        return self.tonnes * self.price


@dataclass(frozen=True, slots=True)
class Purchase:
    """A buy order against the book as it stands, cheapest and oldest first.

    `max_fee_bps`: the lowest fee cap that the venue takes an order with.
    """

    asset: int
    tonnes: int
    levels: tuple[Level, ...]
    taker_fee_bps: int
    max_fee_bps: int

    @property
    def notional(self) -> int:
        return sum(one.notional for one in self.levels)

    @property
    def fee(self) -> int:
        return sum(one.fee for one in self.levels)

    @property
    def average_price(self) -> int:
        """Base units per tonne, rounded up: shown, never charged."""
        return -(-self.notional // self.tonnes)

    @property
    def worst_price(self) -> int:
        """The limit with which an order fills whole while the book stays as it is."""
        return self.levels[-1].price

    @property
    def needed(self) -> int:
        """What the account must have free: the venue reserves all at the limit and the fee cap,
        and gives back what the fills did not take.
        """
        most = self.tonnes * self.worst_price
        return most + fee_of(most, self.max_fee_bps)


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a cost; `amount` None when no source says how much. `currency`: an asset's
    address, an ISO 4217 code, or None where not even that is known; `how`: the reckoning in words.
    """

    name: str
    currency: str | None
    unit: Unit
    amount: int | None
    payer: Payer
    how: str


@dataclass(frozen=True, slots=True)
class Total:
    """What the holder pays in one currency, as far as it is known."""

    currency: str
    unit: Unit
    amount: int


@dataclass(frozen=True, slots=True)
class Step:
    """How long one step may take, and which data say so."""

    name: str
    seconds: int
    source: str


@dataclass(frozen=True, slots=True)
class Visibility:
    """When the registry should show it. `kilograms` by Unix second `at_latest` (None: nothing says
    how long the registry takes), `open_kilograms` when the tonne that they are of closes.

    An estimate by what the sources promise, no bound: the bridge takes up what is final, and how
    long the chain takes for that no source says.
    """

    kilograms: int
    open_kilograms: int
    at_latest: int | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Taking:
    """What an action takes from the registry: tonnes that are whole by it, and kilograms of a
    tonne that stays open.
    """

    kilograms: int
    registry_tonnes: int
    open_kilograms: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryTerms:
    """What `Deliveries` says of itself: its periods, and the fee of one request in base units."""

    periods: Periods
    fee_asset: int
    fee_amount: int


@dataclass(frozen=True, slots=True)
class Charges:
    """What the programme charges, who pays it, and how long its registry takes at the latest
    (empty: nothing says so).
    """

    parts: tuple[Part, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class TotalCost:
    """A quote; times in Unix seconds. After `valid_until` it has to be asked for again."""

    action: Action
    class_id: int
    kilograms: int
    purchase: Purchase | None
    parts: tuple[Part, ...]
    quoted_at: int
    valid_until: int
    visibility: Visibility | None

    @property
    def totals(self) -> tuple[Total, ...]:
        """What the holder pays, currency by currency: none is converted into another."""
        sums: dict[tuple[str, Unit], int] = {}
        for part in self.parts:
            if part.payer is Payer.OPERATOR or part.currency is None or part.amount is None:
                continue
            key = part.currency, part.unit
            sums[key] = sums.get(key, 0) + part.amount
        return tuple(Total(*key, amount) for key, amount in sums.items())

    @property
    def is_complete(self) -> bool:
        """Whether every part that the holder pays is known."""
        return all(one.amount is not None for one in self.parts if one.payer is Payer.HOLDER)


def total_cost(
    action: Action,
    class_id: int,
    now: int,
    valid_seconds: int,
    *,
    purchase: Purchase | None = None,
    venue: Venue | None = None,
    taking: Taking | None = None,
    charges: Charges | None = None,
    since: int = 0,
) -> TotalCost:
    """Put a quote together. `purchase` and `venue` of what is bought, `taking` and `charges` of
    what goes to the registry; one that is bought and retired has all four.

    The date at the registry counts from the last second of the quote, which is `valid_seconds`
    after `now` or after `since`, the chain's time, where that is ahead.
    """
    parts = [] if purchase is None else _venue_parts(purchase)
    visibility = None
    valid_until = now + valid_seconds
    if taking is not None and charges is not None:
        parts += charges.parts
        steps = charges.steps
        if venue is not None and steps:
            words = "immutable of the Exchange: settled by then, or the match is void"
            steps = (Step(SETTLEMENT, venue.window_seconds, words), *steps)
        visibility = Visibility(
            taking.kilograms - taking.open_kilograms,
            taking.open_kilograms,
            max(now, since) + valid_seconds + sum(one.seconds for one in steps) if steps else None,
            steps,
        )
    bought = 0 if purchase is None else purchase.tonnes * KILOGRAMS_PER_TONNE
    kilograms = bought if taking is None else taking.kilograms
    return TotalCost(
        action, class_id, kilograms, purchase, tuple(parts), now, valid_until, visibility
    )


# ── the book ─────────────────────────────────────────────────────────────────────────────────


def walk(offers: Iterable[Offer], asset: int, tonnes: int, venue: Venue, time: int) -> Purchase:
    """What a buy order of `tonnes` takes at the venue's `time`: offers in the order in which the
    matcher meets them, each fill with a fee of its own, rounded down.

    An offer that has expired, or whose own cap is below the maker's fee, is passed over as the
    matcher ends it, and counts for nothing. Offers of the buyer's own, and of accounts whose
    admission has lapsed since the last command, are not known here. Raises InvalidValue for tonnes
    that no order may have or that take more than MOST_FILLS or MOST_LEVELS, NotEnough when the book
    does not fill it.
    """
    _require_tonnes(tonnes, MAX_QUANTITY)
    levels: list[Level] = []
    left, fills = tonnes, 0
    for offer in offers:
        if offer.expiry < time or offer.max_fee_bps < venue.maker_fee_bps:
            continue
        same = bool(levels) and levels[-1].price == offer.price
        if fills == MOST_FILLS or (not same and len(levels) == MOST_LEVELS):
            rule = f"takes more than {MOST_FILLS} offers or {MOST_LEVELS} prices: ask for less"
            raise InvalidValue("tonnes", tonnes, rule)
        fills += 1
        taken = min(left, offer.tonnes)
        fee = fee_of(taken * offer.price, venue.taker_fee_bps)
        if same:
            last = levels[-1]
            levels[-1] = Level(offer.price, last.tonnes + taken, last.fills + 1, last.fee + fee)
        else:
            levels.append(Level(offer.price, taken, 1, fee))
        left -= taken
        if not left:
            cap = max(venue.maker_fee_bps, venue.taker_fee_bps)
            return Purchase(asset, tonnes, tuple(levels), venue.taker_fee_bps, cap)
    raise NotEnough(
        f"{tonnes} t asked, {tonnes - left} t on offer", asked=tonnes, available=tonnes - left
    )


def _venue_parts(purchase: Purchase) -> list[Part]:
    currency = _address(purchase.asset)
    fills = sum(one.fills for one in purchase.levels)
    prices = " + ".join(f"{one.tonnes} t × {one.price}" for one in purchase.levels[:5])
    more = f" + {len(purchase.levels) - 5} more prices" if len(purchase.levels) > 5 else ""
    rate = f"{purchase.taker_fee_bps} / 10,000 of each of {fills} fills, rounded down"
    return [
        Part("credits", currency, Unit.BASE_UNIT, purchase.notional, Payer.HOLDER, prices + more),
        Part("exchange-fee", currency, Unit.BASE_UNIT, purchase.fee, Payer.HOLDER, rate),
    ]


# ── the registry ─────────────────────────────────────────────────────────────────────────────


def taking_of(before: Positions, taken: Consumed) -> Taking:
    """What a retirement leaves to the registry: tonnes that are whole afterwards, the open tonne
    if it closes among them.
    """
    closes = bool(taken.from_open) and taken.from_open == before.dust
    still_open = taken.from_opened + (0 if closes else taken.from_open)
    return Taking(taken.kilograms, taken.whole + closes, still_open)


def whole_tonnes(tonnes: int) -> Taking:
    """What a delivery, or a purchase that is retired, takes. Raises InvalidValue."""
    _require_tonnes(tonnes, MAX_TONNES)
    return Taking(tonnes * KILOGRAMS_PER_TONNE, tonnes)


def programme_parts(
    schedules: Sequence[Schedule],
    programme: str,
    occasion: Occasion,
    tonnes: int,
    on: date,
    payer: Payer,
) -> tuple[Part, ...]:
    """What the programme charges for tonnes on a day, line by line; one line without an amount
    where no schedule is known: it is never guessed, and never taken for nothing.
    """
    try:
        found = programme_quote(schedules, programme, occasion, Volume(tonnes), on)
    except NotFound as error:
        return (Part(f"{programme}:{occasion}", None, Unit.MILL, None, payer, error.message),)
    currency = found.schedule.currency
    return tuple(
        Part(f"{programme}:{one.name}", currency, Unit.MILL, one.mills, payer, one.how)
        for one in found.lines
    )


def service_steps(hours: int | None, source: str) -> tuple[Step, ...]:
    """The registry's part of a retirement, by what the deployment says of it."""
    return () if hours is None else (Step(AT_REGISTRY, hours * 3_600, source),)


def delivery_parts(terms: DeliveryTerms | None) -> tuple[Part, ...]:
    """The contract's own fee of one request; a line without an amount where no chain answers."""
    name, payer = "delivery-fee", Payer.HOLDER
    if terms is None:
        return (Part(name, None, Unit.BASE_UNIT, None, payer, "the chain does not answer"),)
    if not terms.fee_amount:
        return ()
    how = "for one request, whatever its tonnes; a refund does not give it back"
    currency = _address(terms.fee_asset)
    return (Part(name, currency, Unit.BASE_UNIT, terms.fee_amount, payer, how),)


def delivery_steps(terms: DeliveryTerms | None) -> tuple[Step, ...]:
    """The phases of a delivery, by the contract's own deadlines: whoever is late pays a refund."""
    if terms is None:
        return ()
    source = "periods of Deliveries: the holder may refund what is not done by then"
    return (
        Step(BEGIN, terms.periods.request - BEGIN_MARGIN, source),
        Step(TRANSFER, terms.periods.transfer, source),
    )


def _address(asset: int) -> str:
    """As every answer names a settlement asset: with its checksum (EIP-55)."""
    return to_checksum_address(asset_address(asset))


def _require_tonnes(tonnes: int, most: int) -> None:
    if not 0 < tonnes <= most:
        raise InvalidValue("tonnes", tonnes, f"is not 1 … {most}")
