"""The process plan as data: which of our own commands run, in what order, and when they are up."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

#: `causeway deploy` exits with this when the recorded deployment has other bytecode.
EXIT_OTHER_BYTECODE = 3
#: `causeway index recover` exits with this when an older saved state has to be loaded first.
EXIT_OLDER_STATE = 4


@dataclass(frozen=True)
class Step:
    """A command that runs to its end; other than exit status 0 ends the start."""

    name: str
    command: tuple[str, ...]
    #: What takes long in it, for whoever waits.
    note: str = ""


@dataclass(frozen=True)
class Service:
    """A command that runs as long as the supervisor; restarted when it ends.

    With `port` it is up when something listens there, else when it runs.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    ready_seconds: float = 60.0


@dataclass(frozen=True)
class Plan:
    """Order of the start: `migrate`, `deploy`, `recover`, `services`, then `finally_run`.

    `recover` also runs after every restart of the chain. Services stop in reverse order.
    """

    migrate: Step | None
    deploy: Step | None
    recover: Step | None
    services: tuple[Service, ...] = ()
    #: Run once when everything is up, with their output on the terminal; a failure is reported
    #: and everything goes on.
    finally_run: tuple[Step, ...] = field(default=())


def command(*words: str) -> tuple[str, ...]:
    """`causeway <words>` run by this interpreter."""
    return (sys.executable, "-m", "backend.cli", *words)


def default_plan(
    *, api_port: int, demo: bool = False, registries: tuple[Service, ...] = ()
) -> Plan:
    """What `causeway up` runs on one machine."""
    return Plan(
        migrate=Step("migrate", command("db", "migrate")),
        deploy=Step("deploy", command("deploy"), "(the first time it compiles: a minute)"),
        recover=Step("recover", command("index", "recover")),
        services=(
            *registries,
            Service("worker", command("worker")),
            Service("watcher", command("watcher")),
            Service("sequencer", command("sequencer")),
            Service("api", command("api"), port=api_port),
        ),
        finally_run=(Step("demo", command("demo")),) if demo else (),
    )
