"""Runs a supervisor with a plan of stand-ins, as a process of its own that tests may kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend.local.plan import Plan, Service, Step
from backend.local.processes import free_port, identify
from backend.settings import Settings

SERVICE = Path(__file__).with_name("service.py")
#: What a supervisor needs of the environment; the rest of the tester's is kept out.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


def stand_in(name: str, *words: str, port: int | None = None) -> Service:
    """A service that listens on `port`."""
    listen = ("--port", str(port)) if port else ()
    return Service(name, (sys.executable, str(SERVICE), *listen, *words), port=port)


def step(name: str, script: str) -> Step:
    """A step that runs a line of Python."""
    return Step(name, (sys.executable, "-c", script))


def run_from_arguments() -> int:
    """The supervisor process itself: the plan comes as JSON."""
    from backend.local.supervisor import up

    fields = json.loads(sys.argv[1])
    plan = Plan(
        **{name: one and _step(one) for name, one in fields["steps"].items()},
        services=tuple(
            Service(**one | {"command": tuple(one["command"])}) for one in fields["services"]
        ),
        finally_run=tuple(_step(one) for one in fields["finally_run"]),
    )
    return up(Settings.from_environment(), plan=plan, fresh=fields["fresh"])


def _step(fields: dict[str, Any]) -> Step:
    return Step(fields["name"], tuple(fields["command"]))


@dataclass
class Supervised:
    """A running supervisor."""

    home: Path
    process: subprocess.Popen[bytes]
    output_path: Path
    rpc_port: int
    api_port: int

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self.output_path.read_text()

    @property
    def run(self) -> dict[str, Any]:
        """The run file."""
        return dict(json.loads((self.home / "run.json").read_bytes()))

    def pid(self, name: str) -> int:
        """Process number of one of its children."""
        return int(self.run["processes"][name]["pid"])

    def settings(self) -> Settings:
        """What a command would load."""
        return Settings.load(home=self.home)

    def wait_for(self, said: str, *, times: int = 1, seconds: float = 30.0) -> None:
        """Wait until it has said a text so many times."""
        eventually(
            lambda: self.output.count(said) >= times or self.process.poll() is not None, seconds
        )
        assert self.output.count(said) >= times, self.output

    def stop(self, seconds: float = 20.0) -> int:
        """Ctrl-C; returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def all_gone(pids: list[int]) -> bool:
    """True when none of the processes runs."""
    return all(identify(pid) is None for pid in pids)


@contextmanager
def supervised(
    home: Path,
    *,
    services: tuple[Service, ...] = (),
    finally_run: tuple[Step, ...] = (),
    fresh: bool = False,
    rpc_port: int | None = None,
    api_port: int | None = None,
    environment: dict[str, str] | None = None,
    prefix: tuple[str, ...] = (),
    **steps: Step,
) -> Iterator[Supervised]:
    """Start a supervisor on `home`; at the end it is stopped, or killed when it does not end."""
    ports = (rpc_port or free_port(), api_port or free_port())
    plan = {
        "steps": {
            name: asdict(steps[name]) if name in steps else None
            for name in ("migrate", "deploy", "recover")
        },
        "services": [asdict(service) for service in services],
        "finally_run": [asdict(one) for one in finally_run],
        "fresh": fresh,
    }
    output = home.parent / f"{home.name}-{time.monotonic_ns()}.out"
    code = "import sys; from tests.local.supervised import run_from_arguments as r; sys.exit(r())"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-c", code, json.dumps(plan)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).resolve().parents[2],
            env={name: os.environ[name] for name in _KEPT if name in os.environ}
            | {
                "CAUSEWAY_HOME": str(home),
                "CAUSEWAY_RPC_PORT": str(ports[0]),
                "CAUSEWAY_API_PORT": str(ports[1]),
            }
            | (environment or {}),
        )
    run = Supervised(home, process, output, *ports)
    try:
        yield run
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
