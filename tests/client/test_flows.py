"""Retries, pauses, pages and nonces: the flows that both clients carry out."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any, ClassVar

import orjson
import pytest

from backend.chain.keys import named_key
from backend.client import AsyncClient
from backend.client.calls import Calls
from backend.client.desk import Desk
from backend.client.flows import FIRST_PAUSE, LONGEST_PAUSE, Answer, Flow, Pause, pause_after
from backend.errors import NotFound, RuleError, ServiceError, VenueUnavailable
from tests.client.kinds import KINDS, Kind

URL = "http://127.0.0.1:1"


def problem(status: int, code: str, retry_after: str | None = None) -> Answer:
    body = {"type": f"urn:causeway:problem:{code}", "detail": code}
    return Answer(status, orjson.dumps(body), retry_after)


def found(data: Any) -> Answer:
    return Answer(200, orjson.dumps({"data": data, "next_cursor": None}))


def walk(flow: Flow[Any], *answers: Answer) -> tuple[Any, list[float]]:
    """What a flow returns for these answers, and how long it wanted to pause between them."""
    left, pauses, reply = list(answers), [], None
    while True:
        try:
            wish = flow.send(reply)
        except StopIteration as ended:
            assert not left
            return ended.value, pauses
        if isinstance(wish, Pause):
            pauses.append(wish.seconds)
            reply = None
        else:
            reply = left.pop(0)


def calls(patience: float = 60.0) -> Calls:
    return Calls(URL, (), None, patience)


@pytest.mark.unit
def test_a_read_waits_longer_each_time_and_at_least_what_the_service_asks_for() -> None:
    down = problem(503, "database-unavailable")
    asked = problem(503, "database-unavailable", "7")
    behind = problem(409, "market-behind", formatdate(usegmt=True))
    data, pauses = walk(calls().data("/v1/venue"), down, down, asked, behind, found({"fee": "1"}))
    assert data == {"fee": "1"}
    assert FIRST_PAUSE / 2 <= pauses[0] <= FIRST_PAUSE <= pauses[1] * 2 <= 4 * FIRST_PAUSE
    assert pauses[2] == 7.0
    assert pauses[3] <= LONGEST_PAUSE


@pytest.mark.unit
def test_what_trying_again_does_not_help_is_told_at_once() -> None:
    for answer, kind in (
        (problem(404, "not-found"), NotFound),
        (problem(422, "invalid-value"), RuleError),
    ):
        with pytest.raises(kind):
            walk(calls().get("/v1/trades/1"), answer)
    with pytest.raises(VenueUnavailable) as caught:
        walk(calls(0.0).get("/v1/venue"), problem(503, "venue-busy", "2"))
    assert caught.value.values["retry_after"] == 2.0


@pytest.mark.unit
def test_pauses_end_growing_and_a_retry_after_of_nonsense_is_ignored() -> None:
    assert pause_after(ServiceError("down"), 10_000) == pytest.approx(LONGEST_PAUSE, rel=0.5)
    _, pauses = walk(calls().data("/x"), problem(503, "late", "soon"), found([]))
    assert pauses[0] <= FIRST_PAUSE


@pytest.mark.unit
def test_flows_under_way_at_once_never_take_the_same_nonce() -> None:
    desk = Desk(calls(), named_key("one", bytes([1]) * 32), 1.0)
    desk._token, desk._token_ends = "held", 2**40
    first, second = desk.take_nonce(), desk.take_nonce()
    assert first.send(None) == second.send(None)  # both ask for the account
    taken = []
    for flow in (first, second):
        with pytest.raises(StopIteration) as ended:
            flow.send(found({"next_nonce": "5"}))
        taken.append(ended.value.value)
    assert taken == [5, 6]


class _Scripted(http.server.BaseHTTPRequestHandler):
    """Answers as `script` says, one entry for each request: a status and headers, or nothing."""

    script: ClassVar[list[tuple[int, dict[str, str], bytes]]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, headers, body = self.script.pop(0)
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def scripted() -> Iterator[Callable[..., str]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Scripted)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def say(*answers: tuple[int, dict[str, str], bytes]) -> str:
        _Scripted.script = list(answers)
        return f"http://127.0.0.1:{server.server_port}"

    yield say
    server.shutdown()
    server.server_close()


_PAGE = b'{"data": [{"n": "%d"}], "next_cursor": %s}'


@pytest.mark.integration
@pytest.mark.parametrize("name", KINDS)
def test_a_connection_that_breaks_and_a_busy_service_are_tried_again(
    name: str, scripted: Callable[..., str]
) -> None:
    kind = Kind(name)
    url = scripted(
        (0, {}, b""),
        (503, {"Retry-After": "0"}, b"{}"),
        (200, {}, _PAGE % (1, b'"b"')),
        (502, {}, b"<html>"),
        (200, {}, _PAGE % (2, b"null")),
    )
    client = kind.client(url)
    assert [item["n"] for item in client.pages("/v1/classes")] == ["1", "2"]
    scripted((0, {}, b""))
    with pytest.raises(ServiceError, match="what it did is not known"):
        kind.client(url, patience=0.0).get("/v1/classes")
    kind.close()


@pytest.mark.integration
def test_one_client_asks_many_things_at_once(scripted: Callable[..., str]) -> None:
    url = scripted(*[(200, {}, b'{"data": {}}')] * 20)

    async def ask() -> list[Any]:
        async with AsyncClient(url) as client:
            return await asyncio.gather(*(client.venue() for _ in range(20)))

    assert asyncio.run(ask()) == [{}] * 20
