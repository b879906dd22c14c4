"""A signing service for tests: its own process, or a thread of this one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backend.chain.keys import LocalKey
from backend.chain.keystore import EncryptedKeys
from backend.chain.remote_keys import RemoteKeys, SigningService
from backend.signer.policy import Gate, Policy
from backend.signer.server import SigningServer

TOKEN, PASSPHRASE = "a token of the worker", "correct horse"
#: A second of scrypt for each key would be most of the tests' time.
WORK_FACTOR = 1 << 10


def policy(keys: Mapping[str, Mapping[str, Any]], **client: Any) -> dict[str, Any]:
    """A policy with one client, `worker`."""
    hashed = hashlib.sha256(TOKEN.encode()).hexdigest()
    return {"clients": {"worker": {"token_sha256": hashed, "keys": dict(keys), **client}}}


@contextlib.contextmanager
def in_thread(keys: list[LocalKey], rules: dict[str, Any]) -> Iterator[str]:
    """Serve these keys; the URL for `SigningService`."""
    with tempfile.TemporaryDirectory(prefix="signer-") as directory:
        path = Path(directory) / "s"
        gate = Gate(Policy.model_validate(rules))
        server = SigningServer(path, {key.name: key for key in keys}, gate)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"unix:{path}"
        finally:
            server.shutdown()
            server.server_close()


@contextlib.contextmanager
def as_process(names: list[str], grants: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """`causeway signer run` with new keys of these names; its URL."""
    with tempfile.TemporaryDirectory(prefix="signer-") as directory:
        home = Path(directory)
        (home / "passphrase").write_text(PASSPHRASE + "\n")
        (home / "policy.json").write_text(json.dumps(policy(grants)))
        store = EncryptedKeys(home / "keys", PASSPHRASE, WORK_FACTOR)
        for name in names:
            store.create(name)
        command = [sys.executable, "-m", "backend.cli", "signer", "run"]
        command += ["--socket", str(home / "s"), "--policy", str(home / "policy.json")]
        command += ["--keystores", str(home / "keys")]
        command += ["--passphrase-file", str(home / "passphrase")]
        child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})
        try:
            deadline = time.monotonic() + 60
            while not (home / "s").exists():
                assert child.poll() is None, "the signer ended"
                assert time.monotonic() < deadline, "the signer did not come up"
                time.sleep(0.05)
            yield f"unix:{home / 's'}"
        finally:
            child.terminate()
            assert child.wait(30) == 0


@contextlib.contextmanager
def keys_at(url: str, token: str = TOKEN, purpose: str = "") -> Iterator[RemoteKeys]:
    service = SigningService(url, token, purpose=purpose)
    try:
        yield RemoteKeys(service)
    finally:
        service.close()
