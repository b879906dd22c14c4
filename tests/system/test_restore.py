"""The restore of docs/production.md on a running system: dump, restore, rebuild, check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from backend.local import binaries
from tests.system.conftest import ROOT, Commands

pytestmark = pytest.mark.system


def rows(url: str) -> dict[str, int]:
    """Rows of every table."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        counted = {}
        for (name,) in names:
            found = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
            assert found is not None
            counted[name] = found[0]
        return counted


def test_a_dump_is_restored_rebuilt_from_the_chain_and_checked(
    causeway: Commands, demo: dict[str, Any], tmp_path: Path
) -> None:
    settings, programs = causeway.settings, binaries.postgres_install() / "bin"
    url, dump = settings.require_database_url(), tmp_path / "causeway.dump"
    words = [programs / "pg_dump", "--format=custom", "--dbname", url, "--file", dump]
    subprocess.run(words, check=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE restored")
        name = connection.info.dbname
    restored = url.replace(f"/{name}", "/restored", 1)
    assert restored != url
    try:
        words = [programs / "pg_restore", "--exit-on-error", "--dbname", restored, dump]
        subprocess.run(words, check=True)
        before = rows(restored)
        environment = causeway.system.environment | {
            "CAUSEWAY_DATABASE_URL": restored,
            "CAUSEWAY_CHAIN_URL": settings.require_chain_url(),
            "CAUSEWAY_DEPLOYMENT": str(settings.deployment_file),
        }
        for step in (("db", "migrate"), ("index", "rebuild"), ("index", "check")):
            done = subprocess.run(
                [sys.executable, "-m", "backend.cli", *step],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}"
        after = rows(restored)
        gone = {name: (count, after[name]) for name, count in before.items() if after[name] < count}
        assert gone == {}, "nothing is less than in the dump"
        assert after["certificates"] > 0
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
