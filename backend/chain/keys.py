"""Keys by role name: those in files of this machine, and what every key can do, wherever it lies.

A `Key` signs; whether this process holds its secret (`LocalKey`) or asks another one for each
signature (`chain.remote_keys`) makes no difference to whoever uses it.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import coincurve
import orjson
from eth_utils.crypto import keccak

from backend.chain.abi import checksum
from backend.errors import InvalidValue, LocalError, NotFound

_NAME: Final = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True, slots=True)
class Key(ABC):
    """A key by the name of its role and its address."""

    name: str
    address: str

    @abstractmethod
    def sign(self, digest: bytes) -> bytes:
        """65 bytes r ‖ s ‖ v over a 32-byte digest, v 27 or 28, s in the lower half."""

    def sign_transaction(self, unsigned: bytes) -> bytes:
        """The same over the hash of an unsigned typed transaction, which the signer may judge."""
        return self.sign(keccak(unsigned))

    def derive(self, label: str) -> bytes:
        """32 secret bytes of this key for a label, the same every time (signing is, RFC 6979)."""
        secret = self.sign(keccak(text=f"Causeway derives a secret from this key: {label}"))
        return hmac.digest(secret, label.encode(), "sha256")


@dataclass(frozen=True, slots=True)
class LocalKey(Key):
    """A key whose secret is in this process; it is never part of its text."""

    private_key: bytes = field(repr=False)

    def sign(self, digest: bytes) -> bytes:
        return sign_digest(self.private_key, digest)

    def derive(self, label: str) -> bytes:
        return hmac.digest(self.private_key, label.encode(), "sha256")


class Keys(Protocol):
    """Keys by name, wherever they lie."""

    def get(self, name: str) -> Key:
        """The key of a role; NotFound when there is none."""

    def by_address(self, address: str) -> Key:
        """The key of an address; NotFound when it is not here."""

    def create_if_missing(self, name: str) -> Key:
        """The key of a role, made now if need be, where keys may be made."""

    def add(self, name: str, private_key: bytes) -> Key:
        """Keep a given key, where keys may be put."""

    def list(self) -> Sequence[Key]:
        """Every key, ordered by name."""


def address_of(private_key: bytes) -> str:
    """The checksummed address of a private key of 32 bytes."""
    return _address(_secret(private_key).public_key)


def named_key(name: str, private_key: bytes) -> LocalKey:
    """A key from its secret."""
    return LocalKey(name, address_of(private_key), private_key)


def sign_digest(private_key: bytes, digest: bytes) -> bytes:
    """65 bytes r ‖ s ‖ v over a 32-byte digest, v 27 or 28, s in the lower half."""
    signed = _sign(private_key, digest)
    return signed[:64] + bytes([27 + signed[64]])


def recover(digest: bytes, signature: bytes) -> str:
    """The address that signed; InvalidValue for what contracts refuse too: length, v, high s."""
    shown = "0x" + signature.hex()
    if len(signature) != 65 or len(digest) != 32:
        raise InvalidValue("signature", shown, "is not 65 bytes over a 32-byte digest")
    if signature[64] not in (27, 28):
        raise InvalidValue("signature", shown, "has a v other than 27 and 28")
    if int.from_bytes(signature[32:64], "big") > _ORDER // 2:
        raise InvalidValue("signature", shown, "has s in the upper half (malleable)")
    try:
        public = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None
        )
    except Exception as failure:  # coincurve raises bare Exception and ValueError
        raise InvalidValue("signature", shown, f"recovers to no key: {failure}") from failure
    return _address(public)


def _sign(private_key: bytes, digest: bytes) -> bytes:
    if len(digest) != 32:
        raise InvalidValue("digest", "0x" + digest.hex(), "is not 32 bytes")
    return _secret(private_key).sign_recoverable(digest, hasher=None)


@lru_cache(maxsize=1024)
def _secret(private_key: bytes) -> coincurve.PrivateKey:
    if len(private_key) != 32:
        raise InvalidValue("private key", f"{len(private_key)} bytes", "is not 32 bytes")
    try:
        return coincurve.PrivateKey(private_key)
    except ValueError:
        raise InvalidValue("private key", "(not shown)", "is not on the curve") from None


def _address(public: coincurve.PublicKey) -> str:
    return checksum("0x" + keccak(public.format(compressed=False)[1:])[12:].hex())


class KeyStore:
    """Development keys in a directory, one JSON file {name, address, key} of mode 600 each."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def get(self, name: str) -> LocalKey:
        """The key of a role; NotFound when there is none, LocalError when its file is damaged."""
        path = self._path(name)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"no key is called {name}", name=name) from None
        try:
            raw = orjson.loads(text)
            key = named_key(raw["name"], bytes.fromhex(raw["key"].removeprefix("0x")))
        except (ValueError, KeyError, TypeError, InvalidValue):
            raise LocalError(f"the key file {path.name} is damaged", name=name) from None
        if key.name != name or key.address != raw.get("address"):
            raise LocalError(f"the key file {path.name} contradicts itself", name=name)
        return key

    def create_if_missing(self, name: str) -> LocalKey:
        """The key of a role, made now if need be; two processes at once get the same one."""
        try:
            return self.get(name)
        except NotFound:
            return self.add(name, new_secret())

    def add(self, name: str, private_key: bytes) -> LocalKey:
        """Keep a given key; the one that is there already under this name stays and is returned."""
        path = self._path(name)
        key = named_key(name, private_key)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {"name": name, "address": key.address, "key": "0x" + private_key.hex()}
        descriptor, temporary = tempfile.mkstemp(dir=self.directory, prefix=".")  # mode 600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            # A link fails where the name is taken: whoever was first wins, complete.
            os.link(temporary, path)
        except FileExistsError:
            return self.get(name)
        finally:
            os.unlink(temporary)
        return key

    def list(self) -> list[LocalKey]:
        """Every key, ordered by name."""
        return [self.get(path.stem) for path in sorted(self.directory.glob("*.json"))]

    def by_address(self, address: str) -> LocalKey:
        """The key of an address; NotFound when it is not here."""
        wanted = checksum(address)
        for key in self.list():
            if key.address == wanted:
                return key
        raise NotFound(f"no key here signs for {wanted}", address=wanted)

    def _path(self, name: str) -> Path:
        check_name(name)
        return self.directory / f"{name}.json"


def check_name(name: str) -> None:
    """Raises InvalidValue for what cannot name a key or a file."""
    if not _NAME.fullmatch(name):
        raise InvalidValue("key name", name, "is not a-z, 0-9, dot, dash, at most 64 long")


def new_secret() -> bytes:
    """A private key of 32 bytes that nobody has."""
    while True:
        secret = secrets.token_bytes(32)
        if 0 < int.from_bytes(secret, "big") < _ORDER:
            return secret
