"""Custodian, attestor and registrar at the operator's pages, each with a wallet of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.chain.keys import KeyStore
from backend.domain.duplicates import REGISTRY, Key, Listing, assess
from backend.domain.registry_requests import SerialRange, TransferRequest
from backend.registries.custody_file import load_custody
from backend.store.breaks import Breaks
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.database import Database
from backend.store.duplicates import merge_listings, save_cases
from tests.system.conftest import ROOT, Commands
from tests.system.visitor import AXE, IN_BROWSER, PATIENCE_MS, Visitor, look
from tests.web.wallet import Wallet

pytestmark = IN_BROWSER
TASK = "browser-1"
ASKED = "VCS:2/9000990001-9000990010"
SECTIONS = (
    *("", "/signatures", "/tasks", f"/tasks/{TASK}", "/imports", "/duplicates?state=all"),
    *("/classes", "/breaks?state=all", "/flows?which=all", "/roles"),
)
#: Those with forms and what the others have: where a screen reader would lose its way first.
FORMS = ("/signatures", f"/tasks/{TASK}", "/duplicates?state=all", "/roles")


@pytest.fixture(scope="module")
def waiting(
    causeway: Commands, demo: dict[str, Any], tmp_path_factory: Any
) -> Iterator[dict[str, Any]]:
    """What an operator finds: a receipt, a task, a case, an import of which a row was refused."""
    words = ("VCS-990004", "--to", "wallet-1", "--tonnes", "1", "--draft")
    receipt = causeway.json("tokenize", *words)["receipts"][0]
    with closing(Database(causeway.settings.require_database_url())) as database:
        account = load_custody(None).trust("sample-vcs").account
        request = TransferRequest(TASK, account, SerialRange.parse(ASKED), "2002")
        PostgresTaskBook(database).open_task(request, int(time.time()))
        left, right = (
            Listing(
                Key(REGISTRY, programme, "47110"),
                names=("Browser hills wind farm",),
                countries=("IN",),
                methodologies=("ACM0002",),
                categories=("renewable-energy",),
            )
            for programme in ("GS", "VCS")
        )
        # A token's id is longer than a phone is wide.
        detail = f"10 t of class {2**255} stand on serials that no trust account holds live"
        found = Breaks(database).report("browser", "shortfall", detail, {"serials": [ASKED]})
        with database.begin() as connection:
            # Kept as imports keep them: the next import judges every pair again.
            merge_listings(connection, {one.key: one for one in (left, right)})
            save_cases(connection, [assess(left, right)])
    sample = ROOT / "backend" / "samples" / "sample-verra-vcu-export-errors.csv"
    header, *rows = sample.read_text("utf-8").splitlines(keepends=True)
    refused = next(row for row in rows if "9OOO28" in row)
    file: Path = tmp_path_factory.mktemp("operator") / "refused.csv"
    file.write_text(header + refused, "utf-8")
    imported = causeway.json("import", str(file), expect=1)
    yield {"receipt": receipt, "import": imported["import_id"]}
    with closing(Database(causeway.settings.require_database_url())) as database:
        Breaks(database).resolve(found.number, "it was made up by a test")


class Person(Visitor):
    """Somebody who signs in with the wallet of a local key."""

    def __init__(self, browser: Browser, causeway: Commands, who: str, **options: Any) -> None:
        settings = causeway.settings
        key = KeyStore(causeway.system.home / "keys").get(who)
        self.wallet = Wallet(key.private_key, settings.require_chain_url())
        super().__init__(browser, settings.api_url, self.wallet, locale="en-GB", **options)
        self.page.goto("/operator/flows")
        self.page.get_by_role("button", name="Sign in with the wallet").click()

    def told(self, text: str) -> None:
        expect(self.page.locator("#operator-note")).to_have_text(text, timeout=PATIENCE_MS)


@pytest.fixture
def enter(browser: Browser, causeway: Commands) -> Iterator[Any]:
    inside: list[Person] = []

    def enter(who: str, **options: Any) -> Person:
        inside.append(Person(browser, causeway, who, **options))
        return inside[-1]

    yield enter
    for one in inside:
        one.context.close()


def test_two_people_sign_a_receipt_and_confirm_a_task_and_a_third_decides(
    enter: Any, causeway: Commands, waiting: dict[str, Any], tmp_path: Path
) -> None:
    custodian, attestor, registrar = (enter(who) for who in ("custodian", "attestor", "registrar"))
    receipt = waiting["receipt"]["receipt_id"]
    for one in (custodian, attestor):
        # Whoever signed in is where they wanted to go.
        expect(one.page.get_by_role("heading", level=1)).to_have_text("Flows", timeout=PATIENCE_MS)
        one.page.get_by_role("link", name="Signatures").click()
        draft = one.page.get_by_role("article").filter(has_text=receipt)
        draft.get_by_role("button", name="Sign with the wallet").click()
        one.told("Signed.")
    expect(custodian.page.get_by_role("article").filter(has_text=receipt)).to_contain_text(
        "You have signed this."
    )
    # The wallet was shown the receipt's own serials, field by field.
    asked = [params for method, params in custodian.wallet.asked if "TypedData" in method]
    [interval] = json.loads(asked[-1][1])["message"]["intervals"]
    serials = f"VCS:{interval['series']['codes'][0]}/{interval['first']}-{interval['last']}"
    assert [serials] == waiting["receipt"]["serials"]
    _confirm_a_task(custodian, attestor, tmp_path)
    _decide_a_duplicate(registrar)
    _read_a_refused_row(registrar.page, waiting["import"])
    # The browser itself notes the answer that was refused, once.
    assert len(custodian.complaints) == 1
    assert "422" in custodian.complaints[0]
    assert [one.complaints for one in (attestor, registrar)] == [[], []]
    _see_minted(registrar.page, receipt)


def _see_minted(page: Page, receipt: str) -> None:
    """Two signatures are enough: the worker submits it once a reserve report covers it."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    path = f"/v1/receipts/{receipt}"
    while page.request.get(path).json()["data"]["summary"]["state"] != "minted":
        assert time.monotonic() < deadline, "the receipt was not minted"
        time.sleep(0.5)


def _confirm_a_task(custodian: Person, attestor: Person, directory: Path) -> None:
    page, evidence = custodian.page, directory / "receipt.pdf"
    evidence.write_bytes(b"%PDF what the registry gave out")
    page.goto(f"/operator/tasks/{TASK}")
    expect(page.locator(".copyable").filter(has_text=ASKED)).to_be_visible()
    send = page.get_by_role("button", name="Send the answer")
    send.click()
    expect(page.locator("#operator-note")).to_contain_text(
        "registry_reference", timeout=PATIENCE_MS
    )
    page.get_by_label("Registry's reference").fill("VCS-TRANSFER-9")
    page.get_by_label("Evidence").set_input_files(evidence)
    send.click()
    custodian.told("Recorded.")
    expect(page.get_by_role("article")).to_contain_text("another person has to approve it")
    page = attestor.page
    page.goto(f"/operator/tasks/{TASK}")
    with page.expect_download() as saved:
        page.get_by_role("link", name="receipt.pdf").click()
    assert Path(saved.value.path()).read_bytes() == evidence.read_bytes()
    page.get_by_role("button", name="Approve").click()
    attestor.told("Recorded.")
    expect(page.get_by_role("heading", level=1)).to_contain_text("done")


def _decide_a_duplicate(registrar: Person) -> None:
    page = registrar.page
    page.goto("/operator/duplicates")
    case = page.get_by_role("article").filter(has_text="VCS-47110")
    expect(case).to_contain_text("same name")
    case.get_by_label("Why").fill("two valleys, two meters")
    case.get_by_role("button", name="Record the decision").click()
    registrar.told("Recorded.")
    expect(case).to_have_count(0)
    page.get_by_role("link", name="distinct").click()
    expect(case).to_contain_text("two valleys, two meters")


def _read_a_refused_row(page: Page, import_id: str) -> None:
    page.goto(f"/operator/imports/{import_id}")
    row = page.get_by_role("row").filter(has_text="has the letter O where the digit 0 belongs")
    expect(row).to_contain_text("Serial Number")
    page.get_by_label("Value or rule contains").fill("no such text")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No rejected row fits.")).to_be_visible(timeout=PATIENCE_MS)
    page.go_back()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download as CSV").click()
    lines = Path(saved.value.path()).read_text("utf-8").splitlines()
    assert lines[0] == "row,line,field,value,rule"
    assert "9OOO28" in lines[1]


def _file_of(path: str) -> str:
    section, _, rest = path.strip("/").partition("?")[0].partition("/")
    return f"operator-{section or 'today'}{'-one' if rest else ''}"


def _in(language: str, path: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}lang={language}"


def test_the_sections_fit_a_phone_and_have_no_serious_accessibility_violation(
    enter: Any, waiting: dict[str, Any]
) -> None:
    person = enter("attestor", color_scheme="dark", bypass_csp=True)
    page = person.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Flows", timeout=PATIENCE_MS)
    for path in (*SECTIONS, f"/imports/{waiting['import']}"):
        for language in ("zh-Hans", "zh-Hant", "en"):
            answer = page.goto(_in(language, f"/operator{path}"))
            assert answer is not None
            assert answer.status == 200, path
            look(page, f"{_file_of(path)}-{language}")
        if path.startswith("/breaks"):
            _speaks_of_a_break(page)
        if path not in FORMS:
            continue
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run().then((found) => found.violations)")
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], path
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in with the wallet")).to_be_visible()
    assert page.request.get("/operator/roles", max_redirects=0).status == 303


def _speaks_of_a_break(page: Page) -> None:
    """In the reader's language by its kind, with the words of the system beside, as English."""
    page.goto(_in("zh-Hant", "/operator/breaks?state=all"))
    found = page.get_by_role("article").filter(has_text=str(2**255))
    expect(found.get_by_role("heading")).to_contain_text("代幣所對應的序號已不在任何信託帳戶中有效")
    expect(found.locator("[lang=en]")).to_contain_text("10 t of class")
    page.goto(_in("en", "/operator/breaks?state=all"))


def test_a_wallet_without_a_role_reads_which_role_it_needs(enter: Any) -> None:
    page = enter("wallet-1").page
    expect(page.get_by_text("has no role on the chain")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_role("row").filter(has_text="sign receipts")).to_contain_text("custodian")
