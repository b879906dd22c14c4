"""The sequencer as a process: what it answers, once and for ever, and what it refuses."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from backend.bus.client import Bus
from backend.bus.venue_messages import (
    Answer,
    AnswerCode,
    commands_subject,
    committed_subject,
    decode_committed,
    decode_reply,
    encode_record,
    encode_request,
)
from backend.chain.keys import address_of, recover
from backend.domain.acknowledgements import verify_acknowledgement
from backend.domain.commands import ActivateRules, OpenVenue, SetFees, StartEpoch
from backend.domain.journal import decode_entry
from backend.domain.venue_events import (
    OrderAccepted,
    OrderEnded,
    Reason,
    Refused,
    Traded,
    decode_events,
)
from backend.errors import OutcomeUnknown, VenueUnavailable
from backend.store.database import Database
from backend.store.journal import Journal
from tests.exchange.market import INSTRUMENT, MONEY, SEQUENCER_KEY, Market, account, trader_key

pytestmark = pytest.mark.integration

NOBODYS_DATABASE = "postgresql://nobody@127.0.0.1:1/nothing"


def happened(answer: Answer) -> list[Any]:
    return decode_events(answer.events)


def test_an_empty_journal_is_opened_configured_and_funded(market: Market) -> None:
    market.start()
    market.wait_funded()
    market.wait_for(lambda: any(row.kind == 35 for row in market.rows()))
    commands = [decode_entry(row.entry).command for row in market.rows()]
    assert isinstance(commands[0], OpenVenue)
    assert isinstance(commands[1], StartEpoch)
    assert ActivateRules(1) in commands
    assert SetFees(10, 20) in commands
    engine = market.check().engine
    assert engine.balance(account(0), MONEY) == (10**15, 0)
    assert engine.last_deposit == 2 * market.traders


def test_orders_match_and_every_answer_is_acknowledged(market: Market) -> None:
    market.start()
    market.wait_funded()
    sold, bought = market.send(market.order(0, 0, side=1), market.order(1, 0))
    assert [sold.code, bought.code] == [AnswerCode.ACCEPTED] * 2
    assert any(isinstance(one, Traded) for one in happened(bought))
    for answer in (sold, bought):
        assert answer.acknowledgement is not None
        verify_acknowledgement(
            market.domain, answer.acknowledgement, [address_of(SEQUENCER_KEY)], recover
        )
        row = market.journal.read(answer.acknowledgement.seq, 1)[0]
        assert (row.entry, row.events) == (answer.entry, answer.events)
        assert row.hash == answer.acknowledgement.entry_hash
    market.check()


def test_l10_the_same_command_again_gets_its_first_answer(market: Market) -> None:
    market.start()
    market.wait_funded()
    order = market.order(0, 0, side=1)
    first = market.send(order)[0]
    again, twice = market.send(order, order)
    assert again.code is twice.code is AnswerCode.REPEATED
    assert (again.entry, again.events) == (first.entry, first.events)
    assert again.acknowledgement is not None
    verify_acknowledgement(
        market.domain, again.acknowledgement, [address_of(SEQUENCER_KEY)], recover
    )
    cancelled = market.send(market.cancel(0, 0))[0]
    assert [type(one) for one in happened(cancelled)] == [OrderEnded]
    length = len(market.rows())
    assert market.send(market.cancel(0, 0))[0].code is AnswerCode.REPEATED
    assert market.send(order)[0].code is AnswerCode.REPEATED
    assert len(market.rows()) == length


def test_two_commands_of_one_nonce_in_one_request_are_one(market: Market) -> None:
    market.start()
    market.wait_funded()
    order = market.order(0, 0, side=1)
    other = market.order(0, 0, side=1, price=999)
    first, same, different = market.send(order, order, other)
    assert first.code is AnswerCode.ACCEPTED
    assert same.code is AnswerCode.REPEATED
    assert same.entry == first.entry
    assert different.code is AnswerCode.CONFLICT
    assert market.send(other)[0].code is AnswerCode.CONFLICT


def test_a_cancel_before_its_order_uses_the_nonce_up(market: Market) -> None:
    market.start()
    market.wait_funded()
    assert market.send(market.cancel(0, 5))[0].code is AnswerCode.ACCEPTED
    assert market.send(market.order(0, 5))[0].code is AnswerCode.CONFLICT
    assert market.send(market.cancel(0, 5))[0].code is AnswerCode.REPEATED


def test_a_cancel_of_what_is_not_open_is_journalled_once(market: Market) -> None:
    market.start()
    market.wait_funded()
    market.send(market.order(0, 0, side=1), market.order(1, 0))
    late = market.send(market.cancel(0, 0))[0]
    assert late.code is AnswerCode.ACCEPTED
    assert happened(late) == [Refused(account(0), 0, Reason.NOTHING_OPEN)]
    assert market.send(market.cancel(0, 0))[0].code is AnswerCode.REPEATED


def test_what_uses_no_nonce_is_not_journalled(market: Market) -> None:
    market.start()
    market.wait_funded()
    length = len(market.rows())
    good = market.order(0, 0)
    forged = good._replace(signature=market.order(1, 0).signature)
    pre_signed = market.order(0, 1, signature_kind=1)._replace(signature=bytes(65))
    answers = market.send(
        forged, pre_signed, market.order(0, 5_000), good._replace(order=good.order._replace(side=7))
    )
    assert [one.code for one in answers[:3]] == [
        AnswerCode.BAD_SIGNATURE,
        AnswerCode.BAD_SIGNATURE,
        AnswerCode.NONCE_TOO_FAR,
    ]
    assert answers[3].code is AnswerCode.BAD_SIGNATURE
    invalid = market.send(market.order(0, 0, price=0))[0]
    assert invalid.code is AnswerCode.INVALID
    assert "price" in invalid.detail
    assert len(market.rows()) == length
    assert market.send(good)[0].code is AnswerCode.ACCEPTED


def test_a_nonce_far_below_those_in_use_is_gone(market: Market) -> None:
    market.start()
    market.wait_funded()
    first = market.order(0, 0, side=1, price=10**6)

    async def use_many() -> None:
        async with market.client() as client:
            assert (await client.submit([first], 5))[0].code is AnswerCode.ACCEPTED
            for start in range(1, 1_100, 50):
                commands = [market.cancel(0, start + i) for i in range(50)]
                answers = await client.submit(commands, 5)
                assert {one.code for one in answers} == {AnswerCode.ACCEPTED}

    asyncio.run(use_many())
    assert market.send(market.order(0, 3))[0].code is AnswerCode.NONCE_TOO_OLD
    assert market.send(market.cancel(0, 3))[0].code is AnswerCode.NONCE_TOO_OLD
    # An order that is open can be cancelled however old its nonce is.
    assert market.send(market.cancel(0, 0))[0].code is AnswerCode.ACCEPTED


def test_rules_refuse_with_an_answer_that_is_journalled(market: Market) -> None:
    market.start()
    market.wait_funded()
    poor = market.order(0, 0, price=10**18)
    refused = market.send(poor)[0]
    assert refused.code is AnswerCode.ACCEPTED
    assert happened(refused) == [Refused(account(0), 0, Reason.NOT_ENOUGH)]
    assert market.send(poor)[0].code is AnswerCode.REPEATED


def test_whoever_was_never_admitted_writes_nothing_into_the_journal(market: Market) -> None:
    """Keys cost nothing: a refusal for each would fill journal and memory for ever."""
    market.start()
    market.wait_funded()
    nobody = market.traders + 1
    length = len(market.rows())
    answers = market.send(
        market.order(nobody, 0),
        market.cancel(nobody, 0),
        market.cancel_all(nobody, 0),
        market.withdraw(nobody, 0, MONEY, 1),
    )
    assert [one.code for one in answers] == [AnswerCode.NOT_ADMITTED] * 4
    assert len(market.rows()) == length
    assert account(nobody) not in market.check().engine.accounts
    admitted = ("Participant", address_of(trader_key(nobody)), {"tier": 1})
    market.add_block([admitted])
    market.wait_for(lambda: len(market.rows()) > length)
    assert happened(market.send(market.order(nobody, 0))[0]) == [
        Refused(account(nobody), 0, Reason.NOT_ENOUGH)
    ]


def test_a_command_after_its_deadline_is_late_and_uses_nothing(market: Market) -> None:
    market.start()
    market.wait_funded()
    order = market.order(0, 0, side=1)

    async def ask(deadline_ms: int) -> list[Answer]:
        async with market.client() as client:
            assert client.leader is not None
            bus = await Bus.connect(market.nats_url)
            subject = commands_subject(market.chain_id, 1, client.leader.epoch)
            body = await bus.request(
                subject, encode_request(deadline_ms, [encode_record(order)]), 5
            )
            await bus.close()
            return decode_reply(body)

    assert asyncio.run(ask(int(time.time() * 1000) - 1))[0].code is AnswerCode.LATE
    assert asyncio.run(ask(int(time.time() * 1000) + 5_000))[0].code is AnswerCode.ACCEPTED


def test_too_much_at_once_is_busy_and_uses_nothing(market: Market) -> None:
    market.overrides |= {"most_per_trader": 10, "most_waiting": 25}
    market.start()
    market.wait_funded()
    mine = market.send(*(market.order(0, nonce) for nonce in range(12)))
    assert [one.code for one in mine].count(AnswerCode.BUSY) == 2
    assert [one.code for one in mine[:10]] == [AnswerCode.ACCEPTED] * 10
    # Messages that the trader has not signed take none of the trader's places.
    forged = [market.order(0, nonce)._replace(signature=bytes(65)) for nonce in range(10, 25)]
    both = market.send(*forged, *(market.order(0, nonce) for nonce in range(10, 20)))
    assert {one.code for one in both[:15]} == {AnswerCode.BAD_SIGNATURE}
    assert {one.code for one in both[15:]} == {AnswerCode.ACCEPTED}
    all_of_us = market.send(*(market.order(one % 4, 100 + one) for one in range(26)))
    assert {one.code for one in all_of_us} == {AnswerCode.BUSY}
    assert market.send(*(market.order(0, nonce) for nonce in (20, 21)))[0].journalled


def test_nobody_serves_is_told_from_an_unknown_outcome(market: Market) -> None:
    import os
    import signal

    process = market.start_process()
    market.wait_funded()

    async def ask() -> tuple[type[Exception], type[Exception]]:
        async with market.client() as client:
            os.kill(process.pid, signal.SIGSTOP)
            with pytest.raises(OutcomeUnknown) as unknown:
                await client.submit([market.order(0, 0)], 0.3)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            await asyncio.sleep(0.1)
            with pytest.raises(VenueUnavailable) as nobody:
                await client.submit([market.order(0, 1)], 0.3)
            return unknown.type, nobody.type

    assert asyncio.run(ask()) == (OutcomeUnknown, VenueUnavailable)


def test_a_body_that_is_no_request_is_answered_and_changes_nothing(market: Market) -> None:
    market.start()
    market.wait_funded()

    async def ask(bodies: list[bytes]) -> list[AnswerCode]:
        async with market.client() as client:
            assert client.leader is not None
            bus = await Bus.connect(market.nats_url)
            subject = commands_subject(market.chain_id, 1, client.leader.epoch)
            found = [decode_reply(await bus.request(subject, body, 5))[0].code for body in bodies]
            await bus.close()
            return found

    record = encode_record(market.order(0, 0))
    bodies = [
        b"",
        b"x" * 9,
        encode_request(2**63, []),
        encode_request(2**63, [record[:-1]]),
        encode_request(2**63, [record, b"\x00"]),
        encode_request(2**63, [b"\x27"]),
        encode_request(2**63, [record]) + b"\x00",
    ]
    assert set(asyncio.run(ask(bodies))) == {AnswerCode.INVALID}
    assert market.send(market.order(0, 0))[0].code is AnswerCode.ACCEPTED


def test_what_is_committed_is_published_in_order(market: Market) -> None:
    market.start()
    market.wait_funded()

    async def listen() -> list[bytes]:
        found: list[bytes] = []
        bus = await Bus.connect(market.nats_url)
        await bus.subscribe(
            committed_subject(market.chain_id, 1), lambda body, reply: found.append(body)
        )
        async with market.client() as client:
            for nonce in range(3):
                await client.submit([market.order(0, nonce), market.order(1, nonce)], 5)
        await asyncio.sleep(0.2)
        await bus.close()
        return found

    commits = [decode_committed(one) for one in asyncio.run(listen())]
    published = [
        (commit.first_seq + place, *stored)
        for commit in commits
        for place, stored in enumerate(commit.stored)
    ]
    rows = {row.seq: row for row in market.rows()}
    assert len(published) >= 6
    assert [seq for seq, *_ in published] == sorted(seq for seq, *_ in published)
    for seq, entry, events in published:
        assert (rows[seq].entry, rows[seq].events) == (entry, events)


def test_an_order_expires_by_itself_and_an_idle_venue_writes_nothing(market: Market) -> None:
    market.start()
    market.wait_funded()
    now = int(time.time())
    placed = market.send(market.order(0, 0, signed_at=now - 10, expiry=now + 1))[0]
    assert OrderAccepted(account(0), 0) in happened(placed)

    def ended() -> list[OrderEnded]:
        events = [one for row in market.rows() for one in decode_events(row.events)]
        return [one for one in events if isinstance(one, OrderEnded)]

    assert market.wait_for(ended)[0].reason == Reason.EXPIRED
    length = len(market.rows())
    time.sleep(1.5)
    assert len(market.rows()) == length
    assert INSTRUMENT in market.check().engine.classes


def test_a_stopped_leader_answers_first_and_leaves_a_snapshot(market: Market) -> None:
    process = market.start_process()
    market.wait_funded()
    market.send(market.order(0, 0))
    process.terminate()
    assert process.wait(10) == 0
    snapshot = market.journal.newest_snapshot(1)
    assert snapshot is not None
    assert snapshot[0] == market.journal.tail()
    market.start()
    assert market.send(market.order(0, 1))[0].code is AnswerCode.ACCEPTED
    assert market.check().epoch == 2


def test_no_order_is_taken_while_trades_wait_too_long_for_their_settlement(
    market: Market,
) -> None:
    market.overrides["window_seconds"] = 4
    market.start()
    market.wait_funded()
    first = market.order(1, 0)
    sold, bought = market.send(market.order(0, 0, side=1), first)
    assert [sold.code, bought.code] == [AnswerCode.ACCEPTED] * 2
    nonces = itertools.count()
    market.wait_for(
        lambda: market.send(market.order(2, next(nonces)))[0].code is AnswerCode.BUSY, seconds=8
    )
    # What takes orders back, and what was answered before, goes on.
    again, cancelled = market.send(first, market.cancel(2, 0))
    assert again.code is AnswerCode.REPEATED
    assert cancelled.code is AnswerCode.ACCEPTED


def test_a_used_nonce_that_could_not_be_looked_up_keeps_no_place(market: Market) -> None:
    """Else every moment without the journal would leave less room, until the venue is busy."""
    market.overrides["most_waiting"] = 2
    started = market.start()
    market.wait_funded()
    order = market.order(0, 0, side=1)
    market.send(order)
    leader = started._sequencer._leader  # type: ignore[union-attr]
    assert leader is not None
    journal, leader._journal = leader._journal, Journal(Database(NOBODYS_DATABASE), 1)
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            market.send(order, timeout=0.3)
    market.wait_for(lambda: leader.intake.waiting == 0)
    leader._journal = journal
    assert market.send(order)[0].code is AnswerCode.REPEATED


def test_an_answer_too_large_for_the_bus_does_not_take_the_others_with_it(market: Market) -> None:
    """Commands of several traders share a request: one with thousands of fills may be in it."""
    started = market.start()
    market.wait_funded()
    market.send(*(market.order(0, nonce, price=10 + nonce) for nonce in range(40)))
    leader = started._sequencer._leader  # type: ignore[union-attr]
    assert leader is not None
    leader.intake._largest_reply = lambda: 3_000
    ended, resting = market.send(market.cancel_all(0, 40), market.order(1, 0, price=9))
    assert (ended.code, resting.code) == (AnswerCode.TOO_LARGE, AnswerCode.ACCEPTED)
    assert not ended.journalled
    engine = market.check().engine
    assert engine.open_orders(account(0)) == []
    assert len(engine.open_orders(account(1))) == 1
