"""A saved chain comes back as it stood: no replaced chain block, no earlier genesis returns."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest

from backend.local.anvil import Anvil

pytestmark = pytest.mark.integration


def hashes(chain: Anvil) -> list[str]:
    head = int(chain.rpc("eth_blockNumber"), 16)
    return [
        chain.rpc("eth_getBlockByNumber", hex(number), False)["hash"] for number in range(head + 1)
    ]


def test_the_same_chain_comes_back_through_many_loads_and_a_reorganisation(tmp_path: Path) -> None:
    chain = Anvil(log=tmp_path / "anvil.log", state=tmp_path / "state")
    chain.start()
    try:
        chain.rpc("anvil_mine", "0x5")
        chain.rpc("evm_setAutomine", False)
        chain.rpc("anvil_reorg", 3, [])
        for _ in range(6):
            stood = hashes(chain)
            chain.stop()
            chain.start()
            assert hashes(chain) == stood
            chain.rpc("anvil_mine", "0x1")
    finally:
        chain.stop(save=False)


def test_a_chain_that_is_brought_back_on_a_hidden_port_is_published_as_it_stands(
    tmp_path: Path,
) -> None:
    chain = Anvil(log=tmp_path / "anvil.log", state=tmp_path / "state")
    public = chain.port
    chain.hide()
    chain.start()
    try:
        assert chain.port != public
        assert not chain.is_public
        chain.rpc("anvil_mine", "0x3")
        stood = hashes(chain)
        chain.publish()
        assert chain.port == public
        assert hashes(chain) == stood
    finally:
        chain.stop(save=False)


def test_a_state_saved_while_transactions_arrive_is_of_one_moment(tmp_path: Path) -> None:
    chain = Anvil(log=tmp_path / "anvil.log", state=tmp_path / "state")
    chain.start()
    senders = chain.rpc("eth_accounts")[:4]
    stop = threading.Event()

    def send(sender: str) -> None:
        call = {"from": sender, "to": "0x" + "77" * 20, "value": "0x1"}
        while not stop.is_set():
            chain.rpc("eth_sendTransaction", call)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            time.sleep(0.03)
            generation = chain.save(force=True)
            assert generation is not None
            saved = orjson.loads((tmp_path / "state" / generation.name).read_bytes())
            counted = Counter(one["info"]["from"].lower() for one in saved["transactions"])
            nonces = {one: saved["accounts"][one.lower()]["nonce"] for one in senders}
            assert nonces == {one: counted[one.lower()] for one in senders}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        chain.stop(save=False)
