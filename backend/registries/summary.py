"""What an export holds, in figures: rows, tonnes, rejections, overlaps (`import --dry-run`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from os import PathLike, fspath
from typing import Any, Protocol

from backend.domain.credits import (
    BlockRecord,
    Kind,
    ProjectRecord,
    Record,
    Status,
    VolumeRecord,
)
from backend.domain.serials import Interval, Series
from backend.errors import RuleError
from backend.registries.figures import Claims, Control, Figures
from backend.registries.protocol import Adapter, ControlTotal, Rejection
from backend.registries.reader import open_export

#: Every overlapping pair is listed up to this number; beyond it each further overlapping row is
#: listed once, with one of those it overlaps, so that no such row is missing.
MAX_PAIRS = 10_000
#: Rejected rows are listed up to this number and counted beyond it.
MOST_LISTED = 10_000
ALL_GOOD, SOME_BAD, NO_LAYOUT = 0, 1, 2


class Claiming(Protocol):
    """A row that claims serials."""

    @property
    def interval(self) -> Interval: ...
    @property
    def row(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two rows of one file that claim the same serials; `a` is the one that begins first."""

    a: Claiming
    b: Claiming

    @property
    def series(self) -> Series:
        return self.a.interval.series

    def as_json(self) -> dict[str, Any]:
        return {"series": str(self.series), "a": _place(self.a), "b": _place(self.b)}


def _place(row: Claiming) -> dict[str, int]:
    return {"row": row.row, "first": row.interval.first, "last": row.interval.last}


def overlaps_among(rows: Iterable[Claiming], limit: int = MAX_PAIRS) -> list[Overlap]:
    """Overlapping pairs, by series, serial and row: one sweep, n log n and the pairs found."""
    ordered = sorted(
        rows, key=lambda r: (r.interval.series, r.interval.first, r.interval.last, r.row)
    )
    found: list[Overlap] = []
    open_until: list[tuple[int, int]] = []  # (last, index in `ordered`) of what may still overlap
    series: Series | None = None
    furthest = 0
    for index, record in enumerate(ordered):
        interval: Interval = record.interval
        if interval.series != series:
            series, open_until = interval.series, []
        while open_until and open_until[0][0] < interval.first:
            heappop(open_until)
        if open_until:
            if len(found) < limit:
                others = sorted(other for _, other in open_until)[: limit - len(found)]
                found += [Overlap(ordered[other], record) for other in others]
            else:
                found.append(Overlap(ordered[furthest], record))
        if not open_until or interval.last > ordered[furthest].interval.last:
            furthest = index
        heappush(open_until, (interval.last, index))
    return found


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The figures of one file; tonnes are None where the layout cannot tell them.

    `blocks`, `volumes` and `projects` are the accepted rows by what they are; `kilograms` are
    those of blocks and volumes by status, exact also where tonnes are not whole (Isometric).

    `unmapped_labels`: label → accepted rows with it that the vocabulary does not map; those rows
    are imported but cannot be tokenized. `rejected` are at most MOST_LISTED of `rejections`.
    """

    file: str
    programme: str
    layout: str
    kind: Kind
    rows: int
    accepted: int
    rejected: tuple[Rejection, ...]
    issued_tonnes: int | None
    active_tonnes: int | None
    retired_tonnes: int | None
    cancelled_tonnes: int | None
    moved_tonnes: int | None
    blocks: int
    batches: int | None
    series: int
    overlaps: tuple[Overlap, ...]
    volumes: int = 0
    projects: int = 0
    kilograms: dict[str, int] = field(default_factory=dict)
    controls: tuple[Control, ...] = ()
    unmapped_labels: dict[str, int] = field(default_factory=dict)
    rejections: int = 0

    @property
    def exit_code(self) -> int:
        """0 all good, 1 some row rejected or overlapping, or a control sum not met."""
        missed = not all(control.agrees for control in self.controls)
        return SOME_BAD if self.rejections or self.overlaps or missed else ALL_GOOD


@dataclass(frozen=True, slots=True)
class LoadedExport:
    """An export read to its end: the figures and the accepted records in file order.

    `records` are blocks of serials; a layout gives one of the three.
    """

    summary: FileSummary
    records: tuple[BlockRecord, ...]
    volumes: tuple[VolumeRecord, ...] = ()
    projects: tuple[ProjectRecord, ...] = ()


def load(path: str | PathLike[str]) -> LoadedExport:
    """Read a whole export into memory; raises UnknownLayout, or InvalidValue (field `file`)."""
    records: list[BlockRecord] = []
    volumes: list[VolumeRecord] = []
    projects: list[ProjectRecord] = []

    def keep(row: Record) -> None:
        match row:
            case BlockRecord():
                records.append(row)
            case VolumeRecord():
                volumes.append(row)
            case ProjectRecord():
                projects.append(row)

    summary = _read(path, keep)
    return LoadedExport(summary, tuple(records), tuple(volumes), tuple(projects))


def summarise(path: str | PathLike[str]) -> FileSummary:
    """The figures of one export; raises UnknownLayout, or InvalidValue (field `file`).

    Keeps 24 bytes of a row, so that a large export needs no large memory.
    """
    return _read(path, lambda row: None)


def _read(path: str | PathLike[str], keep: Callable[[Record], None]) -> FileSummary:
    figures, claims = Figures(), Claims()
    rejected: list[Rejection] = []
    batches: set[int] = set()
    with open_export(path) as export:
        for row in export:
            figures.add(row)
            if isinstance(row, BlockRecord):
                claims.add(row)
                if row.batch is not None:
                    batches.add(row.batch)
            elif isinstance(row, Rejection) and len(rejected) < MOST_LISTED:
                rejected.append(row)
            if not isinstance(row, Rejection | ControlTotal):
                keep(row)
        adapter = export.adapter
    rivals = claims.rivals() if adapter.kind is Kind.PARTITION else ()
    return summary_of(
        fspath(path), adapter, figures, rejected, len(claims), len(batches), overlaps_among(rivals)
    )


def summary_of(
    file: str,
    adapter: Adapter,
    figures: Figures,
    rejected: Sequence[Rejection],
    series: int,
    batches: int,
    overlaps: Sequence[Overlap],
) -> FileSummary:
    """The figures of a whole file; `series` and `batches` count distinct ones."""
    tells = adapter.tells
    issued = adapter.kind in (Kind.PARTITION, Kind.ISSUANCE)
    gone = [status for status in (Status.RETIRED, Status.RETIRED_OR_CANCELLED) if status in tells]

    def tonnes(*statuses: Status) -> int | None:
        """The tonnes of these, None where the layout tells none of them or less than a tonne."""
        told = any(status in tells for status in statuses)
        return figures.tonnes_of(*statuses) if told else None

    return FileSummary(
        file=file,
        programme=adapter.programme,
        layout=adapter.layout,
        kind=adapter.kind,
        rows=figures.rows,
        accepted=figures.accepted,
        rejected=tuple(rejected),
        issued_tonnes=tonnes(*Status) if issued else None,
        active_tonnes=tonnes(Status.ACTIVE),
        retired_tonnes=tonnes(*gone),
        cancelled_tonnes=tonnes(Status.CANCELLED),
        moved_tonnes=tonnes(Status.MOVED),
        blocks=figures.blocks,
        batches=batches if batches or not figures.blocks else None,
        series=series,
        overlaps=tuple(overlaps),
        volumes=figures.volumes,
        projects=figures.projects,
        kilograms={status.value: figures.kilograms[status.value] for status in Status
                   if figures.kilograms[status.value]},
        controls=tuple(figures.controls.values()),
        unmapped_labels=dict(figures.unmapped),
        rejections=figures.rejected,
    )  # fmt: skip


def as_json(summary: FileSummary) -> dict[str, Any]:
    """The object that `causeway import FILE --dry-run --json` prints for a file."""
    return {
        "file": summary.file,
        "programme": summary.programme,
        "layout": summary.layout,
        "rows": summary.rows,
        "accepted": summary.accepted,
        "rejected": [rejection.as_json() for rejection in summary.rejected],
        "rejections": summary.rejections,
        "issued_tonnes": summary.issued_tonnes,
        "active_tonnes": summary.active_tonnes,
        "retired_tonnes": summary.retired_tonnes,
        "cancelled_tonnes": summary.cancelled_tonnes,
        "moved_tonnes": summary.moved_tonnes,
        "kilograms": summary.kilograms,
        "blocks": summary.blocks,
        "batches": summary.batches,
        "series": summary.series,
        "volumes": summary.volumes,
        "projects": summary.projects,
        "control_totals": [control.as_json() for control in summary.controls],
        "overlaps": [overlap.as_json() for overlap in summary.overlaps],
    }


def dry_run(path: str | PathLike[str]) -> tuple[dict[str, Any], int]:
    """The JSON object and the exit code of one file; never raises for what a file holds.

    A file without a known layout has the same keys, programme and layout null, nothing read, and
    `error` saying why.
    """
    try:
        summary = summarise(path)
    except RuleError as error:
        return unreadable(path, error)
    return as_json(summary), summary.exit_code


def unreadable(path: str | PathLike[str], error: RuleError) -> tuple[dict[str, Any], int]:
    """The JSON object and the exit code of a file that has no known layout."""
    nothing: dict[str, Any] = dict.fromkeys(_KEYS)
    nothing |= {"file": fspath(path), "rows": 0, "accepted": 0, "rejected": [], "rejections": 0}
    nothing |= {"blocks": 0, "series": 0, "volumes": 0, "projects": 0, "kilograms": {}}
    nothing |= {"control_totals": [], "overlaps": [], "error": error.message}
    return nothing, NO_LAYOUT


_KEYS = (
    "file", "programme", "layout", "rows", "accepted", "rejected", "rejections",
    "issued_tonnes", "active_tonnes", "retired_tonnes", "cancelled_tonnes", "moved_tonnes",
    "kilograms", "blocks",
    "batches", "series", "volumes", "projects", "control_totals", "overlaps",
)  # fmt: skip
