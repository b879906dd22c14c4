"""Settlement batches: their packed bytes, what is signed over them, and what settling one changes.

The layout is written in `contracts/interfaces/IExchange.sol`; equal trades and withdrawals always
give equal bytes, so that the watcher can rebuild a batch and sign only what it rebuilt.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from backend.domain.eip712 import SigningDomain, Types, digest
from backend.domain.orders import (
    KILOGRAMS_PER_TONNE,
    MAX_FEE_BPS,
    MAX_QUANTITY,
    Account,
    Order,
    Side,
    SignatureKind,
    Withdrawal,
    check_order,
    check_withdrawal,
    fee_of,
)
from backend.errors import InvalidValue

BATCH_TYPES: Final[Types] = {"Batch": (("batch", "bytes"),)}
ANCHOR_TYPES: Final[Types] = {"Anchor": (("seq", "uint64"), ("head", "bytes32"))}
VOID_TYPES: Final[Types] = {
    "Void": (
        ("firstTrade", "uint64"),
        ("lastTrade", "uint64"),
        ("firstWithdrawal", "uint64"),
        ("lastWithdrawal", "uint64"),
        ("reason", "uint8"),
        ("seq", "uint64"),
        ("head", "bytes32"),
    )
}
DEPOSIT_INTENT_TYPES: Final[Types] = {
    "DepositIntent": (
        ("owner", "address"),
        ("asset", "address"),
        ("amount", "uint256"),
        ("nonce", "uint256"),
        ("deadline", "uint256"),
    )
}
#: First token id that is a class; below are addresses of settlement assets.
FIRST_CLASS: Final = 1 << 160
VERSION: Final = 1
_RETIRE_FLAG: Final = 0x40

_HEADER: Final = struct.Struct(">B6sH6sH6s32sBB5s5H")
_ACCOUNT: Final = struct.Struct(">20sHH")
_ORDER: Final = struct.Struct(">HH6s7s13sBB3s3s")
_TRADE: Final = struct.Struct(">HH7s3s")
_WITHDRAWAL: Final = struct.Struct(">H6s13sB")


class SettlementTrade(NamedTuple):
    """One trade to settle: both orders in full, the maker's price, tonnes, match time in s."""

    number: int
    time_s: int
    maker: Order
    taker: Order
    price: int
    quantity: int
    maker_fee_bps: int
    taker_fee_bps: int


class SettlementWithdrawal(NamedTuple):
    """One withdrawal to settle; `after_trade` is the last trade before it in the journal."""

    number: int
    after_trade: int
    withdrawal: Withdrawal


class Batch(NamedTuple):
    """What one call of `settle` settles; numbers are gapless, `head` is the entry hash at `seq`.

    `first_trade` and `first_withdrawal` are the next numbers even when there is none of the kind.
    """

    first_trade: int
    trades: Sequence[SettlementTrade]
    first_withdrawal: int
    withdrawals: Sequence[SettlementWithdrawal]
    seq: int
    head: bytes
    maker_fee_bps: int
    taker_fee_bps: int


class Slot(NamedTuple):
    """Whose signature stands at a place of `settle`'s signatures."""

    trader: Account
    nonce: int
    kind: Literal["order", "withdrawal"]


@dataclass(frozen=True, slots=True)
class Deltas:
    """What settling a batch changes, when every balance covers its withdrawals.

    `balances`: trading balance by (account, asset); `claimable`: likewise; `fees`: base units by
    settlement asset; `earmarks`: kilograms by retire-on-fill order; `fills`: tonnes by (trader,
    nonce) of orders.
    """

    balances: Mapping[tuple[Account, int], int]
    claimable: Mapping[tuple[Account, int], int]
    fees: Mapping[int, int]
    earmarks: Mapping[Order, int]
    fills: Mapping[tuple[Account, int], int]


# ---------------------------------------------------------------- encoding


@dataclass(frozen=True, slots=True)
class _Tables:
    """The ascending tables of a batch: what its bytes count and refer to by index."""

    assets: list[int]
    accounts: list[Account]
    legs: dict[Account, list[int]]
    orders: dict[Account, list[Order]]

    @classmethod
    def of(cls, batch: Batch) -> _Tables:
        orders: dict[tuple[Account, int], Order] = {}
        touched: set[tuple[Account, int]] = set()
        for trade in batch.trades:
            for order in (trade.maker, trade.taker):
                if orders.setdefault((order.trader, order.nonce), order) != order:
                    raise InvalidValue("nonce", order.nonce, "has two orders in one batch")
                touched.add((order.trader, order.instrument))
                touched.add((order.trader, order.asset))
        touched.update((one.withdrawal.trader, one.withdrawal.asset) for one in batch.withdrawals)
        accounts = sorted({account for account, _ in touched})
        legs: dict[Account, list[int]] = {account: [] for account in accounts}
        for account, asset in sorted(touched):
            legs[account].append(asset)
        held: dict[Account, list[Order]] = {account: [] for account in accounts}
        for key in sorted(orders):
            held[key[0]].append(orders[key])
        return cls(sorted({asset for _, asset in touched}), accounts, legs, held)


def encode_batch(batch: Batch) -> bytes:
    """The packed bytes of a batch; equal batches give equal bytes.

    Raises InvalidValue for what `settle` could never accept, as far as the batch alone says it.
    """
    _check(batch)
    tables = _Tables.of(batch)
    money = [asset for asset in tables.assets if asset < FIRST_CLASS]
    classes = tables.assets[len(money) :]
    times = [order.signed_at for orders in tables.orders.values() for order in orders]
    base = min([*times, *(trade.time_s for trade in batch.trades[:1])], default=0)
    parts = [
        _HEADER.pack(
            VERSION,
            _uint(batch.first_trade, 6, "first_trade"),
            _count(batch.trades, "trades"),
            _uint(batch.first_withdrawal, 6, "first_withdrawal"),
            _count(batch.withdrawals, "withdrawals"),
            _uint(batch.seq, 6, "seq"),
            batch.head,
            batch.maker_fee_bps,
            batch.taker_fee_bps,
            _uint(base, 5, "base time"),
            _count(money, "settlement assets"),
            _count(classes, "classes"),
            _count(tables.accounts, "accounts"),
            _count([leg for legs in tables.legs.values() for leg in legs], "legs"),
            _count([one for orders in tables.orders.values() for one in orders], "orders"),
        ),
        *(asset.to_bytes(20, "big") for asset in money),
        *(asset.to_bytes(32, "big") for asset in classes),
    ]
    index = {asset: place for place, asset in enumerate(tables.assets)}
    for account in tables.accounts:
        legs, orders = tables.legs[account], tables.orders[account]
        parts.append(_ACCOUNT.pack(account, len(legs), len(orders)))
        parts += [struct.pack(">H", index[asset]) for asset in legs]
        parts += [_pack_order(order, legs, base) for order in orders]
    parts += _pack_trades(batch, tables, base)
    parts += _pack_withdrawals(batch, tables)
    return b"".join(parts)


def _pack_order(order: Order, legs: list[int], base: int) -> bytes:
    flags = order.side | order.conditions << 1 | order.signature_kind << 7
    packed = _ORDER.pack(
        legs.index(order.instrument),
        legs.index(order.asset),
        _uint(order.nonce, 6, "nonce"),
        _uint(order.quantity, 7, "quantity"),
        _uint(order.price, 13, "price"),
        order.max_fee_bps,
        flags,
        _uint(order.signed_at - base, 3, "signed_at"),
        _uint(order.expiry - order.signed_at, 3, "expiry"),
    )
    return packed + order.details_hash if flags & _RETIRE_FLAG else packed


def _pack_trades(batch: Batch, tables: _Tables, base: int) -> list[bytes]:
    ordered = [order for account in tables.accounts for order in tables.orders[account]]
    place = {(order.trader, order.nonce): index for index, order in enumerate(ordered)}
    return [
        _TRADE.pack(
            place[trade.maker.trader, trade.maker.nonce],
            place[trade.taker.trader, trade.taker.nonce],
            _uint(trade.quantity, 7, "quantity"),
            _uint(trade.time_s - base, 3, "time_s"),
        )
        for trade in batch.trades
    ]


def _pack_withdrawals(batch: Batch, tables: _Tables) -> list[bytes]:
    pairs = [(account, leg) for account in tables.accounts for leg in tables.legs[account]]
    place = {pair: index for index, pair in enumerate(pairs)}
    return [
        _WITHDRAWAL.pack(
            place[one.withdrawal.trader, one.withdrawal.asset],
            _uint(one.withdrawal.nonce, 6, "nonce"),
            _uint(one.withdrawal.amount, 13, "amount"),
            one.withdrawal.signature_kind,
        )
        for one in batch.withdrawals
    ]


def _check(batch: Batch) -> None:
    if not batch.trades and not batch.withdrawals:
        raise InvalidValue("batch", batch.first_trade, "has neither trade nor withdrawal")
    if len(batch.head) != 32:
        raise InvalidValue("head", batch.head.hex(), "is not 32 bytes")
    for name, bps in (("maker", batch.maker_fee_bps), ("taker", batch.taker_fee_bps)):
        if not 0 <= bps <= MAX_FEE_BPS:
            raise InvalidValue(f"{name}_fee_bps", bps, "is above 1 %")
    previous = 0
    for number, trade in enumerate(batch.trades, batch.first_trade):
        if trade.number != number:
            raise InvalidValue("trade", trade.number, f"is not the next number {number}")
        if trade.time_s < previous:
            raise InvalidValue("time_s", trade.time_s, f"is before {previous}")
        previous = trade.time_s
        _check_trade(batch, trade)
    for number, one in enumerate(batch.withdrawals, batch.first_withdrawal):
        if one.number != number:
            raise InvalidValue("withdrawal", one.number, f"is not the next number {number}")
        check_withdrawal(one.withdrawal)


def _check_trade(batch: Batch, trade: SettlementTrade) -> None:
    if (trade.maker_fee_bps, trade.taker_fee_bps) != (batch.maker_fee_bps, batch.taker_fee_bps):
        fees = f"{trade.maker_fee_bps}/{trade.taker_fee_bps}"
        raise InvalidValue(f"fees of trade {trade.number}", fees, "are not the batch's")
    if trade.price != trade.maker.price:
        raise InvalidValue(f"price of trade {trade.number}", trade.price, "is not the maker's")
    if not 0 < trade.quantity <= MAX_QUANTITY:
        raise InvalidValue(f"quantity of trade {trade.number}", trade.quantity, "is out of range")
    check_order(trade.maker)
    check_order(trade.taker)


def _uint(value: int, width: int, what: str) -> bytes:
    try:
        return value.to_bytes(width, "big")
    except OverflowError:
        raise InvalidValue(what, value, f"does not fit {8 * width} bits of a batch") from None


def _count(items: Sequence[object], what: str) -> int:
    if len(items) >= 1 << 16:
        raise InvalidValue(what, len(items), "are too many for one batch")
    return len(items)


# ---------------------------------------------------------------- decoding


class _Reader:
    """Bytes from the front; raises InvalidValue where they end too early."""

    __slots__ = ("_raw", "at")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.at = 0

    def take(self, count: int) -> bytes:
        found = self._raw[self.at : self.at + count]
        if len(found) != count:
            raise InvalidValue("batch", self._raw[:32].hex(), f"ends early, at {len(self._raw)}")
        self.at += count
        return found

    def record(self, layout: struct.Struct) -> list[int]:
        """The fields of a record, all as integers."""
        fields = layout.unpack(self.take(layout.size))
        return [int.from_bytes(one, "big") if isinstance(one, bytes) else one for one in fields]

    def finish(self) -> None:
        if self.at != len(self._raw):
            raise InvalidValue("batch", len(self._raw), f"is longer than it says: {self.at}")


def decode_batch(raw: bytes) -> Batch:
    """The batch of these bytes, every order in full.

    The bytes do not say after which trade a withdrawal was journalled: `after_trade` is the last
    one of the batch. Raises InvalidValue for bytes that `encode_batch` does not write.
    """
    reader = _Reader(raw)
    header = reader.record(_HEADER)
    version, first_trade, trades, first_withdrawal, withdrawals, seq, head = header[:7]
    maker_bps, taker_bps, base, money, classes, accounts, _, _ = header[7:]
    if version != VERSION:
        raise InvalidValue("batch version", version, f"is not {VERSION}")
    assets = [int.from_bytes(reader.take(20), "big") for _ in range(money)]
    assets += [int.from_bytes(reader.take(32), "big") for _ in range(classes)]
    legs: list[tuple[Account, int]] = []
    orders: list[Order] = []
    for _ in range(accounts):
        _read_account(reader, assets, base, legs, orders)
    last_trade = first_trade + trades - 1
    try:
        batch = Batch(
            first_trade,
            tuple(
                _read_trade(reader, orders, base, number, (maker_bps, taker_bps))
                for number in range(first_trade, first_trade + trades)
            ),
            first_withdrawal,
            tuple(
                SettlementWithdrawal(number, last_trade, _read_withdrawal(reader, legs))
                for number in range(first_withdrawal, first_withdrawal + withdrawals)
            ),
            seq,
            head.to_bytes(32, "big"),
            maker_bps,
            taker_bps,
        )
    except IndexError:
        raise InvalidValue("batch", raw[:32].hex(), "refers to what it does not have") from None
    reader.finish()
    if encode_batch(batch) != raw:
        raise InvalidValue("batch", raw[:32].hex(), "is not in the one canonical form")
    return batch


def _read_account(
    reader: _Reader,
    assets: list[int],
    base: int,
    legs: list[tuple[Account, int]],
    orders: list[Order],
) -> None:
    raw_account, leg_count, order_count = _ACCOUNT.unpack(reader.take(_ACCOUNT.size))
    account = Account(raw_account)
    try:
        own = [assets[int.from_bytes(reader.take(2), "big")] for _ in range(leg_count)]
        orders += [_read_order(reader, account, own, base) for _ in range(order_count)]
    except IndexError:
        raise InvalidValue("account", account.hex(), "refers to assets it does not have") from None
    legs += [(account, asset) for asset in own]


def _read_order(reader: _Reader, account: Account, own: list[int], base: int) -> Order:
    fields = reader.record(_ORDER)
    instrument, asset, nonce, quantity, price, max_fee_bps, flags, signed, lifetime = fields
    details = reader.take(32) if flags & _RETIRE_FLAG else bytes(32)
    signed_at = base + signed
    return Order(
        *(account, nonce, own[instrument], own[asset], flags & 1, quantity, price, max_fee_bps),
        *(signed_at, signed_at + lifetime, flags >> 1 & 0x3F, details, flags >> 7),
    )


def _read_trade(
    reader: _Reader, orders: list[Order], base: int, number: int, fees: tuple[int, int]
) -> SettlementTrade:
    maker, taker, quantity, time = reader.record(_TRADE)
    price = orders[maker].price
    return SettlementTrade(
        number, base + time, orders[maker], orders[taker], price, quantity, *fees
    )


def _read_withdrawal(reader: _Reader, legs: list[tuple[Account, int]]) -> Withdrawal:
    leg, nonce, amount, kind = reader.record(_WITHDRAWAL)
    account, asset = legs[leg]
    return Withdrawal(account, nonce, asset, amount, kind)


# ---------------------------------------------------------------- signatures


def signature_slots(batch: Batch) -> list[Slot]:
    """Whose ECDSA signatures `settle` wants, in its order: orders as packed, then withdrawals."""
    tables = _Tables.of(batch)
    slots = [
        Slot(order.trader, order.nonce, "order")
        for account in tables.accounts
        for order in tables.orders[account]
        if order.signature_kind == SignatureKind.ECDSA
    ]
    slots += [
        Slot(one.withdrawal.trader, one.withdrawal.nonce, "withdrawal")
        for one in batch.withdrawals
        if one.withdrawal.signature_kind == SignatureKind.ECDSA
    ]
    return slots


def compact_signature(signature: bytes) -> bytes:
    """65 bytes r ‖ s ‖ v as the 64 of EIP-2098 (the parity in the top bit of s)."""
    if len(signature) != 65 or signature[64] not in (0, 1, 27, 28) or signature[32] & 0x80:
        raise InvalidValue("signature", signature.hex(), "is not r ‖ low s ‖ v of 65 bytes")
    parity = (signature[64] - 27) & 1 if signature[64] >= 27 else signature[64]
    return signature[:32] + bytes([signature[32] | parity << 7]) + signature[33:64]


def pack_signatures(signatures: Iterable[bytes]) -> bytes:
    """65-byte signatures as `settle`, `voidTrades` and `anchor` take them, 64 bytes each.

    For `settle`: sequencer, watcher, then one for each of `signature_slots`.
    """
    return b"".join(compact_signature(signature) for signature in signatures)


def batch_digest(domain: SigningDomain, raw: bytes) -> bytes:
    """What sequencer and watcher sign to settle these bytes."""
    return digest(domain, BATCH_TYPES, "Batch", {"batch": raw})


def anchor_digest(domain: SigningDomain, seq: int, head: bytes) -> bytes:
    """What sequencer and watcher sign to anchor a head of the journal."""
    return digest(domain, ANCHOR_TYPES, "Anchor", {"seq": seq, "head": head})


class Void(NamedTuple):
    """Trades and withdrawals that will never settle; a range that ends before it begins is empty.

    `first_trade` and `first_withdrawal` are always the next numbers to settle.
    """

    first_trade: int
    last_trade: int
    first_withdrawal: int
    last_withdrawal: int
    reason: int
    seq: int
    head: bytes


def void_digest(domain: SigningDomain, void: Void) -> bytes:
    """What sequencer and watcher sign to void."""
    fields = dict(zip((name for name, _ in VOID_TYPES["Void"]), void, strict=True))
    return digest(domain, VOID_TYPES, "Void", fields)


def deposit_intent_digest(
    domain: SigningDomain, owner: str, asset: str, amount: int, nonce: int, deadline: int
) -> bytes:
    """What an owner signs beside a permit, in case somebody runs the permit ahead.

    `nonce` is the permit's nonce, so that the pair deposits at most once.
    """
    values = {"owner": owner, "asset": asset, "amount": amount}
    values |= {"nonce": nonce, "deadline": deadline}
    return digest(domain, DEPOSIT_INTENT_TYPES, "DepositIntent", values)


# ---------------------------------------------------------------- oracle


def deltas(batch: Batch) -> Deltas:
    """What settling changes, from the trades alone; every fee is rounded down (L11)."""
    balances: Counter[tuple[Account, int]] = Counter()
    claimable: Counter[tuple[Account, int]] = Counter()
    fees: Counter[int] = Counter()
    earmarks: Counter[Order] = Counter()
    fills: Counter[tuple[Account, int]] = Counter()
    for trade in batch.trades:
        notional = trade.quantity * trade.price
        for order, bps in (
            (trade.maker, trade.maker_fee_bps),
            (trade.taker, trade.taker_fee_bps),
        ):
            fee = fee_of(notional, bps)
            fees[order.asset] += fee
            fills[order.trader, order.nonce] += trade.quantity
            kilograms = trade.quantity * KILOGRAMS_PER_TONNE
            if order.side == Side.SELL:
                balances[order.trader, order.instrument] -= kilograms
                balances[order.trader, order.asset] += notional - fee
                continue
            balances[order.trader, order.asset] -= notional + fee
            if order.conditions << 1 & _RETIRE_FLAG:
                earmarks[order] += kilograms
            else:
                balances[order.trader, order.instrument] += kilograms
    for one in batch.withdrawals:
        trader, _, asset, amount, _ = one.withdrawal
        balances[trader, asset] -= amount
        claimable[trader, asset] += amount
    return Deltas(balances, claimable, fees, earmarks, fills)


def developer_share(fees: int, share_bps: int) -> int:
    """floor: the operator keeps what does not divide. Taken of one asset's fees of one batch."""
    return fees * share_bps // 10_000
