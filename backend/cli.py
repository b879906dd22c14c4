"""`causeway …`: the composition root; it puts the commands together and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module

import typer

#: Modules of `backend.commands`, in the order in which their commands are listed.
MODULES = (
    "services", "venue", "watch", "demo", "imports", "trust", "wallet", "funds", "market",
    "lookup", "audit", "vocabulary", "duplicates", "facts", "registry_simulator",
    "custody_terms", "tasks", "quote", "deliver", "reserve", "statements", "events", "cad_trust",
    "sandbox", "ledger", "signer",
)  # fmt: skip
#: Commands that a supervisor starts, and starts again: what they do not need is not imported,
#: which is most of the time that they take to start.
ALONE = {
    "up": "services",
    "deploy": "services",
    "worker": "services",
    "api": "services",
    "db": "services",
    "index": "services",
    "sequencer": "venue",
    "watcher": "watch",
    "registry-simulator": "registry_simulator",
    "signer": "signer",
}


def application(modules: Iterable[str] = MODULES) -> typer.Typer:
    """The commands of these modules of `backend.commands`."""
    made = typer.Typer(
        name="causeway",
        help="A carbon registry and exchange on an EVM chain.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # So that a module with one command alone still takes its name.
    made.callback()(lambda: None)
    for name in modules:
        import_module(f"backend.commands.{name}").register(made)
    return made


def __getattr__(name: str) -> typer.Typer:
    """`app`: every command, put together when it is first asked for."""
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = application()
    return app


def main() -> None:
    """Entry point of the console command."""
    alone = ALONE.get(sys.argv[1]) if len(sys.argv) > 1 else None
    application(MODULES if alone is None else (alone,))()


if __name__ == "__main__":
    main()
