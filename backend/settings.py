"""One frozen settings object, built once from the environment and handed to whoever needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import InvalidValue, LocalError

#: The well-known development words of Hardhat and Foundry: its keys are public, so any wallet can
#: import them. For chains on 127.0.0.1 only.
DEVELOPMENT_MNEMONIC = "test test test test test test test test test test test junk"

#: Of the embedded chain unless it is told otherwise.
LOCAL_CHAIN_ID = 31_337

_START = "start the local services with `causeway up` (or `make run`)"


class Settings(BaseSettings):
    """Every setting; each is read from `CAUSEWAY_<NAME>`.

    `Settings.load()` is what commands use: endpoints that the environment does not name come from
    `<home>/run.json`, which the supervisor of the local services writes.
    """

    model_config = SettingsConfigDict(
        env_prefix="CAUSEWAY_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    #: Directory of the local services' data, logs and run file.
    home: Path = Path(".causeway")
    #: libpq URL; when the environment sets it the embedded Postgres stays off.
    database_url: str | None = None
    #: `nats://token@host:port`; when the environment sets it the embedded NATS stays off.
    nats_url: str | None = None
    #: JSON-RPC URL; when the environment sets it the embedded Anvil stays off.
    chain_url: str | None = None
    #: JSON-RPC URL that pages offer to wallets which do not know the chain; the embedded chain's
    #: own when this is not set. Elsewhere `chain_url` may hold a key: no page shows it.
    wallet_rpc_url: str | None = None
    #: Address the API listens on.
    api_host: str = "127.0.0.1"
    #: Port the API listens on.
    api_port: int = Field(default=8600, ge=1, le=65_535)
    #: Where people reach the API: each `host:port` that sign-in messages may name, commas between.
    sign_in_domains: str | None = None
    #: Port of the embedded chain, fixed so that wallets keep their entry.
    rpc_port: int = Field(default=8545, ge=1, le=65_535)
    #: Chain id of the embedded chain, and the name of its deployment file.
    chain_id: int = Field(default=LOCAL_CHAIN_ID, ge=1)
    #: Chain blocks on top of one before it counts as final; 0 on a local chain.
    confirmations: int = Field(default=0, ge=0)
    #: Number of the venue whose sequencer, watcher and markets these are.
    venue: int = Field(default=1, ge=1, le=32_767)
    #: Fees of matches in basis points of notional; the contract refuses more than 100.
    maker_fee_bps: int = Field(default=10, ge=0, le=100)
    taker_fee_bps: int = Field(default=20, ge=0, le=100)
    #: How long a total-cost quote holds before it has to be asked for again.
    quote_seconds: int = Field(default=60, ge=5, le=3_600)
    #: Immutables of the Exchange that `causeway deploy` makes: how long a match may wait for its
    #: settlement, and how far it may be ahead of the chain.
    window_seconds: int = Field(default=600, ge=10, le=86_400)
    skew_seconds: int = Field(default=30, ge=1, le=600)
    #: Immutable of the Reserve: age at which a report refuses mints.
    reserve_max_age_seconds: int = Field(default=604_800, ge=60)
    #: Immutables of Deliveries: request to deadline, begin to the transfer's latest expiry, expiry
    #: to the second deadline. A custodian begins at the latest 48 hours before the deadline.
    delivery_request_seconds: int = Field(default=864_000, ge=259_200)
    delivery_transfer_seconds: int = Field(default=1_209_600, ge=3_600)
    delivery_grace_seconds: int = Field(default=604_800, ge=3_600)
    #: Deployment file; default `<home>/deployments/<chain_id>.json`.
    deployment: Path | None = None
    #: JSON file of registries, trust accounts and consents; without it the committed sample holds.
    custody: Path | None = None
    #: Names of local keys, commas between, with which the worker signs what it has checked itself:
    #: `custodian` on the custodian's machine, `attestor` on the attestor's, both on a local chain.
    sign_as: str | None = None
    #: Whether webhooks may go to private addresses and by http to this machine; unset: only where
    #: the chain is the local one.
    webhook_private: bool | None = None
    #: Faucets and triggers for developers, on the local chain of one machine alone: anywhere else
    #: the API refuses to start with it. `causeway up` sets it for its own chain.
    sandbox: bool = False
    #: A signing service that holds the keys: `unix:/run/causeway/signer.sock` or `https://…`;
    #: unset, they are files in `<home>/keys`. The token comes from a file, an own authority of its
    #: certificate too; `signer_purpose` is told with every request.
    signer_url: str | None = None
    signer_token_file: Path | None = None
    signer_authority: Path | None = None
    signer_purpose: str = ""
    #: Mnemonic of the embedded chain's accounts.
    dev_mnemonic: str = DEVELOPMENT_MNEMONIC

    @classmethod
    def from_environment(cls, **overrides: Any) -> Self:
        """Settings of the environment alone. Raises InvalidValue naming the variable."""
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            settings = cls(**given)
        except ValidationError as error:
            problem = error.errors()[0]
            name = str(problem["loc"][0])
            raise InvalidValue(
                f"CAUSEWAY_{name.upper()}", problem["input"], f"is refused: {problem['msg']}"
            ) from error
        return settings.model_copy(update={"home": settings.home.expanduser().absolute()})

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Settings of the environment; what it leaves open comes from `<home>/run.json`."""
        settings = cls.from_environment(**overrides)
        run_file = settings.home / "run.json"
        try:
            recorded = json.loads(run_file.read_bytes())["settings"]
        except FileNotFoundError:
            return settings
        except PermissionError as error:
            raise LocalError(
                f"{run_file} belongs to another user: run the command as that user, or set "
                "CAUSEWAY_DATABASE_URL, CAUSEWAY_NATS_URL and CAUSEWAY_CHAIN_URL",
                path=str(run_file),
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise LocalError(
                f"{run_file} is not a run file: {error}; remove it and {_START}",
                path=str(run_file),
            ) from error
        fields = cls.model_fields.keys() - settings.model_fields_set
        found = {name: value for name, value in recorded.items() if name in fields}
        if "custody" in found:
            found["custody"] = Path(found["custody"])
        return settings.model_copy(update=found)

    @property
    def rpc_for_wallets(self) -> str | None:
        """Where a visitor's wallet reaches the chain; None when nobody said."""
        own = f"http://127.0.0.1:{self.rpc_port}"
        local = (self.chain_url or "").rstrip("/") == own
        return self.wallet_rpc_url or (own if local else None)

    @property
    def signers(self) -> tuple[str, ...]:
        """The names in `sign_as`."""
        return tuple(filter(None, (name.strip() for name in (self.sign_as or "").split(","))))

    @property
    def webhooks_may_be_private(self) -> bool:
        """Whether webhooks may go to private addresses."""
        if self.webhook_private is None:
            return self.chain_id == LOCAL_CHAIN_ID
        return self.webhook_private

    @property
    def deployment_file(self) -> Path:
        """Where the deployment of the chain is written and read."""
        return self.deployment or self.home / "deployments" / f"{self.chain_id}.json"

    @property
    def api_url(self) -> str:
        """Base URL of the API as a client on this machine reaches it."""
        host = "127.0.0.1" if self.api_host in ("0.0.0.0", "::") else self.api_host
        return f"http://{host}:{self.api_port}"

    def require_database_url(self) -> str:
        """The database's URL. Raises LocalError that says how to get one."""
        return self._require(self.database_url, "CAUSEWAY_DATABASE_URL", "Postgres")

    def require_nats_url(self) -> str:
        """The bus' URL. Raises LocalError that says how to get one."""
        return self._require(self.nats_url, "CAUSEWAY_NATS_URL", "NATS")

    def require_chain_url(self) -> str:
        """The chain's URL. Raises LocalError that says how to get one."""
        return self._require(self.chain_url, "CAUSEWAY_CHAIN_URL", "the chain")

    def _require(self, value: str | None, variable: str, what: str) -> str:
        if value is None:
            raise LocalError(
                f"no endpoint of {what} is known: {_START}, or set {variable} "
                f"(looked in the environment and in {self.home / 'run.json'})",
                variable=variable,
                home=str(self.home),
            )
        return value
