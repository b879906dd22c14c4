"""What `make` does before anything is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import bootstrap

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_another_python_is_refused_with_the_way_out(version: tuple[int, int]) -> None:
    with pytest.raises(SystemExit, match=r"needs Python 3\.11.*make PYTHON="):
        bootstrap.check_version(version)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_the_supported_pythons_are_taken(version: tuple[int, int]) -> None:
    bootstrap.check_version(version)


def test_an_installation_is_repeated_only_when_a_lock_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    lock, stamp = tmp_path / "requirements.lock", tmp_path / "installed.sha256"
    installed: list[str] = []

    def bring() -> bool:
        return bootstrap.bring_up_to_date(
            stamp, [lock.name], lambda: installed.append(lock.read_text())
        )

    lock.write_text("one")
    assert [bring(), bring()] == [True, False]
    lock.write_text("two")
    assert [bring(), bring()] == [True, False]
    assert installed == ["one", "two"]


def test_an_interrupted_installation_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    (tmp_path / "lock").write_text("one")

    def break_off() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bootstrap.bring_up_to_date(tmp_path / "stamp", ["lock"], break_off)
    assert bootstrap.bring_up_to_date(tmp_path / "stamp", ["lock"], lambda: None)
