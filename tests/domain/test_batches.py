"""Settlement batches: bytes and back, one form only, signatures in order, and the oracle's sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.batches import (
    Batch,
    SettlementTrade,
    SettlementWithdrawal,
    compact_signature,
    decode_batch,
    deltas,
    developer_share,
    encode_batch,
    pack_signatures,
    signature_slots,
)
from backend.domain.orders import Account, Conditions, Order, Side, TimeInForce, Withdrawal
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

NOW = 1_790_000_000
ACCOUNTS = [Account(bytes([n]) * 20) for n in range(1, 6)]
CLASSES = [(n + 1) << 200 for n in range(3)]
MONEY = [0xA0 << 150, 0xB0 << 150]
RETIRE = Conditions(TimeInForce.IOC, retire_on_fill=True).pack()


def an_order(account: Account, nonce: int, side: int, market: int = 0, **changes: int) -> Order:
    order = Order(
        *(account, nonce, CLASSES[market % 3], MONEY[market % 2], side, 1_000, 85_000_000, 50),
        *(NOW - 60, NOW + 86_400, 0, bytes(32), 0),
    )
    return order._replace(**changes)


@st.composite
def some_batches(draw: st.DrawFn) -> Batch:
    """Trades between a few accounts on a few markets, prices that cross, withdrawals behind."""
    fees = draw(st.tuples(st.integers(0, 100), st.integers(0, 100)))
    first = draw(st.integers(1, 2**40))
    orders: dict[tuple[Account, int], Order] = {}
    trades = []
    time_s = NOW
    for number in range(first, first + draw(st.integers(0, 6))):
        market = draw(st.integers(0, 5))
        pair = draw(st.permutations(ACCOUNTS))[:2]
        side = draw(st.sampled_from(Side))
        maker, taker = (
            orders.setdefault(
                (account, nonce := 12 * role + 2 * market + own_side),
                an_order(
                    account,
                    nonce,
                    own_side,
                    market,
                    price=draw(st.integers(1, 2**80)),
                    signed_at=NOW - draw(st.integers(0, 86_400)),
                    signature_kind=draw(st.integers(0, 1)),
                ),
            )
            for role, (account, own_side) in enumerate(zip(pair, (side, 1 - side), strict=True))
        )
        time_s += draw(st.integers(0, 600))
        tonnes = draw(st.integers(1, 2**20))
        trades.append(SettlementTrade(number, time_s, maker, taker, maker.price, tonnes, *fees))
    first_withdrawal = draw(st.integers(1, 2**40))
    count = draw(st.integers(0 if trades else 1, 4))
    withdrawals = tuple(
        SettlementWithdrawal(
            first_withdrawal + n,
            first + len(trades) - 1,
            Withdrawal(
                draw(st.sampled_from(ACCOUNTS)),
                1_000 + n,
                draw(st.sampled_from(CLASSES + MONEY)),
                draw(st.integers(1, 2**104 - 1)),
                draw(st.integers(0, 1)),
            ),
        )
        for n in range(count)
    )
    head = draw(st.binary(min_size=32, max_size=32))
    seq = draw(st.integers(0, 2**48 - 1))
    return Batch(first, tuple(trades), first_withdrawal, withdrawals, seq, head, *fees)


@given(some_batches())
def test_a_batch_is_its_bytes_and_its_bytes_are_the_batch(batch: Batch) -> None:
    assert decode_batch(encode_batch(batch)) == batch


@given(some_batches(), st.data())
def test_bytes_that_are_cut_or_longer_are_refused(batch: Batch, data: st.DataObject) -> None:
    raw = encode_batch(batch)
    cut = data.draw(st.integers(0, len(raw) - 1))
    for wrong in (raw[:cut], raw + b"\0"):
        with pytest.raises(InvalidValue):
            decode_batch(wrong)


@given(some_batches(), st.data())
def test_a_changed_byte_is_another_batch_or_none(batch: Batch, data: st.DataObject) -> None:
    raw = bytearray(encode_batch(batch))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_batch(bytes(raw))
    except InvalidValue:
        return
    assert found != batch
    assert encode_batch(found) == bytes(raw)


@given(some_batches())
def test_settling_makes_and_destroys_nothing(batch: Batch) -> None:
    change = deltas(batch)
    for asset in CLASSES + MONEY:
        moved = sum(value for (_, of), value in change.balances.items() if of == asset)
        out = sum(value for (_, of), value in change.claimable.items() if of == asset)
        retired = sum(kg for order, kg in change.earmarks.items() if order.instrument == asset)
        assert moved + out + retired + change.fees.get(asset, 0) == 0


def a_batch(*changes: Order) -> Batch:
    sell, buy = an_order(ACCOUNTS[1], 3, Side.SELL), an_order(ACCOUNTS[0], 8, Side.BUY)
    maker, taker = (*changes, sell, buy)[:2] if len(changes) == 2 else (sell, buy)
    trade = SettlementTrade(1, NOW, maker, taker, maker.price, 3, 10, 20)
    return Batch(1, (trade,), 1, (), 7, bytes(32), 10, 20)


def test_what_is_bought_to_retire_is_earmarked_and_not_credited() -> None:
    details = bytes(range(32))
    buy = an_order(ACCOUNTS[0], 8, Side.BUY, conditions=RETIRE)._replace(details_hash=details)
    batch = a_batch(an_order(ACCOUNTS[1], 3, Side.SELL), buy)
    change = deltas(batch)
    assert dict(change.earmarks) == {buy: 3_000}
    assert (ACCOUNTS[0], CLASSES[0]) not in change.balances
    assert decode_batch(encode_batch(batch)) == batch


def test_both_sides_pay_their_own_fee_rounded_down() -> None:
    sell = an_order(ACCOUNTS[1], 3, Side.SELL, price=333)
    change = deltas(a_batch(sell, an_order(ACCOUNTS[0], 8, Side.BUY, price=400)))
    # 999 base units: 10 and 20 basis points are 0.999 and 1.998.
    assert change.balances[ACCOUNTS[1], MONEY[0]] == 999 - 0
    assert change.balances[ACCOUNTS[0], MONEY[0]] == -999 - 1
    assert change.fees == {MONEY[0]: 1}
    assert developer_share(7, 2_500) == 1


def test_signatures_stand_by_account_and_nonce_and_pre_signed_ones_not_at_all() -> None:
    sell = an_order(ACCOUNTS[1], 3, Side.SELL)
    early = an_order(ACCOUNTS[0], 2, Side.BUY)
    silent = an_order(ACCOUNTS[0], 5, Side.BUY, signature_kind=1)
    trades = tuple(
        SettlementTrade(n, NOW, sell, taker, sell.price, 1, 10, 20)
        for n, taker in enumerate((silent, early), 1)
    )
    paid = SettlementWithdrawal(1, 2, Withdrawal(ACCOUNTS[3], 1, MONEY[0], 5, 0))
    batch = Batch(1, trades, 1, (paid,), 7, bytes(32), 10, 20)
    assert signature_slots(batch) == [
        (ACCOUNTS[0], 2, "order"),
        (ACCOUNTS[1], 3, "order"),
        (ACCOUNTS[3], 1, "withdrawal"),
    ]


def test_the_parity_of_a_signature_is_the_top_bit_of_s() -> None:
    r, s = bytes(range(32)), b"\x11" * 32
    assert compact_signature(r + s + b"\x1b") == r + s
    assert compact_signature(r + s + b"\x1c") == r + b"\x91" + s[1:]
    assert pack_signatures([r + s + b"\0", r + s + b"\1"]) == r + s + r + b"\x91" + s[1:]
    with pytest.raises(InvalidValue, match="low s"):
        compact_signature(r + b"\x80" + s[1:] + b"\x1b")


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"first_trade": 2}, "is not the next number"),
        ({"trades": ()}, "neither trade nor withdrawal"),
        ({"maker_fee_bps": 11}, "are not the batch's"),
        ({"taker_fee_bps": 101}, "above 1 %"),
        ({"head": b"short"}, "is not 32 bytes"),
        ({"seq": 2**48}, "does not fit 48 bits"),
    ],
)
def test_a_batch_that_could_never_settle_is_not_encoded(
    changed: dict[str, object], rule: str
) -> None:
    with pytest.raises(InvalidValue, match=rule):
        encode_batch(a_batch()._replace(**changed))  # type: ignore[arg-type]


def test_two_orders_under_one_nonce_are_refused() -> None:
    sell, buy = an_order(ACCOUNTS[1], 3, Side.SELL), an_order(ACCOUNTS[0], 8, Side.BUY)
    twin = buy._replace(price=buy.price + 1)
    trades = tuple(
        SettlementTrade(n, NOW, sell, taker, sell.price, 1, 10, 20)
        for n, taker in enumerate((buy, twin), 1)
    )
    with pytest.raises(InvalidValue, match="two orders in one batch"):
        encode_batch(Batch(1, trades, 1, (), 7, bytes(32), 10, 20))
