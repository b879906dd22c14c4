"""For L5 to L11 a venue that breaks it: both keys in one hand, altered storage, altered code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.audit import Break
from backend.chain import abi
from backend.chain.keys import sign_digest
from backend.domain.batches import (
    Batch,
    SettlementTrade,
    SettlementWithdrawal,
    Void,
    batch_digest,
    encode_batch,
    pack_signatures,
    signature_slots,
)
from backend.domain.commands import CreditDeposit, InvalidateNonce, VoidTrades
from backend.domain.journal_file import Stored
from backend.domain.orders import Order, Side, Withdrawal
from backend.domain.venue_events import VoidReason
from tests.audit.journal_maker import relink
from tests.audit.market import PRICE, Market
from tests.audit.test_forged import about

pytestmark = pytest.mark.integration

BUY, SELL = Side.BUY, Side.SELL
#: A signature of nobody.
NOT_THEIRS = bytes(31) + b"\1" + bytes(32) + b"\x1b"


def breaks(market: Market, law: str, journal: Path | None = None) -> list[Break]:
    return market.scene.breaks(law, journal=journal)


def with_journal(market: Market, tmp_path: Path) -> Callable[[str], list[Break]]:
    """Breaks per law of one audit against the market's own journal."""
    report = market.audit(journal=market.journal(tmp_path / "journal"))
    return lambda law: list(report.laws[law].breaks)


# ------------------------------------------------- both keys, the real contract


def settled_otherwise(market: Market, change: Callable[[SettlementTrade], SettlementTrade]) -> None:
    """Both keys sign a batch in which the last trade is another than the journal's."""
    batch = market.batch()
    trades = [*batch.trades[:-1], change(batch.trades[-1])]
    market.settle(batch._replace(trades=tuple(trades)))


def two_sellers(market: Market) -> tuple[Order, Order, int]:
    """Two sellers at one price, and a buyer whom the first of them serves: trade number."""
    first, second, buyer = market.traders[0], market.traders[2], market.traders[3]
    one = market.place(first, SELL, 1, PRICE)
    other = market.place(second, SELL, 1, PRICE)
    market.by(buyer, "Exchange", "cancelExit", [market.money])
    market.sync()
    market.place(buyer, BUY, 1, PRICE)
    return one, other, market.batch().trades[-1].number


def test_l6_a_swapped_priority_is_found_against_the_journal(market: Market, tmp_path: Path) -> None:
    _, other, number = two_sellers(market)
    settled_otherwise(market, lambda trade: trade._replace(maker=other))
    law = with_journal(market, tmp_path)
    found = about(law("L9"), f"trade {number} was settled on chain with maker")
    assert found.transaction is not None
    assert found.amounts["trade"] == number
    assert found.amounts["seq"] == len(market.maker.entries) - 1


def test_l6_a_fill_of_a_cancelled_order_is_found_and_says_when_it_was_cancelled(
    market: Market, tmp_path: Path
) -> None:
    seller, other, buyer = market.traders[0], market.traders[2], market.traders[4]
    market.fund(buyer)
    market.sync()
    cancelled = market.place(seller, SELL, 1, PRICE)
    market.place(other, SELL, 1, PRICE)
    market.maker.cancel(seller, cancelled.nonce)
    seq = len(market.maker.entries)
    market.place(buyer, BUY, 1, PRICE)
    number = market.batch().trades[-1].number
    settled_otherwise(market, lambda trade: trade._replace(maker=cancelled))
    law = with_journal(market, tmp_path)
    found = about(law("L6"), f"trade {number} fills what was ended")
    assert found.amounts == {"trade": number, "seq": seq}
    assert "(cancelled)" in found.what
    assert about(law("L9"), f"trade {number} was settled on chain with maker")


def test_l9_an_order_that_was_never_journalled_is_found(market: Market, tmp_path: Path) -> None:
    _, _, number = two_sellers(market)
    other = market.traders[0]
    secret = market.maker.order(other, SELL, market.market, 1, PRICE, nonce=700)
    market.maker.sign(other, secret)
    settled_otherwise(market, lambda trade: trade._replace(maker=secret))
    law = with_journal(market, tmp_path)
    found = about(law("L9"), "that is not in the journal: no entry has it")
    assert found.amounts["trade"] == number


def test_l9_a_trade_that_the_journal_does_not_have_is_found(market: Market, tmp_path: Path) -> None:
    _, resting, number = two_sellers(market)
    batch, buyer = market.batch(), market.traders[4]
    market.fund(buyer)
    order = market.maker.order(buyer, BUY, market.market, 1, PRICE, nonce=0)
    market.maker.sign(buyer, order)
    last = batch.trades[-1]
    extra = last._replace(number=number + 1, maker=resting, taker=order)
    market.send_batch(batch._replace(trades=(*batch.trades, extra)))
    found = about(with_journal(market, tmp_path)("L9"), "the journal has no such trade")
    assert found.amounts["trade"] == number + 1


def test_l9_an_anchor_with_another_head_is_found(market: Market, tmp_path: Path) -> None:
    market.place(market.traders[0], SELL, 1, PRICE + 90)
    seq = market.maker.head[0]
    market.anchor(seq, keccak(text="another journal"))
    found = about(with_journal(market, tmp_path)("L9"), f"entry {seq} hashes to")
    assert found.amounts["seq"] == seq
    assert found.transaction is not None


def test_l9_a_void_that_the_journal_does_not_know_is_found(market: Market, tmp_path: Path) -> None:
    _, _, number = two_sellers(market)
    seq, head = market.maker.head
    withdrawal = market.maker.engine.settled_withdrawal + 1
    market.void_on_chain(Void(number, number, withdrawal, withdrawal - 1, 1, seq, head))
    found = about(with_journal(market, tmp_path)("L9"), f"trade {number} was voided on chain")
    assert found.amounts["trade"] == number


def test_l9_a_withdrawal_that_was_never_journalled_is_found(market: Market, tmp_path: Path) -> None:
    trader = market.traders[0]
    secret = Withdrawal(trader.account, 701, market.money, 9, 0)
    market.maker.sign(trader, secret)
    number = market.maker.engine.settled_withdrawal + 1
    last = market.maker.engine.settled_trade
    batch = market.batch()._replace(withdrawals=(SettlementWithdrawal(number, last, secret),))
    market.send_batch(batch)
    found = about(with_journal(market, tmp_path)("L9"), f"withdrawal {number} was settled")
    assert found.amounts["withdrawal"] == number


def test_l9_a_trade_settled_for_an_older_head_than_its_entry_is_found(
    market: Market, tmp_path: Path
) -> None:
    old = market.maker.head
    *_, number = two_sellers(market)
    market.settle(market.batch()._replace(seq=old[0], head=old[1]))
    found = about(with_journal(market, tmp_path)("L9"), "its batch was signed for the journal")
    assert found.amounts["trade"] == number


def test_l9_a_void_for_an_age_that_nothing_proves_is_found(market: Market, tmp_path: Path) -> None:
    *_, number = two_sellers(market)
    block = market.rpc.block("latest")
    assert block is not None
    later = block.timestamp + 10_000
    market.maker.add(VoidTrades(number, VoidReason.OLDER_THAN_WINDOW, block.number, later))
    seq = len(market.maker.entries)
    law = with_journal(market, tmp_path)
    assert about(law("L9"), f"its time is {block.timestamp}").amounts["seq"] == seq


# ------------------------------------------------------------- facts of the chain


def test_l9_a_deposit_that_is_not_on_chain_is_found(market: Market, tmp_path: Path) -> None:
    maker, trader = market.maker, market.traders[0]
    place = (market.rpc.block_number(), 77)
    number = maker.engine.last_deposit + 1
    maker.add(CreditDeposit(*place, number, trader.account, market.money, 10**9))
    found = about(with_journal(market, tmp_path)("L9"), "is not on chain: there is no such log")
    assert found.amounts["seq"] == len(maker.entries)
    assert "CreditDeposit" in found.what


def test_l9_a_deposit_of_another_amount_is_found(market: Market, tmp_path: Path) -> None:
    trader = market.traders[4]
    market.send(market.scene.key("issuer"), "HKD", "mint", trader.address, 500)
    market.by(trader, "HKD", "approve", market.address, 500)
    market.by(trader, "Exchange", "deposit", market.scene.deployment["HKD"], 500)
    maker = market.maker
    event = next(one for one in reversed(market._events()) if one.name == "Deposited")
    place = (event.block_number, event.log_index)
    number = event.args["depositId"]
    maker.add(CreditDeposit(*place, number, trader.account, market.money, 501))
    found = about(with_journal(market, tmp_path)("L9"), "amount=501")
    assert "amount=500)" in found.what
    assert found.amounts["seq"] == len(maker.entries)


def test_l9_a_fact_that_was_left_out_is_found(market: Market, tmp_path: Path) -> None:
    def leave_out(_: int, entry: Any) -> Any:
        return None if isinstance(entry.command, InvalidateNonce) else entry

    entries: list[Stored] = relink(market.maker.entries, leave_out)
    path = market.maker.write(tmp_path / "journal", entries)
    found = about(breaks(market, "L9", path), "was left out of the journal")
    assert "InvalidateNonce" in found.what
    assert found.transaction is not None


def test_l9_a_journal_of_another_venue_is_found(market: Market, tmp_path: Path) -> None:
    def elsewhere(seq: int, entry: Any) -> Any:
        if seq != 1:
            return entry
        return entry._replace(command=entry.command._replace(window_seconds=7))

    path = market.maker.write(tmp_path / "journal", relink(market.maker.entries, elsewhere))
    assert about(breaks(market, "L9", path), "window 7").amounts["seq"] == 1


# --------------------------------------------------------------- altered storage


def change(market: Market, slot: str, value: int) -> None:
    market.scene.store("Exchange", slot, value)


def slot_of(market: Market, function: str, *args: Any) -> tuple[str, int]:
    (slot,) = market.scene.slots("Exchange", function, *args)
    return slot, market.scene.word("Exchange", slot)


def test_l7_a_balance_that_no_event_made_is_found(market: Market) -> None:
    who = market.traders[1].address
    slot, word = slot_of(market, "accountOf", who, market.instrument)
    change(market, slot, word + 1_000)
    found = about(breaks(market, "L7"), f"{who} has (balance")
    assert found.transaction is not None


def test_l7_a_balance_of_somebody_who_never_came_is_found(market: Market) -> None:
    who = market.traders[4].address
    slot, word = slot_of(market, "accountOf", who, market.instrument)
    assert word == 0
    change(market, slot, 5)
    assert about(breaks(market, "L7"), f"{who} has (balance")


def test_l7_money_that_left_the_exchange_is_a_shortfall(market: Market) -> None:
    scene = market.scene
    (slot,) = scene.slots("HKD", "balanceOf", market.address)
    scene.store("HKD", slot, scene.word("HKD", slot) - 1_000_000)
    found = about(breaks(market, "L7"), "the Exchange owes")
    assert int(found.amounts["held"]) == int(found.amounts["owed"]) - 1_000_000


def test_l7_a_total_that_was_lowered_is_found(market: Market) -> None:
    slot, word = slot_of(market, "total", market.money)
    change(market, slot, word - 1)
    found = about(breaks(market, "L7"), f"the total of asset {market.money}")
    assert found.amounts["rebuilt"] == word


def test_l6_a_fill_word_that_was_reset_is_found(market: Market) -> None:
    who = market.traders[0].address
    slots = [
        slot
        for slot in market.scene.slots("Exchange", "fillOf", who, 0)
        if market.scene.word("Exchange", slot)
    ]
    change(market, slots[0], 0)
    assert about(breaks(market, "L6"), f"nonce 0 of {who} is stored as").amounts["nonce"] == 0


def test_l8_a_claim_that_would_fail_is_found(market: Market) -> None:
    # The money is there on paper and not in the token: the claim reverts.
    scene = market.scene
    (slot,) = scene.slots("HKD", "balanceOf", market.address)
    scene.store("HKD", slot, 1)
    assert about(breaks(market, "L8"), "the claim of asset")


# ------------------------------------------------------------------ altered code


def behind_other_keys(market: Market, act: Callable[[], None]) -> None:
    """Let the act happen while other keys than the published ones are stored."""
    (slot,) = market.scene.slots("Exchange", "pausedSince")
    word = market.scene.word("Exchange", slot)
    keys = [int(key.address, 16) for key in (market.sequencer, market.watcher)]
    stored = int.from_bytes(keccak(encode(["uint256", "uint256"], keys))[-20:], "big")
    change(market, slot, word >> 160 << 160 | stored)
    act()
    change(market, slot, word)


def test_l5_a_batch_signed_by_other_keys_is_found_whatever_the_contract_took(
    market: Market,
) -> None:
    two_sellers(market)
    official = market.watcher
    market.watcher = market.scene.keys.create_if_missing("thief")
    behind_other_keys(market, lambda: market.send_batch(market.batch()))
    found = about(breaks(market, "L5"), f"where the watcher {official.address} must sign")
    assert found.amounts["signer"] == market.watcher.address
    assert found.transaction is not None


def test_l5_an_anchor_signed_by_one_key_twice_is_found(market: Market) -> None:
    market.place(market.traders[0], SELL, 1, PRICE + 91)
    market.watcher = market.sequencer
    behind_other_keys(market, market.anchor)
    assert about(breaks(market, "L5"), "where the watcher").transaction is not None


def published(
    market: Market, batch: Batch, signatures: list[bytes] | None = None, data: bytes = b""
) -> None:
    """A `settle` (or a call with this data) whose contract, altered for that moment, checks
    nothing and publishes the batch."""
    raw = encode_batch(batch)
    last = batch.first_trade + len(batch.trades) - 1
    last_withdrawal = batch.first_withdrawal + len(batch.withdrawals) - 1
    values = [batch.first_trade, last, last_withdrawal, batch.seq, batch.head, raw]
    told = encode(["uint64", "uint64", "uint64", "uint64", "bytes32", "bytes"], values)
    if signatures is None:
        held = market.maker.signatures
        signatures = [held[slot.trader, slot.nonce] for slot in signature_slots(batch)]
    both = market.both(batch_digest(market.domain, raw))
    packed = pack_signatures([*both, *signatures])
    honest = market.rpc.call("eth_getCode", market.address, "latest")
    market.rpc.call("anvil_setCode", market.address, emitter("BatchSettled", told))
    call = data or abi.encode_call("Exchange", "settle", [raw, packed])
    market.scene.send(market.sender, "Exchange", call)
    market.rpc.call("anvil_setCode", market.address, honest)


def emitter(event: str, told: bytes, *indexed: str) -> str:
    """Code that copies what stands behind it into memory, logs it and stops."""
    topics = [abi.topic("Exchange", event)[2:], *(one[2:].rjust(64, "0") for one in indexed)]
    size = len(told).to_bytes(3, "big").hex()
    pushed = "".join(f"7f{topic}" for topic in reversed(topics))
    # PUSH3 size, PUSH1 where, PUSH1 0, CODECOPY; topics, PUSH3 size, PUSH1 0, LOG; STOP
    code = f"62{size}60{{}}600039{pushed}62{size}6000a{len(topics)}00"
    length = len(code.format("00")) // 2
    return "0x" + code.format(f"{length:02x}") + told.hex()


def told(market: Market, event: str, kinds: str, values: list[Any], *indexed: str) -> None:
    """One event that the contract, altered for that moment, publishes for no reason."""
    honest = market.rpc.call("eth_getCode", market.address, "latest")
    code = emitter(event, encode(kinds.split(","), values), *indexed)
    market.rpc.call("anvil_setCode", market.address, code)
    data = abi.encode_call("Exchange", "collectFees", [market.money])
    market.scene.send(market.sender, "Exchange", data)
    market.rpc.call("anvil_setCode", market.address, honest)


def unsettled(market: Market) -> Batch:
    two_sellers(market)
    return market.batch()


def altered(batch: Batch, **changes: Any) -> Batch:
    """The batch with its last trade changed."""
    return batch._replace(trades=(*batch.trades[:-1], batch.trades[-1]._replace(**changes)))


def test_l5_a_fill_that_its_trader_did_not_sign_is_found(market: Market) -> None:
    batch = unsettled(market)
    slots = signature_slots(batch)
    stranger = bytes([77]) * 32
    signed = [sign_digest(stranger, keccak(text="anything")) for _ in slots]
    published(market, batch, signed)
    found = about(breaks(market, "L5"), f"order {slots[0].nonce} of 0x{slots[0].trader.hex()}")
    assert found.amounts["nonce"] == slots[0].nonce


def test_l5_a_pre_signature_that_was_never_given_is_found(market: Market) -> None:
    batch = unsettled(market)
    maker = batch.trades[-1].maker._replace(signature_kind=1)
    published(market, altered(batch, maker=maker))
    assert about(breaks(market, "L5"), "claims a pre-signature that was never given")


def test_l5_a_batch_that_no_call_asked_for_is_found(market: Market) -> None:
    call = abi.encode_call("Exchange", "collectFees", [market.money])
    published(market, unsettled(market), data=call)
    found = about(breaks(market, "L5"), "published by a transaction that never asked for it")
    assert found.transaction is not None


@pytest.mark.parametrize(
    ("law", "change_of", "words"),
    [
        ("L6", lambda t: {"quantity": 9}, "t are filled of an order of 1 t"),
        ("L6", lambda t: {"taker": t.taker._replace(price=PRICE - 5)}, "is beyond its limit"),
        (
            "L6",
            lambda t: {"taker": t.taker._replace(max_fee_bps=24)},
            "fee of 25 bps is above its cap of 24",
        ),
        (
            "L6",
            lambda t: {"taker": t.taker._replace(signed_at=t.time_s - 9, expiry=t.time_s - 1)},
            "expired at",
        ),
        ("L6", lambda t: {"time_s": t.time_s - 5_000}, "before the trade before it"),
        ("L6", lambda t: {"time_s": t.time_s + 500}, "ahead of its chain block"),
        ("L6", lambda t: {"taker": t.taker._replace(side=1)}, "both orders are on one side"),
        (
            "L6",
            lambda t: {"taker": t.taker._replace(trader=t.maker.trader, nonce=702)},
            "both orders are of one trader",
        ),
        (
            "L6",
            lambda t: {"taker": t.taker._replace(conditions=4)},
            "is post-only and took",
        ),
        ("L6", lambda t: {"maker": t.maker._replace(conditions=1)}, "may not rest, and made"),
        ("L10", lambda t: {"maker": t.maker._replace(nonce=0)}, "fills a second order under nonce"),
        ("L11", lambda t: {"quantity": 10**6, "price": 1}, "leaves 0x"),
    ],
)
def test_a_fill_beyond_what_was_signed_is_found_whatever_the_contract_took(
    market: Market, law: str, change_of: Callable[[Any], dict[str, Any]], words: str
) -> None:
    batch = unsettled(market)
    trade = batch.trades[-1]
    changes = change_of(trade)
    if "price" in changes:
        changes["maker"] = trade.maker._replace(price=changes["price"], quantity=10**6)
    if "maker" in changes or "taker" in changes:
        slots = len(signature_slots(altered(batch, **changes)))
        published(
            market, altered(batch, **changes), [bytes(31) + b"\1" + bytes(32) + b"\x1b"] * slots
        )
    else:
        published(market, altered(batch, **changes))
    assert about(breaks(market, law), words)


def test_l10_a_batch_published_twice_is_found(market: Market) -> None:
    batch = unsettled(market)
    market.send_batch(batch)
    published(market, batch)
    number = batch.trades[-1].number
    found = breaks(market, "L10")
    assert about(found, f"trade {number} was settled twice").amounts["trade"] == number


def test_l7_a_claim_of_more_than_was_claimable_is_found(market: Market) -> None:
    who = market.traders[1].address
    told(market, "Claimed", "uint256,uint256", [market.money, 10**20], who)
    assert about(breaks(market, "L7"), f"a claim of {who} paid").amounts["paid"] == 10**20


def test_l8_an_exit_that_nobody_requested_is_found(market: Market) -> None:
    who = market.traders[0].address
    told(market, "ExitExecuted", "uint256,uint256", [market.money, 3], who)
    found = breaks(market, "L8")
    assert about(found, "was executed and never requested").transaction is not None
    assert about(found, "took 3, its balance was").amounts["taken"] == 3


def test_l8_an_exit_before_its_time_is_found(market: Market) -> None:
    who = market.traders[3].address
    balance = market.read("accountOf", who, market.money)["balance"]
    told(market, "ExitExecuted", "uint256,uint256", [market.money, balance], who)
    assert about(breaks(market, "L8"), "s after its request, not between")


def test_l5_two_keys_that_are_one_are_found(market: Market) -> None:
    one = market.sequencer.address
    told(market, "KeysSet", "address,address", [one, one])
    assert about(breaks(market, "L5"), "sequencer and watcher are one key")


def test_l6_a_retirement_of_more_than_was_bought_is_found(market: Market) -> None:
    digest = "0x" + keccak(text="no order").hex()
    values = [market.instrument, 5_000, 1]
    told(
        market, "RetirementCompleted", "uint256,uint256,uint256", values, digest,
        market.traders[0].address,
    )  # fmt: skip
    assert about(breaks(market, "L6"), "for which 0 kg were earmarked").amounts["kilograms"] == 5000


def test_l10_a_deposit_number_that_was_skipped_is_found(market: Market) -> None:
    number = "0x" + hex(market.maker.engine.last_deposit + 2)[2:].rjust(64, "0")
    who = market.traders[0].address
    told(market, "Deposited", "uint256,uint256", [market.money, 5], number, who)
    assert about(breaks(market, "L10"), "ids count from 1 without gaps")


def test_l11_fees_collected_beyond_what_the_trades_paid_are_found(market: Market) -> None:
    told(market, "FeesCollected", "uint256,uint256,uint256", [market.money, 10**9, 0])
    assert about(breaks(market, "L11"), "were collected as").amounts["operator"] == 10**9


def test_l11_fees_that_were_changed_in_storage_are_found(market: Market) -> None:
    slot, word = slot_of(market, "feesOf", market.money)
    change(market, slot, word + 1)
    assert about(breaks(market, "L11"), f"fees of asset {market.money}")


def test_l9_one_entry_with_two_heads_needs_no_journal_to_be_found(market: Market) -> None:
    seq = market.maker.head[0]
    market.anchor()
    values = [seq, keccak(text="the other journal")]
    told(market, "Anchored", "uint64,bytes32", values)
    assert about(breaks(market, "L9"), f"entry {seq} is anchored as").amounts["seq"] == seq
