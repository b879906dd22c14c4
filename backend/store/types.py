"""Column types: numbers of the chain as exact Python integers, never Decimal or float."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, Numeric
from sqlalchemy.types import TypeDecorator


class Uint256(TypeDecorator[int]):
    """A number of up to 256 bits; numeric(78,0) in Postgres, int in Python."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)
