"""Every language says everything, and every page speaks the reader's."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from backend.api.site.language import LANGUAGES, Texts, catalogue, choose

pytestmark = pytest.mark.unit

WEB = Path(__file__).resolve().parents[2] / "backend" / "web"
#: Keys that a template or a script puts together from a part it computes.
COMPUTED = re.compile(
    r"(nav|halted|status|script|problem|law|notice|trouble|tag)\."
    r"|(break|flow_state|evidence|caution|instruction)\."
    r"|explore\.(state|kind)_|market\.sort_|cert\.(status|words|kind)_"
    r"|operator\.(tab|act|role|count|draft|state|line|task|tasks|do|answer|said|import|case|kind"
    r"|gap|break|flow|flows)_|deliver\.state_|quote\.(action|closed)_|join\.(title|text)_"
    r"|instrument\.interval_"
)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def used() -> set[str]:
    found: set[str] = set()
    for template in (WEB / "templates").glob("*.html"):
        found |= set(re.findall(r"""\bt\(["']([\w. -]+)["']""", template.read_text("utf-8")))
    for module in (WEB.parent / "api" / "site").glob("*.py"):
        found |= set(re.findall(r"""\b(?:self|texts|t)\("([\w.]+)\"""", module.read_text("utf-8")))
    for source in (WEB / "source").glob("*.ts"):
        found |= set(re.findall(r"""["`]((?:script|problem)\.[\w-]+)["`]""", source.read_text()))
    return {key for key in found if not key.endswith((".", "_", " "))}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_the_same_places(language: str) -> None:
    english, other = catalogue("en"), catalogue(language)
    assert english.keys() == other.keys()
    for key, text in other.items():
        assert text.strip(), key
        assert places(text) == places(english[key]), key


def test_every_text_that_a_page_uses_is_there_and_none_is_idle() -> None:
    keys = catalogue("en").keys()
    assert used() <= keys, used() - keys
    idle = {key for key in keys - used() if not COMPUTED.match(key)}
    assert not idle


def test_chinese_texts_are_written_in_their_own_characters() -> None:
    """A traditional text holds no character that only simplified writing has, and the reverse."""
    simplified, traditional = (
        set("买卖户币证书页经对录单项标简体连连实时吨钱预览处连过"),
        set("買賣戶幣證書頁經對錄單項標簡體連實時噸錢預覽處過"),
    )
    only_simplified, only_traditional = simplified - traditional, traditional - simplified
    for key, text in catalogue("zh-Hant").items():
        assert not only_simplified & set(text), key
    for key, text in catalogue("zh-Hans").items():
        assert not only_traditional & set(text), key


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("zh-HK,zh;q=0.9,en;q=0.8", "zh-Hant"),
        ("zh-TW", "zh-Hant"),
        ("zh-Hant-CN", "zh-Hant"),
        ("zh-CN,zh;q=0.9", "zh-Hans"),
        ("zh", "zh-Hans"),
        ("fr-FR,fr;q=0.9,zh-MO;q=0.4,en;q=0.3", "zh-Hant"),
        ("fr, *;q=0.5", "en"),
        ("en;q=0.1, zh-CN;q=0.2", "zh-Hans"),
        ("zh-CN;q=x, en;q=0.1", "en"),
    ],
)
def test_the_browser_chooses_the_language(accepted: str, language: str) -> None:
    assert choose(None, None, accepted) == language


def test_what_was_asked_for_beats_what_is_kept_and_what_the_browser_says() -> None:
    assert choose("zh-Hans", "zh-Hant", "en") == "zh-Hans"
    assert choose(None, "zh-Hant", "en") == "zh-Hant"
    assert choose("xx", "../../etc", "en") == "en"


def test_dates_and_money_are_written_as_the_language_does() -> None:
    english, chinese = Texts("en"), Texts("zh-Hant")
    assert english.moment(1_795_940_465) == "29 November 2026 08:21 UTC"
    assert chinese.moment(1_795_940_465) == "2026年11月29日 08:21 UTC"
    assert english.money(1_250_000_000, "HKD", 6) == "HK$ 1,250.00"
    assert english.money(52_515_000, "CNH", 6) == "CN¥ 52.515"
    assert english.money(7, "XYZ", 0) == "7 XYZ"
