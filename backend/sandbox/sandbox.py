"""Faucets and triggers together: one act at a time, each on a chain that was looked at first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from backend.errors import LocalError
from backend.sandbox.effects import Effect
from backend.sandbox.faucets import Faucets
from backend.sandbox.guard import LOCAL_CHAIN_ID, check_chain, is_wanted
from backend.sandbox.machine import Machine
from backend.sandbox.registry import SimulatedRegistry
from backend.sandbox.triggers import Triggers


class Sandbox:
    """Raises LocalError where the settings do not ask for one or it may not be."""

    def __init__(self, machine: Machine) -> None:
        if not is_wanted(machine.settings):
            raise LocalError("there is no sandbox here: CAUSEWAY_SANDBOX is not set")
        self._machine = machine
        self._one_at_a_time = threading.Lock()

    @cached_property
    def _registry(self) -> SimulatedRegistry:
        return SimulatedRegistry(self._machine.custody)

    @contextmanager
    def _checked(self) -> Iterator[None]:
        with self._one_at_a_time:
            check_chain(self._machine.rpc)
            yield

    def give(self, act: Callable[[Faucets], Effect]) -> Effect:
        """One faucet."""
        with self._checked():
            return act(Faucets(self._machine, self._registry))

    def trigger(self, act: Callable[[Triggers], Effect]) -> Effect:
        """One trigger."""
        with self._checked():
            return act(Triggers(self._machine, self._registry))

    def state(self) -> dict[str, Any]:
        """What is set now."""
        with self._checked():
            rpc, contracts = self._machine.rpc, self._machine.contracts
            newest = rpc.block("latest")
            assert newest is not None
            held = {
                one: contracts.read("CarbonCredits", "positions", one)["flags"]
                for one in contracts.class_ids()
            }
            return {
                "chain_id": str(LOCAL_CHAIN_ID),
                "head": {"number": str(newest.number), "hash": newest.hash},
                "time": str(newest.timestamp),
                "registry": {"mode": self._registry.mode, "time": str(self._registry.time)},
                "halted_classes": [str(one) for one, flags in held.items() if flags],
            }
