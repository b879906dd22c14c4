"""A process that the supervisor keeps running, and how often it may fail."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from backend.local.plan import Service
from backend.local.processes import Child, spawn, wait_until

#: A process that lived shorter than this failed quickly.
QUICK_SECONDS = 10.0
#: After so many quick failures in a row everything stops.
QUICK_FAILURES = 5
_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 10.0


class Runnable(Protocol):
    """What Postgres, NATS, Anvil and our own services have in common."""

    name: str
    death_signal: int
    log: Path
    child: Child | None

    def start(self) -> object:
        """Start and wait until it answers. Raises LocalError."""

    def stop(self) -> None:
        """End it in good order."""

    def healthy(self) -> bool:
        """True when it answers."""


class OwnService:
    """One of the project's long-running commands."""

    def __init__(
        self, service: Service, *, log: Path, environment: Mapping[str, str], directory: Path
    ) -> None:
        self.name = service.name
        self.death_signal = 9
        self.log = log
        self.child: Child | None = None
        self._service = service
        self._environment = environment
        self._directory = directory

    def start(self) -> Child:
        """Start the command and wait until it listens, when it has a port."""
        self.child = spawn(
            self.name,
            self._service.command,
            log=self.log,
            environment=self._environment,
            directory=self._directory,
            death_signal=self.death_signal,
        )
        if self._service.port is not None:
            seconds = self._service.ready_seconds
            wait_until(self.healthy, self.child, seconds=seconds, log=self.log, what=self.name)
        return self.child

    def stop(self) -> None:
        """SIGTERM, after ten seconds SIGKILL."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    def healthy(self) -> bool:
        """True when it runs and, with a port, listens there."""
        if self._service.port is None:
            return self.child is not None and self.child.alive
        try:
            with socket.create_connection(("127.0.0.1", self._service.port), timeout=2):
                return True
        except OSError:
            return False


@dataclass
class Watched:
    """A runnable with its history of failures; times are of the monotonic clock."""

    runnable: Runnable
    failures: int = 0
    restart_at: float | None = None
    unanswered_since: float | None = field(default=None)

    @property
    def name(self) -> str:
        """The runnable's name."""
        return self.runnable.name

    @property
    def dead(self) -> bool:
        """True when the process has ended though nobody stopped it."""
        child = self.runnable.child
        return child is None or not child.alive

    def failed(self, lived_seconds: float, now: float | None = None) -> bool:
        """Record a failure and plan the restart; False when it failed too often."""
        self.failures = self.failures + 1 if lived_seconds < QUICK_SECONDS else 1
        if self.failures >= QUICK_FAILURES:
            return False
        delay = _FIRST_DELAY_SECONDS * 4 ** (self.failures - 1)
        moment = time.monotonic() if now is None else now
        self.restart_at = moment + min(delay, _LONGEST_DELAY_SECONDS)
        return True
