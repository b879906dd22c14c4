"""What anybody may do on chain must not stop the index; what a reorganisation takes is reopened."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import pytest
from eth_utils.crypto import keccak

from backend.chain import abi, calls
from backend.chain.sender import Sender
from backend.domain.classes import CreditClass
from backend.domain.events import ChainEvent
from backend.domain.serials import Interval
from backend.domain.transactions import TransactionState
from backend.errors import IndexInconsistent
from backend.indexer import Indexer
from backend.local.anvil import Anvil
from backend.store import index
from backend.store.database import Database
from backend.store.queries.classes import get_class
from backend.store.transactions import PostgresTransactionLog
from tests.api.history import History, address, hash_of, make_class
from tests.indexer.test_recovery import kill_and_reload
from tests.indexer.world import VCS, World, a_class

pytestmark = pytest.mark.integration


def test_texts_that_are_no_utf8_do_not_stop_the_index(
    world: World, indexer: Indexer, database: Database
) -> None:
    holder, one = world.holders[0], a_class()
    world.send_all([world.mint(world.receipt(holder, one, (1, 10)))])
    args = (holder.address, one.token_id, 500, holder.address, "AAAA", "BBBB", "2026", bytes(32))
    data = abi.encode_call("CarbonCredits", "retirePublicly", args)
    hostile = data.replace(b"AAAA", b"\xff\xfe\xc0A").replace(b"BBBB", b"a\x00b\xed")
    target = world.deployment["CarbonCredits"]
    world.send_all([world.sign_raw(holder, target, hostile, 1_000_000)])
    assert indexer.advance() == world.rpc.block_number()
    indexer.check()
    with database.read() as connection:
        row = connection.exec_driver_sql(
            "SELECT beneficiary, purpose, period FROM certificate_details"
        ).one()
    assert row == ("\ufffd\ufffd\ufffdA", "a\u2400b\ufffd", "2026")


def test_a_transfer_of_nothing_of_a_class_that_does_not_exist_does_not_stop_the_index(
    world: World, indexer: Indexer, database: Database
) -> None:
    holder, other = world.holders[0], world.holders[1]
    unknown = int.from_bytes(keccak(text="no class"), "big")
    world.send_all([world.transfer(holder, other.address, unknown, 0)])
    batch = ([unknown, unknown + 1], [0, 0])
    args = (holder.address, other.address, *batch, b"")
    world.send_all([world.sign(holder, "CarbonCredits", "safeBatchTransferFrom", *args)])
    assert indexer.advance() == world.rpc.block_number()
    indexer.check()
    with database.read() as connection:
        held = connection.exec_driver_sql("SELECT count(*) FROM balances WHERE kilograms <> 0")
        assert held.scalar() == 0


def test_l10_a_final_transaction_that_a_reorganisation_takes_back_is_sent_again(
    world: World, indexer: Indexer, database: Database, chain: Anvil
) -> None:
    holder, other, one = world.holders[0], world.holders[1], a_class()
    world.send_all([world.mint(world.receipt(holder, one, (1, 10)))])
    log = PostgresTransactionLog(database)
    sender = Sender(world.rpc, log, lambda: int(time.time()), confirmations=0)
    data = calls.transfer(holder.address, other.address, one.token_id, 1_234)
    sender.submit("transfer", holder, world.deployment["CarbonCredits"], data)
    assert sender.wait("transfer", 10).state is TransactionState.FINAL
    indexer.advance()
    world.rpc.call("evm_setAutomine", False)
    world.rpc.call("anvil_reorg", 1, [])
    indexer.advance()
    reopened = log.get("transfer")
    assert reopened is not None
    assert reopened.state is TransactionState.SIGNED
    sender.advance()
    world.rpc.call("evm_mine")
    indexer.advance()
    sender.advance()
    again = log.get("transfer")
    assert again is not None
    assert again.state is TransactionState.FINAL
    assert again.attempts == reopened.attempts
    with database.read() as connection:
        held = connection.exec_driver_sql(
            "SELECT kilograms FROM balances WHERE account = %s", (other.address,)
        ).scalar()
    assert held == 1_234


def test_l10_a_final_transaction_that_died_with_the_chain_unindexed_is_sent_again(
    world: World, indexer: Indexer, database: Database, chain: Anvil
) -> None:
    holder, other, one = world.holders[0], world.holders[1], a_class()
    world.send_all([world.mint(world.receipt(holder, one, (1, 10)))])
    indexer.advance()
    chain.save()
    log = PostgresTransactionLog(database)
    sender = Sender(world.rpc, log, lambda: int(time.time()), confirmations=0)
    data = calls.transfer(holder.address, other.address, one.token_id, 1_234)
    sender.submit("transfer", holder, world.deployment["CarbonCredits"], data)
    assert sender.wait("transfer", 10).state is TransactionState.FINAL
    kill_and_reload(chain)
    indexer.recover()
    sender.advance()
    assert sender.wait("transfer", 10).state is TransactionState.FINAL
    indexer.advance()
    with database.read() as connection:
        held = connection.exec_driver_sql(
            "SELECT kilograms FROM balances WHERE account = %s", (other.address,)
        ).scalar()
    assert held == 1_234


# ── values that contracts of an older deployment accepted ────────────────────────────────────


def rows(database: Database, query: str) -> list[Any]:
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def minted(history: History, **changes: Any) -> CreditClass:
    """A class with tokens whose ClassCreated says something else in some fields."""
    one = make_class(1)
    history.mint(one, address(1), [Interval(VCS, 1, 10)])
    for at, event in enumerate(history._events):
        if event.name == "ClassCreated":
            made = {**event.args["creditClass"], **changes}
            args = {**event.args, "creditClass": made}
            history._events[at] = event._replace(args=args)
    history.save()
    return one


def test_what_the_registrar_alone_can_write_does_not_stop_the_index(database: Database) -> None:
    history = History(database)
    args = {"tier": 1, "expiry": 2**40 - 1, "account": address(1)}
    history.emit("Participants", "ParticipantAdmitted", jurisdiction="0x0041", **args)
    history.next_block()
    history.emit("Participants", "ParticipantAdmitted", jurisdiction="0xff00", **args)
    history.save()
    found = rows(database, "SELECT jurisdiction, expiry FROM participant_changes ORDER BY 1")
    assert found == [("\u2400A", 2**40 - 1), ("\ufffd", 2**40 - 1)]


def test_what_the_key_of_facts_alone_can_write_does_not_stop_the_index(
    database: Database,
) -> None:
    history = History(database)
    one = minted(history)
    text = {"key": "a\0", "value": "", "vocabulary": "\0"}
    history.emit("CarbonCredits", "FactRecorded", id=one.token_id, asOf=2**32 - 1, **text)
    history.save()
    found = rows(database, "SELECT as_of, key, vocabulary FROM class_facts")
    assert found == [(2**32 - 1, "a\u2400", "\u2400")]


def test_a_registry_date_of_any_number_is_kept(database: Database) -> None:
    history = History(database)
    one = minted(history)
    history.retire(address(1), one.token_id, 2_000)
    history.confirm(one.token_id, 0, [Interval(VCS, 1, 2)])
    last = history._events[-1]
    assert last.name == "RegistryRetirementRecorded"
    history._events[-1] = last._replace(args={**last.args, "registryDate": 2**32 - 1})
    history.save()
    found = rows(database, "SELECT registry_date FROM registry_confirmations")
    assert found == [(2**32 - 1,)]


@pytest.mark.parametrize(
    ("number", "day"),
    [
        (20200231, date(2020, 2, 29)),
        (20210229, date(2021, 2, 28)),
        (20200000, date(2019, 12, 31)),
        (20201332, date(2020, 12, 31)),
        (101, date(1, 1, 1)),
        (0, date(1, 1, 1)),
        (2**32 - 1, date(9999, 12, 31)),
    ],
)
def test_a_class_of_a_vintage_that_is_no_day_is_a_class_all_the_same(
    database: Database, number: int, day: date
) -> None:
    history = History(database)
    one = minted(history, vintageStart=number, vintageEnd=number, project="7\0")
    with database.read() as connection:
        found = get_class(connection, one.token_id)
        index.check_conservation(connection)
    assert (found.vintage_start, found.vintage_end, found.project) == (day, day, "7\u2400")
    said = rows(
        database,
        "SELECT args->'creditClass'->>'vintageStart' FROM chain_events WHERE name = 'ClassCreated'",
    )
    assert said == [(str(number),)]


@pytest.mark.parametrize("last", [2**63 - 1, 2**64 - 1])
def test_serials_beyond_every_registry_are_refused_naming_the_chain_block(
    database: Database, last: int
) -> None:
    history = History(database)
    minted(history)
    before = rows(database, "SELECT indexed_number FROM chain_state")
    series = "0x" + VCS.id.hex()
    position = {"classId": make_class(1).token_id, "firstPosition": 10, "receiptId": series}
    values = {**position, "seriesId": series, "first": 5, "last": last}
    history.emit("Trust", "BlockRegistered", **values)
    with pytest.raises(IndexInconsistent, match=f"chain block {history.block}.*{last}"):
        history.save()
    assert rows(database, "SELECT indexed_number FROM chain_state") == before


def test_any_other_value_that_postgres_refuses_names_the_chain_blocks(database: Database) -> None:
    history = History(database)
    minted(history)
    before = rows(database, "SELECT indexed_number FROM chain_state")
    where = (history.block, hash_of("block", history.block), history.transaction, 0, 0)
    args = {"account": address(2), "tier": 1, "jurisdiction": "0x4841", "expiry": 2**63}
    history._events.append(ChainEvent("Participants", "ParticipantAdmitted", args, *where))
    with pytest.raises(IndexInconsistent, match=f"chain blocks {history.block}.*out of range"):
        history.save()
    assert rows(database, "SELECT indexed_number FROM chain_state") == before
