"""The services that every other test stands on."""

from __future__ import annotations

import asyncio
import socket

import nats
import psycopg
import pytest

from backend.local.anvil import Anvil
from tests.conftest import DatabaseFactory

pytestmark = pytest.mark.integration


def test_each_database_is_empty_and_its_own(new_database: DatabaseFactory) -> None:
    first, second = new_database(), new_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE only_here (n int)")
    with psycopg.connect(second) as connection:
        row = connection.execute("SELECT to_regclass('only_here')").fetchone()
    assert row == (None,)


def test_a_database_copies_its_template(new_database: DatabaseFactory) -> None:
    template = new_database()
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    with psycopg.connect(new_database(template.rsplit("/", 1)[1])) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


async def _round_trip(url: str) -> bytes:
    connection = await nats.connect(url, allow_reconnect=False)
    subscription = await connection.subscribe("tests.round.trip")
    await connection.publish("tests.round.trip", b"42 t")
    message = await subscription.next_msg(timeout=60)
    await connection.close()
    return message.data


def test_the_bus_carries_a_message(nats_url: str) -> None:
    assert asyncio.run(_round_trip(nats_url)) == b"42 t"


def test_the_chain_mines_each_transaction(anvil: Anvil) -> None:
    before = int(anvil.rpc("eth_blockNumber"), 16)
    sender, recipient, *_ = anvil.rpc("eth_accounts")
    receipt = anvil.rpc(
        "eth_sendTransactionSync", {"from": sender, "to": recipient, "value": "0x1"}
    )
    assert int(receipt["blockNumber"], 16) == before + 1


@pytest.mark.unit
def test_a_unit_test_cannot_open_a_connection() -> None:
    with socket.socket() as probe, pytest.raises(AssertionError, match="unit test opened"):
        probe.connect(("127.0.0.1", 9))
