"""Reading JSON documents field by field: an error names the place, the value and the rule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar

from backend.errors import InvalidValue

Member = TypeVar("Member", bound=StrEnum)


class Node:
    """A JSON object at a place of a document; fields that nobody reads are refused by `done`."""

    def __init__(self, found: Any, place: str) -> None:
        if not isinstance(found, dict):
            raise InvalidValue(place, found, "is not an object")
        self._found: Mapping[str, Any] = found
        self._unread = set(found)
        self.place = place

    def _get(self, name: str, kind: type, optional: bool) -> Any:
        self._unread.discard(name)
        value = self._found.get(name)
        if value is None and optional:
            return None
        # JSON's true is no number, although Python's is.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InvalidValue(f"{self.place}.{name}", value, f"is not {_WORDS[kind]}")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """A text; `default` when the field may be missing."""
        value = self._get(name, str, default is not None)
        return str(default if value is None else value)

    def number(self, name: str, default: int | None = None) -> int:
        value = self._get(name, int, default is not None)
        return int(default if value is None else value)  # type: ignore[arg-type]

    def optional_number(self, name: str) -> int | None:
        value = self._get(name, int, True)
        return None if value is None else int(value)

    def flag(self, name: str, default: bool | None = None) -> bool:
        value = self._get(name, bool, default is not None)
        return bool(default if value is None else value)

    def day(self, name: str) -> date:
        return self._day(name, self.text(name))

    def optional_day(self, name: str) -> date | None:
        value = self._get(name, str, True)
        return None if value is None else self._day(name, value)

    def _day(self, name: str, value: str) -> date:
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise InvalidValue(f"{self.place}.{name}", value, "is not YYYY-MM-DD") from None

    def member(self, name: str, kind: type[Member]) -> Member:
        """One of an enumeration's values."""
        return self._member(name, self.text(name), kind)

    def members(self, name: str, kind: type[Member]) -> tuple[Member, ...]:
        return tuple(self._member(name, value, kind) for value in self.texts(name))

    def _member(self, name: str, value: str, kind: type[Member]) -> Member:
        try:
            return kind(value)
        except ValueError:
            rule = f"is not one of {', '.join(kind)}"
            raise InvalidValue(f"{self.place}.{name}", value, rule) from None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, () when the field is missing."""
        value = self._get(name, list, True) or []
        for one in value:
            if not isinstance(one, str):
                raise InvalidValue(f"{self.place}.{name}", one, "is not a text")
        return tuple(value)

    def node(self, name: str) -> Node:
        return Node(self._get(name, dict, False), f"{self.place}.{name}")

    def optional_node(self, name: str) -> Node | None:
        value = self._get(name, dict, True)
        return None if value is None else Node(value, f"{self.place}.{name}")

    def nodes(self, name: str) -> list[Node]:
        """A list of objects, [] when the field is missing."""
        value = self._get(name, list, True) or []
        return [Node(one, f"{self.place}.{name}[{index}]") for index, one in enumerate(value)]

    def mapping(self, name: str) -> Mapping[str, Any]:
        """An object whose field names are data."""
        value: Mapping[str, Any] = self._get(name, dict, True) or {}
        return value

    def done(self) -> None:
        """Raises InvalidValue when the object has a field that is not in the form: a typing
        error would otherwise leave a rule out without a word.
        """
        for name in sorted(self._unread):
            raise InvalidValue(f"{self.place}.{name}", self._found[name], "is not a known field")


_WORDS = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
