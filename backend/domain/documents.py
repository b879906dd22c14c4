"""Strict reading of the JSON documents of dated facts: every key known, every value typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar

from backend.errors import InvalidValue

V = TypeVar("V")
_HEX = frozenset("0123456789abcdef")
#: A text of a fact is emitted on chain.
MAX_TEXT = 256


class Document:
    """One document being read; `done` refuses the keys that nothing asked for."""

    def __init__(self, name: str, content: Any) -> None:
        if not isinstance(content, Mapping):
            raise InvalidValue(name, content, "is not a JSON object")
        self._name = name
        self._content = content
        self._asked: set[str] = set()

    def _take(self, key: str, rule: str, fits: Callable[[Any], bool]) -> Any:
        self._asked.add(key)
        value = self._content.get(key)
        if not fits(value):
            raise InvalidValue(f"{self._name}.{key}", value, rule)
        return value

    def text(self, key: str) -> str:
        """A text of 1 … 256 printable characters."""
        rule = f"is not a text of 1 … {MAX_TEXT} printable characters"
        found: str = self._take(
            key, rule, lambda v: isinstance(v, str) and 0 < len(v) <= MAX_TEXT and v.isprintable()
        )
        return found

    def hash(self, key: str) -> str:
        """0x and 64 lower-case hex digits: the hash of a document that can be shown."""
        found: str = self._take(
            key,
            "is not 0x and 64 lower-case hex digits",
            lambda v: isinstance(v, str) and len(v) == 66 and v[:2] == "0x" and set(v[2:]) <= _HEX,
        )
        return found

    def country(self, key: str) -> str:
        """A country's two capital letters."""
        found: str = self._take(
            key,
            "is not a country's two capital letters",
            lambda v: isinstance(v, str) and len(v) == 2 and v.isascii() and v.isupper(),
        )
        return found

    def tonnes(self, key: str) -> int:
        """A positive whole number."""
        found: int = self._take(
            key,
            "is not a positive whole number of tonnes",
            lambda v: isinstance(v, int) and not isinstance(v, bool) and v > 0,
        )
        return found

    def choice(self, key: str, kind: Callable[[str], V]) -> V:
        """A member of an enumeration by its value."""
        value = self._take(key, "is not a text", lambda v: isinstance(v, str))
        return self._member(key, value, kind)

    def choices(self, key: str, kind: Callable[[str], V]) -> frozenset[V]:
        """One or more members of an enumeration."""
        rule = "is not a list of one or more texts"
        listed = self._take(
            key,
            rule,
            lambda v: isinstance(v, list) and bool(v) and all(isinstance(one, str) for one in v),
        )
        return frozenset(self._member(key, one, kind) for one in listed)

    def _member(self, key: str, value: str, kind: Callable[[str], V]) -> V:
        try:
            return kind(value)
        except ValueError:
            raise InvalidValue(f"{self._name}.{key}", value, "is not one of its values") from None

    def day(self, key: str) -> date:
        """YYYY-MM-DD."""
        value = self._take(key, "is not a day YYYY-MM-DD", lambda v: isinstance(v, str))
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = None
        if found is None or found.isoformat() != value:
            raise InvalidValue(f"{self._name}.{key}", value, "is not a day YYYY-MM-DD")
        return found

    def optional(self, key: str, read: Callable[[str], V]) -> V | None:
        """None when the key is missing or null."""
        self._asked.add(key)
        return None if self._content.get(key) is None else read(key)

    def done(self) -> None:
        """Refuse a key that is not of this document: a typo would be a missing statement."""
        for key in sorted(map(str, self._content.keys() - self._asked)):
            raise InvalidValue(f"{self._name}.{key}", self._content.get(key), "is not known here")
