"""Units of carbon: 1 token unit = 1 kg CO2e, 1 registry credit = 1 tonne = 1000 units."""

from __future__ import annotations

import re
from typing import NewType

from backend.errors import InvalidValue

Kilograms = NewType("Kilograms", int)
Tonnes = NewType("Tonnes", int)
TokenId = NewType("TokenId", int)
#: Number of a tonne in its class, 0 for the first ever minted.
Position = NewType("Position", int)

KILOGRAMS_PER_TONNE = 1000
#: The contracts count tonnes and positions in 48 bits.
MAX_TONNES = 2**48 - 1
#: Serial numbers start at 1 in every series of the contracts; the largest that an int8range of
#: Postgres can hold.
MAX_SERIAL = 2**63 - 2

_AMOUNT = re.compile(r"^(?P<number>\d{1,15}(?:\.\d{1,3})?)\s*(?P<unit>kg|t)$", re.ASCII)


def parse_kilograms(text: str) -> Kilograms:
    """Kilograms from `"1500kg"`, `"1.5t"` or `"2 t"`; the unit is required, never guessed."""
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise InvalidValue("amount", text, "is not a number with a unit, such as 1500kg or 1.5t")
    whole, _, fraction = match["number"].partition(".")
    if match["unit"] == "kg":
        if fraction:
            raise InvalidValue("amount", text, "is finer than one kilogram")
        return Kilograms(int(whole))
    return Kilograms(int(whole) * KILOGRAMS_PER_TONNE + int(fraction.ljust(3, "0")))


def format_kilograms(kilograms: int) -> str:
    """`1234567` kilograms as `"1,234.567 t"`: exact, no rounding."""
    whole, rest = divmod(kilograms, KILOGRAMS_PER_TONNE)
    return f"{whole:,}.{rest:03d} t" if rest else f"{whole:,} t"
