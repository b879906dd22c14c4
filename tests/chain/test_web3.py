"""web3.py, which most developers will use, reads the same from our contracts as we do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from web3 import HTTPProvider, Web3

from backend.chain.contracts import Contracts
from backend.chain.events import decode_logs
from backend.local.anvil import Anvil
from tests.indexer.world import World, a_class

pytestmark = pytest.mark.contract

ABI = json.loads(
    (Path(__file__).resolve().parents[2] / "backend" / "chain" / "abi.json").read_text()
)


def test_web3_reads_the_same_events_and_views(anvil: Anvil, tmp_path: Path) -> None:
    world = World(anvil.url, tmp_path)
    holder, other, one = world.holders[0], world.holders[1], a_class("1001", "ccp")
    world.send_all([world.mint(world.receipt(holder, one, (11, 20), (31, 35)))])
    world.send_all([world.transfer(holder, other.address, one.token_id, 2_345)])
    world.send_all([world.retire(other, one.token_id, 1_234, "Größe – 綠")])
    web3 = Web3(HTTPProvider(anvil.url))
    addresses = world.deployment.addresses
    logs = world.rpc.get_logs(addresses, 0, world.rpc.block_number())
    ours = [
        (event.name, event.block_number, event.log_index)
        for event in decode_logs(logs, world.deployment)
    ]
    theirs = []
    words: list[dict[str, object]] = []
    for name in world.deployment.contracts:
        contract = web3.eth.contract(address=world.deployment[name], abi=ABI[_kind(name)])
        for event in contract.events:
            for log in event().get_logs(from_block=0):
                theirs.append((log["event"], log["blockNumber"], log["logIndex"]))
                if log["event"] == "RetirementDetailsPublished":
                    words.append(dict(log["args"]))
    assert sorted(theirs, key=lambda found: found[1:]) == ours
    assert [found["beneficiary"] for found in words] == ["Größe – 綠"]
    credits = web3.eth.contract(address=world.deployment["CarbonCredits"], abi=ABI["CarbonCredits"])
    contracts = Contracts(world.rpc, world.deployment)
    assert credits.functions.totalSupply(one.token_id).call() == 15_000 - 1_234
    for account in (holder.address, other.address):
        held = credits.functions.balanceOf(account, one.token_id).call()
        assert held == contracts.balance_of(account, one.token_id)
    world.rpc.close()


def _kind(name: str) -> str:
    """Name of a contract's ABI: the three test assets share one."""
    return name if name in ABI else "TestSettlementAsset"
