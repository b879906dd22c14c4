"""Alerts of a class as feeds for a reader or a program: Atom (RFC 4287) and JSON Feed 1.1.

In the language of `?lang=` or the reader's own. Addresses in a feed are relative to the one it was
fetched from: behind a proxy this service does not know its own name.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.api.answers import services_of
from backend.api.parameters import ClassIdPath
from backend.api.site.language import Texts
from backend.api.site.rendering import class_name, texts_of, visible
from backend.store.queries import alerts, classes
from backend.store.queries.alerts import Alert
from backend.store.queries.classes import ClassSummary
from backend.store.queries.reading import ChainHead, Connection

router = APIRouter(include_in_schema=False)

ATOM = "http://www.w3.org/2005/Atom"
#: A feed shows so many of the newest.
NEWEST = 50
register_namespace("", ATOM)


@router.get("/alerts/{class_id}.atom")
async def atom(request: Request, class_id: ClassIdPath) -> Response:
    """The class's alerts as an Atom feed."""
    found, items = await _read(request, class_id)
    texts = texts_of(request)
    feed = _element("feed", **{"{http://www.w3.org/XML/1998/namespace}lang": texts.language})
    _add(feed, "id", f"urn:causeway:alerts:{class_id}")
    _add(feed, "title", _title(texts, found))
    _add(feed, "updated", _moment(items[0].at if items else 0))
    _add(feed, "link", rel="self", href=f"/alerts/{class_id}.atom")
    _add(_add(feed, "author"), "name", "Causeway")
    for one in items:
        entry = _add(feed, "entry")
        _add(entry, "id", f"urn:causeway:alert:{one.class_id}:{one.key}")
        _add(entry, "title", _heading(texts, one))
        _add(entry, "updated", _moment(one.at))
        _add(entry, "content", _content(one), type="text")
        _add(entry, "link", rel="alternate", href=f"/v1/classes/{class_id}/alerts")
    body = tostring(feed, encoding="utf-8", xml_declaration=True)
    return _answer(body, "application/atom+xml", texts)


@router.get("/alerts/{class_id}.json")
async def json_feed(request: Request, class_id: ClassIdPath) -> Response:
    """The class's alerts as a JSON feed."""
    found, items = await _read(request, class_id)
    texts = texts_of(request)
    body: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": _title(texts, found),
        "feed_url": f"/alerts/{class_id}.json",
        "language": texts.language,
        "items": [
            {
                "id": f"urn:causeway:alert:{one.class_id}:{one.key}",
                "title": _heading(texts, one),
                "content_text": _content(one),
                "date_published": _moment(one.at),
                "tags": [one.kind],
            }
            for one in items
        ],
    }
    return _answer(orjson.dumps(body), "application/feed+json", texts)


async def _read(request: Request, class_id: int) -> tuple[ClassSummary, tuple[Alert, ...]]:
    def work(db: Connection, head: ChainHead) -> tuple[ClassSummary, tuple[Alert, ...]]:
        known = classes.get_class(db, class_id)
        return known, alerts.alerts_of_class(db, class_id, limit=NEWEST).items

    _, found = await services_of(request).read(work)
    return found


def _answer(body: bytes, media_type: str, texts: Texts) -> Response:
    headers = {
        "Content-Language": texts.language,
        "Vary": "Accept-Language, Cookie",
        "Cache-Control": "no-cache",
    }
    return Response(body, media_type=media_type, headers=headers)


def _title(texts: Texts, found: ClassSummary) -> str:
    return texts("alerts.feed_title", name=class_name(found))


def _heading(texts: Texts, one: Alert) -> str:
    said = texts(f"script.alert_{one.kind}")
    return f"{said}: {visible(one.subject)}" if one.subject else said


def _content(one: Alert) -> str:
    """What was published, as it was: the programme's reason, and which positions."""
    parts = [visible(one.reason)] if one.reason else []
    if one.tonnes is not None and one.first_position is not None:
        parts.append(f"{one.tonnes} t, {one.first_position} +{one.tonnes}")
    return "\n".join([*parts, one.reference])


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _element(name: str, **attributes: str) -> Element:
    return Element(f"{{{ATOM}}}{name}", attributes)


def _add(parent: Element, name: str, text: str = "", **attributes: str) -> Element:
    made = SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    made.text = text or None
    return made
