"""Settlement on a real chain: batches equal the oracle, and every way in and out works."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from web3.logs import DISCARD

from backend.domain import batches
from backend.domain.batches import Batch, Void, decode_batch, deltas, developer_share, encode_batch
from backend.domain.eip712 import SigningDomain
from backend.domain.eip712 import digest as typed_digest
from backend.domain.orders import (
    Conditions,
    Order,
    SelfTrade,
    Side,
    TimeInForce,
    Withdrawal,
    message_digest,
)
from backend.domain.retirements import RetirementDetails
from tests.contracts.settlement_world import (
    DEVELOPER_SHARE,
    PRICE,
    SEQUENCER,
    WATCHER,
    WINDOW,
    SettlementWorld,
    address_of,
    trader,
)

pytestmark = pytest.mark.contract
MONEY, KILOGRAMS = 10**15, 10**6
RETIRE = Conditions(TimeInForce.IOC, False, SelfTrade.CANCEL_TAKER, True).pack()


@pytest.fixture(scope="module")
def world(anvil: Any, compiled: Any) -> SettlementWorld:
    return SettlementWorld(anvil, compiled)


_numbers = iter(range(1_000_000))


def new_trader(world: SettlementWorld) -> Any:
    return world.fund(trader(next(_numbers)), MONEY, KILOGRAMS)


def selector(signature: str) -> str:
    return "0x" + keccak(text=signature)[:4].hex()


def struct(order: Order) -> tuple[Any, ...]:
    """An order as the contract takes it."""
    asset = address_of(order.asset.to_bytes(20, "big"))
    return (address_of(order.trader), order.nonce, order.instrument, asset, *order[4:])


def settled_as_the_oracle_says(world: SettlementWorld, batch: Batch) -> Any:
    """Settles and compares every balance, fill, fee and earmark with `deltas`."""
    change = deltas(batch)
    touched = set(change.balances) | set(change.claimable)
    before = {key: world.state(*key) for key in touched}
    fees = world.call(world.exchange, "feesOf", world.asset)
    filled = {key: fill(world, *key) for key in change.fills}

    receipt = world.settle(batch)

    for key in touched:
        balance, claimable = before[key]
        expected = (
            balance + change.balances.get(key, 0),
            claimable + change.claimable.get(key, 0),
        )
        assert world.state(*key) == expected
    for key, tonnes in change.fills.items():
        assert fill(world, *key) == filled[key] + tonnes
    fee = change.fees.get(world.asset, 0)
    share = developer_share(fee, DEVELOPER_SHARE)
    assert world.call(world.exchange, "feesOf", world.asset) == [
        fees[0] + fee - share,
        fees[1] + share,
    ]
    for order, kilograms in change.earmarks.items():
        digest = message_digest(world.venue, order)
        assert world.call(world.exchange, "earmarked", digest) == kilograms
    assert world.is_solvent()
    return receipt


def fill(world: SettlementWorld, account: bytes, nonce: int) -> int:
    return int(world.call(world.exchange, "fillOf", address_of(account), nonce)[0])


def refused(world: SettlementWorld, batch: Batch) -> str:
    """The selector with which settling this batch reverts."""
    call = (encode_batch(batch), world.signatures(batch))
    return world.refusal(world.exchange, "settle", *call)[:10]


def test_a_batch_changes_exactly_what_the_oracle_says(world: SettlementWorld) -> None:
    sellers = [new_trader(world) for _ in range(3)]
    buyers = [new_trader(world) for _ in range(3)]
    sells = [
        world.order(one, nonce, Side.SELL, price=PRICE + 7 * nonce)
        for nonce, one in enumerate(sellers)
    ]
    buys = [world.order(one, 5, Side.BUY, price=PRICE + 100) for one in buyers]
    low = world.order(sellers[0], 9, Side.BUY, price=PRICE - 13)
    matches = [(sell, buy, 3 + i + 7 * j) for i, sell in enumerate(sells)
               for j, buy in enumerate(buys)]  # fmt: skip
    matches.append((low, world.order(buyers[1], 6, Side.SELL, price=PRICE - 20), 11))
    first = world.batch(matches)
    receipt = settled_as_the_oracle_says(world, first)
    raw = world.exchange.events.BatchSettled().process_receipt(receipt, DISCARD)[0]["args"]["batch"]
    assert decode_batch(raw) == first
    # The same orders again, for what is left of them, with a withdrawal behind.
    withdrawal = Withdrawal(sellers[0], 20, world.asset, 123_456, 0)
    settled_as_the_oracle_says(world, world.batch(matches[:4], [withdrawal]))


def test_a_withdrawal_becomes_claimable_and_is_paid_to_its_owner(world: SettlementWorld) -> None:
    owner = new_trader(world)
    address = address_of(owner)
    money = Withdrawal(owner, 1, world.asset, 5_000, 0)
    credits_ = Withdrawal(owner, 2, world.instrument, 7_000, 0)
    settled_as_the_oracle_says(world, world.batch([], [money, credits_]))
    for asset in (world.asset, world.instrument):
        world.send(world.exchange, "claim", address, asset)
    assert world.call(world.money, "balanceOf", address) == 5_000
    assert world.call(world.credits, "balanceOf", address, world.instrument) == 7_000
    assert world.is_solvent()
    again = world.batch([], [money._replace(amount=1)])
    assert refused(world, again) == selector("WithdrawalNonceUsed(address,uint64)")


def test_retire_on_fill_is_earmarked_and_retired_with_the_orders_details(
    world: SettlementWorld,
) -> None:
    seller, buyer = new_trader(world), new_trader(world)
    details = RetirementDetails("Harbour Ferry", "Scope 1", "2025", bytes(32))
    order = world.order(buyer, 0, Side.BUY, conditions=RETIRE, details_hash=details.hash)
    settled_as_the_oracle_says(world, world.batch([(world.order(seller, 0, Side.SELL), order, 42)]))
    texts = (details.beneficiary, details.purpose, details.period, details.instruction_hash)
    world.send(world.exchange, "completeRetirementPublicly", struct(order), *texts)
    certificate = world.call(world.certificates, "certificate", (1 << 32) + 1)
    assert certificate[0] == address_of(buyer)
    assert certificate[2] == 42_000
    assert bytes(certificate[6]) == details.hash
    assert world.is_solvent()
    nothing = world.refusal(world.exchange, "completeRetirement", struct(order))
    assert nothing[:10] == selector("ExchangeNothingToRetire(bytes32)")


def test_a_pre_signed_order_settles_without_a_signature(world: SettlementWorld) -> None:
    seller, buyer = new_trader(world), new_trader(world)
    order = world.order(buyer, 0, Side.BUY, signature_kind=1)
    batch = world.batch([(world.order(seller, 0, Side.SELL), order, 1)])
    missing = selector("OrderNotPreSigned(address,uint64,bytes32)")
    assert refused(world, batch) == missing
    digest = message_digest(world.venue, order)
    world.send(world.exchange, "preSign", digest, sender=address_of(buyer))
    settled_as_the_oracle_says(world, batch)


def test_digests_of_python_and_of_the_contract_are_the_same(world: SettlementWorld) -> None:
    buyer = new_trader(world)
    order = world.order(buyer, 3, Side.BUY, conditions=RETIRE, details_hash=bytes(range(32)))
    found = world.call(world.exchange, "hashOrder", struct(order))
    assert bytes(found) == message_digest(world.venue, order)
    withdrawal = Withdrawal(buyer, 4, world.instrument, 17, 1)
    fields = (address_of(buyer), *withdrawal[1:])
    found = world.call(world.exchange, "hashWithdrawal", fields)
    assert bytes(found) == message_digest(world.venue, withdrawal)
    found = world.call(world.exchange, "hashBatch", b"batch")
    assert bytes(found) == batches.batch_digest(world.venue, b"batch")


def test_voided_trades_are_passed_over_and_the_next_settles(world: SettlementWorld) -> None:
    trade, withdrawal, _ = world.call(world.exchange, "settled")
    world.seq += 1
    head = keccak(text="void")
    world.void(Void(trade + 1, trade + 5, withdrawal + 1, withdrawal, 1, world.seq, head))
    assert world.call(world.exchange, "settled")[:2] == [trade + 5, withdrawal]
    assert world.call(world.exchange, "anchored") == [world.seq, head]
    seller, buyer = new_trader(world), new_trader(world)
    sell, buy = world.order(seller, 0, Side.SELL), world.order(buyer, 0, Side.BUY)
    settled_as_the_oracle_says(world, world.batch([(sell, buy, 1)]))


def test_an_anchor_only_moves_forward(world: SettlementWorld) -> None:
    world.seq += 10
    head = keccak(text="anchor")
    world.anchor(world.seq, head)
    world.anchor(world.seq - 1, keccak(text="older"))
    assert world.call(world.exchange, "anchored") == [world.seq, head]
    other = keccak(text="other")
    signatures = world.both(batches.anchor_digest(world.venue, world.seq, other))
    found = world.refusal(world.exchange, "anchor", world.seq, other, signatures)
    assert found[:10] == selector("ExchangeAnchorDiffers(uint64,bytes32,bytes32)")


@pytest.mark.parametrize("keys", [(SEQUENCER, SEQUENCER), (WATCHER, SEQUENCER)])
def test_a_batch_needs_both_keys_in_their_places(world: SettlementWorld, keys: Any) -> None:
    seller, buyer = new_trader(world), new_trader(world)
    matches = [(world.order(seller, 0, Side.SELL), world.order(buyer, 0, Side.BUY), 1)]
    batch = world.batch(matches)
    call = (encode_batch(batch), world.signatures(batch, keys))
    found = world.refusal(world.exchange, "settle", *call)
    assert found[:10] == selector("ExchangeKeysDiffer(address,address)")


@pytest.mark.parametrize(
    ("changes", "tonnes", "error"),
    [
        ({"quantity": 9}, 10, "OrderOverfilled(address,uint64,uint256,uint256)"),
        ({"price": PRICE - 1}, 1, "TradePriceBeyondLimit(uint64,uint256,uint256)"),
        ({"max_fee_bps": 19}, 1, "TradeFeeAboveCap(uint64,uint256,uint256)"),
        ({"side": Side.SELL}, 1, "TradeSidesEqual(uint64)"),
    ],
)
def test_no_fill_beyond_the_conditions_of_an_order(
    world: SettlementWorld, changes: dict[str, Any], tonnes: int, error: str
) -> None:
    seller, buyer = new_trader(world), new_trader(world)
    buy = world.order(buyer, 0, Side.BUY)._replace(**changes)
    batch = world.batch([(world.order(seller, 0, Side.SELL), buy, tonnes)])
    assert refused(world, batch) == selector(error)


def test_a_forced_exit_moves_the_whole_balance_after_two_windows(world: SettlementWorld) -> None:
    leaver, other = new_trader(world), new_trader(world)
    address = address_of(leaver)
    assets = [world.asset, world.instrument]
    world.send(world.exchange, "requestExit", assets, sender=address)
    early = world.refusal(world.exchange, "executeExit", address, assets)
    assert early[:10] == selector("ExitNotDue(address,uint256,uint256,uint256)")
    world.pass_time(WINDOW + 2)
    sell, buy = world.order(other, 0, Side.SELL), world.order(leaver, 0, Side.BUY)
    exiting = refused(world, world.batch([(sell, buy, 1)]))
    assert exiting == selector("OrderExiting(address,uint64,uint256,uint256)")
    world.pass_time(WINDOW)
    world.send(world.exchange, "executeExit", address, assets)
    assert world.state(leaver, world.asset) == (0, MONEY)
    # A withdrawal that was journalled before finds nothing and does not stop the venue.
    short = world.batch([], [Withdrawal(leaver, 7, world.asset, 5, 0)])
    receipt = world.settle(short)
    moved = world.exchange.events.WithdrawalShort().process_receipt(receipt, DISCARD)[0]["args"][
        "moved"
    ]
    assert moved == 0
    world.send(world.exchange, "claim", address, world.asset)
    assert world.call(world.money, "balanceOf", address) == MONEY
    assert world.is_solvent()


def test_who_asked_for_an_exit_cannot_choose_afterwards_what_it_kept_from_settling(
    world: SettlementWorld,
) -> None:
    leaver, other = new_trader(world), new_trader(world)
    address, assets = address_of(leaver), [world.asset]
    world.send(world.exchange, "requestExit", assets, sender=address)
    world.pass_time(WINDOW + 2)
    sell, buy = world.order(other, 0, Side.SELL), world.order(leaver, 0, Side.BUY)
    batch = world.batch([(sell, buy, 1)])
    exiting = selector("OrderExiting(address,uint64,uint256,uint256)")
    assert refused(world, batch) == exiting
    late = world.refusal(world.exchange, "cancelExit", assets, sender=address)
    assert late[:10] == selector("ExitRunning(address,uint256,uint40)")
    assert refused(world, batch) == exiting


def test_an_invalidated_nonce_matches_for_one_window_more(world: SettlementWorld) -> None:
    seller, buyer = new_trader(world), new_trader(world)
    sell, buy = world.order(seller, 0, Side.SELL), world.order(buyer, 0, Side.BUY)
    world.send(world.exchange, "invalidate", [0], sender=address_of(buyer))
    settled_as_the_oracle_says(world, world.batch([(sell, buy, 1)]))
    world.pass_time(WINDOW + 2)
    late = refused(world, world.batch([(sell, buy, 1)]))
    assert late == selector("OrderInvalidated(address,uint64,uint256,uint256)")


def test_a_pause_refuses_its_matches_and_no_others(world: SettlementWorld) -> None:
    seller, buyer = new_trader(world), new_trader(world)
    sell, buy = world.order(seller, 0, Side.SELL), world.order(buyer, 0, Side.BUY)
    before = world.now()
    world.pass_time(5)
    world.send(world.exchange, "pause")
    world.pass_time(5)
    during = world.now()
    paused = selector("TradeWhilePaused(uint64,uint256)")
    assert refused(world, world.batch([(sell, buy, 1)], time_s=during)) == paused
    settled_as_the_oracle_says(world, world.batch([(sell, buy, 1)], time_s=before))
    world.pass_time(5)
    world.send(world.exchange, "unpause")
    assert refused(world, world.batch([(sell, buy, 1)], time_s=during)) == paused
    settled_as_the_oracle_says(world, world.batch([(sell, buy, 1)], time_s=world.now()))


def test_fees_are_collected_by_the_payees(world: SettlementWorld) -> None:
    operator, developer = world.call(world.exchange, "feesOf", world.asset)
    assert operator
    world.send(world.exchange, "collectFees", world.asset)
    for payee, amount in ((world.operator, operator), (world.developer, developer)):
        assert world.state(bytes.fromhex(payee[2:]), world.asset)[1] == amount
        world.send(world.exchange, "claim", payee, world.asset)
    assert world.is_solvent()


def test_a_permit_run_ahead_still_deposits_once_with_the_owners_intent(
    world: SettlementWorld,
) -> None:
    owner = trader(next(_numbers))
    account = world.fund(owner)
    amount, deadline = 1_000, 2**40
    world.send(world.money, "mint", owner.address, 3 * amount)
    permit = permit_of(world, owner, amount, deadline)
    world.send(world.money, "permit", owner.address, world.exchange.address, amount, deadline,
               *permit)  # fmt: skip
    head = (owner.address, world.money.address, amount, deadline, *permit, 0, deadline)
    forged = world.refusal(world.exchange, "depositWithPermit", *head, bytes(65))
    assert forged[:10] == selector("ExchangeIntentNotOwners(address,address)")
    digest = batches.deposit_intent_digest(
        world.venue, owner.address, world.money.address, amount, 0, deadline
    )
    intent = bytes(owner.unsafe_sign_hash(digest).signature)
    world.send(world.exchange, "depositWithPermit", *head, intent)
    assert world.state(account, world.asset)[0] == amount
    again = world.refusal(world.exchange, "depositWithPermit", *head, intent)
    assert again[:10] == selector("ExchangeIntentUsed(address,address,uint256)")


def permit_of(
    world: SettlementWorld, owner: Any, amount: int, deadline: int
) -> tuple[int, bytes, bytes]:
    fields = ("owner", "address"), ("spender", "address"), ("value", "uint256")
    types = {"Permit": (*fields, ("nonce", "uint256"), ("deadline", "uint256"))}
    name = SigningDomain("Hong Kong dollar", "1", world.anvil.chain_id, world.money.address)
    values = {"owner": owner.address, "spender": world.exchange.address, "value": amount}
    values |= {"nonce": 0, "deadline": deadline}
    signed = owner.unsafe_sign_hash(typed_digest(name, types, "Permit", values))
    return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def test_only_credits_are_received_and_they_are_the_senders(world: SettlementWorld) -> None:
    call = (world.admin, world.admin, world.instrument, 1, b"")
    found = world.refusal(world.exchange, "onERC1155Received", *call)
    assert found[:10] == selector("ExchangeSenderNotCredits(address)")
    assert decode(["address"], bytes.fromhex(found[10:]))[0] == world.admin.lower()
    owner = new_trader(world)
    assert world.state(owner, world.instrument) == (KILOGRAMS, 0)
