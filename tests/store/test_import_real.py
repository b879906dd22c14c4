"""The real exports of every registry through the whole import, into one database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from backend.bridge.imports import import_export
from backend.store.database import Database
from backend.store.queries.registry import list_blocks
from tests.shared_data import requires_shared_data, shared_data_directory

pytestmark = [pytest.mark.integration, requires_shared_data]


def numbers(database: Database, query: str) -> tuple[Any, ...]:
    with database.read() as connection:
        return tuple(connection.execute(text(query)).one())


_COUNTS = (
    "SELECT (SELECT count(*) FROM registry_blocks), (SELECT count(*) FROM registry_volumes),"
    " (SELECT count(*) FROM registry_projects), (SELECT count(*) FROM contradictions)"
)


@pytest.fixture(scope="module")
def imported(module_database: Database) -> dict[Path, dict[str, Any]]:
    """Every real export, imported in the order of their names: file → what the import said."""
    data = shared_data_directory()
    paths = sorted(p for p in data.rglob("*") if p.suffix in (".csv", ".xlsx"))
    found = {}
    for path in paths:
        document, code = import_export(module_database, path, lambda said: None)
        found[path] = document | {"code": code}
    return found


def test_every_real_export_is_imported_whole_without_contradiction(
    module_database: Database, imported: dict[Path, dict[str, Any]]
) -> None:
    for path, document in imported.items():
        assert (document["code"], document["changes"]["new"]) == (0, document["rows"]), path

    held = numbers(module_database, _COUNTS)
    assert sum(held[:3]) == sum(document["rows"] for document in imported.values())
    assert held[3] == 0


def test_l10_the_same_exports_again_and_others_that_say_the_same_change_nothing(
    module_database: Database, imported: dict[Path, dict[str, Any]], tmp_path: Path
) -> None:
    before = numbers(module_database, _COUNTS)
    for path in imported:
        again, code = import_export(module_database, path, lambda said: None)
        assert (code, again["known"]) == (0, True), path
        if path.suffix == ".csv":
            copy = tmp_path / f"{path.parent.name}-{path.name}"
            copy.write_bytes(path.read_bytes() + b"\n")
            other, code = import_export(module_database, copy, lambda said: None)
            assert (code, other["changes"]["unchanged"]) == (0, other["rows"]), path

    assert numbers(module_database, _COUNTS) == before
    assert numbers(module_database, "SELECT count(*) FROM registry_block_history") == (0,)
    assert numbers(module_database, "SELECT count(*) FROM registry_entry_history") == (0,)


def test_the_cdms_ledger_is_stored_without_overlap_or_gap_and_cannot_be_tokenized(
    module_database: Database, imported: dict[Path, dict[str, Any]]
) -> None:
    said = {path.stem: document for path, document in imported.items()}
    issued, cancelled = said["CDM_Issuance_2023-08"], said["CDM_VoluntaryCancellation_2023-08"]

    assert (issued["blocks"], issued["series"]) == (12_513, 82)
    assert (cancelled["blocks"], cancelled["contradictions_count"]) == (26_579, 0)
    assert cancelled["control_totals"][0]["agrees"]
    gapless = """
        SELECT count(*), sum(upper(united) - lower(united)) FROM (
            SELECT unnest(range_agg(block)) AS united FROM registry_blocks
             WHERE kind = 'issuance' AND programme = 'CDM' GROUP BY series_id) whole
         WHERE lower(united) = 1
    """
    assert numbers(module_database, gapless) == (82, 2_416_896_868)
    inside = """
        SELECT count(*) FROM registry_blocks c CROSS JOIN LATERAL (
            SELECT i.block, i.project FROM registry_blocks i WHERE i.series_id = c.series_id
               AND i.kind = 'issuance' AND i.programme = 'CDM' AND lower(i.block) <= lower(c.block)
             ORDER BY lower(i.block) DESC LIMIT 1) i
         WHERE c.kind = 'retirement' AND c.programme = 'CDM' AND i.block @> c.block
           AND i.project = c.project
    """
    assert numbers(module_database, inside) == (26_579,)
    with module_database.read() as connection:
        [row] = list_blocks(connection, programme="CDM", limit=1).items
    assert row.vintage_start is None
    assert not row.tokenizable
    assert "the export does not give the vintage" in row.reasons
