"""Moves the data of an earlier deployment out of the way, whole and never deleted."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

#: What belongs to the supervisor and not to the data of a deployment.
_STAYS = frozenset({"lock", "run.json", "logs", "set-aside", "nats.conf"})


def set_aside(home: Path, deployment_file: Path) -> Path | None:
    """Move everything the home holds to `<home>/set-aside/<UTC time>-<deployment>/`.

    The database, its password, the chain's states and the deployment files are of no use without
    each other, so they move together. Returns the new place, None when there was nothing.
    """
    found = sorted(path for path in home.iterdir() if path.name not in _STAYS)
    if not found:
        return None
    try:
        label = hashlib.sha256(deployment_file.read_bytes()).hexdigest()[:8]
    except OSError:
        label = "undeployed"
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    place = home / "set-aside" / f"{moment}-{label}"
    place.mkdir(parents=True, exist_ok=False)
    for path in found:
        if path.is_symlink():
            # Postgres in its shelter: moved beside, since its user cannot enter the home.
            data = path.resolve()
            moved = data.with_name(f"{data.name}-{moment}-{label}")
            data.rename(moved)
            (place / path.name).symlink_to(moved)
            path.unlink()
        else:
            shutil.move(path, place / path.name)
    return place
