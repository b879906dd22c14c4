"""What an adapter of one layout is, and how a row it refuses is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from backend.domain.credits import Kind, Record, Status

#: The field named by a rejection that concerns the whole record.
WHOLE_RECORD = "record"
#: A rejected value is shown up to this many characters.
MAX_SHOWN = 200


class Adapter(Protocol):
    """One layout of one programme. Adapters hold no state: one object serves every file."""

    @property
    def programme(self) -> str:
        """`VCS`, `GS` …"""

    @property
    def layout(self) -> str:
        """Name of the layout, as listed in docs/layouts.md."""

    @property
    def kind(self) -> Kind:
        """What a row is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of the layout, as the registry spells it; files may order them anyhow."""

    @property
    def tells(self) -> tuple[Status, ...]:
        """Every status that a row of the layout can say; none of a project."""

    def parse(self, cells: Sequence[str], row: int, line: int) -> Record:
        """The record of one row; `cells` are stripped and in the order of `columns`.

        All rows of a layout give one type of record: blocks of serials, volumes or projects.
        Raises InvalidValue, which names the column, for the first rule the row breaks.
        """


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that broke a rule: where it is, which column, what it says, what is wrong."""

    row: int
    line: int
    field: str
    value: str
    rule: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """What a file says its rows add up to, in the unit of its quantity column (`Total` rows)."""

    line: int
    stated: int
