"""Where the settings come from, and what wrong ones say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.errors import InvalidValue, LocalError
from backend.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CAUSEWAY_{name.upper()}", raising=False)
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path))
    return tmp_path


def _record(home: Path, **fields: object) -> None:
    (home / "run.json").write_text(json.dumps({"settings": fields}))


def test_the_run_file_fills_what_the_environment_leaves_open(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record(home, database_url="postgresql://local/x", chain_url="http://127.0.0.1:1", api_port=9)
    monkeypatch.setenv("CAUSEWAY_CHAIN_URL", "http://elsewhere:8545")
    settings = Settings.load()
    assert settings.database_url == "postgresql://local/x"
    assert settings.chain_url == "http://elsewhere:8545"
    assert settings.api_port == 9


def test_the_supervisor_does_not_take_endpoints_of_an_earlier_run(home: Path) -> None:
    _record(home, database_url="postgresql://local/x")
    assert Settings.from_environment().database_url is None


def test_a_missing_endpoint_says_how_to_get_one() -> None:
    with pytest.raises(LocalError, match=r"causeway up.*CAUSEWAY_CHAIN_URL"):
        Settings.load().require_chain_url()


def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUSEWAY_API_PORT", "70000")
    with pytest.raises(InvalidValue, match=r"CAUSEWAY_API_PORT.*70000"):
        Settings.load()


def test_a_damaged_run_file_is_named(home: Path) -> None:
    (home / "run.json").write_text('{"settings"')
    with pytest.raises(LocalError, match=r"run\.json is not a run file"):
        Settings.load()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().api_port = 1


def test_the_deployment_file_is_named_after_the_chain(home: Path) -> None:
    assert Settings.load(chain_id=7).deployment_file == home / "deployments" / "7.json"
