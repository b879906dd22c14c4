"""A change of custodian against the simulated registry: blocks move one by one, receipts follow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date

import pytest

from backend.bridge.holdings import ConnectedAccount, Holdings
from backend.bridge.move_flow import MOVE, MoveFlow
from backend.domain.classes import CreditClass, UnitType
from backend.domain.custody import Receipt
from backend.domain.serials import Interval
from backend.errors import InvalidValue
from backend.registries.custody_file import Custody, parse_custody, sample_text
from backend.registries.simulator.faults import Faults
from backend.store.breaks import list_breaks
from backend.store.custody import Custody as CustodyStore
from backend.store.database import Database
from backend.store.flows import Flows
from backend.store.trust_accounts import rebindings_of
from tests.registries.simulator_process import SimulatorProcess
from tests.store.rows import VCS, row, save

pytestmark = pytest.mark.integration

CLASS = CreditClass("VCS", "1001", UnitType.CREDIT, date(2020, 1, 1), date(2020, 12, 31))


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess(tmp_path_factory.mktemp("registry"))
    process.start()
    process.open_account("OLD", "1")
    process.open_account("NEW", "1", acceptance="accept")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def custody() -> Custody:
    document = json.loads(sample_text())
    old = document["trusts"][0] | {"name": "old", "account": "OLD", "successor": "new"}
    new = document["trusts"][0] | {"name": "new", "account": "NEW", "trustee": "Sample Two"}
    document["trusts"] = [old, new]
    return parse_custody(document)


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    made = Database(migrated_url)
    save(made, [row(1, 1_000)], "active")
    yield made
    made.close()


@pytest.fixture
def moves(database: Database, simulator: SimulatorProcess, custody: Custody) -> Iterator[MoveFlow]:
    simulator.faults()
    with closing(simulator.client()) as client:
        accounts = [ConnectedAccount(one.account, client) for one in custody.trusts]
        yield MoveFlow(database, Holdings(database, accounts), custody)


def receipt(database: Database, custody: Custody, first: int, last: int) -> str:
    trust = custody.trust("old")
    made = Receipt(
        "0x" + "22" * 20,
        CLASS,
        trust.account_id,
        (Interval(VCS, first, last),),
        bytes([first % 250]) * 32,
        trust.terms_hash,
        2**39,
    )
    return CustodyStore(database).draft(made, 31337, "0x" + "11" * 20).id


def advance_all(database: Database, moves: MoveFlow) -> None:
    """What the sweeper does, until nothing is open."""
    for _ in range(40):
        for flow in Flows(database).of_kind(MOVE, only_open=True):
            moves.advance(flow)
    assert Flows(database).of_kind(MOVE, only_open=True) == []


def test_every_block_moves_and_its_receipt_is_rebound_once(
    database: Database, simulator: SimulatorProcess, custody: Custody, moves: MoveFlow
) -> None:
    simulator.issue("VCS:2/1-100", "OLD", "1")
    simulator.issue("VCS:2/201-300", "OLD", "1")
    one, two = receipt(database, custody, 1, 100), receipt(database, custody, 201, 300)
    assert len(moves.plan("old")) == len(moves.plan("old")) == 2
    simulator.faults(seed=5, fail_after=300, fail_before=200, cut_after=200)
    advance_all(database, moves)
    simulator.faults()

    old, new = custody.trust("old"), custody.trust("new")
    with closing(simulator.client()) as client:
        assert client.inventory(old.account).blocks == ()
        assert client.inventory(new.account).tonnes == 200
    with database.read() as connection:
        found = {name: rebindings_of(connection, name) for name in (one, two)}
    for rebound in found.values():
        (entry,) = rebound
        assert (entry.old, entry.new) == (old.account, new.account)
        assert entry.terms_hash == new.terms_hash != old.terms_hash
    assert found[one][0].registry_reference != found[two][0].registry_reference
    # Planned again after the move there is nothing left, and nothing happens twice.
    assert {flow.state for flow in moves.plan("old")} == {"moved"}


def test_a_registry_that_takes_other_serials_stops_the_move_with_a_break(
    database: Database, simulator: SimulatorProcess, custody: Custody, moves: MoveFlow
) -> None:
    simulator.issue("VCS:2/401-500", "OLD", "1")
    held = receipt(database, custody, 401, 500)
    (flow,) = moves.plan("old")
    simulator.issue("VCS:2/601-700", "OLD", "1")
    # The second of the two blocks, by the registry's own draw.
    seed = next(n for n in range(64) if Faults(seed=n).number("pool", flow.id) % 2)
    simulator.faults(seed=seed, other_serials=1000, other_serials_scope="class")
    advance_all(database, moves)
    simulator.faults()
    (ended,) = Flows(database).of_kind(MOVE)
    assert (ended.state, ended.ended) == ("broken", True)
    assert "VCS:2/601-700" in (ended.reason or "")
    with database.read() as connection:
        assert rebindings_of(connection, held) == []
        kinds = [one.kind for one in list_breaks(connection).items]
    assert kinds == ["other-move"]


def test_an_account_without_a_successor_is_not_given_up(moves: MoveFlow) -> None:
    with pytest.raises(InvalidValue, match="not named"):
        moves.plan("new")
