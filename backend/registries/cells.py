"""Reading single cells: whole numbers, dates and lists as registries write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache

from backend.errors import InvalidValue

_PLAIN = re.compile(r"\d+", re.ASCII)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+", re.ASCII)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_DAY_FIRST = re.compile(r"(\d\d)/(\d\d)/(\d{4})", re.ASCII)
_TIME = re.compile(r"[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z?", re.ASCII)
_COMPACT = re.compile(r"(\d\d)(\d\d)(\d{4})", re.ASCII)
#: No quantity, serial or identifier of a registry has more digits; 2^64 has 20.
MAX_DIGITS = 20


def digits(field: str, value: str, shown: str) -> int:
    """The number that a run of ASCII digits means; `shown` is the cell it stands in."""
    if len(value) > MAX_DIGITS and len(value.lstrip("0")) > MAX_DIGITS:
        raise InvalidValue(field, shown, f"holds a number of more than {MAX_DIGITS} digits")
    return int(value)


def whole_number(field: str, text: str) -> int:
    """A positive whole number, with or without thousands commas; raises InvalidValue."""
    if not _PLAIN.fullmatch(text):
        if not _GROUPED.fullmatch(text):
            raise InvalidValue(field, text, "is not a whole number")
        number = digits(field, text.replace(",", ""), text)
    else:
        number = digits(field, text, text)
    if not number:
        raise InvalidValue(field, text, "is not positive")
    return number


def identifier(field: str, text: str) -> int:
    """A registry's number of a project, without commas."""
    if not _PLAIN.fullmatch(text):
        raise InvalidValue(field, text, "is not a project's number")
    return digits(field, text, text)


def _day(field: str, text: str, year: str, month: str, day: str) -> date:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise InvalidValue(field, text, "is not a day of the calendar") from None


@lru_cache(maxsize=16384)
def iso_date(field: str, text: str) -> date:
    """YYYY-MM-DD, the time of a timestamp cut off; raises InvalidValue."""
    match = _ISO.match(text)
    if not match or (match.end() != len(text) and not _TIME.fullmatch(text, match.end())):
        raise InvalidValue(field, text, "is not a date YYYY-MM-DD")
    return _day(field, text, match[1], match[2], match[3])


@lru_cache(maxsize=16384)
def either_date(field: str, text: str) -> date:
    """DD/MM/YYYY, as older exports have it, or YYYY-MM-DD; raises InvalidValue."""
    if match := _DAY_FIRST.fullmatch(text):
        return _day(field, text, match[3], match[2], match[1])
    if match := _ISO.fullmatch(text):
        return _day(field, text, match[1], match[2], match[3])
    raise InvalidValue(field, text, "is not a date YYYY-MM-DD or DD/MM/YYYY")


@lru_cache(maxsize=16384)
def compact_date(field: str, text: str, shown: str) -> date:
    """DDMMYYYY, as inside a Verra serial; `shown` is the cell it stands in."""
    match = _COMPACT.fullmatch(text)
    if not match:
        raise InvalidValue(field, shown, f"holds {text}, which is not a day DDMMYYYY")
    try:
        return date(int(match[3]), int(match[2]), int(match[1]))
    except ValueError:
        raise InvalidValue(
            field, shown, f"holds {text}, which is not a day of the calendar (DDMMYYYY)"
        ) from None


def optional(parse: Callable[[str, str], date], field: str, text: str) -> date | None:
    """None for an empty cell."""
    return parse(field, text) if text else None


@lru_cache(maxsize=4096)
def listed(text: str, separator: str) -> tuple[str, ...]:
    """The entries of a list in one cell, in its order, without empty ones."""
    return tuple(entry for part in text.split(separator) if (entry := part.strip()))
