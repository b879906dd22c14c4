"""Values of events as Postgres can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_NUL_ESCAPED = "\\u0000"


def jsonable(value: Any) -> Any:
    """Arguments as JSON can carry them: integers become strings, at any depth."""
    if type(value) is int:
        return str(value)
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    return [jsonable(item) for item in value]


def args_json(args: Mapping[str, Any]) -> str:
    """`jsonable` arguments as text; flat arguments, which are most, take the short way."""
    flat = {}
    for key, value in args.items():
        kind = type(value)
        flat[key] = value if kind is str else str(value) if kind is int else jsonable(value)
    text = orjson.dumps(flat).decode()
    return text if _NUL_ESCAPED not in text else orjson.dumps(visible(flat)).decode()


def json_text(value: Any) -> str:
    """Any value of an event as JSON that Postgres takes."""
    return orjson.dumps(visible(jsonable(value))).decode()


def visible(value: Any) -> Any:
    """Neither text nor jsonb of Postgres can hold NUL: it becomes the sign that stands for it."""
    if isinstance(value, str):
        return value.replace("\0", "\u2400")
    if isinstance(value, dict):
        return {key: visible(item) for key, item in value.items()}
    return [visible(item) for item in value] if isinstance(value, list) else value
