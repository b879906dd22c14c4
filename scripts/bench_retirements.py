"""Retirements per second through the whole path, beside the chain alone in the same run.

Whole path: signed with our own nonces, stored in Postgres before they are sent, mined, final in the
sender's log, certificates with their serials in the index. Baseline: the same calls signed before
the clock starts and sent raw, nothing stored and nothing read.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.chain import calls  # noqa: E402
from backend.chain.sender import Call, Sender  # noqa: E402
from backend.domain.retirements import RetirementDetails  # noqa: E402
from backend.domain.transactions import TransactionState  # noqa: E402
from backend.indexer import Indexer  # noqa: E402
from backend.local.anvil import Anvil  # noqa: E402
from backend.local.postgres import Postgres, temporary_home  # noqa: E402
from backend.store.database import Database  # noqa: E402
from backend.store.transactions import PostgresTransactionLog  # noqa: E402
from tests.indexer.world import World, a_class  # noqa: E402

RETIREMENTS = 600
PER_BLOCK = 60
GAS = 260_000
KILOGRAMS = 1_237


def data_of(world: World, class_id: int) -> bytes:
    """One retirement of an odd number of kilograms with public texts."""
    holder = world.holders[0].address
    details = RetirementDetails("A beneficiary", "its travel", "2026")
    return calls.retire(holder, class_id, KILOGRAMS, holder, details)


def baseline(world: World, class_id: int, count: int) -> float:
    """Seconds to send and mine `count` retirements that were signed before."""
    holder, data = world.holders[0], data_of(world, class_id)
    raws = [
        world.sign_raw(holder, world.deployment["CarbonCredits"], data, GAS) for _ in range(count)
    ]
    started = time.perf_counter()
    for start in range(0, count, PER_BLOCK):
        part = raws[start : start + PER_BLOCK]
        sent = world.rpc.batch(("eth_sendRawTransaction", ("0x" + raw.hex(),)) for raw in part)
        world.rpc.call("evm_mine")
        assert len(sent) == len(part)
    return time.perf_counter() - started


def whole_path(world: World, database: Database, class_id: int, count: int) -> float:
    """Seconds until every retirement is final in the log and its certificate is indexed."""
    holder, data = world.holders[0], data_of(world, class_id)
    log = PostgresTransactionLog(database)
    sender = Sender(world.rpc, log, lambda: int(time.time()), confirmations=0)
    indexer = Indexer(world.rpc, world.deployment, database)
    indexer.advance()
    target = world.deployment["CarbonCredits"]
    started = time.perf_counter()
    for start in range(0, count, PER_BLOCK):
        part = range(start, min(start + PER_BLOCK, count))
        sender.submit_many([Call(f"retire:{n}", holder, target, data, GAS) for n in part])
        world.rpc.call("evm_mine")
        changed = sender.advance()
        assert all(one.state is TransactionState.FINAL for one in changed)
        indexer.advance()
    seconds = time.perf_counter() - started
    with database.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM certificates").scalar()
    # The baseline's certificates are on the chain and in the index too.
    assert found == 2 * count, f"{found} certificates, {2 * count} retirements"
    return seconds


def run(count: int = RETIREMENTS) -> dict[str, Any]:
    """Start a chain and a Postgres of the bench's own; the figures of one run."""
    home = temporary_home("causeway-bench-")
    postgres = Postgres(home, log=home / "postgres.log")
    postgres.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            anvil = Anvil(log=Path(directory) / "anvil.log")
            anvil.start()
            try:
                world = World(anvil.url, Path(directory))
                one = a_class()
                world.send_all([world.mint(world.receipt(world.holders[0], one, (1, 10**6)))])
                database = Database(postgres.url("postgres"))
                database.migrate()
                world.rpc.call("evm_setAutomine", False)
                raw_seconds = baseline(world, one.token_id, count)
                seconds = whole_path(world, database, one.token_id, count)
                database.close()
            finally:
                anvil.stop(save=False)
    finally:
        postgres.stop()
    return {
        "retirements": count,
        "seconds": round(seconds, 2),
        "retirements_per_second": round(count / seconds),
        "chain_alone_per_second": round(count / raw_seconds),
        "ratio": round(raw_seconds / seconds, 2),
    }


if __name__ == "__main__":
    print(run())
