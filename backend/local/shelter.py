"""Finds a place that `nobody` can reach when the checkout is closed to it (root's own home).

Postgres refuses root and so runs as `nobody`, which cannot pass a directory like /root. The data of
such a home live in `/var/lib/causeway/<home>` and the programs, copied once per installation, in
`/var/lib/causeway/programs-<installation>`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from backend.errors import LocalError
from backend.local import binaries
from backend.local.processes import User

_SHELTERS = Path("/var/lib/causeway")


def can_reach(path: Path, user: User) -> bool:
    """True when `user` may enter every directory from the root to `path` (mode bits)."""
    resolved = path.resolve()
    for directory in (resolved, *resolved.parents):
        if not directory.exists():
            continue
        status = directory.stat()
        if status.st_uid == user.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == user.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


def place_for(home: Path) -> Path:
    """Directory in the shelter that belongs to a home, made when absent."""
    return _make(_SHELTERS / _label(home))


def programs_for(user: User | None) -> Path:
    """Installation of Postgres that `user` can run: the wheel's own or its copy in the shelter."""
    install = binaries.postgres_install()
    if user is None or can_reach(install / "bin", user):
        return install
    package = install.parent
    copy = _copy_of(install)
    if not copy.exists():
        # Copied under another name first: a killed or concurrent start never shows half a copy.
        partial = Path(tempfile.mkdtemp(dir=_make(_SHELTERS), prefix=".partial-"))
        partial.chmod(0o711)
        # The programs look for their libraries beside the package: keep the arrangement.
        shutil.copytree(install, partial / package.name / install.name)
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name)
        try:
            partial.rename(copy)
        except OSError:
            shutil.rmtree(partial)
    return copy / package.name / install.name


def remove_programs() -> None:
    """Remove this installation's copy; `make clean` does it before it removes the installation."""
    shutil.rmtree(_copy_of(binaries.postgres_install()), ignore_errors=True)


def _copy_of(install: Path) -> Path:
    # The time of making tells a new installation from an older one at the same path.
    return _SHELTERS / f"programs-{_label(install, install.stat().st_mtime_ns)}"


def _label(path: Path, made: int = 0) -> str:
    return hashlib.sha256(b"%d %s" % (made, os.fsencode(path.resolve()))).hexdigest()[:12]


def _make(directory: Path) -> Path:
    try:
        for part in (_SHELTERS, directory):
            part.mkdir(parents=True, exist_ok=True)
            part.chmod(0o711)
    except OSError as error:
        raise LocalError(
            f"Postgres cannot run as root, its user nobody cannot enter this checkout, and "
            f"{directory} cannot be made: {error}",
            path=str(directory),
        ) from error
    return directory
