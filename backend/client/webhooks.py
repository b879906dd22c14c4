"""An account's webhook endpoints at an API, blocking (`Webhooks`) or not (`AsyncWebhooks`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import orjson

from backend.client.calls import JSON, Paging, bearer
from backend.client.flows import Flow, Request, asked
from backend.client.reading import Data
from backend.client.trading import AsyncTrader, Trader

_PATH: Final = "/v1/webhooks"
_WELL: Final = (200, 201, 204)


class Webhooks:
    """The endpoints of a trader's account, by its session."""

    def __init__(self, trader: Trader) -> None:
        self._client, self._trader = trader.client, trader

    def create(
        self,
        url: str,
        types: Sequence[str],
        *,
        classes: Sequence[int] = (),
        description: str = "",
    ) -> Data:
        """A new endpoint for facts from now on; its `secret` is shown this once."""
        return self._do("POST", "", _wanted(url, types, classes, description))

    def list(self) -> list[Data]:
        """The account's endpoints, the oldest first."""
        found: list[Data] = self._client.get(_PATH, token=self._trader.sign_in())["data"]
        return found

    def get(self, endpoint: str) -> Data:
        """One endpoint."""
        return self._do("GET", f"/{endpoint}")

    def change(self, endpoint: str, **changes: Any) -> Data:
        """Change `url`, `types`, `classes`, `description`, `active`."""
        return self._do("PATCH", f"/{endpoint}", _plain(changes))

    def remove(self, endpoint: str) -> None:
        """Forget an endpoint with its events."""
        self._do("DELETE", f"/{endpoint}")

    def rotate_secret(self, endpoint: str, *, overlap_seconds: int = 86_400) -> Data:
        """A new `secret`; the one before signs too until the overlap ends."""
        return self._do("POST", f"/{endpoint}/secret", {"overlap_seconds": overlap_seconds})

    def deliveries(self, endpoint: str, **query: Any) -> Iterator[Data]:
        """Events with attempts and answers, the newest first; `state` waiting or delivered."""
        paging = Paging(query)
        while not paging.ended:
            path, token = f"{_PATH}/{endpoint}/deliveries", self._trader.sign_in()
            yield from paging.take(self._client.get(path, paging.query, token))

    def replay(
        self, endpoint: str, *, sequence: int | None = None, from_sequence: int | None = None
    ) -> Data:
        """Send one event again, or all from one on."""
        return self._do("POST", f"/{endpoint}/replay", _range(sequence, from_sequence))

    def ping(self, endpoint: str) -> Data:
        """Send a test event."""
        return self._do("POST", f"/{endpoint}/ping")

    def _do(self, method: str, rest: str, body: Any = None) -> Data:
        found: Data = self._client.run(_call(method, rest, self._trader.sign_in(), body))
        return found


class AsyncWebhooks:
    """As Webhooks, on an event loop."""

    def __init__(self, trader: AsyncTrader) -> None:
        self._client, self._trader = trader.client, trader

    async def create(
        self,
        url: str,
        types: Sequence[str],
        *,
        classes: Sequence[int] = (),
        description: str = "",
    ) -> Data:
        """As Webhooks.create."""
        return await self._do("POST", "", _wanted(url, types, classes, description))

    async def list(self) -> list[Data]:
        """As Webhooks.list."""
        answer = await self._client.get(_PATH, token=await self._trader.sign_in())
        found: list[Data] = answer["data"]
        return found

    async def get(self, endpoint: str) -> Data:
        """As Webhooks.get."""
        return await self._do("GET", f"/{endpoint}")

    async def change(self, endpoint: str, **changes: Any) -> Data:
        """As Webhooks.change."""
        return await self._do("PATCH", f"/{endpoint}", _plain(changes))

    async def remove(self, endpoint: str) -> None:
        """As Webhooks.remove."""
        await self._do("DELETE", f"/{endpoint}")

    async def rotate_secret(self, endpoint: str, *, overlap_seconds: int = 86_400) -> Data:
        """As Webhooks.rotate_secret."""
        return await self._do("POST", f"/{endpoint}/secret", {"overlap_seconds": overlap_seconds})

    async def deliveries(self, endpoint: str, **query: Any) -> AsyncIterator[Data]:
        """As Webhooks.deliveries, with `async for`."""
        paging = Paging(query)
        while not paging.ended:
            path, token = f"{_PATH}/{endpoint}/deliveries", await self._trader.sign_in()
            for item in paging.take(await self._client.get(path, paging.query, token)):
                yield item

    async def replay(
        self, endpoint: str, *, sequence: int | None = None, from_sequence: int | None = None
    ) -> Data:
        """As Webhooks.replay."""
        return await self._do("POST", f"/{endpoint}/replay", _range(sequence, from_sequence))

    async def ping(self, endpoint: str) -> Data:
        """As Webhooks.ping."""
        return await self._do("POST", f"/{endpoint}/ping")

    async def _do(self, method: str, rest: str, body: Any = None) -> Data:
        token = await self._trader.sign_in()
        found: Data = await self._client.run(_call(method, rest, token, body))
        return found


def _call(method: str, rest: str, token: str, body: Any) -> Flow[Any]:
    """What is done once: a second endpoint or ping would be another one."""
    headers = {**bearer(token), **(JSON if body is not None else {})}
    content = None if body is None else orjson.dumps(body)
    request = Request(method, _PATH + rest, headers=headers, content=content, well=_WELL)
    answer = yield from asked(request)
    return answer["data"] if answer else {}


def _wanted(url: str, types: Sequence[str], classes: Sequence[int], description: str) -> Data:
    told = {"url": url, "types": list(types), "classes": list(classes)}
    return _plain({**told, "description": description})


def _range(sequence: int | None, from_sequence: int | None) -> Data:
    wanted = {"sequence": sequence, "from_sequence": from_sequence}
    return {name: str(value) for name, value in wanted.items() if value is not None}


def _plain(changes: Data) -> Data:
    """Token ids as the API takes them: decimal strings."""
    if changes.get("classes") is not None:
        changes = {**changes, "classes": [str(one) for one in changes["classes"]]}
    return changes
