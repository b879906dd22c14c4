"""What lies live in the trust accounts: from the registry itself, or from the custodian's exports.

An account with a client is asked. An account without one is held by the custodian alone: what its
receipts name and the newest imported export does not show as gone is live there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.domain.registry_requests import (
    HeldBlock,
    Inventory,
    RegistryAccount,
    SerialRange,
)
from backend.domain.serials import Interval
from backend.errors import InvalidValue, NotFound, RegistryUnavailable
from backend.registries.clients.protocol import RegistryClient
from backend.store.database import Database
from backend.store.queries import custody_holdings


@dataclass(frozen=True, slots=True)
class Holding:
    """Live serials in an account; `account` as receipts name it (keccak256 of its text)."""

    serials: Interval
    account: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """Everything live in the trust accounts as of a moment (Unix seconds).

    `other`: blocks of programmes without a series on chain, which are kept as a ledger only.
    """

    as_of: int
    holdings: tuple[Holding, ...]
    other: tuple[SerialRange, ...] = ()

    def account_of(self, serials: Interval) -> bytes | None:
        """The account in which one live block holds all of these serials, None when none does."""
        for one in self.holdings:
            if one.serials.contains(serials):
                return one.account
        return None


@dataclass(frozen=True, slots=True)
class ConnectedAccount:
    """A trust account at a registry that we can ask; `by_hand`: people bring its statements."""

    account: RegistryAccount
    client: RegistryClient
    by_hand: bool = False

    def inventory(self) -> Inventory | None:
        """What lies live in it; None while nobody has brought a statement: then nothing is shown
        to be there. Raises RegistryUnavailable when a registry that we ask itself does not answer.
        """
        try:
            return self.client.inventory(self.account)
        except RegistryUnavailable:
            if self.by_hand:
                return None
            raise


@dataclass(frozen=True, slots=True)
class Found:
    """Where serials lie: the account, its block, and the part of them that the block has."""

    account: ConnectedAccount
    block: HeldBlock
    serials: Interval


class Holdings:
    """The trust accounts of one deployment."""

    def __init__(self, database: Database, accounts: Sequence[ConnectedAccount] = ()) -> None:
        self._database = database
        self.accounts = tuple(accounts)

    def connected(self, programme: str) -> list[ConnectedAccount]:
        """The accounts of one programme that we can ask."""
        return [one for one in self.accounts if one.account.programme == programme]

    def is_connected(self, account: bytes) -> bool:
        """Whether we can ask for what is in the account that a receipt names."""
        return any(one.account.id == account for one in self.accounts)

    def by_text(self, text: str) -> ConnectedAccount:
        """The account of this text; raises NotFound."""
        for one in self.accounts:
            if str(one.account) == text:
                return one
        raise NotFound(f"{text} is no trust account with a registry to ask", account=text)

    def holding(self, serials: Interval) -> Found | None:
        """The account and block that have the first of these serials; None when none has."""
        for one in self.connected(serials.series.programme):
            inventory = one.inventory()
            for block in inventory.blocks if inventory else ():
                held = block.serials
                if held.space == str(serials.series) and held.first <= serials.first <= held.last:
                    last = min(held.last, serials.last)
                    return Found(one, block, Interval(serials.series, serials.first, last))
        return None

    def now(self, chain_time: int) -> Held:
        """Everything live now; raises RegistryUnavailable when one registry does not answer.

        The moment is the oldest answer's, and never later than the chain's own time.
        """
        found = [one.inventory() for one in self.accounts]
        inventories = [inventory for inventory in found if inventory is not None]
        holdings, other = _split(inventories)
        asked = {one.account.id for one in self.accounts}
        with self._database.read() as connection:
            kept = custody_holdings.live_in_custody(connection, asked)
        holdings += [Holding(serials, account) for serials, account in kept]
        moments = [inventory.as_of for inventory in inventories]
        return Held(min([chain_time, *moments]), tuple(holdings), tuple(other))


def _split(inventories: Iterable[Inventory]) -> tuple[list[Holding], list[SerialRange]]:
    holdings, other = [], []
    for inventory in inventories:
        for block in inventory.blocks:
            try:
                holdings.append(Holding(block.serials.interval, inventory.account.id))
            except InvalidValue:
                other.append(block.serials)
    return holdings, other
