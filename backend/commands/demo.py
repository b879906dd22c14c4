"""`causeway demo`: the whole job once, with demo wallets, each step with hashes and serials."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import typer

from backend.audit.checker import run as run_audit
from backend.audit.report import Status
from backend.bridge.imports import import_export
from backend.bridge.selection import Lot
from backend.chain.bridge_calls import request_delivery
from backend.commands.context import Context, clock
from backend.commands.deliver import do_refund, newest_delivery
from backend.commands.demo_market import MarketWalk
from backend.commands.demo_registry import DemoRegistry
from backend.commands.output import JSON_OPTION, emit, reporting, say
from backend.commands.sample_registry import export_after
from backend.commands.setup import WALLETS
from backend.commands.trust import select_lots
from backend.commands.venue import do_export
from backend.commands.wallet import do_admit, do_close, do_retire, do_transfer
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Interval, Series
from backend.domain.units import KILOGRAMS_PER_TONNE, format_kilograms
from backend.errors import CausewayError, NotFound
from backend.sandbox.registry import BUYER, REFUSER
from backend.store.custody import StoredReceipt
from backend.store.queries import certificates, registry
from backend.store.queries.certificates import Certificate
from backend.store.queries.deliveries import Delivery, get_delivery
from backend.store.queries.reserve import get_reserve

SAMPLES = (
    "sample-verra-vcu-export.csv",
    "sample-gold-standard-issuances.csv",
    "sample-gold-standard-retirements.csv",
    # What accounts at the other registries hold: tokens where the contracts know the serials.
    "sample-gold-standard-holdings.csv",
    "sample-acr-holdings.csv",
    "sample-car-holdings.csv",
    "sample-art-holdings.csv",
    "sample-puro-holdings.csv",
    "sample-ccer-holdings.csv",
    "sample-phcer-holdings.csv",
)
#: The export of the registry account that the custodian holds.
CUSTODY = SAMPLES[0]
LOTS = 2
LOT_TONNES = 120
YEAR_SECONDS = 365 * 86_400


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(as_json: bool = JSON_OPTION) -> None:
    """Walk the whole job with sample credits and demo wallets; a second run takes new lots."""
    with reporting(as_json), ExitStack() as stack:
        folder = stack.enter_context(as_file(files("backend") / "samples"))
        walk = Walk(Context.load(as_json), folder)
        walk.run()
        emit(as_json, {"steps": walk.steps}, lambda: None)


class Walk:
    """One run of the demo: what happened is kept for `--json` and said as it happens."""

    def __init__(self, context: Context, samples: Path) -> None:
        self.context = context
        self.samples = samples
        self.steps: list[dict[str, Any]] = []
        #: Distinguishes this run's transactions from those of every other.
        self.id = secrets.token_hex(6)
        #: Serials that the registry retired in this run.
        self.retired: list[Interval] = []
        self.registry = DemoRegistry(context)

    def run(self) -> None:
        """Every step in order."""
        self.import_samples()
        self.admit_wallets()
        self.registry.open_accounts()
        self.registry.choose_serials(itself=False)
        receipts = [self.tokenize(lot, number) for number, lot in enumerate(self.new_lots(), 1)]
        for number, held in enumerate(receipts):
            self.trade(held, number)
        class_id = receipts[0].receipt.credit_class.token_id
        MarketWalk(self.context, self.id, class_id, self.step).run()
        expected = self.retire(receipts[0], "wallet-2", 1_234, private=False)
        self.close(receipts[0], expected)
        self.confirmed(expected, "The registry retired the expected serials")
        self.registry.choose_serials(itself=True)
        chosen = self.retire(receipts[-1], "wallet-3", 2_500, private=True)
        self.close(receipts[-1], chosen)
        self.confirmed(chosen, "The registry retired others: expected and actual exchanged")
        self.registry.choose_serials(itself=False)
        self.deliver(receipts[0], "wallet-2", 5)
        self.refund(receipts[0], "wallet-3", 3)
        self.reserve()
        self.import_newer_export()
        self.audit()
        if not self.context.as_json:
            say(f"The whole job is walked; look at it: {self.context.settings.api_url}/")

    def step(self, title: str, facts: list[str], **values: Any) -> None:
        """Say what happened and keep it."""
        self.steps.append({"step": title, "facts": facts, **values})
        if not self.context.as_json:
            say(f"{len(self.steps):>2}. {title}")
            for fact in facts:
                say(f"      {fact}")

    # ── the registries and the participants ──────────────────────────────────────────────────

    def import_samples(self) -> None:
        """The project's own sample exports, in the registries' formats."""
        facts = []
        for name in SAMPLES:
            document, _ = import_export(
                self.context.database, self.samples / name, lambda text: None
            )
            changes = document["changes"]
            seen = "seen before" if document["known"] else f"{changes['new']} new"
            facts.append(f"{name}: {document['rows']} rows, {document['blocks']} blocks, {seen}")
        self.step("Sample registry exports imported (fictional projects)", facts)

    def admit_wallets(self) -> None:
        """Wallets that may hold credits; those that are admitted already stay as they are."""
        facts = []
        for name in WALLETS:
            address = self.context.address(name)
            held = self.context.contracts.participant(address)
            if held.tier == 0 or held.expiry < clock():
                expiry = clock() + YEAR_SECONDS
                sent = do_admit(
                    self.context, address, 2, "HK", expiry, f"demo:{self.id}:admit:{name}"
                )
                facts.append(f"{name} {address} admitted, {sent.transaction}")
            else:
                facts.append(f"{name} {address} is admitted")
        self.step("Wallets admitted by the registrar", facts)

    def new_lots(self) -> list[Lot]:
        """Lots of two classes that still have credits outside of trust."""
        with self.context.database.read() as connection:
            lots = registry.list_lots(connection, programme="VCS")
        found: list[Lot] = []
        # Sample projects have numbers no real one has; a user's own imports are left alone.
        for lot in (one for one in lots if int(one.project) >= 990_000 and not one.unmapped):
            free = lot.active_tonnes - lot.in_trust_tonnes
            if free and lot.vintage_start and len(found) < LOTS:
                labels = ",".join(lot.cohort or ())
                found += select_lots(
                    self.context,
                    f"{lot.programme}-{lot.project}",
                    lot.vintage_start.year,
                    labels,
                    min(free, LOT_TONNES),
                )[:1]
        if len(found) < LOTS:
            raise NotFound("every sample credit is in trust: start anew with `causeway up --fresh`")
        return found

    # ── custody ──────────────────────────────────────────────────────────────────────────────

    def tokenize(self, lot: Lot, number: int) -> StoredReceipt:
        """Deposit at the registry, two signatures, a reserve report that covers it, mint."""
        recipient = self.context.address("wallet-1")
        name = f"demo-{self.id}-{number}"
        self.registry.give_notice(lot, recipient, name)
        held = self.registry.minted(name)
        sent = self.context.log.get(held.transaction_key or "")
        transaction = sent.transaction_hash if sent else None
        with self.context.database.read() as connection:
            report = get_reserve(connection)
        facts = [
            f"{held.receipt.tonnes} t of {lot.rows[0].project_name}, {lot.credit_class}",
            f"seen live in {self.registry.trust.account}",
            *(f"serials {interval}" for interval in lot.intervals),
            *(f"signed by {one.role} {one.signer}" for one in held.approvals),
            f"covered by reserve report {report.sequence}: {report.tonnes} t",
            f"receipt {held.id}, minted in {transaction}",
            f"class {self.class_number(held)}, token id {lot.credit_class.token_id}",
        ]
        self.step("Credits in trust became tokens", facts, receipt=held.id)
        return held

    def class_number(self, held: StoredReceipt) -> int:
        """Number of the receipt's class."""
        return self.context.contracts.positions(held.receipt.credit_class.token_id).number

    def trade(self, held: StoredReceipt, number: int) -> None:
        """Tokens move between wallets."""
        class_id = held.receipt.credit_class.token_id
        facts = []
        for name, tonnes in (("wallet-2", 30), ("wallet-3", 20)):
            kilograms = tonnes * KILOGRAMS_PER_TONNE + 500
            sent = do_transfer(
                self.context,
                class_id,
                kilograms,
                self.context.key("wallet-1"),
                self.context.address(name),
                f"demo:{self.id}:transfer:{number}:{name}",
            )
            facts.append(f"{format_kilograms(kilograms)} to {name}, {sent.transaction}")
        self.step(f"Tokens of class {self.class_number(held)} moved between wallets", facts)

    # ── retirement ───────────────────────────────────────────────────────────────────────────

    def retire(self, held: StoredReceipt, wallet: str, kilograms: int, *, private: bool) -> int:
        """Retire by the kilogram; returns the certificate's id."""
        salt = secrets.token_bytes(32) if private else bytes(32)
        details = RetirementDetails("Sample Beneficiary Ltd", "Business travel", "2025", salt=salt)
        sent = do_retire(
            self.context,
            held.receipt.credit_class.token_id,
            kilograms,
            self.context.key(wallet),
            self.context.address(wallet),
            details,
            f"demo:{self.id}:retire:{wallet}",
        )
        certificate_id = int(sent.values["certificates"][0])
        kind = "privately (a salted hash on chain)" if private else "publicly"
        found = self.certificate(certificate_id)
        facts = [f"{wallet}, {kind}, {sent.transaction}", *self.serials(found)]
        if private:
            facts.append(f"salt to keep: 0x{salt.hex()}")
        facts.append(f"{self.context.settings.api_url}/certificates/{certificate_id}")
        self.step(
            f"{format_kilograms(kilograms)} retired for ever, certificate {certificate_id}",
            facts,
            certificate=certificate_id,
        )
        return certificate_id

    def certificate(self, certificate_id: int) -> Certificate:
        """A certificate as the index has it."""
        with self.context.database.read() as connection:
            return certificates.get_certificate(connection, certificate_id)

    @staticmethod
    def serials(found: Certificate) -> list[str]:
        """The serials of a certificate, one line a run."""
        return [
            f"{format_kilograms(piece.consumption.kilograms)} on serials {run.series} "
            f"{run.first}-{run.last} ({'actual' if run.confirmation_id else 'expected'})"
            for piece in found.pieces
            for run in piece.serials
        ]

    def close(self, held: StoredReceipt, certificate_id: int) -> None:
        """The operator retires what is left of the opened tonne, so that the registry can."""
        class_id = held.receipt.credit_class.token_id
        operator = self.context.key("wallet-1")
        sent = do_close(self.context, class_id, operator, f"demo:{self.id}:close:{certificate_id}")
        closing = int(sent.values["certificates"][0])
        self.step(
            "The opened tonne is closed, so that the registry can retire it whole",
            [
                f"certificate {closing}, {sent.transaction}",
                *self.serials(self.certificate(closing)),
            ],
        )

    def confirmed(self, certificate_id: int, title: str) -> None:
        """The worker asked the registry; custodian and attestor signed what it really retired."""
        self.registry.ended("certificate", str(certificate_id), ("confirmed",))
        found = self.certificate(certificate_id)
        runs = [run for piece in found.pieces for run in piece.serials]
        self.retired += [
            Interval(Series.parse(run.series), run.first, run.last)
            for run in runs
            if run.confirmation_id
        ]
        facts = [
            f"{one.reference}, signed by custodian and attestor, {one.confirmation_id}"
            for one in found.confirmations
        ]
        facts += self.serials(found)
        facts.append(f"certificate {certificate_id}: {found.retirement.status}")
        self.step(title, facts, certificate=certificate_id)

    # ── deliveries ───────────────────────────────────────────────────────────────────────────

    def deliver(self, held: StoredReceipt, wallet: str, tonnes: int) -> None:
        """Tokens back to a registry account whose owner accepts."""
        made = self._request(held, wallet, tonnes, BUYER)
        self.registry.ended("delivery", str(made.delivery_id), ("finalised",))
        with self.context.database.read() as connection:
            done = get_delivery(connection, made.delivery_id)
        facts = [f"burnt by {wallet} for {BUYER}, {made.transaction_hash}"]
        facts += [f"{phase.act}, {phase.transaction_hash}" for phase in done.phases]
        facts.append(f"{done.series}/{done.first}-{done.last} left the trust: {done.reference}")
        self.step(f"{tonnes} t delivered back to a registry account", facts)

    def refund(self, held: StoredReceipt, wallet: str, tonnes: int) -> None:
        """A recipient refuses: the holder takes the tokens back, alone."""
        made = self._request(held, wallet, tonnes, REFUSER)
        number = str(made.delivery_id)
        self.registry.reached("delivery", number, lambda flow: flow.state == "rejected")
        key = f"demo:{self.id}:refund"
        sent = do_refund(self.context, made.delivery_id, self.context.key(wallet), key)
        self.registry.ended("delivery", number, ("refunded",))
        facts = [
            f"burnt by {wallet} for {REFUSER}, {made.transaction_hash}",
            f"refused at the registry, refunded by {wallet} in {sent.transaction}",
            f"{made.series}/{made.first}-{made.last} stand at the back of the class again",
        ]
        self.step(f"{tonnes} t that the recipient refused were refunded by their holder", facts)

    def _request(self, held: StoredReceipt, wallet: str, tonnes: int, account: str) -> Delivery:
        holder, class_id = self.context.key(wallet), held.receipt.credit_class.token_id
        data = request_delivery(holder.address, class_id, tonnes, account)
        key = f"demo:{self.id}:deliver:{account}"
        return newest_delivery(self.context, self.context.send(key, holder, "Deliveries", data))

    def reserve(self) -> None:
        """What the newest reserve report says, and that it counts a holder."""
        with self.context.database.read() as connection:
            report = get_reserve(connection)
        facts = [
            f"class {one.class_id}: {one.minted} t minted, {one.covered} t covered, "
            f"{one.shortfall} t short"
            for one in report.classes
        ]
        self.step(f"Reserve report {report.sequence} is {report.age} s old", facts)

    def import_newer_export(self) -> None:
        """The registry's next export shows what was retired: pieces are cut, active → retired."""
        home = self.context.settings.home / "demo"
        home.mkdir(parents=True, exist_ok=True)
        older = sorted(home.glob("custody-*.csv"))
        number = len(older) + 1
        target = home / f"custody-{number:04d}.csv"
        source = older[-1] if older else self.samples / CUSTODY
        today = datetime.now(UTC).date()
        export_after(source, self.retired, today, f"run {self.id}", target)
        document, _ = import_export(self.context.database, target, lambda text: None)
        changes = ", ".join(f"{count} {name}" for name, count in document["changes"].items())
        self.step(
            "The registry's next export imported: what it retired is no longer active",
            [f"{target.name}: {document['rows']} rows: {changes}"],
        )

    # ── proof ────────────────────────────────────────────────────────────────────────────────

    def audit(self) -> None:
        """What anybody can run: the chain, the registry's export, the journal; no database."""
        settings = self.context.settings
        journal = settings.home / "demo" / "journal"
        entries = do_export(self.context, journal)
        found = run_audit(
            settings.require_chain_url(),
            settings.deployment_file,
            journal,
            custody=[max((settings.home / "demo").glob("custody-*.csv"))],
        )
        facts = [
            f"{name:<4}{law.status.value:<12} {law.reason}" for name, law in found.laws.items()
        ]
        title = (
            f"Audit at chain block {found.block} with {entries} journal entries, trusting nobody"
        )
        self.step(title, facts)
        broken = [name for name, law in found.laws.items() if law.status is Status.BROKEN]
        if broken:
            raise CausewayError(f"the audit found {', '.join(broken)} broken", laws=broken)
