"""What the sandbox needs of the machine it plays with: the parties' keys and the services."""

from __future__ import annotations

from typing import Protocol

from backend.bridge.service import Bridge
from backend.chain.contracts import Contracts
from backend.chain.deployment import Deployment
from backend.chain.keys import Keys
from backend.chain.rpc import Rpc
from backend.chain.sender import Sender
from backend.registries.custody_file import Custody
from backend.settings import Settings
from backend.store.database import Database
from backend.store.transactions import PostgresTransactionLog


class Machine(Protocol):
    """One machine that plays all parties; the context of a command is one."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def rpc(self) -> Rpc: ...
    @property
    def deployment(self) -> Deployment: ...
    @property
    def contracts(self) -> Contracts: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def sender(self) -> Sender: ...
    @property
    def log(self) -> PostgresTransactionLog: ...
    @property
    def custody(self) -> Custody: ...
    @property
    def bridge(self) -> Bridge: ...
