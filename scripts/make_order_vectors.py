"""Vectors of the exchange: what is signed (orders.json) and how it is packed (batches.json).

Three implementations hold to them: the domain, `Exchange.sol` and the library wallets use (viem).
Values stand at the edges of every field; some break a rule of the domain (`keepsRules` false) and
still hash alike everywhere. Signatures are deterministic, so a second run writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eth_abi.abi import encode
from eth_account import Account as Wallet
from eth_utils.crypto import keccak

from backend.domain import batches, eip712, orders
from backend.domain.orders import (
    Account,
    Cancel,
    CancelAll,
    Conditions,
    Message,
    Order,
    SelfTrade,
    Side,
    SignatureKind,
    TimeInForce,
    Withdrawal,
)
from backend.errors import InvalidValue

DOMAIN: Final = orders.exchange_domain(31337, "0x00000000000000000000000000000000c0ffee03")
#: A class and an asset with high halves that are not zero, and the ends of both ranges.
CLASS: Final = int.from_bytes(keccak(text="a class"), "big")
MONEY: Final = int.from_bytes(keccak(text="money")[:20], "big")
LOWEST_CLASS, HIGHEST_CLASS = 1 << 160, (1 << 256) - 1
LOWEST_MONEY, HIGHEST_MONEY = 1, (1 << 160) - 1
NOW: Final = 1_800_000_000
DAYS_30: Final = orders.MAX_ORDER_SECONDS
DETAILS: Final = keccak(text="details of a retirement")
#: A contract wallet: it has no key and signs nothing, it pre-signs on chain.
CONTRACT_WALLET: Final = Account(keccak(text="contract wallet")[:20])


def key_of(name: str) -> bytes:
    """The private key of somebody in these vectors, who must own nothing anywhere."""
    return keccak(text=f"causeway vectors {name}")


def account_of(name: str) -> Account:
    return orders.account_of(Wallet.from_key(key_of(name)).address)


def some_orders() -> list[tuple[str, Order]]:
    """(who signs, order): each field at both ends, each condition, both kinds of signature."""
    plain = Order(
        account_of("maker"), 7, CLASS, MONEY, Side.SELL, 1_250, 78_500_000, 15, NOW,
        NOW + 86_400, Conditions().pack(), orders.NO_DETAILS, SignatureKind.ECDSA,
    )  # fmt: skip
    buy = plain._replace(trader=account_of("taker"), nonce=8, side=Side.BUY)
    post_only = Conditions(post_only=True)
    retire = Conditions(TimeInForce.FOK, self_trade=SelfTrade.CANCEL_BOTH, retire_on_fill=True)
    everything = Conditions(TimeInForce.IOC, True, SelfTrade.CANCEL_BOTH, True)
    return [
        ("maker", plain),
        ("taker", buy),
        ("maker", plain._replace(nonce=0, quantity=1, price=1, max_fee_bps=0, expiry=NOW)),
        ("maker", plain._replace(nonce=orders.MAX_NONCE, instrument=LOWEST_CLASS)),
        ("taker", buy._replace(instrument=HIGHEST_CLASS, asset=LOWEST_MONEY)),
        ("taker", buy._replace(asset=HIGHEST_MONEY, max_fee_bps=100, expiry=NOW + DAYS_30)),
        ("maker", plain._replace(quantity=orders.MAX_QUANTITY, price=1)),
        ("maker", plain._replace(quantity=1, price=2**103 - 1)),
        ("maker", plain._replace(signed_at=1, expiry=1, conditions=post_only.pack())),
        ("taker", buy._replace(nonce=9, conditions=retire.pack(), details_hash=DETAILS)),
        ("", plain._replace(trader=CONTRACT_WALLET, signature_kind=SignatureKind.PRE_SIGNED)),
        # The widest value of every field: no implementation may cut one off.
        (
            "maker",
            Order(
                account_of("maker"), 2**64 - 1, HIGHEST_CLASS, HIGHEST_MONEY, 255, 2**64 - 1,
                2**128 - 1, 2**16 - 1, 2**40 - 1, 2**40 - 1, everything.pack(), b"\xff" * 32, 0,
            ),
        ),
    ]  # fmt: skip


def some_withdrawals() -> list[tuple[str, Withdrawal]]:
    money = Withdrawal(account_of("taker"), 10, orders.Asset(MONEY), 5_000_000, SignatureKind.ECDSA)
    return [
        ("taker", money),
        ("taker", money._replace(nonce=0, asset=HIGHEST_CLASS, amount=1)),
        ("maker", Withdrawal(account_of("maker"), orders.MAX_NONCE, 1, orders.MAX_BALANCE, 0)),
        ("", money._replace(trader=CONTRACT_WALLET, signature_kind=SignatureKind.PRE_SIGNED)),
    ]


def some_cancels() -> list[tuple[str, Cancel]]:
    return [
        ("maker", Cancel(account_of("maker"), 0)),
        ("taker", Cancel(account_of("taker"), orders.MAX_NONCE)),
    ]


def some_cancel_alls() -> list[tuple[str, CancelAll]]:
    return [
        ("maker", CancelAll(account_of("maker"), 11, 0)),
        ("taker", CancelAll(account_of("taker"), orders.MAX_NONCE, HIGHEST_CLASS)),
    ]


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def _readable(value: Any) -> str:
    if isinstance(value, bytes):
        return hexed(value)
    return value if isinstance(value, str) else str(int(value))


def a_vector(
    signer: str, types: eip712.Types, primary: str, fields: dict[str, Any]
) -> dict[str, Any]:
    """One message: readable, as abi.encode, hashed and, where there is a key, signed."""
    digest = eip712.digest(DOMAIN, types, primary, fields)
    made = {
        "message": {name: _readable(value) for name, value in fields.items()},
        "abi": hexed(encode([kind for _, kind in types[primary]], list(fields.values()))),
        "structHash": hexed(eip712.hash_struct(types, primary, fields)),
        "digest": hexed(digest),
        "signer": "",
    }
    if signer:
        key = key_of(signer)
        signed = Wallet.unsafe_sign_hash(digest, key)
        made |= {
            "signer": hexed(account_of(signer)),
            "key": hexed(key),
            "signature": hexed(bytes(signed.signature)),
            "compact": hexed(compact(signed.r, signed.s, signed.v)),
        }
    return made


def compact(r: int, s: int, v: int) -> bytes:
    """The 64 bytes of EIP-2098: r, then s with the parity in its highest bit."""
    return r.to_bytes(32, "big") + (s | (v - 27) << 255).to_bytes(32, "big")


def _messages(found: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    made = []
    for signer, message in found:
        types, primary, fields = orders.typed(message)
        made.append(
            a_vector(signer, types, primary, fields) | {"keepsRules": _keeps_rules(message)}
        )
    return made


def _keeps_rules(message: Message) -> bool:
    try:
        orders.check_message(message)
    except InvalidValue:
        return False
    return True


def some_acts() -> dict[str, tuple[eip712.Types, list[dict[str, Any]]]]:
    """What sequencer and watcher sign, and what lets somebody else bring a deposit."""
    head = keccak(text="head of a journal")
    highest = 2**64 - 1
    return {
        "Acknowledgement": (
            orders.ACKNOWLEDGEMENT_TYPES,
            [{"root": keccak(text="root of a commit")}, {"root": bytes(32)}],
        ),
        "Batch": (batches.BATCH_TYPES, [{"batch": b"\x01\x02\x03"}, {"batch": b""}]),
        "Anchor": (
            batches.ANCHOR_TYPES,
            [{"seq": 1, "head": head}, {"seq": highest, "head": b"\xff" * 32}],
        ),
        "Void": (
            batches.VOID_TYPES,
            [
                {
                    "firstTrade": 5, "lastTrade": 104, "firstWithdrawal": 3, "lastWithdrawal": 2,
                    "reason": 1, "seq": 77, "head": head,
                },
            ],
        ),
        "DepositIntent": (
            batches.DEPOSIT_INTENT_TYPES,
            [
                {
                    "owner": hexed(account_of("taker")), "asset": orders.asset_address(MONEY),
                    "amount": 2**256 - 1, "nonce": 12, "deadline": NOW,
                },
            ],
        ),
    }  # fmt: skip


ORDER_ABI: Final = f"({','.join(kind for _, kind in orders.ORDER_TYPES['Order'])})"
WITHDRAWAL_ABI: Final = f"({','.join(kind for _, kind in orders.WITHDRAWAL_TYPES['Withdrawal'])})"
MATCH_ABI: Final = "(uint256,uint256,uint64,uint40)"
DRAFT_ABI: Final = (
    f"(uint48,uint48,uint48,bytes32,uint8,uint8,{ORDER_ABI}[],{MATCH_ABI}[],{WITHDRAWAL_ABI}[])"
)


def some_batches() -> list[batches.Batch]:
    """One trade; one withdrawal; many of both between many, with every flag an order can have."""
    found = [order for _, order in some_orders() if _keeps_rules(order)]
    base, taking = found[0], found[1]
    one = _trade(1, base, taking, 1)
    retiring = found[9]._replace(instrument=HIGHEST_CLASS, price=2**90, quantity=900)
    sellers = [
        base._replace(
            trader=account_of(f"seller {number % 3}"), nonce=number, price=10**number,
            instrument=HIGHEST_CLASS, conditions=Conditions(post_only=True).pack(),
            signed_at=NOW - 1000 * number, signature_kind=number % 2,
        )
        for number in range(1, 9)
    ]  # fmt: skip
    fills = [_trade(40 + n, maker, retiring, 10 * n + 1) for n, maker in enumerate(sellers)]
    fills.append(_trade(48, base, taking, 1_250))
    kinds = [SignatureKind.ECDSA, SignatureKind.PRE_SIGNED]
    withdrawn = [
        Withdrawal(account_of(f"seller {n}"), 100 + n, asset, 5**n + 1, kinds[n % 2])
        for n, asset in enumerate([MONEY, HIGHEST_CLASS, CLASS, LOWEST_MONEY])
    ]
    head = _named("head")
    return [
        batches.Batch(1, [one], 1, [], 7, head, 10, 20),
        batches.Batch(9, [], 3, [_withdrawal(3, withdrawn[0])], 2**48 - 1, head, 0, 0),
        batches.Batch(
            40, fills, 5, [_withdrawal(5 + n, w) for n, w in enumerate(withdrawn)],
            2**40, head, 0, 15,
        ),
    ]  # fmt: skip


def _named(text: str) -> bytes:
    return bytes(keccak(text=text))


def _trade(number: int, maker: Order, taker: Order, quantity: int) -> batches.SettlementTrade:
    maker_fee, taker_fee = (10, 20) if number == 1 else (0, 15)
    return batches.SettlementTrade(
        number, NOW + number, maker, taker, maker.price, quantity, maker_fee, taker_fee
    )


def _withdrawal(number: int, withdrawal: Withdrawal) -> batches.SettlementWithdrawal:
    return batches.SettlementWithdrawal(number, 0, withdrawal)


def a_batch(batch: batches.Batch) -> dict[str, str]:
    """A batch as the tests' own packer takes it, and as the domain packs and signs it."""
    listed: list[Order] = []
    matches = []
    for trade in batch.trades:
        listed += [order for order in (trade.maker, trade.taker) if order not in listed]
        places = listed.index(trade.maker), listed.index(trade.taker)
        matches.append((*places, trade.quantity, trade.time_s))
    draft = (
        batch.first_trade, batch.first_withdrawal, batch.seq, batch.head, batch.maker_fee_bps,
        batch.taker_fee_bps, [tuple(orders.typed(order)[2].values()) for order in listed], matches,
        [tuple(orders.typed(one.withdrawal)[2].values()) for one in batch.withdrawals],
    )  # fmt: skip
    raw = batches.encode_batch(batch)
    return {
        "trades": str(len(batch.trades)),
        "withdrawals": str(len(batch.withdrawals)),
        "draft": hexed(encode([DRAFT_ABI], [draft])),
        "batch": hexed(raw),
        "digest": hexed(batches.batch_digest(DOMAIN, raw)),
    }


def batch_vectors() -> dict[str, Any]:
    """What tests/vectors/batches.json holds."""
    made = [a_batch(batch) for batch in some_batches()]
    return {"count": str(len(made)), "vectors": made}


def vectors() -> dict[str, Any]:
    """What the file holds."""
    signed: dict[str, Callable[[], list[tuple[str, Any]]]] = {
        "Order": some_orders,
        "Withdrawal": some_withdrawals,
        "Cancel": some_cancels,
        "CancelAll": some_cancel_alls,
    }
    groups = {name: _messages(made()) for name, made in signed.items()}
    types = {
        "Order": orders.ORDER_TYPES,
        "Withdrawal": orders.WITHDRAWAL_TYPES,
        "Cancel": orders.CANCEL_TYPES,
        "CancelAll": orders.CANCEL_ALL_TYPES,
    }
    for name, (kinds, listed) in some_acts().items():
        signer = "taker" if name == "DepositIntent" else "sequencer"
        types[name] = kinds
        groups[name] = [a_vector(signer, kinds, name, fields) for fields in listed]
    return {
        "domain": {
            "name": DOMAIN.name,
            "version": DOMAIN.version,
            "chainId": str(DOMAIN.chain_id),
            "verifyingContract": DOMAIN.contract,
        },
        "types": {name: eip712.encode_type(kinds, name) for name, kinds in types.items()},
        "counts": {name: str(len(group)) for name, group in groups.items()},
        "vectors": groups,
    }
