"""L9 and L6 of a journal by itself: what the engine made holds, whatever is forged is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from backend.audit.journal import Journal, read_journal
from backend.audit.report import Break, Findings
from backend.domain.commands import (
    CreditDeposit,
    FlagClass,
    ListAsset,
    ListClass,
    PlaceOrder,
    SetParticipant,
    StartEpoch,
)
from backend.domain.journal import decode_entry, encode_entry
from backend.domain.journal_file import Stored
from backend.domain.orders import Side, exchange_domain
from backend.domain.venue_events import Traded, decode_events, encode_events
from tests.audit.journal_maker import JournalMaker, Trader, relink

pytestmark = pytest.mark.unit

DOMAIN = exchange_domain(31337, "0x" + "ee" * 20)
MONEY, CLASS = 0x5157, (7 << 160) + 1
MARKET = (CLASS, MONEY)
BUY, SELL = Side.BUY, Side.SELL
START_MS = 1_800_000_000_000
FOREVER = 2**40 - 1


class Sample:
    """A small honest journal: two sellers at one price, cancels, partial fills, a withdrawal."""

    def __init__(self) -> None:
        self.maker = JournalMaker(DOMAIN, 600, 30, START_MS)
        self.first, self.second, self.buyer = (Trader(bytes([one]) * 32) for one in (1, 2, 3))
        add = self.maker.add
        add(ListAsset(5, 0, MONEY, 1))
        add(ListClass(5, 1, CLASS))
        for place, trader in enumerate((self.first, self.second, self.buyer)):
            add(SetParticipant(6 + place, 0, trader.account, 1, FOREVER, 0))
            asset = MONEY if trader is self.buyer else CLASS
            add(CreditDeposit(6 + place, 1, place + 1, trader.account, asset, 10**12))
        self.maker.place(self.first, SELL, MARKET, 10, 5_000_000)
        self.maker.place(self.second, SELL, MARKET, 10, 5_000_000)
        self.maker.place(self.buyer, BUY, MARKET, 4, 5_000_000)
        self.cancelled = self.seq + 1
        self.maker.cancel(self.first, 0)
        self.maker.place(self.buyer, BUY, MARKET, 5, 6_000_000)
        self.maker.withdraw(self.buyer, MONEY, 1_000_000)

    @property
    def seq(self) -> int:
        return len(self.maker.entries)

    def seq_of_trade(self, number: int) -> int:
        for seq, stored in enumerate(self.maker.entries, 1):
            for event in decode_events(stored.events):
                if isinstance(event, Traded) and event.number == number:
                    return seq
        raise AssertionError(f"no trade {number}")


@pytest.fixture
def sample() -> Sample:
    return Sample()


def read(
    sample: Sample, tmp_path: Path, entries: Sequence[Stored] | None = None
) -> tuple[Journal, Findings]:
    findings = Findings()
    path = sample.maker.write(tmp_path / "journal", entries)
    return read_journal(findings, path, DOMAIN, lambda what, done, total: None), findings


def found(breaks: Sequence[Break], words: str) -> Break:
    matching = [one for one in breaks if words in one.what]
    assert matching, [one.what for one in breaks]
    return matching[0]


def test_what_the_engine_made_holds(sample: Sample, tmp_path: Path) -> None:
    journal, findings = read(sample, tmp_path)
    assert {law: breaks for law, breaks in findings.breaks.items() if breaks} == {}
    assert (journal.length, journal.hash_at(journal.length)) == sample.maker.head
    assert sorted(journal.trades) == [1, 2]
    assert sorted(journal.withdrawals) == [1]
    figures = findings.figures["L9"]
    assert figures["entries_replayed"] == figures["entries"] == sample.seq
    assert figures["trader_signatures"] == 6


@pytest.mark.parametrize("place", [3, 40, 77, -1])
def test_one_changed_byte_of_an_entry_is_found_and_named(
    sample: Sample, tmp_path: Path, place: int
) -> None:
    entries = list(sample.maker.entries)
    seq = sample.seq - 2
    raw = bytearray(entries[seq - 1].entry)
    raw[place] ^= 1
    entries[seq - 1] = Stored(bytes(raw), entries[seq - 1].events)
    _, findings = read(sample, tmp_path, entries)
    places = {one.amounts.get("seq") for one in findings.breaks["L9"]}
    assert places & {seq, seq + 1}


def test_one_changed_byte_of_the_events_is_found_and_named(sample: Sample, tmp_path: Path) -> None:
    entries = list(sample.maker.entries)
    seq = sample.seq_of_trade(1)
    events = bytearray(entries[seq - 1].events)
    events[-1] ^= 1
    entries[seq - 1] = Stored(entries[seq - 1].entry, bytes(events))
    journal, findings = read(sample, tmp_path, entries)
    assert found(findings.breaks["L9"], "the replay stops").amounts["seq"] == seq
    assert journal.stopped == seq


def test_a_removed_entry_breaks_the_chain(sample: Sample, tmp_path: Path) -> None:
    entries = list(sample.maker.entries)
    del entries[7]
    _, findings = read(sample, tmp_path, entries)
    assert found(findings.breaks["L9"], "missing, doubled").amounts["seq"] == 8
    assert found(findings.breaks["L9"], "not that of the entry before it").amounts["seq"] == 8


def test_a_removed_entry_with_every_hash_made_right_is_found_by_the_replay(
    sample: Sample, tmp_path: Path
) -> None:
    # The first seller's order never was: its fill cannot be.
    victim = next(
        seq
        for seq, stored in enumerate(sample.maker.entries, 1)
        if isinstance(decode_entry(stored.entry).command, PlaceOrder)
    )
    entries = relink(sample.maker.entries, lambda seq, entry: None if seq == victim else entry)
    _, findings = read(sample, tmp_path, entries)
    assert not [one for one in findings.breaks["L9"] if "hash" in one.what]
    assert found(findings.breaks["L6"], "by price and time trade 1").amounts["trade"] == 1


def test_a_swapped_priority_is_an_unfair_trade(sample: Sample, tmp_path: Path) -> None:
    entries = list(sample.maker.entries)
    seq = sample.seq_of_trade(1)
    told = [
        event._replace(maker=sample.second.account) if isinstance(event, Traded) else event
        for event in decode_events(entries[seq - 1].events)
    ]
    entries[seq - 1] = Stored(entries[seq - 1].entry, encode_events(told))
    _, findings = read(sample, tmp_path, entries)
    unfair = found(findings.breaks["L6"], "by price and time trade 1")
    assert unfair.amounts == {"seq": seq, "trade": 1}
    assert sample.first.account.hex() in unfair.what
    assert sample.second.account.hex() in unfair.what


def test_a_fill_after_a_cancel_is_found_and_says_when_it_was_cancelled(
    sample: Sample, tmp_path: Path
) -> None:
    entries = list(sample.maker.entries)
    seq = sample.seq_of_trade(2)
    assert seq > sample.cancelled
    told = [
        event._replace(maker=sample.first.account, maker_nonce=0)
        if isinstance(event, Traded)
        else event
        for event in decode_events(entries[seq - 1].events)
    ]
    entries[seq - 1] = Stored(entries[seq - 1].entry, encode_events(told))
    _, findings = read(sample, tmp_path, entries)
    unfair = found(findings.breaks["L6"], "by price and time trade 2")
    assert f"had ended at entry {sample.cancelled} (cancelled)" in unfair.what


def test_l8_a_match_of_a_halted_class_is_found_and_names_the_fact(
    sample: Sample, tmp_path: Path
) -> None:
    """The operator has to journal the hold, and goes on matching."""
    entries, seq = list(sample.maker.entries), sample.seq_of_trade(2)
    before = decode_entry(entries[seq - 2].entry)
    hold = before._replace(command=FlagClass(9_000, 0, CLASS, 1))
    entries.insert(seq - 1, Stored(encode_entry(hold), b""))
    _, findings = read(sample, tmp_path, relink(entries))
    broken = found(findings.breaks["L8"], f"trade 2 is of class {CLASS}, which entry {seq} halts")
    assert broken.amounts == {"seq": seq + 1, "trade": 2}


def test_l8_a_released_class_trades_again(sample: Sample, tmp_path: Path) -> None:
    for log_index, flags in enumerate((1, 0)):
        sample.maker.add(FlagClass(9_000, log_index, CLASS, flags))
    sample.maker.place(sample.first, SELL, MARKET, 1, 5_000_000)
    sample.maker.place(sample.buyer, BUY, MARKET, 1, 5_000_000)
    journal, findings = read(sample, tmp_path)
    assert not findings.breaks["L8"]
    assert not findings.breaks["L9"]
    assert len(journal.trades) == 3


def test_an_order_that_its_trader_did_not_sign_is_found(sample: Sample, tmp_path: Path) -> None:
    seq = sample.seq_of_trade(1)

    def change(at: int, entry):  # type: ignore[no-untyped-def]
        if at != seq:
            return entry
        order = entry.command.order._replace(price=entry.command.order.price + 1)
        return entry._replace(command=PlaceOrder(order, entry.command.signature))

    _, findings = read(sample, tmp_path, relink(sample.maker.entries, change))
    assert found(findings.breaks["L9"], "is not signed by its trader").amounts["seq"] == seq


def test_a_nonce_used_twice_is_found(sample: Sample, tmp_path: Path) -> None:
    seq = sample.seq_of_trade(2)
    entries = list(sample.maker.entries)
    entries.insert(seq, entries[seq - 1])
    _, findings = read(sample, tmp_path, relink(entries))
    assert found(findings.breaks["L10"], "is used a second time").amounts["seq"] == seq + 1
    assert found(findings.breaks["L9"], "the rules do not take it").amounts["seq"] == seq + 1


def test_a_nonce_far_above_the_lowest_unused_is_found(tmp_path: Path, sample: Sample) -> None:
    order = sample.maker.order(sample.buyer, BUY, MARKET, 1, 1_000, nonce=5_000)
    signature = sample.maker.sign(sample.buyer, order)
    last = decode_entry(sample.maker.entries[-1].entry)
    entries = relink(
        [*sample.maker.entries, sample.maker.entries[-1]],
        lambda seq, entry: (
            entry if seq <= sample.seq else last._replace(command=PlaceOrder(order, signature))
        ),
    )
    _, findings = read(sample, tmp_path, entries)
    assert found(findings.breaks["L9"], "more than 1024 above").amounts["nonce"] == 5_000


def test_an_epoch_that_falls_or_rises_without_a_leader_is_found(
    sample: Sample, tmp_path: Path
) -> None:
    for epoch in (0, 2):
        entries = relink(
            sample.maker.entries,
            lambda seq, entry, epoch=epoch: entry._replace(epoch=epoch) if seq == 9 else entry,
        )
        _, findings = read(sample, tmp_path, entries)
        assert found(findings.breaks["L9"], "epochs ascend").amounts["seq"] in (9, 10)


def test_a_takeover_raises_the_epoch(sample: Sample, tmp_path: Path) -> None:
    sample.maker.epoch = 2
    sample.maker.add(StartEpoch(bytes([2] * 16)))
    _, findings = read(sample, tmp_path)
    assert findings.breaks["L9"] == []
    assert findings.figures["L9"]["epochs"] == 2


def test_a_time_that_runs_backwards_is_found(sample: Sample, tmp_path: Path) -> None:
    entries = relink(
        sample.maker.entries,
        lambda seq, entry: entry._replace(time_ms=entry.time_ms - 5_000) if seq == 9 else entry,
    )
    _, findings = read(sample, tmp_path, entries)
    assert found(findings.breaks["L9"], "is before that of").amounts["seq"] == 9


def test_a_file_that_is_cut_off_is_found_and_what_stands_before_is_judged(
    sample: Sample, tmp_path: Path
) -> None:
    path = sample.maker.write(tmp_path / "whole")
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-3])
    findings = Findings()
    journal = read_journal(findings, tmp_path / "cut", DOMAIN, lambda *_: None)
    assert journal.length == sample.seq - 1
    assert found(findings.breaks["L9"], "is cut off").amounts["seq"] == sample.seq


def test_an_empty_journal_and_another_file_are_no_journal(tmp_path: Path, sample: Sample) -> None:
    _, findings = read(sample, tmp_path, [])
    assert found(findings.breaks["L9"], "has no entry")
    (tmp_path / "other").write_bytes(b"entries")
    findings = Findings()
    read_journal(findings, tmp_path / "other", DOMAIN, lambda *_: None)
    assert found(findings.breaks["L9"], "does not begin like an exported journal")
