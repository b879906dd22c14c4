"""Every sample into one ledger: nothing contradicts; each block says if it can be tokens."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, update

from backend.bridge.imports import import_export
from backend.bridge.relabelling import relabel
from backend.domain.serials import SERIES_RULES
from backend.registries.layouts import ADAPTERS
from backend.store import tables
from backend.store.database import Database
from backend.store.queries.registry import list_blocks
from tests.registries.exports import BY_LAYOUT, SAMPLES

pytestmark = pytest.mark.integration


def test_every_sample_is_imported_and_what_can_be_tokens_is_live_and_on_chain(
    database: Database,
) -> None:
    for adapter in ADAPTERS:
        document, code = import_export(
            database, SAMPLES / BY_LAYOUT[adapter.layout], lambda text: None
        )
        assert (code, document["contradictions"]) == (0, [])
        # The second list of Verra's projects is about the same ones.
        again = adapter.layout == "verra-projects-2026"
        assert document["changes"]["updated" if again else "new"] == document["rows"]
    with database.read() as connection:
        live = list_blocks(connection, tokenizable=True, limit=500).items
        held = list_blocks(connection, status="active", limit=500).items
    assert {block.programme for block in live} == set(SERIES_RULES) - {"CDM"}
    barred = [block for block in held if not block.tokenizable]
    assert {block.programme for block in barred} == {"PURO", "CCER", "PHCER"}
    for block in barred:
        assert block.reasons == (f"serials of {block.programme} are kept in the ledger only",)


def test_a_newer_vocabulary_maps_what_an_older_one_did_not_know(database: Database) -> None:
    import_export(database, SAMPLES / "sample-acr-holdings.csv", lambda text: None)
    blocks = tables.registry_blocks
    mapped = select(func.count()).where(blocks.c.cohort == ["ccp"])
    with database.begin() as connection:
        before = connection.execute(mapped).scalar_one()
        connection.execute(
            update(blocks).values(vocabulary="1", cohort=None, unmapped=blocks.c.labels)
        )
        assert connection.execute(mapped).scalar_one() == 0

    assert relabel(database) == before == 3
    assert relabel(database) == 0
    with database.read() as connection:
        assert connection.execute(mapped).scalar_one() == 3
