"""Serials that only the issuer's text names: what the adapters of CCER and PHCER share."""

from __future__ import annotations

import re
from collections.abc import Mapping

from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue
from backend.registries import holding
from backend.registries.cells import segment

FIRST, LAST = "First Number", "Last Number"
_DIGITS = re.compile(r"\d+", re.ASCII)


def interval_of(programme: str, text_column: str, cell: Mapping[str, str]) -> Interval:
    """[first, last] in the space that the issuer's text names.

    No grammar of the text was found in any source, so none is checked: it is taken as it is, in
    Unicode's normal form, and the numbers as the holder states them.
    """
    text = holding.canonical(text_column, cell[text_column])
    numbers = []
    for column in (FIRST, LAST):
        if not _DIGITS.fullmatch(cell[column]):
            raise InvalidValue(column, cell[column], "is not a number")
        numbers.append(segment(column, cell[column], cell[column]))
    try:
        series = Series(programme, (), text)
    except InvalidValue as error:
        raise InvalidValue(text_column, text, error.rule) from None
    try:
        return Interval(series, *numbers)
    except InvalidValue as error:
        column = FIRST if error.field == "first" else LAST
        raise InvalidValue(column, cell[column], error.rule) from None
