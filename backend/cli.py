"""`causeway …`: the composition root; it puts the commands together and nothing else."""

from __future__ import annotations

import typer

from backend.commands import audit, demo, imports, lookup, services, trust, wallet

app = typer.Typer(
    name="causeway",
    help="A carbon registry and exchange on an EVM chain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for module in (services, demo, imports, trust, wallet, lookup, audit):
    module.register(app)


def main() -> None:
    """Entry point of the console command."""
    app()


if __name__ == "__main__":
    main()
