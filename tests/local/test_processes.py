"""Identities of processes, their restarts, and the places their users can reach."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import LocalError
from backend.local import binaries, shelter
from backend.local.plan import default_plan
from backend.local.ports import require_free_ports
from backend.local.processes import Child, User, end_leftover, identify, spawn, wait_until
from backend.local.watchdog import follow
from backend.local.watched import QUICK_FAILURES, QUICK_SECONDS, OwnService, Watched
from backend.settings import Settings
from tests.local.supervised import eventually, stand_in

pytestmark = pytest.mark.integration

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Child]:
    child = spawn("sleeper", SLEEP, log=tmp_path / "log")
    eventually(lambda: identify(child.pid) == child.identity)
    yield child
    child.stop(signal.SIGKILL)


def test_a_process_is_ended_only_when_number_start_and_command_agree(sleeper: Child) -> None:
    who = sleeper.identity
    for foreign in (
        type(who)(who.pid, "1", who.command),
        type(who)(who.pid, who.started, "postgres"),
    ):
        assert not end_leftover(foreign)
        assert sleeper.alive
    assert end_leftover(who)
    # Its command line is gone a moment before its exit status is there.
    eventually(lambda: sleeper.returncode == -signal.SIGTERM)


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True)"
    log = tmp_path / "log"
    child = spawn("stubborn", (sys.executable, "-c", script + "; time.sleep(60)"), log=log)
    eventually(lambda: b"on" in log.read_bytes())
    assert child.stop(grace_seconds=0.2) == -signal.SIGKILL


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = spawn("absent", ("/absent/program",), log=log)
    with pytest.raises(LocalError, match=r"status 127(?s:.*)cannot run /absent/program"):
        wait_until(lambda: False, child, seconds=10, log=log, what="the absent one")


def test_the_watchdog_ends_only_what_is_still_registered() -> None:
    lines = ["+ 7 9 100 /bin/one --a b\n", "+ 8 3 101 /bin/two\n", "- 7\n"]
    ((pid, (number, identity)),) = follow(lines).items()
    assert (pid, number, identity.started, identity.command) == (8, 3, "101", "/bin/two")


def test_quick_failures_wait_longer_each_time_and_then_give_up(tmp_path: Path) -> None:
    service = stand_in("worker")
    watched = Watched(OwnService(service, log=tmp_path, environment={}, directory=tmp_path))
    delays = []
    for _ in range(QUICK_FAILURES - 1):
        assert watched.failed(lived_seconds=0.1, now=0.0)
        assert watched.restart_at is not None
        delays.append(watched.restart_at)
    assert delays == sorted(set(delays))
    assert not watched.failed(lived_seconds=0.1, now=0.0)
    assert watched.failed(lived_seconds=QUICK_SECONDS + 1, now=0.0)


def test_a_closed_directory_above_is_seen_from_its_mode(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    stranger = User(64_000, 64_000)
    inner.parent.chmod(0o700)
    assert not shelter.can_reach(inner, stranger)
    assert shelter.can_reach(inner, User(inner.stat().st_uid, 0)) == all(
        above.stat().st_uid == inner.stat().st_uid or above.stat().st_mode & 0o001
        for above in inner.parents
    )


def test_a_missing_program_says_what_installs_it(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="make run"):
        binaries.anvil(tmp_path)
    with pytest.raises(LocalError, match="no_such_package"):
        binaries.package_directory("no_such_package")


def test_a_finished_child_is_not_alive_and_keeps_its_status(tmp_path: Path) -> None:
    child = spawn("brief", (sys.executable, "-c", "raise SystemExit(3)"), log=tmp_path / "log")
    deadline = time.monotonic() + 60
    while child.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child.returncode == 3
    assert identify(child.pid) is None
    assert identify(os.getpid()) is not None


def _go_on() -> None:
    """Nobody asks for the end."""


def test_a_port_that_a_killed_run_still_holds_is_waited_for_another_programs_is_refused() -> None:
    settings = Settings.from_environment(chain_url="http://127.0.0.1:1")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        plan = default_plan(api_port=holder.getsockname()[1])
        with pytest.raises(LocalError, match="CAUSEWAY_API_PORT"):
            require_free_ports(settings, plan, _go_on, after_kill=False)
        leaving = threading.Timer(0.5, holder.close)
        leaving.start()
        require_free_ports(settings, plan, _go_on, after_kill=True)
        leaving.join()


class _Asked(BaseException):
    """Somebody asked for the end."""


def test_the_wait_for_a_port_ends_when_the_end_is_asked_for() -> None:
    settings = Settings.from_environment(chain_url="http://127.0.0.1:1")
    rounds: list[None] = []

    def third_time() -> None:
        rounds.append(None)
        if len(rounds) == 3:
            raise _Asked

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        plan = default_plan(api_port=holder.getsockname()[1])
        with pytest.raises(_Asked):
            require_free_ports(settings, plan, third_time, after_kill=True)
