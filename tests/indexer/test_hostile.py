"""What anybody may do on chain must not stop the index; what a reorganisation takes is reopened."""

from __future__ import annotations

import time

import pytest
from eth_utils.crypto import keccak

from backend.chain import abi, calls
from backend.chain.sender import Sender
from backend.domain.transactions import TransactionState
from backend.indexer import Indexer
from backend.local.anvil import Anvil
from backend.store.database import Database
from backend.store.transactions import PostgresTransactionLog
from tests.indexer.test_recovery import kill_and_reload
from tests.indexer.world import World, a_class

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
