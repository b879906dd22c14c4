"""An Exchange on a real Anvil with funded traders, and batches of their signed orders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cached_property
from typing import Any, Final

from eth_account import Account as Wallet
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract

from backend.domain import batches
from backend.domain.batches import Batch, SettlementTrade, SettlementWithdrawal, Void
from backend.domain.classes import CreditClass, UnitType
from backend.domain.custody import Receipt
from backend.domain.orders import (
    Account,
    Conditions,
    Order,
    Side,
    Withdrawal,
    account_of,
    exchange_domain,
    message_digest,
)
from backend.domain.serials import Interval, Series
from tests.chain_time import pass_time
from tests.contracts.world import TRANSACTION_GAS_LIMIT, World

WINDOW: Final = 3_600
SKEW: Final = 60
MAKER_FEE, TAKER_FEE, DEVELOPER_SHARE = 10, 20, 2_500
PRICE: Final = 85_000_000
HASH: Final = bytes(range(1, 33))
SEQUENCER, WATCHER = (Wallet.from_key(keccak(text=name)) for name in ("sequencer", "watcher"))


def trader(number: int) -> Any:
    """The wallet of a trader, always the same for a number."""
    return Wallet.from_key(keccak(text=f"trader {number}"))


def address_of(account: bytes) -> str:
    """The checksummed address of an account."""
    return Web3.to_checksum_address(account)


class SettlementWorld(World):
    """`exchange`, `money` (an ERC-20 with 6 decimals) and credits of `instrument`."""

    def __init__(self, anvil: Any, compiled: Any) -> None:
        super().__init__(anvil, compiled)
        self.admin, self.holder, self.operator, self.developer = self.accounts[:4]
        manager, participants = self.manager.address, self.participants.address
        self.exchange = self.deploy(
            "Exchange", manager, participants, self.credits.address, WINDOW, SKEW
        )
        self.money = self.deploy("TestSettlementAsset", "Hong Kong dollar", "HKD", 6, self.admin)
        self.send(self.participants, "addCausewayContract", self.exchange.address)
        self.send(self.exchange, "setKeys", SEQUENCER.address, WATCHER.address)
        payees = (self.operator, self.developer, DEVELOPER_SHARE)
        self.send(self.exchange, "setFeePayees", *payees)
        self.send(self.exchange, "setAsset", self.money.address, True)
        self.asset = int(self.money.address, 16)
        self.instrument = self.new_class("1529", 900_000_000)
        self.anvil.rpc("anvil_autoImpersonateAccount", True)
        self.seq = 0
        self.wallets: dict[Account, Any] = {}

    @cached_property
    def venue(self) -> Any:
        """The Exchange's EIP-712 domain."""
        return exchange_domain(self.anvil.chain_id, self.exchange.address)

    def new_class(self, project: str, first: int, tonnes: int = 1_000_000) -> int:
        """A class of its own; all of it is the holder's."""
        self.admit(self.holder)
        credit_class = CreditClass(
            "VCS", project, UnitType.CREDIT, date(2020, 1, 1), date(2020, 12, 31), ("ccp",)
        )
        block = Interval(Series("VCS", (2,)), first, first + tonnes - 1)
        self.mint(Receipt(self.holder, credit_class, HASH, (block,), HASH, HASH, 2**40 - 1))
        return credit_class.token_id

    def now(self) -> int:
        """The time of the newest chain block."""
        return int(self.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def pass_time(self, seconds: int) -> None:
        pass_time(self.anvil.rpc, seconds)

    # ------------------------------------------------------------ money and credits

    def fast(self, contract: Contract, function: str, *args: Any, sender: str) -> None:
        """Send, with the account's own key or without; Anvil mines it at once."""
        data = contract.encode_abi(function, args=list(args))
        call = {"from": sender, "to": contract.address, "data": data, "gas": hex(1_000_000)}
        sent = self.anvil.rpc("eth_sendTransaction", call)
        receipt = None
        for _ in range(20_000):
            receipt = self.anvil.rpc("eth_getTransactionReceipt", sent)
            if receipt is not None:
                break
        assert receipt is not None, f"{function} was not mined"
        assert receipt["status"] == "0x1", f"{function} reverted"

    def fund(self, wallet: Any, money: int = 0, kilograms: int = 0) -> Account:
        """A trader, admitted, with these balances in the Exchange."""
        account = account_of(wallet.address)
        if account not in self.wallets:
            self.wallets[account] = wallet
            self.anvil.rpc("anvil_setBalance", wallet.address, hex(10**19))
            admission = (wallet.address, 1, b"HK", 2**40 - 1)
            self.fast(self.participants, "admit", *admission, sender=self.admin)
        if money:
            self.fast(self.money, "mint", wallet.address, money, sender=self.admin)
            approval = (self.exchange.address, money)
            self.fast(self.money, "approve", *approval, sender=wallet.address)
            deposit = (self.money.address, money)
            self.fast(self.exchange, "deposit", *deposit, sender=wallet.address)
        if kilograms:
            for source, target in (
                (self.holder, wallet.address),
                (wallet.address, self.exchange.address),
            ):
                move = (source, target, self.instrument, kilograms, b"")
                self.fast(self.credits, "safeTransferFrom", *move, sender=source)
        return account

    def state(self, account: Account, asset: int) -> tuple[int, int]:
        """(balance, claimable)."""
        balance, claimable, _ = self.call(self.exchange, "accountOf", address_of(account), asset)
        return balance, claimable

    def is_solvent(self) -> bool:
        """L7, of the two assets of this world."""
        pairs = (
            self.call(self.exchange, "solvency", asset) for asset in (self.asset, self.instrument)
        )
        return all(held >= owed for held, owed in pairs)

    # ------------------------------------------------------------ orders and batches

    def order(self, account: Account, nonce: int, side: Side, **changes: Any) -> Order:
        """A GTC order for 1,000 tonnes at PRICE, signed a minute ago."""
        signed_at = changes.pop("signed_at", self.now() - 60)
        order = Order(
            *(account, nonce, self.instrument, self.asset, side, 1_000, PRICE, 50),
            *(signed_at, signed_at + 86_400, Conditions().pack(), bytes(32), 0),
        )
        return order._replace(**changes)

    def batch(
        self,
        matches: Iterable[tuple[Order, Order, int]],
        withdrawals: Iterable[Withdrawal] = (),
        time_s: int = 0,
    ) -> Batch:
        """The next batch: (maker, taker, tonnes) in turn, all matched now."""
        last_trade, last_withdrawal, last_time = self.call(self.exchange, "settled")
        time_s = time_s or max(self.now(), last_time)
        self.seq += 1
        first, fees = last_trade + 1, (MAKER_FEE, TAKER_FEE)
        trades = tuple(
            SettlementTrade(number, time_s, maker, taker, maker.price, quantity, *fees)
            for number, (maker, taker, quantity) in enumerate(matches, first)
        )
        after = last_trade + len(trades)
        paid = tuple(
            SettlementWithdrawal(number, after, withdrawal)
            for number, withdrawal in enumerate(withdrawals, last_withdrawal + 1)
        )
        head = keccak(text=f"head {self.seq}")
        return Batch(first, trades, last_withdrawal + 1, paid, self.seq, head, *fees)

    def signatures(self, batch: Batch, keys: Sequence[Any] = (SEQUENCER, WATCHER)) -> bytes:
        """What `settle` wants beside the bytes of a batch."""
        messages: dict[tuple[Account, int, str], Any] = {}
        for trade in batch.trades:
            for order in (trade.maker, trade.taker):
                messages[order.trader, order.nonce, "order"] = order
        for one in batch.withdrawals:
            messages[one.withdrawal.trader, one.withdrawal.nonce, "withdrawal"] = one.withdrawal
        digest = batches.batch_digest(self.venue, batches.encode_batch(batch))
        signed = [self.signed(key, digest) for key in keys]
        for slot in batches.signature_slots(batch):
            wallet = self.wallets[slot.trader]
            signed.append(self.signed(wallet, message_digest(self.venue, messages[slot])))
        return batches.pack_signatures(signed)

    def signed(self, wallet: Any, digest: bytes) -> bytes:
        return bytes(wallet.unsafe_sign_hash(digest).signature)

    def settle(self, batch: Batch) -> Any:
        """Settle as anybody; returns the receipt."""
        raw = batches.encode_batch(batch)
        return self.send(self.exchange, "settle", raw, self.signatures(batch), sender=self.holder)

    def both(self, digest: bytes) -> bytes:
        """Sequencer's and watcher's signatures of a digest."""
        return batches.pack_signatures(self.signed(key, digest) for key in (SEQUENCER, WATCHER))

    def void(self, void: Void) -> Any:
        signatures = self.both(batches.void_digest(self.venue, void))
        return self.send(self.exchange, "voidTrades", *void, signatures)

    def anchor(self, seq: int, head: bytes) -> Any:
        signatures = self.both(batches.anchor_digest(self.venue, seq, head))
        return self.send(self.exchange, "anchor", seq, head, signatures)

    def refusal(self, contract: Contract, function: str, *args: Any, sender: str = "") -> str:
        """The error a call reverts with, as 0x data; fails when it does not revert."""
        data = contract.encode_abi(function, args=list(args))
        call = {"from": sender or self.admin, "to": contract.address, "data": data}
        answer = self.web3.provider.make_request(
            "eth_call", [call | {"gas": hex(TRANSACTION_GAS_LIMIT)}, "latest"]
        )
        assert "error" in answer, f"{function} did not revert"
        return str(answer["error"].get("data", ""))
