"""The trust accounts of the custody file whose registries can be asked, with their clients."""

from __future__ import annotations

import os
from collections.abc import Mapping

from backend.bridge.holdings import ConnectedAccount
from backend.registries.clients.http import HttpRegistryClient
from backend.registries.clients.protocol import RegistryClient
from backend.registries.custody_file import Channel, Custody


def connected_accounts(
    custody: Custody, environment: Mapping[str, str] = os.environ
) -> tuple[ConnectedAccount, ...]:
    """One client per programme that is reached over HTTP; accounts of the others are left out."""
    clients: dict[str, RegistryClient] = {}
    found = []
    for trust in custody.trusts:
        programme = trust.account.programme
        link = custody.link(programme)
        if link.channel is not Channel.HTTP:
            continue
        if programme not in clients:
            token = environment.get(link.token_variable, "") if link.token_variable else ""
            clients[programme] = HttpRegistryClient(programme, link.url, token)
        found.append(ConnectedAccount(trust.account, clients[programme]))
    return tuple(found)
