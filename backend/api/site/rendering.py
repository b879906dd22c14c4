"""What every page shares: templates, the reader's language, filters, what its script may know.

Everything a stranger wrote is escaped by Jinja and passes `visible`. Data for a page's script is a
JSON block that no browser runs; the script itself is a file of ours.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from unicodedata import category
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from backend.api.answers import services_of
from backend.api.services import Services
from backend.api.site import assets
from backend.api.site.language import COOKIE, LANGUAGES, Texts, choose
from backend.domain.classes import from_yyyymmdd
from backend.errors import InvalidValue
from backend.store.queries.classes import ClassSummary

#: Embeddings, overrides and isolates of direction, and what has no width (not the joiners that
#: emoji and Indic scripts need).
_DECEPTIVE: Final = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u2060\ufeff"
)
#: Pages by their key in the navigation.
NAVIGATION: Final = (
    ("market", "/market"),
    ("portfolio", "/portfolio"),
    ("retire", "/retire"),
    ("deliver", "/deliver"),
    ("proof", "/proof"),
    ("explore", "/explore"),
)

#: Names of parameters of pages; a cursor is the longest value.
_ASKED: Final = re.compile(r"[a-z_]{1,32}")
_MOST_ASKED, _LONGEST_ASKED = 20, 600

_templates = Environment(
    loader=PackageLoader("backend", "web/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def visible(text: str) -> str:
    """Characters that reorder or hide text, and controls, by their code points.

    Whoever wrote a text could make it look like another one: an override of direction shows the
    letters of a name backwards. Letters of right-to-left scripts stay what they are.
    """
    return "".join(
        f"[U+{ord(char):04X}]" if char in _DECEPTIVE or category(char) == "Cc" else char
        for char in text
    )


def json_block(value: Any) -> Markup:
    """A value inside `<script type="application/json">`: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    # Every character that HTML reads is escaped above.
    return Markup(text)


def pretty_json(value: Any) -> str:
    """A value as people read JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)


_ENGLISH: Final = Texts("en")
_templates.filters.update(
    visible=visible,
    json_block=json_block,
    pretty_json=pretty_json,
    kilograms=_ENGLISH.kilograms,
    tonnes=_ENGLISH.tonnes,
    number=_ENGLISH.number,
)
_templates.globals.update(asset=assets.address, has_asset=assets.exists, languages=LANGUAGES)


def texts_of(request: Request) -> Texts:
    """The reader's texts."""
    return Texts(
        choose(
            request.query_params.get("lang"),
            request.cookies.get(COOKIE),
            request.headers.get("accept-language", ""),
        )
    )


def _in_language(request: Request, tag: str, same_for_all: bool) -> str:
    """Where the same page is in another language, with what was asked of it.

    An address is a stranger's: it stays a path of ours, and of its query only what a page may be
    asked is kept; all of it percent-encoded.
    """
    path = "/" + request.url.path.lstrip("/")
    given = () if same_for_all else request.query_params.multi_items()[:_MOST_ASKED]
    asked = [
        (name, value)
        for name, value in given
        if name != "lang" and _ASKED.fullmatch(name) and len(value) <= _LONGEST_ASKED
    ]
    return f"{quote(path)}?{urlencode([*asked, ('lang', tag)])}"


def page(
    request: Request,
    name: str,
    here: str = "",
    *,
    status: int = 200,
    same_for_all: bool = False,
    **values: Any,
) -> HTMLResponse:
    """One page in the reader's language; `here` is its key in the navigation.

    A language asked for by `?lang=` is kept in a cookie, which holds nothing else. A page that is
    the `same_for_all` has no word of a reader's in it, not even in its links.
    """
    texts = texts_of(request)
    services = services_of(request)
    html = _templates.get_template(name).render(
        t=texts,
        here=here,
        navigation=NAVIGATION,
        here_in={tag: _in_language(request, tag, same_for_all) for tag in LANGUAGES},
        common={
            "language": texts.language,
            "chainId": services.chain_id,
            "chain": _chain(services),
            "texts": texts.some("script.") | texts.some("problem."),
        },
        day_number=lambda number: _day(texts, number),
        **values,
    )
    answer = HTMLResponse(html, status)
    answer.headers["Content-Language"] = texts.language
    answer.headers["Vary"] = "Accept-Language, Cookie"
    answer.headers["Cache-Control"] = "no-cache"
    if request.query_params.get("lang") in LANGUAGES:
        answer.set_cookie(COOKIE, texts.language, max_age=31_536_000, samesite="lax", httponly=True)
    return answer


def _chain(services: Services) -> dict[str, str] | None:
    """What a wallet that does not know the chain is told of it (EIP-3085)."""
    if services.wallet_rpc is None:
        return None
    return {"name": f"Causeway ({services.chain_id})", "rpc": services.wallet_rpc}


def _day(texts: Texts, number: int) -> str:
    """YYYYMMDD of a registry as a date; what is no day is shown as it came."""
    try:
        return texts.day(from_yyyymmdd(number))
    except InvalidValue:
        return str(number)


def vintage(found: ClassSummary) -> str:
    """2020, or 2019–2020, or the dates when they are not whole years."""
    start, end = found.vintage_start, found.vintage_end
    if (start.month, start.day, end.month, end.day) != (1, 1, 12, 31):
        return f"{start:%Y-%m-%d} – {end:%Y-%m-%d}"
    return str(start.year) if start.year == end.year else f"{start.year}–{end.year}"


def class_name(found: ClassSummary) -> str:
    """What people call a class: the project's name when an export gave one, else its number."""
    return visible(found.project_name or f"{found.programme} {found.project}")


_templates.globals.update(vintage=vintage, class_name=class_name)
