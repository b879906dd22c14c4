"""What runs inside the leader beside order entry: the hooks, and what a hook may ask and do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from backend.chain.keys import Key
from backend.domain.commands import Command
from backend.domain.eip712 import SigningDomain
from backend.domain.journal import Head
from backend.domain.orders import Account, exchange_domain
from backend.domain.venue_events import Event
from backend.matching.engine import Engine
from backend.store.venue_acts import ActState, VenueAct

T = TypeVar("T")


@dataclass(frozen=True)
class VenueConfig:
    """What a venue's sequencer is told: its place, its Exchange, its key, its bounds."""

    chain_id: int
    exchange: Account
    key: Key
    #: The Exchange's immutables.
    window_seconds: int = 600
    skew_seconds: int = 15
    venue: int = 1
    name: str = "main"
    #: Chain blocks on top of one before its facts are journalled.
    confirmations: int = 0
    maker_bps: int = 10
    taker_bps: int = 20
    #: Commands that may wait, of all traders and of one; more is answered `busy`.
    most_waiting: int = 10_000
    most_per_trader: int = 1_024
    #: How long a leader that gives no sign of life stays one.
    lease_seconds: float = 2.0

    @property
    def domain(self) -> SigningDomain:
        """What this venue's messages are signed for."""
        return exchange_domain(self.chain_id, "0x" + self.exchange.hex())


class Leader(Protocol):
    """The leader of one venue, as its hooks see it; everything runs on the leader's event loop."""

    @property
    def venue(self) -> int:
        """Number of the venue (the key of its journal)."""

    @property
    def epoch(self) -> int:
        """Epoch of this leadership: every leader has a higher one than those before it."""

    @property
    def head(self) -> Head:
        """Number and hash of the last committed entry."""

    @property
    def engine(self) -> Engine:
        """The matcher. It stands exactly at `head` while `after_commit` runs, until its first
        await; anywhere else it may hold entries that are not committed: use `look`."""

    async def look(self, read: Callable[[Engine, Head], T]) -> T:
        """Call `read` (quick, not async) at the next moment when the engine stands at the head."""

    async def submit(self, command: Command) -> list[Event]:
        """Journal an act of the venue or a fact of the chain; its events, once committed."""

    async def submit_all(self, commands: Sequence[Command]) -> list[list[Event]]:
        """Several in their order; InvalidValue at the first that cannot be journalled."""

    async def signatures(
        self, orders: Sequence[tuple[Account, int]]
    ) -> Mapping[tuple[Account, int], bytes]:
        """The 65-byte signatures of committed orders and withdrawals by (trader, nonce)."""

    async def record_act(self, act: VenueAct) -> None:
        """Store a signed act for the worker to submit, inside the leader's own session.

        Fenced: fails, and ends the process, when there is a newer leader.
        """

    async def acts(self, *states: ActState) -> list[VenueAct]:
        """The venue's stored acts in these states (all when none is named), by number."""


class LeaderHook(Protocol):
    """A part of the leader; an exception that is no ServiceError ends the process."""

    async def after_commit(self, leader: Leader) -> None:
        """Called after every commit, before the next command is matched: take what you need and
        return at once, leave whatever waits for somebody to `every`."""

    async def every(self, leader: Leader) -> None:
        """Called every 100 ms in a task of its own, never twice at once; may take its time."""
