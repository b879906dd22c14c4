"""Alerts on classes: for holders by the API, on pages, as feeds in three languages, by webhook."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import httpx
import pytest
from sqlalchemy import select

from backend.api.app import create_app
from backend.domain.serials import Series
from backend.store import webhooks
from backend.store.breaks import Breaks
from backend.store.database import Database
from backend.store.webhook_feed import Collector
from backend.store.webhook_tables import webhook_events
from tests.api.backing_history import BackingHistory
from tests.api.conftest import ALONE, asked
from tests.api.history import address, hash_of, make_class
from tests.conftest import DatabaseOpener

pytestmark = pytest.mark.integration

HOLDER, AT_VENUE, STRANGER = address(1), address(2), address(3)
ATOM = "{http://www.w3.org/2005/Atom}"
HELD, OTHER = make_class(1, ()), make_class(2, ())
HOSTILE = '<script>alert("x")</script>\u202e'


@pytest.fixture(scope="module")
def database(open_database: DatabaseOpener) -> Iterator[Database]:
    with open_database() as made:
        yield made


@pytest.fixture(scope="module")
def client(database: Database) -> Iterator[httpx.Client]:
    """An API over a class that was held up and lost a label, and another that nothing happened to;
    endpoints of three accounts that want alerts.
    """
    history = BackingHistory(database)
    for account in (HOLDER, AT_VENUE, STRANGER):
        history.admit(account)
    for made in (HELD, OTHER):
        history.mint(made, HOLDER if made is HELD else STRANGER, [history.lot(_VCS, 20)])
    history.transfer(HOLDER, AT_VENUE, HELD.token_id, 5_000)
    deposit = {"depositId": 1, "account": AT_VENUE, "asset": HELD.token_id, "amount": 5_000}
    history.emit("Exchange", "Deposited", **deposit)
    history.transfer(AT_VENUE, address(9), HELD.token_id, 5_000)
    history.save()
    Collector(database, 0).collect()
    with database.begin() as connection:
        for account in (HOLDER, AT_VENUE, STRANGER):
            webhooks.add_endpoint(connection, account, "https://h.example/", ["alert.held"])
    for number, (kind, reason) in enumerate(((0, HOSTILE), (4, "ccp was withdrawn"))):
        history.emit(
            "ProgrammeEvents", "ProgrammeEventPublished", eventId=hash_of("event", number),
            classId=HELD.token_id, kind=kind, subject="ccp" if kind else "", asOf=20260901,
            reason=reason, evidenceHash=hash_of("evidence", 1), signers=[address(0xF1)],
        )  # fmt: skip
        history.next_block()
    history.save()
    shortfall = "2 t stand on serials that are nowhere"
    Breaks(database).report("s", "shortfall", shortfall, {}, class_id=HELD.token_id)
    Breaks(database).report("o", "stale-reserve", "old", {}, class_id=HELD.token_id)
    Collector(database, 0).collect()
    app = create_app(ALONE, database=database)
    with asked(app) as made:
        yield made


_VCS = Series("VCS", (2,))
KINDS = ["reserve_short", "label_lost", "hold"]


def test_an_account_sees_the_alerts_of_what_it_holds_in_wallet_or_venue(
    client: httpx.Client,
) -> None:
    for account, wanted in ((HOLDER, KINDS), (AT_VENUE, KINDS), (STRANGER, [])):
        found = client.get(f"/v1/accounts/{account}/alerts").json()["data"]
        assert [one["kind"] for one in found] == wanted
        assert sorted((one["key"] for one in found), reverse=True) == [one["key"] for one in found]


def test_a_classs_alerts_come_page_by_page_and_an_unknown_class_has_none(
    client: httpx.Client,
) -> None:
    path, kinds, cursor = f"/v1/classes/{HELD.token_id}/alerts", [], ""
    while cursor is not None:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = client.get(path, params=query).json()
        kinds += [one["kind"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert kinds == KINDS
    assert client.get(f"/v1/classes/{OTHER.token_id}/alerts").json()["data"] == []
    assert client.get("/v1/classes/7/alerts").status_code == 404


@pytest.mark.parametrize(
    ("language", "hold"), [("en", "Put on hold"), ("zh-Hant", "已暫停"), ("zh-Hans", "已暂停")]
)
def test_feeds_say_the_same_in_the_readers_language(
    client: httpx.Client, language: str, hold: str
) -> None:
    atom = client.get(f"/alerts/{HELD.token_id}.atom", params={"lang": language})
    assert atom.headers["content-type"] == "application/atom+xml"
    feed = ElementTree.fromstring(atom.content)
    entries = feed.findall(f"{ATOM}entry")
    assert [one.findtext(f"{ATOM}title") for one in entries][2] == hold
    assert len({one.findtext(f"{ATOM}id") for one in entries}) == 3
    said = entries[2].findtext(f"{ATOM}content") or ""
    assert said.startswith('<script>alert("x")</script>[U+202E]')
    items = client.get(f"/alerts/{HELD.token_id}.json", params={"lang": language}).json()
    assert [one["id"] for one in items["items"]] == [one.findtext(f"{ATOM}id") for one in entries]
    assert [one["tags"] for one in items["items"]] == [[kind] for kind in KINDS]
    assert client.get("/alerts/7.atom").status_code == 404


def test_holders_endpoints_are_told_and_others_are_not(
    client: httpx.Client, database: Database
) -> None:
    table = webhook_events
    with database.read() as connection:
        for account, count in ((HOLDER, 3), (AT_VENUE, 3), (STRANGER, 0)):
            [one] = webhooks.list_endpoints(connection, account)
            bodies = connection.execute(
                select(table.c.body).where(table.c.endpoint == one.id).order_by(table.c.sequence)
            )
            alerts = [body for (body,) in bodies]
            assert len(alerts) == count
            for kind, body in zip(("hold", "label_lost", "reserve_short"), alerts, strict=False):
                assert f'"alert":"{kind}"' in body
