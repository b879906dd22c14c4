"""The pages: what strangers wrote stays text, private texts are checked, nothing is loaded."""

from __future__ import annotations

import asyncio
import html
import re
import time
from html.parser import HTMLParser

import httpx
import pytest
import structlog

from backend.api.app import create_app
from backend.api.examples import operations
from backend.api.site.language import catalogue
from backend.api.site.rendering import pretty_json
from backend.settings import Settings
from scripts.measure_pages import PAGES
from tests.api.conftest import HOSTILE, SECRET, World

pytestmark = pytest.mark.integration

OWN_LINKS = ("/static/causeway.css", "/favicon.ico")
FORM = {
    "salt": "0x" + SECRET.salt.hex(),
    "beneficiary": SECRET.beneficiary,
    "purpose": SECRET.purpose,
    "period": SECRET.period,
    "instruction_hash": "",
}


@pytest.fixture(autouse=True)
def _no_language_was_chosen_before(client: httpx.Client) -> None:
    """A link to another language leaves a cookie, and the client is shared."""
    client.cookies.clear()


class Reader(HTMLParser):
    """What a browser makes of a page: its elements with attributes, and its words."""

    VOID = frozenset(("meta", "link", "input", "br"))

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.words += data


def read(client: httpx.Client, path: str) -> Reader:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    reader = Reader(answer.text)
    assert reader.open == [], "an element is not closed"
    return reader


def certificates(world: World) -> list[str]:
    ids = (world.plain, world.hostile, world.secret, world.confirmed)
    return [f"/certificates/{number}" for number in ids]


def test_pages_load_our_own_files_and_nothing_else(client: httpx.Client, world: World) -> None:
    for path in (*PAGES, *certificates(world)):
        for tag, attributes in read(client, path).elements:
            assert tag not in ("style", "img", "iframe", "object", "embed", "base")
            if tag == "script" and attributes["type"] != "application/json":
                assert re.fullmatch(
                    r"/static/[\w.-]+\.js(\?v=[0-9a-f]{16})?", attributes["src"] or ""
                )
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            for name in ("href", "src", "action"):
                target = attributes.get(name) or ""
                assert not re.match(r"(?i)\s*(//|[a-z]+:)", target), (path, target)
            if tag == "link":
                assert (attributes["href"] or "").split("?")[0] in OWN_LINKS
    style = client.get("/static/causeway.css").text
    assert "url(" not in style
    assert "@import" not in style


def test_policy_forbids_inline_scripts_frames_and_other_hosts(
    client: httpx.Client, world: World
) -> None:
    for path in (*PAGES, *certificates(world)):
        policy = client.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; ")
        assert "unsafe" not in policy
        assert "form-action 'self'" in policy
        assert "frame-ancestors 'none'" in policy


def test_what_a_stranger_wrote_stays_text(client: httpx.Client, world: World) -> None:
    page = client.get(f"/certificates/{world.hostile}").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    words = read(client, f"/certificates/{world.hostile}").words
    assert HOSTILE.beneficiary in words
    assert HOSTILE.period in words
    # The override of direction is shown as what it is, Arabic and emoji as they are.
    assert HOSTILE.purpose.replace("\u202e", "[U+202E]") in words
    assert "\u202e" not in page


def test_a_certificate_says_what_the_chain_says(client: httpx.Client, world: World) -> None:
    found = client.get(f"/v1/certificates/{world.plain}").json()["data"]
    words = read(client, f"/certificates/{world.plain}").words
    assert "1.500 t" in words
    for name in ("owner", "holder", "transaction_hash", "details_hash", "certificate_id"):
        assert found["retirement"][name] in words
    for piece in found["pieces"]:
        for run in piece["serials"]:
            assert f"{run['series']} / {run['first']}" in words
    assert "registry confirmation pending" in words
    assert "certificate(" in words
    assert "serialAt(" in words


def test_a_confirmed_certificate_shows_reference_and_both_serials(
    client: httpx.Client, world: World
) -> None:
    words = read(client, f"/certificates/{world.confirmed}").words
    assert "confirmed by the registry" in words
    assert "REF-1, 1 September 2026" in words
    assert "Serials that were expected at the retirement" in words
    assert "Serials that were expected" not in read(client, f"/certificates/{world.plain}").words


def test_a_private_certificate_shows_the_hash_and_no_text(
    client: httpx.Client, world: World
) -> None:
    words = read(client, f"/certificates/{world.secret}").words
    assert "0x" + SECRET.hash.hex() in words
    assert SECRET.beneficiary not in words
    assert "Reveal the private texts" in words


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_private_texts_that_hash_to_what_the_chain_holds_are_shown(
    client: httpx.Client, world: World, method: str
) -> None:
    path = f"/certificates/{world.secret}"
    given = {"params": FORM} if method == "GET" else {"data": FORM}
    answer = client.request(method, path, **given)  # type: ignore[arg-type]
    assert answer.headers["cache-control"] == "no-store"
    words = Reader(answer.text).words
    assert SECRET.beneficiary in words
    assert "Checked: these private texts" in words
    assert "Reveal the private texts" not in words


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"beneficiary": "Somebody else"}, "these texts hash to"),
        ({"salt": "0x" + "08" * 32}, "these texts hash to"),
        ({"salt": "7"}, "is not 0x and 64 hex digits"),
        ({"salt": ""}, "is not 0x and 64 hex digits"),
        ({"instruction_hash": "0x12"}, "is not 0x and 64 hex digits"),
        ({"purpose": "x" * 257}, "is longer than 256 bytes"),
        ({"purpose": "a\nb"}, "holds a control character"),
        ({"beneficiary": '"><script>alert(1)</script>'}, "these texts hash to"),
    ],
)
def test_texts_that_do_not_hash_to_it_are_refused(
    client: httpx.Client, world: World, changed: dict[str, str], says: str
) -> None:
    answer = client.post(f"/certificates/{world.secret}", data={**FORM, **changed})
    assert answer.status_code == 200
    assert "<script>" not in answer.text
    words = Reader(answer.text).words
    assert says in words
    assert "Checked:" not in words


def test_a_public_certificate_ignores_texts_somebody_claims(
    client: httpx.Client, world: World
) -> None:
    claimed = {**FORM, "beneficiary": "A liar"}
    for answer in (
        client.post(f"/certificates/{world.plain}", data=claimed),
        client.get(f"/certificates/{world.plain}", params=claimed),
    ):
        assert "A liar" not in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"salt=\xff", "application/x-www-form-urlencoded", 422),
        (b"&".join(b"a=b" for _ in range(30)), "application/x-www-form-urlencoded", 422),
    ],
)
def test_a_form_that_is_none_is_refused(
    client: httpx.Client, world: World, content: bytes, kind: str, status: int
) -> None:
    answer = client.post(
        f"/certificates/{world.secret}", content=content, headers={"Content-Type": kind}
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_private_texts_never_reach_the_log(
    client: httpx.Client, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    quiet = structlog.get_config()
    structlog.reset_defaults()
    client.get(f"/certificates/{world.secret}", params=FORM)
    client.post(f"/certificates/{world.secret}", data=FORM)
    # The server logs a moment after it has answered.
    written, deadline = "", time.monotonic() + 60
    while written.count(f"/certificates/{world.secret}") < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
        written += "".join(capfd.readouterr())
    structlog.configure(**quiet)
    assert written.count(f"/certificates/{world.secret}") == 2
    assert SECRET.beneficiary not in written
    assert FORM["salt"] not in written


def test_the_landing_page_links_reference_classes_and_certificates(
    client: httpx.Client, world: World
) -> None:
    links = {a.get("href") for tag, a in read(client, "/").elements if tag == "a"}
    assert {"/docs", "/openapi.json", "/v1/classes", "/v1/retirements"} <= links
    newest = client.get("/v1/retirements", params={"limit": 1}).json()["data"][0]
    assert f"/certificates/{newest['certificate_id']}" in links


def test_every_link_of_a_page_leads_somewhere(client: httpx.Client, world: World) -> None:
    for path in (*PAGES, *certificates(world)):
        reader = read(client, path)
        ids = {a["id"] for _, a in reader.elements if "id" in a}
        for tag, attributes in reader.elements:
            target = attributes.get("href") or ""
            if tag == "a" and target.startswith("#"):
                assert target[1:] in ids, target
            elif tag == "a":
                assert client.get(target).status_code == 200, target


def test_the_reference_names_every_route(client: httpx.Client) -> None:
    words = read(client, "/docs").words
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in words


def test_the_reference_shows_every_example_of_openapi(client: httpx.Client) -> None:
    words = read(client, "/docs").words
    for name, operation in operations(client.get("/openapi.json").json()):
        answers = [operation.get("requestBody", {}), *operation["responses"].values()]
        for answer in answers:
            for content in answer.get("content", {}).values():
                if "example" in content:
                    assert pretty_json(content["example"]) in words, name


BROWSER = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": "zh-HK"}


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/certificates/424242", 404, "沒有證書 424242"),
        ("/nowhere", 404, "這裡沒有內容"),
        ("/market/x/y", 422, "請求無效"),
    ],
)
def test_a_browser_is_told_what_is_wrong_in_its_language(
    client: httpx.Client, path: str, status: int, says: str
) -> None:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == status
    assert answer.headers["content-language"] == "zh-Hant"
    assert answer.headers["cache-control"] == "no-store"
    assert says in Reader(answer.text).words
    # Programs, and what is below /v1, get the problem itself.
    for address, headers in ((path, {}), (f"/v1{path}", BROWSER)):
        problem = client.get(address, headers=headers)
        assert problem.headers["content-type"] == "application/problem+json", address


def test_a_page_without_its_database_says_so_and_asks_again_by_itself() -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:9/none")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/", headers=BROWSER)

    answer = asyncio.run(ask())
    assert answer.status_code == 503
    assert '<meta http-equiv="refresh" content="5">' in answer.text
    assert "服務暫時沒有回應" in answer.text


@pytest.mark.parametrize("language", ["en", "zh-Hant", "zh-Hans"])
def test_certificate_and_reference_speak_every_language(
    client: httpx.Client, world: World, language: str
) -> None:
    texts = catalogue(language)
    headers = {"Accept-Language": language}
    certificate = client.get(f"/certificates/{world.confirmed}", headers=headers).text
    for key in ("cert.title", "cert.words_confirmed", "cert.verify", "cert.step_audit"):
        assert texts[key] in html.unescape(certificate), key
    reference = client.get("/docs", headers=headers).text
    for tag in client.get("/openapi.json").json()["tags"]:
        assert texts["tag." + tag["name"].replace(" ", "_")] in reference
    for text in (texts["reference.example_body"], texts["reference.example_answer"]):
        assert text.partition("{")[0] in reference


def test_what_everybody_is_told_alike_is_packed_and_a_private_certificate_never(
    client: httpx.Client, world: World
) -> None:
    for path in ("/static/causeway.css", "/docs"):
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        found = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert found.headers["content-encoding"] == "gzip"
        assert found.text == plain.text
    revealed = client.get(f"/certificates/{world.secret}", params=FORM)
    assert "content-encoding" not in revealed.headers


def test_a_search_finds_certificates_by_beneficiary_and_by_reference(
    client: httpx.Client, world: World
) -> None:
    for text, number in (("REF-1", world.confirmed), (HOSTILE.beneficiary[:12], world.hostile)):
        links = [a.get("href") for _, a in read_query(client, text).elements]
        assert f"/certificates/{number}" in links, text
    words = read_query(client, "%%%").words
    assert "Nothing fits" in words


def read_query(client: httpx.Client, text: str) -> Reader:
    answer = client.get("/explore", params={"q": text})
    assert answer.status_code == 200
    return Reader(answer.text)


def languages(page: str) -> dict[str, httpx.URL]:
    """Where the links to the languages lead."""
    return {
        str(found["hreflang"]): httpx.URL(str(found["href"]))
        for _, found in Reader(page).elements
        if "hreflang" in found
    }


def test_another_language_shows_what_was_asked_for(client: httpx.Client) -> None:
    asked = {"q": 'wind & "sun" <b>', "programme": "VCS", "sort": "vintage"}
    page = client.get("/market", params={**asked, "lang": "en", "1'<x>": "y", "state": "z" * 700})
    assert "<b>" not in page.text.partition("<main")[0]
    links = languages(page.text)
    assert set(links) == {"en", "zh-Hant", "zh-Hans"}
    for tag, link in links.items():
        assert link.path == "/market"
        assert dict(link.params) == {**asked, "lang": tag}
    found = client.get(links["zh-Hant"])
    assert found.headers["content-language"] == "zh-Hant"
    assert 'value="wind &amp; &#34;sun&#34; &lt;b&gt;"' in found.text
    # What is packed for everybody holds nobody's words.
    reference = languages(client.get("/docs", params=asked).text)
    assert {str(link) for link in reference.values()} == {f"/docs?lang={tag}" for tag in links}


@pytest.mark.parametrize("path", ["//elsewhere.example/x", "///elsewhere.example", "/a%3Fb%22%23c"])
def test_a_link_to_another_language_leads_to_the_same_service(
    client: httpx.Client, api_url: str, path: str
) -> None:
    page = client.get(api_url + path, headers={"Accept": "text/html"})
    assert page.status_code == 404
    for link in languages(page.text).values():
        assert link.is_relative_url
        assert not link.host
        assert dict(link.params).keys() == {"lang"}


def test_a_certificates_private_texts_stay_shown_in_another_language(
    client: httpx.Client, world: World
) -> None:
    shared = client.get(f"/certificates/{world.secret}", params=FORM)
    assert FORM["beneficiary"] in client.get(languages(shared.text)["zh-Hans"]).text
