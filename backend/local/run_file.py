"""What a running supervisor tells the rest: who it is, its endpoints, its processes."""

from __future__ import annotations

import fcntl
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from backend.errors import LocalError
from backend.local.chain_state import write_atomically
from backend.local.processes import Identity


@dataclass(frozen=True)
class RunFile:
    """`<home>/run.json`: `settings` fill `Settings.load()`, `processes` are those to end later."""

    supervisor: Identity
    settings: dict[str, str | int]
    processes: dict[str, Identity]

    def write(self, home: Path) -> None:
        """Replace the file atomically; it holds secrets, so only its owner may read it."""
        write_atomically(home / "run.json", orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))


def read(home: Path) -> RunFile | None:
    """The run file of the home; None when there is none or it is damaged."""
    try:
        content: dict[str, Any] = orjson.loads((home / "run.json").read_bytes())
        return RunFile(
            supervisor=Identity(**content["supervisor"]),
            settings=content["settings"],
            processes={name: Identity(**who) for name, who in content["processes"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove(home: Path) -> None:
    """Forget the run: its endpoints no longer answer."""
    (home / "run.json").unlink(missing_ok=True)


class HomeLock:
    """The right to run services on a home, held by an open file: it ends with the process."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises LocalError naming the supervisor that holds it."""
        self._home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            running = read(self._home)
            who = f"process {running.supervisor.pid}" if running else "another process"
            raise LocalError(
                f"Causeway already runs on {self._home} ({who}); stop it with Ctrl-C or a SIGTERM, "
                "or choose another home with CAUSEWAY_HOME",
                home=str(self._home),
                pid=running.supervisor.pid if running else None,
            ) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
