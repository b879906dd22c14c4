"""Reading a Causeway API: one method per route, blocking (`Client`) or not (`AsyncClient`).

Both carry out the same flows (`calls`); a method means the same in both. Reads that fail because
the service does are tried again, with growing pauses and never earlier than `Retry-After` says;
problems are raised as the errors of our own tree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from typing import Any, Final, Self

from backend.client.calls import Calls, Paging, market
from backend.client.transports import Blocking, Concurrent
from backend.domain.acknowledgements import Acknowledgement
from backend.domain.eip712 import SigningDomain

Data = dict[str, Any]
#: Seconds for one request, and for trying a read that failed again.
TIMEOUT: Final = 15.0
PATIENCE: Final = 5.0


class Client:
    """One API at `url`. Integers come as decimal strings, as the API says them.

    `timeout`: seconds of one request. `patience`: seconds for which reads are tried again.
    Who may have signed acknowledgements is what `sequencers` names, or the Exchange on the chain
    at `chain_url`; with neither it is whoever signed the first, and a change is refused.
    """

    def __init__(
        self,
        url: str,
        *,
        sequencers: Collection[str] = (),
        chain_url: str | None = None,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        self.calls = Calls(url, sequencers, chain_url, patience)
        self.url = self.calls.url
        self._transport = Blocking(self.url, timeout)
        self.run = self._transport.run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def venue(self, **query: Any) -> Data:
        """Fees, limits, settlement assets, and what messages are signed for."""
        found: Data = self.run(self.calls.data("/v1/venue", query))
        return found

    def markets(self, **query: Any) -> list[Data]:
        """Markets that ever had an order."""
        found: list[Data] = self.run(self.calls.data("/v1/markets", query))
        return found

    def book(self, instrument: int, asset: int | str, **query: Any) -> Data:
        """Both sides of a market from the best price on, and the `seq` they are true at."""
        found: Data = self.run(self.calls.book(instrument, asset, query))
        return found

    def quote(self, action: str, **query: Any) -> Data:
        """What it costs in all, until when that holds, and by when the registry shows it.

        `action` with its query: `buy` and `buy-and-retire` with `instrument`, `asset`, `tonnes`;
        `retire` with `class_id`, `kilograms`; `deliver` with `class_id`, `tonnes`. `seq` or `head`
        says what it was computed from. Raises NotEnough with `asked` and `available`.
        """
        found: Data = self.run(self.calls.quote(action, query))
        return found

    def trades(self, instrument: int, asset: int | str, **query: Any) -> list[Data]:
        """The tape of a market, the newest first."""
        path = f"{market(instrument, asset)}/trades"
        found: list[Data] = self.run(self.calls.data(path, query))
        return found

    def trade(self, number: int) -> Data:
        """One trade by its number."""
        found: Data = self.run(self.calls.data(f"/v1/trades/{number}"))
        return found

    def health(self) -> Data:
        """Whether the answers can be relied on; an unwell service answers too."""
        found: Data = self.run(self.calls.health())
        return found

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, token: str | None = None
    ) -> Data:
        """A route's answer as it is. `token` is of a session."""
        return self.run(self.calls.get(path, query, token))

    def pages(
        self, path: str, query: Mapping[str, Any] | None = None, token: str | None = None
    ) -> Iterator[Data]:
        """Every item of a list, page by page."""
        paging = Paging(query)
        while not paging.ended:
            yield from paging.take(self.get(path, paging.query, token))

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """What a route answers to a body, sent once."""
        return self.run(self.calls.post(path, body, headers))

    def send(self, method: str, path: str, body: Any) -> Any:
        """As `post`, of any method, tried again like a read: for what has the effect of once."""
        return self.run(self.calls.send(method, path, body))

    def end_session(self, token: str) -> None:
        """Sign out."""
        self.run(self.calls.end_session(token))

    def domain(self) -> SigningDomain:
        """The EIP-712 domain of the venue's Exchange, asked for once."""
        return self.run(self.calls.domain())

    def check_acknowledgement(self, given: Acknowledgement) -> str:
        """Who signed it. Raises NotAuthorised unless that is a sequencer of the venue."""
        return self.run(self.calls.check_acknowledgement(given))


class AsyncClient:
    """As Client, on an event loop: `async with`, `await`, `async for` over `pages`."""

    def __init__(
        self,
        url: str,
        *,
        sequencers: Collection[str] = (),
        chain_url: str | None = None,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        self.calls = Calls(url, sequencers, chain_url, patience)
        self.url = self.calls.url
        self._transport = Concurrent(self.url, timeout)
        self.run = self._transport.run

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As Client.close."""
        await self._transport.close()

    async def venue(self, **query: Any) -> Data:
        """As Client.venue."""
        found: Data = await self.run(self.calls.data("/v1/venue", query))
        return found

    async def markets(self, **query: Any) -> list[Data]:
        """As Client.markets."""
        found: list[Data] = await self.run(self.calls.data("/v1/markets", query))
        return found

    async def book(self, instrument: int, asset: int | str, **query: Any) -> Data:
        """As Client.book."""
        found: Data = await self.run(self.calls.book(instrument, asset, query))
        return found

    async def quote(self, action: str, **query: Any) -> Data:
        """As `Client.quote`."""
        found: Data = await self.run(self.calls.quote(action, query))
        return found

    async def trades(self, instrument: int, asset: int | str, **query: Any) -> list[Data]:
        """As Client.trades."""
        path = f"{market(instrument, asset)}/trades"
        found: list[Data] = await self.run(self.calls.data(path, query))
        return found

    async def trade(self, number: int) -> Data:
        """As Client.trade."""
        found: Data = await self.run(self.calls.data(f"/v1/trades/{number}"))
        return found

    async def health(self) -> Data:
        """As Client.health."""
        found: Data = await self.run(self.calls.health())
        return found

    async def get(
        self, path: str, query: Mapping[str, Any] | None = None, token: str | None = None
    ) -> Data:
        """As Client.get."""
        return await self.run(self.calls.get(path, query, token))

    async def pages(
        self, path: str, query: Mapping[str, Any] | None = None, token: str | None = None
    ) -> AsyncIterator[Data]:
        """As Client.pages, with `async for`."""
        paging = Paging(query)
        while not paging.ended:
            for item in paging.take(await self.get(path, paging.query, token)):
                yield item

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """As Client.post."""
        return await self.run(self.calls.post(path, body, headers))

    async def send(self, method: str, path: str, body: Any) -> Any:
        """As Client.send."""
        return await self.run(self.calls.send(method, path, body))

    async def end_session(self, token: str) -> None:
        """As Client.end_session."""
        await self.run(self.calls.end_session(token))

    async def domain(self) -> SigningDomain:
        """As Client.domain."""
        return await self.run(self.calls.domain())

    async def check_acknowledgement(self, given: Acknowledgement) -> str:
        """As Client.check_acknowledgement."""
        return await self.run(self.calls.check_acknowledgement(given))
