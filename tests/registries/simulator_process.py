"""The simulated registry as the process it is, for tests that talk to it and kill it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from backend.local.processes import free_port
from backend.registries.clients.http import HttpRegistryClient

ADMIN = "admin-of-the-test"
TOKEN = "holder-of-the-test"


class SimulatorProcess:
    """`causeway registry-simulator` on a free port with a book of its own."""

    def __init__(self, directory: Path, programme: str = "VCS", admin_token: str = ADMIN) -> None:
        self.programme = programme
        self._admin_token = admin_token
        self.book = directory / f"{programme}.sqlite"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / f"{programme}.log"
        headers = {"Authorization": f"Bearer {admin_token}"} if admin_token else {}
        self._admin = httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def start(self) -> None:
        """Start it, again after a kill, and wait until it answers."""
        words = ("registry-simulator", "--programme", self.programme, "--book", str(self.book))
        tokens = ("--port", str(self.port), "--token", TOKEN, "--admin-token", self._admin_token)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", *words, *tokens], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()
            try:
                self._admin.get("/v1/health")
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"no answer after 120 s: {self._log.read_text()}")

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, as a supervisor stops it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=60)
        self._admin.close()

    def client(self, timeout_seconds: float = 10.0) -> HttpRegistryClient:
        return HttpRegistryClient(self.programme, self.url, TOKEN, timeout_seconds)

    # ── the administrator ────────────────────────────────────────────────────────────────────

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of /admin that must work; its document."""
        answer = self._admin.request(method, f"/admin/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def open_account(self, account: str, *sub_accounts: str, **more: Any) -> None:
        body = {"account": account, "holder": f"Sample holder {account}"}
        self.admin("POST", "accounts", body | {"sub_accounts": list(sub_accounts)} | more)

    def issue(self, serials: str, account: str, sub_account: str = "", **more: Any) -> None:
        described = {
            "serials": serials,
            "account": account,
            "sub_account": sub_account,
            "project": "900001",
            "vintage_start": "2023-01-01",
            "vintage_end": "2023-12-31",
        }
        self.admin("POST", "issuances", described | more)

    def faults(self, **rates: Any) -> None:
        """Exactly these; none when called without."""
        self.admin("PUT", "faults", rates)

    def answer_transfer(self, registry_reference: str, verb: str) -> httpx.Response:
        """`accept` or `reject`, as the recipient."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        path = f"/v1/transfers/{registry_reference}/{verb}"
        return self._admin.post(path, headers=headers, json={"reason": "not ordered"})
