"""Journals made by the real engine, and the ways a dishonest operator could write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from backend.chain.keys import address_of, sign_digest
from backend.domain.commands import (
    Command,
    OpenVenue,
    PlaceCancel,
    PlaceOrder,
    PlaceWithdrawal,
    SetFees,
    StartEpoch,
)
from backend.domain.eip712 import SigningDomain
from backend.domain.journal import GENESIS_HASH, Entry, decode_entry, encode_entry, hash_entry
from backend.domain.journal_file import Stored, write_header, write_stored
from backend.domain.orders import (
    NO_DETAILS,
    Account,
    Cancel,
    Conditions,
    Order,
    Side,
    Withdrawal,
    account_of,
    message_digest,
)
from backend.domain.venue_events import Event, encode_events
from backend.matching import Engine

FEES: Final = (10, 25)
WEEK: Final = 7 * 86_400


class Trader:
    """Somebody who signs; its nonces count up from 0."""

    def __init__(self, private_key: bytes) -> None:
        self.private_key = private_key
        self.address = address_of(private_key)
        self.account = account_of(self.address)
        self.next_nonce = 0

    def nonce(self) -> int:
        self.next_nonce += 1
        return self.next_nonce - 1


class JournalMaker:
    """One venue: `add` journals a command with what the engine makes of it."""

    def __init__(
        self, domain: SigningDomain, window: int, skew: int, time_ms: int, start: bool = True
    ) -> None:
        self.domain, self.time_ms = domain, time_ms
        self.engine = Engine()
        self.entries: list[Stored] = []
        self.epoch = 1
        #: Signatures by (trader, nonce), as a settlement needs them.
        self.signatures: dict[tuple[Account, int], bytes] = {}
        self.add(OpenVenue(domain.chain_id, account_of(domain.contract), window, skew))
        if start:
            self.add(StartEpoch(bytes(16)))
            self.add(SetFees(*FEES))

    @property
    def head(self) -> tuple[int, bytes]:
        """Number and hash of the last entry."""
        return len(self.entries), hash_entry(self.entries[-1].entry)

    def add(self, command: Command, later_ms: int = 1) -> list[Event]:
        """Journal a command as an honest sequencer would."""
        self.time_ms += later_ms
        events = self.engine.apply(self.time_ms, command)
        previous = self.head[1] if self.entries else GENESIS_HASH
        entry = Entry(
            len(self.entries) + 1, self.epoch, self.engine.rules, self.time_ms, previous, command
        )
        self.entries.append(Stored(encode_entry(entry), encode_events(events)))
        return events

    # ------------------------------------------------------------------ traders

    def sign(self, trader: Trader, message: Any) -> bytes:
        signature = sign_digest(trader.private_key, message_digest(self.domain, message))
        self.signatures[trader.account, message.nonce] = signature
        return signature

    def order(
        self, trader: Trader, side: Side, market: tuple[int, int], quantity: int, price: int,
        **options: Any,
    ) -> Order:  # fmt: skip
        """An order as it is signed now."""
        now = self.time_ms // 1000
        conditions = options.get("conditions", Conditions())
        return Order(
            trader.account, options.get("nonce", trader.next_nonce), *market, side, quantity,
            price, options.get("max_fee_bps", 50), now, now + options.get("lifetime", WEEK),
            conditions.pack(), options.get("details_hash", NO_DETAILS),
            options.get("signature_kind", 0),
        )  # fmt: skip

    def place(
        self, trader: Trader, side: Side, market: tuple[int, int], quantity: int, price: int,
        **options: Any,
    ) -> tuple[Order, list[Event]]:  # fmt: skip
        """Sign and journal an order."""
        order = self.order(trader, side, market, quantity, price, **options)
        trader.next_nonce = max(trader.next_nonce, order.nonce + 1)
        signature = bytes(65) if order.signature_kind else self.sign(trader, order)
        return order, self.add(PlaceOrder(order, signature), options.get("later_ms", 1))

    def cancel(self, trader: Trader, nonce: int) -> list[Event]:
        message = Cancel(trader.account, nonce)
        signature = sign_digest(trader.private_key, message_digest(self.domain, message))
        trader.next_nonce = max(trader.next_nonce, nonce + 1)
        return self.add(PlaceCancel(message, signature))

    def withdraw(self, trader: Trader, asset: int, amount: int) -> list[Event]:
        message = Withdrawal(trader.account, trader.nonce(), asset, amount, 0)
        return self.add(PlaceWithdrawal(message, self.sign(trader, message)))

    # ------------------------------------------------------------------ file

    def write(self, path: Path, entries: Sequence[Stored] | None = None) -> Path:
        with path.open("wb") as file:
            write_header(file)
            write_stored(file, self.entries if entries is None else entries)
        return path


def relink(
    entries: Sequence[Stored], change: Callable[[int, Entry], Entry | None] = lambda _, entry: entry
) -> list[Stored]:
    """A journal rewritten from some entry on, with every hash and number made right again.

    `change(seq, entry)` gives what stands there instead, None to leave it out.
    """
    rewritten: list[Stored] = []
    previous = GENESIS_HASH
    for seq, stored in enumerate(entries, 1):
        entry = change(seq, decode_entry(stored.entry))
        if entry is None:
            continue
        raw = encode_entry(entry._replace(seq=len(rewritten) + 1, previous=previous))
        rewritten.append(Stored(raw, stored.events))
        previous = hash_entry(raw)
    return rewritten
