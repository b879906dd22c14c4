"""The RPC client on a real Anvil, and against endpoints that are down, busy or broken."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import orjson
import pytest

from backend.chain import abi
from backend.chain.rpc import Rpc, parse_block
from backend.errors import ChainRejected, ChainUnavailable, InvalidValue
from tests.chain.conftest import Chain, key_of
from tests.conftest import AnvilFactory

pytestmark = pytest.mark.integration


class Endpoint:
    """An HTTP server that gives prepared answers (status, body), the last one for ever."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.requests: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        waiting = list(answers)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.requests.append(self.rfile.read(int(self.headers["Content-Length"])))
                outer.headers.append(dict(self.headers))
                status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 599:  # hang up without an answer
                    self.close_connection = True
                    return
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep the tests quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://user:p%40ss@127.0.0.1:{self._server.server_address[1]}/path?key=1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def endpoints() -> Iterator[list[Endpoint]]:
    made: list[Endpoint] = []
    yield made
    for endpoint in made:
        endpoint.close()


def ok(result: object) -> tuple[int, bytes]:
    return 200, orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result})


def failing(code: int, message: str, data: object = None) -> tuple[int, bytes]:
    error = {"code": code, "message": message, "data": data}
    return 200, orjson.dumps({"jsonrpc": "2.0", "id": 1, "error": error})


def client(endpoints: list[Endpoint], *answers: tuple[int, bytes]) -> tuple[Rpc, Endpoint]:
    endpoint = Endpoint(*answers)
    endpoints.append(endpoint)
    return Rpc(endpoint.url, patience=1.0, sleep=lambda seconds: None), endpoint


def test_a_busy_endpoint_is_asked_again(endpoints: list[Endpoint]) -> None:
    rpc, endpoint = client(
        endpoints, (503, b""), (429, b"slow"), failing(-32005, "limit"), ok("0x7")
    )
    assert rpc.block_number() == 7
    assert len(endpoint.requests) == 4
    assert endpoint.headers[0]["Authorization"] == "Basic dXNlcjpwQHNz"
    assert "p%40ss" not in rpc.url
    rpc.close()


def test_an_endpoint_that_stays_away_is_unavailable_after_the_patience() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    slept: list[float] = []
    now = iter(range(100))
    rpc = Rpc(
        f"http://127.0.0.1:{port}",
        patience=4,
        sleep=slept.append,
        monotonic=lambda: float(next(now)),
    )
    with pytest.raises(ChainUnavailable, match="ConnectionRefusedError") as failure:
        rpc.block_number()
    assert failure.value.values["attempts"] == len(slept) + 1 > 2


def test_what_must_not_run_twice_is_not_sent_twice(endpoints: list[Endpoint]) -> None:
    rpc, endpoint = client(endpoints, ok("0x1"), (599, b""), ok(None))
    rpc.block_number()
    with pytest.raises(ChainUnavailable, match="does not answer evm_mine"):
        rpc.call("evm_mine")
    assert len(endpoint.requests) == 2
    with pytest.raises(ChainUnavailable):
        Rpc(endpoint.url).batch([("evm_mine", ())] * 2)


def test_a_connection_that_died_is_replaced(endpoints: list[Endpoint]) -> None:
    rpc, _ = client(endpoints, ok("0x1"), (599, b""), ok("0x2"))
    assert [rpc.block_number(), rpc.block_number()] == [1, 2]
    rpc.close()


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, b""), (404, b"no"), (401, b"{}")])
def test_an_answer_that_is_no_json_rpc_is_unavailable(
    endpoints: list[Endpoint], answer: tuple[int, bytes]
) -> None:
    rpc, _ = client(endpoints, answer)
    with pytest.raises(ChainUnavailable, match="not JSON-RPC"):
        rpc.block_number()
    rpc.close()


def test_a_batch_with_a_missing_answer_is_unavailable(endpoints: list[Endpoint]) -> None:
    rpc, _ = client(endpoints, (200, b'[{"id":1,"result":"0x1"}]'))
    with pytest.raises(ChainUnavailable, match="left out answer 0"):
        rpc.batch([("eth_blockNumber", ())] * 2)
    rpc.close()


def test_reverts_are_decoded_wherever_a_node_puts_the_data(endpoints: list[Endpoint]) -> None:
    entry = next(e for e in abi.entries("Trust") if e.name == "TrustReceiptUsed")
    data = "0x" + entry.id.hex() + "11" * 32
    for placed in (data, {"data": data}):
        rpc, _ = client(endpoints, failing(3, "execution reverted", placed))
        with pytest.raises(ChainRejected, match=r"TrustReceiptUsed\(receiptId=0x11") as refused:
            rpc.eth_call(key_of("x").address, b"")
        assert refused.value.values["error"] == "TrustReceiptUsed"
        assert refused.value.values["args"] == {"receiptId": "0x" + "11" * 32}
        rpc.close()
    rpc, _ = client(endpoints, failing(-32000, "nonce too low"))
    with pytest.raises(ChainRejected, match="eth_call was refused: nonce too low"):
        rpc.eth_call(key_of("x").address, b"")
    rpc.close()


@pytest.mark.parametrize("url", ["", "localhost:8545", "ws://host", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="rpc url"):
        Rpc(url)


def test_blocks_batches_and_codes_of_a_real_chain(chain: Chain) -> None:
    rpc = chain.rpc
    assert rpc.chain_id() == 31337
    last = rpc.block_number()
    newest = rpc.block("latest")
    assert newest is not None
    assert newest == rpc.block(last) == rpc.blocks([last])[0]
    assert newest.parent_hash == rpc.blocks([last - 1])[0].hash  # type: ignore[union-attr]
    assert rpc.block(last + 1_000_000) is None
    assert rpc.blocks([last + 1_000_000]) == [None]
    assert parse_block(None) is None
    assert rpc.code(key_of("nobody").address) == b""
    assert len(rpc.code(chain.deployment["Trust"])) > 1_000
    many = [("eth_getBlockByNumber", (hex(n % (last + 1)), False)) for n in range(1_201)]
    assert [int(block["number"], 16) for block in rpc.batch(many)] == [
        n % (last + 1) for n in range(1_201)
    ]


def test_a_failing_entry_of_a_batch_is_named_by_its_index(chain: Chain) -> None:
    good = ("eth_blockNumber", ())
    bad = ("eth_getBalance", ("0x12", "latest"))
    with pytest.raises(ChainRejected, match="entry 2 of the batch") as failure:
        chain.rpc.batch([good, good, bad, good])
    assert failure.value.values["index"] == 2
    results = chain.rpc.try_batch([good, bad])
    assert isinstance(results[0], str)
    assert isinstance(results[1], ChainRejected)
    assert chain.rpc.batch([]) == []


def test_a_client_outlives_a_restart_of_the_chain(anvil_factory: AnvilFactory) -> None:
    anvil = anvil_factory()
    rpc = Rpc(anvil.url, patience=20)
    assert rpc.block_number() == 0
    anvil.stop(save=False)
    numbers: list[int] = []
    asking = threading.Thread(target=lambda: numbers.append(rpc.block_number()))
    asking.start()
    # From this thread: the chain dies with the thread that started it.
    anvil.start()
    asking.join()
    assert numbers == [0]
    rpc.close()
