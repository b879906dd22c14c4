"""Keys in encrypted files (Web3 Secret Storage v3: scrypt, AES-128-CTR), one a name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import orjson
from eth_account import Account

from backend.chain.keys import LocalKey, check_name, named_key, new_secret
from backend.errors import Conflict, LocalError

#: scrypt's N: about half a second and 256 MiB at 2^18; tests use less.
WORK_FACTOR = 1 << 18


class EncryptedKeys:
    """A directory of keystores under one passphrase; every key is read when it is opened."""

    def __init__(self, directory: Path, passphrase: str, work_factor: int = WORK_FACTOR) -> None:
        self._directory, self._passphrase = directory, passphrase
        self._work_factor = work_factor

    def read(self) -> dict[str, LocalKey]:
        """Every key by name; LocalError names the file that the passphrase does not open."""
        return {path.stem: self._open(path) for path in sorted(self._directory.glob("*.json"))}

    def create(self, name: str) -> str:
        """A new key; its address. Raises Conflict when the name is taken."""
        return self.put(name, new_secret())

    def put(self, name: str, private_key: bytes) -> str:
        """Keep a key; its address. The same key again changes nothing, another is a Conflict."""
        check_name(name)
        key, path = named_key(name, private_key), self._directory / f"{name}.json"
        content = Account.encrypt(
            private_key, self._passphrase, kdf="scrypt", iterations=self._work_factor
        )
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=".")  # mode 600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(orjson.dumps(content) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except FileExistsError:
            if self._open(path).address != key.address:
                raise Conflict(f"another key is called {name}", name=name) from None
        finally:
            os.unlink(temporary)
        return key.address

    def _open(self, path: Path) -> LocalKey:
        try:
            secret = bytes(Account.decrypt(orjson.loads(path.read_bytes()), self._passphrase))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LocalError(
                f"the keystore {path.name} cannot be opened: damaged, or another passphrase",
                path=str(path),
            ) from error
        return named_key(path.stem, secret)
