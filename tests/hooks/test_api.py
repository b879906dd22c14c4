"""The routes of webhooks, by the documentation's own commands and by both clients."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.api.app import create_app
from backend.chain.keys import named_key
from backend.client import Client, Trader, Webhooks
from backend.client.webhooks import AsyncWebhooks
from backend.errors import InvalidValue, NotFound, NotSignedIn
from backend.hooks.deliverer import Deliverer
from backend.settings import Settings
from backend.store.database import Database
from tests.api.conftest import serving
from tests.client.kinds import KINDS, Kind, _InLoop
from tests.hooks.receiver import Receiver

pytestmark = pytest.mark.integration

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"
HOLDER, STRANGER = named_key("holder", bytes([5]) * 32), named_key("other", bytes([6]) * 32)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def url(database: Database) -> Iterator[str]:
    settings = Settings(database_url=None, nats_url=None, chain_url=None)
    app = create_app(settings, database=database)
    with serving(app) as found:
        app.state.sign_in_domains = frozenset({found.removeprefix("http://")})
        yield found


def test_the_documented_commands_do_what_they_say(
    url: str, database: Database, receiver: Receiver, tmp_path: Path
) -> None:
    with Client(url) as client:
        trader = Trader(client, HOLDER)
        token = trader.sign_in()
        [commands] = blocks("bash")
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            env={"API": url, "TOKEN": token, "HOOK": receiver.url, "PATH": "/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert '"secret":"whsec_' in ran.stdout
        assert '"type":"ping"' in ran.stdout
        assert '"events":"1"' in ran.stdout.splitlines()[-1]
        assert "problem" not in ran.stdout
        own, endpoint_side = blocks("python")
        exec(own, {"API": url, "KEY": HOLDER, "HOOK": receiver.url})
        Deliverer(database, private=True).finish()
        assert len(receiver.requests) == 2
        # What the documentation's handler answers to what really came.
        names: dict[str, Any] = {}
        exec(endpoint_side, names)
        made = Webhooks(trader).rotate_secret(Webhooks(trader).list()[0]["id"])
        ping = Webhooks(trader).ping(made["id"])
        Deliverer(database, private=True).finish()
        last = receiver.requests[-1]
        assert last.event["sequence"] == ping["sequence"]
        seen: set[str] = set()
        assert names["handle"](last.headers, last.body, [made["secret"]], seen) == 204
        assert names["handle"](last.headers, last.body + b" ", [made["secret"]], seen) == 401
        assert seen == {last.id}


@pytest.mark.parametrize("name", KINDS)
def test_both_clients_manage_endpoints(
    name: str, url: str, database: Database, receiver: Receiver
) -> None:
    kind = Kind(name)
    try:
        client = kind.client(url)
        trader = kind.trader(client, 3)
        hooks: Any
        if name == "blocking":
            hooks = Webhooks(trader)
        else:
            hooks = _InLoop(AsyncWebhooks(trader.held), trader._runner)
        made = hooks.create(receiver.url, ["class.hold", "trade.*"], classes=[7, 2**200])
        assert made["classes"] == ["7", str(2**200)]
        assert [one["id"] for one in hooks.list()] == [made["id"]]
        changed = hooks.change(made["id"], types=["*"], classes=[], active=False)
        assert (changed["state"], changed["reason"]) == ("disabled", "disabled by its owner")
        assert hooks.change(made["id"], active=True)["state"] == "active"
        assert hooks.ping(made["id"]) == {"sequence": "1", "events": "1"}
        Deliverer(database, private=True).finish()
        assert hooks.replay(made["id"], sequence=1)["events"] == "1"
        Deliverer(database, private=True).finish()
        [delivery] = hooks.deliveries(made["id"])
        assert [one["status"] for one in delivery["attempts"]] == ["200", "200"]
        assert delivery["state"] == "delivered"
        assert hooks.rotate_secret(made["id"])["secret"] != made["secret"]
        hooks.remove(made["id"])
        with pytest.raises(NotFound):
            hooks.get(made["id"])
    finally:
        kind.close()


def test_an_endpoint_is_its_accounts_alone(url: str, receiver: Receiver) -> None:
    with Client(url, patience=0) as client:
        own, other = Webhooks(Trader(client, HOLDER)), Webhooks(Trader(client, STRANGER))
        made = own.create(receiver.url, ["*"])
        assert other.list() == []
        for attempt in (
            lambda: other.get(made["id"]),
            lambda: other.change(made["id"], active=False),
            lambda: other.remove(made["id"]),
            lambda: other.rotate_secret(made["id"]),
            lambda: other.ping(made["id"]),
            lambda: other.replay(made["id"], from_sequence=1),
            lambda: list(other.deliveries(made["id"])),
        ):
            with pytest.raises(NotFound):
                attempt()
        with pytest.raises(NotSignedIn):
            client.get("/v1/webhooks")
        assert "secret" not in own.get(made["id"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "https://user@hooks.example.com/"}, "url"),
        ({"types": ["class.unheard_of"]}, "types"),
    ],
)
def test_what_cannot_be_an_endpoint_is_refused_by_name(
    url: str, change: dict[str, Any], field: str
) -> None:
    with Client(url, patience=0) as client:
        hooks = Webhooks(Trader(client, HOLDER))
        wanted: dict[str, Any] = {"url": "https://hooks.example.com/", "types": ["*"], **change}
        with pytest.raises(InvalidValue) as refused:
            hooks.create(wanted["url"], wanted["types"])
        assert refused.value.field == field
        assert hooks.list() == []
