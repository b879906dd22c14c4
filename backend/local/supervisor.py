"""Starts everything one machine needs, keeps it running and ends it in order."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from backend.errors import CausewayError, ChainRejected, ChainUnavailable, LocalError
from backend.local import binaries, chain_state, run_file
from backend.local.anvil import Anvil
from backend.local.nats import Nats
from backend.local.plan import (
    EXIT_OLDER_STATE,
    EXIT_OTHER_BYTECODE,
    Plan,
    Service,
    Step,
    default_plan,
)
from backend.local.ports import require_free_ports
from backend.local.postgres import Postgres
from backend.local.processes import (
    Child,
    end_leftover,
    free_port,
    identify,
    spawn,
    tail,
)
from backend.local.registry import LocalRegistry
from backend.local.run_file import HomeLock, RunFile
from backend.local.set_aside import set_aside
from backend.local.watchdog import Watchdog
from backend.local.watched import QUICK_FAILURES, OwnService, Runnable, Watched
from backend.sandbox.guard import is_possible
from backend.settings import Settings

_TICK_SECONDS = 0.1
#: The chain is saved this often when its head moved, and never more than a tenth of the time.
SAVE_SECONDS = 5.0
_HEALTH_SECONDS = 5.0
#: A process that runs but has not answered for so long is killed and started again.
UNANSWERED_SECONDS = 30.0
#: A step that takes longer is announced before it ends.
_SILENT_SECONDS = 2.0
#: Keys with which the worker signs what it has checked, where one machine plays all parties.
LOCAL_SIGNERS = "custodian,attestor"

Say = Callable[[str], None]


class _StopRequested(BaseException):
    """A signal asked for the end."""


def _say(line: str) -> None:
    print(line, flush=True)


def up(
    settings: Settings,
    *,
    plan: Plan | None = None,
    demo: bool = False,
    fresh: bool = False,
    say: Say = _say,
) -> int:
    """Run everything in the foreground until SIGINT or SIGTERM; returns the exit status.

    `settings` are `Settings.from_environment()`: endpoints in them switch the embedded service
    off. `fresh` sets the data of earlier runs aside first.
    """
    registry = None
    if plan is None:
        # On a chain of this machine alone the credits are samples, and so is their registry.
        if settings.chain_url is None and settings.custody is None:
            registry = LocalRegistry(settings.home, free_port())
        services = (registry.service(),) if registry else ()
        plan = default_plan(api_port=settings.api_port, demo=demo, registries=services)
    try:
        Supervisor(settings, plan, say, registry).run(fresh=fresh)
    except CausewayError as error:
        say(f"causeway up: {error.message}")
        return 1
    return 0


class Supervisor:
    """One run on one home. Single-threaded: children are tied to its main thread."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        say: Say = _say,
        registry: LocalRegistry | None = None,
    ) -> None:
        self._registry = registry
        self.settings = settings
        self.plan = plan
        self.home = settings.home
        self.logs = settings.home / "logs"
        self._say = say
        self._lock = HomeLock(self.home)
        self._watchdog: Watchdog | None = None
        self._watched: list[Watched] = []
        self._registered: dict[str, Child] = {}
        self._signals = 0
        self._recovery_due = False
        self._directory = Path.cwd()
        self._postgres: Postgres | None = None
        self._nats: Nats | None = None
        self._anvil: Anvil | None = None

    # ------------------------------------------------------------------------------- the run

    def run(self, *, fresh: bool = False) -> None:
        """Start, watch, stop. Raises LocalError when it cannot go on."""
        self._lock.acquire()
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            killed = self._end_leftovers()
            require_free_ports(self.settings, self.plan, self._check_signals, after_kill=killed)
            run_file.remove(self.home)
            if fresh:
                self._set_aside("as asked")
            self._watchdog = Watchdog()
            self._start_all()
            self._watch()
        except _StopRequested:
            self._say("Stopping …")
        finally:
            self._stop_all()
            if self._watchdog is not None:
                self._watchdog.close()
                run_file.remove(self.home)
            self._lock.release()
            for number, handler in previous.items():
                signal.signal(number, handler)
        self._say("Stopped; the data stays in " + str(self.home))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _check_signals(self) -> None:
        if self._signals:
            raise _StopRequested

    # ----------------------------------------------------------------------------- the start

    def _end_leftovers(self) -> bool:
        """End what a killed run left; whether there was one: its file stays till ports are free."""
        left = run_file.read(self.home)
        ended = []
        for name, identity in reversed(left.processes.items() if left else ()):
            number = signal.SIGINT if name == "postgres" else signal.SIGTERM
            if end_leftover(identity, number=number):
                ended.append(f"{name} ({identity.pid})")
        if left is not None:
            what = ", ".join(ended) or "nothing"
            self._say(f"The last run (process {left.supervisor.pid}) was killed; ended: {what}.")
        return left is not None

    def _start_all(self) -> None:
        self._start_embedded()
        self._run_surely(self.plan.migrate)
        if self._anvil is not None and self._bring_chain() == EXIT_OTHER_BYTECODE:
            self._stop_all()
            self._set_aside("the contracts' bytecode is another than the deployed one")
            self._start_embedded()
            self._run_surely(self.plan.migrate)
            self._bring_chain()
        for service in self.plan.services:
            self._start(self._own(service))
        self._say_ready()

    def _bring_chain(self) -> int:
        """Contracts, recovery, publication; from the start again when a service dies meanwhile."""
        for attempt in range(QUICK_FAILURES):
            try:
                status = self._run_surely(self.plan.deploy, allowed=(0, EXIT_OTHER_BYTECODE))
                if status == 0:
                    self._keep_deployment()
                    self._recover_chain(self._run_surely)
                    self._publish_chain()
            except (LocalError, ChainUnavailable, ChainRejected):
                if not self._embedded_is_down() or attempt == QUICK_FAILURES - 1:
                    raise
                self._revive()
            else:
                return status
        return 0

    def _run_surely(self, step: Step | None, allowed: tuple[int, ...] = (0,)) -> int:
        """Run a step of the start; when a service under it died meanwhile, once more with it."""
        for _ in range(QUICK_FAILURES):
            try:
                return self._run_step(step, allowed)
            except LocalError:
                if not self._embedded_is_down():
                    raise
                self._revive()
        return self._run_step(step, allowed)

    def _revive(self) -> None:
        """Start the services again that have died before the watch over them began."""
        for watched in self._watched:
            if watched.dead:
                self._forget(watched.name)
                self._say(f"{watched.name} ended while starting; it is started again.")
                if isinstance(watched.runnable, Anvil):
                    watched.runnable.hide()
                watched.runnable.start()
                self._register(watched.name, watched.runnable.child, watched.runnable.death_signal)

    def _start_embedded(self) -> None:
        settings = self.settings
        if settings.database_url is None:
            self._postgres = Postgres(self.home, log=self._log("postgres"))
            if not self._postgres.initialise():
                self._say(f"Going on with the data in {self.home}.")
            self._start(self._postgres)
        if settings.nats_url is None:
            self._nats = Nats(self.home, log=self._log("nats"))
            self._start(self._nats)
        if settings.chain_url is None:
            self._refuse_lost_chain()
            self._anvil = Anvil(
                log=self._log("anvil"),
                state=self.home / "anvil",
                port=settings.rpc_port,
                chain_id=settings.chain_id,
                mnemonic=settings.dev_mnemonic,
            )
            self._anvil.hide()
            self._start(self._anvil)
            self._say_chain(self._anvil)

    def _refuse_lost_chain(self) -> None:
        """A new genesis under an old deployment would go on silently without its contracts."""
        chosen = chain_state.choose(self.home / "anvil")
        if chosen.generation is None and self.settings.deployment_file.exists():
            reasons = "; ".join(chosen.refused) or "there is none"
            raise LocalError(
                f"no saved state of the chain in {self.home / 'anvil'} can be read ({reasons}), but"
                f" {self.settings.deployment_file} records a deployment on it; put a good state "
                "back, or set all data aside and start anew with `causeway up --fresh`",
                home=str(self.home),
            )

    def _keep_deployment(self) -> None:
        """Every generation holds the deployment, so no fall-back loses the contracts."""
        if self._anvil is not None and self._anvil.save() is not None:
            self._anvil.save(force=True)
            chain_state.keep_newest(self.home / "anvil")

    def _start(self, runnable: Runnable) -> None:
        self._check_signals()
        # Listed first: if the start fails half-way, the end still ends it.
        self._watched.append(Watched(runnable))
        self._start_patiently(runnable)
        self._register(runnable.name, runnable.child, runnable.death_signal)

    def _start_patiently(self, runnable: Runnable) -> None:
        """Start; Postgres again while one of a killed run, not listed yet, still holds its data."""
        for _ in range(QUICK_FAILURES if isinstance(runnable, Postgres) else 0):
            try:
                runnable.start()
            except LocalError:
                if runnable.child is not None:
                    runnable.child.stop(signal.SIGKILL)
                time.sleep(1.0)
            else:
                return
        runnable.start()

    def _own(self, service: Service) -> OwnService:
        return OwnService(
            service,
            log=self._log(service.name),
            environment=self._environment(),
            directory=self._directory,
        )

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(binaries.node_directory()), os.environ.get("PATH", os.defpath)))
        environment = dict(os.environ) | {"CAUSEWAY_HOME": str(self.home), "PATH": path}
        if self._anvil is not None and not self._anvil.is_public:
            environment["CAUSEWAY_CHAIN_URL"] = self._anvil.url
        # The chain is this machine's own; who wants no sandbox sets CAUSEWAY_SANDBOX=0.
        own = {"CAUSEWAY_SANDBOX": "1"} if self._anvil and is_possible(self.settings) else {}
        return own | environment

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    # ----------------------------------------------------------------------------- run file

    def _register(self, name: str, child: Child | None, death_signal: int) -> None:
        if child is None:
            return
        self._forget(name)
        self._registered[name] = child
        if self._watchdog is not None:
            self._watchdog.add(child, death_signal)
        self._write_run_file()

    def _forget(self, name: str) -> None:
        child = self._registered.pop(name, None)
        if child is not None and self._watchdog is not None:
            self._watchdog.remove(child.pid)

    def _write_run_file(self) -> None:
        settings = self.settings
        fields: dict[str, str | int] = {
            "api_host": settings.api_host,
            "api_port": settings.api_port,
            "rpc_port": settings.rpc_port,
            "chain_id": settings.chain_id,
            "confirmations": settings.confirmations,
        }
        endpoints = {
            "database_url": self._postgres.url() if self._postgres else settings.database_url,
            "nats_url": self._nats.url if self._nats else settings.nats_url,
            "chain_url": self._anvil.public_url if self._anvil else settings.chain_url,
        }
        fields |= {name: url for name, url in endpoints.items() if url is not None}
        # On a chain of this machine alone its worker plays custodian and attestor too.
        signers = settings.sign_as or (LOCAL_SIGNERS if self._anvil else None)
        fields |= {"sign_as": signers} if signers else {}
        if self._registry is not None:
            self._registry.write_custody()
            fields["custody"] = str(self._registry.custody_file)
        supervisor = identify(os.getpid())
        if supervisor is None:
            raise LocalError("this process cannot be identified", pid=os.getpid())
        RunFile(
            supervisor=supervisor,
            settings=fields,
            processes={name: child.identity for name, child in self._registered.items()},
        ).write(self.home)

    # ------------------------------------------------------------------------------- steps

    def _run_step(self, step: Step | None, allowed: tuple[int, ...] = (0,)) -> int:
        """Run a step to its end; raises LocalError with its last words when it fails."""
        if step is None:
            return 0
        self._check_signals()
        begun = time.monotonic()
        child = self._spawn_step(step)
        announced = False
        try:
            while child.alive:
                self._check_signals()
                if not announced and time.monotonic() - begun > _SILENT_SECONDS:
                    self._say(f"  {step.name} … {step.note}".rstrip())
                    announced = True
                time.sleep(0.02)
        finally:
            child.stop(grace_seconds=5.0)
            self._forget(step.name)
        status = child.returncode if child.returncode is not None else -signal.SIGKILL
        if status not in allowed:
            log = self._log(step.name)
            raise LocalError(
                f"`{step.name}` failed with status {status}; its log {log} ends:\n{tail(log)}",
                step=step.name,
                status=status,
                log=str(log),
            )
        self._say(f"  {step.name:<10} done in {time.monotonic() - begun:.1f} s")
        return status

    def _spawn_step(self, step: Step) -> Child:
        child = spawn(
            step.name,
            step.command,
            log=self._log(step.name),
            environment=self._environment(),
            directory=self._directory,
        )
        self._register(step.name, child, signal.SIGKILL)
        return child

    # ------------------------------------------------------------------------------ the watch

    def _watch(self) -> None:
        steps = list(self.plan.finally_run)
        current: tuple[Step, Child, int] | None = None
        next_save = next_health = time.monotonic() + SAVE_SECONDS
        while True:
            self._check_signals()
            for watched in self._watched:
                self._keep(watched)
            self._recover()
            if current is None and steps:
                step = steps.pop(0)
                log = self._log(step.name)
                offset = log.stat().st_size if log.exists() else 0
                current = (step, self._spawn_step(step), offset)
            if current is not None:
                current = self._follow(*current)
            now = time.monotonic()
            if now >= next_save:
                next_save = now + max(SAVE_SECONDS, 10 * self._save_chain())
            if now >= next_health:
                self._check_health()
                next_health = now + _HEALTH_SECONDS
            time.sleep(_TICK_SECONDS)

    def _follow(self, step: Step, child: Child, offset: int) -> tuple[Step, Child, int] | None:
        """Show what a final step has written; None when it has ended."""
        ended = not child.alive
        log = self._log(step.name)
        with log.open("rb") as file:
            # A log that was rotated at the start begins anew.
            file.seek(min(offset, log.stat().st_size))
            written = file.read()
        if written:
            sys.stdout.write(written.decode(errors="replace"))
            sys.stdout.flush()
        if not ended:
            return (step, child, offset + len(written))
        self._forget(step.name)
        if child.returncode != 0:
            self._say(f"`{step.name}` failed ({child.returncode}), the rest goes on; see {log}")
        return None

    def _keep(self, watched: Watched) -> None:
        """Start a process again that has ended, after its back-off."""
        now = time.monotonic()
        if watched.restart_at is None:
            if not watched.dead:
                return
            child = watched.runnable.child
            status = child.returncode if child else None
            lived = now - child.started_at if child else 0.0
            self._forget(watched.name)
            self._say(f"{watched.name} ended (status {status}); it is started again.")
            self._failed(watched, lived)
        elif now >= watched.restart_at:
            self._restart(watched)

    def _failed(self, watched: Watched, lived_seconds: float) -> None:
        if not watched.failed(lived_seconds):
            log = watched.runnable.log
            raise LocalError(
                f"{watched.name} failed {QUICK_FAILURES} times in a row; its log {log} ends:\n"
                f"{tail(log)}",
                process=watched.name,
                log=str(log),
            )

    def _restart(self, watched: Watched) -> None:
        watched.restart_at = None
        watched.unanswered_since = None
        begun = time.monotonic()
        if isinstance(watched.runnable, Anvil):
            watched.runnable.hide()
        try:
            watched.runnable.start()
        except LocalError as error:
            if watched.runnable.child is not None:
                watched.runnable.child.stop(signal.SIGKILL)
            self._say(error.message)
            self._failed(watched, time.monotonic() - begun)
            return
        self._register(watched.name, watched.runnable.child, watched.runnable.death_signal)
        self._say(f"{watched.name} runs again.")
        if isinstance(watched.runnable, Anvil):
            self._say_chain(watched.runnable)
            self._recovery_due = True

    def _recover(self) -> None:
        """After the chain came back: bring it to where the database stands, or end everything.

        Recovery needs the other services; when one died too it waits for that one's return.
        """
        if not self._recovery_due or self._embedded_is_down():
            return
        try:
            self._recover_chain(self._run_step)
            self._publish_chain()
        except (LocalError, ChainUnavailable, ChainRejected):
            if not self._embedded_is_down():
                raise
            return
        self._recovery_due = False

    def _recover_chain(self, run: Callable[[Step | None, tuple[int, ...]], int]) -> None:
        """The chain to where the database stands; from an older saved state where the newest is of
        chain blocks that a reorganisation has replaced."""
        while run(self.plan.recover, (0, EXIT_OLDER_STATE)) == EXIT_OLDER_STATE:
            chain = self._anvil
            if chain is None:
                raise LocalError("the chain holds what was replaced, and is not run here")
            self._forget(chain.name)
            chain.fall_back()
            self._register(chain.name, chain.child, chain.death_signal)
            self._say("The newest saved state was replaced by a reorganisation.")
            self._say_chain(chain)

    def _publish_chain(self) -> None:
        """The chain is where the database stands: from now on everybody may send to it."""
        chain = self._anvil
        if chain is not None and not chain.is_public:
            self._forget(chain.name)
            chain.publish()
            self._register(chain.name, chain.child, chain.death_signal)

    def _embedded_is_down(self) -> bool:
        return any(
            watched.dead or not watched.runnable.healthy()
            for watched in self._watched
            if not isinstance(watched.runnable, OwnService)
        )

    def _save_chain(self) -> float:
        """Save the chain's state when its head moved; returns the seconds it took."""
        begun = time.monotonic()
        if self._anvil is not None:
            try:
                self._anvil.save()
            except (ChainUnavailable, ChainRejected):
                # It has just died: the next round starts it again.
                pass
            except OSError as error:
                self._say(f"The chain's state could not be saved: {error}")
        return time.monotonic() - begun

    def _check_health(self) -> None:
        for watched in self._watched:
            if watched.dead or watched.runnable.healthy():
                watched.unanswered_since = None
                continue
            now = time.monotonic()
            if watched.unanswered_since is None:
                watched.unanswered_since = now
            elif now - watched.unanswered_since > UNANSWERED_SECONDS and watched.runnable.child:
                self._say(f"{watched.name} has not answered for {UNANSWERED_SECONDS:g} s.")
                watched.runnable.child.stop(signal.SIGKILL)

    # -------------------------------------------------------------------------------- the end

    def _stop_all(self) -> None:
        """End everything in the reverse order of its start."""
        for name in [step.name for step in self._steps()]:
            child = self._registered.get(name)
            if child is not None:
                child.stop(grace_seconds=2.0)
                self._forget(name)
        while self._watched:
            watched = self._watched.pop()
            try:
                watched.runnable.stop()
            except (CausewayError, OSError) as error:
                self._say(f"{watched.name}: {error}")
            self._forget(watched.name)

    def _steps(self) -> list[Step]:
        steps = (self.plan.migrate, self.plan.deploy, self.plan.recover, *self.plan.finally_run)
        return [step for step in steps if step is not None]

    def _set_aside(self, reason: str) -> None:
        if self.settings.database_url is not None or self.settings.chain_url is not None:
            raise LocalError(
                f"new data are needed ({reason}), but the database or the chain is not run by this "
                "supervisor: deploy to it yourself with `causeway deploy`"
            )
        place = set_aside(self.home, self.settings.deployment_file)
        if place is not None:
            self._say(f"The earlier data are set aside in {place} ({reason}); starting anew.")

    # ------------------------------------------------------------------------------ its words

    def _say_chain(self, chain: Anvil) -> None:
        for reason in chain.loaded.refused:
            self._say(f"A saved state of the chain was passed over: {reason}.")
        generation = chain.loaded.generation
        if generation is not None:
            self._say(f"The chain goes on at block {generation.block_number}.")

    def _say_ready(self) -> None:
        names = ", ".join(watched.name for watched in self._watched)
        self._say(f"Running: {names}.")
        if any(service.port is not None for service in self.plan.services):
            self._say(f"  API    {self.settings.api_url}  (documentation: /docs)")
        chain = self._anvil.url if self._anvil else self.settings.chain_url
        self._say(f"  chain  {chain}  (chain id {self.settings.chain_id})")
        self._say(f"  logs   {self.logs}")
        self._say("Ctrl-C stops everything.")
