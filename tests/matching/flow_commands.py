"""The flow of `bench/flow.py` as commands of the engine, with accounts that never self-trade.

Orders of the flow's trader n are of the n-th buyer when they buy and of the n-th seller when they
sell, so the engine's fills are exactly those of the flow's own reference book.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable
from typing import Any

from backend.domain.commands import (
    CreditDeposit,
    ListAsset,
    ListClass,
    OpenVenue,
    PlaceCancel,
    PlaceOrder,
    SetFees,
    SetParticipant,
)
from backend.domain.orders import NO_DETAILS, Account, Cancel, Order
from backend.domain.venue_events import Event, Traded
from backend.matching import Engine
from tests.shared_data import shared_data_directory

TIME_S = 1_800_000_000
TIME_MS = TIME_S * 1_000
INSTRUMENT = (7 << 200) + 5
ASSET = 0xABC
TRADERS = 1_000
WEALTH = 10**15
SIGNATURE = bytes(65)
FLOW = shared_data_directory().parent / "bench" / "flow.py"
Row = tuple[str, int, str, int, int, int]


def rows(count: int, seed: int = 1) -> tuple[list[Row], dict[int, dict[str, Any]]]:
    """(rows, expected figures by number of events) of the flow."""
    spec = importlib.util.spec_from_file_location("bench_flow", FLOW)
    assert spec is not None, f"no flow at {FLOW}"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: tuple[list[Row], dict[int, dict[str, Any]]] = module.gen(count, seed)
    return made


def account(side: str, trader: int) -> Account:
    return Account(side.encode() * 16 + trader.to_bytes(4, "big"))


ACCOUNTS = {(side, n): account(side, n) for side in "BS" for n in range(TRADERS)}


def opened_engine() -> Engine:
    """An engine with every buyer and seller admitted and funded, fees of 2 and 5 bps."""
    engine = Engine()
    engine.apply(TIME_MS, OpenVenue(1, Account(b"x" * 20), 600, 60))
    engine.apply(TIME_MS, SetFees(2, 5))
    engine.apply(TIME_MS, ListAsset(1, 1, ASSET, 1))
    engine.apply(TIME_MS, ListClass(1, 2, INSTRUMENT))
    for index, ((side, _), who) in enumerate(ACCOUNTS.items()):
        engine.apply(TIME_MS, SetParticipant(2, 2 * index, who, 1, 2 * TIME_S, 0))
        asset = ASSET if side == "B" else INSTRUMENT
        deposit = CreditDeposit(2, 2 * index + 1, index + 1, who, asset, WEALTH)
        engine.apply(TIME_MS, deposit)
    return engine


class Commands:
    """Turns rows into commands, group by group."""

    def __init__(self) -> None:
        self._nonces: dict[Account, int] = {}
        self._placed: dict[int, int] = {}

    def take(self, flow_rows: Iterable[Row]) -> list[PlaceOrder | PlaceCancel]:
        """The next rows as commands."""
        made: list[PlaceOrder | PlaceCancel] = []
        nonces, placed = self._nonces, self._placed
        for kind, number, side, price, quantity, trader in flow_rows:
            who = ACCOUNTS[side, trader]
            if kind == "C":
                made.append(PlaceCancel(Cancel(who, placed.pop(number)), SIGNATURE))
                continue
            nonce = placed[number] = nonces.get(who, 0)
            nonces[who] = nonce + 1
            order = Order(
                who, nonce, INSTRUMENT, ASSET, int(side == "S"), quantity, price, 10,
                TIME_S, TIME_S + 86_400, 0, NO_DETAILS, 0,
            )  # fmt: skip
            made.append(PlaceOrder(order, SIGNATURE))
        return made


class FillHash:
    """The flow's figures, taken from the engine's events."""

    def __init__(self, flow_rows: Iterable[Row]) -> None:
        self._numbers: dict[tuple[Account, int], int] = {}
        nonces: dict[Account, int] = {}
        for kind, number, side, _, _, trader in flow_rows:
            if kind != "C":
                who = ACCOUNTS[side, trader]
                nonce = nonces.get(who, 0)
                nonces[who] = nonce + 1
                self._numbers[who, nonce] = number
        self._hash = hashlib.sha256()
        self.trades = self.volume = self.notional = 0

    def take(self, events: Iterable[Event]) -> None:
        for one in events:
            if isinstance(one, Traded):
                maker = self._numbers[one.maker, one.maker_nonce]
                taker = self._numbers[one.taker, one.taker_nonce]
                self._hash.update(b"%d,%d,%d,%d;" % (maker, taker, one.price, one.quantity))
                self.trades += 1
                self.volume += one.quantity
                self.notional += one.quantity * one.price

    def figures(self) -> dict[str, Any]:
        return {
            "trades": self.trades,
            "volume": self.volume,
            "notional": self.notional,
            "fills_sha256": self._hash.hexdigest(),
        }
