"""Who may have what signed: clients by token and user, keys, operations, bounds, rates.

Everything that is not allowed is refused. A transaction is judged by what it says; a digest says
nothing, so a key that only pays gas should not be allowed digests.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.errors import InvalidValue, NotAuthorised
from backend.signer.transactions import Unsigned

DIGEST: Final = "digest"
TRANSACTION: Final = "transaction"
MINUTE: Final = 60.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Grant(_Strict):
    """What one client may do with one key. `to` None: any contract, but no new one.

    `purposes` None: any; they are what the client says it signs for, kept in the log.
    """

    operations: frozenset[Literal["digest", "transaction"]]
    purposes: frozenset[str] | None = None
    chain_ids: frozenset[int] = frozenset()
    to: frozenset[str] | None = None
    most_value_wei: int = 0
    most_fee_wei: int = Field(default=10**18, description="Gas times the highest fee.")
    per_minute: int = Field(default=600, ge=1)


class ClientRules(_Strict):
    """One client: the SHA-256 of its token in hex, the user it runs as, its keys."""

    token_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    uid: int | None = None
    keys: dict[str, Grant]


class Policy(_Strict):
    """The policy file."""

    clients: dict[str, ClientRules]

    @classmethod
    def load(cls, path: Path) -> Policy:
        """Raises InvalidValue that names what is wrong in the file."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise InvalidValue("policy", str(path), f"cannot be read: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidValue("policy", where, f"is refused: {first['msg']}") from None

    def client(self, token: str, uid: int | None) -> str:
        """Who presents a token; NotAuthorised for a stranger or another user's process."""
        shown = hashlib.sha256(token.encode()).hexdigest()
        # Every client is compared, so that how long it takes says nothing.
        known = [
            name
            for name, rules in self.clients.items()
            if hmac.compare_digest(rules.token_sha256, shown)
        ]
        if not known:
            raise NotAuthorised("the token is no client's")
        wanted = self.clients[known[0]].uid
        if wanted is not None and wanted != uid:
            raise NotAuthorised(f"{known[0]} runs as another user", client=known[0])
        return known[0]


class Gate:
    """The policy with what was signed in the last minute."""

    def __init__(self, policy: Policy, clock: Callable[[], float] = time.monotonic) -> None:
        self.policy, self._clock = policy, clock
        self._lock = threading.Lock()
        self._signed: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def names(self, client: str) -> list[str]:
        """The keys that a client may use at all."""
        return sorted(self.policy.clients[client].keys)

    def check_digest(self, client: str, key: str, purpose: str) -> None:
        """Raises NotAuthorised unless a digest may be signed now; counts it."""
        self._count(client, key, self._grant(client, key, DIGEST, purpose))

    def check_transaction(self, client: str, key: str, purpose: str, asked: Unsigned) -> None:
        """Raises NotAuthorised unless this transaction may be signed now; counts it."""
        grant = self._grant(client, key, TRANSACTION, purpose)
        if asked.chain_id not in grant.chain_ids:
            raise NotAuthorised(f"{key} signs nothing for chain {asked.chain_id}", key=key)
        if grant.to is not None:
            allowed = {one.lower() for one in grant.to}
            if asked.to is None or asked.to.lower() not in allowed:
                raise NotAuthorised(f"{key} sends nothing to {asked.to}", key=key)
        elif asked.to is None:
            raise NotAuthorised(f"{key} creates no contracts", key=key)
        if asked.value > grant.most_value_wei:
            raise NotAuthorised(f"{key} sends no {asked.value} wei", key=key)
        if asked.gas * asked.max_fee_per_gas > grant.most_fee_wei:
            raise NotAuthorised(f"{key} pays no such fee", key=key)
        self._count(client, key, grant)

    def _grant(self, client: str, key: str, operation: str, purpose: str) -> Grant:
        grant = self.policy.clients[client].keys.get(key)
        if grant is None or operation not in grant.operations:
            raise NotAuthorised(f"{client} may not have a {operation} signed by {key}", key=key)
        if grant.purposes is not None and purpose not in grant.purposes:
            raise NotAuthorised(f"{key} signs nothing for {purpose!r}", key=key)
        return grant

    def _count(self, client: str, key: str, grant: Grant) -> None:
        with self._lock:
            now, signed = self._clock(), self._signed[client, key]
            while signed and signed[0] <= now - MINUTE:
                signed.popleft()
            if len(signed) >= grant.per_minute:
                raise NotAuthorised(
                    f"{client} had {grant.per_minute} signatures of {key} in a minute", key=key
                )
            signed.append(now)
