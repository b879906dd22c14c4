"""Where a sandbox may be: on the local chain of one machine, when the setting asks for it.

Asked twice. From the settings, when a process starts: without the answer there are no routes. And
of the node, before every act: whoever listens there must be an Anvil with the local chain's id.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from backend.chain.rpc import Rpc
from backend.errors import ChainRejected, LocalError
from backend.settings import Settings

#: The id of development chains: no public chain has it.
LOCAL_CHAIN_ID: Final = 31_337
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def is_wanted(settings: Settings) -> bool:
    """Whether the settings ask for a sandbox. Raises LocalError when it may not be there."""
    if not settings.sandbox:
        return False
    wrong = _wrong(settings)
    if wrong is not None:
        what, value = wrong
        raise LocalError(
            f"CAUSEWAY_SANDBOX is for the local chain {LOCAL_CHAIN_ID} of this machine alone, "
            f"and {what} is {value}: leave CAUSEWAY_SANDBOX unset",
            variable=what,
            value=str(value),
        )
    return True


def is_possible(settings: Settings) -> bool:
    """Whether a machine with its own embedded chain may have one."""
    return settings.chain_id == LOCAL_CHAIN_ID and settings.api_host in _LOOPBACK


def _wrong(settings: Settings) -> tuple[str, object] | None:
    """The first setting with which no sandbox may be, and what it says."""
    chain = urlsplit(settings.require_chain_url()).hostname
    for what, value, holds in (
        ("CAUSEWAY_CHAIN_ID", settings.chain_id, settings.chain_id == LOCAL_CHAIN_ID),
        ("CAUSEWAY_CHAIN_URL", chain, chain in _LOOPBACK),
        ("CAUSEWAY_API_HOST", settings.api_host, settings.api_host in _LOOPBACK),
    ):
        if not holds:
            return what, value
    return None


def check_chain(rpc: Rpc) -> None:
    """Raises LocalError unless the node is an Anvil of the local chain."""
    chain_id = rpc.chain_id()
    try:
        rpc.call("anvil_nodeInfo")
    except ChainRejected as error:
        raise LocalError("the sandbox acts on an Anvil alone, and this node is none") from error
    if chain_id != LOCAL_CHAIN_ID:
        raise LocalError(
            f"the sandbox acts on chain {LOCAL_CHAIN_ID} alone, not on {chain_id}",
            chain_id=chain_id,
        )
