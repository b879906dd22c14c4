"""An audit that cannot run says so: exit 2, one message, one JSON object, never a traceback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backend.cli import app
from tests.audit.scene import Scene
from tests.audit.test_cannot_run import Answer, edited, endpoint_before

pytestmark = pytest.mark.integration


def could_not_run(*arguments: str) -> dict[str, Any]:
    """The one JSON object of an audit that ended with exit 2."""
    done = CliRunner().invoke(app, ["audit", *arguments, "--json"])
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == 2, done.output
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    assert set(found) == {"error", "message", "values"}
    (complaint,) = [row for row in done.stderr.splitlines() if row.startswith("causeway: ")]
    assert complaint == f"causeway: {found['message']}"
    assert "Traceback" not in done.stderr
    return found


@contextmanager
def endpoint(answer: Callable[[Answer], Any]) -> Iterator[str]:
    """An endpoint that answers every request, also each of a batch, with what `answer` gives."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            many = isinstance(asked, list)
            said = json.dumps([answer(one) for one in asked] if many else answer(asked)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("came", [None, 5, "zz", [], {}, True, "0x", "5"])
def test_an_endpoint_whose_results_are_none_cannot_be_audited(scene: Scene, came: Any) -> None:
    def answer(asked: Answer) -> Answer:
        return {"jsonrpc": "2.0", "id": asked["id"], "result": came}

    with endpoint(answer) as url:
        found = could_not_run("--rpc", url, "--deployment", str(scene.path))
    assert found["error"] == "chain-unavailable"
    assert "eth_chainId" in found["message"]
    assert f"{came!r}" in found["message"]


@pytest.mark.parametrize("said", ["boom", 5, [], {"jsonrpc": "2.0", "id": 1, "error": "boom"}])
def test_an_endpoint_that_speaks_no_json_rpc_cannot_be_audited(scene: Scene, said: Any) -> None:
    with endpoint(lambda asked: said) as url:
        found = could_not_run("--rpc", url, "--deployment", str(scene.path))
    assert found["error"] == "chain-unavailable"


@pytest.mark.parametrize(
    ("method", "came"),
    [
        ("eth_getBlockByNumber", {"number": "0x1"}),
        ("eth_getBlockByNumber", "0x1"),
        ("eth_getBlockByNumber", None),
        ("eth_getCode", None),
        ("eth_getCode", "0xzz"),
        ("eth_getLogs", None),
        ("eth_getLogs", {}),
        ("eth_getLogs", [{"address": 5}]),
        ("eth_call", None),
        ("eth_call", 5),
        ("eth_getTransactionByHash", {"hash": "0x"}),
        ("eth_getTransactionReceipt", "0x"),
    ],
)
def test_one_method_that_answers_nonsense_cannot_be_audited(
    scene: Scene, method: str, came: Any
) -> None:
    def bend(asked: Answer, answer: Answer) -> Answer:
        return answer | {"result": came} if asked["method"] == method else answer

    with endpoint_before(scene.anvil.url, bend) as url:
        found = could_not_run("--rpc", url, "--deployment", str(scene.path))
    assert found["error"] == "chain-unavailable"
    if came is not None:
        assert method in found["message"]


@pytest.mark.parametrize("url", ["http://[", "http://127.0.0.1:99999", "ftp://x", "http://ü"])
def test_what_is_no_url_cannot_be_audited(scene: Scene, url: str) -> None:
    assert "rpc url" in could_not_run("--rpc", url, "--deployment", str(scene.path))["message"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("contracts", "Trust", "constructor_arguments"), "0xzz"),
        (("contracts", "Trust", "constructor_arguments"), None),
        (("contracts", "Trust", "bytecode_hash"), 5),
        (("contracts", "Trust", "transaction"), "0x12"),
        (("contracts", "Trust", "block"), "7"),
        (("contracts", "Trust", "address"), "0x12"),
        (("contracts", "Trust"), 5),
        (("contracts",), []),
        (("roles",), None),
        (("roles", "custodians"), 5),
        (("roles", "admin"), []),
        (("roles", "thresholds"), [1, 1]),
        (("roles", "thresholds", "freezers"), "1"),
        (("settings",), None),
        (("settings", "legal_order_delay"), "2"),
        (("chain_id",), "31337"),
        (("deployer",), None),
        (("complete",), "yes"),
    ],
)
def test_a_deployment_file_with_a_wrong_value_cannot_be_audited(
    scene: Scene, place: tuple[str, ...], value: Any
) -> None:
    def bend(content: dict[str, Any]) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = value

    path = edited(scene, bend)
    found = could_not_run("--rpc", scene.anvil.url, "--deployment", str(path))
    assert found["error"] == "deployment-mismatch"
    assert place[-1] in found["message"]


def test_a_deployment_file_without_the_manager_cannot_be_audited(scene: Scene) -> None:
    path = edited(scene, lambda content: content["contracts"].pop("AccessManager"))
    found = could_not_run("--rpc", scene.anvil.url, "--deployment", str(path))
    assert "names no AccessManager" in found["message"]


def test_a_directory_in_place_of_the_deployment_file_cannot_be_audited(
    scene: Scene, tmp_path: Path
) -> None:
    found = could_not_run("--rpc", scene.anvil.url, "--deployment", str(tmp_path))
    assert found["error"] == "deployment-mismatch"
    assert str(tmp_path) in found["message"]
