"""Money as people write it, and as the integer base units of a settlement asset (L11)."""

from __future__ import annotations

import re
from typing import Final

from backend.errors import InvalidValue

_AMOUNT: Final = re.compile(r"^(?P<whole>\d{1,40})(?:\.(?P<part>\d{1,18}))?$", re.ASCII)


def parse_money(text: str, decimals: int) -> int:
    """Base units from `"1250"` or `"12.50"`; InvalidValue when finer than one base unit."""
    match = _AMOUNT.fullmatch(text.strip().replace(",", ""))
    if not match:
        raise InvalidValue("amount", text, "is not an amount of money, such as 1250 or 12.50")
    part = match["part"] or ""
    if part[decimals:].strip("0"):
        raise InvalidValue("amount", text, f"is finer than {decimals} decimals allow")
    scale: int = 10**decimals
    return int(match["whole"]) * scale + int(part[:decimals].ljust(decimals, "0") or 0)


def format_money(base_units: int, decimals: int) -> str:
    """`1234567` base units of 6 decimals as `"1.234567"`: exact, at least two decimals."""
    sign = "-" if base_units < 0 else ""
    whole, part = divmod(abs(base_units), 10**decimals)
    shown = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
    shown = shown.ljust(min(2, decimals), "0")
    return f"{sign}{whole:,}.{shown}" if shown else f"{sign}{whole:,}"
