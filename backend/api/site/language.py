"""The reader's language: which of ours it is, its texts, its numbers, dates and money.

Texts are in `backend/web/texts`, one JSON catalogue a language, all with the same keys. A text may
hold `{name}` places, filled by `Texts.say`. What a text says stays plain: markup is the template's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Final

from backend.domain.money import format_money
from backend.domain.units import format_kilograms

#: Our languages by the tag that pages carry, with the name that each calls itself.
LANGUAGES: Final = {"en": "English", "zh-Hant": "繁體中文", "zh-Hans": "简体中文"}
DEFAULT: Final = "en"
COOKIE: Final = "language"
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
#: Regions whose Chinese is written in traditional characters.
_TRADITIONAL: Final = frozenset(("hant", "hk", "mo", "tw"))
#: How each settlement asset of ours is written before an amount.
_SIGNS: Final = {"HKD": "HK$", "CNH": "CN¥", "USD": "US$"}


def choose(asked: str | None, kept: str | None, accepted: str) -> str:
    """The language: asked for by `?lang=`, else kept in the cookie, else the browser's.

    `accepted` is the header Accept-Language (RFC 9110): the heaviest range that is one of ours.
    """
    for tag in (asked, kept):
        if tag in LANGUAGES:
            return tag
    best, weight = DEFAULT, -1
    for position, item in enumerate(accepted.split(",")[:20]):
        name, _, parameters = item.strip().partition(";")
        found = _ours(name.strip())
        rank = _thousandths(parameters) * 100 - position
        if found is not None and rank > weight:
            best, weight = found, rank
    return best


def _ours(tag: str) -> str | None:
    parts = tag.casefold().split("-")
    if parts[0] == "en":
        return "en"
    if parts[0] == "zh":
        return "zh-Hant" if _TRADITIONAL & set(parts[1:]) else "zh-Hans"
    return None


def _thousandths(parameters: str) -> int:
    """The weight of a range, `q=0.8` as 800; 1000 when there is none, 0 when it is nonsense."""
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1000
    whole, _, part = value.strip().partition(".")
    digits = whole + part[:3].ljust(3, "0")
    return min(int(digits), 1000) if digits.isascii() and digits.isdigit() else 0


@cache
def catalogue(language: str) -> dict[str, str]:
    """Every text of a language by its key."""
    raw = (files("backend") / "web" / "texts" / f"{language}.json").read_text("utf-8")
    texts: dict[str, str] = json.loads(raw)
    return texts


@dataclass(frozen=True, slots=True)
class Texts:
    """One language as a page uses it."""

    language: str

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its places filled. Raises KeyError for a key that is not there."""
        text = catalogue(self.language)[key]
        return text.format(**values) if values else text

    def some(self, prefix: str) -> dict[str, str]:
        """Every text whose key begins with `prefix`, for the script of a page."""
        found = catalogue(self.language)
        return {key: found[key] for key in found if key.startswith(prefix)}

    def tag(self, name: str) -> str:
        """A chapter of the API; one without a text of ours goes by its own name."""
        return catalogue(self.language).get(f"tag.{name.replace(' ', '_')}", name.capitalize())

    def of_code(self, chapter: str, code: str) -> str:
        """What a stable code says: of a break, a flow's state, an error. One without a text of
        ours goes by itself.
        """
        return catalogue(self.language).get(f"{chapter}.{code}", code)

    def tier(self, name: str) -> str:
        """A tier of admission; one that has no name of ours goes by its number."""
        return self.of_code("script", f"tier_{name}").removeprefix("tier_")

    def notice(self, programme: str, text: str) -> str:
        """What a programme warns of: in the reader's language where we have it, else as it is."""
        key = f"notice.{programme}"
        same = catalogue(DEFAULT).get(key) == text
        return catalogue(self.language)[key] if same else text

    def day(self, day: date) -> str:
        """29 November 2026, or 2026年11月29日."""
        if self.language == "en":
            return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
        return f"{day.year}年{day.month}月{day.day}日"

    def moment(self, seconds: int | None) -> str:
        """A time of the chain or the journal, in UTC and saying so."""
        if seconds is None:
            return self("common.time_unknown")
        found = datetime.fromtimestamp(seconds, UTC)
        return f"{self.day(found.date())} {found:%H:%M} UTC"

    def number(self, value: int) -> str:
        """With thousands separated: all three languages write them alike."""
        return f"{value:,}"

    def tonnes(self, tonnes: int) -> str:
        return f"{tonnes:,} t"

    def kilograms(self, kilograms: int) -> str:
        """Exact, as tonnes."""
        return format_kilograms(kilograms)

    def column(self, kilograms: Iterable[int]) -> list[str]:
        """One column of amounts: where one has decimals all have, so that digits stand in line."""
        amounts = [self.kilograms(one) for one in kilograms]
        if not any("." in one for one in amounts):
            return amounts
        return [one if "." in one else one.replace(" ", ".000 ", 1) for one in amounts]

    def money(self, base_units: int, symbol: str, decimals: int) -> str:
        """An amount with the sign of its currency: HK$ 1,250.00; another asset by its symbol."""
        sign = _SIGNS.get(symbol)
        amount = format_money(base_units, decimals)
        return f"{sign} {amount}" if sign else f"{amount} {symbol}"
