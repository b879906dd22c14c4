"""The venue and its markets: rules, summaries, books, the tape, all true at one journal entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, case, func, literal_column, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from backend.domain.classes import flag_names
from backend.domain.orders import Side
from backend.domain.quotes import Offer
from backend.domain.venue_events import Reason
from backend.errors import Conflict, NotFound
from backend.store import exchange_tables
from backend.store import market_tables as tables
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page, shaped
from backend.store.venue_tables import venues

MINUTE, DAY = 60, 86_400
OFFERS_AT_ONCE = 500

_DAY = ("day_trades", "day_tonnes", "day_turnover", "day_low", "day_high")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VenueHead:
    """The journal entry that an answer is true at; `seq` 0 while nothing is projected."""

    venue: int
    seq: int
    epoch: int
    time_ms: int
    settled_trade: int
    settled_withdrawal: int


@dataclass(frozen=True, slots=True)
class SettlementAsset:
    asset: int
    listed: bool


@dataclass(frozen=True, slots=True)
class Venue:
    """What a venue is and where it stands. `status` is trading, paused or halted."""

    venue: int
    name: str | None
    chain_id: int
    exchange: str
    epoch: int
    rules: int
    status: str
    halt_reason: int | None
    halt_detail: int | None
    paused_at: int | None
    window_seconds: int
    skew_seconds: int
    maker_fee_bps: int
    taker_fee_bps: int
    last_trade: int
    last_withdrawal: int
    last_deposit: int
    settled_trade: int
    settled_withdrawal: int
    instruments: int
    assets: tuple[SettlementAsset, ...]


@dataclass(frozen=True, slots=True)
class MarketSummary:
    """One market; `day_…` are the last 24 hours of the journal's time, in whole minutes.

    `halted_for` says why nothing is traded there: flags of the class, by name.
    """

    instrument: int
    asset: int
    halted_for: tuple[str, ...]
    last_trade: int | None
    last_price: int | None
    last_time_ms: int | None
    best_bid: int | None
    best_ask: int | None
    trades: int
    tonnes: int
    turnover: int
    day_trades: int
    day_tonnes: int
    day_turnover: int
    day_low: int | None
    day_high: int | None


@dataclass(frozen=True, slots=True)
class CandleView:
    """Trades that stand of `seconds` from Unix second `start` on."""

    start: int
    open: int
    high: int
    low: int
    close: int
    trades: int
    tonnes: int
    turnover: int


@dataclass(frozen=True, slots=True)
class BookLevel:
    """Tonnes of `orders` resting orders at one price."""

    price: int
    tonnes: int
    orders: int


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides from the best price on; `bids` dearest first, `asks` cheapest first."""

    instrument: int
    asset: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]


@dataclass(frozen=True, slots=True)
class TapeTrade:
    """A trade as the tape shows it. `state` is matched, settled or voided."""

    number: int
    seq: int
    time_ms: int
    instrument: int
    asset: int
    price: int
    quantity: int
    taker_side: int
    state: str


@dataclass(frozen=True, slots=True)
class Trade(TapeTrade):
    """A trade with its parties: what its settlement publishes on chain."""

    maker: str
    maker_nonce: int
    taker: str
    taker_nonce: int
    maker_fee: int
    taker_fee: int
    retired: bool
    void_reason: int | None
    transaction_hash: str | None


def venue_head(connection: Connection, venue: int) -> VenueHead:
    """How far the read models of a venue are."""
    state = tables.venue_state
    row = connection.execute(select(state).where(state.c.venue == venue)).first()
    if row is None:
        return VenueHead(venue, 0, 0, 0, 0, 0)
    return shaped(VenueHead, row)


def is_open() -> ColumnElement[bool]:
    """Whether an order is open, spelled out so that every plan can use the partial indexes."""
    return tables.venue_orders.c.state == literal_column("'open'")


def get_venue(connection: Connection, venue: int) -> Venue:
    """Raises NotFound while the venue has no journal that is projected."""
    state, listed, classes = tables.venue_state, tables.venue_assets, tables.venue_instruments
    row = connection.execute(
        select(state, venues.c.name)
        .select_from(state.outerjoin(venues, venues.c.id == state.c.venue))
        .where(state.c.venue == venue)
    ).first()
    if row is None:
        raise NotFound(f"venue {venue} has not opened yet", venue=str(venue))
    assets = connection.execute(
        select(listed.c.asset, listed.c.listed)
        .where(listed.c.venue == venue)
        .order_by(listed.c.asset)
    )
    instruments = connection.execute(
        select(func.count()).select_from(classes).where(classes.c.venue == venue)
    ).scalar_one()
    halted = row.halt_reason is not None
    return shaped(
        Venue,
        row,
        status="halted" if halted else "trading" if row.paused_at is None else "paused",
        instruments=instruments,
        assets=tuple(shaped(SettlementAsset, found) for found in assets),
    )


def list_markets(
    connection: Connection,
    head: VenueHead,
    *,
    instrument: int | None = None,
    asset: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[MarketSummary]:
    """Markets that ever had an order, by instrument and settlement asset; two queries a page."""
    markets = tables.venue_markets
    query = _with_best(head.venue)
    if instrument is not None:
        query = query.where(markets.c.instrument == instrument)
    if asset is not None:
        query = query.where(markets.c.asset == asset)
    rows, following = fetch_page(
        connection, query, [markets.c.instrument, markets.c.asset], [int, int], cursor, limit
    )
    return Page(_summaries(connection, head, rows), following)


def get_market(
    connection: Connection, head: VenueHead, instrument: int, asset: int
) -> MarketSummary:
    """One market. Raises NotFound when nothing can trade there."""
    markets = tables.venue_markets
    row = connection.execute(
        _with_best(head.venue).where(markets.c.instrument == instrument, markets.c.asset == asset)
    ).first()
    if row is None:
        flags = _require_market(connection, head.venue, instrument, asset)
        nothing: dict[str, Any] = dict.fromkeys(field.name for field in fields(MarketSummary))
        sums = dict.fromkeys(("trades", "tonnes", "turnover", *_DAY[:3]), 0)
        known = {"instrument": instrument, "asset": asset, "halted_for": flag_names(flags)}
        return MarketSummary(**(nothing | sums | known))
    return _summaries(connection, head, [row])[0]


def _with_best(venue: int) -> Select[Any]:
    markets, orders = tables.venue_markets, tables.venue_orders

    def best(side: Side) -> Any:
        price = orders.c.price
        return (
            select(price)
            .where(
                orders.c.venue == markets.c.venue,
                orders.c.instrument == markets.c.instrument,
                orders.c.asset == markets.c.asset,
                orders.c.side == int(side),
                is_open(),
            )
            .order_by(price.desc() if side is Side.BUY else price.asc())
            .limit(1)
            .scalar_subquery()
        )

    classes = tables.venue_instruments
    return (
        select(
            markets,
            classes.c.flags,
            best(Side.BUY).label("best_bid"),
            best(Side.SELL).label("best_ask"),
        )
        .select_from(
            markets.join(
                classes,
                (classes.c.venue == markets.c.venue)
                & (classes.c.instrument == markets.c.instrument),
            )
        )
        .where(markets.c.venue == venue)
    )


def _summaries(
    connection: Connection, head: VenueHead, rows: list[Row[Any]]
) -> tuple[MarketSummary, ...]:
    candles = tables.venue_candles
    found = connection.execute(
        select(
            candles.c.instrument,
            candles.c.asset,
            func.sum(candles.c.trades),
            func.sum(candles.c.tonnes),
            func.sum(candles.c.turnover),
            func.min(candles.c.low),
            func.max(candles.c.high),
        )
        .where(
            candles.c.venue == head.venue,
            candles.c.seconds == MINUTE,
            candles.c.start > head.time_ms // 1_000 - DAY,
            tuple_(candles.c.instrument, candles.c.asset).in_(
                [(row.instrument, row.asset) for row in rows]
            ),
        )
        .group_by(candles.c.instrument, candles.c.asset)
    )
    day = {(row[0], row[1]): list(map(int, row[2:])) for row in found}
    summaries = []
    for row in rows:
        sums = day.get((row.instrument, row.asset), [0, 0, 0, None, None])
        more = {"halted_for": flag_names(row.flags), **dict(zip(_DAY, sums, strict=True))}
        summaries.append(shaped(MarketSummary, row, **more))
    return tuple(summaries)


def get_book(
    connection: Connection, head: VenueHead, instrument: int, asset: int, levels: int
) -> Book:
    """The best levels of a market. Raises NotFound when nothing can trade there."""
    _require_market(connection, head.venue, instrument, asset)
    orders = tables.venue_orders

    def side(which: Side) -> tuple[BookLevel, ...]:
        price = orders.c.price
        rows = connection.execute(
            select(price, func.sum(orders.c.remaining), func.count())
            .where(
                orders.c.venue == head.venue,
                orders.c.instrument == instrument,
                orders.c.asset == asset,
                orders.c.side == int(which),
                is_open(),
            )
            .group_by(price)
            .order_by(price.desc() if which is Side.BUY else price.asc())
            .limit(levels)
        )
        return tuple(BookLevel(row[0], int(row[1]), row[2]) for row in rows)

    return Book(instrument, asset, side(Side.BUY), side(Side.SELL))


def require_trading(connection: Connection, venue: Venue, instrument: int, asset: int) -> None:
    """Raises NotFound when nothing can ever trade there, Conflict when every order would be refused
    now, with the `reason` of that refusal and the `flags` of a class that is halted.
    """
    flags = _require_market(connection, venue.venue, instrument, asset)
    if venue.status != "trading":
        reason = Reason.HALTED if venue.status == "halted" else Reason.PAUSED
    elif not any(one.listed for one in venue.assets if one.asset == asset):
        reason = Reason.UNKNOWN_ASSET
    elif flags:
        reason = Reason.CLASS_HALTED
    else:
        return
    name = reason.name.lower()
    raise Conflict(f"no order is taken there now: {name}", reason=name, flags=flag_names(flags))


def offers(
    connection: Connection, market: tuple[int, int, int], time: int, maker_fee_bps: int
) -> Iterator[Offer]:
    """Resting sell orders of a (venue, instrument, asset) in the order in which the matcher meets
    them: cheapest and oldest first, read page by page as far as somebody takes them.

    What a taker does not get is left where it is: what has expired at `time`, Unix seconds, and
    what has a cap below the maker's fee. However much of that rests, it costs no page.
    """
    venue, instrument, asset = market
    orders = tables.venue_orders
    query = (
        select(orders.c.price, orders.c.seq, orders.c.remaining, orders.c.max_fee_bps)
        .add_columns(orders.c.expiry)
        .where(
            orders.c.venue == venue,
            orders.c.instrument == instrument,
            orders.c.asset == asset,
            orders.c.side == int(Side.SELL),
            orders.c.expiry >= time,
            orders.c.max_fee_bps >= maker_fee_bps,
            is_open(),
        )
        .order_by(orders.c.price, orders.c.seq)
        .limit(OFFERS_AT_ONCE)
    )
    rest = query
    while rows := connection.execute(rest).all():
        for row in rows:
            yield Offer(row.price, row.remaining, row.max_fee_bps, row.expiry)
        last = rows[-1]
        rest = query.where(tuple_(orders.c.price, orders.c.seq) > (last.price, last.seq))


def candles_of(
    connection: Connection,
    head: VenueHead,
    instrument: int,
    asset: int,
    *,
    seconds: int,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[CandleView]:
    """Candles of 60, 3600 or 86400 seconds in which something traded, the newest first.

    Raises NotFound when nothing can trade there.
    """
    _require_market(connection, head.venue, instrument, asset)
    candles = tables.venue_candles
    query = select(candles).where(
        candles.c.venue == head.venue,
        candles.c.instrument == instrument,
        candles.c.asset == asset,
        candles.c.seconds == seconds,
    )
    rows, following = fetch_page(
        connection, query, [candles.c.start], [int], cursor, limit, descending=True
    )
    return Page(tuple(shaped(CandleView, row) for row in rows), following)


def all_levels(connection: Connection, venue: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(instrument, asset, side, price, tonnes) of every level: what seeds `market_data.Depth`.

    Read it in the snapshot that also read `venue_head`.
    """
    orders = tables.venue_orders
    key = (orders.c.instrument, orders.c.asset, orders.c.side, orders.c.price)
    rows = connection.execute(
        select(*key, func.sum(orders.c.remaining))
        .where(orders.c.venue == venue, is_open())
        .group_by(*key)
    )
    for row in rows:
        yield row[0], row[1], row[2], row[3], int(row[4])


def _require_market(connection: Connection, venue: int, instrument: int, asset: int) -> int:
    """Flags of the class. Raises NotFound when nothing can ever trade there."""
    classes, assets = tables.venue_instruments, tables.venue_assets
    known = connection.execute(
        select(
            select(classes.c.flags)
            .where(classes.c.venue == venue, classes.c.instrument == instrument)
            .scalar_subquery(),
            select(assets.c.seq).where(assets.c.venue == venue, assets.c.asset == asset).exists(),
        )
    ).one()
    if known[0] is None:
        raise NotFound(f"no instrument has the id {instrument}", instrument=str(instrument))
    if not known[1]:
        raise NotFound(f"no settlement asset has the address 0x{asset:040x}", asset=hex(asset))
    flags: int = known[0]
    return flags


# ── trades ───────────────────────────────────────────────────────────────────────────────────


def trade_state(head: VenueHead) -> Any:
    """SQL of a trade's state at `head`: it is in no column, settlement moves whole ranges."""
    trades = tables.venue_trades
    return case(
        (trades.c.voided_seq.is_not(None), "voided"),
        (trades.c.number <= head.settled_trade, "settled"),
        else_="matched",
    ).label("state")


def tape(
    connection: Connection,
    head: VenueHead,
    instrument: int,
    asset: int,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[TapeTrade]:
    """Trades of a market, the newest first. Raises NotFound when nothing can trade there."""
    _require_market(connection, head.venue, instrument, asset)
    trades = tables.venue_trades
    query = select(trades, trade_state(head)).where(
        trades.c.venue == head.venue,
        trades.c.instrument == instrument,
        trades.c.asset == asset,
    )
    rows, following = fetch_page(
        connection, query, [trades.c.number], [int], cursor, limit, descending=True
    )
    return Page(tuple(shaped(TapeTrade, row) for row in rows), following)


def get_trade(connection: Connection, head: VenueHead, number: int) -> Trade:
    """One trade with its parties. Raises NotFound."""
    trades = tables.venue_trades
    row = connection.execute(
        select(trades, trade_state(head)).where(
            trades.c.venue == head.venue, trades.c.number == number
        )
    ).first()
    if row is None:
        raise NotFound(f"no trade has the number {number}", number=str(number))
    settled = _settled_by(connection, number) if row.state == "settled" else None
    return shaped(Trade, row, transaction_hash=settled)


def _settled_by(connection: Connection, trade: int) -> str | None:
    """Hash of the transaction that settled a trade; the chain index may be behind the journal."""
    acts = exchange_tables.exchange_acts
    row: Any = connection.execute(
        select(acts.c.first_trade, acts.c.transaction_hash)
        .where(acts.c.kind == "batch", acts.c.last_trade >= trade)
        .order_by(acts.c.last_trade)
        .limit(1)
    ).first()
    return row.transaction_hash if row is not None and row.first_trade <= trade else None
