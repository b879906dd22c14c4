"""No route reads a body without end: what is longer than the route takes is a 413."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from backend.api.bodies import MOST_BYTES, MOST_OF_ORDERS, most_bytes
from backend.api.orders import ROUTES
from backend.domain.custody_tasks import MAX_FILE_BYTES
from tests.api.conftest import World

pytestmark = pytest.mark.integration

JSON = {"Content-Type": "application/json"}
PLACES = {"{trader}": "0x" + "11" * 20, "{endpoint}": "ep_" + "0" * 16, "{number}": "1"}


def written(client: httpx.Client) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation that takes a body, with values in its path."""
    for template, operations in client.get("/openapi.json").json()["paths"].items():
        path = template
        for place, value in PLACES.items():
            path = path.replace(place, value)
        for method, operation in operations.items():
            if "requestBody" in operation:
                yield method.upper(), path.replace("{", "").replace("}", ""), operation


def refused(answer: httpx.Response, most: int) -> None:
    assert answer.status_code == 413, (answer.url, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    told = answer.json()
    assert told["type"] == "urn:causeway:problem:too-large"
    assert told["values"] == {"most_bytes": str(most)}


def test_every_route_with_a_body_refuses_a_long_one_and_says_so(client: httpx.Client) -> None:
    asked = list(written(client))
    assert {path for _, path, _ in asked} > {"/v1/session", "/v1/orders", "/v1/webhooks"}
    for method, path, operation in asked:
        assert "413" in operation["responses"], path
        if path.startswith("/v1/operator/"):
            # These read nothing before they know who asks.
            assert client.request(method, path, content=b" " * 10).status_code == 401
            continue
        most = MOST_OF_ORDERS if path in ROUTES else MOST_BYTES
        body = b'"' + b"x" * most
        refused(client.request(method, path, content=body, headers=JSON), most)
        assert client.request(method, path, content=body[:-1], headers=JSON).status_code != 413


@pytest.mark.parametrize("path", ["/v1/session", "/v1/orders", "/v1/retirement-instructions/check"])
def test_a_body_that_does_not_say_how_long_it_is_is_counted_as_it_comes(
    client: httpx.Client, path: str
) -> None:
    most = MOST_OF_ORDERS if path in ROUTES else MOST_BYTES
    parts = (b" " * 10_000 for _ in range(40))
    refused(client.post(path, content=parts, headers=JSON), most)


def test_a_person_whose_form_is_too_long_sees_a_page(client: httpx.Client, world: World) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    answer = client.post(
        f"/certificates/{world.secret}", content=b"a=" + b"x" * 20_000, headers=form
    )
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("text/html")


def test_an_answer_with_the_largest_file_fits() -> None:
    """In base64, as the answer to a custodian's task carries it."""
    in_base64 = (MAX_FILE_BYTES + 2) // 3 * 4
    most = most_bytes("/v1/operator/tasks/delivery:1/answers")
    assert in_base64 < most < in_base64 + 2 * MOST_BYTES
    assert most_bytes("/v1/operator/tasks/delivery:1/answers/1/review") == MOST_BYTES
