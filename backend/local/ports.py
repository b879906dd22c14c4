"""Whether the ports that a run needs are free, before anything is started."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from backend.errors import LocalError
from backend.local.plan import Plan
from backend.local.processes import port_is_taken
from backend.settings import Settings

#: What a killed run left has ended by then: its watchdog waits for a second before it kills.
LEFT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1


def require_free_ports(
    settings: Settings, plan: Plan, each_round: Callable[[], None], *, after_kill: bool
) -> None:
    """Raises LocalError with the port, its use and the variable that chooses another.

    `after_kill`: a process that the killed run had not written down yet may still listen, so a
    port may take a moment to become free. `each_round` is called while it waits; what it raises
    ends the wait.
    """
    deadline = time.monotonic() + (LEFT_SECONDS if after_kill else 0.0)
    ports = [
        (service.name, service.port, settings.api_host)
        for service in plan.services
        if service.port is not None
    ]
    if settings.chain_url is None:
        ports.append(("the chain's RPC", settings.rpc_port, "127.0.0.1"))
    for what, port, host in ports:
        while port_is_taken(host, port) and time.monotonic() < deadline:
            each_round()
            time.sleep(_POLL_SECONDS)
        if port_is_taken(host, port):
            variable = "CAUSEWAY_RPC_PORT" if what == "the chain's RPC" else "CAUSEWAY_API_PORT"
            raise LocalError(
                f"port {port} of {host}, meant for {what}, is taken by another program; stop "
                f"that program, or choose another port with {variable}, for example "
                f"`{variable}={port + 10} make run`",
                port=port,
                variable=variable,
            )
