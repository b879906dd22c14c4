"""CAD Trust against the ledger: what goes out comes back as known, what differs is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from backend.bridge.cad_trust import export, take_in
from backend.domain.credits import Kind, Status
from backend.registries.cad_trust import dataset_of
from backend.registries.cad_trust_check import check
from backend.registries.cad_trust_files import write_json
from backend.registries.cad_trust_model import Version
from backend.store.database import Database
from backend.store.queries.registry import list_blocks
from tests.store.rows import gold, row, save

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("version", list(Version))
def test_the_ledger_goes_out_and_comes_back_as_known(
    database: Database, tmp_path: Path, version: Version
) -> None:
    active = row(1, 100, batch=7)
    retired = row(101, 150, Status.RETIRED_OR_CANCELLED, batch=7, labels=("ICVCM CCP",))
    save(database, [active, retired], "verra")
    issued, gone = gold(1, 50, Kind.ISSUANCE), gold(11, 20, Kind.RETIREMENT)
    save(database, [issued], "issued")
    save(database, [gone], "gone")
    data, left_out = export(database, version, None, None)
    assert left_out == []
    assert check(data) == []
    assert len(data.rows("unit")) == 5

    path = tmp_path / "upload.json"
    write_json(data, path)
    found = take_in(database, path, None, accept_new=True)
    assert (found.units, found.agree, found.new, found.import_id) == (5, 5, 0, None)
    assert (found.faults, found.differences) == ((), ())

    one, _ = export(database, version, "GS", "11603")
    assert len(one.rows("unit")) == 3


def test_what_an_upload_says_otherwise_is_said_and_changes_nothing(
    database: Database, tmp_path: Path
) -> None:
    save(database, [row(1, 100)], "verra")
    data, _ = dataset_of(Version.V2, [row(1, 100, Status.RETIRED, vintage_end=date(2021, 12, 31))])
    path = tmp_path / "upload.json"
    write_json(data, path)
    found = take_in(database, path, None, accept_new=True)
    said = {(one.field, one.ours, one.theirs) for one in found.differences}
    assert said == {("vintage_end", "2020-12-31", "2021-12-31"), ("gone", "False", "True")}
    assert (found.agree, found.new) == (0, 0)
    with database.read() as connection:
        (held,) = list_blocks(connection).items
    assert (held.status, held.vintage_end) == ("active", date(2020, 12, 31))


def test_what_is_new_comes_in_only_when_asked_and_never_becomes_tokens(
    database: Database, tmp_path: Path
) -> None:
    data, _ = dataset_of(Version.V1, [row(1, 100), row(101, 150, Status.RETIRED)])
    data.rows("unit").append({**data.rows("unit")[0], "unitBlockStart": "VCS:2/100"})
    path = tmp_path / "upload.json"
    write_json(data, path)
    looked = take_in(database, path, None)
    assert (looked.new, looked.import_id) == (2, None)
    # The third shares a serial with the first and has another count than its block.
    assert {fault.code for fault in looked.faults} == {"count", "overlap"}
    with database.read() as connection:
        assert list_blocks(connection).items == ()

    found = take_in(database, path, None, accept_new=True)
    assert found.import_id is not None
    again = take_in(database, path, None, accept_new=True)
    assert (again.agree, again.new, again.import_id) == (2, 0, None)
    with database.read() as connection:
        held = list_blocks(connection).items
    assert sorted(one.status for one in held) == ["issued", "retired"]
    assert not any(one.tokenizable for one in held)
    assert replace(held[0], id=0).programme == "VCS"
