"""Every bad input on every layout gets what docs/bad-inputs.md says, and it counts them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.registries.layouts import ADAPTERS
from backend.registries.protocol import Adapter
from scripts import make_samples
from scripts.bad_inputs import DOCUMENT, ROLES, document, run
from tests.registries.exports import SAMPLES

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.layout)
def test_a_spoilt_file_gets_what_it_must(adapter: Adapter, tmp_path: Path) -> None:
    found = run(adapter, tmp_path)

    assert len(found) > 60
    assert [
        f"{case.subject}, {case.what}: {got}" for case, got in found if got != case.expect
    ] == []


def test_every_layout_has_roles_and_its_cases_are_counted_in_the_docs() -> None:
    assert set(ROLES) == {adapter.layout for adapter in ADAPTERS}
    for adapter in ADAPTERS:
        roles = ROLES[adapter.layout]
        named = {roles.quantity, roles.project, roles.serial, roles.status, *roles.bounds,
                 *roles.vintage, *roles.dates, *roles.amounts, *roles.free} - {""}  # fmt: skip
        assert named <= set(adapter.columns)
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_the_samples_are_what_their_script_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_samples, "SAMPLES", tmp_path)
    make_samples.main()

    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in SAMPLES.glob("*.csv")}
    for name, content in written.items():
        assert b"SAMPLE" in content or name.startswith(("sample-cdm-", "sample-cercarbono-iss"))
