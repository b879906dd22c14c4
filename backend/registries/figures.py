"""Figures of an export while it is read: sums that can be put aside and taken up again."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from backend.domain.credits import BlockRecord, ProjectRecord, Record, Status, VolumeRecord
from backend.domain.serials import Interval, Series
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import UnmappedLabel
from backend.registries.labels import cohort_of
from backend.registries.protocol import ControlTotal, Rejection


@dataclass(frozen=True, slots=True)
class Control:
    """A control sum of the file beside the tonnes of the accepted rows above it."""

    line: int
    stated: int
    counted: int

    @property
    def agrees(self) -> bool:
        return self.stated == self.counted

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"agrees": self.agrees}


@dataclass(slots=True)
class Figures:
    """Sums over the rows so far: what an import keeps beside the rows that it has staged."""

    blocks: int = 0
    volumes: int = 0
    projects: int = 0
    rejected: int = 0
    tonnes: int = 0
    kilograms: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    controls: dict[int, Control] = field(default_factory=dict)
    _labels: dict[tuple[str, tuple[str, ...]], list[str]] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return self.blocks + self.volumes + self.projects

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected

    def add(self, row: Record | Rejection | ControlTotal) -> None:
        """Count one row of the file."""
        match row:
            case BlockRecord():
                tonnes = row.interval.last - row.interval.first + 1
                self.blocks += 1
                self.tonnes += tonnes
                self.kilograms[row.status.value] += tonnes * KILOGRAMS_PER_TONNE
                if row.labels:
                    self._count_unmapped(row)
            case Rejection():
                self.rejected += 1
            case VolumeRecord():
                self.volumes += 1
                self.kilograms[row.status.value] += row.kilograms
                self._count_unmapped(row)
            case ProjectRecord():
                self.projects += 1
            case ControlTotal():
                # By its line: what was counted before a kill is not counted twice after it.
                self.controls[row.line] = Control(row.line, row.stated, self.tonnes)

    def _count_unmapped(self, row: BlockRecord | VolumeRecord) -> None:
        key = row.programme, row.labels
        found = self._labels.get(key)
        if found is None:
            found = self._labels[key] = _unmapped(*key)
        self.unmapped.update(found)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` takes up again."""
        return {
            "blocks": self.blocks,
            "volumes": self.volumes,
            "projects": self.projects,
            "rejected": self.rejected,
            "tonnes": self.tonnes,
            "kilograms": dict(self.kilograms),
            "unmapped": dict(self.unmapped),
            "controls": [asdict(control) for control in self.controls.values()],
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Figures:
        """The figures that `as_json` gave; of an empty mapping those of no row."""
        figures = cls(
            **{
                name: kept.get(name, 0)
                for name in ("blocks", "volumes", "projects", "rejected", "tonnes")
            }
        )
        figures.kilograms.update(kept.get("kilograms", {}))
        figures.unmapped.update(kept.get("unmapped", {}))
        for control in kept.get("controls", ()):
            figures.controls[control["line"]] = Control(**control)
        return figures

    def tonnes_of(self, *statuses: Status) -> int | None:
        """Whole tonnes of rows with these statuses; None when they are not whole."""
        kilograms = sum(self.kilograms[status.value] for status in statuses)
        whole, rest = divmod(kilograms, KILOGRAMS_PER_TONNE)
        return None if rest else whole


def _unmapped(programme: str, labels: tuple[str, ...]) -> list[str]:
    try:
        cohort_of(programme, labels)
    except UnmappedLabel as error:
        found: list[str] = error.values["labels"]
        return found
    return []


class Claim(NamedTuple):
    """A row and the serials that it claims."""

    interval: Interval
    row: int


class Claims:
    """The serials of every row in 24 bytes a row, to find those that another row claims too."""

    def __init__(self) -> None:
        self._held: dict[Series, tuple[array[int], array[int], array[int]]] = {}

    def __len__(self) -> int:
        """How many series."""
        return len(self._held)

    def add(self, record: BlockRecord) -> None:
        interval = record.interval
        held = self._held.get(interval.series)
        if held is None:
            held = self._held[interval.series] = (array("q"), array("q"), array("q"))
        held[0].append(interval.first)
        held[1].append(interval.last)
        held[2].append(record.row)

    def rivals(self) -> Iterator[Claim]:
        """Rows that share a serial with another row."""
        for series, (firsts, lasts, rows) in self._held.items():
            order = sorted(range(len(rows)), key=lambda at: (firsts[at], lasts[at], rows[at]))
            reached = -1
            for at, following in zip(order, [*order[1:], None], strict=True):
                meets = following is not None and firsts[following] <= lasts[at]
                if meets or firsts[at] <= reached:
                    yield Claim(Interval(series, firsts[at], lasts[at]), rows[at])
                reached = max(reached, lasts[at])
