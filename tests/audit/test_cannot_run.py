"""What keeps an audit from running, code that is not what the file says, endpoints that lie."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from backend import audit
from backend.audit import Status
from backend.domain.journal_file import write_header
from backend.errors import (
    ChainUnavailable,
    DeploymentMismatch,
    InvalidValue,
    UnknownLayout,
)
from backend.local.processes import free_port
from tests.audit.scene import Scene
from tests.conftest import AnvilFactory

pytestmark = pytest.mark.integration

Answer = dict[str, Any]


@contextmanager
def endpoint_before(url: str, change: Callable[[Answer, Answer], Answer]) -> Iterator[str]:
    """An RPC endpoint that passes everything to `url` and changes the answers on the way back."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {"Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
                asked, found = json.loads(body), json.load(answer)
            if isinstance(asked, list):
                requests = {one["id"]: one for one in asked}
                found = [change(requests[one["id"]], one) for one in found]
            else:
                found = change(asked, found)
            said = json.dumps(found).encode()
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


def edited(scene: Scene, change: Callable[[dict[str, Any]], None]) -> Path:
    """The deployment file with something changed."""
    content = json.loads(scene.path.read_text())
    change(content)
    target = scene.directory / "edited.json"
    target.write_text(json.dumps(content))
    return target


# ------------------------------------------------------------------ cannot run


def test_an_endpoint_that_does_not_answer_cannot_be_audited(scene: Scene) -> None:
    with pytest.raises(ChainUnavailable):
        audit.run(f"http://127.0.0.1:{free_port()}", scene.path)


def test_a_deployment_file_that_is_missing_cannot_be_audited(scene: Scene) -> None:
    with pytest.raises(DeploymentMismatch, match="no deployment file"):
        audit.run(scene.anvil.url, scene.directory / "missing.json")


def test_a_file_of_another_chain_id_cannot_be_audited(scene: Scene) -> None:
    other = edited(scene, lambda content: content.update(chain_id=1))
    with pytest.raises(DeploymentMismatch, match="is of chain 1"):
        audit.run(scene.anvil.url, other)


def test_a_file_of_an_empty_chain_cannot_be_audited(
    scene: Scene, anvil_factory: AnvilFactory
) -> None:
    empty = anvil_factory()
    with pytest.raises(DeploymentMismatch, match="no contract where the deployment file puts"):
        audit.run(empty.url, scene.path)


def test_a_file_that_names_too_few_contracts_cannot_be_audited(scene: Scene) -> None:
    other = edited(scene, lambda content: content["contracts"].pop("LegalOrders"))
    with pytest.raises(DeploymentMismatch, match="names no LegalOrders"):
        audit.run(scene.anvil.url, other)


def test_a_custody_file_of_no_known_layout_cannot_be_audited(scene: Scene) -> None:
    strange = scene.directory / "strange.csv"
    strange.write_text("colour,taste\nred,sweet\n")
    with pytest.raises(UnknownLayout):
        scene.audit(custody=[strange])


def test_a_journal_that_is_no_file_cannot_be_audited(scene: Scene) -> None:
    with pytest.raises(InvalidValue, match="journal"):
        scene.audit(journal=scene.directory / "missing.journal")


def test_an_acknowledgement_needs_a_journal_and_must_be_one(scene: Scene, tmp_path: Path) -> None:
    answer, journal = tmp_path / "answer.json", tmp_path / "journal"
    answer.write_text('{"seq": "1"}')
    with pytest.raises(InvalidValue, match="needs --journal"):
        scene.audit(acknowledgements=[answer])
    with pytest.raises(InvalidValue, match="is not a file"):
        scene.audit(journal=answer, acknowledgements=[tmp_path / "missing"])
    file = BytesIO()
    write_header(file)
    journal.write_bytes(file.getvalue())
    with pytest.raises(InvalidValue, match="is no answer with seq"):
        scene.audit(journal=journal, acknowledgements=[answer])
    answer.write_text("[")
    with pytest.raises(InvalidValue, match="is no JSON"):
        scene.audit(journal=journal, acknowledgements=[answer])


# ------------------------------------------------------------------------ code


def test_other_code_than_the_file_names_is_a_break_and_the_laws_are_still_judged(
    scene: Scene,
) -> None:
    address = scene.deployment["RetirementCertificates"]
    code = scene.rpc.code(address).hex()
    scene.rpc.call("anvil_setCode", address, "0x" + code + "00")
    report = scene.audit()
    assert report.broken == ["code"]
    assert "RetirementCertificates: the code on chain hashes to" in report.code.reason
    assert report.laws["L1"].status is Status.HOLDS
    assert audit.exit_code(report) == 1


def test_other_code_than_the_sources_is_a_break_even_where_the_file_agrees(scene: Scene) -> None:
    address = scene.deployment["Participants"]
    code = bytearray(scene.rpc.code(address))
    code[-1] ^= 1
    scene.rpc.call("anvil_setCode", address, "0x" + code.hex())

    def agree(content: dict[str, Any]) -> None:
        from backend.chain.verification import code_hash

        content["contracts"]["Participants"]["bytecode_hash"] = code_hash(bytes(code))

    report = audit.run(scene.anvil.url, edited(scene, agree))
    assert report.code.status is Status.BROKEN
    assert report.code.contracts["Participants"]["reason"] == (
        "the code on chain is not what its source compiles to"
    )


def test_a_creation_transaction_that_created_something_else_is_found(scene: Scene) -> None:
    def swap(content: dict[str, Any]) -> None:
        contracts = content["contracts"]
        contracts["HKD"]["transaction"] = contracts["USD"]["transaction"]

    report = audit.run(scene.anvil.url, edited(scene, swap), compare_source=False)
    assert "did not create it" in report.code.contracts["HKD"]["reason"]


def test_contracts_that_do_not_name_each_other_are_found(scene: Scene) -> None:
    def swap(content: dict[str, Any]) -> None:
        contracts = content["contracts"]
        contracts["AccessManager"], contracts["USD"] = contracts["USD"], contracts["AccessManager"]

    report = audit.run(scene.anvil.url, edited(scene, swap), compare_source=False)
    assert "its authority is" in report.code.contracts["Trust"]["reason"]


# ------------------------------------------------------------- lying endpoints


def test_an_endpoint_that_hides_a_transfer_is_found(scene: Scene) -> None:
    head = scene.rpc.block_number()

    def hide(asked: Answer, answer: Answer) -> Answer:
        if asked["method"] == "eth_getLogs":
            logs = answer["result"]
            kept = [log for log in logs if not _is_plain_transfer(log)]
            assert len(kept) < len(logs)
            return answer | {"result": kept}
        return answer

    with endpoint_before(scene.anvil.url, hide) as url:
        report = audit.run(url, scene.path, compare_source=False)
    assert (report.block, report.laws["L1"].status) == (head, Status.BROKEN)


def _is_plain_transfer(log: dict[str, Any]) -> bool:
    from backend.chain import abi

    nobody = "0x" + "0" * 64
    single = abi.topic("CarbonCredits", "TransferSingle")
    return log["topics"][0] == single and nobody not in log["topics"][1:]


def test_an_endpoint_that_hides_every_certificate_is_found(scene: Scene) -> None:
    address = scene.deployment["RetirementCertificates"].lower()

    def hide(asked: Answer, answer: Answer) -> Answer:
        if asked["method"] == "eth_getLogs":
            kept = [log for log in answer["result"] if log["address"].lower() != address]
            return answer | {"result": kept}
        return answer

    with endpoint_before(scene.anvil.url, hide) as url:
        law = audit.run(url, scene.path, compare_source=False).laws["L4"]
    assert law.status is Status.BROKEN
    assert len(law.breaks) == law.figures["certificates"]


def test_an_event_that_is_not_what_its_topic_says_is_found(scene: Scene) -> None:
    def garble(asked: Answer, answer: Answer) -> Answer:
        if asked["method"] == "eth_getLogs":
            answer["result"][-1]["data"] = "0x"
        return answer

    with endpoint_before(scene.anvil.url, garble) as url:
        law = audit.run(url, scene.path, compare_source=False).laws["L11"]
    assert law.status is Status.BROKEN
    assert any("is not what its name says" in found.what for found in law.breaks)


def test_without_a_trace_a_mint_through_another_contract_is_not_called_checked(
    scene: Scene,
) -> None:
    scene.mint_through_a_contract()

    def refuse(asked: Answer, answer: Answer) -> Answer:
        if asked["method"] == "debug_traceTransaction":
            error = {"code": -32601, "message": "the method is not available"}
            return {"jsonrpc": "2.0", "id": asked["id"], "error": error}
        return answer

    with endpoint_before(scene.anvil.url, refuse) as url:
        law = audit.run(url, scene.path, compare_source=False).laws["L5"]
    assert law.status is Status.NOT_CHECKED
    assert law.figures["acts_without_call"] == 1
    assert "only the signers that the events name" in law.reason


def test_ranges_that_an_endpoint_finds_too_large_are_asked_in_parts(scene: Scene) -> None:
    asked_for: list[int] = []

    def limit(asked: Answer, answer: Answer) -> Answer:
        if asked["method"] == "eth_getLogs":
            wanted = asked["params"][0]
            size = int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1
            asked_for.append(size)
            if size > 5:
                error = {"code": -32602, "message": "block range too large"}
                return {"jsonrpc": "2.0", "id": asked["id"], "error": error}
        return answer

    with endpoint_before(scene.anvil.url, limit) as url:
        report = audit.run(url, scene.path, custody=[scene.export], compare_source=False)
    assert report.broken == []
    assert max(asked_for) > 5 >= min(asked_for)


def test_a_chain_that_is_reorganised_during_the_audit_is_read_again(scene: Scene) -> None:
    heads: list[str] = []

    def move(asked: Answer, answer: Answer) -> Answer:
        is_head = asked["method"] == "eth_getBlockByNumber" and asked["params"][0] == "latest"
        if is_head:
            heads.append(answer["result"]["hash"])
            if len(heads) == 1:
                return answer | {"result": answer["result"] | {"hash": "0x" + "0" * 64}}
        return answer

    with endpoint_before(scene.anvil.url, move) as url:
        report = audit.run(url, scene.path, compare_source=False)
    assert (len(heads), report.block_hash) == (2, heads[1])


def test_a_chain_that_never_stands_still_cannot_be_audited(scene: Scene) -> None:
    def move(asked: Answer, answer: Answer) -> Answer:
        if asked["method"] == "eth_getBlockByNumber" and asked["params"][0] == "latest":
            return answer | {"result": answer["result"] | {"hash": "0x" + "0" * 64}}
        return answer

    with (
        endpoint_before(scene.anvil.url, move) as url,
        pytest.raises(ChainUnavailable, match="reorganised"),
    ):
        audit.run(url, scene.path, compare_source=False)
