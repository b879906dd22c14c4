"""A journal of signed commands made entry by entry, and what a watcher is shown of its chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.chain.keys import address_of, named_key, sign_digest
from backend.chain.signatures import Verifier
from backend.domain import commands
from backend.domain.commands import Command, encode_command
from backend.domain.journal import GENESIS_HASH, Entry, Head, encode_entry, hash_entry
from backend.domain.orders import (
    NO_DETAILS,
    Account,
    Cancel,
    Order,
    Withdrawal,
    account_of,
    exchange_domain,
)
from backend.domain.venue_events import Event, encode_events
from backend.exchange.replaying import Replay, broken
from backend.matching.engine import Engine
from backend.store.database import Database, raw
from backend.store.journal import JournalRow, encode_copy

CHAIN_ID, EXCHANGE = 31_337, "0x" + "e5" * 20
DOMAIN = exchange_domain(CHAIN_ID, EXCHANGE)
START_MS = 1_800_000_000_000
WINDOW, SKEW = 300, 30
MONEY = 0xA11CE << 100
CARBON = 7 << 200
WATCHER = named_key("watcher", bytes([8] * 32))
SEQUENCER = named_key("sequencer", bytes([9] * 32))
_VERIFIER = Verifier(DOMAIN)


def trader_key(number: int) -> bytes:
    return (1_000 + number).to_bytes(32, "big")


def trader(number: int) -> Account:
    return account_of(address_of(trader_key(number)))


class SignedJournal:
    """Grows by `say`; trader 0 sells, 1 and 2 buy, each with enough of everything."""

    def __init__(self, traders: int = 3) -> None:
        self.engine = Engine()
        self.time_ms = START_MS
        self.rows: list[JournalRow] = []
        self.facts: list[Command] = []
        self._nonces = dict.fromkeys(range(traders), 0)
        self.block = 0
        self.say(commands.OpenVenue(CHAIN_ID, account_of(EXCHANGE), WINDOW, SKEW))
        self.say(commands.StartEpoch(bytes(16)))
        self.say(commands.SetFees(10, 20))
        self.fact(commands.ListAsset, MONEY, 1)
        self.fact(commands.ListClass, CARBON)
        for number in range(traders):
            self.fact(commands.SetParticipant, trader(number), 1, 2**40 - 1, 0)
            for asset, amount in ((MONEY, 10**12), (CARBON, 10**9)):
                self.deposit(number, asset, amount)

    @property
    def head(self) -> Head:
        return self.rows[-1].head if self.rows else Head(0, GENESIS_HASH)

    @property
    def time_s(self) -> int:
        return self.time_ms // 1_000

    def say(self, command: Command, **changed: Any) -> list[Event]:
        """Journal a command; `changed` fields of its entry make a journal that is wrong."""
        events = self.engine.apply(self.time_ms, command)
        seq, previous = self.head.seq + 1, self.head.hash
        rules = 1
        entry = Entry(seq, 1, rules, self.time_ms, previous, command)._replace(**changed)
        self.add(entry, encode_events(events))
        return events

    def add(self, entry: Entry, events: bytes) -> None:
        """Append an entry whatever it says."""
        raw = encode_entry(entry)
        message = entry.command[0] if entry.command and entry.command[0:1] else None
        mine = isinstance(message, tuple)
        kind = encode_command(entry.command)[0]
        self.rows.append(
            JournalRow(
                self.head.seq + 1,
                entry.epoch,
                raw,
                hash_entry(raw),
                message[0] if mine else None,  # type: ignore[index]
                message[1] if mine else None,  # type: ignore[index]
                kind,
                events,
            )
        )

    def wait(self, seconds: int) -> None:
        self.time_ms += seconds * 1_000

    # ── the chain ────────────────────────────────────────────────────────────────────────────

    def fact(self, kind: Any, *values: Any) -> list[Event]:
        """A fact of the chain, in a chain block of its own."""
        self.block += 1
        made = kind(self.block, 0, *values)
        self.facts.append(made)
        return self.say(made)

    def deposit(self, number: int, asset: int, amount: int) -> None:
        self.fact(
            commands.CreditDeposit, self.engine.last_deposit + 1, trader(number), asset, amount
        )

    # ── traders ──────────────────────────────────────────────────────────────────────────────

    def nonce(self, number: int) -> int:
        self._nonces[number] += 1
        return self._nonces[number] - 1

    def order(self, number: int, side: int, price: int = 100, quantity: int = 1,
              **other: Any) -> commands.PlaceOrder:  # fmt: skip
        values = {
            "trader": trader(number),
            "nonce": self.nonce(number) if "nonce" not in other else 0,
            "instrument": CARBON,
            "asset": MONEY,
            "side": side,
            "quantity": quantity,
            "price": price,
            "max_fee_bps": 100,
            "signed_at": self.time_s,
            "expiry": self.time_s + 86_400,
            "conditions": 0,
            "details_hash": NO_DETAILS,
            "signature_kind": 0,
            **other,
        }
        order = Order(**values)
        return commands.PlaceOrder(order, sign(number, order))

    def cancel(self, number: int, nonce: int) -> commands.PlaceCancel:
        message = Cancel(trader(number), nonce)
        return commands.PlaceCancel(message, sign(number, message))

    def withdrawal(self, number: int, amount: int, asset: int = MONEY) -> commands.PlaceWithdrawal:
        message = Withdrawal(trader(number), self.nonce(number), asset, amount, 0)
        return commands.PlaceWithdrawal(message, sign(number, message))

    def trade(self, quantity: int = 1, price: int = 100, buyer: int = 1) -> int:
        """One trade between trader 0 and a buyer; its number."""
        self.say(self.order(0, 1, price, quantity))
        self.say(self.order(buyer, 0, price, quantity))
        return self.engine.next_trade - 1

    def settle(self, last_trade: int, last_withdrawal: int = 0) -> None:
        self.fact(commands.NoteSettlement, last_trade, last_withdrawal)

    # ── replaying ────────────────────────────────────────────────────────────────────────────

    def replay(self, facts: list[Command] | None = None) -> Replay:
        """A replay that has taken everything."""
        made = Replay(DOMAIN, KnownFacts(self.facts if facts is None else facts))
        for row in self.rows:
            made.take(row.entry, row.events)
        return made


def sign(number: int, message: Any) -> bytes:
    return sign_digest(trader_key(number), _VERIFIER.digest(message))


class KnownFacts:
    """A chain that holds these facts in this order."""

    def __init__(self, facts: list[Command]) -> None:
        self._facts = list(facts)
        self.read_to = 0

    def check_fact(self, seq: int, command: Command, engine: Engine) -> None:
        if not self._facts or self._facts[0] != command:
            raise broken(seq, f"says {command}; the chain's next fact is {self._facts[:1]}")
        self._facts.pop(0)
        self.read_to = command.block  # type: ignore[union-attr]

    def check_void(self, seq: int, command: commands.VoidTrades, engine: Engine) -> None:
        if self._facts and self._facts[0].block <= command.block:  # type: ignore[union-attr]
            raise broken(seq, "voids before a fact of the chain")


def fill_database(database: Database, rows: Sequence[JournalRow]) -> None:
    """Put rows into the journal as they are."""
    columns = "venue, seq, epoch, entry, hash, trader, nonce, kind, events"
    copied = f"COPY journal ({columns}) FROM STDIN (FORMAT BINARY)"
    with (
        database.begin() as connection,
        raw(connection).cursor() as cursor,
        cursor.copy(copied) as copy,
    ):
        copy.write(encode_copy(1, rows))
