"""Ends what a killed supervisor leaves behind: children, and what those started in their sessions.

On Linux the kernel already kills the direct children (`launch.py`). This process covers the rest:
grandchildren, and systems without parent-death signals. It reads `+ pid signal started command` and
`- pid` lines from a pipe; the end of the pipe means the supervisor is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

from backend.local.processes import Child, Identity, identify

GRACE_SECONDS = 1.0


class Watchdog:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "backend.local.watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, child: Child, death_signal: int) -> None:
        """End this child when the supervisor dies."""
        who = child.identity
        self._tell(f"+ {who.pid} {int(death_signal)} {who.started} {who.command}\n")

    def remove(self, pid: int) -> None:
        """The child has ended; its number may be reused."""
        self._tell(f"- {pid}\n")

    def close(self) -> None:
        """End the watchdog; it ends whatever is still registered."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()
        self._popen.wait(10)

    def _tell(self, line: str) -> None:
        # Without a watchdog the kernel's death signals still hold: going on is better than ending.
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.write(line.encode())
                self._popen.stdin.flush()


def follow(lines: Iterable[str]) -> dict[int, tuple[int, Identity]]:
    """What is registered when the lines end: pid -> death signal and identity."""
    registered: dict[int, tuple[int, Identity]] = {}
    for line in lines:
        sign, pid, *rest = line.rstrip("\n").split(" ", 4)
        if sign == "+":
            number, started, command = rest
            registered[int(pid)] = (int(number), Identity(int(pid), started, command))
        else:
            registered.pop(int(pid), None)
    return registered


def end_all(registered: dict[int, tuple[int, Identity]]) -> None:
    """Send each group its death signal, after a grace SIGKILL; foreign processes are left alone."""
    if not registered:
        return
    for pid, (number, identity) in registered.items():
        _signal_group(pid, identity, number)
    time.sleep(GRACE_SECONDS)
    for pid, (_, identity) in registered.items():
        _signal_group(pid, identity, signal.SIGKILL)


def _signal_group(pid: int, identity: Identity, number: int) -> None:
    """A dead leader's number stays taken while its group has members: the group is still ours."""
    if identify(pid) in (identity, None):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def main() -> None:
    """Follow standard input to its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_all(follow(sys.stdin))


if __name__ == "__main__":
    main()
