"""A programme without tokens beside the scene: its registry, a trust account, owners who sign."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.bridge.holdings import ConnectedAccount
from backend.bridge.receipts import Terms
from backend.bridge.service import Bridge
from backend.chain.keys import Key, sign_digest
from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.ledger import RetirementOrder, interval_of
from backend.domain.registry_requests import RegistryAccount, SerialRange
from backend.domain.serials import Interval, merge
from backend.errors import CausewayError
from backend.registries.custody_file import parse_custody
from backend.registries.programmes import programme_data
from backend.store.flows import Flow
from backend.store.queries import ledger as kept
from backend.store.queries.ledger import LedgerRetirement
from backend.store.transactions import PostgresTransactionLog
from tests.bridge.scene import Clerk, Scene, custody_document
from tests.registries.simulator_process import TOKEN, SimulatorProcess


def ledger_document(programme: str) -> dict[str, Any]:
    """A custody file with one account of a programme, and in writing what no source says."""
    document = custody_document()
    named = {"programme": programme, "account": "KEPT-1", "sub_account": ""}
    document["trusts"] = [{**document["trusts"][0], **named}]
    document["trusts"][0].pop("consent")
    open_questions = programme_data(programme).capabilities.answers
    document["statements"] = [
        {"programme": programme, "capability": one, "answer": "yes"}
        | {"given_by": "S", "document": "S"}
        for one in ("retire_on_behalf", "partial_retirement")
        if open_questions[one].answer == "unknown"
    ]
    return document


class LedgerOffice:
    """One account of a programme that is kept as a ledger only; `close` ends its registry."""

    def __init__(self, scene: Scene, directory: Path, programme: str) -> None:
        self.scene, self.programme = scene, programme
        self.account = RegistryAccount(programme, "KEPT-1")
        custody = parse_custody(ledger_document(programme))
        (self.trust,) = custody.trusts
        self.registry = SimulatorProcess(directory, programme)
        self.registry.start()
        self.registry.open_account(self.account.account)
        self.client = Clerk(programme, self.registry.url, TOKEN)
        self.bridge = Bridge(
            scene.database,
            scene.world.contracts,
            scene.sender,
            PostgresTransactionLog(scene.database),
            custody=custody,
            accounts=[ConnectedAccount(self.account, self.client)],
        )

    def close(self) -> None:
        self.client.close()
        self.registry.stop()

    def name(self, reference: str) -> str:
        return f"{self.programme}-{reference}"

    def deposit(self, reference: str, serials: Sequence[SerialRange], owner: Key) -> Flow:
        """A notice, brought forward until it ends."""
        terms = Terms(self.trust.account_id, self.trust.terms_hash)
        name = self.name(reference)
        self.bridge.deposits.give_notice(name, str(self.account), serials, owner.address, terms)
        self.settle("deposit", name)
        return self.bridge.parts.flows.get("deposit", name)

    def order(
        self,
        reference: str,
        serials: Sequence[SerialRange],
        owner: Key,
        signed_by: Key | None = None,
        **said: Any,
    ) -> LedgerRetirement:
        """An order over exactly these serials, signed by its owner or somebody else."""
        plain = RetirementInstruction(
            self.programme,
            "Sample Ltd",
            BeneficiaryKind.ENTITY,
            "CN",
            UseCase.VOLUNTARY,
            programme_data(self.programme).rules.plain_reason,
            "91-SAMPLE",
        )
        instruction = replace(plain, **said)
        order = RetirementOrder(
            self.name(reference),
            owner.address,
            str(self.account),
            tuple(sorted(serials)),
            instruction.hash,
        )
        digest = order.digest(self.bridge.ledger.domain)
        signature = sign_digest((signed_by or owner).private_key, digest)
        return self.bridge.ledger.order(order, instruction, signature)

    def settled(self, reference: str) -> LedgerRetirement:
        """A retirement once all of its parts have ended."""
        name = self.name(reference)
        for _ in range(100):
            found = self.retirement(name)
            for part in found.parts:
                self.settle("ledger-retirement", part.part)
            if len(self.retirement(name).parts) == len(found.parts):
                return self.retirement(name)
        raise AssertionError(f"{name} has ever more parts")

    def retirement(self, name: str) -> LedgerRetirement:
        with self.scene.database.read() as connection:
            return kept.get_retirement(connection, name)

    def settle(self, kind: str, flow_id: str, seconds: float = 60.0) -> None:
        """Step one flow, as the worker would, until it has ended."""
        deadline = time.monotonic() + seconds
        while not self.bridge.parts.flows.get(kind, flow_id).ended:
            assert time.monotonic() < deadline, self.bridge.parts.flows.get(kind, flow_id)
            with suppress(CausewayError):
                self.bridge.advance(kind, flow_id, self.scene.payer)
            time.sleep(0.02)

    def retired_at_registry(self) -> list[Interval]:
        """What the registry's own book has as retired."""
        found = self.registry.admin("GET", "book")["pieces"]
        return merge(
            interval_of(SerialRange.parse(one["serials"]))
            for one in found
            if one["state"] == "retired"
        )
