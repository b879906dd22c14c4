"""The index against a real chain: what it says, reorganisations, rebuilds, laws."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import select, text

from backend.chain.rpc import Rpc
from backend.domain.custody import RegistryRetirement
from backend.domain.positions import Positions
from backend.domain.serials import Interval
from backend.errors import ChainBehind, Conflict, DeploymentMismatch, IndexInconsistent
from backend.indexer import Indexer
from backend.local.anvil import Anvil
from backend.store import index, tables
from backend.store.database import Database
from tests.conftest import AnvilFactory
from tests.indexer.conftest import MakeDatabase
from tests.indexer.contents import contents, count
from tests.indexer.world import LABELS, VCS, World, a_class

pytestmark = pytest.mark.integration

CLASS = a_class("1001", "ccp")
OTHER = a_class("1002")


def live_a_little(world: World) -> None:
    """Two classes, transfers, retirements of odd kilograms, a registry's confirmation."""
    first, second, third = world.holders[:3]
    world.send_all([world.mint(world.receipt(first, CLASS, (1, 100), (201, 250)))])
    world.send_all([world.mint(world.receipt(second, OTHER, (301, 400)))])
    world.send_all(
        [
            world.transfer(first, second.address, CLASS.token_id, 70_500),
            world.transfer(first, third.address, CLASS.token_id, 1),
        ]
    )
    world.send_all([world.retire(second, CLASS.token_id, 12_345)])
    world.send_all(
        [world.retire(third, CLASS.token_id, 1), world.retire(second, OTHER.token_id, 7)]
    )
    confirmed = RegistryRetirement(
        CLASS.token_id, 0, (Interval(VCS, 1, 12),), "VCS-2026-1", 20260110, bytes(32)
    )
    world.send_all([world.confirm(confirmed)])


def test_the_read_models_say_what_happened(
    world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    assert indexer.advance() == world.rpc.block_number()
    indexer.check()
    first, second, third = (holder.address for holder in world.holders[:3])
    with database.read() as connection:
        held = {
            (row.account, row.class_id): (row.kilograms, row.retired)
            for row in connection.execute(select(tables.balances))
        }
        classes = connection.execute(select(tables.classes).order_by(tables.classes.c.number)).all()
        newest = connection.execute(
            select(tables.position_changes)
            .where(tables.position_changes.c.class_id == CLASS.token_id)
            .order_by(tables.position_changes.c.block_number.desc())
        ).first()
        confirmed = connection.execute(select(tables.registry_confirmations)).one()
        blocks = connection.execute(
            select(tables.class_blocks)
            .where(tables.class_blocks.c.class_id == CLASS.token_id)
            .order_by(tables.class_blocks.c.first_position)
        ).all()
    assert held == {
        (first, CLASS.token_id): (79_499, 0),
        (second, CLASS.token_id): (58_155, 12_345),
        (third, CLASS.token_id): (0, 1),
        (second, OTHER.token_id): (99_993, 7),
    }
    assert [row.class_id for row in classes] == [CLASS.token_id, OTHER.token_id]
    assert classes[0].cohort == ["ccp"]
    assert classes[0].vintage_start == date(2020, 1, 1)
    assert newest is not None
    counters = Positions(newest.minted, newest.exited, newest.open_tonne, newest.dust)
    assert counters == Positions(150, 13, 12, 654)
    assert (confirmed.first_position, confirmed.tonnes, confirmed.reference) == (
        0,
        12,
        "VCS-2026-1",
    )
    assert [(row.first_position, row.first, row.last) for row in blocks] == [
        (0, 1, 100),
        (100, 201, 250),
    ]


def test_a_rebuild_and_a_second_database_equal_the_incremental_index(
    world: World, indexer: Indexer, database: Database, make_database: MakeDatabase
) -> None:
    indexer.advance()
    live_a_little(world)
    for _ in range(3):
        world.send_all(
            [world.transfer(world.holders[1], world.holders[0].address, CLASS.token_id, 3)]
        )
        indexer.advance()
    before = contents(database)
    other = make_database()
    Indexer(world.rpc, world.deployment, other, labels=LABELS).advance()
    assert contents(other) == before
    indexer.rebuild()
    assert contents(database) == before
    assert before["certificates"]


def test_a_reorganisation_is_taken_back_exactly(
    world: World, indexer: Indexer, database: Database, make_database: MakeDatabase
) -> None:
    live_a_little(world)
    indexer.advance()
    for depth in (1, 3, 2):
        world.rpc.call("anvil_rollback", depth)
        for key in [*world.holders, *world.keys.values()]:
            world.forget_nonces(key)
        world.send_all(
            [world.transfer(world.holders[1], world.holders[0].address, OTHER.token_id, 5)]
        )
        assert indexer.advance() == world.rpc.block_number()
    fresh = make_database()
    Indexer(world.rpc, world.deployment, fresh, labels=LABELS).advance()
    assert contents(database) == contents(fresh)
    indexer.check()
    with database.read() as connection:
        state = index.load_state(connection)
    assert state is not None
    assert state.epoch == 3


def test_a_rollback_alone_shortens_the_index(
    world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    top = indexer.advance()
    world.rpc.call("anvil_rollback", 4)
    assert indexer.advance() == top - 4
    indexer.check()


def test_a_reorganisation_with_other_chain_blocks_replaces_the_old_ones(
    world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    indexer.advance()
    old = {int(row[0]): row[1] for row in contents(database)["chain_blocks"]}
    world.rpc.call("anvil_reorg", 2, [])
    top = indexer.advance()
    new = {int(row[0]): row[1] for row in contents(database)["chain_blocks"]}
    assert new.keys() == old.keys()
    assert {number for number in new if new[number] != old[number]} == {top, top - 1}


def test_l1_a_range_that_breaks_conservation_is_refused_and_nothing_of_it_is_stored(
    world: World, indexer: Indexer, database: Database
) -> None:
    live_a_little(world)
    indexer.advance()
    before = contents(database)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE position_changes SET minted = minted + 1 WHERE class_id = :id"),
            {"id": OTHER.token_id},
        )
    with pytest.raises(IndexInconsistent, match="L1"):
        indexer.check()
    world.send_all([world.mint(world.receipt(world.holders[0], OTHER, (401, 410)))])
    with pytest.raises(IndexInconsistent, match="first position"):
        indexer.advance()
    assert contents(database)["chain_blocks"] == before["chain_blocks"]


def test_a_database_of_another_chain_is_refused(
    world: World, indexer: Indexer, database: Database, anvil_factory: AnvilFactory
) -> None:
    indexer.advance()
    stranger = Rpc(anvil_factory(chain_id=31338).url)
    with pytest.raises(DeploymentMismatch, match="31338"):
        Indexer(stranger, world.deployment, database).advance()
    stranger.close()


def test_of_two_indexers_that_write_the_same_range_one_is_refused(
    world: World, indexer: Indexer, database: Database
) -> None:
    indexer.advance()
    with database.read() as connection:
        state = index.load_state(connection)
    assert state is not None
    live_a_little(world)
    indexer.advance()
    rows = count(database, "chain_events")
    late = Indexer(world.rpc, world.deployment, database, labels=LABELS)
    found = late._fetcher.fetch(
        state.indexed_number + 1, world.rpc.block_number(), state.indexed_hash, None
    )
    with pytest.raises(Conflict), database.begin() as connection:
        index.append(connection, state, found.blocks, found.events)
    assert count(database, "chain_events") == rows


def test_texts_that_postgres_cannot_hold_are_made_visible(
    world: World, indexer: Indexer, database: Database
) -> None:
    holder = world.holders[0]
    world.send_all([world.mint(world.receipt(holder, CLASS, (1, 10)))])
    world.send_all([world.retire(holder, CLASS.token_id, 5, 'a\x00b\\u0000\t"\n')])
    indexer.advance()
    with database.read() as connection:
        words = connection.execute(select(tables.certificate_details.c.beneficiary)).scalar_one()
        events = tables.chain_events
        args = connection.execute(
            select(events.c.args).where(events.c.name == "RetirementDetailsPublished")
        ).scalar_one()
    assert words == 'a\u2400b\\u0000\t"\n'
    assert args["beneficiary"] == words


def test_a_chain_that_was_started_again_without_its_state_is_not_followed_silently(
    world: World, indexer: Indexer, chain: Anvil
) -> None:
    live_a_little(world)
    indexer.advance()
    chain.stop(save=False)
    chain.start()
    with pytest.raises(ChainBehind, match="recover"):
        indexer.advance()
