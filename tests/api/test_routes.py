"""Every route of the API over a past that is known to the kilogram."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import World
from tests.api.history import address, hash_of

pytestmark = pytest.mark.integration


def data(client: httpx.Client, path: str, **params: Any) -> Any:
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def every_page(client: httpx.Client, path: str, limit: int, **params: Any) -> list[Any]:
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        answer = client.get(path, params={**params, "limit": limit, **cursor}).json()
        assert len(answer["data"]) <= limit
        found += answer["data"]
        if answer["next_cursor"] is None:
            return found
        assert len(answer["data"]) == limit
        cursor = {"cursor": answer["next_cursor"]}


def routes(world: World) -> dict[str, str]:
    """Every GET route of OpenAPI with real values in its path."""
    return {
        "/v1/classes": "/v1/classes",
        "/v1/classes/{class_id}": f"/v1/classes/{world.class_id}",
        "/v1/classes/{class_id}/blocks": f"/v1/classes/{world.class_id:#x}/blocks",
        "/v1/classes/{class_id}/holders": f"/v1/classes/{world.class_id}/holders",
        "/v1/classes/{class_id}/retirements": f"/v1/classes/{world.class_id}/retirements",
        "/v1/accounts/{address}": f"/v1/accounts/{world.holder}",
        "/v1/accounts/{address}/holdings": f"/v1/accounts/{world.holder.lower()}/holdings",
        "/v1/accounts/{address}/movements": f"/v1/accounts/{world.holder}/movements",
        "/v1/receipts": "/v1/receipts",
        "/v1/receipts/{receipt_id}": f"/v1/receipts/{world.minted_receipt}",
        "/v1/serials/{series}/{number}": "/v1/serials/VCS:2/1",
        "/v1/retirements": "/v1/retirements",
        "/v1/certificates/{certificate_id}": f"/v1/certificates/{world.plain}",
        "/v1/certificates/{certificate_id}/trace": f"/v1/certificates/{world.plain}/trace",
        "/v1/registry/blocks": "/v1/registry/blocks",
        "/v1/registry/lots": "/v1/registry/lots",
        "/v1/registry/contradictions": "/v1/registry/contradictions",
        "/v1/duplicates": "/v1/duplicates",
        "/v1/duplicates/{case_id}": f"/v1/duplicates/{world.case_id}",
        "/v1/imports": "/v1/imports",
        "/v1/imports/{import_id}": f"/v1/imports/{world.import_id}",
        "/v1/classes/{class_id}/upcoming": f"/v1/classes/{world.class_id}/upcoming?kilograms=1500",
        "/v1/deliveries": "/v1/deliveries",
        "/v1/breaks": "/v1/breaks",
        "/v1/health": "/v1/health",
    }


#: What this past does not hold, and what is data of the deployment: tests of their own ask them.
ELSEWHERE = {
    "/v1/accounts/{address}/exchange",
    "/v1/deliveries/{delivery_id}",
    "/v1/reserve",
    "/v1/reserve/liabilities/{address}/{class_id}",
    "/v1/programmes",
    "/v1/trust-accounts",
    "/v1/accounts/{address}/alerts",
    "/v1/classes/{class_id}/alerts",
    "/v1/conversions",
    "/v1/conversions/{conversion_id}",
    "/v1/conversions/{conversion_id}/claims/{address}",
}


def test_every_route_answers_and_names_its_chain_block(client: httpx.Client, world: World) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    # The venue's routes name a journal entry instead: tests of the market and of quotes ask them.
    elsewhere = {"session", "market", "quotes", "venue accounts", "operator", "webhooks", "ledger"}
    read = {
        path
        for path, operations in paths.items()
        if "get" in operations and not elsewhere & set(operations["get"].get("tags", ()))
    }
    assert read - ELSEWHERE == set(routes(world))
    for template, path in routes(world).items():
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        if template != "/v1/health":
            head = answer.json()["head"]
            assert head["number"] == head["final_number"] == str(world.history.block - 1)
            assert head["hash"] == hash_of("block", world.history.block - 1)


#: What is not reading: signed messages to the venue, sessions to read what is one's own, what a
#: holder says before a retirement, one's own webhooks, and acts behind a role on the chain.
WRITES = {
    "/v1/orders": {"post"},
    "/v1/cancels": {"post"},
    "/v1/cancel-all": {"post"},
    "/v1/withdrawals": {"post"},
    "/v1/session": {"post", "delete"},
    "/v1/retirement-instructions": {"post"},
    "/v1/retirement-instructions/check": {"post"},
    "/v1/webhooks": {"post"},
    "/v1/webhooks/{endpoint}": {"patch", "delete"},
    "/v1/webhooks/{endpoint}/ping": {"post"},
    "/v1/webhooks/{endpoint}/replay": {"post"},
    "/v1/webhooks/{endpoint}/secret": {"post"},
    "/v1/operator/breaks/{number}/resolution": {"post"},
    "/v1/operator/drafts/{draft_id}/signatures": {"post"},
    "/v1/operator/duplicates/{case_id}/decisions": {"post"},
    "/v1/operator/tasks/{reference}/answers": {"post"},
    "/v1/operator/tasks/{reference}/answers/{number}/review": {"post"},
}


def test_nothing_else_but_reading_is_offered(client: httpx.Client, world: World) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    written = {path: set(operations) - {"get"} for path, operations in paths.items()}
    assert {path: methods for path, methods in written.items() if methods} == WRITES
    for path in routes(world).values():
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = client.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET"
            assert answer.json()["type"] == "urn:causeway:problem:method-not-allowed"


def _json_integers(value: Any, place: str) -> list[str]:
    if isinstance(value, dict):
        # What registries and exports say is shown as it came.
        kept = {k: v for k, v in value.items() if k not in ("facts", "source", "report", "detail")}
        return [found for k, v in kept.items() for found in _json_integers(v, f"{place}.{k}")]
    if isinstance(value, list):
        return [found for item in value for found in _json_integers(item, place)]
    return [place] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_every_integer_is_a_string_l11(client: httpx.Client, world: World) -> None:
    for path in routes(world).values():
        assert _json_integers(client.get(path).json(), path) == []


def test_a_class_answers_to_decimal_and_hexadecimal(client: httpx.Client, world: World) -> None:
    made = world.history.classes[world.class_id]
    decimal = data(client, f"/v1/classes/{world.class_id}")
    assert decimal == data(client, f"/v1/classes/0x{world.class_id:064x}")
    found = decimal["credit_class"]
    assert found["class_id"] == str(world.class_id)
    assert found["supply_kilograms"] == str(sum(made.left))
    assert found["project_name"] == "A project"
    assert found["unit_type"] == "credit"
    assert not found["provisional"]


@pytest.mark.parametrize("limit", [1, 2, 7, 500])
def test_pages_together_are_the_whole_in_order(
    client: httpx.Client, world: World, limit: int
) -> None:
    history = world.history
    naive = [c for made in history.classes.values() for c in made.certificates]
    retirements = every_page(client, "/v1/retirements", limit)
    assert {r["certificate_id"] for r in retirements} == {str(c.certificate_id) for c in naive}
    order = [(int(r["block_number"]), int(r["log_index"])) for r in retirements]
    assert order == sorted(set(order), reverse=True)
    numbers = [int(c["number"]) for c in every_page(client, "/v1/classes", limit)]
    assert numbers == list(range(1, len(history.classes) + 1))
    receipts = every_page(client, "/v1/receipts", limit)
    assert len({r["receipt_id"] for r in receipts}) == len(receipts)
    assert [r["state"] for r in receipts[:1]] == ["drafted"]
    path = f"/v1/classes/{world.class_id}"
    holders = every_page(client, f"{path}/holders", limit)
    assert [int(h["kilograms"]) for h in holders] == sorted(
        (int(h["kilograms"]) for h in holders), reverse=True
    )
    blocks = every_page(client, f"{path}/blocks", limit)
    assert [b["first_position"] for b in blocks] == sorted(
        (b["first_position"] for b in blocks), key=int
    )
    movements = every_page(client, f"/v1/accounts/{world.holder}/movements", limit)
    balance = sum(int(m["kilograms"]) for m in movements)
    held = [kg for (account, _), kg in history.held.items() if account == world.holder]
    assert balance == sum(held)
    assert len(every_page(client, "/v1/imports", limit)) == 3
    assert len(every_page(client, "/v1/registry/blocks", limit)) == 6


def test_movements_say_what_happened(client: httpx.Client, world: World) -> None:
    movements = every_page(client, f"/v1/accounts/{world.holder}/movements", 100)
    assert {m["kind"] for m in movements} >= {"mint", "burn", "retirement", "transfer"}
    for movement in movements:
        assert (movement["counterparty"] is not None) == (movement["kind"] == "transfer")
    retired = sum(int(m["retired_kilograms"]) for m in movements)
    expected = [kg for (a, _), kg in world.history.retired.items() if a == world.holder]
    assert retired == sum(expected)
    one = every_page(
        client, f"/v1/accounts/{world.holder}/movements", 100, class_id=hex(world.class_id)
    )
    assert one == [m for m in movements if m["class_id"] == str(world.class_id)]


def test_holdings_are_the_balances_l1(client: httpx.Client, world: World) -> None:
    for number in range(1, 6):
        account = address(number)
        holdings = every_page(client, f"/v1/accounts/{account}/holdings", 2)
        found = {int(h["credit_class"]["class_id"]): int(h["kilograms"]) for h in holdings}
        assert {k: v for k, v in found.items() if v} == {
            class_id: kilograms
            for (holder, class_id), kilograms in world.history.held.items()
            if holder == account and kilograms
        }


@pytest.mark.parametrize(
    ("number", "state"), [(1, "admitted"), (6, "expired"), (7, "frozen"), (99, "unknown")]
)
def test_an_account_says_whether_it_may_hold(client: httpx.Client, number: int, state: str) -> None:
    found = data(client, f"/v1/accounts/{address(number)}")
    assert found["state"] == state
    assert found["address"] == address(number)


@pytest.mark.parametrize(
    ("params", "programmes", "count"),
    [
        ({"label": "ccp"}, {"VCS"}, 3),
        ({"label": "corsia"}, set(), 0),
        ({"programme": "GS"}, set(), 0),
        ({"project": "1003"}, {"VCS"}, 1),
        ({"vintage": 2022}, {"VCS"}, 2),
        ({"vintage": 1999}, set(), 0),
    ],
)
def test_classes_are_filtered(
    client: httpx.Client, params: dict[str, Any], programmes: set[str], count: int
) -> None:
    found = data(client, "/v1/classes", **params)
    assert {c["programme"] for c in found} == programmes
    assert len(found) == count


def test_retirements_are_filtered_by_class_and_by_anyone_who_took_part(
    client: httpx.Client, world: World
) -> None:
    owner = address(4)
    naive = [c for made in world.history.classes.values() for c in made.certificates]
    found = every_page(client, "/v1/retirements", 50, account=owner)
    assert {r["certificate_id"] for r in found} == {
        str(c.certificate_id) for c in naive if owner in (c.owner, c.holder)
    }
    one = every_page(client, "/v1/retirements", 50, class_id=str(world.class_id))
    assert one == every_page(client, f"/v1/classes/{world.class_id}/retirements", 50)
    assert len(one) == len(world.history.classes[world.class_id].certificates)


def test_a_confirmed_certificate_shows_actual_serials_and_the_expected_ones(
    client: httpx.Client, world: World
) -> None:
    found = data(client, f"/v1/certificates/{world.confirmed}")
    (piece,) = found["pieces"]
    made = world.history.classes[world.class_id]
    naive = next(c for c in made.certificates if c.certificate_id == world.confirmed)
    assert found["retirement"]["status"] == "confirmed"
    assert found["retirement"]["references"] == ["REF-1"]
    assert {run["status"] for run in piece["serials"]} == {"actual"}
    assert {run["status"] for run in piece["expected"]} == {"expected"}
    expected = [int(run["first"]) for run in piece["expected"]]
    assert expected[0] == naive.expected[min(naive.taken)][1]
    (confirmation,) = found["confirmations"]
    (actual,) = confirmation["actual"]
    (run,) = piece["serials"]
    assert (actual["first"], actual["last"]) == (run["first"], run["last"])


def test_a_certificate_leads_to_receipts_and_registry_rows(
    client: httpx.Client, world: World
) -> None:
    found = data(client, f"/v1/certificates/{world.confirmed}/trace")
    assert [r["receipt_id"] for r in found["receipts"]] == [world.minted_receipt]
    (row,) = found["registry"]
    assert row["project"] == "1000"
    (run,) = found["certificate"]["pieces"][0]["serials"]
    assert int(row["first"]) <= int(run["first"]) <= int(run["last"]) <= int(row["last"])


def test_a_serial_that_no_receipt_names_shows_the_registrys_rows(
    client: httpx.Client, world: World
) -> None:
    blocks = data(client, "/v1/registry/blocks", in_trust=False)
    block = blocks[0]
    found = data(client, f"/v1/serials/{block['series']}/{block['first']}")
    assert found["state"] == "not in trust"
    assert [row["id"] for row in found["registry"]] == [block["id"]]
    assert found["receipt"] is None


def test_a_serial_of_a_drafted_receipt_is_in_custody(client: httpx.Client, world: World) -> None:
    receipt = data(client, f"/v1/receipts/{world.drafted_receipt}")
    assert receipt["summary"]["state"] == "drafted"
    assert receipt["summary"]["provisional"]
    (block,) = receipt["serials"]
    assert block["first_position"] is None
    found = data(client, f"/v1/serials/{block['series_hash']}/{block['last']}")
    assert found["state"] == "in custody"
    assert found["receipt"]["receipt_id"] == world.drafted_receipt


def test_a_minted_receipt_has_serials_positions_and_signers(
    client: httpx.Client, world: World
) -> None:
    found = data(client, f"/v1/receipts/{world.minted_receipt}")
    assert found["summary"]["state"] == "minted"
    assert [a["signer"] for a in found["approvals"]] == [address(0xF1), address(0xF2)]
    assert sum(int(b["tonnes"]) for b in found["serials"]) == int(found["summary"]["tonnes"])
    assert found["serials"][0]["first_position"] is not None
    only = every_page(client, "/v1/receipts", 50, state="minted", recipient=world.holder.lower())
    assert world.minted_receipt in {r["receipt_id"] for r in only}
    assert {r["state"] for r in only} == {"minted"}


def test_registry_blocks_say_what_can_be_tokenized_and_why_not(
    client: httpx.Client, world: World
) -> None:
    blocks = data(client, "/v1/registry/blocks")
    for block in blocks:
        used = sum(int(u["last"]) - int(u["first"]) + 1 for u in block["in_trust"])
        assert int(block["free_tonnes"]) + used == int(block["tonnes"])
        assert block["tokenizable"] == (not block["reasons"])
    reasons = {reason for block in blocks for reason in block["reasons"]}
    assert reasons == {
        "labels not in the vocabulary, version 1: Unheard of",
        "status is retired",
        "every serial is in trust already",
    }
    good = data(client, "/v1/registry/blocks", tokenizable=True)
    assert good == [block for block in blocks if block["tokenizable"]]
    bad = data(client, "/v1/registry/blocks", tokenizable=False)
    assert bad == [block for block in blocks if not block["tokenizable"]]
    split = [block for block in good if block["in_trust"]]
    assert [len(block["free"]) for block in split] == [2]
    assert data(client, "/v1/registry/blocks", import_id=str(world.import_id)) == [
        block for block in blocks if block["unmapped"]
    ]
    assert data(client, "/v1/registry/blocks", status="retired", project="1001", vintage=2020)


def test_lots_sum_what_is_active(client: httpx.Client) -> None:
    lots = data(client, "/v1/registry/lots", programme="VCS", project="1000")
    active = [b for b in data(client, "/v1/registry/blocks") if b["status"] == "active"]
    assert sum(int(lot["active_tonnes"]) for lot in lots) == sum(int(b["tonnes"]) for b in active)
    assert {lot["unmapped"] for lot in lots} == {True, False}


_BAD = [
    ("/v1/classes/abc", "path.class_id"),
    ("/v1/classes/0x", "path.class_id"),
    ("/v1/classes/-1", "path.class_id"),
    ("/v1/classes/" + "9" * 79, "path.class_id"),
    ("/v1/classes/0x" + "f" * 65, "path.class_id"),
    ("/v1/classes/٣", "path.class_id"),
    ("/v1/accounts/0x123", "path.address"),
    ("/v1/accounts/0x70997970c51812dc3A010C7d01b50e0d17dc79C8", "path.address"),
    ("/v1/receipts/0x12", "path.receipt_id"),
    ("/v1/certificates/18446744073709551616", "path.certificate_id"),
    ("/v1/certificates/1e3", "path.certificate_id"),
    ("/certificates/x", "path.certificate_id"),
    ("/v1/serials/VCS:2/0x10", "path.number"),
    ("/v1/serials/VCS:2/9223372036854775807", "path.number"),
    ("/v1/serials/VCS:2/0", "path.number"),
    ("/v1/serials/VCS:2/007", "path.number"),
    ("/v1/serials/vcs/1", "path.series"),
    ("/v1/serials/VCS:3/1", "path.series"),
    ("/v1/serials/XYZ:1/1", "path.series"),
    ("/v1/serials/GS:1:2/1", "path.series"),
    ("/v1/serials/GS:a:2:3/1", "path.series"),
    ("/v1/imports/0x1", "path.import_id"),
    ("/v1/classes?limit=0", "query.limit"),
    ("/v1/classes?limit=501", "query.limit"),
    ("/v1/classes?limit=x", "query.limit"),
    ("/v1/classes?cursor=%00", "cursor"),
    ("/v1/classes?cursor=é", "cursor"),
    ("/v1/classes?cursor=WzEsMl0", "cursor"),
    ("/v1/classes?cursor=WyJ4Il0", "cursor"),
    ("/v1/classes?cursor=W3RydWVd", "cursor"),
    ("/v1/classes?cursor=WzEuNV0", "cursor"),
    ("/v1/classes?cursor=" + "W1tb" * 150, "cursor"),
    ("/v1/classes?vintage=1", "query.vintage"),
    ("/v1/classes?programme=", "query.programme"),
    ("/v1/classes?programme=a%00b", "query.programme"),
    ("/v1/classes?label=" + "x" * 201, "query.label"),
    ("/v1/classes?min_block=-1", "query.min_block"),
    ("/v1/classes?min_block=9223372036854775808", "query.min_block"),
    ("/v1/classes?limt=5", "query.limt"),
    ("/v1/retirements?account=0x1", "query.account"),
    ("/v1/retirements?class_id=z", "query.class_id"),
    ("/v1/receipts?state=lost", "query.state"),
    ("/v1/receipts?recipient=me", "query.recipient"),
    ("/v1/registry/blocks?status=good", "query.status"),
    ("/v1/registry/blocks?tokenizable=maybe", "query.tokenizable"),
    ("/v1/registry/blocks?import_id=1.5", "query.import_id"),
]


@pytest.mark.parametrize(("path", "field"), _BAD)
def test_bad_input_is_refused_with_value_rule_and_place(
    client: httpx.Client, path: str, field: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] in (
        "urn:causeway:problem:invalid-request",
        "urn:causeway:problem:invalid-value",
    )
    assert problem["status"] == 422
    broken = problem["errors"][0]
    assert broken["field"] == field
    assert broken["rule"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/classes/7",
        "/v1/classes/7/blocks",
        "/v1/classes/7/holders",
        "/v1/classes/7/retirements",
        "/v1/classes/" + "9" * 78,
        "/v1/receipts/0x" + "0" * 64,
        "/v1/certificates/1",
        "/v1/certificates/1/trace",
        "/v1/certificates/18446744073709551615",
        "/certificates/1",
        "/v1/serials/VCS:2/9223372036854775806",
        "/v1/serials/0x" + "0" * 64 + "/1",
        "/v1/imports/9223372036854775807",
    ],
)
def test_what_nothing_has_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:causeway:problem:not-found"
    assert answer.headers["cache-control"] == "no-store"


def test_a_forged_cursor_beyond_every_number_is_an_empty_page(client: httpx.Client) -> None:
    huge = "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwXQ"
    answer = client.get("/v1/classes", params={"cursor": huge}).json()
    assert answer["data"] == []
    assert answer["next_cursor"] is None


def test_a_route_that_does_not_exist_is_a_problem(client: httpx.Client) -> None:
    answer = client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:causeway:problem:no-such-route"


def test_an_answer_that_has_not_changed_is_not_sent_again(
    client: httpx.Client, world: World
) -> None:
    first = client.get("/v1/classes")
    again = client.get("/v1/classes", headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
    assert again.status_code == 304
    assert again.content == b""
    assert client.get("/v1/retirements").headers["etag"] != first.headers["etag"]


def test_every_answer_carries_security_headers_and_an_id(client: httpx.Client) -> None:
    for path in ("/v1/classes", "/", "/v1/nothing", "/metrics", "/static/causeway.css"):
        headers = client.get(path, headers={"X-Request-Id": "an-id-of-mine"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-request-id"] == "an-id-of-mine"
    forged = client.get("/v1/classes", headers={"X-Request-Id": "a b\tc"}).headers["x-request-id"]
    assert forged.isalnum()


def test_metrics_count_by_route_and_never_by_address(client: httpx.Client, world: World) -> None:
    client.get(f"/v1/accounts/{world.holder}")
    text = client.get("/metrics").text
    assert 'route="/v1/accounts/{address}",status="200"' in text
    assert world.holder not in text
    assert 'causeway_up{service="database"} 1.0' in text
    assert f"causeway_indexed_block {float(world.history.block - 1)}" in text


def test_openapi_shows_the_problem_of_every_failure(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()
    assert "Problem" in schema["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(schema)
    for path, operation in schema["paths"].items():
        answers = [answer for one in operation.values() for answer in one["responses"].items()]
        for status, answer in answers:
            if path != "/v1/health" and status not in ("200", "201", "202", "204"):
                assert set(answer["content"]) == {"application/problem+json"}, (path, status)
