"""The client of a venue's leader: follows the newest epoch, gathers, says what it cannot know."""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest

from backend.bus import Bus, LeaderClient
from backend.bus.venue_messages import (
    AnswerCode,
    Heartbeat,
    commands_subject,
    decode_request,
    encode_refused,
    encode_reply,
    leader_subject,
)
from backend.domain.commands import PlaceCancel
from backend.domain.orders import Account, Cancel
from backend.errors import InvalidValue, OutcomeUnknown, VenueUnavailable

pytestmark = pytest.mark.integration

_chains = itertools.count(6_000_000 + os.getpid() * 10)
WHO = Account(bytes(20))


def cancel(nonce: int) -> PlaceCancel:
    return PlaceCancel(Cancel(WHO, nonce), bytes(65))


class Served:
    """A stand-in for a leader on a real bus: answers every command by its nonce, or not at all."""

    def __init__(self, bus: Bus, chain_id: int) -> None:
        self.bus, self.chain_id = bus, chain_id
        self.requests: list[list[int]] = []
        self.silent = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def lead(self, epoch: int) -> None:
        await self.bus.subscribe(commands_subject(self.chain_id, 1, epoch), self._answer)
        await self.beat(epoch)

    async def beat(self, epoch: int) -> None:
        beat = Heartbeat(epoch, 1, bytes(32), bytes(20)).encode()
        await self.bus.publish(leader_subject(self.chain_id, 1), beat)
        await self.bus.flush()
        await asyncio.sleep(0.05)

    def _answer(self, body: bytes, reply: str) -> None:
        nonces = [command[0].nonce for command, _ in decode_request(body).commands]
        self.requests.append(nonces)
        if not self.silent:
            answers = [encode_refused(AnswerCode.CONFLICT, str(nonce)) for nonce in nonces]
            task = asyncio.create_task(self.bus.publish(reply, encode_reply(answers)))
            self._tasks.add(task)


async def opened(nats_url: str) -> tuple[Served, LeaderClient]:
    chain_id = next(_chains)
    served = Served(await Bus.connect(nats_url), chain_id)
    return served, await LeaderClient.open(await Bus.connect(nats_url), chain_id, 1)


async def closed(served: Served, client: LeaderClient) -> None:
    await client.close()
    await served.bus.close()
    await client._bus.close()


def test_what_comes_at_once_goes_in_one_request_and_answers_find_their_askers(
    nats_url: str,
) -> None:
    async def work() -> None:
        served, client = await opened(nats_url)
        await served.lead(1)
        asked = [client.submit([cancel(2 * at), cancel(2 * at + 1)], 5) for at in range(50)]
        answers = await asyncio.gather(*asked)
        assert [[one.detail for one in pair] for pair in answers] == [
            [str(2 * at), str(2 * at + 1)] for at in range(50)
        ]
        assert [len(one) for one in served.requests] == [64, 36]
        await closed(served, client)

    asyncio.run(work())


def test_the_newest_epoch_is_asked_whatever_an_old_leader_says(nats_url: str) -> None:
    async def work() -> None:
        served, client = await opened(nats_url)
        with pytest.raises(VenueUnavailable):
            await client.submit([cancel(0)], 1)
        await served.beat(7)
        # Its heartbeat came, but nobody serves its subject any more.
        with pytest.raises(VenueUnavailable):
            await client.submit([cancel(0)], 1)
        await served.lead(8)
        await served.beat(7)
        assert client.leader is not None
        assert client.leader.epoch == 8
        assert (await client.submit([cancel(0)], 1))[0].code is AnswerCode.CONFLICT
        await closed(served, client)

    asyncio.run(work())


def test_silence_is_an_unknown_outcome(nats_url: str) -> None:
    async def work() -> None:
        served, client = await opened(nats_url)
        await served.lead(1)
        served.silent = True
        with pytest.raises(OutcomeUnknown):
            await client.submit([cancel(0)], 0.2)
        # Closing while somebody waits must not say that nothing was accepted.
        waiting = asyncio.create_task(client.submit([cancel(1)], 5))
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(OutcomeUnknown):
            await waiting
        await closed(served, client)

    asyncio.run(work())


def test_a_request_has_one_to_64_commands(nats_url: str) -> None:
    async def work() -> None:
        served, client = await opened(nats_url)
        for commands in ([], [cancel(at) for at in range(65)]):
            with pytest.raises(InvalidValue):
                await client.submit(commands, 1)
        await closed(served, client)

    asyncio.run(work())
