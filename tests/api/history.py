"""A made-up past of the registry: chain events by the domain's rules, and a naive twin.

`History` writes events as the contracts emit them and gives them to the indexer's writer. Beside
it keeps, tonne by tonne and kilogram by kilogram, what every answer must say: no interval, no
binary search, no SQL.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from eth_utils.address import to_checksum_address
from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import Range

from backend.domain import positions as rules
from backend.domain.assignment import PositionMap
from backend.domain.classes import CreditClass, UnitType, as_yyyymmdd, label_hash
from backend.domain.events import ChainBlock, ChainEvent
from backend.domain.positions import Positions
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Interval, Series, merge
from backend.store import index, tables
from backend.store.backing_index import ensure_series
from backend.store.database import Database

NOBODY = "0x" + "0" * 40
CHAIN_ID = 31337
FIRST_TIME = 1_780_000_000
NO_HASH = "0x" + "00" * 32
CONTRACTS = (
    "AccessManager",
    "Participants",
    "LegalOrders",
    "RetirementCertificates",
    "CarbonCredits",
    "Trust",
    "RegistryRecords",
)

Serial = tuple[str, int]


def address(number: int) -> str:
    """A checksummed address made of a number."""
    return to_checksum_address(f"0x{0xA11CE << 100 | number:040x}")


def hash_of(kind: str, number: int) -> str:
    """A 32-byte hash nobody computed, 0x and lower-case hex."""
    return "0x" + f"{kind.encode().hex()}{number:x}".rjust(64, "0")[-64:]


@dataclass
class NaiveCertificate:
    """What one retirement took: kilograms by position, and the serials it expected."""

    certificate_id: int
    class_id: int
    holder: str
    owner: str
    kilograms: int
    taken: Counter[int]
    expected: dict[int, Serial]


@dataclass
class NaiveClass:
    """One class, tonne by tonne."""

    credit_class: CreditClass
    number: int
    counters: Positions = field(default_factory=Positions)
    pieces: PositionMap = field(default_factory=PositionMap)
    left: list[int] = field(default_factory=list)
    serials: list[Serial] = field(default_factory=list)
    receipts: dict[Serial, str] = field(default_factory=dict)
    confirmed: dict[int, str] = field(default_factory=dict)
    certificates: list[NaiveCertificate] = field(default_factory=list)

    def take(self, kilograms: int) -> Counter[int]:
        """Kilogram by kilogram: whole tonnes first, then the open tonne, then a new one."""
        taken: Counter[int] = Counter()
        for _ in range(kilograms // 1000):
            position = self.left.index(1000)
            self.left[position] = 0
            taken[position] += 1000
        for _ in range(kilograms % 1000):
            opened = [p for p, left in enumerate(self.left) if 0 < left < 1000]
            position = opened[0] if opened else self.left.index(1000)
            self.left[position] -= 1
            taken[position] += 1
        return taken


@dataclass
class History:
    """Events so far, and the naive twin of everything they mean."""

    database: Database
    classes: dict[int, NaiveClass] = field(default_factory=dict)
    held: Counter[tuple[str, int]] = field(default_factory=Counter)
    retired: Counter[tuple[str, int]] = field(default_factory=Counter)
    block: int = 0
    _log_index: int = 0
    _receipts: int = 0
    _confirmations: int = 0
    _series: set[Series] = field(default_factory=set)
    _next_serial: Counter[Series] = field(default_factory=Counter)
    _events: list[ChainEvent] = field(default_factory=list)
    #: Every event that was given to the writer.
    saved: list[ChainEvent] = field(default_factory=list)
    _state: index.ChainState | None = None

    # ── chain ────────────────────────────────────────────────────────────────────────────────

    def emit(self, contract: str, name: str, **args: Any) -> None:
        """One more log of the current transaction; each chain block has one."""
        self._events.append(
            ChainEvent(
                contract,
                name,
                args,
                self.block,
                hash_of("block", self.block),
                self.transaction,
                0,
                self._log_index,
            )
        )
        self._log_index += 1

    @property
    def transaction(self) -> str:
        return hash_of("transaction", self.block)

    def next_block(self) -> None:
        self.block, self._log_index = self.block + 1, 0

    def timestamp(self, block: int) -> int:
        return FIRST_TIME + 60 * block

    def save(self) -> None:
        """Give every new event to the indexer's writer, up to the current chain block."""
        with self.database.begin() as connection:
            if self._state is None:
                addresses = {
                    name: {"address": address(0xC0 + i)} for i, name in enumerate(CONTRACTS)
                }
                deployed = {
                    "chain_id": CHAIN_ID,
                    "genesis_hash": hash_of("block", 0),
                    "contracts": addresses,
                }
                self._state = index.open_index(connection, CHAIN_ID, deployed, -1, None)
            first = self._state.indexed_number + 1
            self.saved += self._events
            blocks = [self.header(number) for number in range(first, self.block + 1)]
            codes = {
                "0x" + digest.hex(): code
                for made in self.classes.values()
                for code, digest in zip(
                    sorted(made.credit_class.cohort, key=label_hash),
                    made.credit_class.cohort_hashes,
                    strict=True,
                )
            }
            self._state = index.append(connection, self._state, blocks, self._events, (), codes)
        self._events = []
        self.next_block()

    def header(self, number: int) -> index.IndexedBlock:
        """A chain block as the writer takes it."""
        parent = hash_of("block", number - 1) if number else NO_HASH
        block = ChainBlock(number, hash_of("block", number), parent, self.timestamp(number))
        return index.IndexedBlock(block, NO_HASH, 1, None)

    # ── acts ─────────────────────────────────────────────────────────────────────────────────

    def admit(self, account: str, tier: int = 2, expiry: int = 2**39) -> None:
        self.emit(
            "Participants",
            "ParticipantAdmitted",
            account=account,
            tier=tier,
            jurisdiction="0x" + b"HK".hex(),
            expiry=expiry,
        )
        self.next_block()

    def freeze(self, account: str) -> None:
        self.emit("Participants", "ParticipantFrozen", account=account)
        self.next_block()

    def lot(self, series: Series, tonnes: int, gap: int = 0) -> Interval:
        """The next serials of a series that nothing has used."""
        first = self._next_serial[series] + 1 + gap
        self._next_serial[series] = first + tonnes - 1
        return Interval(series, first, first + tonnes - 1)

    def mint(self, credit_class: CreditClass, to: str, intervals: list[Interval]) -> str:
        """Mint against a receipt whose id is returned."""
        class_id = credit_class.token_id
        receipt_id = hash_of("receipt", self._receipts)
        self._receipts += 1
        made = self.classes.get(class_id)
        if made is None:
            made = self.classes[class_id] = NaiveClass(credit_class, len(self.classes) + 1)
            self._class_created(made)
        tonnes = sum(interval.tonnes for interval in intervals)
        made.counters, first = rules.mint(made.counters, tonnes)
        self._transfer(NOBODY, to, class_id, tonnes * 1000)
        self.emit(
            "CarbonCredits", "CreditsMinted", id=class_id, to=to, firstPosition=first, tonnes=tonnes
        )
        for interval in intervals:
            self._register(made, class_id, interval, receipt_id)
        self.emit(
            "Trust",
            "ReceiptMinted",
            receiptId=receipt_id,
            classId=class_id,
            recipient=to,
            tonnes=tonnes,
            account=hash_of("account", 1),
            evidenceHash=hash_of("evidence", self._receipts),
            termsHash=hash_of("terms", 1),
            signers=[address(0xF1), address(0xF2)],
        )
        self.next_block()
        return receipt_id

    def transfer(self, sender: str, to: str, class_id: int, kilograms: int) -> None:
        self._transfer(sender, to, class_id, kilograms)
        self.next_block()

    def retire(
        self,
        holder: str,
        class_id: int,
        kilograms: int,
        owner: str | None = None,
        details: RetirementDetails | None = None,
    ) -> int:
        """Retire and get the certificate's id; public unless the details have a salt."""
        made, owner = self.classes[class_id], owner or holder
        details = details or RetirementDetails("Somebody", "Test", "2026")
        before = made.counters
        made.counters, _ = rules.consume(before, kilograms)
        certificate_id = (made.number << 32) + len(made.certificates) + 1
        self._transfer(holder, NOBODY, class_id, kilograms)
        self.retired[holder, class_id] += kilograms
        self.emit(
            "CarbonCredits",
            "CreditsRetired",
            id=class_id,
            **{"from": holder},
            certificateId=certificate_id,
            operator=holder,
            certificateOwner=owner,
            kilograms=kilograms,
            exited=before.exited,
            openTonne=before.open_tonne,
            dust=before.dust,
            detailsHash="0x" + details.hash.hex(),
        )
        if details.is_public:
            self.emit(
                "CarbonCredits",
                "RetirementDetailsPublished",
                certificateId=certificate_id,
                beneficiary=details.beneficiary,
                purpose=details.purpose,
                period=details.period,
                instructionHash="0x" + details.instruction_hash.hex(),
            )
        taken = made.take(kilograms)
        expected = {position: made.serials[position] for position in taken}
        made.certificates.append(
            NaiveCertificate(certificate_id, class_id, holder, owner, kilograms, taken, expected)
        )
        self.next_block()
        return certificate_id

    def confirm(self, class_id: int, first: int, actual: list[Interval]) -> str:
        """The registry retired `actual` for the positions from `first` on."""
        made = self.classes[class_id]
        confirmation_id = hash_of("confirmation", self._confirmations)
        self._confirmations += 1
        for exchange in made.pieces.exchanges_for(first, actual):
            made.pieces.exchange(exchange)
            for step in range(exchange.tonnes):
                here, there = exchange.position + step, exchange.counterpart + step
                made.serials[here], made.serials[there] = made.serials[there], made.serials[here]
            self.emit(
                "RegistryRecords",
                "SerialsExchanged",
                classId=class_id,
                position=exchange.position,
                counterpart=exchange.counterpart,
                tonnes=exchange.tonnes,
            )
        made.pieces.confirm(first, actual)
        tonnes = sum(interval.tonnes for interval in actual)
        made.confirmed.update(dict.fromkeys(range(first, first + tonnes), confirmation_id))
        self.emit(
            "RegistryRecords",
            "RegistryRetirementRecorded",
            confirmationId=confirmation_id,
            classId=class_id,
            firstPosition=first,
            tonnes=tonnes,
            actual=[
                {
                    "series": {
                        "programme": interval.series.programme,
                        "codes": list(interval.series.codes),
                    },
                    "first": interval.first,
                    "last": interval.last,
                }
                for interval in actual
            ],
            registryReference=f"REF-{self._confirmations}",
            registryDate=20260901,
            evidenceHash=hash_of("evidence", 900 + self._confirmations),
            signers=[address(0xF1), address(0xF2)],
        )
        self.next_block()
        return confirmation_id

    # ── parts of acts ────────────────────────────────────────────────────────────────────────

    def _class_created(self, made: NaiveClass) -> None:
        credit_class = made.credit_class
        self.emit(
            "CarbonCredits",
            "ClassCreated",
            id=credit_class.token_id,
            number=made.number,
            projectHash="0x" + credit_class.project_hash.hex(),
            vintageHash="0x" + credit_class.vintage_hash.hex(),
            creditClass={
                "programme": credit_class.programme,
                "project": credit_class.project,
                "unitType": int(credit_class.unit_type),
                "vintageStart": as_yyyymmdd(credit_class.vintage_start),
                "vintageEnd": as_yyyymmdd(credit_class.vintage_end),
                "cohort": ["0x" + digest.hex() for digest in credit_class.cohort_hashes],
            },
        )

    def _register(
        self, made: NaiveClass, class_id: int, interval: Interval, receipt_id: str
    ) -> None:
        series_id = "0x" + interval.series.id.hex()
        self._announce(interval.series)
        piece = made.pieces.append(interval)
        for serial in range(interval.first, interval.last + 1):
            made.serials.append((str(interval.series), serial))
            made.receipts[str(interval.series), serial] = receipt_id
            made.left.append(1000)
        self.emit(
            "Trust",
            "BlockRegistered",
            classId=class_id,
            seriesId=series_id,
            receiptId=receipt_id,
            first=interval.first,
            last=interval.last,
            firstPosition=piece.position,
        )

    def _announce(self, series: Series) -> None:
        if series not in self._series:
            self._series.add(series)
            self.emit(
                "Trust",
                "SeriesCreated",
                seriesId="0x" + series.id.hex(),
                number=len(self._series),
                programme=series.programme,
                codes=list(series.codes),
            )

    def _transfer(self, sender: str, to: str, class_id: int, kilograms: int) -> None:
        for account, change in ((sender, -kilograms), (to, kilograms)):
            if account != NOBODY:
                self.held[account, class_id] += change
        self.emit(
            "CarbonCredits",
            "TransferSingle",
            operator=sender,
            **{"from": sender},
            to=to,
            id=class_id,
            value=kilograms,
        )

    # ── what the registry's exports say ──────────────────────────────────────────────────────

    def import_blocks(
        self,
        credit_class: CreditClass,
        intervals: list[Interval],
        status: str = "active",
        unmapped: list[str] | None = None,
        project_name: str = "A project",
    ) -> int:
        """Rows of one imported file; returns the import's id."""
        with self.database.begin() as connection:
            known = ensure_series(connection, {i.series for i in intervals})
            count = connection.execute(select(tables.imports.c.id)).all()
            import_id: int = connection.execute(
                insert(tables.imports).returning(tables.imports.c.id),
                {
                    "file_name": "export.csv",
                    "sha256": hash_of("file", len(count)),
                    "programme": credit_class.programme,
                    "layout": "made-up",
                    "rows": len(intervals),
                    "accepted": len(intervals),
                    "rejected": 0,
                    "report": {"rejected": []},
                },
            ).scalar_one()
            rows = [
                {
                    "series_id": known["0x" + interval.series.id.hex()],
                    "block": Range(interval.first, interval.last + 1, bounds="[)"),
                    "kind": "partition",
                    "programme": credit_class.programme,
                    "project": credit_class.project,
                    "project_name": project_name,
                    "vintage_start": credit_class.vintage_start,
                    "vintage_end": credit_class.vintage_end,
                    "status": status,
                    "cohort": None if unmapped else list(credit_class.cohort),
                    "vocabulary": "1",
                    "labels": list(credit_class.cohort) + (unmapped or []),
                    "unmapped": unmapped or [],
                    "facts": {"country": "RW"},
                    "source_row": row,
                    "source_line": row + 1,
                    "first_import": import_id,
                    "last_import": import_id,
                }
                for row, interval in enumerate(intervals, 1)
            ]
            connection.execute(insert(tables.registry_blocks), rows)
        return import_id

    def custody(
        self,
        credit_class: CreditClass,
        intervals: list[Interval],
        receipt_id: str,
        state: str = "drafted",
        to: str | None = None,
    ) -> None:
        """A receipt as the bridge keeps it, with its intervals."""
        with self.database.begin() as connection:
            known = ensure_series(connection, {i.series for i in intervals})
            connection.execute(
                insert(tables.receipts),
                {
                    "id": receipt_id,
                    "chain_id": CHAIN_ID,
                    "trust": address(0xC5),
                    "class_id": credit_class.token_id,
                    "credit_class": {},
                    "recipient": to or address(1),
                    "account": hash_of("account", 1),
                    "tonnes": sum(i.tonnes for i in intervals),
                    "valid_until": FIRST_TIME * 2,
                    "evidence_hash": hash_of("evidence", 1),
                    "terms_hash": hash_of("terms", 1),
                    "content": {},
                    "state": state,
                },
            )
            blocks = [
                {
                    "series_id": known["0x" + interval.series.id.hex()],
                    "block": Range(interval.first, interval.last + 1, bounds="[)"),
                    "receipt_id": receipt_id,
                    "ordinal": ordinal,
                }
                for ordinal, interval in enumerate(intervals)
            ]
            connection.execute(insert(tables.custody_blocks), blocks)


def make_class(number: int, cohort: tuple[str, ...] = ()) -> CreditClass:
    """A class of a made-up Verra project."""
    return CreditClass(
        "VCS",
        str(1000 + number),
        UnitType.CREDIT,
        date(2020, 1, 1),
        date(2020 + number % 3, 12, 31),
        cohort,
    )


def confirmable(made: NaiveClass) -> list[int]:
    """Positions that are wholly retired and not confirmed."""
    return [
        position
        for position, left in enumerate(made.left)
        if not left and position not in made.confirmed
    ]


def random_history(database: Database, seed: int, steps: int = 60) -> History:
    """Mints in two generations, transfers, odd retirements, confirmations with other serials."""
    chance = random.Random(seed)
    history = History(database)
    accounts = [address(number) for number in range(1, 6)]
    for account in accounts:
        history.admit(account)
    classes = [make_class(number, ("ccp",) if number % 2 else ()) for number in range(3)]
    series = [Series("VCS", (1,)), Series("VCS", (2,))]
    for _ in range(steps):
        credit_class, account = chance.choice(classes), chance.choice(accounts)
        class_id = credit_class.token_id
        act = chance.random()
        if act < 0.25 or class_id not in history.classes:
            intervals = [
                history.lot(chance.choice(series), chance.randint(1, 8), chance.choice((0, 0, 3)))
                for _ in range(chance.randint(1, 3))
            ]
            history.mint(credit_class, account, intervals)
            continue
        held = history.held[account, class_id]
        if act < 0.4 and held:
            history.transfer(account, chance.choice(accounts), class_id, chance.randint(1, held))
        elif act < 0.75 and held:
            history.retire(account, class_id, chance.randint(1, min(held, 4500)))
        else:
            random_confirmation(history, class_id, chance)
    history.save()
    return history


def random_confirmation(history: History, class_id: int, chance: random.Random) -> None:
    """The registry names a run of retired positions and any unconfirmed serials of the class."""
    made = history.classes[class_id]
    ready = confirmable(made)
    if not ready:
        return
    first = chance.choice(ready)
    most = 1
    while first + most in ready:
        most += 1
    tonnes = chance.randint(1, most)
    # Confirmed positions keep their serials; every other serial of the class may be named.
    free = [s for p, s in enumerate(made.serials) if p not in made.confirmed]
    chosen = free[:tonnes] if chance.random() < 0.3 else chance.sample(free, tonnes)
    actual = merge(Interval(Series.parse(name), n, n) for name, n in chosen)
    history.confirm(class_id, first, actual)
