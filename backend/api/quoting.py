"""Total-cost quotes of this deployment: its book, fee schedules, custody file and contracts, read
in one snapshot and given to `domain.quotes`, which reckons.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from backend.api.answers import services_of
from backend.chain import abi
from backend.domain.capabilities import bars_to_delivering, bars_to_retiring, require
from backend.domain.deliveries import Periods
from backend.domain.fees import Occasion
from backend.domain.quotes import (
    Action,
    Charges,
    DeliveryTerms,
    Part,
    Payer,
    Purchase,
    TotalCost,
    Venue,
    delivery_parts,
    delivery_steps,
    programme_parts,
    service_steps,
    taking_of,
    total_cost,
    walk,
    whole_tonnes,
)
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import ChainRejected, ChainUnavailable, InvalidValue, NotEnough
from backend.registries.custody_file import Channel, Custody
from backend.registries.fee_schedules import fee_schedules
from backend.store.queries import market
from backend.store.queries.classes import get_class
from backend.store.queries.market import VenueHead
from backend.store.queries.reading import Connection, chain_head, deployment
from backend.store.queries.upcoming import MOST_KILOGRAMS, consumption, upcoming

CONTRACT = "Deliveries"
#: Tonnes that one delivery is quoted for.
MOST_DELIVERED: Final = MOST_KILOGRAMS // KILOGRAMS_PER_TONNE


@dataclass(frozen=True, slots=True)
class Quoter:
    """Quotes made at one moment, Unix seconds. Every method raises NotFound for what does not
    exist, InvalidValue for an amount that is none, NotEnough with `asked` and `available`; those of
    purchases raise Conflict with the `reason` where no order is taken now.
    """

    custody: Custody
    valid_seconds: int
    now: int

    def buy(
        self, db: Connection, head: VenueHead, instrument: int, asset: int, tonnes: int
    ) -> TotalCost:
        """Tonnes of an instrument from the book as it stands."""
        purchase, _ = self._purchase(db, head, instrument, asset, tonnes)
        return total_cost(Action.BUY, instrument, self.now, self.valid_seconds, purchase=purchase)

    def buy_and_retire(
        self, db: Connection, head: VenueHead, instrument: int, asset: int, tonnes: int
    ) -> TotalCost:
        """The same, retired at once: whole tonnes, which leave no tonne open."""
        purchase, venue = self._purchase(db, head, instrument, asset, tonnes)
        since = self._since(db)
        return total_cost(
            Action.BUY_AND_RETIRE,
            instrument,
            self.now,
            self.valid_seconds,
            purchase=purchase,
            venue=venue,
            taking=whole_tonnes(tonnes),
            charges=self._retirement(get_class(db, instrument).programme, tonnes, since),
            since=since,
        )

    def retire(self, db: Connection, class_id: int, kilograms: int) -> TotalCost:
        """Kilograms that one holds. Raises ProgrammeForbids where nobody may retire them."""
        programme = get_class(db, class_id).programme
        taking = taking_of(*consumption(db, class_id, kilograms))
        since = self._since(db)
        return total_cost(
            Action.RETIRE,
            class_id,
            self.now,
            self.valid_seconds,
            taking=taking,
            charges=self._retirement(programme, taking.registry_tonnes, since),
            since=since,
        )

    def deliver(
        self, db: Connection, class_id: int, tonnes: int, terms: DeliveryTerms | None
    ) -> TotalCost:
        """Whole tonnes to a registry account. Raises ProgrammeForbids where they cannot leave."""
        programme = get_class(db, class_id).programme
        since = self._since(db)
        bars = bars_to_delivering(self.custody.programme(programme, _day(since)), "", ())
        require("delivery", bars)
        taking = whole_tonnes(tonnes)
        _require_one_block(db, class_id, tonnes)
        parts = self._programme_parts(programme, Occasion.DELIVERY, tonnes, since)
        return total_cost(
            Action.DELIVER,
            class_id,
            self.now,
            self.valid_seconds,
            taking=taking,
            charges=Charges((*delivery_parts(terms), *parts), delivery_steps(terms)),
            since=since,
        )

    def _purchase(
        self, db: Connection, head: VenueHead, instrument: int, asset: int, tonnes: int
    ) -> tuple[Purchase, Venue]:
        found = market.get_venue(db, head.venue)
        market.require_trading(db, found, instrument, asset)
        venue = Venue(found.maker_fee_bps, found.taker_fee_bps, found.window_seconds)
        # The journal's time never goes back: the next order is judged at one no earlier.
        at = max(self.now, head.time_ms // 1_000)
        place = (head.venue, instrument, asset)
        offers = market.offers(db, place, at, venue.maker_fee_bps)
        return walk(offers, asset, tonnes, venue, at), venue

    def _since(self, db: Connection) -> int:
        """The later of the clock and the chain's time, Unix seconds: the bridge goes by the chain,
        which may be ahead (a sandbox's always may).
        """
        return max(self.now, chain_head(db).timestamp or 0)

    def _retirement(self, programme: str, tonnes: int, since: int) -> Charges:
        require("retirement", bars_to_retiring(self.custody.programme(programme, _day(since))))
        link = self.custody.link(programme)
        by_people = link.channel is Channel.MANUAL
        source = "custody file: " + ("task_hours" if by_people else "service_hours")
        return Charges(
            self._programme_parts(programme, Occasion.RETIREMENT, tonnes, since),
            service_steps(link.latest_hours(), source),
        )

    def _programme_parts(
        self, programme: str, occasion: Occasion, tonnes: int, since: int
    ) -> tuple[Part, ...]:
        passed_on = self.custody.link(programme).fees_passed_on
        payer = Payer.HOLDER if passed_on else Payer.OPERATOR
        return programme_parts(fee_schedules(), programme, occasion, tonnes, _day(since), payer)


def quoter_of(request: Request) -> Quoter:
    """Quotes of this moment."""
    state = request.app.state
    return Quoter(state.custody, state.quote_seconds, int(time.time()))


async def delivery_terms(request: Request) -> DeliveryTerms | None:
    """Periods and fee of deliveries, by the contract; None where no chain says them."""
    services = services_of(request)
    _, addresses = await services.read(lambda db, head: deployment(db))
    chain, address = services.chain, addresses.get(CONTRACT)
    if chain is None or address is None:
        return None

    def ask(view: str) -> dict[str, int | str]:
        found = chain.eth_call(address, abi.encode_call(CONTRACT, view))
        decoded: dict[str, int | str] = abi.decode_result(CONTRACT, view, found)
        return decoded

    def read() -> DeliveryTerms | None:
        try:
            periods, fee = ask("periods"), ask("fee")
        except (ChainUnavailable, ChainRejected):
            return None
        lengths = (int(value) for value in periods.values())
        return DeliveryTerms(Periods(*lengths), int(str(fee["asset"]), 16), int(fee["amount"]))

    return await run_in_threadpool(read)


def _day(at: int) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def _require_one_block(db: Connection, class_id: int, tonnes: int) -> None:
    """Raises NotEnough when the next tonnes lie in more than one block: no delivery crosses.
    InvalidValue beyond what a preview looks at; both in tonnes, as they were asked.
    """
    if tonnes > MOST_DELIVERED:
        raise InvalidValue("tonnes", tonnes, f"is not 1 … {MOST_DELIVERED}")
    try:
        there = _next_block(db, class_id, tonnes)
    except NotEnough as error:
        left = int(error.values["available"]) // KILOGRAMS_PER_TONNE
        there = _next_block(db, class_id, left) if left else 0
    if there < tonnes:
        raise NotEnough(
            f"{tonnes} t asked, {there} t lie in the next block: one delivery takes one block",
            asked=tonnes,
            available=there,
        )


def _next_block(db: Connection, class_id: int, tonnes: int) -> int:
    """How many of the next tonnes lie in one block. Raises NotEnough, in kilograms."""
    found = upcoming(db, class_id, tonnes * KILOGRAMS_PER_TONNE)
    first = found.pieces[0].serials[0]
    return first.last - first.first + 1
