"""The trust accounts of the custody file with the clients of their registries."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from backend.bridge.holdings import ConnectedAccount
from backend.registries.clients.http import HttpRegistryClient
from backend.registries.clients.manual import ManualRegistryClient
from backend.registries.clients.protocol import RegistryClient
from backend.registries.custody_file import Channel, Custody
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.database import Database


def connected_accounts(
    custody: Custody,
    database: Database,
    clock: Callable[[], int],
    environment: Mapping[str, str] = os.environ,
) -> tuple[ConnectedAccount, ...]:
    """One client per programme: over HTTP where the file gives an address, else by people."""
    clients: dict[str, RegistryClient] = {}
    found = []
    for trust in custody.trusts:
        programme = trust.account.programme
        link = custody.link(programme)
        by_hand = link.channel is not Channel.HTTP
        if programme not in clients:
            token = environment.get(link.token_variable, "") if link.token_variable else ""
            clients[programme] = (
                ManualRegistryClient(programme, custody, PostgresTaskBook(database), clock)
                if by_hand
                else HttpRegistryClient(programme, link.url, token)
            )
        found.append(ConnectedAccount(trust.account, clients[programme], by_hand))
    return tuple(found)
