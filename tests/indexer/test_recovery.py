"""A chain that comes back older than the index: recovered exactly, or refused by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import select

from backend.errors import ChainBehind, ChainReplaced
from backend.indexer import Indexer
from backend.local.anvil import Anvil
from backend.store import tables
from backend.store.database import Database
from tests.indexer.conftest import MakeDatabase
from tests.indexer.contents import contents
from tests.indexer.test_following import CLASS, OTHER, live_a_little
from tests.indexer.world import LABELS, World

pytestmark = pytest.mark.integration


def facts(database: Database) -> dict[str, list[tuple[str, ...]]]:
    """What the index says, without hashes of chain blocks."""
    found = contents(database)
    found["chain_events"] = [(*row[:2], *row[3:]) for row in found["chain_events"]]
    found["chain_blocks"] = [(row[0], *row[3:]) for row in found["chain_blocks"]]
    return found


def kill_and_reload(chain: Anvil) -> None:
    """Kill -9, then start from the newest saved state."""
    assert chain.child is not None
    os.kill(chain.child.pid, signal.SIGKILL)
    chain.stop(save=False)
    chain.start()


def test_what_a_killed_chain_lost_is_sent_again_in_its_order_and_time(
    chain: Anvil, world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    chain.save()
    first, second = world.holders[:2]
    in_one_block = [
        world.transfer(second, first.address, OTHER.token_id, 1_000),
        world.transfer(first, second.address, CLASS.token_id, 1_001),
        world.retire(second, CLASS.token_id, 999),
        world.retire(first, CLASS.token_id, 1_503),
    ]
    newest = world.rpc.block("latest")
    assert newest is not None
    world.send_in_one_block(in_one_block, newest.timestamp + 500)
    world.rpc.call("evm_mine")
    world.send_all([world.retire(first, CLASS.token_id, 77)])
    top = indexer.advance()
    before = facts(database)
    kill_and_reload(chain)
    assert world.rpc.block_number() < top
    with pytest.raises(ChainBehind, match="recover"):
        indexer.advance()
    done = indexer.recover()
    assert (done.replayed_blocks, done.replayed_transactions) == (3, 5)
    assert facts(database) == before
    indexer.check()
    world.send_all([world.retire(first, CLASS.token_id, 1)])
    assert indexer.advance() == top + 1


def test_a_chain_that_comes_back_later_takes_the_recorded_times(
    chain: Anvil, world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    chain.save()
    world.send_all([world.retire(world.holders[0], CLASS.token_id, 77)])
    indexer.advance()
    before = facts(database)
    # Anvil begins with the time of its start, which is then after the recorded one.
    time.sleep(2.1)
    kill_and_reload(chain)
    assert indexer.recover().replayed_blocks == 1
    assert facts(database) == before


def test_what_grew_on_the_older_state_makes_room_and_follows_behind(
    chain: Anvil, world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    chain.save()
    first, second, third = world.holders[:3]
    world.send_all([world.retire(first, CLASS.token_id, 1_503)])
    indexer.advance()
    kill_and_reload(chain)
    # A wallet that does not know of the loss is faster than the recovery.
    hasty = world.transfer(second, third.address, OTHER.token_id, 3)
    world.send_all([hasty])
    done = indexer.recover()
    assert (done.replayed_blocks, done.resent) == (1, 1)
    world.require_success([_hash(hasty)])
    indexer.advance()
    with database.read() as connection:
        order = (
            connection.execute(
                select(tables.chain_events.c.transaction_hash)
                .where(tables.chain_events.c.name == "TransferSingle")
                .order_by(tables.chain_events.c.block_number.desc())
            )
            .scalars()
            .all()
        )
    assert order[0] == _hash(hasty)
    indexer.check()


def test_a_chain_killed_after_a_reorganisation_and_before_the_next_save_comes_back(
    chain: Anvil, world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    chain.save()
    first, second = world.holders[:2]
    for kilograms in (101, 102, 103):
        world.send_all([world.transfer(first, second.address, CLASS.token_id, kilograms)])
        chain.save()
    indexer.advance()
    world.rpc.call("anvil_reorg", 2, [])
    world.send_all([world.retire(second, CLASS.token_id, 77)])
    top = indexer.advance()
    before = facts(database)
    kill_and_reload(chain)
    # Both newest states are of chain blocks that were replaced.
    for _ in range(2):
        with pytest.raises(ChainReplaced, match="load an older saved state"):
            indexer.recover()
        chain.fall_back()
    assert indexer.recover().replayed_transactions == 2
    assert facts(database) == before
    indexer.check()
    assert indexer.advance() == top


def _hash(raw: bytes) -> str:
    return "0x" + keccak(raw).hex()


def test_a_recovery_that_was_killed_is_done_again_from_the_start(
    chain: Anvil, world: World, indexer: Indexer, database: Database, make_database: MakeDatabase
) -> None:
    live_a_little(world)
    chain.save()
    first = world.holders[0]
    for kilograms in (100, 200, 300):
        world.send_all([world.retire(first, CLASS.token_id, kilograms)])
    indexer.advance()
    before = facts(database)
    kill_and_reload(chain)
    # As far as a killed recovery came: one chain block made again, mining left off.
    with database.read() as connection:
        kept = tables.chain_transactions
        lost = world.rpc.block_number() + 1
        raw = connection.execute(select(kept.c.raw).where(kept.c.block_number == lost)).scalar_one()
    made = world.rpc.block("latest")
    assert made is not None
    # Another time than the recorded one, so that the chain block cannot come out the same.
    world.rpc.call("evm_setNextBlockTimestamp", made.timestamp + 1_000)
    world.send_all([bytes(raw)])
    world.rpc.call("evm_setAutomine", False)
    done = indexer.recover()
    assert done.replayed_blocks == 3
    assert facts(database) == before
    again = make_database()
    Indexer(world.rpc, world.deployment, again, labels=LABELS).advance()
    assert facts(again) == before
    world.send_all([world.retire(first, CLASS.token_id, 1)])


def test_a_chain_from_the_newest_state_needs_no_recovery(
    chain: Anvil, world: World, indexer: Indexer
) -> None:
    live_a_little(world)
    top = indexer.advance()
    chain.save()
    kill_and_reload(chain)
    assert indexer.advance() == top
    assert indexer.recover().replayed_blocks == 0


def test_what_is_not_recorded_any_more_is_named(
    chain: Anvil, world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    chain.save()
    sent = world.send_all([world.retire(world.holders[0], CLASS.token_id, 1_503)])
    top = indexer.advance()
    assert indexer.mark_durable(top) > 0
    before = contents(database)
    kill_and_reload(chain)
    with pytest.raises(ChainBehind) as refused:
        indexer.recover()
    assert refused.value.values["missing_blocks"] == [top]
    assert refused.value.values["transactions"] == sent
    assert contents(database) == before


def test_durable_chain_blocks_need_no_recorded_transactions(
    world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    top = indexer.advance()
    indexer.mark_durable(top - 1)
    with database.read() as connection:
        kept = connection.execute(select(tables.chain_transactions.c.block_number)).scalars().all()
    assert set(kept) == {top}
    indexer.rebuild()
    with database.read() as connection:
        kept = connection.execute(select(tables.chain_transactions.c.block_number)).scalars().all()
    assert set(kept) == {top}


_CHILD = """
import sys, time
from backend.chain.manifest import Deployment
from backend.chain.rpc import Rpc
from backend.indexer import Indexer
from backend.store import index
from backend.store.database import Database

url, deployment, database = sys.argv[1:4]
original = index._add_balances

def slow(connection, projection):
    original(connection, projection)
    print("written", flush=True)
    time.sleep(60)

index._add_balances = slow
Indexer(Rpc(url), Deployment.load(deployment), Database(database)).advance()
"""


def test_a_kill_inside_an_indexing_transaction_leaves_the_range_out_as_a_whole(
    chain: Anvil, world: World, database: Database, tmp_path: Path, make_database: MakeDatabase
) -> None:
    live_a_little(world)
    arguments = [chain.url, str(tmp_path / "deployment.json"), database.url]
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    child.kill()
    child.wait()
    child.stdout.close()
    _wait_until_rolled_back(database)
    indexed = contents(database)
    top = max((int(row[0]) for row in indexed["chain_blocks"]), default=-1)
    assert top < world.rpc.block_number()
    assert all(int(row[0]) <= top for row in indexed["chain_events"])
    Indexer(world.rpc, world.deployment, database, labels=LABELS).advance()
    fresh = make_database()
    Indexer(world.rpc, world.deployment, fresh, labels=LABELS).advance()
    indexed, expected = contents(database), contents(fresh)
    # The killed process knew no vocabulary; nothing else may differ.
    assert indexed == expected


def _wait_until_rolled_back(database: Database) -> None:
    """Postgres notices a dead client a moment later; until then its lock stands."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with database.read() as connection:
            others = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction' AND pid <> pg_backend_pid()"
            ).scalar()
        if not others:
            return
        time.sleep(0.05)
    raise AssertionError("the transaction of the killed process is still open")
