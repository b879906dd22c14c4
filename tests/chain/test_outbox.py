"""The sender's decisions that need no chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.chain import outbox
from backend.chain.fees import Fees, bumped, fees_from
from backend.chain.outbox import Placement
from backend.domain.transactions import Attempt, OutgoingTransaction, TransactionState
from backend.errors import ChainRejected, Conflict

pytestmark = pytest.mark.unit

SIGNED, MINED, REVERTED, FINAL = TransactionState
TO = "0x" + "22" * 20
ONE = OutgoingTransaction(
    "one",
    1,
    "0x" + "11" * 20,
    7,
    TO,
    b"call",
    50_000,
    (Attempt("0xa", b"", 100, 10, 1_000),),
    SIGNED,
)
fees = st.builds(Fees, st.integers(0, 2**80), st.integers(0, 2**80))


@given(fees, fees)
def test_a_replacement_raises_both_fees_by_an_eighth_and_to_what_is_usual(
    old: Fees, now: Fees
) -> None:
    for before, usual, after in zip(old, now, bumped(old, now), strict=True):
        assert after * 8 >= before * 9
        assert after > before
        assert after >= usual


@given(st.integers(0, 2**60), st.integers(0, 2**40))
def test_fees_leave_room_for_six_full_blocks(base: int, tip: int) -> None:
    offered = fees_from({"baseFeePerGas": hex(base)}, hex(tip))
    assert offered == Fees(2 * base + tip, tip)
    grown = base
    for _ in range(5):
        grown += grown // 8
    assert offered.max_fee_per_gas >= grown + tip


def test_a_chain_without_a_base_fee_or_a_suggestion_still_gets_an_offer() -> None:
    assert fees_from({}, ChainRejected("no such method")) == Fees(10**9, 10**9)


@pytest.mark.parametrize(
    ("message", "known", "used", "underpriced"),
    [
        ("already known", True, False, False),
        ("transaction already imported", True, False, False),
        ("nonce too low: next nonce 8, tx nonce 7", False, True, False),
        ("replacement transaction underpriced", False, False, True),
        ("Insufficient funds for gas * price + value", False, False, False),
    ],
)
def test_what_nodes_say_is_told_apart(
    message: str, known: bool, used: bool, underpriced: bool
) -> None:
    assert outbox.is_known(message) is known
    assert outbox.is_nonce_used(message) is used
    assert outbox.is_underpriced(message) is underpriced


@pytest.mark.parametrize(
    ("account", "to", "data", "name"),
    [
        ("0x" + "33" * 20, TO, b"call", "account"),
        (ONE.account, ONE.account, b"call", "to"),
        (ONE.account, TO, b"other", "data"),
    ],
)
def test_l10_other_content_under_a_key_names_what_differs(
    account: str, to: str, data: bytes, name: str
) -> None:
    outbox.same_content(ONE, ONE.account, TO, b"call")
    with pytest.raises(Conflict, match=f"another {name}") as conflict:
        outbox.same_content(ONE, account, to, data)
    assert conflict.value.values["key"] == "one"


def receipt(block: int | None, status: int = 1) -> dict[str, str | None]:
    return {
        "transactionHash": f"0x{block}",
        "blockNumber": None if block is None else hex(block),
        "blockHash": "0xb",
        "status": hex(status),
    }


def test_the_receipt_of_any_attempt_places_the_transaction() -> None:
    assert outbox.placement([None, None], {"0xb"}) is None
    assert outbox.placement([None, receipt(None)], {"0xb"}) is None
    assert outbox.placement([None, receipt(5, 0)], {"0xb"}) == Placement("0x5", 5, "0xb", False)
    assert outbox.block_numbers([None, receipt(None), receipt(5), receipt(9)]) == {5, 9}


def test_a_receipt_of_a_replaced_chain_block_places_nothing() -> None:
    assert outbox.placement([receipt(5)], {"0xc"}) is None


@pytest.mark.parametrize(
    ("succeeded", "final", "state", "reason"),
    [
        (True, False, MINED, None),
        (True, True, FINAL, None),
        (False, False, MINED, "why"),
        (False, True, REVERTED, "why"),
    ],
)
def test_a_mined_transaction_is_final_only_at_its_depth(
    succeeded: bool, final: bool, state: TransactionState, reason: str | None
) -> None:
    after = outbox.settled(ONE, Placement("0xa", 5, "0xb", succeeded), "why", final)
    assert (after.state, after.reason, after.block_number) == (state, reason, 5)
    assert outbox.unmined(after) == ONE


@pytest.mark.parametrize(
    ("next_nonce", "base_fee", "now", "stuck"),
    [
        (7, 50, 1_060, True),
        (7, 50, 1_059, False),
        (6, 50, 2_000, False),
        (6, 101, 2_000, True),
    ],
)
def test_only_what_a_bump_can_help_is_stuck(
    next_nonce: int, base_fee: int, now: int, stuck: bool
) -> None:
    assert outbox.is_stuck(ONE, next_nonce, base_fee, now, 60) is stuck
