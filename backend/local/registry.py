"""A registry to talk to on this machine: where it listens, and the custody file that says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from backend.local.chain_state import write_atomically
from backend.local.plan import Service, command
from backend.registries.custody_file import sample_text

#: The programme whose registry the simulator plays; the sample exports are its.
PROGRAMME = "VCS"
#: What the local deployment promises of it: an hour, for a simulator that answers in seconds.
SERVICE_HOURS = 1


@dataclass(frozen=True)
class LocalRegistry:
    """The simulated registry of a home, listening on a port of 127.0.0.1."""

    home: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def book(self) -> Path:
        return self.home / "registry" / f"{PROGRAMME}.sqlite"

    @property
    def custody_file(self) -> Path:
        return self.home / "custody.json"

    def service(self) -> Service:
        """The simulator as a process of the supervisor's."""
        words = ("--programme", PROGRAMME, "--book", str(self.book), "--port", str(self.port))
        return Service("registry", command("registry-simulator", *words), port=self.port)

    def write_custody(self) -> None:
        """The sample custody file with this registry's address in it."""
        self.book.parent.mkdir(parents=True, exist_ok=True)
        document = json.loads(sample_text())
        for link in document["registries"]:
            if link["programme"] == PROGRAMME:
                link |= {"channel": "http", "url": self.url, "service_hours": SERVICE_HOURS}
        # Commands read it at any moment, also while a start writes it anew.
        write_atomically(self.custody_file, json.dumps(document, indent=2).encode() + b"\n", 0o644)
