"""Column types: exact integers of any size, and texts that compare byte by byte."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Dialect, Numeric
from sqlalchemy.types import TypeDecorator


class Text(sqlalchemy.Text):
    """Text in the collation "C": the same order on every machine, and indexes twice as fast.

    Hashes and addresses are most of what is indexed; a locale's rules would compare them slowly.
    """

    def __init__(self) -> None:
        super().__init__(collation="C")


class Uint256(TypeDecorator[int]):
    """A number of up to 256 bits; numeric(78,0) in Postgres, int in Python."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)
