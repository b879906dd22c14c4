"""The ledger out to the CAD Trust model, and an upload in: checked, compared, the rest imported.

An upload is somebody's word about a registry, not the registry's export: what the ledger knows is
only compared with it. What it does not know comes in only when that is asked for, and as `issued`,
which never becomes tokens; a later export that cuts it otherwise is then a contradiction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.domain.credits import BlockRecord, Status
from backend.domain.serials import Series
from backend.registries import labels
from backend.registries.cad_trust import LeftOut, dataset_of, pieces_of
from backend.registries.cad_trust_check import Fault, check
from backend.registries.cad_trust_files import read
from backend.registries.cad_trust_model import Dataset, Version
from backend.registries.cad_trust_reading import records_of
from backend.registries.merge import plan_merge
from backend.store.block_rows import Labels, read_records
from backend.store.database import Connection, Database
from backend.store.holdings import touching
from backend.store.imports import Batch, ExportFile, Staged, save_import
from backend.store.queries.registry import series_names

PROGRAMME = "CADTRUST"
_BATCH = 10_000


def export(
    database: Database, version: Version, programme: str | None, project: str | None
) -> tuple[Dataset, list[LeftOut]]:
    """What the ledger holds as one upload, and what the model cannot hold of it."""
    with database.read() as connection:
        names = {number: Series.parse(name) for number, name in series_names(connection).items()}
        found = read_records(
            connection,
            names,
            "(%s::text IS NULL OR programme = %s) AND (%s::text IS NULL OR project = %s)",
            [programme, programme, project, project],
        )
        records = [record for _, record in found]
    return dataset_of(version, pieces_of(records))


@dataclass(frozen=True, slots=True)
class Difference:
    """A unit of an upload about serials that the ledger knows otherwise."""

    row: int
    serials: str
    field: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What an upload brought; faults leave their unit out. `import_id` None: nothing came in."""

    version: str
    units: int
    faults: tuple[Fault, ...]
    agree: int
    differences: tuple[Difference, ...]
    new: int
    import_id: int | None


def take_in(
    database: Database, path: Path, version: Version | None, accept_new: bool = False
) -> Taken:
    """Read, check, compare; import what is new if asked. The same upload again changes nothing."""
    data = read(path, version)
    faults = check(data)
    records, more = records_of(data)
    bad = {fault.row for fault in faults if fault.entity == "unit"}
    fresh: list[BlockRecord] = []
    differences: list[Difference] = []
    agree = 0
    with database.read() as connection:
        for record in records:
            if record.row in bad:
                continue
            known = list(_compare(connection, record))
            if not known:
                fresh.append(record)
            found = [one for one in known if one is not None]
            differences += found
            agree += bool(known) and not found
    import_id = _store(database, path, data.version, fresh) if accept_new else None
    return Taken(
        data.version.value,
        len(data.rows("unit")),
        (*faults, *(fault for fault in more if fault.row not in bad)),
        agree,
        tuple(differences),
        len(fresh),
        import_id,
    )


def _compare(connection: Connection, record: BlockRecord) -> Iterator[Difference | None]:
    """One None per stored row that agrees; nothing when no stored row shares a serial."""
    for row in touching(connection, record.interval):
        said = {
            "programme": (row.programme, record.programme),
            "project": (row.project, record.project),
            "vintage_start": (row.vintage_start, record.vintage_start),
            "vintage_end": (row.vintage_end, record.vintage_end),
            "gone": (Status(row.status).is_final, record.status.is_final),
        }
        if row.kind == "issuance" or row.status == Status.ISSUED:
            del said["gone"]  # an issuance stands, whatever became of its credits
        other = [(name, ours, theirs) for name, (ours, theirs) in said.items() if ours != theirs]
        for name, ours, theirs in other:
            yield Difference(record.row, str(record.interval), name, str(ours), str(theirs))
        if not other:
            yield None


def _store(
    database: Database, path: Path, version: Version, records: Sequence[BlockRecord]
) -> int | None:
    if not records:
        return None
    held = [
        replace(one, status=Status.ISSUED) if one.status is Status.ACTIVE else one
        for one in records
    ]
    content = "\n".join(sorted(repr(one) for one in held))
    sha256 = hashlib.sha256(content.encode()).hexdigest()

    def batches(after: int, kept: Mapping[str, Any]) -> Iterator[Batch]:
        numbered = [replace(one, row=at) for at, one in enumerate(held, 1)]
        for start in range(after, len(numbered), _BATCH):
            part = numbered[start : start + _BATCH]
            yield Batch(start + len(part), part)

    def describe(kept: Mapping[str, Any], staged: Staged) -> Mapping[str, Any]:
        return {"file": path.name, "rows": len(held), "rejected": [], "good": True}

    file = ExportFile(path.name, sha256, PROGRAMME, f"cad-trust-{version}", batches, describe)
    vocabulary = Labels(str(labels.VERSION), labels.cohort_of)
    return save_import(database, file, plan_merge, vocabulary).import_id
