"""Starts, identifies and ends operating-system processes without ever touching a foreign one."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.errors import LocalError

_LAUNCH = Path(__file__).with_name("launch.py")
_PROC = Path("/proc")
#: A log that has grown beyond this at the start of a process is kept once as `.1`.
LOG_BYTES = 8 << 20


@dataclass(frozen=True)
class Identity:
    """What tells one process from a later one with the same number."""

    pid: int
    started: str
    command: str


@dataclass(frozen=True)
class User:
    """The user and group a child runs as."""

    uid: int
    gid: int


def unprivileged_user() -> User | None:
    """`nobody` when this process is root, which Postgres refuses to run as; else None."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return User(65534, 65534)
    return User(entry.pw_uid, entry.pw_gid)


def identify(pid: int) -> Identity | None:
    """The identity of a living process, or None. A zombie counts as dead."""
    if _PROC.joinpath("self", "stat").exists():
        return _identify_by_proc(pid)
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=,command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    words = shown.stdout.split()
    if shown.returncode != 0 or len(words) < 7 or words[0].startswith("Z"):
        return None
    return Identity(pid, "_".join(words[1:6]), " ".join(words[6:]))


def _identify_by_proc(pid: int) -> Identity | None:
    try:
        stat = _PROC.joinpath(str(pid), "stat").read_text(errors="replace")
        command = _PROC.joinpath(str(pid), "cmdline").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold spaces: count the fields after its end.
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    words = command.rstrip(b"\0").decode(errors="replace").split("\0")
    return Identity(pid, fields[19], " ".join(words))


class Child:
    """One process started by us, in a session of its own."""

    def __init__(self, name: str, command: Sequence[str], popen: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.command = " ".join(command)
        self.pid = popen.pid
        self.started_at = time.monotonic()
        self._popen = popen
        seen = identify(popen.pid)
        self.identity = Identity(popen.pid, seen.started if seen else "", self.command)

    @property
    def returncode(self) -> int | None:
        """Exit status of the ended process (negative: the signal), None while it runs."""
        if self._popen.returncode is None and self._has_exited():
            # While the zombie stands its number cannot be reused: end what it left behind first.
            self.signal_group(signal.SIGKILL)
            self._popen.wait()
        return self._popen.returncode

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self.returncode is None

    def _has_exited(self) -> bool:
        try:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:
            return True

    def send(self, number: int) -> None:
        """Send a signal to the process alone."""
        if self.alive:
            os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and everything it started in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def stop(self, number: int = signal.SIGTERM, grace_seconds: float = 10.0) -> int:
        """Ask the process to end, after the grace kill it; returns its exit status."""
        self.send(number)
        if not self._wait(grace_seconds):
            self.signal_group(signal.SIGKILL)
            self._wait(5.0)
        return self.returncode if self.returncode is not None else -signal.SIGKILL

    def _wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def spawn(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    user: User | None = None,
    death_signal: int = signal.SIGKILL,
) -> Child:
    """Start a child in its own session that dies with this process (Linux).

    Must be called from the main thread: the kernel ties the death signal to the calling thread.
    `environment` replaces the whole environment; output is appended to `log`.
    """
    launcher = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), str(int(death_signal))]
    who = [str(user.uid), str(user.gid)] if user else ["-1", "-1"]
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [*launcher, *who, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            cwd=directory or "/",
            start_new_session=True,
        )
    return Child(name, command, popen)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_taken(host: str, port: int) -> bool:
    """True when a listener cannot be opened on the address."""
    with socket.socket() as probe:
        # Ports of connections that linger after a stop are free for a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False


def wait_until(
    ready: Callable[[], bool], child: Child, *, seconds: float, log: Path, what: str
) -> None:
    """Wait until `ready`, or raise LocalError with the end of the log when it cannot come."""
    deadline = time.monotonic() + seconds
    while not ready():
        if not child.alive:
            raise LocalError(
                f"{what} ended with status {child.returncode} while starting; its log {log} ends:"
                f"\n{tail(log)}",
                process=child.name,
                status=child.returncode,
                log=str(log),
            )
        if time.monotonic() > deadline:
            raise LocalError(
                f"{what} did not answer within {seconds:g} s; its log {log} ends:\n{tail(log)}",
                process=child.name,
                log=str(log),
            )
        time.sleep(0.02)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, empty when there is none."""
    try:
        text = log.read_bytes()[-16_384:].decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def end_leftover(identity: Identity, *, number: int = signal.SIGTERM, grace: float = 5.0) -> bool:
    """End a process of an earlier, killed supervisor; False when it is gone or is another one.

    Number, start time and command line must all agree, so a foreign process that got the same
    number is never touched.
    """
    if identify(identity.pid) != identity:
        return False
    for attempt in (number, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(identity.pid, attempt)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if identify(identity.pid) != identity:
                return True
            time.sleep(0.02)
    return True
