"""Keeps the store at the chain's head: append, rewind on reorganisation, rebuild, recover."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from backend.chain.manifest import Deployment
from backend.chain.rpc import Rpc
from backend.domain.classes import label_hash
from backend.errors import ChainBehind, ChainRejected, Conflict, DeploymentMismatch
from backend.indexer.ancestor import common_ancestor
from backend.indexer.fetching import ChainMoved, Fetcher, Range
from backend.indexer.recovery import Recovery, recover
from backend.store import index
from backend.store.database import Connection, Database
from backend.store.index import ChainState

#: How often the chain may move under a reader before it gives up for this call.
MAX_MOVES = 20


class HeadSink(Protocol):
    """Who is told of new heads after they are stored; must neither block nor raise."""

    def publish_head(self, chain_id: int, epoch: int, number: int, block_hash: str) -> None:
        """A head that can be read from the store."""


class _Seen(NamedTuple):
    """The chain in one look: its process, its head, the hash where the index stands."""

    instance: str | None
    head: int
    hash_at_indexed: str | None


class Indexer:
    """Follows one chain into one database; several may run, one of them moves at a time.

    `labels`: codes of the vocabulary, so that cohorts of classes can be shown by name.
    """

    def __init__(
        self,
        rpc: Rpc,
        deployment: Deployment,
        database: Database,
        bus: HeadSink | None = None,
        labels: Iterable[str] = (),
    ) -> None:
        self._rpc = rpc
        self._deployment = deployment
        self._database = database
        self._bus = bus
        self._label_codes = {"0x" + label_hash(code).hex(): code for code in labels}
        instance = self._instance()
        #: Whether the chain is a local one, whose process may come back with an older state.
        self.is_local = instance is not None
        self._fetcher = Fetcher(rpc, deployment, record_raw=self.is_local)
        # A local chain is recorded from its genesis: set-up transactions may have to be re-sent.
        self._before_first = -1 if self.is_local else max(deployment.deployed_at_block, 0) - 1
        self._opened = False

    # ── what callers use ─────────────────────────────────────────────────────────────────────

    def advance(self) -> int:
        """Index up to the chain's head; returns the number of the last chain block indexed.

        A reorganisation is taken back first. Raises ChainBehind when the chain is older than the
        index and that is no reorganisation: run `recover`. Raises IndexInconsistent on a break of
        L1; nothing of that range is stored then.
        """
        state = self._state()
        before = state
        for _ in range(MAX_MOVES):
            seen = self._look(state)
            state = self._align(state, seen)
            try:
                state = self._follow(state, seen.head, None)
                break
            except (ChainMoved, Conflict):
                state = self._state()
        if (state.indexed_number, state.epoch) != (before.indexed_number, before.epoch):
            self._publish(state)
        return state.indexed_number

    def rebuild(self) -> int:
        """Make every table of the chain anew from genesis, in one transaction.

        Readers keep the old rows until the end and a kill leaves them; L1 is checked at the end.
        """
        for _ in range(MAX_MOVES):
            state = self._state()
            seen = self._look(state)
            self._require_not_behind(state, seen)
            try:
                with self._database.begin() as connection:
                    state = index.clear(connection, self._before_first)
                    state = self._follow(state, seen.head, connection)
                    index.check_conservation(connection)
            except ChainMoved:
                continue
            self._publish(state)
            return state.indexed_number
        raise ChainBehind("the chain kept changing while the index was rebuilt")

    def recover(self, wait_seconds: float = 0.0) -> Recovery:
        """Bring a chain that came back older to where the index stands, or say what is missing.

        A local chain gets its recorded transactions again, chain block by chain block with the
        recorded times; other chains are waited for. Raises ChainBehind, DeploymentMismatch.
        """
        state = self._state()
        done = recover(self._rpc, self._database, state, self.is_local, wait_seconds)
        if done.replayed_blocks or done.common_number < state.indexed_number:
            # The replayed chain blocks may have other hashes. One transaction, so that the
            # recorded transactions are never gone before they are recorded again.
            with self._database.begin() as connection:
                state = index.rewind(connection, done.common_number, done.common_hash)
                index.set_instance(connection, self._instance())
                self._follow(state, self._rpc.block_number(), connection)
        elif self.is_local:
            with self._database.begin() as connection:
                index.set_instance(connection, self._instance())
        self.advance()
        return done

    def check(self) -> None:
        """L1 over the whole index; raises IndexInconsistent."""
        with self._database.read() as connection:
            index.check_conservation(connection)

    def mark_durable(self, number: int) -> int:
        """The saved states of a local chain all hold chain block `number`.

        Give the older of the two dumps that are kept; raw transactions up to it are dropped.
        """
        with self._database.begin() as connection:
            return index.mark_durable(connection, number)

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def _state(self) -> ChainState:
        if self._opened:
            with self._database.read() as connection:
                state = index.load_state(connection)
            if state is not None:
                return state
        self._check_genesis()
        with self._database.begin() as connection:
            state = index.open_index(
                connection,
                self._deployment.chain_id,
                self._deployment.as_json(),
                self._before_first,
                self._instance(),
            )
        self._opened = True
        return state

    def _check_genesis(self) -> None:
        chain_id = self._rpc.chain_id()
        genesis = self._rpc.block(0)
        wanted = self._deployment.genesis_hash
        if chain_id != self._deployment.chain_id or (genesis and genesis.hash != wanted):
            raise DeploymentMismatch(
                f"the chain has id {chain_id} and genesis {genesis.hash if genesis else 'none'}, "
                f"the deployment is for {self._deployment.chain_id} and {wanted}",
                chain_id=chain_id,
                genesis=genesis.hash if genesis else None,
                deployment_chain_id=self._deployment.chain_id,
                deployment_genesis=wanted,
            )

    def _instance(self) -> str | None:
        try:
            metadata = self._rpc.call("anvil_metadata")
        except ChainRejected:
            return None
        return str(metadata["instanceId"])

    def _look(self, state: ChainState) -> _Seen:
        calls: list[tuple[str, tuple[Any, ...]]] = [
            ("eth_blockNumber", ()),
            ("eth_getBlockByNumber", (hex(max(state.indexed_number, 0)), False)),
        ]
        head, header = self._rpc.batch(calls)
        instance = self._instance() if self.is_local else None
        return _Seen(instance, int(head, 16), header["hash"] if header else None)

    def _is_same(self, state: ChainState, seen: _Seen) -> bool:
        return state.indexed_hash is None or seen.hash_at_indexed == state.indexed_hash

    def _require_not_behind(self, state: ChainState, seen: _Seen) -> None:
        """Raises ChainBehind when the chain lost what the index has, other than by a reorg."""
        if self._is_same(state, seen):
            return
        behind = state.indexed_number - seen.head
        if self.is_local and seen.instance != state.instance:
            raise ChainBehind(
                f"the local chain was started again and does not hold chain block "
                f"{state.indexed_number} ({state.indexed_hash}) any more; its head is "
                f"{seen.head}: recover it (`causeway index recover`)",
                indexed_number=state.indexed_number,
                indexed_hash=state.indexed_hash,
                head=seen.head,
            )
        if not self.is_local and behind > 0:
            raise ChainBehind(
                f"the chain's head is {seen.head}, {behind} chain blocks behind what was "
                f"indexed ({state.indexed_number})",
                indexed_number=state.indexed_number,
                head=seen.head,
                behind=behind,
            )

    def _align(self, state: ChainState, seen: _Seen) -> ChainState:
        """Take back what a reorganisation replaced."""
        self._require_not_behind(state, seen)
        if not self._is_same(state, seen):
            number, block_hash = common_ancestor(self._rpc, self._database, state, seen.head)
            if number == self._before_first and self.is_local:
                self._check_genesis()
            with self._database.begin() as connection:
                return index.rewind(connection, number, block_hash)
        if self.is_local and seen.instance != state.instance:
            with self._database.begin() as connection:
                index.set_instance(connection, seen.instance)
        return state

    def _follow(self, state: ChainState, head: int, within: Connection | None) -> ChainState:
        """Append ranges up to `head`; the next one is read while this one is written."""
        if state.indexed_number >= head:
            return state
        with ThreadPoolExecutor(1, "causeway-fetch") as pool:
            first, durable = state.indexed_number + 1, state.durable_number
            coming = pool.submit(self._fetcher.fetch, first, head, state.indexed_hash, durable)
            while True:
                found = coming.result()
                last = found.last
                more = last.number < head
                if more:
                    first = last.number + 1
                    coming = pool.submit(self._fetcher.fetch, first, head, last.hash, durable)
                try:
                    state = self._append(state, found, within)
                except BaseException:
                    coming.cancel()
                    raise
                if not more:
                    return state

    def _append(self, state: ChainState, found: Range, within: Connection | None) -> ChainState:
        with _transaction(self._database, within) as connection:
            return index.append(
                connection, state, found.blocks, found.events, found.transactions, self._label_codes
            )

    def _publish(self, state: ChainState) -> None:
        if self._bus is not None and state.indexed_hash is not None:
            self._bus.publish_head(
                state.chain_id, state.epoch, state.indexed_number, state.indexed_hash
            )


@contextmanager
def _transaction(database: Database, within: Connection | None) -> Iterator[Connection]:
    if within is not None:
        yield within
    else:
        with database.begin() as connection:
            yield connection
