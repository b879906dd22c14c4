"""`causeway …`: the composition root; it puts the commands together and nothing else."""

from __future__ import annotations

import typer

from backend.commands import (
    audit,
    cad_trust,
    custody_terms,
    deliver,
    demo,
    duplicates,
    events,
    facts,
    funds,
    imports,
    lookup,
    market,
    quote,
    registry_simulator,
    reserve,
    services,
    statements,
    tasks,
    trust,
    venue,
    vocabulary,
    wallet,
    watch,
)

app = typer.Typer(
    name="causeway",
    help="A carbon registry and exchange on an EVM chain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for module in (
    services, venue, watch, demo, imports, trust, wallet, funds, market, lookup, audit,
    vocabulary, duplicates, facts, registry_simulator, custody_terms, tasks, quote, deliver,
    reserve, statements, events, cad_trust,
):  # fmt: skip
    module.register(app)


def main() -> None:
    """Entry point of the console command."""
    app()


if __name__ == "__main__":
    main()
