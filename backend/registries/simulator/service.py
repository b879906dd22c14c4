"""The registry as a process: a socket, the book, and a clock that carries out what is due."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog
import uvicorn

from backend.registries.simulator.app import create_app
from backend.registries.simulator.ledger import Ledger
from backend.registries.simulator.operations import Operations

log = structlog.get_logger("registry-simulator")
TICK_SECONDS = 0.2


def serve(
    book: Path, programme: str, host: str, port: int, token: str = "", admin_token: str = ""
) -> None:
    """Serve until SIGTERM or SIGINT. A kill loses nothing that was answered."""
    ledger = Ledger(book, programme)
    stop = threading.Event()
    ticking = threading.Thread(target=_tick, args=(ledger, stop), daemon=True)
    ticking.start()
    try:
        uvicorn.run(
            create_app(ledger, token, admin_token),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    finally:
        stop.set()
        ticking.join()
        ledger.close()


def _tick(ledger: Ledger, stop: threading.Event) -> None:
    """Requests do what is due when they come; between them this does."""
    operations = Operations(ledger)
    while not stop.wait(TICK_SECONDS):
        moved = operations.do_what_is_due()
        if moved:
            log.info("processed", operations=moved)
