"""What a command needs of the running system, opened when it is first asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from backend.bridge.accounts import connected_accounts
from backend.bridge.service import Bridge
from backend.chain.abi import checksum
from backend.chain.contracts import Contracts
from backend.chain.deployment import Deployment
from backend.chain.keys import Key, Keys, KeyStore
from backend.chain.remote_keys import RemoteKeys, SigningService
from backend.chain.rpc import Rpc
from backend.chain.sender import Sender
from backend.errors import InvalidValue, NotFound, ServiceError
from backend.indexer import Indexer
from backend.registries.custody_file import Custody, load_custody
from backend.registries.labels import CODES
from backend.settings import Settings
from backend.store.database import Database
from backend.store.index import load_state
from backend.store.queries import lookup
from backend.store.transactions import PostgresTransactionLog

#: How long a command waits until what it sent is in the index, in seconds.
INDEX_PATIENCE = 60.0


def clock() -> int:
    """Unix seconds; the sender measures the age of transactions with it."""
    return int(time.time())


def _token(path: Path | None) -> str:
    """The token in a file, which its owner alone should be able to read."""
    if path is None:
        raise InvalidValue("CAUSEWAY_SIGNER_TOKEN_FILE", "", "is needed beside the signer's URL")
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise InvalidValue("CAUSEWAY_SIGNER_TOKEN_FILE", path, f"cannot be read: {error}") from None


@dataclass
class Context:
    """Settings and, lazily, the services they point at."""

    settings: Settings
    as_json: bool = False

    @classmethod
    def load(cls, as_json: bool = False) -> Context:
        """From the environment and the run file."""
        return cls(Settings.load(), as_json)

    def close(self) -> None:
        """Give back what was opened; a command that ends needs none of it."""
        for name in ("database", "rpc"):
            opened = self.__dict__.get(name)
            if opened is not None:
                opened.close()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.require_database_url())

    @cached_property
    def rpc(self) -> Rpc:
        return Rpc(self.settings.require_chain_url())

    @cached_property
    def deployment(self) -> Deployment:
        return Deployment.load(self.settings.deployment_file)

    @cached_property
    def contracts(self) -> Contracts:
        return Contracts(self.rpc, self.deployment)

    @cached_property
    def keys(self) -> Keys:
        """Files of this machine, or a signing service where the settings name one."""
        settings = self.settings
        if settings.signer_url is None:
            return KeyStore(settings.home / "keys")
        service = SigningService(
            settings.signer_url,
            _token(settings.signer_token_file),
            purpose=settings.signer_purpose,
            authority=settings.signer_authority,
        )
        return RemoteKeys(service)

    @cached_property
    def log(self) -> PostgresTransactionLog:
        return PostgresTransactionLog(self.database)

    @cached_property
    def sender(self) -> Sender:
        return Sender(self.rpc, self.log, clock, confirmations=self.settings.confirmations)

    @cached_property
    def custody(self) -> Custody:
        return load_custody(self.settings.custody)

    @cached_property
    def bridge(self) -> Bridge:
        return Bridge(
            self.database,
            self.contracts,
            self.sender,
            self.log,
            confirmations=self.settings.confirmations,
            custody=self.custody,
            accounts=connected_accounts(self.custody, self.database, clock),
        )

    def indexer(self, bus: Any = None) -> Indexer:
        """An indexer over the services; the caller says whether it publishes heads."""
        return Indexer(self.rpc, self.deployment, self.database, bus, CODES)

    # ── names people use ─────────────────────────────────────────────────────────────────────

    def address(self, text: str) -> str:
        """An address, or the address of a local key by its name."""
        if text.startswith("0x"):
            try:
                return checksum(text)
            except (ValueError, TypeError):
                raise InvalidValue("address", text, "is not an address") from None
        return self.keys.get(text).address

    def key(self, text: str) -> Key:
        """The local key of a name or an address; NotFound when this machine does not hold it."""
        return self.keys.by_address(text) if text.startswith("0x") else self.keys.get(text)

    def class_id(self, text: str) -> int:
        """A token id from a class's number, or from the id in decimal or 0x hex."""
        try:
            number = int(text, 16) if text.startswith("0x") else int(text.removeprefix("#"))
        except ValueError:
            raise InvalidValue(
                "class", text, "is neither a class number nor a token id (decimal or 0x hex)"
            ) from None
        if number >= 2**32:
            return number
        with self.database.read() as connection:
            found = lookup.class_id_of_number(connection, number)
        if found is None:
            raise NotFound(f"there is no class number {number}", number=number)
        return found

    # ── sending ──────────────────────────────────────────────────────────────────────────────

    def send(self, key: str, account: Key, contract: str, data: bytes) -> str:
        """Send a call once, wait until it is mined and indexed; returns the transaction's hash.

        Mined alone is no acknowledgement: a local chain that dies may come back without its newest
        chain blocks, and only what the index has is sent again in its order.
        """
        self.sender.submit(key, account, self.deployment[contract], data)
        deadline = time.monotonic() + INDEX_PATIENCE
        while time.monotonic() < deadline:
            done = self.sender.wait(key, INDEX_PATIENCE)
            assert done.block_number is not None
            assert done.transaction_hash is not None
            self.wait_indexed(done.block_number)
            with self.database.read() as connection:
                if lookup.is_indexed(connection, done.transaction_hash):
                    return done.transaction_hash
            time.sleep(0.1)
        raise ServiceError(f"{key} is not in the index after {INDEX_PATIENCE:.0f} s", key=key)

    def wait_indexed(self, block_number: int) -> None:
        """Wait until the worker has indexed a chain block; index it here when nobody does."""
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            if self.indexed_number() >= block_number:
                return
            time.sleep(0.05)
        self.indexer().advance()

    def indexed_number(self) -> int:
        """Number of the newest chain block in the index, −1 when there is none."""
        with self.database.read() as connection:
            state = load_state(connection)
        return -1 if state is None else state.indexed_number
