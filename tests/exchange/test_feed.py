"""Facts of the chain: final, in order, once; a deposit that a reorganisation took halts all."""

from __future__ import annotations

import time
from typing import Any

import pytest

from backend.bus.venue_messages import AnswerCode
from backend.chain.keys import address_of
from backend.domain.commands import (
    Command,
    CreditDeposit,
    EndExit,
    FlagClass,
    Halt,
    InvalidateNonce,
    ListAsset,
    NotePreSignature,
    NoteSettlement,
    PauseVenue,
    SetParticipant,
    StartExit,
    UnpauseVenue,
)
from backend.domain.journal import decode_entry
from backend.domain.orders import message_digest
from backend.domain.venue_events import HaltReason, Reason, Refused, decode_events
from backend.exchange.feed import LAPSE_INDEX, fact_of
from tests.exchange.market import INSTRUMENT, MONEY, Market, account, trader_key

pytestmark = pytest.mark.integration


def commands(market: Market) -> list[Command]:
    return [decode_entry(row.entry).command for row in market.rows()]


def of_kind(market: Market, kind: type[Any]) -> list[Any]:
    return [one for one in commands(market) if isinstance(one, kind)]


def wait_for(market: Market, kind: type[Any], count: int = 1) -> list[Any]:
    def enough() -> list[Any]:
        found = of_kind(market, kind)
        return found if len(found) >= count else []

    return market.wait_for(enough)  # type: ignore[no-any-return]


def event(name: str, trader: int, **args: Any) -> tuple[str, str, dict[str, Any]]:
    who = address_of(trader_key(trader))
    return ("Exchange", name, {"account": who, "trader": who, **args})


def test_facts_are_journalled_in_the_order_of_the_chain(market: Market) -> None:
    market.start()
    market.wait_funded()
    now = int(time.time())
    pre_signed = market.order(2, 0, side=1, signature_kind=1)._replace(signature=bytes(65))
    digest = message_digest(market.domain, pre_signed.order)
    market.add_block(
        [
            event("PreSigned", 2, digest="0x" + digest.hex()),
            event("NonceInvalidated", 3, nonce="5", at=str(now)),
            event("ExitRequested", 0, asset=str(MONEY), requestedAt=str(now)),
        ]
    )
    market.add_block(
        [
            event("ExitCancelled", 0, asset=str(MONEY)),
            ("Participant", address_of(trader_key(1)), {"frozen": True}),
            event("VenuePaused", 0, at=str(now)),
            event("VenueUnpaused", 0, at=str(now)),
            ("Exchange", "AssetListed", {"asset": f"0x{MONEY + 1:040x}", "listed": False}),
            ("Exchange", "Anchored", {"seq": "1"}),
        ]
    )
    wait_for(market, ListAsset, 2)
    who = [account(number) for number in range(4)]
    assert commands(market)[-8:] == [
        NotePreSignature(2, 0, who[2], digest),
        InvalidateNonce(2, 1, who[3], 5, now),
        StartExit(2, 2, who[0], MONEY, now),
        EndExit(3, 0, who[0], MONEY, 0),
        SetParticipant(3, 1, who[1], 1, 2**40 - 1, 1),
        PauseVenue(3, 2, now),
        UnpauseVenue(3, 3, now),
        ListAsset(3, 4, MONEY + 1, 0),
    ]
    assert market.send(pre_signed)[0].code is AnswerCode.ACCEPTED
    frozen = market.send(market.order(1, 0))[0]
    assert decode_events(frozen.events) == [Refused(who[1], 0, Reason.FROZEN)]
    assert market.check().engine.chain_place == (3, 4)


def test_l8_a_hold_on_chain_stops_the_class_until_it_is_released(market: Market) -> None:
    market.start()
    market.wait_funded()
    market.add_block([("CarbonCredits", "ClassFlagsSet", {"id": str(INSTRUMENT), "flags": "1"})])
    assert wait_for(market, FlagClass) == [FlagClass(2, 0, INSTRUMENT, 1)]
    refused = market.send(market.order(0, 0))[0]
    assert decode_events(refused.events) == [Refused(account(0), 0, Reason.CLASS_HALTED)]
    market.add_block([("CarbonCredits", "ClassFlagsSet", {"id": str(INSTRUMENT), "flags": "0"})])
    wait_for(market, FlagClass, 2)
    rested = decode_events(market.send(market.order(0, 1))[0].events)
    assert [type(one).__name__ for one in rested] == ["OrderAccepted", "OrderRested"]


def test_only_final_chain_blocks_are_believed(market: Market) -> None:
    market.start(confirmations=2)
    time.sleep(1.5)
    assert market.facts() == []
    market.add_block()
    market.add_block([market.deposit(9, 0, MONEY, 5)])
    market.wait_funded()
    time.sleep(0.5)
    assert len(of_kind(market, CreditDeposit)) == 8
    # The deposit that is not final can be taken back by anybody's reorganisation.
    market.rewind(2)
    market.add_block([market.deposit(9, 1, MONEY, 7)])
    market.add_block()
    market.add_block()
    deposits = wait_for(market, CreditDeposit, 9)
    assert deposits[8] == CreditDeposit(3, 0, 9, account(1), MONEY, 7)
    assert of_kind(market, Halt) == []


def test_l10_a_restart_credits_nothing_twice(market: Market) -> None:
    process = market.start_process()
    market.wait_funded()
    for _ in range(2):
        process.kill()
        process.wait()
        process = market.start_process()
        market.add_block([market.deposit(9 + _, 0, MONEY, 5)])
        wait_for(market, CreditDeposit, 9 + _)
    assert [one.deposit_id for one in of_kind(market, CreditDeposit)] == list(range(1, 11))
    assert market.check().engine.balance(account(0), MONEY) == (10**15 + 10, 0)


def test_a_deposit_that_a_reorganisation_removed_halts_the_venue(market: Market) -> None:
    market.start()
    market.wait_funded()
    market.add_block([market.deposit(9, 0, MONEY, 5)])
    wait_for(market, CreditDeposit, 9)
    market.rewind(1)
    market.add_block([market.deposit(9, 3, MONEY, 5)])
    assert wait_for(market, Halt) == [Halt(HaltReason.DEPOSIT_REVERTED, 9)]
    refused = market.send(market.order(0, 0))[0]
    assert decode_events(refused.events) == [Refused(account(0), 0, Reason.HALTED)]
    time.sleep(1.5)
    assert len(of_kind(market, Halt)) == 1
    assert len(of_kind(market, CreditDeposit)) == 9


def test_a_deposit_that_was_removed_while_nobody_led_halts_the_venue(market: Market) -> None:
    process = market.start_process()
    market.wait_funded()
    market.add_block([market.deposit(9, 0, MONEY, 5)])
    wait_for(market, CreditDeposit, 9)
    process.kill()
    process.wait()
    market.rewind(1)
    market.add_block()
    market.start()
    assert wait_for(market, Halt) == [Halt(HaltReason.DEPOSIT_REVERTED, 9)]


def test_a_reorganisation_that_puts_the_same_facts_elsewhere_changes_nothing(
    market: Market,
) -> None:
    market.start()
    market.wait_funded()
    now = str(int(time.time()))
    exit_request = event("ExitRequested", 0, asset=str(MONEY), requestedAt=now)
    market.add_block([market.deposit(9, 0, MONEY, 5), exit_request])
    wait_for(market, StartExit)
    market.rewind(1)
    market.add_block()
    market.add_block([exit_request, market.deposit(9, 0, MONEY, 5)])
    market.add_block([market.deposit(10, 0, MONEY, 6)])
    deposits = wait_for(market, CreditDeposit, 10)
    assert [one.deposit_id for one in deposits] == list(range(1, 11))
    assert len(of_kind(market, StartExit)) == 1
    assert of_kind(market, Halt) == []


def test_a_fact_that_a_reorganisation_put_behind_a_new_one_is_not_journalled_again(
    market: Market,
) -> None:
    market.start()
    market.wait_funded()
    now = str(int(time.time()))
    exit_request = event("ExitRequested", 0, asset=str(MONEY), requestedAt=now)
    market.add_block([market.deposit(9, 0, MONEY, 5), exit_request])
    wait_for(market, StartExit)
    market.rewind(1)
    market.add_block([market.deposit(9, 0, MONEY, 5)])
    market.add_block([market.deposit(10, 0, MONEY, 6), exit_request])
    wait_for(market, CreditDeposit, 10)
    time.sleep(0.5)
    market.add_block([market.deposit(11, 0, MONEY, 7)])
    wait_for(market, CreditDeposit, 11)
    assert len(of_kind(market, StartExit)) == 1
    assert of_kind(market, Halt) == []


def test_a_fact_that_a_reorganisation_put_in_anothers_place_halts_the_venue(
    market: Market,
) -> None:
    market.start()
    market.wait_funded()
    market.add_block([event("NonceInvalidated", 3, nonce="5", at="1")])
    wait_for(market, InvalidateNonce)
    market.rewind(1)
    frozen = ("Participant", address_of(trader_key(1)), {"frozen": True})
    market.add_block([frozen])
    market.add_block([event("NonceInvalidated", 3, nonce="5", at="1")])
    assert wait_for(market, Halt) == [Halt(HaltReason.OPERATOR, 2)]


def test_facts_that_changed_places_are_journalled_when_they_happen_again(market: Market) -> None:
    market.start()
    market.wait_funded()
    who = address_of(trader_key(1))
    frozen, freed = (("Participant", who, {"frozen": one}) for one in (True, False))
    killed = event("NonceInvalidated", 3, nonce="5", at="1")
    market.add_block([frozen, killed])
    wait_for(market, InvalidateNonce)
    market.rewind(1)
    market.add_block([killed, frozen])
    market.add_block([freed])
    market.add_block([frozen])
    known = market.traders + 3
    assert [one.frozen for one in wait_for(market, SetParticipant, known)][-3:] == [1, 0, 1]
    assert of_kind(market, Halt) == []


def test_an_index_that_is_behind_after_a_rewind_is_waited_for(market: Market) -> None:
    market.start()
    market.wait_funded()
    market.add_block([market.deposit(9, 0, MONEY, 5)])
    wait_for(market, CreditDeposit, 9)
    market.rewind(1)
    time.sleep(0.8)
    assert of_kind(market, Halt) == []
    market.add_block([market.deposit(9, 0, MONEY, 5)])
    market.add_block([market.deposit(10, 1, MONEY, 5)])
    assert len(wait_for(market, CreditDeposit, 10)) == 10
    assert of_kind(market, Halt) == []


def test_an_exit_that_nobody_executed_ends_when_it_lapses(market: Market) -> None:
    market.overrides |= {"window_seconds": 100}
    market.start()
    market.wait_funded()
    start = int(time.time())
    market.add_block(
        [
            event("ExitRequested", 0, asset=str(MONEY), requestedAt=str(start)),
            event("ExitRequested", 1, asset=str(INSTRUMENT), requestedAt=str(start)),
        ],
        at=start,
    )
    # Lapsed on chain, but a clock that is behind it by the skew would still match too early.
    market.add_block(at=start + 315)
    time.sleep(0.5)
    assert of_kind(market, EndExit) == []
    # The exit of trader 1 is executed in the very chain block in which trader 0's has lapsed.
    market.add_block(
        [event("ExitExecuted", 1, asset=str(INSTRUMENT), amount=str(10**12))], at=start + 316
    )
    market.add_block([market.deposit(9, 0, MONEY, 5)], at=start + 317)
    wait_for(market, CreditDeposit, 9)
    assert of_kind(market, EndExit) == [
        EndExit(4, 0, account(1), INSTRUMENT, 10**12),
        EndExit(4, LAPSE_INDEX, account(0), MONEY, 0),
    ]
    assert market.check().engine.balance(account(1), INSTRUMENT) == (0, 0)


def test_a_cancel_of_an_exit_that_has_lapsed_stops_nothing(market: Market) -> None:
    """The contract takes it from anybody at any time: it must not keep the feed from going on."""
    market.overrides |= {"window_seconds": 100}
    market.start()
    market.wait_funded()
    start = int(time.time())
    market.add_block([event("ExitRequested", 0, asset=str(MONEY), requestedAt=str(start))])
    market.add_block(at=start + 316)
    wait_for(market, EndExit)
    market.add_block([event("ExitCancelled", 0, asset=str(MONEY))], at=start + 317)
    market.add_block([market.deposit(9, 0, MONEY, 5)], at=start + 318)
    wait_for(market, CreditDeposit, 9)
    assert of_kind(market, EndExit) == [
        EndExit(3, LAPSE_INDEX, account(0), MONEY, 0),
        EndExit(4, 0, account(0), MONEY, 0),
    ]
    assert market.check().engine.balance(account(0), MONEY) == (10**15 + 5, 0)


def test_a_batch_that_settled_what_was_voided_halts_the_venue(market: Market) -> None:
    """Nobody saw the chain for longer than a window; an exit was asked for and taken back there.

    The trades after it are void as soon as the request is seen. Batches with them were signed
    before, and the contract takes them again once the exit is cancelled.
    """
    market.overrides |= {"window_seconds": 100}
    market.start()
    market.wait_funded()
    market.send(market.order(0, 0, side=1), market.order(1, 0))
    long_ago = str(int(time.time()) - 101)
    settled = {"firstTrade": "1", "lastTrade": "1", "lastWithdrawal": "0", "seq": "1"}
    market.add_block(
        [
            event("ExitRequested", 0, asset=str(MONEY), requestedAt=long_ago),
            event("ExitCancelled", 0, asset=str(MONEY)),
            ("Exchange", "BatchSettled", settled),
            market.deposit(9, 0, MONEY, 5),
        ]
    )
    assert wait_for(market, Halt) == [Halt(HaltReason.SETTLED_AFTER_VOID, 1)]
    assert of_kind(market, NoteSettlement) == []
    assert market.check().engine.last_deposit == 8


def test_a_void_and_the_batch_behind_it_are_noted_together(market: Market) -> None:
    market.overrides |= {"window_seconds": 100}
    market.start()
    market.wait_funded()
    market.send(market.order(0, 0, side=1), market.order(1, 0))
    long_ago = str(int(time.time()) - 101)
    market.add_block(
        [
            event("ExitRequested", 0, asset=str(MONEY), requestedAt=long_ago),
            event("ExitCancelled", 0, asset=str(MONEY)),
        ]
    )
    wait_for(market, EndExit)
    market.send(market.order(2, 0, side=1), market.order(1, 1))
    numbers = {"lastWithdrawal": "0", "seq": "1"}
    market.add_block(
        [
            ("Exchange", "TradesVoided", {"firstTrade": "1", "lastTrade": "1", **numbers}),
            ("Exchange", "BatchSettled", {"firstTrade": "2", "lastTrade": "2", **numbers}),
        ]
    )
    assert [one.last_trade for one in wait_for(market, NoteSettlement, 2)] == [1, 2]
    assert of_kind(market, Halt) == []


def test_settled_numbers_are_noted(market: Market) -> None:
    market.start()
    market.wait_funded()
    market.send(market.order(0, 0, side=1), market.order(1, 0))
    settled = {"firstTrade": "1", "lastTrade": "1", "lastWithdrawal": "0", "seq": "1"}
    market.add_block([("Exchange", "BatchSettled", settled)])
    assert wait_for(market, NoteSettlement) == [NoteSettlement(2, 0, 1, 0)]
    assert market.check().engine.settled_trade == 1


def test_other_events_are_no_facts() -> None:
    for contract, name in (("Exchange", "Claimed"), ("Trust", "Deposited"), ("Other", "x")):
        assert fact_of(contract, name, {}, 1, 0) is None
    assert fact_of("CarbonCredits", "CreditsMinted", {}, 1, 0) is None
