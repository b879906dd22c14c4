"""An honest venue on a real chain: deposits, trades, settlements, exits, and its own journal."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from eth_utils.crypto import keccak

from backend.audit import AuditReport
from backend.chain import abi
from backend.chain.events import EventDecoder
from backend.chain.keys import Key, sign_digest
from backend.chain.signatures import NO_SIGNATURE
from backend.domain.batches import (
    Batch,
    Void,
    anchor_digest,
    batch_digest,
    encode_batch,
    pack_signatures,
    signature_slots,
    void_digest,
)
from backend.domain.commands import Command, PlaceOrder, SetParticipant, VoidTrades
from backend.domain.events import ChainEvent
from backend.domain.orders import (
    Conditions,
    Order,
    Side,
    TimeInForce,
    account_of,
    exchange_domain,
    message_digest,
)
from backend.domain.venue_events import VoidReason
from backend.exchange.feed import fact_of
from tests.audit.journal_maker import JournalMaker, Trader
from tests.audit.scene import RICH, Scene
from tests.chain_time import pass_time

DAY: Final = 86_400
MONEY: Final = 10**15
BUY, SELL = Side.BUY, Side.SELL
PRICE: Final = 40_000_001


class Market:
    """A scene with an Exchange; `maker` writes the journal of its venue."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.rpc = scene, scene.rpc
        self.sequencer, self.watcher = self._key("sequencer"), self._key("watcher")
        self.sender = self._key("market-sender")
        self.address = scene.deployment["Exchange"]
        self.domain = exchange_domain(scene.deployment.chain_id, self.address)
        self.money = int(scene.deployment["HKD"], 16)
        self.traders = [Trader(one.private_key) for one in scene.history.wallets]
        self.keys = {one.address: one for one in scene.history.wallets}
        self.instrument = self._most_held()
        self.market = (self.instrument, self.money)
        #: Whoever has most to sell comes first.
        self.traders.sort(key=lambda one: -scene.contracts.balance_of(one.address, self.instrument))
        window, skew = (self.read(name) for name in ("WINDOW", "SKEW"))
        self.window = window
        self.maker = JournalMaker(self.domain, window, skew, self.chain_time() * 1000)

    def branch(self) -> Market:
        """The same venue with a journal of its own, so that a test can write on."""
        other = copy.copy(self)
        other.maker = copy.deepcopy(self.maker)
        other.traders = copy.deepcopy(self.traders)
        return other

    # ---------------------------------------------------------------- deployment

    def _key(self, name: str) -> Key:
        key = self.scene.keys.create_if_missing(name)
        self.rpc.call("anvil_setBalance", key.address, RICH)
        return key

    def by_admin(self, days: int, *calls: tuple[str, str, Sequence[Any]]) -> None:
        """Restricted calls, scheduled, waited for and made."""
        scene = self.scene
        packed = [
            (contract, abi.encode_call(contract, function, args))
            for contract, function, args in calls
        ]
        for contract, data in packed:
            args = (scene.deployment[contract], data, 0)
            self.send(scene.key("admin"), "AccessManager", "schedule", *args)
        self.pass_time(days * DAY + 1)
        for contract, data in packed:
            scene.send(scene.key("admin"), contract, data)

    def _most_held(self) -> int:
        """A class that at least three wallets hold whole tonnes of."""
        scene = self.scene
        for class_id in scene.history.class_ids:
            held = [
                scene.contracts.balance_of(one.address, class_id) for one in scene.history.wallets
            ]
            if sum(amount >= 20_000 for amount in held) >= 2:
                return class_id
        raise AssertionError("no class is held widely enough")

    # -------------------------------------------------------------------- chain

    def chain_time(self) -> int:
        block = self.rpc.block("latest")
        assert block is not None
        return block.timestamp

    def pass_time(self, seconds: int) -> None:
        pass_time(self.rpc.call, seconds)

    def send(self, key: Key, contract: str, function: str, *args: Any) -> None:
        self.scene.send(key, contract, abi.encode_call(contract, function, args))

    def read(self, function: str, *args: Any) -> Any:
        return self.scene.contracts.read("Exchange", function, *args)

    def by(self, trader: Trader, contract: str, function: str, *args: Any) -> None:
        self.send(self.keys[trader.address], contract, function, *args)

    # ------------------------------------------------------------------ journal

    def sync(self) -> None:
        """Journal what the chain has said since the last fact, at the chain's time."""
        maker = self.maker
        maker.time_ms = max(maker.time_ms, self.chain_time() * 1000)
        for event in self._events():
            place = (event.block_number, event.log_index)
            if place > maker.engine.chain_place and (fact := self._fact(event)) is not None:
                maker.add(fact)

    def _events(self) -> list[ChainEvent]:
        names = ("Exchange", "CarbonCredits", "Participants")
        addresses = [self.scene.deployment[name] for name in names]
        logs = self.rpc.get_logs(addresses, 0, self.rpc.block_number())
        events = EventDecoder(self.scene.deployment, lenient=True).decode(logs)
        return sorted(events, key=lambda one: (one.block_number, one.log_index))

    def _fact(self, event: ChainEvent) -> Command | None:
        if event.contract != "Participants":
            return fact_of(
                event.contract, event.name, event.args, event.block_number, event.log_index
            )
        if not event.name.startswith(("Participant", "CausewayContract")):
            return None
        held = self.scene.contracts.participant(event.args["account"])
        return SetParticipant(
            event.block_number, event.log_index, account_of(event.args["account"]), held.tier,
            held.expiry, int(held.frozen_since != 0),
        )  # fmt: skip

    # ------------------------------------------------------------------ traders

    def fund(self, trader: Trader, money: int = MONEY) -> None:
        """Money, and every whole tonne of the class that the trader holds."""
        held = self.scene.contracts.balance_of(trader.address, self.instrument)
        self.send(self.scene.key("issuer"), "HKD", "mint", trader.address, money)
        self.by(trader, "HKD", "approve", self.address, money)
        self.by(trader, "Exchange", "deposit", self.scene.deployment["HKD"], money)
        if held >= 1_000:
            kilograms = held // 1000 * 1000
            args = (trader.address, self.address, self.instrument, kilograms, b"")
            self.by(trader, "CarbonCredits", "safeTransferFrom", *args)

    def place(self, trader: Trader, side: Side, quantity: int, price: int, **options: Any) -> Order:
        return self.maker.place(trader, side, self.market, quantity, price, **options)[0]

    # --------------------------------------------------------------------- acts

    def both(self, digest: bytes) -> list[bytes]:
        return [sign_digest(key.private_key, digest) for key in (self.sequencer, self.watcher)]

    def batch(self) -> Batch:
        """Everything that is unsettled, as one batch at the journal's head."""
        engine = self.maker.engine
        trades, withdrawals = engine.unsettled()
        seq, head = self.maker.head
        return Batch(
            engine.settled_trade + 1, trades, engine.settled_withdrawal + 1, withdrawals, seq, head,
            *engine.fees,
        )  # fmt: skip

    def settle(self, batch: Batch | None = None) -> Batch:
        """Settle a batch and journal that the chain did."""
        self.send_batch(wanted := batch or self.batch())
        self.sync()
        return wanted

    def send_batch(self, batch: Batch) -> None:
        raw = encode_batch(batch)
        signed = [self.maker.signatures[slot.trader, slot.nonce] for slot in signature_slots(batch)]
        packed = pack_signatures([*self.both(batch_digest(self.domain, raw)), *signed])
        self.send(self.sender, "Exchange", "settle", raw, packed)

    def anchor(self, seq: int | None = None, head: bytes | None = None) -> None:
        at = self.maker.head
        seq, head = at[0] if seq is None else seq, at[1] if head is None else head
        packed = pack_signatures(self.both(anchor_digest(self.domain, seq, head)))
        self.send(self.sender, "Exchange", "anchor", seq, head, packed)

    def void_on_chain(self, void: Void) -> None:
        packed = pack_signatures(self.both(void_digest(self.domain, void)))
        self.send(self.sender, "Exchange", "voidTrades", *void, packed)

    def void_overdue(self) -> None:
        """The first unsettled trade has become too old: journal the void, send it to the chain."""
        engine, block = self.maker.engine, self.rpc.block("latest")
        assert block is not None
        first = engine.unsettled()[0][0].number
        reason = VoidReason.OLDER_THAN_WINDOW
        self.maker.add(VoidTrades(first, reason, block.number, block.timestamp))
        (pending,) = engine.pending_voids()
        seq, head = self.maker.head
        self.void_on_chain(
            Void(
                pending.first, pending.last, pending.first_withdrawal, pending.last_withdrawal,
                pending.reason, seq, head,
            )
        )  # fmt: skip
        self.sync()

    # ------------------------------------------------------------------ history

    def run(self) -> None:
        """A little of everything an Exchange does."""
        seller, other, buyer, retiring = self.traders[:4]
        for trader in self.traders[:4]:
            self.fund(trader)
        self.sync()
        self._trade(seller, other, buyer)
        self._retire(seller, retiring)
        self._leave(other, buyer)
        self._void(seller, buyer)
        self._pause(seller, buyer)
        self._wait(seller, retiring)
        self.anchor()

    def _trade(self, seller: Trader, other: Trader, buyer: Trader) -> None:
        """Partial fills, a cancel, a fill-or-kill, a pre-signed order; settled in two batches."""
        self.place(seller, SELL, 3, PRICE)
        self.place(other, SELL, 4, PRICE)
        resting = self.place(other, SELL, 2, PRICE + 7)
        self.place(buyer, BUY, 5, PRICE + 3)
        self.settle()
        self.maker.cancel(other, resting.nonce)
        whole = Conditions(TimeInForce.FOK)
        self.place(buyer, BUY, 2, PRICE + 3, conditions=whole)
        order = self.maker.order(seller, SELL, self.market, 1, PRICE, signature_kind=1)
        digest = message_digest(self.domain, order)
        self.by(seller, "Exchange", "preSign", digest)
        self.sync()
        self.maker.add(PlaceOrder(order, NO_SIGNATURE))
        seller.next_nonce += 1
        self.place(buyer, BUY, 1, PRICE, conditions=Conditions(TimeInForce.IOC))
        self.settle()
        self.send(self.sender, "Exchange", "collectFees", self.money)

    def buy_to_retire(self, seller: Trader, buyer: Trader) -> Order:
        """A tonne bought to be retired, settled: it is earmarked."""
        self.place(seller, SELL, 1, PRICE)
        terms = Conditions(TimeInForce.IOC, retire_on_fill=True)
        details = keccak(text="details")
        order = self.place(buyer, BUY, 1, PRICE, conditions=terms, details_hash=details)
        self.settle()
        return order

    def _retire(self, seller: Trader, buyer: Trader) -> None:
        order = self.buy_to_retire(seller, buyer)
        fields: list[Any] = list(order)
        fields[0], fields[3] = buyer.address, f"0x{order.asset:040x}"
        self.send(self.sender, "Exchange", "completeRetirement", fields)

    def _leave(self, leaving: Trader, other: Trader) -> None:
        """A withdrawal and its claim, an exit cancelled, an exit executed, a nonce invalidated."""
        self.maker.withdraw(other, self.money, 1_000_000)
        self.settle()
        self.send(self.sender, "Exchange", "claim", other.address, self.money)
        self.by(other, "Exchange", "requestExit", [self.instrument])
        self.sync()
        self.by(other, "Exchange", "cancelExit", [self.instrument])
        self.by(leaving, "Exchange", "requestExit", [self.money])
        self.by(leaving, "Exchange", "invalidate", [900])
        self.sync()
        self.pass_time(2 * self.window + 1)
        self.send(self.sender, "Exchange", "executeExit", leaving.address, [self.money])
        self.sync()
        self.maker.withdraw(other, self.instrument, 1_000)
        self.settle()

    def _void(self, seller: Trader, buyer: Trader) -> None:
        self.place(seller, SELL, 1, PRICE)
        self.place(buyer, BUY, 1, PRICE)
        self.pass_time(self.window + 5)
        self.maker.time_ms = self.chain_time() * 1000
        self.void_overdue()

    def _pause(self, seller: Trader, buyer: Trader) -> None:
        self.send(self.scene.key("guardian"), "Exchange", "pause")
        self.by_admin(3, ("Exchange", "unpause", ()))
        self.sync()
        self.place(seller, SELL, 1, PRICE)
        self.place(buyer, BUY, 1, PRICE)
        self.settle()

    def _wait(self, seller: Trader, leaving: Trader) -> None:
        """What waits when the audit comes: an earmark, an exit, something to claim, two orders."""
        self.buy_to_retire(seller, leaving)
        self.by(leaving, "Exchange", "requestExit", [self.money])
        self.maker.withdraw(seller, self.money, 5)
        self.settle()
        self.place(seller, SELL, 1, PRICE + 50)
        self.place(seller, SELL, 1, PRICE + 60)

    # -------------------------------------------------------------------- audit

    def journal(self, path: Path) -> Path:
        return self.maker.write(path)

    def audit(self, **options: Any) -> AuditReport:
        return self.scene.audit(**options)
