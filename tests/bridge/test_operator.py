"""The operator's API on a real chain: who may, by the roles there, and what each decision does."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from backend.api.app import create_app
from backend.api.site.language import LANGUAGES
from backend.bridge.imports import import_export
from backend.bridge.receipts import Terms
from backend.bridge.selection import lots_of
from backend.chain.keys import Key, named_key, sign_digest
from backend.domain.custody_tasks import StatementRequest
from backend.domain.duplicates import REGISTRY, Listing, assess
from backend.domain.duplicates import Key as ProjectKey
from backend.domain.registry_requests import RegistryAccount, TransferRequest
from backend.settings import Settings
from backend.store import sessions
from backend.store.breaks import Breaks
from backend.store.custody import Custody, StoredReceipt
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.duplicates import save_cases
from backend.store.flows import Flows
from backend.store.queries.registry import list_blocks
from tests.api.conftest import asked
from tests.bridge.scene import BUYER, TRUST, Desk, Scene, custody

pytestmark = pytest.mark.integration

STRANGER = named_key("stranger", bytes([9]) * 32)
SAMPLES = Path(__file__).resolve().parents[2] / "backend" / "samples"
SECTIONS = (
    "/signatures",
    "/tasks",
    "/imports",
    "/duplicates",
    "/duplicates?state=all",
    "/classes",
    "/breaks?state=all",
    "/flows?which=all",
    "/roles",
)
_numbers = itertools.count(1)


class Office:
    """The API with sessions of everybody: `office.get("custodian", …)` is asked in their name."""

    def __init__(self, scene: Scene, client: httpx.Client) -> None:
        self.scene, self.client = scene, client
        self._tokens: dict[str, str] = {}

    def key(self, who: str) -> Key:
        return STRANGER if who == "stranger" else self.scene.world.keys[who]

    def headers(self, who: str) -> dict[str, str]:
        if who not in self._tokens:
            token, now = f"token of {who}", int(time.time())
            with self.scene.database.begin() as connection:
                sessions.open_session(
                    connection,
                    hashlib.sha256(token.encode()).digest(),
                    f"nonce of {who}",
                    self.key(who).address,
                    now,
                    now + 3_600,
                )
            self._tokens[who] = token
        return {"Authorization": f"Bearer {self._tokens[who]}"}

    def get(self, who: str, path: str, **query: Any) -> httpx.Response:
        return self.client.get(f"/v1/operator{path}", params=query, headers=self.headers(who))

    def post(self, who: str, path: str, **body: Any) -> httpx.Response:
        return self.client.post(f"/v1/operator{path}", json=body, headers=self.headers(who))

    def page(self, who: str, path: str, **headers: str) -> httpx.Response:
        """A page as a browser opens it: with the cookie alone."""
        token = self.headers(who)["Authorization"].removeprefix("Bearer ")
        cookie = {"Cookie": f"operator={token}", **headers}
        return self.client.get(f"/operator{path}", headers=cookie)

    def signature(self, who: str, draft: dict[str, Any]) -> str:
        """As a wallet signs the typed data, which is not how commands do it."""
        message = encode_typed_data(full_message=draft["typed_data"])
        signed = Account.sign_message(message, self.key(who).private_key)
        return "0x" + signed.signature.hex()


@pytest.fixture(scope="module")
def office(scene: Scene) -> Iterator[Office]:
    scene.step()
    settings = Settings(
        database_url=None,
        nats_url=None,
        chain_url=scene.world.rpc.url,
        chain_id=scene.world.deployment.chain_id,
    )
    app = create_app(settings, database=scene.database)
    app.state.custody = custody()
    with asked(app) as client:
        yield Office(scene, client)


def drafted(scene: Scene, desk: Desk, first: int, last: int) -> StoredReceipt:
    """A receipt that no machine signs: a person decided to make it."""
    desk.issue(first, last)
    with scene.database.read() as connection:
        rows = list_blocks(connection, project=desk.project, tokenizable=True).items
    (lot,) = lots_of(list(rows))
    trust = custody().trust("trust-1")
    terms = Terms(trust.account_id, trust.terms_hash)
    return scene.bridge.receipts.draft(lot, scene.world.holders[0].address, terms)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


# ── who may ──────────────────────────────────────────────────────────────────────────────────


def test_roles_are_those_that_the_chain_gives(office: Office) -> None:
    found = {
        who: office.get(who, "/person").json()["data"]["roles"]
        for who in ("custodian", "attestor", "registrar", "facts", "guardian", "admin", "stranger")
    }
    assert found.pop("stranger") == []
    assert found == {who: [who] for who in found}
    assert office.get("facts", "/person").json()["data"]["may"] == ["read"]
    assert "sign" in office.get("attestor", "/person").json()["data"]["may"]


@pytest.mark.parametrize("path", ["/drafts", "/tasks", "/flows"])
def test_nothing_is_read_without_a_session_or_a_role(office: Office, path: str) -> None:
    assert code(office.client.get(f"/v1/operator{path}")) == (401, "not-signed-in")
    refused = office.get("stranger", path)
    assert code(refused) == (403, "not-authorised")
    assert refused.json()["values"]["roles"] == []
    assert "custodian" in refused.json()["values"]["needs"]
    answer = office.get("guardian", path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


def test_a_cookie_of_the_pages_changes_nothing_and_reads_nothing_of_the_api(office: Office) -> None:
    token = office.headers("registrar")["Authorization"].removeprefix("Bearer ")
    cookie = {"Cookie": f"operator={token}"}
    assert office.client.get("/v1/operator/drafts", headers=cookie).status_code == 401
    body = {"because": "x"}
    answer = office.client.post("/v1/operator/breaks/1/resolution", json=body, headers=cookie)
    assert answer.status_code == 401


# ── signatures ───────────────────────────────────────────────────────────────────────────────


def test_l5_a_receipt_signed_by_two_wallets_is_minted(
    office: Office, scene: Scene, desk: Desk
) -> None:
    held = drafted(scene, desk, 1, 10)
    path = f"/drafts/{held.id}"
    draft = office.get("custodian", path).json()["data"]
    assert draft["type"] == "Receipt"
    assert draft["cautions"] == []
    assert draft["typed_data"]["message"]["intervals"][0]["first"] == str(desk.base + 1)
    for who in ("custodian", "attestor"):
        signed = office.post(who, f"{path}/signatures", signature=office.signature(who, draft))
        assert signed.status_code == 200, signed.text
        roles = [one["role"] for one in signed.json()["data"]["signed_by"]]
        assert who in roles
    scene.settle(lambda: Custody(scene.database).receipt(held.id).state.value == "minted")
    assert desk.balance() == 10_000
    # Twice has the effect of once, also when it is long minted.
    again = office.post(
        "custodian", f"{path}/signatures", signature=office.signature("custodian", draft)
    )
    assert again.status_code == 200
    assert again.json()["data"]["state"] == "minted"
    assert len(Custody(scene.database).receipt(held.id).approvals) == 2


def test_l5_a_signature_of_another_key_role_or_message_is_refused(
    office: Office, scene: Scene, desk: Desk
) -> None:
    held = drafted(scene, desk, 1, 5)
    path = f"/drafts/{held.id}/signatures"
    draft = office.get("custodian", f"/drafts/{held.id}").json()["data"]
    by_attestor = office.signature("attestor", draft)
    assert code(office.post("custodian", path, signature=by_attestor)) == (403, "not-authorised")
    registrar = office.signature("registrar", draft)
    assert code(office.post("registrar", path, signature=registrar)) == (403, "not-authorised")
    other = "0x" + sign_digest(office.key("custodian").private_key, bytes(32)).hex()
    assert code(office.post("custodian", path, signature=other)) == (403, "not-authorised")
    assert code(office.post("custodian", path, signature="0x12")) == (422, "invalid-request")
    assert code(office.post("custodian", path)) == (422, "invalid-request")
    high = "0x" + "ff" * 65
    assert code(office.post("custodian", path, signature=high)) == (422, "invalid-value")
    nothing = office.post("custodian", f"/drafts/0x{'12' * 32}/signatures", signature=by_attestor)
    assert code(nothing) == (404, "not-found")
    assert Custody(scene.database).receipt(held.id).approvals == ()
    scene.bridge.receipts.cancel(held.id, office.key("custodian"))
    scene.settle(lambda: Custody(scene.database).receipt(held.id).state.value == "cancelled")
    late = office.post("custodian", path, signature=office.signature("custodian", draft))
    assert code(late) == (409, "conflict")


def test_a_receipt_says_what_bars_it_before_it_is_signed(
    office: Office, scene: Scene, desk: Desk
) -> None:
    held = drafted(scene, desk, 1, 5)
    case = a_case(scene, desk.project)
    draft = office.get("custodian", f"/drafts/{held.id}").json()["data"]
    assert [one for one in draft["cautions"] if f"case {case}" in one]
    signature = office.signature("custodian", draft)
    refused = office.post("custodian", f"/drafts/{held.id}/signatures", signature=signature)
    assert code(refused) == (409, "duplicate-open")
    page = office.page("custodian", "/signatures").text
    assert f"case {case}" in page
    assert f"{desk.base + 1} – {desk.base + 5}" in page
    assert f'data-sign="{held.id}"' in page
    assert "data-sign" not in office.page("registrar", "/signatures").text


# ── tasks ────────────────────────────────────────────────────────────────────────────────────


def a_task(scene: Scene, desk: Desk) -> str:
    reference = f"t-{next(_numbers)}"
    request = TransferRequest(reference, TRUST, desk.issue(1, 10), BUYER)
    PostgresTaskBook(scene.database).open_task(request, int(time.time()), int(time.time()) - 60)
    return reference


def test_an_answer_with_its_file_counts_when_another_person_approves_it(
    office: Office, scene: Scene, desk: Desk
) -> None:
    reference = a_task(scene, desk)
    (task,) = [
        one
        for one in office.get("attestor", "/tasks").json()["data"]
        if one["reference"] == reference
    ]
    assert task["late"]
    assert task["instructions"]["serials"] == f"VCS:2/{desk.base + 1}-{desk.base + 10}"
    path = f"/tasks/{reference}/answers"
    said = {
        "registry_reference": "R-7",
        "date": "2026-02-28",
        "file_name": "a.pdf",
        "file": base64.b64encode(b"%PDF evidence").decode(),
    }
    assert code(office.post("attestor", path, **said)) == (403, "not-authorised")
    for bad, field in (
        ({"date": "28.2.2026"}, "date"),
        ({"registry_reference": ""}, "registry_reference"),
        ({"file": "no base64!"}, "file"),
        ({"serials": ["VCS:2/x"]}, "serials"),
    ):
        refused = office.post("custodian", path, **{**said, **bad})
        assert refused.status_code == 422, bad
        assert field in refused.json()["errors"][0]["field"], refused.text
    assert office.post("custodian", path, **said).status_code == 200
    # Twice is once; another answer has to wait.
    assert len(office.post("custodian", path, **said).json()["data"]["answers"]) == 1
    assert code(office.post("registrar", path, **said)) == (409, "conflict")
    review = f"{path}/1/review"
    assert code(office.post("custodian", review, approve=True)) == (403, "not-authorised")
    for who in ("facts", "registrar"):
        assert code(office.post(who, review, approve=True)) == (403, "not-authorised")
    assert code(office.post("attestor", review, approve=False)) == (422, "invalid-value")
    assert code(office.post("attestor", f"{path}/2/review", approve=True)) == (404, "not-found")
    done = office.post("attestor", review, approve=True, note="seen").json()["data"]
    assert done["state"] == "done"
    assert done["answers"][0]["reviewed_by"] == office.key("attestor").address
    assert office.post("attestor", review, approve=True, note="seen").status_code == 200
    other = office.post("attestor", review, approve=False, note="not so")
    assert code(other) == (409, "conflict")
    assert office.get("facts", f"{path}/1/file").content == b"%PDF evidence"
    file = office.page("facts", f"/tasks/{reference}/1/file")
    assert file.content == b"%PDF evidence"
    assert file.headers["content-disposition"].startswith("attachment")
    page = office.page("custodian", f"/tasks/{reference}").text
    assert f"VCS:2/{desk.base + 1}-{desk.base + 10}" in page
    assert f"Ref. {reference}" in page


def test_a_statement_is_read_from_the_file_and_its_bad_lines_are_named(
    office: Office, scene: Scene
) -> None:
    account = RegistryAccount("VCS", "TRUST-9", "1")
    reference = f"statement:{next(_numbers)}"
    PostgresTaskBook(scene.database).open_task(StatementRequest(reference, account), 1)
    columns = (
        "Programme,Account,Sub-account,Series,First,Last,Project,Block,Vintage Start,Vintage End"
    )

    def answer(text: str) -> httpx.Response:
        file = base64.b64encode(text.encode()).decode()
        path = f"/tasks/{reference}/answers"
        return office.post("custodian", path, as_of="2026-05-31T23:59:59+08:00", file=file)

    refused = answer("Programme,Account\nVCS,TRUST-9\n")
    assert code(refused) == (422, "invalid-value")
    assert "columns" in refused.json()["detail"]
    bad = answer(f"{columns}\nVCS,TRUST-9,1,VCS:2,ten,20,1,B,2023-01-01,2023-12-31\n")
    assert "line 2" in bad.json()["detail"], bad.text


# ── decisions ────────────────────────────────────────────────────────────────────────────────


def a_case(scene: Scene, project: str) -> int:
    """A project that two programmes seem to list."""
    left, right = (
        Listing(
            ProjectKey(REGISTRY, programme, project),
            names=(f"<b>hills</b> wind farm {project}",),
            countries=("IN",),
            methodologies=("ACM0002",),
            categories=("renewable-energy",),
        )
        for programme in ("GS", "VCS")
    )
    with scene.database.begin() as connection:
        (case_id,) = save_cases(connection, [assess(left, right)])
    return case_id


def test_a_duplicate_is_decided_once_by_who_may_on_the_evidence_that_was_seen(
    office: Office, scene: Scene
) -> None:
    case_id = a_case(scene, "4711")
    path = f"/duplicates/{case_id}/decisions"
    case = office.client.get(f"/v1/duplicates/{case_id}").json()["data"]
    said = {"decision": "distinct", "why": "two valleys", "evidence": case["evidence"]}
    for who in ("custodian", "attestor", "facts"):
        assert code(office.post(who, path, **said)) == (403, "not-authorised")
    assert code(office.post("registrar", path, **{**said, "why": " "}))[0] == 422
    assert code(office.post("registrar", path, **{**said, "decision": "maybe"}))[0] == 422
    stale = office.post("registrar", path, **{**said, "evidence": "0" * 64})
    assert code(stale) == (409, "conflict")
    assert "look at it again" in stale.json()["detail"]
    unknown = office.post("registrar", path, **{**said, "keep": "GS-1", "decision": "duplicate"})
    assert code(unknown) == (422, "invalid-value")
    first = office.post("registrar", path, **said).json()["data"]
    assert first["state"] == "distinct"
    assert first["decisions"][0]["who"] == office.key("registrar").address
    assert office.post("registrar", path, **said).json()["data"] == first
    page = office.page("registrar", "/duplicates?state=distinct").text
    assert "two valleys" in page
    assert "<b>hills" not in page


def test_a_break_is_resolved_by_who_may_with_a_reason(office: Office, scene: Scene) -> None:
    found = Breaks(scene.database).report(f"b{next(_numbers)}", "late", "<i>late</i>", {"a": "1"})
    path = f"/breaks/{found.number}/resolution"
    assert code(office.post("custodian", path, because="x")) == (403, "not-authorised")
    assert code(office.post("registrar", path, because=" ")) == (422, "invalid-request")
    done = office.post("registrar", path, because="the registry was asked").json()["data"]
    assert done["state"] == "resolved"
    assert done["resolution"].endswith(f"({office.key('registrar').address})")
    again = office.post("registrar", path, because="the registry was asked")
    assert again.status_code == 200
    assert code(office.post("registrar", path, because="otherwise")) == (409, "conflict")
    assert code(office.post("registrar", "/breaks/99999/resolution", because="x"))[0] == 404


def test_a_body_that_is_too_long_or_no_json_is_refused_by_name(office: Office) -> None:
    headers = office.headers("registrar")
    path = "/v1/operator/breaks/1/resolution"
    long = office.client.post(path, content=b'{"because":"' + b"a" * 70_000, headers=headers)
    assert code(long) == (413, "too-large")
    for raw in (b"", b"no", b"[" * 50_000, b'{"because":"x","more":1}', b"\xff"):
        assert office.client.post(path, content=raw, headers=headers).status_code == 422, raw[:20]


# ── what is stuck, what was refused ──────────────────────────────────────────────────────────


def test_stuck_flows_say_why_and_when_they_go_on(office: Office, scene: Scene) -> None:
    flows = Flows(scene.database)
    name = f"stuck-{next(_numbers)}"
    flow = flows.begin("move", name, "planned", {}, deadline=1)
    flows.retry(flow, "the registry <i>is</i> closed")
    flows.begin("move", f"fine-{name}", "planned", {})
    stuck = {one["id"]: one for one in office.get("facts", "/flows").json()["data"]}
    assert stuck[name]["reason"] == "the registry <i>is</i> closed"
    assert (stuck[name]["attempts"], stuck[name]["deadline"]) == ("1", "1")
    assert f"fine-{name}" not in stuck
    every = office.get("facts", "/flows", stuck="false", limit="500").json()["data"]
    assert f"fine-{name}" in [one["id"] for one in every]
    page = office.page("facts", "/flows").text
    assert "the registry &lt;i&gt;is&lt;/i&gt; closed" in page


def test_every_rejected_row_is_found_filtered_and_downloaded(office: Office, scene: Scene) -> None:
    document, _ = import_export(
        scene.database, SAMPLES / "sample-verra-vcu-export-errors.csv", lambda *said: None
    )
    path = f"/imports/{document['import_id']}"
    rejected = document["rejected"]
    rows = office.get("guardian", f"{path}/rejected").json()["data"]
    assert [one["rule"] for one in rows] == [one["rule"] for one in rejected]
    one = rejected[0]
    found = office.get("guardian", f"{path}/rejected", field=one["field"]).json()["data"]
    assert 0 < len(found) < len(rows)
    assert {each["field"] for each in found} == {one["field"]}
    assert office.get("guardian", f"{path}/rejected", text="100%_").json()["data"] == []
    page = office.page("guardian", path).text
    assert one["rule"].replace("'", "&#39;") in page
    file = office.page("guardian", f"{path}/rejected.csv?field={one['field']}")
    lines = list(csv.DictReader(io.StringIO(file.text)))
    assert [line["row"] for line in lines] == [each["row"] for each in found]
    assert file.headers["content-type"].startswith("text/csv")
    assert office.get("guardian", "/imports/99999/rejected").status_code == 404
    assert office.page("guardian", "/imports/99999").status_code == 404


# ── pages ────────────────────────────────────────────────────────────────────────────────────


def test_without_a_session_a_page_leads_to_the_door_and_back(office: Office) -> None:
    answer = office.client.get("/operator/imports?cursor=x")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/operator?next=%2Foperator%2Fimports%3Fcursor%3Dx"
    door = office.client.get("/operator")
    assert door.status_code == 200
    assert "operator-sign-in" in door.text
    ended = office.client.get("/operator/tasks", headers={"Cookie": "operator=nonsense"})
    assert ended.status_code == 303


def test_a_wallet_without_a_role_is_told_which_it_needs(office: Office) -> None:
    for path in ("", *SECTIONS):
        answer = office.page("stranger", path)
        assert answer.status_code == 403
        assert f"{STRANGER.address} has no role" in answer.text
        assert "custodian" in answer.text
        assert "operator-section" not in answer.text


def test_the_cookie_goes_to_these_pages_alone_and_no_script_reads_it(office: Office) -> None:
    kept = office.client.post("/operator/session", headers=office.headers("facts"))
    assert kept.status_code == 204
    cookie = kept.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/operator"):
        assert part in cookie
    office.client.cookies.clear()
    assert office.client.post("/operator/session").status_code == 401
    # Neither the cookie nor another origin's form opens or changes anything.
    other = office.client.post("/operator/session", headers={"Cookie": "operator=token of facts"})
    assert other.status_code == 401


def test_every_section_is_whole_without_a_script_in_every_language(office: Office) -> None:
    for path, language in zip(("", *SECTIONS), itertools.cycle(LANGUAGES), strict=False):
        answer = office.page("registrar", path, **{"Accept-Language": language})
        assert answer.status_code == 200, (path, answer.text[:500])
        assert f'lang="{language}"' in answer.text
        assert 'id="operator-section"' in answer.text
        assert answer.headers["cache-control"] == "no-store"
