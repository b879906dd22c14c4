"""What an export holds, in figures: rows, tonnes, rejections, overlaps (`import --dry-run`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from heapq import heappop, heappush
from os import PathLike, fspath
from typing import Any

from backend.domain.credits import (
    BlockRecord,
    Kind,
    ProjectRecord,
    Status,
    VolumeRecord,
)
from backend.domain.serials import Interval, Series
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import RuleError, UnmappedLabel
from backend.registries.labels import cohort_of
from backend.registries.protocol import Adapter, ControlTotal, Rejection
from backend.registries.reader import open_export

#: Every overlapping pair is listed up to this number; beyond it each further overlapping row is
#: listed once, with one of those it overlaps, so that no such row is missing.
MAX_PAIRS = 10_000
ALL_GOOD, SOME_BAD, NO_LAYOUT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two rows of one file that claim the same serials; `a` is the one that begins first."""

    a: BlockRecord
    b: BlockRecord

    @property
    def series(self) -> Series:
        return self.a.interval.series

    def as_json(self) -> dict[str, Any]:
        return {"series": str(self.series), "a": _place(self.a), "b": _place(self.b)}


def _place(record: BlockRecord) -> dict[str, int]:
    return {"row": record.row, "first": record.interval.first, "last": record.interval.last}


def overlaps_among(records: Iterable[BlockRecord], limit: int = MAX_PAIRS) -> list[Overlap]:
    """Overlapping pairs, by series, serial and row: one sweep, n log n and the pairs found."""
    ordered = sorted(
        records, key=lambda r: (r.interval.series, r.interval.first, r.interval.last, r.row)
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
class Control:
    """A control sum of the file beside the tonnes of the accepted rows above it."""

    line: int
    stated: int
    counted: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"agrees": self.stated == self.counted}


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The figures of one file; tonnes are None where the layout cannot tell them.

    `blocks`, `volumes` and `projects` are the accepted rows by what they are; `kilograms` are
    those of blocks and volumes by status, exact also where tonnes are not whole (Isometric).

    `unmapped_labels`: label → accepted rows with it that the vocabulary does not map; those rows
    are imported but cannot be tokenized.
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

    @property
    def exit_code(self) -> int:
        """0 all good, 1 some row rejected or overlapping, or a control sum not met."""
        missed = any(control.stated != control.counted for control in self.controls)
        return SOME_BAD if self.rejected or self.overlaps or missed else ALL_GOOD


@dataclass(frozen=True, slots=True)
class LoadedExport:
    """An export read to its end: the figures and the accepted records in file order.

    `records` are blocks of serials; a layout gives one of the three.
    """

    summary: FileSummary
    records: tuple[BlockRecord, ...]
    volumes: tuple[VolumeRecord, ...] = ()
    projects: tuple[ProjectRecord, ...] = ()


def load(path: str | PathLike[str], progress: Callable[[int], None] | None = None) -> LoadedExport:
    """Read a whole export; raises UnknownLayout, or InvalidValue (field `file`).

    `progress` is called with the number of rows read, every 10,000 rows.
    """
    records: list[BlockRecord] = []
    volumes: list[VolumeRecord] = []
    projects: list[ProjectRecord] = []
    rejected: list[Rejection] = []
    controls: list[Control] = []
    tonnes = 0
    with open_export(path) as export:
        for number, row in enumerate(export, 1):
            match row:
                case Rejection():
                    rejected.append(row)
                case BlockRecord():
                    records.append(row)
                    tonnes += row.tonnes
                case ControlTotal():
                    controls.append(Control(row.line, row.stated, tonnes))
                case VolumeRecord():
                    volumes.append(row)
                case ProjectRecord():
                    projects.append(row)
            if progress and number % 10_000 == 0:
                progress(number)
        adapter = export.adapter
    return LoadedExport(
        _summary(fspath(path), adapter, records, volumes, len(projects), rejected, controls),
        tuple(records),
        tuple(volumes),
        tuple(projects),
    )


def summarise(path: str | PathLike[str]) -> FileSummary:
    """The figures of one export; raises UnknownLayout, or InvalidValue (field `file`)."""
    return load(path).summary


def _summary(
    file: str,
    adapter: Adapter,
    records: list[BlockRecord],
    volumes: list[VolumeRecord],
    projects: int,
    rejected: list[Rejection],
    controls: list[Control],
) -> FileSummary:
    kilograms = Counter[Status]()
    unmapped = Counter[str]()
    for record in records:
        kilograms[record.status] += record.tonnes * KILOGRAMS_PER_TONNE
    for volume in volumes:
        kilograms[volume.status] += volume.kilograms
    labelled: list[BlockRecord | VolumeRecord] = [*records, *volumes]
    for one in labelled:
        unmapped.update(_unmapped(one))
    batches = {record.batch for record in records if record.batch is not None}
    tells = adapter.tells
    issued = adapter.kind in (Kind.PARTITION, Kind.ISSUANCE)
    gone = [status for status in (Status.RETIRED, Status.RETIRED_OR_CANCELLED) if status in tells]

    def tonnes(*statuses: Status) -> int | None:
        """The tonnes of these, None where the layout tells none of them or less than a tonne."""
        whole, rest = divmod(sum(kilograms[status] for status in statuses), KILOGRAMS_PER_TONNE)
        return whole if any(status in tells for status in statuses) and not rest else None

    return FileSummary(
        file=file,
        programme=adapter.programme,
        layout=adapter.layout,
        kind=adapter.kind,
        rows=len(records) + len(volumes) + projects + len(rejected),
        accepted=len(records) + len(volumes) + projects,
        rejected=tuple(rejected),
        issued_tonnes=tonnes(*Status) if issued else None,
        active_tonnes=tonnes(Status.ACTIVE),
        retired_tonnes=tonnes(*gone),
        cancelled_tonnes=tonnes(Status.CANCELLED),
        moved_tonnes=tonnes(Status.MOVED),
        blocks=len(records),
        batches=len(batches) if batches or not records else None,
        series=len({record.interval.series for record in records}),
        overlaps=tuple(overlaps_among(records)) if adapter.kind is Kind.PARTITION else (),
        volumes=len(volumes),
        projects=projects,
        kilograms={status.value: kilograms[status] for status in Status if kilograms[status]},
        controls=tuple(controls),
        unmapped_labels=dict(unmapped),
    )


def _unmapped(record: BlockRecord | VolumeRecord) -> list[str]:
    try:
        cohort_of(record.programme, record.labels)
    except UnmappedLabel as error:
        labels: list[str] = error.values["labels"]
        return labels
    return []


def as_json(summary: FileSummary) -> dict[str, Any]:
    """The object that `causeway import FILE --dry-run --json` prints for a file."""
    return {
        "file": summary.file,
        "programme": summary.programme,
        "layout": summary.layout,
        "rows": summary.rows,
        "accepted": summary.accepted,
        "rejected": [rejection.as_json() for rejection in summary.rejected],
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
        nothing: dict[str, Any] = dict.fromkeys(_KEYS)
        nothing |= {"file": fspath(path), "rows": 0, "accepted": 0, "rejected": []}
        nothing |= {"blocks": 0, "series": 0, "volumes": 0, "projects": 0, "kilograms": {}}
        nothing |= {"control_totals": [], "overlaps": [], "error": error.message}
        return nothing, NO_LAYOUT
    return as_json(summary), summary.exit_code


_KEYS = (
    "file", "programme", "layout", "rows", "accepted", "rejected", "issued_tonnes",
    "active_tonnes", "retired_tonnes", "cancelled_tonnes", "moved_tonnes", "kilograms", "blocks",
    "batches", "series", "volumes", "projects", "control_totals", "overlaps",
)  # fmt: skip
