"""Runs the NATS server that carries commands and market data on one machine."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from pathlib import Path

from backend.local import binaries
from backend.local.processes import Child, free_port, spawn, wait_until


class Nats:
    """One server with a token; the configuration holds it because command lines are public."""

    name: str = "nats"
    #: Sent when the supervisor dies.
    death_signal: int = signal.SIGKILL

    def __init__(
        self, home: Path, *, log: Path, port: int | None = None, token: str | None = None
    ) -> None:
        self.home = home.resolve()
        self.log = log
        self.port = port or free_port()
        self.token = token or secrets.token_urlsafe(24)
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """`nats://token@host:port`, as nats-py takes it."""
        return f"nats://{self.token}@127.0.0.1:{self.port}"

    def start(self, seconds: float = 15.0) -> Child:
        """Start the server and wait until it greets a connection."""
        configuration = self.home / "nats.conf"
        self.home.mkdir(parents=True, exist_ok=True)
        configuration.unlink(missing_ok=True)
        descriptor = os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(
                f'host: "127.0.0.1"\nport: {self.port}\n'
                f'authorization {{ token: "{self.token}" }}\nmax_payload: 4194304\n'
            )
        self.child = spawn(
            "nats", [str(binaries.nats_server()), "-c", str(configuration)], log=self.log
        )
        wait_until(self.healthy, self.child, seconds=seconds, log=self.log, what="NATS")
        return self.child

    def stop(self) -> None:
        """End the server."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    def healthy(self) -> bool:
        """True when the server sends its INFO line."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False
