"""Runs the local chain: Anvil with saved states that survive a kill."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from backend.errors import ChainRejected, ChainUnavailable, LocalError
from backend.local import binaries, chain_state
from backend.local.chain_state import Chosen, Generation
from backend.local.processes import Child, free_port, spawn, wait_until
from backend.settings import DEVELOPMENT_MNEMONIC

CHAIN_ID = 31337

_DUMP_TRIES = 5
#: Anvil answers a transaction before it has mined it: so long it may still be at it.
_SETTLE_SECONDS = 0.02


class Anvil:
    """One Anvil on 127.0.0.1; with `state` its chain continues from the newest good generation."""

    name: str = "anvil"
    #: Sent when the supervisor dies.
    death_signal: int = signal.SIGKILL

    def __init__(
        self,
        *,
        log: Path,
        state: Path | None = None,
        port: int | None = None,
        chain_id: int = CHAIN_ID,
        mnemonic: str = DEVELOPMENT_MNEMONIC,
        binary: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.log = log
        self.state = state
        self.public_port = port or free_port()
        #: Where it listens now: while it is brought back, on a port that nobody else knows.
        self.port = self.public_port
        self.chain_id = chain_id
        self.child: Child | None = None
        #: What the last start loaded; `generation` is None for a new chain.
        self.loaded = Chosen(None, None, ())
        #: The newest state on disk.
        self.saved: Generation | None = None
        self._mnemonic = mnemonic
        self._binary = binary
        self._options = list(options)

    @property
    def url(self) -> str:
        """The JSON-RPC endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def public_url(self) -> str:
        """Endpoint that wallets use."""
        return f"http://127.0.0.1:{self.public_port}"

    def start(self, seconds: float = 60.0) -> Chosen:
        """Start from the newest good generation and wait until the chain answers.

        A new chain is saved at once: its genesis block carries the time of its start, and blocks
        that are sent again with their recorded times must follow the same genesis.
        """
        self.loaded = chain_state.choose(self.state) if self.state else Chosen(None, None, ())
        command = [str(self._binary or binaries.anvil(binaries.project_root())), "--quiet"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--chain-id", str(self.chain_id), "--mnemonic", self._mnemonic]
        command += ["--hardfork", "osaka", "--enable-tx-gas-limit", "--no-request-size-limit"]
        if self.loaded.path is not None:
            command += ["--load-state", str(self.loaded.path)]
        # Anvil keeps old states in a cache on disk; beside the state it is cleaned with it.
        cache = (self.state or self.log.parent) / "cache"
        environment = dict(os.environ) | {"HOME": str(cache)}
        self.child = spawn(
            "anvil",
            [*command, "--cache-path", str(cache), *self._options],
            log=self.log,
            environment=environment,
        )
        wait_until(self.healthy, self.child, seconds=seconds, log=self.log, what="Anvil")
        self.saved = self.loaded.generation
        if self.state is not None:
            if self.loaded.generation is not None:
                chain_state.discard_after(self.state, self.loaded.generation.number)
                self._go_on_in_time()
            else:
                self.save()
        return self.loaded

    def _go_on_in_time(self) -> None:
        """A chain whose clock was put ahead stays ahead: a loaded one begins at this machine's."""
        newest = int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        if newest > time.time():
            self.rpc("evm_setTime", newest)

    def save(self, *, force: bool = False) -> Generation | None:
        """Save the state when the head moved since the last save (or `force`); else None."""
        if self.state is None:
            return None
        head = self.rpc("eth_getBlockByNumber", "latest", False)
        if self.saved is not None and head["hash"] == self.saved.block_hash and not force:
            return None
        dump = self._quiet_dump()
        number = chain_state.block_number_of(dump)
        dump = chain_state.without_orphans(
            dump, lambda at: self.rpc("eth_getBlockByNumber", hex(at), False)
        )
        block = self.rpc("eth_getBlockByNumber", hex(number), False)
        self.saved = chain_state.save(self.state, dump, number, block["hash"])
        return self.saved

    def _quiet_dump(self) -> bytes:
        """A dump of one moment: Anvil goes on mining while it dumps, and would give the accounts
        of a later chain block than the newest in the dump. Raises ChainUnavailable if it never
        stands still; the next save will do."""
        automine = bool(self.rpc("anvil_getAutomine"))
        self.rpc("evm_setAutomine", False)
        try:
            for _ in range(_DUMP_TRIES):
                time.sleep(_SETTLE_SECONDS)
                before = self.rpc("eth_getBlockByNumber", "latest", False)["hash"]
                dump = chain_state.unpack(self.rpc("anvil_dumpState", timeout=120.0))
                after = self.rpc("eth_getBlockByNumber", "latest", False)
                stands = chain_state.block_number_of(dump) == int(after["number"], 16)
                if stands and before == after["hash"]:
                    return dump
            raise ChainUnavailable("the chain did not stand still to be saved", port=self.port)
        finally:
            self.rpc("evm_setAutomine", automine)
            if automine and int(self.rpc("txpool_status")["pending"], 16):
                self.rpc("evm_mine")

    def stop(self, *, save: bool = True) -> None:
        """Save the state and end the process."""
        if self.child is None:
            return
        try:
            if save and self.child.alive:
                self.save()
        finally:
            self.child.stop()
            self.child = None

    def fall_back(self) -> Chosen:
        """Start from the generation before the one that was loaded, which is put aside. Raises
        LocalError when there is none.
        """
        loaded = self.loaded.generation
        if self.state is None or loaded is None:
            raise LocalError("the chain was started anew: there is no older state of it")
        if not chain_state.older_than(self.state, loaded.number):
            raise LocalError(
                f"{loaded.name} holds chain blocks that were replaced, and no older state of the "
                f"chain is left in {self.state}",
                state=str(self.state),
                block=loaded.block_number,
            )
        if self.child is not None:
            self.child.stop(signal.SIGKILL)
        chain_state.discard_after(self.state, loaded.number - 1)
        return self.start()

    def hide(self) -> None:
        """Start on another port next: what wallets send again must not come between the chain
        blocks that are being brought back."""
        self.port = free_port()

    @property
    def is_public(self) -> bool:
        """Whether it listens where wallets look for it."""
        return self.port == self.public_port

    def publish(self) -> None:
        """Go on from the same state on the public port."""
        self.save(force=True)
        if self.child is not None:
            self.child.stop()
        self.port = self.public_port
        self.start()

    def healthy(self) -> bool:
        """True when the chain answers with the chain id asked for."""
        try:
            return int(self.rpc("eth_chainId", timeout=2.0), 16) == self.chain_id
        except (ChainUnavailable, ChainRejected):
            return False

    def rpc(self, method: str, *params: Any, timeout: float = 30.0) -> Any:
        """Call one JSON-RPC method. Raises ChainUnavailable or ChainRejected."""
        return rpc(self.port, method, *params, timeout=timeout)


def rpc(port: int, method: str, *params: Any, timeout: float = 30.0) -> Any:
    """Call one JSON-RPC method of the chain on a port of 127.0.0.1."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/", body, {"content-type": "application/json"})
        answer = orjson.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        raise ChainUnavailable(
            f"the chain on port {port} did not answer {method}: {error}", port=port, method=method
        ) from error
    finally:
        connection.close()
    if "error" in answer:
        message = answer["error"].get("message", "")
        raise ChainRejected(f"{method}: {message}", method=method, error=answer["error"])
    return answer["result"]
