"""What the API does when the index, the chain, the bus or the database are not there."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import event, text

from backend.api.app import create_app
from backend.bus import HeadPublisher
from backend.domain.serials import Interval, Series
from backend.settings import Settings
from backend.store.database import Database
from backend.store.queries.certificates import get_certificate
from tests.api.conftest import ALONE, World, serving
from tests.api.history import CHAIN_ID, History, address, hash_of, make_class

pytestmark = pytest.mark.integration

SERIES = Series("VCS", (2,))


@pytest.fixture
def history(migrated_url: str) -> Iterator[History]:
    database = Database(migrated_url)
    history = History(database)
    history.admit(address(1))
    history.save()
    yield history
    database.close()


def _get(url: str, path: str) -> httpx.Response:
    return httpx.get(url + path, trust_env=False, timeout=60)


def _settings(**values: Any) -> Settings:
    return Settings(**{"database_url": None, "nats_url": None, "chain_url": None, **values})


def test_a_read_waits_for_the_chain_block_it_must_show(history: History) -> None:
    app = create_app(ALONE, database=history.database)
    with serving(app) as url:
        app.state.services.longest_wait_seconds = 60.0
        late = threading.Timer(0.3, history.save)
        history.mint(make_class(1), address(1), [history.lot(SERIES, 5)])
        late.start()
        began = time.monotonic()
        answer = _get(url, f"/v1/classes?min_block={history.block}")
        took = time.monotonic() - began
        late.join()
    assert answer.status_code == 200
    assert answer.json()["data"]
    assert took > 0.2, "it waited for the block"


def test_a_head_on_the_bus_wakes_a_waiting_read(history: History, nats_url: str) -> None:
    app = create_app(_settings(nats_url=nats_url), database=history.database)
    publisher = HeadPublisher(nats_url)
    with serving(app) as url:
        deadline = time.monotonic() + 60
        while _get(url, "/v1/health").json()["bus"]["status"] != "ok":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        news = app.state.services._news
        wanted = history.block
        history.next_block()
        history.save()
        publisher.publish_head(CHAIN_ID, 0, wanted, hash_of("block", wanted))
        while app.state.services._news is news:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert news.is_set()
        assert _get(url, f"/v1/classes?min_block={wanted}").status_code == 200
    publisher.close()


def test_an_index_that_stays_behind_is_said_after_a_second(history: History) -> None:
    app = create_app(ALONE, database=history.database)
    with serving(app) as url:
        began = time.monotonic()
        answer = _get(url, "/v1/classes?min_block=500")
        took = time.monotonic() - began
    assert answer.status_code == 409
    assert answer.headers["retry-after"] == "1"
    problem = answer.json()
    assert problem["type"] == "urn:causeway:problem:index-behind"
    indexed = history.block - 1
    assert problem["values"] == {
        "asked": "500",
        "indexed": str(indexed),
        "behind": str(500 - indexed),
    }
    assert took > 0.9, "it waited for the index first"


def test_nothing_indexed_is_an_answer_too(migrated_url: str) -> None:
    database = Database(migrated_url)
    with serving(create_app(ALONE, database=database)) as url:
        answer = _get(url, "/v1/classes").json()
        assert answer["head"]["number"] == "-1"
        assert answer["data"] == []
        assert "Nothing is indexed yet" in _get(url, "/").text
        assert _get(url, "/v1/health").status_code == 200
    database.close()


def test_what_is_not_final_is_provisional_l4(history: History) -> None:
    history.mint(make_class(1), address(1), [history.lot(SERIES, 5)])
    history.save()
    last = history.block - 1
    for confirmations, provisional in ((0, False), (5, True)):
        app = create_app(_settings(confirmations=confirmations), database=history.database)
        with serving(app) as url:
            answer = _get(url, "/v1/classes").json()
        assert [found["provisional"] for found in answer["data"]] == [provisional]
        assert answer["head"]["final_number"] == str(last - confirmations)


def test_health_compares_the_index_with_the_chain(
    history: History, anvil_factory: Callable[..., Any]
) -> None:
    anvil = anvil_factory()
    app = create_app(_settings(chain_url=anvil.url), database=history.database)
    with serving(app) as url:
        found = _get(url, "/v1/health")
        assert found.status_code == 200
        assert found.json()["chain"]["status"] == "ok"
        anvil.rpc("anvil_mine", hex(100))
        time.sleep(1.1)
        found = _get(url, "/v1/health")
        assert found.status_code == 503
        assert found.json()["index"]["status"] == "behind"
        number = int(found.json()["chain_number"])
        assert found.json()["lag_blocks"] == str(number - history.block + 1)
        assert f"causeway_chain_block {float(number)}" in _get(url, "/metrics").text
        anvil.stop(save=False)
        time.sleep(1.1)
        found = _get(url, "/v1/health").json()
        assert (found["status"], found["chain"]["status"]) == ("degraded", "down")
        # The registry can be read all the same.
        assert _get(url, "/v1/classes").status_code == 200


def test_services_that_are_down_degrade_health_and_nothing_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = _settings(
        database_url=f"postgresql://nobody:secret@127.0.0.1:{port}/none",
        nats_url=f"nats://token@127.0.0.1:{port}",
        chain_url=f"http://127.0.0.1:{port}",
    )
    with serving(create_app(settings)) as url:
        answer = _get(url, "/v1/health")
        found = answer.json()
        assert answer.status_code == 503
        assert {found[name]["status"] for name in ("database", "index", "chain", "bus")} == {"down"}
        assert 'causeway_up{service="database"} 0.0' in _get(url, "/metrics").text
        answer = _get(url, "/v1/classes")
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:causeway:problem:database-unavailable"
        assert answer.headers["retry-after"] == "5"
        # Where the database is, and with which password, is nobody's business.
        assert str(port) not in answer.text
        assert "secret" not in answer.text


def test_a_bug_is_a_problem_without_a_word_of_it(world: World) -> None:
    app = create_app(ALONE, database=world.database)

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("a secret of the code")

    with serving(app) as url:
        answer = _get(url, "/broken")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:causeway:problem:internal"
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_certificate_costs_as_many_queries_whatever_is_behind_it(history: History) -> None:
    few, many = make_class(1), make_class(2)
    history.mint(few, address(1), [history.lot(SERIES, 3)])
    lots = [history.lot(SERIES, 2, gap=1) for _ in range(200)]
    history.mint(many, address(1), lots)
    small = history.retire(address(1), few.token_id, 1500)
    large = history.retire(address(1), many.token_id, 300_500)
    for index in range(20):
        serial = lots[150 + index].first
        history.confirm(many.token_id, index * 3, [Interval(SERIES, serial, serial)])
    history.save()
    counts = []
    for certificate_id in (small, large):
        statements: list[str] = []

        def count(*args: Any, statements: list[str] = statements) -> None:
            statements.append(args[2])

        event.listen(history.database.engine, "before_cursor_execute", count)
        with history.database.read() as connection:
            get_certificate(connection, certificate_id)
        event.remove(history.database.engine, "before_cursor_execute", count)
        counts.append(len(statements))
    # Two of them: substitutes, and what failed or was made good at the registry.
    assert counts[0] == counts[1] <= 8


def test_the_api_cannot_write(history: History) -> None:
    with (
        history.database.read() as connection,
        pytest.raises(Exception, match="read-only transaction"),
    ):
        connection.execute(text("DELETE FROM balances"))


def test_the_process_stops_gracefully_on_sigterm(history: History) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    program = (
        "from backend.api.app import serve; from backend.settings import Settings;"
        f"serve(Settings(database_url={history.database.url!r}, api_port={port},"
        " nats_url=None, chain_url=None))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    assert _get(f"http://127.0.0.1:{port}", "/v1/health").status_code == 200
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode in (0, -signal.SIGTERM)
    assert b'"route": "/v1/health"' in output
    assert b'"request_id"' in output
