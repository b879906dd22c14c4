"""Indexing 100,000 events of a real chain into Postgres, cold, beside web3.py's usual loop.

The events are made by many calls per transaction and many transactions per chain block: transfers
between 50 accounts in eight classes, every tenth transaction retirements. The baseline decodes
a part of the same chain with web3.py and stores nothing.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from eth_utils.address import to_checksum_address  # noqa: E402
from web3 import HTTPProvider, Web3  # noqa: E402

from backend.chain import abi  # noqa: E402
from backend.indexer import Indexer  # noqa: E402
from backend.local.anvil import Anvil  # noqa: E402
from backend.local.postgres import Postgres, temporary_home  # noqa: E402
from backend.store.database import Database  # noqa: E402
from tests.indexer.world import World, a_class, key_of  # noqa: E402

EVENTS = 100_000
TRANSFERS_PER_TRANSACTION = 100
RETIREMENTS_PER_TRANSACTION = 25
EVENTS_PER_RETIREMENT = 5
RETIREMENTS_EVERY = 10
TRANSACTIONS_PER_BLOCK = 50
ACCOUNTS = 50
CLASSES = 8
BASELINE_EVENTS = 10_000
#: Calls a target `times` times with the rest of its calldata (target, times, call …) and reverts
#: as the target does; written by hand so that the bench needs no compiler:
#: `size = calldatasize − 64; calldatacopy(0, 64, size); while (times--) call(target, 0, size)`.
REPEATER = bytes.fromhex(
    "60308060095f395ff3"
    "604036038060405f376020355b80156026575f5f835f5f5f355af11560285760019003600c56"
    "5b005b3d5f5f3e3d5ffd"
)  # fmt: skip


def repeated(target: str, times: int, call: bytes) -> bytes:
    """Calldata of the repeater."""
    return bytes(12) + bytes.fromhex(target[2:]) + times.to_bytes(32, "big") + call


def fill(world: World, events: int) -> int:
    """Make at least so many events; returns how many the calls emit."""
    holder = world.holders[0]
    classes = [a_class(str(number)) for number in range(CLASSES)]
    blocks = [(number * 10**7 + 1, (number + 1) * 10**7) for number in range(CLASSES)]
    for one, block in zip(classes, blocks, strict=True):
        world.send_all([world.mint(world.receipt(holder, one, block))])
    accounts = [key_of(f"account-{number}").address for number in range(ACCOUNTS)]
    for start in range(0, ACCOUNTS, 10):
        world.send_all([world.admission(one) for one in accounts[start : start + 10]])
    sent = world.send_all([world.sign_raw(holder, None, REPEATER, 1_000_000)])
    made = world.rpc.call("eth_getTransactionReceipt", sent[0])["contractAddress"]
    repeater = to_checksum_address(made)
    world.send_all([world.sign(holder, "CarbonCredits", "setApprovalForAll", repeater, True)])
    credits_, raws, count = world.deployment["CarbonCredits"], [], 0
    while count < events:
        number = len(raws)
        class_id = classes[number % CLASSES].token_id
        if number % RETIREMENTS_EVERY == RETIREMENTS_EVERY - 1:
            texts = ("A beneficiary", "its travel", "2026", bytes(32))
            args = (holder.address, class_id, 1_001, holder.address, *texts)
            call = abi.encode_call("CarbonCredits", "retirePublicly", args)
            times, gas = RETIREMENTS_PER_TRANSACTION, 200_000
            count += times * EVENTS_PER_RETIREMENT
        else:
            args = (holder.address, accounts[number % ACCOUNTS], class_id, 7, b"")
            call = abi.encode_call("CarbonCredits", "safeTransferFrom", args)
            times, gas = TRANSFERS_PER_TRANSACTION, 20_000
            count += times
        data = repeated(credits_, times, call)
        raws.append(world.sign_raw(holder, repeater, data, 200_000 + times * gas))
    _mine(world, raws)
    return count


def _mine(world: World, raws: list[bytes]) -> None:
    """Into few chain blocks, each of what surely fits: Anvil drops what does not."""
    world.rpc.call("evm_setAutomine", False)
    for start in range(0, len(raws), TRANSACTIONS_PER_BLOCK):
        part = raws[start : start + TRANSACTIONS_PER_BLOCK]
        hashes = world.rpc.batch(("eth_sendRawTransaction", ("0x" + raw.hex(),)) for raw in part)
        world.rpc.call("evm_mine")
        world.require_success(hashes)
    world.rpc.call("evm_setAutomine", True)


def web3_loop(url: str, world: World, first: int, last: int) -> tuple[int, float]:
    """(events, seconds) of web3.py reading and decoding the token's events, block by block."""
    web3 = Web3(HTTPProvider(url))
    entries = json.loads((REPOSITORY / "backend" / "chain" / "abi.json").read_text())
    address = to_checksum_address(world.deployment["CarbonCredits"])
    contract = web3.eth.contract(address=address, abi=entries["CarbonCredits"])
    names = ("TransferSingle", "CreditsRetired", "RetirementDetailsPublished")
    events, started = 0, time.perf_counter()
    for number in range(first, last + 1):
        for name in names:
            found = contract.events[name]().get_logs(from_block=number, to_block=number)
            events += len(found)
        if events >= BASELINE_EVENTS:
            break
    return events, time.perf_counter() - started


def measure(world: World, url: str, database_url: str, events: int) -> dict[str, Any]:
    """Fill the chain, index it cold, run the baseline."""
    started = time.perf_counter()
    fill(world, events)
    filled = time.perf_counter() - started
    database = Database(database_url)
    database.migrate()
    indexer = Indexer(world.rpc, world.deployment, database)
    started = time.perf_counter()
    last = indexer.advance()
    seconds = time.perf_counter() - started
    indexer.check()
    with database.read() as connection:
        stored = int(connection.exec_driver_sql("SELECT count(*) FROM chain_events").scalar() or 0)
    database.close()
    first = world.deployment.deployed_at_block
    baseline_events, baseline_seconds = web3_loop(url, world, first + 10, last)
    rate, baseline = stored / seconds, baseline_events / baseline_seconds
    return {
        "events": stored,
        "chain_blocks": last,
        "fill_seconds": round(filled, 2),
        "seconds": round(seconds, 2),
        "events_per_second": round(rate),
        "web3_events": baseline_events,
        "web3_events_per_second": round(baseline),
        "ratio": round(rate / baseline, 1),
    }


def run(events: int = EVENTS) -> dict[str, Any]:
    """Start a chain and a Postgres of the bench's own; the figures of one run."""
    home = temporary_home("causeway-bench-")
    postgres = Postgres(home, log=home / "postgres.log")
    chain = Anvil(log=home / "anvil.log", options=("--gas-limit", "2000000000"))
    try:
        postgres.start()
        chain.start()
        with tempfile.TemporaryDirectory() as directory:
            world = World(chain.url, Path(directory), participants=1)
            return measure(world, chain.url, postgres.url(), events)
    finally:
        chain.stop(save=False)
        postgres.stop()


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS), indent=2))
