"""A whole bridge in one process: chain, database, simulated registry, and a hand on every step."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from backend.bridge.holdings import ConnectedAccount
from backend.bridge.receipts import Terms
from backend.bridge.service import Bridge
from backend.chain.keys import KeyStore
from backend.chain.sender import Sender
from backend.cli import app
from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import (
    RegistryAccount,
    RetirementRequest,
    SerialRange,
    TransferRequest,
)
from backend.domain.serials import Interval, merge
from backend.errors import CausewayError
from backend.indexer import Indexer
from backend.registries.clients.http import HttpRegistryClient
from backend.registries.custody_file import Custody, parse_custody
from backend.registries.labels import CODES
from backend.store.breaks import list_breaks
from backend.store.custody import Custody as CustodyStore
from backend.store.database import Database
from backend.store.flows import Flow
from backend.store.queries import lookup
from backend.store.registry_requests import RegistryRequests
from backend.store.statements import StatementState
from backend.store.transactions import PostgresTransactionLog
from tests.indexer.world import VCS, World, a_class
from tests.registries.simulator_process import TOKEN, SimulatorProcess
from tests.store.rows import row, save

TRUST = RegistryAccount("VCS", "TRUST-1", "1")
BUYER = "BUYER-1"
YEAR = 2023


def custody() -> Custody:
    """A custody file with one trust account that has consent."""
    return parse_custody(custody_document())


def custody_document() -> dict[str, Any]:
    """The same as the file says it."""
    texts = dict.fromkeys(("trustee", "custodian", "governing_law", "holder_right", "terms"), "S")
    consent = {
        "given_by": "S",
        "document": "S",
        "given_on": "2020-01-01",
        "until": None,
        "wind_down_days": 365,
    }
    trust = {
        "name": "trust-1",
        "programme": TRUST.programme,
        "account": TRUST.account,
        "sub_account": TRUST.sub_account,
        "opened_on": "2020-01-01",
        "consent": {name: value for name, value in consent.items() if value is not None},
        **texts,
    }
    return {"version": 1, "sample": True, "registries": [], "trusts": [trust], "statements": []}


class Clerk(HttpRegistryClient):
    """The registry's client; a test may let it say of a retirement what was not done."""

    requests: RegistryRequests

    says: Callable[[RetirementRequest], Answer] | None = None
    #: Whether it says so again when it is asked later, as one that means it.
    insists = False

    def retire(self, request: RetirementRequest) -> Answer:
        return self.says(request) if self.says else super().retire(request)

    def look_up(self, reference: str) -> Answer | None:
        if self.says and self.insists and reference.startswith("ret-"):
            held = self.requests.get(reference).request
            assert isinstance(held, RetirementRequest)
            return self.says(held)
        return super().look_up(reference)


def done(request: RetirementRequest, serials: Interval) -> Answer:
    """An answer that names these serials, true or not."""
    taken = (SerialRange.of(serials),)
    return Answer(request.reference, AnswerState.DONE, "R-1", taken, date(2026, 2, 28))


def breaks_of(scene: Scene, desk: Desk) -> list[str]:
    """Kinds of the open breaks of a class."""
    with scene.database.read() as connection:
        found = list_breaks(connection, state="open", class_id=desk.class_id)
    return [one.kind for one in found.items]


class Scene:
    """`settle` steps everything, as worker and signers would, until something is so."""

    def __init__(self, world: World, database: Database, directory: Path) -> None:
        self.world, self.database, self.directory = world, database, directory
        self.registry = SimulatorProcess(directory)
        self.registry.start()
        self.registry.open_account(TRUST.account, TRUST.sub_account, holds_for_others=True)
        self.registry.open_account(BUYER)
        log = PostgresTransactionLog(database)
        self.sender = Sender(world.rpc, log, lambda: int(time.time()), confirmations=0)
        self.indexer = Indexer(world.rpc, world.deployment, database, labels=CODES)
        self.payer = world.keys["deployer"]
        self.clerk = Clerk("VCS", self.registry.url, TOKEN)
        self.clerk.requests = RegistryRequests(database)
        self._desks = itertools.count(1)
        self.bridge = Bridge(
            database,
            world.contracts,
            self.sender,
            log,
            custody=custody(),
            accounts=[ConnectedAccount(TRUST, self.clerk)],
            custodian=lambda: world.keys["custodian"],
            signing_keys=lambda: [world.keys["custodian"], world.keys["attestor"]],
        )
        self._environment = self._office(directory)

    def _office(self, directory: Path) -> dict[str, str]:
        """What commands find on the machine of the operator: files, services and keys."""
        keys = KeyStore(directory / "home" / "keys")
        keys.add("bridge", self.payer.private_key)
        for name in ("custodian", "attestor"):
            keys.add(name, self.world.keys[name].private_key)
        for number, holder in enumerate(self.world.holders):
            keys.add(f"holder-{number}", holder.private_key)
        file = directory / "custody.json"
        file.write_text(json.dumps(custody_document()))
        return {
            "CAUSEWAY_HOME": str(directory / "home"),
            "CAUSEWAY_DEPLOYMENT": str(directory / "deployment.json"),
            "CAUSEWAY_DATABASE_URL": self.database.url,
            "CAUSEWAY_CHAIN_URL": self.world.rpc.url,
            "CAUSEWAY_CUSTODY": str(file),
        }

    def command(self, *words: str, expect: int = 0) -> Any:
        """A command of `causeway` with the worker at its side; its JSON document."""
        call = partial(CliRunner().invoke, app, [*words, "--json"], env=self._environment)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(call)
            while not running.done():
                self.step()
                time.sleep(0.02)
        done = running.result()
        assert done.exit_code == expect, (done.output, done.exception)
        return json.loads(done.stdout)

    def signed(self, *words: str) -> str:
        """A command that drafts a statement, signed one key at a time; its id once recorded."""
        drafted = self.command(*words)
        assert drafted["state"] == "drafted", drafted
        return self.sign(drafted["statement"])

    def sign(self, statement: str) -> str:
        """The same for a draft that is there."""
        for key in ("custodian", "attestor"):
            self.command("statements", "sign", statement, "--key", key)
        stored = self.bridge.statements.stored
        self.settle(lambda: stored.get(statement).state is StatementState.RECORDED)
        return statement

    def close(self) -> None:
        self.clerk.close()
        self.registry.stop()

    def waiting_transfer(self, delivery: str) -> str | None:
        """The registry's reference of a delivery's transfer, once it waits for the buyer."""
        for one in self.bridge.parts.requests.of_flow("delivery", delivery):
            if one.answer is not None and one.answer.state is AnswerState.ACCEPTED:
                return one.answer.registry_reference
        return None

    def move_back(self, serials: SerialRange) -> None:
        """The buyer sends credits back into the trust account."""
        back = TransferRequest(
            f"back-{serials.first}", RegistryAccount("VCS", BUYER), serials, "TRUST-1/1"
        )
        answer = self.clerk.transfer(back)
        if answer.state is AnswerState.ACCEPTED:
            self.registry.answer_transfer(answer.registry_reference, "accept")

    def desk(self) -> Desk:
        """A class of which nothing was issued yet."""
        return Desk(self, next(self._desks))

    # ── stepping ─────────────────────────────────────────────────────────────────────────────

    def step(self) -> None:
        """One round of everything that the worker and the signers do."""
        self.sender.advance()
        self.indexer.advance()
        self.bridge.discover()
        with suppress(CausewayError):
            self.bridge.tend_reserve()
        self.bridge.signers.sign_all()
        for kind, subject in self.bridge.open_flows():
            # As the worker: it is tried again later.
            with suppress(CausewayError):
                self.bridge.advance(kind, subject, self.payer)
        self.sender.advance()
        self.indexer.advance()

    def settle(self, done: Callable[[], Any], seconds: float = 120.0) -> Any:
        """Step until it is so; what it gives back then."""
        deadline = time.monotonic() + seconds
        while True:
            self.step()
            found = done()
            if found:
                return found
            assert time.monotonic() < deadline, self.state()
            time.sleep(0.05)

    def ended(self, kind: str, flow_id: str, seconds: float = 120.0) -> Flow:
        """A flow once it has ended."""
        flows = self.bridge.parts.flows
        self.settle(lambda: flows.get(kind, flow_id).ended, seconds)
        return flows.get(kind, flow_id)

    def state(self) -> str:
        """Every open flow, receipt and statement, for a test that waits in vain."""
        flows = self.bridge.parts.flows
        kinds = ("deposit", "certificate", "retirement", "delivery")
        lines = [str(one) for kind in kinds for one in flows.of_kind(kind, only_open=True)]
        lines += [
            f"{one.type} {one.state} {one.reason}" for one in self.bridge.statements.stored.open()
        ]
        lines += [
            f"receipt {one.id} {one.state} {one.reason} {one.transaction_key}"
            for one in CustodyStore(self.database).open_receipts()
        ]
        return "\n".join(lines)


class Desk:
    """One class of the scene; `serial(1)` is the first of its 10,000 serials."""

    def __init__(self, scene: Scene, number: int) -> None:
        self.scene = scene
        self.base = number * 10_000
        self.project = str(900_000 + number)
        self.class_id = int(a_class(self.project, year=YEAR).token_id)
        self._deposits = 0

    def serials(self, first: int, last: int) -> Interval:
        """Serials of this class, counted from 1."""
        return Interval(VCS, self.base + first, self.base + last)

    def issue(self, first: int, last: int) -> SerialRange:
        """Credits in the trust account, and the export that shows them."""
        serials = self.serials(first, last)
        day, end = date(YEAR, 1, 1), date(YEAR, 12, 31)
        self.scene.registry.issue(
            str(serials), TRUST.account, TRUST.sub_account, project=self.project
        )
        block = row(
            serials.first, serials.last, project=self.project, vintage_start=day, vintage_end=end
        )
        save(self.scene.database, [block], f"export {serials}")
        return SerialRange.of(serials)

    def deposit(self, serials: SerialRange, holder: int = 0) -> Flow:
        """A deposit seen through to the mint."""
        name = self.notice(serials, holder)
        return self.scene.ended("deposit", name)

    def notice(self, serials: SerialRange, holder: int = 0) -> str:
        """A notice of deposit; its name."""
        trust = custody().trust("trust-1")
        self._deposits += 1
        name = f"dep-{self.project}-{self._deposits}"
        to = self.scene.world.holders[holder].address
        terms = Terms(trust.account_id, trust.terms_hash)
        self.scene.bridge.deposits.give_notice(name, str(TRUST), [serials], to, terms)
        return name

    def balance(self, holder: int = 0) -> int:
        """Kilograms."""
        holders, contracts = self.scene.world.holders, self.scene.world.contracts
        return contracts.balance_of(holders[holder].address, self.class_id)

    def chain_confirmed(self) -> list[Interval]:
        """Serials that the chain has as retired at the registry."""
        with self.scene.database.read() as connection:
            positions = lookup.position_map(connection, self.class_id)
        return [
            piece.serials
            for first, end in positions.confirmed
            for piece in positions.pieces(first, end)
        ]

    def confirmed(self) -> list[Interval]:
        """The same, counted from 1."""
        return [self._own(serials) for serials in self.chain_confirmed()]

    def at_registry(self, state: str) -> list[Interval]:
        """Serials of this class in a state of the registry's book, counted from 1, as fewest."""
        found = []
        for piece in self.scene.registry.admin("GET", "book")["pieces"]:
            serials = SerialRange.parse(piece["serials"]).interval
            if piece["state"] == state and self.base < serials.first <= self.base + 10_000:
                found.append(self._own(serials))
        return merge(found)

    def _own(self, serials: Interval) -> Interval:
        return Interval(VCS, serials.first - self.base, serials.last - self.base)

    def deliver(self, tonnes: int, holder: int = 0, *, stepping: bool = True) -> str:
        """A request of delivery to the buyer; its number."""
        world = self.scene.world
        who = world.holders[holder]
        args = (who.address, self.class_id, tonnes, BUYER)
        world.send_all([world.sign(who, "Deliveries", "request", *args)])
        if stepping:
            self.scene.step()
        return str(world.contracts.read("Deliveries", "deliveryCount"))

    def refund(self, number: str, holder: int = 0, *, stepping: bool = True) -> None:
        """The holder takes the tokens back, alone."""
        world = self.scene.world
        who = world.holders[holder]
        world.require_success(
            world.send_all([world.sign(who, "Deliveries", "refund", int(number))])
        )
        if stepping:
            self.scene.step()

    def retire(self, kilograms: int, holder: int = 0) -> str:
        """A public retirement by a holder; the certificate's number."""
        who = self.scene.world.holders[holder]
        (sent,) = self.scene.world.send_all(
            [self.scene.world.retire(who, self.class_id, kilograms)]
        )
        self.scene.step()
        with self.scene.database.read() as connection:
            (number,) = lookup.certificates_of_transaction(connection, sent)
        return str(number)
