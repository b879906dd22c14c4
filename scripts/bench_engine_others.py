"""Other matching engines that pip can install, each behind `add`, `cancel` and nothing more.

None is a dependency of the project. Each adapter imports its package when it is asked for, so an
engine that is not installed is reported by name. Orders are made outside the measured time where
the package takes objects; listeners are left out where the package can do without.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

Row = tuple[str, int, str, int, int, int]


def _orderly_chaos(rows: list[Row]) -> Callable[[], int]:
    package = import_module("orderly_chaos")
    trades: list[Any] = []
    book = package.LimitOrderBook(on_trade=trades.append)
    buy, sell = package.Side.BUY, package.Side.SELL

    def run() -> int:
        for kind, number, side, price, quantity, _ in rows:
            if kind == "C":
                book.cancel(number)
            else:
                book.limit(buy if side == "B" else sell, number, quantity, price)
        return len(trades)

    return run


def _liquibook(rows: list[Row]) -> Callable[[], int]:
    package = import_module("liquibook")
    book = package.DepthOrderBook()
    orders = {
        number: package.SimpleOrder(side == "B", price, quantity)
        for kind, number, side, price, quantity, _ in rows
        if kind != "C"
    }

    def run() -> int:
        for kind, number, *_ in rows:
            if kind == "C":
                book.cancel(orders[number])
            else:
                book.add(orders[number])
        return 0

    return run


def _cython_orderbook(rows: list[Row]) -> Callable[[], int]:
    package = import_module("cython_orderbook")
    book = package.OrderBook()
    sides = {"B": package.OrderSide.BID, "S": package.OrderSide.ASK}
    orders = {
        number: package.Order(side=sides[side], price=price, original_quantity=quantity)
        for kind, number, side, price, quantity, _ in rows
        if kind != "C"
    }

    def run() -> int:
        for kind, number, *_ in rows:
            if kind == "C":
                book.cancel_order(orders[number].order_id)
            else:
                book.add_limit_order(orders[number])
        return 0

    return run


def _light_matching_engine(rows: list[Row]) -> Callable[[], int]:
    package = import_module("lightmatchingengine.lightmatchingengine")
    engine = package.LightMatchingEngine()
    sides = {"B": package.Side.BUY, "S": package.Side.SELL}

    def run() -> int:
        given: dict[int, int] = {}
        for kind, number, side, price, quantity, _ in rows:
            if kind == "C":
                engine.cancel_order(given[number], "X")
            else:
                order, _trades = engine.add_order("X", price, quantity, sides[side])
                given[number] = order.order_id
        return 0

    return run


def _pyorderbook(rows: list[Row]) -> Callable[[], int]:
    package = import_module("pyorderbook")
    book = package.Book()
    sides = {"B": package.Side.BID, "S": package.Side.ASK}
    orders = {
        number: package.Order(sides[side], "X", price, quantity)
        for kind, number, side, price, quantity, _ in rows
        if kind != "C"
    }

    def run() -> int:
        for kind, number, *_ in rows:
            if kind == "C":
                book.cancel(orders[number])
            else:
                book.match(orders[number])
        return 0

    return run


#: (events to run: the slow ones get the beginning of the flow, adapter)
OTHERS: dict[str, tuple[int, Callable[[list[Row]], Callable[[], int]]]] = {
    "liquibook": (1_000_000, _liquibook),
    "orderly-chaos": (1_000_000, _orderly_chaos),
    "cython-orderbook": (1_000_000, _cython_orderbook),
    "lightmatchingengine": (100_000, _light_matching_engine),
    "pyorderbook": (100_000, _pyorderbook),
}


def per_second(name: str, rows: list[Row]) -> int | str:
    """Events per second of CPU of an engine on the flow's beginning, or why there is no figure."""
    count, make = OTHERS[name]
    part = rows[:count]
    try:
        run = make(part)
    except ImportError:
        return "not installed"
    started = time.process_time()
    run()
    return round(len(part) / (time.process_time() - started))
