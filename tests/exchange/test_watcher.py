"""The watcher: what it never lets into its state, and what it never signs (L5, L6, L9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from backend.bus.watcher_messages import (
    ActCode,
    ReplyCode,
    SignReply,
    WatcherStatus,
    decode_sign_reply,
    decode_sign_request,
    encode_anchor,
    encode_sign_reply,
    encode_sign_request,
    encode_void,
)
from backend.chain.keys import recover
from backend.domain import commands
from backend.domain.batches import (
    Batch,
    SettlementTrade,
    SettlementWithdrawal,
    Void,
    anchor_digest,
    batch_digest,
    encode_batch,
    void_digest,
)
from backend.domain.journal import Head, decode_entry, hash_entry
from backend.domain.venue_events import Reason, VoidReason, decode_events, encode_events
from backend.errors import InvalidValue, JournalInconsistent
from backend.exchange.replaying import Replay
from backend.exchange.signing import Signer
from backend.exchange.watcher import Watch
from backend.store.database import Database
from backend.store.journal import Journal
from tests.exchange.signed_journal import (
    CARBON,
    DOMAIN,
    MONEY,
    WATCHER,
    WINDOW,
    KnownFacts,
    SignedJournal,
    fill_database,
    sign,
    trader,
)

unit = pytest.mark.unit
integration = pytest.mark.integration


@pytest.fixture
def made() -> SignedJournal:
    """Two trades, a withdrawal between them, an order that was cancelled."""
    journal = SignedJournal()
    journal.trade(3)
    journal.say(journal.withdrawal(1, 5_000))
    journal.wait(1)
    journal.trade(2, buyer=2)
    cancelled = journal.order(0, 1, price=90, quantity=4)
    journal.say(cancelled)
    journal.say(journal.cancel(0, cancelled.order.nonce))
    return journal


def batch_of(journal: SignedJournal) -> Batch:
    """Everything unsettled, at the journal's head."""
    trades, withdrawals = journal.engine.unsettled()
    settled = journal.engine.settled_trade, journal.engine.settled_withdrawal
    return Batch(settled[0] + 1, trades, settled[1] + 1, withdrawals, *journal.head, 10, 20)


def signer(journal: SignedJournal) -> Signer:
    return Signer(WATCHER, DOMAIN, journal.replay())


def asked(journal: SignedJournal, batch: Batch) -> SignReply:
    return signer(journal).answer(ActCode.BATCH, encode_batch(batch))


# ── what it signs ────────────────────────────────────────────────────────────────────────────


@unit
def test_a_batch_of_what_was_matched_is_signed(made: SignedJournal) -> None:
    content = encode_batch(batch_of(made))
    reply = signer(made).answer(ActCode.BATCH, content)
    assert reply.code is ReplyCode.SIGNED
    assert recover(batch_digest(DOMAIN, content), reply.signature) == WATCHER.address


@unit
def test_a_part_from_the_first_trade_on_is_signed_too(made: SignedJournal) -> None:
    whole = batch_of(made)
    assert asked(made, whole._replace(trades=whole.trades[:1])).code is ReplyCode.SIGNED
    later = whole._replace(first_trade=2, trades=whole.trades[1:], withdrawals=())
    assert asked(made, later).code is ReplyCode.SIGNED


@unit
def test_an_older_head_of_the_same_journal_is_signed(made: SignedJournal) -> None:
    older = made.rows[-3].head
    whole = batch_of(made)
    assert asked(made, whole._replace(seq=older.seq, head=older.hash)).code is ReplyCode.SIGNED


@unit
def test_a_head_that_is_not_replayed_yet_is_not_signed_yet(made: SignedJournal) -> None:
    ahead = batch_of(made)._replace(seq=made.head.seq + 1)
    assert asked(made, ahead).code is ReplyCode.BEHIND


@unit
def test_an_anchor_of_its_own_head_is_signed_and_no_other(made: SignedJournal) -> None:
    reply = signer(made).answer(ActCode.ANCHOR, encode_anchor(made.head))
    assert recover(anchor_digest(DOMAIN, *made.head), reply.signature) == WATCHER.address
    other = Head(made.head.seq, bytes(32))
    assert signer(made).answer(ActCode.ANCHOR, encode_anchor(other)).code is ReplyCode.REFUSED


@unit
def test_a_void_is_signed_as_the_journal_has_it(made: SignedJournal) -> None:
    made.wait(WINDOW + 5)
    made.say(commands.VoidTrades(1, VoidReason.OLDER_THAN_WINDOW, made.block, made.time_s))
    void = Void(1, 2, 1, 1, VoidReason.OLDER_THAN_WINDOW, *made.head)
    reply = signer(made).answer(ActCode.VOID, encode_void(void))
    assert recover(void_digest(DOMAIN, void), reply.signature) == WATCHER.address
    for wrong in (
        void._replace(last_trade=1),
        void._replace(first_trade=2),
        void._replace(last_withdrawal=0),
        void._replace(first_withdrawal=2),
        void._replace(reason=VoidReason.AFTER_PAUSE),
        void._replace(head=bytes(32)),
    ):
        assert signer(made).answer(ActCode.VOID, encode_void(wrong)).code is ReplyCode.REFUSED
    assert "void" in asked(made, _stale(made)).reason


def _stale(made: SignedJournal) -> Batch:
    """A batch of the trades that were voided."""
    earlier = SignedJournal()
    earlier.trade(3)
    return batch_of(earlier)._replace(seq=made.head.seq, head=made.head.hash)


# ── what it refuses to sign ──────────────────────────────────────────────────────────────────


def _first(batch: Batch, **changed: object) -> Batch:
    trade = batch.trades[0]._replace(**changed)  # type: ignore[arg-type]
    return batch._replace(trades=(trade, *batch.trades[1:]))


def _other_price(batch: Batch, _: SignedJournal) -> Batch:
    maker = batch.trades[0].maker._replace(price=99)
    return _first(batch, maker=maker, price=99)


def _other_quantity(batch: Batch, _: SignedJournal) -> Batch:
    return _first(batch, quantity=2)


def _other_time(batch: Batch, _: SignedJournal) -> Batch:
    return _first(batch, time_s=batch.trades[0].time_s + 1)


def _cancelled_order(batch: Batch, journal: SignedJournal) -> Batch:
    """Trader 0's cancelled order, offered at 90, in place of the one that was matched."""
    entries = (decode_entry(row.entry).command for row in journal.rows)
    orders = [one.order for one in entries if isinstance(one, commands.PlaceOrder)]
    cancelled = next(order for order in orders if order.price == 90)
    trade = SettlementTrade(2, journal.time_s, cancelled, batch.trades[1].taker, 90, 2, 10, 20)
    return batch._replace(trades=(batch.trades[0], trade))


def _cancelled_order_on_top(batch: Batch, journal: SignedJournal) -> Batch:
    """A further trade, which nobody matched, with the cancelled order."""
    trade = _cancelled_order(batch, journal).trades[1]._replace(number=3)
    return batch._replace(trades=(*batch.trades, trade))


def _unfair_priority(batch: Batch, journal: SignedJournal) -> Batch:
    """The buyers change places: same price, same tonnes in sum."""
    one, other = batch.trades
    return batch._replace(
        trades=(one._replace(taker=other.taker, quantity=2), other._replace(taker=one.taker))
    )


def _wrong_withdrawal(batch: Batch, _: SignedJournal) -> Batch:
    made = batch.withdrawals[0]
    more = made.withdrawal._replace(amount=made.withdrawal.amount + 1)
    return batch._replace(withdrawals=(made._replace(withdrawal=more),))


def _invented_withdrawal(batch: Batch, _: SignedJournal) -> Batch:
    made = batch.withdrawals[0]
    second = SettlementWithdrawal(2, 2, made.withdrawal._replace(nonce=77))
    return batch._replace(withdrawals=(made, second))


def _other_fees(batch: Batch, _: SignedJournal) -> Batch:
    trades = tuple(one._replace(taker_fee_bps=21) for one in batch.trades)
    return batch._replace(trades=trades, taker_fee_bps=21)


def _other_head(batch: Batch, _: SignedJournal) -> Batch:
    return batch._replace(head=bytes(32))


def _trade_left_out(batch: Batch, _: SignedJournal) -> Batch:
    return batch._replace(trades=(batch.trades[1]._replace(number=1),))


@unit
@pytest.mark.parametrize(
    "change",
    [
        _other_price,
        _other_quantity,
        _other_time,
        _cancelled_order,
        _cancelled_order_on_top,
        _unfair_priority,
        _wrong_withdrawal,
        _invented_withdrawal,
        _other_fees,
        _other_head,
        _trade_left_out,
    ],
)
def test_a_batch_that_its_own_replay_does_not_give_is_refused(
    made: SignedJournal, change: Callable[[Batch, SignedJournal], Batch]
) -> None:
    whole = batch_of(made)
    assert asked(made, whole).code is ReplyCode.SIGNED
    reply = asked(made, change(whole, made))
    assert reply.code is ReplyCode.REFUSED
    assert reply.reason


@unit
def test_what_is_settled_is_never_signed_again(made: SignedJournal) -> None:
    whole = batch_of(made)
    made.settle(1)
    assert "settled" in asked(made, whole._replace(head=made.head.hash, seq=made.head.seq)).reason


@unit
def test_a_withdrawal_before_its_trades_is_refused(made: SignedJournal) -> None:
    early = batch_of(made)._replace(trades=(), maker_fee_bps=0, taker_fee_bps=0)
    assert "comes after trade 1" in asked(made, early).reason


@unit
@pytest.mark.parametrize("body", [b"", b"\x09", b"\x01", b"\x01" + bytes(80), b"\x02\x00", b"\x03"])
def test_bytes_that_are_no_request_are_refused(made: SignedJournal, body: bytes) -> None:
    def ask() -> SignReply:
        return signer(made).answer(*decode_sign_request(body))

    if body[:1] in (b"", b"\x09"):
        with pytest.raises(InvalidValue):
            ask()
    else:
        assert ask().code is ReplyCode.REFUSED


@unit
def test_requests_and_replies_come_back_as_they_went() -> None:
    assert decode_sign_request(encode_sign_request(ActCode.VOID, b"x")) == (ActCode.VOID, b"x")
    for reply in (
        SignReply(ReplyCode.SIGNED, bytes(range(65))),
        SignReply(ReplyCode.REFUSED, reason="trade 3 is …"),
    ):
        assert decode_sign_reply(encode_sign_reply(reply)) == reply


@unit
def test_a_sign_of_life_comes_back_as_it_went(made: SignedJournal) -> None:
    status = WatcherStatus(made.head, 12, 3, 4, WATCHER.address, None)
    assert WatcherStatus.decode(status.encode()) == status
    stopped = status._replace(stopped="entry 7 …")
    assert WatcherStatus.decode(stopped.encode()) == stopped
    with pytest.raises(InvalidValue, match="no status"):
        WatcherStatus.decode(b"{}")


# ── what it never takes ──────────────────────────────────────────────────────────────────────


def _stops(journal: SignedJournal, seq: int, match: str, facts: object = None) -> None:
    with pytest.raises(JournalInconsistent, match=match) as stopped:
        journal.replay(facts)  # type: ignore[arg-type]
    assert stopped.value.values["seq"] == seq


@unit
def test_a_changed_byte_anywhere_is_found(made: SignedJournal) -> None:
    for place in range(0, len(made.rows[-2].entry), 7):
        raw = bytearray(made.rows[-2].entry)
        raw[place] ^= 1
        fresh = _cut(made, -2).replay()
        changed = ((bytes(raw), made.rows[-2].events), (made.rows[-1].entry, made.rows[-1].events))
        with pytest.raises(JournalInconsistent):
            _take(fresh, changed)


def _take(replay: Replay, entries: Iterable[tuple[bytes, bytes]]) -> None:
    for raw, events in entries:
        replay.take(raw, events)


def _cut(made: SignedJournal, end: int) -> SignedJournal:
    short = object.__new__(SignedJournal)
    short.rows, short.facts = made.rows[:end], made.facts
    return short


@unit
def test_a_replayed_entry_is_found(made: SignedJournal) -> None:
    order = made.order(0, 1, price=300)
    made.say(order)
    again = decode_entry(made.rows[-1].entry)
    made.add(again._replace(seq=made.head.seq + 1, previous=made.head.hash), made.rows[-1].events)
    _stops(made, made.head.seq, "nonce")


@unit
def test_a_missing_entry_is_found(made: SignedJournal) -> None:
    del made.rows[17]
    _stops(made, 18, "is entry 19")


@unit
def test_an_entry_signed_by_another_is_found(made: SignedJournal) -> None:
    order = made.order(1, 0, price=500)
    forged = order._replace(signature=sign(2, order.order))
    made.say(forged)
    _stops(made, made.head.seq, "not signed by its trader")


@unit
def test_a_changed_event_is_found(made: SignedJournal) -> None:
    row = next(row for row in made.rows if row.kind == 1 and len(row.events) > 200)
    events = decode_events(row.events)
    changed = [
        one._replace(price=99) if hasattr(one, "price") and hasattr(one, "maker") else one
        for one in events
    ]
    made.rows[row.seq - 1] = row._replace(events=encode_events(changed))
    _stops(made, row.seq, "causes Traded")
    made.rows[row.seq - 1] = row._replace(events=encode_events(events[:-1]))
    _stops(made, row.seq, "the journal has")


@unit
def test_a_forged_deposit_is_found(made: SignedJournal) -> None:
    made.block += 1
    made.say(commands.CreditDeposit(made.block, 0, 7, trader(2), MONEY, 10**6))
    _stops(made, made.head.seq, "next fact is \\[\\]")


@unit
def test_a_fact_of_the_chain_left_out_is_found_at_the_next(made: SignedJournal) -> None:
    frozen = commands.SetParticipant(made.block + 1, 0, trader(1), 1, 2**40 - 1, 1)
    facts = [*made.facts, frozen]
    made.block += 1
    made.deposit(2, MONEY, 5)
    _stops(made, made.head.seq, "SetParticipant", [*facts, made.facts[-1]])


@unit
@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"time_ms": 1_700_000_000_000}, "before the one before"),
        ({"epoch": 0}, "epoch 0 after epoch 1"),
        ({"epoch": 2}, "epoch 2 after epoch 1"),
        ({"rules": 2}, "rules 2"),
        ({"seq": 99}, "is entry 99"),
        ({"previous": bytes(32)}, "follows"),
    ],
)
def test_an_entry_out_of_order_is_found(
    made: SignedJournal, changed: dict[str, object], match: str
) -> None:
    made.say(commands.Tick(), **changed)
    _stops(made, made.head.seq, match)


@unit
def test_an_epoch_begins_with_its_own_entry_only(made: SignedJournal) -> None:
    made.say(commands.StartEpoch(bytes([1] * 16)), epoch=2)
    made.say(commands.Tick(), epoch=2)
    assert made.replay().epoch == 2
    made.say(commands.StartEpoch(bytes([2] * 16)), epoch=2)
    _stops(made, made.head.seq, "epoch 2 after epoch 2")


@unit
def test_a_journal_of_another_exchange_is_not_taken(made: SignedJournal) -> None:
    first = decode_entry(made.rows[0].entry)
    opened = first.command._replace(chain_id=1)  # type: ignore[union-attr]
    made.rows = []
    made.add(first._replace(command=opened), b"")
    _stops(made, 1, "another chain")


# ── the watch on a real journal ──────────────────────────────────────────────────────────────


def _watch(database: Database, made: SignedJournal, snapshot: Path | None = None) -> Watch:
    chain = KnownFacts(made.facts)
    return Watch(WATCHER, DOMAIN, Journal(database, 1), chain, snapshot)  # type: ignore[arg-type]


@integration
def test_a_watch_follows_the_stored_journal_and_stops_for_good_where_it_is_wrong(
    database: Database, made: SignedJournal
) -> None:
    good = len(made.rows)
    order = made.order(1, 0, price=500)
    made.say(order._replace(signature=sign(2, order.order)))
    fill_database(database, made.rows)
    watch = _watch(database, made)
    watch.follow()
    assert watch.head.seq == good
    assert f"entry {good + 1} is not signed by its trader" in (watch.stopped or "")
    request = encode_sign_request(ActCode.ANCHOR, encode_anchor(watch.head))
    for _ in range(2):
        reply = watch.answer(request)
        assert (reply.code, reply.reason) == (ReplyCode.STOPPED, watch.stopped)
        assert watch.follow() == 0
    again = _watch(database, made)
    again.follow()
    assert again.stopped == watch.stopped
    database.close()


@integration
def test_a_watch_that_is_started_again_goes_on_from_its_file(
    database: Database, made: SignedJournal, tmp_path: Path
) -> None:
    kept = tmp_path / "watcher" / "venue"
    before = len(made.rows)
    fill_database(database, made.rows)
    watch = _watch(database, made, kept)
    assert watch.follow() == before
    watch.keep()
    facts = len(made.facts)
    made.settle(1)
    made.trade(1)
    fill_database(database, made.rows[before:])
    again = _watch(database, made, kept)
    again.chain = again.replay._facts = KnownFacts(made.facts[facts:])  # type: ignore[assignment]
    assert again.head == watch.head
    assert again.follow() == len(made.rows) - before
    assert again.head == made.head
    assert again.replay.engine.digest() == made.engine.digest()
    damaged = bytearray(kept.read_bytes())
    damaged[-1] ^= 1
    kept.write_bytes(damaged)
    anew = _watch(database, made, kept)
    assert anew.head.seq == 0
    anew.follow()
    assert anew.replay.engine.digest() == made.engine.digest()
    database.close()


@integration
def test_a_journal_changed_behind_a_watch_is_found(database: Database, made: SignedJournal) -> None:
    fill_database(database, made.rows)
    watch = _watch(database, made)
    watch.follow()
    with database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)")
    watch.follow()
    assert "changed or taken out" in (watch.stopped or "")
    database.close()


@unit
def test_the_names_used_here_mean_what_they_say() -> None:
    """A cancelled order stays cancelled in the engine that the tests replay."""
    journal = SignedJournal()
    order = journal.order(0, 1, price=90)
    journal.say(order)
    events = journal.say(journal.cancel(0, order.order.nonce))
    assert events[-1].reason == Reason.CANCELLED  # type: ignore[union-attr]
    assert journal.engine.balance(trader(0), CARBON)[1] == 0
    assert hash_entry(journal.rows[-1].entry) == journal.head.hash
