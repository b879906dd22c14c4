"""Heads over a real NATS: what is published arrives, and a missing bus holds nobody up."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import pytest

from backend.bus import Bus, Head, HeadPublisher, head_subject
from backend.errors import BusUnavailable, InvalidValue

pytestmark = pytest.mark.integration

CHAIN = 900_001


def head(number: int, epoch: int = 0, chain_id: int = CHAIN) -> Head:
    return Head(chain_id, epoch, number, f"0x{number:064x}")


async def _receive(url: str, publish: list[Head], count: int, chain_id: int) -> list[Head]:
    reader, writer = await Bus.connect(url), await Bus.connect(url)
    found: list[Head] = []

    async def read() -> None:
        async for one in reader.heads(chain_id):
            found.append(one)
            if len(found) == count:
                return

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    for one in publish:
        await writer.publish_head(one)
    await writer.flush()
    await asyncio.wait_for(reading, 5)
    await reader.close()
    await writer.close()
    return found


def test_heads_arrive_in_order_and_those_of_an_older_view_are_dropped(nats_url: str) -> None:
    sent = [head(1), head(2), head(1, epoch=1), head(3), head(2, epoch=1)]
    found = asyncio.run(_receive(nats_url, sent, 4, CHAIN))
    assert found == [head(1), head(2), head(1, epoch=1), head(2, epoch=1)]


def test_the_publisher_neither_blocks_nor_raises_and_delivers(nats_url: str) -> None:
    async def work() -> Head:
        bus = await Bus.connect(nats_url)
        heads = bus.heads(CHAIN + 1)
        first = asyncio.ensure_future(anext(heads))
        await asyncio.sleep(0.1)
        publisher = HeadPublisher(nats_url)
        publisher.publish_head(CHAIN + 1, 0, 7, head(7).hash)
        found = await asyncio.wait_for(first, 5)
        await asyncio.to_thread(publisher.close)
        await heads.aclose()
        await bus.close()
        return found

    assert asyncio.run(work()) == head(7, chain_id=CHAIN + 1)


def test_an_absent_bus_holds_no_publisher_up() -> None:
    publisher = HeadPublisher("nats://token@127.0.0.1:1")
    started = time.monotonic()
    for number in range(100_000):
        publisher.publish_head(CHAIN, 0, number, "0x")
    # Each waiting only a millisecond would take 100 s.
    assert time.monotonic() - started < 100
    publisher.close()


def test_an_absent_bus_and_a_wrong_token_are_named(nats_url: str) -> None:
    with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1:1"):
        asyncio.run(Bus.connect("nats://secret@127.0.0.1:1"))
    wrong = f"nats://wrong@127.0.0.1:{urlsplit(nats_url).port}"
    with pytest.raises(BusUnavailable) as refused:
        asyncio.run(Bus.connect(wrong))
    assert "wrong" not in refused.value.message


def test_a_body_that_is_no_head_is_refused() -> None:
    with pytest.raises(InvalidValue):
        Head.decode(CHAIN, b"[]")
    assert Head.decode(CHAIN, head(5).encode()) == head(5)
    assert head_subject(CHAIN) == f"causeway.{CHAIN}.head"
