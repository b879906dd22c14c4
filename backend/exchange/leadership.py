"""What runs inside the leader beside order entry: the hooks, and what a hook may ask and do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from backend.domain.commands import Command
from backend.domain.journal import Head
from backend.domain.orders import Account
from backend.domain.venue_events import Event
from backend.store.venue_acts import ActState, VenueAct

if TYPE_CHECKING:
    from backend.matching.engine import Engine

T = TypeVar("T")


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
