"""What is posted and how it is read: every value checked, every mistake named with its place."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.api.order_forms import CANCEL_ALL, CANCELS, ORDERS, WITHDRAWALS
from backend.domain.commands import PlaceCancel, PlaceCancelAll, PlaceOrder, PlaceWithdrawal
from backend.domain.orders import Account, Cancel, CancelAll, Order, Withdrawal
from backend.errors import InvalidValue
from tests.api.venue import signed

pytestmark = pytest.mark.unit


def order_body() -> dict[str, Any]:
    order = Order(
        Account(bytes([7]) * 20), 1, 7 << 160, 5, 0, 10, 100, 100, 1_800_000_000, 1_800_000_900, 0,
        bytes(32), 0,
    )  # fmt: skip
    return signed(PlaceOrder(order, bytes(64) + bytes([27])))


@pytest.mark.parametrize(
    ("field", "value", "place_named"),
    [
        ("maxFeeBps", "101", "order.maxFeeBps"),
        ("side", "2", "order.side"),
        ("side", "buy", "order.side"),
        ("quantity", "0", "order.quantity"),
        ("quantity", "1.5", "order.quantity"),
        ("quantity", "-1", "order.quantity"),
        ("quantity", "١", "order.quantity"),
        ("price", "9" * 79, "order.price"),
        ("nonce", str(2**48), "order.nonce"),
        ("instrument", "1", "order.instrument"),
        ("asset", "0x" + "00" * 20, "order.asset"),
        ("trader", "0x8ba1f109551bD432803012645Ac136ddd64DBA72".swapcase(), "order.trader"),
        ("trader", "0x70997970C51812dc3A010C7d01b50e0d17dc79C9", "order.trader"),
        ("detailsHash", "0x12", "order.detailsHash"),
        ("conditions", "3", "order.conditions"),
        ("signatureKind", "2", "order.signatureKind"),
        ("expiry", "1", "order.expiry"),
        ("quantity", 5, "order.quantity"),
    ],
)
def test_bad_values_are_named_with_their_place_and_rule(
    field: str, value: Any, place_named: str
) -> None:
    body = order_body()
    body["order"][field] = value
    with pytest.raises(InvalidValue) as caught:
        ORDERS.read(orjson.dumps(body))
    assert caught.value.field == place_named
    assert caught.value.value == str(value)[:200]
    assert caught.value.rule


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"orders": []}', b'{"orders": {}}', b"\xff\xfe", b"{}", b"1e999"],
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    for form in (ORDERS, CANCELS, CANCEL_ALL, WITHDRAWALS):
        with pytest.raises(InvalidValue):
            form.read(body)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_stumble(body: bytes) -> None:
    for prefix in (b"", b'{"orders":[{"order":{"trader":"'):
        with contextlib.suppress(InvalidValue):
            ORDERS.read(prefix + body)


@given(
    st.builds(
        Order,
        trader=st.binary(min_size=20, max_size=20),
        nonce=st.integers(0, 2**48 - 1),
        instrument=st.integers(2**160, 2**256 - 1),
        asset=st.integers(1, 2**160 - 1),
        side=st.sampled_from((0, 1)),
        quantity=st.integers(1, 2**20),
        price=st.integers(1, 2**80),
        max_fee_bps=st.integers(0, 100),
        signed_at=st.just(1_800_000_000),
        expiry=st.integers(1_800_000_000, 1_800_000_000 + 2_592_000),
        conditions=st.sampled_from((0, 1, 2, 4, 8, 16)),
        details_hash=st.just(bytes(32)),
        signature_kind=st.sampled_from((0, 1)),
    ),
    st.binary(min_size=64, max_size=64),
    st.sampled_from((27, 28)),
)
def test_every_order_is_read_as_it_was_written(order: Order, rs: bytes, v: int) -> None:
    pre_signed = order.signature_kind == 1
    written = PlaceOrder(order, bytes(65) if pre_signed else rs + bytes([v]))
    body = signed(written)
    if pre_signed:
        body["signature"] = None
    assert ORDERS.read(orjson.dumps(body)) == ([written], False)
    assert ORDERS.read(orjson.dumps({"orders": [body, body]})) == ([written, written], True)


def test_every_kind_of_message_has_its_form() -> None:
    trader = Account(bytes([7]) * 20)
    signature = bytes(64) + b"\x1b"
    for form, command in (
        (CANCELS, PlaceCancel(Cancel(trader, 5), signature)),
        (CANCEL_ALL, PlaceCancelAll(CancelAll(trader, 6, 0), signature)),
        (WITHDRAWALS, PlaceWithdrawal(Withdrawal(trader, 7, 3 << 160, 1_000, 0), signature)),
    ):
        assert form.read(orjson.dumps(signed(command))) == ([command], False)
