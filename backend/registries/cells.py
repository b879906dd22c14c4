"""Reading single cells: whole numbers, dates and lists as registries write them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any

from backend.errors import InvalidValue

_PLAIN = re.compile(r"\d+", re.ASCII)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+", re.ASCII)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_DAY_FIRST = re.compile(r"(\d\d)/(\d\d)/(\d{4})", re.ASCII)
_TIME = re.compile(r"[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z?", re.ASCII)
_US = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4})(?: (?:1[0-2]|[1-9]):[0-5]\d:[0-5]\d (?:AM|PM))?", re.ASCII
)
_WORDED = re.compile(r"(\d\d) ([A-Z][a-z]{2}) (\d{4})", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_COMPACT = re.compile(r"(\d\d)(\d\d)(\d{4})", re.ASCII)
#: A whole number that went through a table of floats: `79565.0`.
_FLOATED = re.compile(r"(\d+)(?:\.0+)?", re.ASCII)
_THOUSANDTHS = re.compile(r"(\d+)(?:\.(\d{1,3}))?", re.ASCII)
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


def segment(field: str, value: str, shown: str) -> int:
    """A number inside a serial: without leading zeros, or two texts would name one serial."""
    if value[0] == "0" and value != "0":
        raise InvalidValue(field, shown, f"holds {value[:MAX_DIGITS]}, a number with leading zeros")
    return digits(field, value, shown)


def amount(field: str, text: str) -> int:
    """A whole number that may be 0, with thousands commas or `.0`, or an empty cell: 0."""
    if not text:
        return 0
    if match := _FLOATED.fullmatch(text):
        return digits(field, match[1], text)
    if _GROUPED.fullmatch(text):
        return digits(field, text.replace(",", ""), text)
    raise InvalidValue(field, text, "is not a whole number")


def kilograms(field: str, text: str) -> int:
    """Tonnes with at most three decimals, as kilograms; raises InvalidValue."""
    match = _THOUSANDTHS.fullmatch(text)
    if not match:
        raise InvalidValue(field, text, "is not a number of tonnes with at most three decimals")
    return digits(field, match[1] + (match[2] or "").ljust(3, "0"), text)


def year(field: str, text: str) -> int:
    """A vintage year, `2024` or `2024.0`; raises InvalidValue."""
    found = text.removesuffix(".0")
    if len(found) != 4 or not found.isascii() or not found.isdigit() or found < "1900":
        raise InvalidValue(field, text, "is not a year from 1900 on")
    return int(found)


def prefixed(field: str, text: str, prefix: str) -> int:
    """The number of a project's id that begins with its registry's name, such as `ACR731`."""
    if not text.startswith(prefix) or not _PLAIN.fullmatch(text, len(prefix)):
        raise InvalidValue(field, text, f"is not {prefix} and a project's number")
    return segment(field, text[len(prefix) :], text)


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
def _iso_day(field: str, text: str) -> date:
    match = _ISO.fullmatch(text)
    if not match:
        raise InvalidValue(field, text, "is not a date YYYY-MM-DD")
    return _day(field, text, match[1], match[2], match[3])


def iso_date(field: str, text: str) -> date:
    """YYYY-MM-DD, the time of a timestamp cut off; raises InvalidValue."""
    if len(text) <= 10:
        return _iso_day(field, text)
    if not _TIME.fullmatch(text, 10):
        raise InvalidValue(field, text, "is not a date YYYY-MM-DD")
    try:
        return _iso_day(field, text[:10])
    except InvalidValue as error:
        raise InvalidValue(field, text, error.rule) from None


@lru_cache(maxsize=16384)
def either_date(field: str, text: str) -> date:
    """DD/MM/YYYY, as older exports have it, or YYYY-MM-DD; raises InvalidValue."""
    if match := _DAY_FIRST.fullmatch(text):
        return _day(field, text, match[3], match[2], match[1])
    if match := _ISO.fullmatch(text):
        return _day(field, text, match[1], match[2], match[3])
    raise InvalidValue(field, text, "is not a date YYYY-MM-DD or DD/MM/YYYY")


@lru_cache(maxsize=16384)
def us_date(field: str, text: str) -> date:
    """M/D/YYYY, month first, padded or not, the time of a timestamp cut off (its zone is GMT)."""
    match = _US.fullmatch(text)
    if not match:
        raise InvalidValue(field, text, "is not a date MM/DD/YYYY")
    return _day(field, text, match[3], match[1], match[2])


@lru_cache(maxsize=16384)
def worded_date(field: str, text: str) -> date:
    """`01 Jan 2020`; raises InvalidValue."""
    match = _WORDED.fullmatch(text)
    if not match or match[2] not in _MONTHS:
        raise InvalidValue(field, text, "is not a date such as 01 Jan 2020")
    return _day(field, text, match[3], str(_MONTHS.index(match[2]) + 1), match[1])


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


@lru_cache(maxsize=1024)
def literals(field: str, text: str) -> tuple[Any, ...]:
    """A list that a program wrote as `[{'code': 'CV'}]`: its entries; an empty cell is none."""
    if not text:
        return ()
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise InvalidValue(field, text, "is not a list") from None
    if not isinstance(found, list):
        raise InvalidValue(field, text, "is not a list")
    return tuple(found)


def texts_of(field: str, text: str, key: str) -> tuple[str, ...]:
    """What every entry of such a list says under `key`; raises InvalidValue."""
    found = []
    for entry in literals(field, text):
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, str):
            raise InvalidValue(field, text, f"has an entry without {key}")
        found.append(value)
    return tuple(found)


def period(field: str, start: date | None, end: date | None, shown: str) -> None:
    """Raises InvalidValue for field when a period ends before it starts."""
    if start and end and end < start:
        raise InvalidValue(field, shown, f"is before {start}")
