"""A trader: signs messages, sends them until their outcome is known, checks what is answered.

`Trader` blocks, `AsyncTrader` does not; both carry out the same flows (`desk`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from backend.chain.keys import Key
from backend.client.answers import Placed
from backend.client.calls import Paging
from backend.client.desk import Desk
from backend.client.reading import AsyncClient, Client, Data
from backend.domain.commands import PlaceOrder
from backend.domain.orders import Message, Side
from backend.errors import CausewayError

#: Seconds for which a message whose outcome is not known is sent again.
PATIENCE: Final = 10.0


class Trader:
    """One key at one API.

    A message is sent again under its nonce until its outcome is known, for `patience` seconds;
    that cannot place it twice. Nonces follow the API's account, then count on by themselves.
    Not for several threads at once: give each its own, or use AsyncTrader.
    """

    def __init__(self, client: Client, key: Key, *, patience: float = PATIENCE) -> None:
        self.client, self.key = client, key
        self.desk = Desk(client.calls, key, patience)

    # ── trading ──────────────────────────────────────────────────────────────────────────────

    def place(
        self,
        side: Side | str,
        instrument: int,
        asset: int | str,
        quantity: int,
        price: int,
        *,
        nonce: int | None = None,
        **conditions: Any,
    ) -> Placed:
        """Place an order of `quantity` tonnes at `price` base units each.

        `conditions`: time_in_force (gtc, ioc, fok), post_only, self_trade (cancel_taker,
        cancel_maker, cancel_both), retire_on_fill with details_hash, max_fee_bps, expires_in or
        expiry, signed_at. Raises InvalidValue naming the field, Conflict when a given nonce is
        used, OutcomeUnknown when even repeating told nothing.
        """
        terms = (side, instrument, asset, quantity, price)
        return self.client.run(self.desk.place(*terms, nonce, conditions))

    def place_many(self, orders: Sequence[PlaceOrder]) -> list[Placed | CausewayError]:
        """Place up to 50 orders (of `order`) at once; per order its answer or what failed."""
        return self.client.run(self.desk.place_many(orders))

    def order(
        self,
        side: Side | str,
        instrument: int,
        asset: int | str,
        quantity: int,
        price: int,
        **conditions: Any,
    ) -> PlaceOrder:
        """A signed order that is not sent; `conditions` and `nonce` as in `place`."""
        terms = (side, instrument, asset, quantity, price)
        return self.client.run(self.desk.order(*terms, **conditions))

    def cancel(self, nonce: int) -> Placed:
        """Cancel the order with this nonce, or use the nonce up before an order has it."""
        return self.client.run(self.desk.cancel(nonce))

    def cancel_all(self, instrument: int = 0, *, nonce: int | None = None) -> Placed:
        """Cancel every open order, of one instrument or of all."""
        return self.client.run(self.desk.cancel_all(instrument, nonce))

    def withdraw(self, asset: int | str, amount: int, *, nonce: int | None = None) -> Placed:
        """Move base units (or kilograms of a class) from trading to claimable on chain."""
        return self.client.run(self.desk.withdraw(asset, amount, nonce))

    def sign(self, message: Message) -> bytes:
        """The 65-byte signature of a message that keeps its own rules; raises InvalidValue."""
        return self.client.run(self.desk.sign(message))

    def take_nonce(self) -> int:
        """A nonce that this trader has not used: the API's next one, then counted on.

        Raises VenueUnavailable when the API broke off: nothing was sent under any nonce yet.
        """
        return self.client.run(self.desk.take_nonce())

    # ── reading one's own ────────────────────────────────────────────────────────────────────

    def account(self, **query: Any) -> Data:
        """Balances, the next nonce, open orders."""
        found: Data = self.client.run(self.desk.own_data("", query))
        return found

    def orders(self, **query: Any) -> list[Data]:
        """Own orders, the newest first; `state`, `limit` …"""
        found: list[Data] = self.client.run(self.desk.own_data("/orders", query))
        return found

    def trades(self, **query: Any) -> list[Data]:
        """Own trades, the newest first."""
        found: list[Data] = self.client.run(self.desk.own_data("/trades", query))
        return found

    def statement(self, **query: Any) -> list[Data]:
        """Every change of a balance, the newest first."""
        found: list[Data] = self.client.run(self.desk.own_data("/statement", query))
        return found

    def withdrawals(self, **query: Any) -> list[Data]:
        """Own withdrawals, the newest first."""
        found: list[Data] = self.client.run(self.desk.own_data("/withdrawals", query))
        return found

    def pages(self, name: str, **query: Any) -> Iterator[Data]:
        """Every item of an own list (orders, trades, statement, withdrawals, exits, deposits)."""
        paging = Paging(query)
        while not paging.ended:
            yield from paging.take(self.client.run(self.desk.own(f"/{name}", paging.query)))

    def sign_in(self) -> str:
        """The token of a session, opened when there is none; for `client.get` and streams."""
        return self.client.run(self.desk.sign_in())

    def sign_out(self) -> None:
        """End the session, if there is one."""
        self.client.run(self.desk.sign_out())


class AsyncTrader:
    """As Trader, on an event loop. Any number of calls of one trader may be under way at once."""

    def __init__(self, client: AsyncClient, key: Key, *, patience: float = PATIENCE) -> None:
        self.client, self.key = client, key
        self.desk = Desk(client.calls, key, patience)

    # ── trading ──────────────────────────────────────────────────────────────────────────────

    async def place(
        self,
        side: Side | str,
        instrument: int,
        asset: int | str,
        quantity: int,
        price: int,
        *,
        nonce: int | None = None,
        **conditions: Any,
    ) -> Placed:
        """As Trader.place."""
        terms = (side, instrument, asset, quantity, price)
        return await self.client.run(self.desk.place(*terms, nonce, conditions))

    async def place_many(self, orders: Sequence[PlaceOrder]) -> list[Placed | CausewayError]:
        """As Trader.place_many."""
        return await self.client.run(self.desk.place_many(orders))

    async def order(
        self,
        side: Side | str,
        instrument: int,
        asset: int | str,
        quantity: int,
        price: int,
        **conditions: Any,
    ) -> PlaceOrder:
        """As Trader.order."""
        terms = (side, instrument, asset, quantity, price)
        return await self.client.run(self.desk.order(*terms, **conditions))

    async def cancel(self, nonce: int) -> Placed:
        """As Trader.cancel."""
        return await self.client.run(self.desk.cancel(nonce))

    async def cancel_all(self, instrument: int = 0, *, nonce: int | None = None) -> Placed:
        """As Trader.cancel_all."""
        return await self.client.run(self.desk.cancel_all(instrument, nonce))

    async def withdraw(self, asset: int | str, amount: int, *, nonce: int | None = None) -> Placed:
        """As Trader.withdraw."""
        return await self.client.run(self.desk.withdraw(asset, amount, nonce))

    async def sign(self, message: Message) -> bytes:
        """As Trader.sign."""
        return await self.client.run(self.desk.sign(message))

    async def take_nonce(self) -> int:
        """As Trader.take_nonce."""
        return await self.client.run(self.desk.take_nonce())

    # ── reading one's own ────────────────────────────────────────────────────────────────────

    async def account(self, **query: Any) -> Data:
        """As Trader.account."""
        found: Data = await self.client.run(self.desk.own_data("", query))
        return found

    async def orders(self, **query: Any) -> list[Data]:
        """As Trader.orders."""
        found: list[Data] = await self.client.run(self.desk.own_data("/orders", query))
        return found

    async def trades(self, **query: Any) -> list[Data]:
        """As Trader.trades."""
        found: list[Data] = await self.client.run(self.desk.own_data("/trades", query))
        return found

    async def statement(self, **query: Any) -> list[Data]:
        """As Trader.statement."""
        found: list[Data] = await self.client.run(self.desk.own_data("/statement", query))
        return found

    async def withdrawals(self, **query: Any) -> list[Data]:
        """As Trader.withdrawals."""
        found: list[Data] = await self.client.run(self.desk.own_data("/withdrawals", query))
        return found

    async def pages(self, name: str, **query: Any) -> AsyncIterator[Data]:
        """As Trader.pages, with `async for`."""
        paging = Paging(query)
        while not paging.ended:
            page = await self.client.run(self.desk.own(f"/{name}", paging.query))
            for item in paging.take(page):
                yield item

    async def sign_in(self) -> str:
        """As Trader.sign_in."""
        return await self.client.run(self.desk.sign_in())

    async def sign_out(self) -> None:
        """As Trader.sign_out."""
        await self.client.run(self.desk.sign_out())
