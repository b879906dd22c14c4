"""Examples in the OpenAPI schema: of every request and answer, put together from its shapes.

`examples.json` tells one story, most of it recorded from a local system: class 1, its trade, one
certificate with its serial numbers. There, under a shape's name, stand the fields that this shape
has itself; what is a shape of its own is not repeated, so that the example of a class is the same
in every answer that shows one. A dictionary in a field's place says only what differs there; `*`
has what a field says wherever nothing else does, and an operation's name what is its alone. What
may be null and is not told of is null; everything else has to be told of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

JSON: Final = "application/json"
EVERYWHERE: Final = "*"
_MISSING: Final[Any] = object()


@cache
def told() -> dict[str, dict[str, Any]]:
    """What `examples.json` says, by the names of shapes and operations."""
    raw = (files("backend") / "api" / "examples.json").read_text("utf-8")
    found: dict[str, dict[str, Any]] = json.loads(raw)
    return found


def add_examples(schema: dict[str, Any]) -> None:
    """Give each request and each successful answer in JSON its example, unless it has one.

    Raises KeyError for a field that nothing is told of.
    """
    composer = _Composer(schema["components"]["schemas"])
    for name, operation in operations(schema):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content.setdefault("example", composer.value(content["schema"], name))
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get(JSON)
            if content is not None and status.startswith("2"):
                said = told().get(name, _MISSING)
                content.setdefault("example", composer.value(content["schema"], name, said))


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation of an OpenAPI schema by its name, as `GET /v1/classes`."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


class _Composer:
    """Puts examples together from the shapes of one schema."""

    def __init__(self, shapes: dict[str, Any]) -> None:
        self._shapes = shapes

    def value(self, schema: dict[str, Any], place: str, said: Any = _MISSING) -> Any:
        """The example of a schema that stands at `place`; `said`: what is told of it there."""
        kind, part = self._made_of(schema) or ("plain", schema)
        if said is _MISSING and kind in ("plain", "object"):
            if any(one.get("type") == "null" for one in _options(schema)):
                return None
            raise KeyError(f"examples.json says nothing of {place}")
        if said is None or kind == "plain":
            return said
        if kind == "array":
            return [self.value(part, place, one) for one in ([{}] if said is _MISSING else said)]
        if kind == "object":
            return {key: self.value(part, place, one) for key, one in said.items()}
        return self._shape(part, {} if said is _MISSING else said)

    def _made_of(self, schema: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """The shape with fields that a schema is, or holds many of; None for a plain value."""
        for one in _options(schema):
            if "$ref" in one:
                name = one["$ref"].rpartition("/")[2]
                one = {**self._shapes[name], "title": name}
            if "properties" in one and "title" in one:
                return "shape", one
            for kind, part in (("array", "items"), ("object", "additionalProperties")):
                inner = one.get(part)
                if isinstance(inner, dict) and self._made_of(inner) is not None:
                    return kind, inner
        return None

    def _shape(self, shape: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
        name, required = shape["title"], shape.get("required", ())
        own, everywhere = told().get(name, {}) | said, told()[EVERYWHERE]
        example = {}
        for field, schema in shape["properties"].items():
            if field in own or field in required or field in everywhere:
                known = own.get(field, _MISSING)
                if known is _MISSING and self._made_of(schema) is None:
                    known = everywhere.get(field, _MISSING)
                example[field] = self.value(schema, f"{name}.{field}", known)
        return example


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return found
