"""Events of the Exchange in the index: balances follow from logs alone, and fall with a rewind.

The batches are what the real engine matched, packed as the leader packs them; the engine is the
oracle of what every account has once all of it has settled.
"""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from sqlalchemy import text

from backend.domain.batches import Batch, deltas, encode_batch
from backend.domain.commands import CreditDeposit
from backend.errors import IndexInconsistent
from backend.exchange.projector import Projector
from backend.store import index
from backend.store.database import Database
from backend.store.exchange_index import check_solvency
from backend.store.exchange_projection import NOBODY
from backend.store.queries import exchange, market
from tests.api.history import History, hash_of
from tests.exchange.random_journal import CLASSES, MONEY, RandomJournal, store
from tests.indexer.contents import contents

pytestmark = pytest.mark.integration

HEAD = "0x" + "5a" * 32
_STEPS = {"_random_order": 80, "_random_cancel": 5, "_random_deposit": 5, "_random_withdrawal": 10}


def address(account: bytes) -> str:
    return to_checksum_address("0x" + account.hex())


class Chain:
    """Emits what the Exchange would for a journal of the engine."""

    def __init__(self, database: Database, seed: int) -> None:
        self.history = History(database)
        self.journal = RandomJournal(seed)
        self.journal.take(500, _STEPS)
        trades, withdrawals = self.journal.engine.unsettled()
        self.trades, self.withdrawals = list(trades), list(withdrawals)

    def emit(self, name: str, **args: Any) -> None:
        self.history.emit("Exchange", name, **args)

    def deposit_all(self) -> None:
        for entry, _ in self.journal.answers:
            if isinstance(entry.command, CreditDeposit):
                _, _, number, account, asset, amount = entry.command
                values = {"account": address(account), "asset": asset, "amount": amount}
                self.emit("Deposited", depositId=number, **values)
        self.history.save()

    def settle(self, count: int, short: dict[int, int] | None = None) -> Batch:
        """Settle the next trades and the withdrawals between them; as one transaction."""
        trades, self.trades = self.trades[:count], self.trades[count:]
        last = self.trades[0].number if self.trades else trades[-1].number + 1
        ready = [one for one in self.withdrawals if one.after_trade < last]
        first = self.withdrawals[0].number if self.withdrawals else 10**6
        self.withdrawals = self.withdrawals[len(ready) :]
        batch = Batch(trades[0].number, trades, first, ready, 9, bytes.fromhex(HEAD[2:]), 10, 20)
        for number, moved in (short or {}).items():
            self.emit("WithdrawalShort", number=number, moved=moved)
        self.emit(
            "BatchSettled",
            firstTrade=trades[0].number,
            lastTrade=trades[-1].number,
            lastWithdrawal=first + len(ready) - 1,
            seq=9,
            head=HEAD,
            batch="0x" + encode_batch(batch).hex(),
        )
        self.history.save()
        return batch

    def settle_all(self, at_once: int = 15) -> list[Batch]:
        batches = []
        while self.trades:
            batches.append(self.settle(at_once))
        return batches


def balances(database: Database) -> dict[tuple[str, int], tuple[int, int]]:
    with database.read() as connection:
        rows = connection.execute(text("SELECT * FROM exchange_balances")).all()
    return {(row.account, int(row.asset)): (int(row.balance), int(row.claimable)) for row in rows}


def test_when_everything_has_settled_the_chain_has_what_the_engine_has(database: Database) -> None:
    chain = Chain(database, 4)
    chain.deposit_all()
    batches = chain.settle_all()
    assert len(batches) > 2
    found, engine = balances(database), chain.journal.engine
    for trader in chain.journal.traders:
        for asset in (*MONEY, *CLASSES):
            available, reserved = engine.balance(trader, asset)
            moved = sum(
                one.withdrawal.amount
                for batch in batches
                for one in batch.withdrawals
                if (one.withdrawal.trader, one.withdrawal.asset) == (trader, asset)
            )
            waiting = sum(
                one.withdrawal.amount
                for one in chain.withdrawals
                if (one.withdrawal.trader, one.withdrawal.asset) == (trader, asset)
            )
            want = (available + reserved + waiting, moved)
            assert found.get((address(trader), asset), (0, 0)) == want
    for asset in MONEY:
        assert found.get((NOBODY, asset), (0, 0)) == (engine.fees_collected(asset), 0)
    for instrument in CLASSES:
        assert found.get((NOBODY, instrument), (0, 0)) == (engine.earmarked(instrument), 0)
    with database.read() as connection:
        acts = connection.execute(
            text("SELECT first_trade, last_trade FROM exchange_acts ORDER BY first_trade")
        ).all()
    assert [tuple(act) for act in acts] == [
        (batch.trades[0].number, batch.trades[-1].number) for batch in batches
    ]


def test_a_rewind_takes_back_exactly_what_the_blocks_had_brought(database: Database) -> None:
    chain = Chain(database, 6)
    chain.deposit_all()
    chain.settle(30)
    before, at = contents(database), chain.history.block - 1
    chain.settle_all()
    trader = chain.journal.traders[0]
    chain.emit("ExitRequested", account=address(trader), asset=MONEY[0], requestedAt=5)
    chain.history.save()
    after = contents(database)
    assert before != after
    with database.begin() as connection:
        index.rewind(connection, at, hash_of("block", at))
    assert contents(database) == before


def test_a_shorted_withdrawal_moves_what_its_event_says(database: Database) -> None:
    chain = Chain(database, 4)
    chain.deposit_all()
    asked = chain.withdrawals[0]
    key = (address(asked.withdrawal.trader), asked.withdrawal.asset)
    count = asked.after_trade - chain.trades[0].number + 1
    started = balances(database)[key]
    batch = chain.settle(max(count, 1), {asked.number: 7})
    assert batch.withdrawals[0].number == asked.number
    full = deltas(batch)
    account = (asked.withdrawal.trader, asked.withdrawal.asset)
    missing = asked.withdrawal.amount - 7
    assert balances(database)[key] == (
        started[0] + full.balances[account] + missing,
        full.claimable[account] - missing,
    )


def test_claims_exits_fees_and_retirements_move_what_they_say(database: Database) -> None:
    chain = Chain(database, 4)
    chain.deposit_all()
    chain.settle_all()
    one, two = "0x" + "aB" * 20, "0x" + "Cd" * 20
    trader = chain.journal.traders[1]
    start = balances(database)
    owned, fees = start[address(trader), MONEY[0]], start[NOBODY, MONEY[0]][0]
    earmarked = start[NOBODY, CLASSES[0]][0]
    assert fees > 3
    assert earmarked
    chain.emit("FeePayeesSet", operator=one, developer=two, developerShareBps=1_000)
    chain.emit("ExitRequested", account=address(trader), asset=MONEY[0], requestedAt=77)
    chain.emit("ExitExecuted", account=address(trader), asset=MONEY[0], amount=owned[0])
    chain.history.save()
    chain.emit("Claimed", account=address(trader), asset=MONEY[0], amount=sum(owned))
    chain.emit("FeesCollected", asset=MONEY[0], operatorAmount=fees - 3, developerAmount=3)
    chain.emit(
        "RetirementCompleted",
        orderDigest=HEAD,
        trader=address(trader),
        instrument=CLASSES[0],
        kilograms=earmarked,
        certificateId=1,
    )
    chain.history.save()
    found = balances(database)
    assert found[address(trader), MONEY[0]] == (0, 0)
    assert (found[one, MONEY[0]], found[two, MONEY[0]]) == ((0, fees - 3), (0, 3))
    assert found[NOBODY, MONEY[0]] == found[NOBODY, CLASSES[0]] == (0, 0)


def test_an_account_sees_what_it_has_on_chain_and_which_exits_run(database: Database) -> None:
    chain = Chain(database, 4)
    chain.deposit_all()
    chain.settle_all()
    trader = address(chain.journal.traders[1])
    for asset in (MONEY[0], MONEY[1]):
        chain.emit("ExitRequested", account=trader, asset=asset, requestedAt=77)
    chain.history.save()
    chain.emit("ExitCancelled", account=trader, asset=MONEY[1])
    chain.history.save()
    want = {key[1]: sums for key, sums in balances(database).items() if key[0] == trader}
    with database.read() as connection:
        first = exchange.balances_of(connection, trader, limit=2)
        rest = exchange.balances_of(connection, trader, cursor=first.next_cursor)
    found = [*first.items, *rest.items]
    assert {one.asset: (one.balance, one.claimable) for one in found} == want
    assert {one.asset: one.exit_requested_at for one in found if one.exit_requested_at} == {
        MONEY[0]: 77
    }


def test_acts_are_listed_and_a_trade_names_the_transaction_that_settled_it(
    database: Database,
) -> None:
    chain = Chain(database, 4)
    chain.deposit_all()
    first, second = chain.settle(5), chain.settle(5)
    last = second.trades[-1].number
    empty = {"firstWithdrawal": 50, "lastWithdrawal": 49}
    void = {"firstTrade": last + 1, "lastTrade": last + 3, **empty}
    chain.emit("TradesVoided", **void, reason=1, seq=10, head=HEAD)
    chain.emit("Anchored", seq=11, head=HEAD)
    chain.history.save()
    journal = chain.journal
    journal.settle(last, second.first_withdrawal + len(second.withdrawals) - 1)
    with database.begin() as connection:
        store(connection, 1, journal.rows)
    Projector(database, 1).catch_up()
    with database.read() as connection:
        acts = exchange.list_acts(connection).items
        assert [act.kind for act in acts] == ["anchor", "void", "batch", "batch"]
        assert exchange.list_acts(connection, kind="void").items == (acts[1],)
        assert (acts[1].first_trade, acts[1].last_trade) == (last + 1, last + 3)
        head = market.venue_head(connection, 1)
        for trade, act in ((first.trades[0], acts[3]), (second.trades[-1], acts[2])):
            found = market.get_trade(connection, head, trade.number)
            assert found.state == "settled"
            assert found.transaction_hash == act.transaction_hash
        unsettled = market.get_trade(connection, head, last + 1)
        assert (unsettled.state, unsettled.transaction_hash) == ("matched", None)
        assert first.trades[0].number == acts[3].first_trade


def test_a_claim_of_more_than_there_is_stops_the_index(database: Database) -> None:
    chain = Chain(database, 4)
    chain.deposit_all()
    before = contents(database)
    trader = address(chain.journal.traders[0])
    chain.emit("Claimed", account=trader, asset=MONEY[0], amount=1)
    with pytest.raises(IndexInconsistent, match="L7"):
        chain.history.save()
    assert contents(database) == before


def test_credits_owed_and_not_held_break_the_check(database: Database) -> None:
    chain = Chain(database, 4)
    chain.deposit_all()
    exchange = address(bytes([0xEE]) * 20)
    with database.read() as connection, pytest.raises(IndexInconsistent, match="L7"):
        check_solvency(connection, exchange)
    held = dict.fromkeys(CLASSES, 0)
    for (_, asset), sums in balances(database).items():
        if asset in held:
            held[asset] += sum(sums)
    with database.begin() as connection:
        for asset, kilograms in held.items():
            connection.execute(
                text("INSERT INTO balances VALUES (:account, :asset, :kilograms, 0)"),
                {"account": exchange, "asset": asset, "kilograms": kilograms},
            )
        check_solvency(connection, exchange)
