"""The two kinds of client behind one blocking face, so that one suite says what both do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

from backend.chain.keys import named_key
from backend.client import AsyncClient, AsyncTrader, Client, Trader
from tests.exchange.market import trader_key

KINDS = ("blocking", "asynchronous")


class Kind:
    """Makes clients and traders of one kind; closes what it made."""

    def __init__(self, name: str) -> None:
        self._runner = asyncio.Runner() if name == "asynchronous" else None
        self._made: list[Any] = []

    def client(self, url: str, **options: Any) -> Any:
        if self._runner is None:
            made: Any = Client(url, **options)
        else:
            made = _InLoop(AsyncClient(url, **options), self._runner)
        self._made.append(made)
        return made

    def trader(self, client: Any, number: int, **options: Any) -> Any:
        key = named_key(f"trader-{number}", trader_key(number))
        if self._runner is None:
            return Trader(client, key, **options)
        return _InLoop(AsyncTrader(client.held, key, **options), self._runner)

    def close(self) -> None:
        for made in self._made:
            made.close()
        if self._runner is not None:
            self._runner.close()


class _InLoop:
    """An asynchronous object whose methods block."""

    def __init__(self, held: Any, runner: asyncio.Runner) -> None:
        self.held, self._runner = held, runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.held, name)
        if not callable(found):
            return found

        def call(*given: Any, **named: Any) -> Any:
            made = found(*given, **named)
            if inspect.isasyncgen(made):
                return self._each(made)
            return self._runner.run(_awaited(made)) if inspect.isawaitable(made) else made

        return call

    def _each(self, items: Any) -> Iterator[Any]:
        while True:
            try:
                yield self._runner.run(_awaited(anext(items)))
            except StopAsyncIteration:
                return


async def _awaited(made: Any) -> Any:
    return await made
