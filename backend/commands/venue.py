"""Commands of a venue's operator: the sequencer, and the journal exported, verified, replayed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import typer

from backend.commands.context import Context
from backend.commands.output import JSON_OPTION, configure_logs, emit, reporting, say
from backend.domain.journal_file import Stored, read_stored, write_header, write_stored
from backend.domain.orders import account_of
from backend.errors import NotFound
from backend.exchange.journal_check import Checked, check_journal
from backend.store.journal import Journal

journal_app = typer.Typer(no_args_is_help=True, help="The venue's journal: the record of it all.")
#: Entries read from the database at once.
_PAGE = 5_000
EVENTS_OPTION = typer.Option(False, "--events", help="Replay it too and compare every event.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("sequencer")(sequencer)
    app.add_typer(journal_app, name="journal")


def sequencer() -> None:
    """Lead the venue, or stand by while another process leads, until stopped."""
    from backend.bus.venue_messages import watcher_subject
    from backend.exchange.asking import Asker
    from backend.exchange.feed import ChainFeed
    from backend.exchange.leadership import VenueConfig
    from backend.exchange.sequencer import Sequencer
    from backend.exchange.settlement import ChainPoint, Settlement

    with reporting():
        context = Context.load()
        configure_logs()
        settings, deployment = context.settings, context.deployment
        key = context.keys.get("sequencer")
        window, skew = context.contracts.read_many(
            [("Exchange", "WINDOW", ()), ("Exchange", "SKEW", ())]
        )
        config = VenueConfig(
            deployment.chain_id,
            account_of(deployment["Exchange"]),
            key,
            window_seconds=window,
            skew_seconds=skew,
            venue=settings.venue,
            confirmations=settings.confirmations,
            maker_bps=settings.maker_fee_bps,
            taker_bps=settings.taker_fee_bps,
        )
        nats_url = settings.require_nats_url()
        feed = ChainFeed(context.database, settings.venue, settings.confirmations)
        ask = Asker(nats_url, watcher_subject(deployment.chain_id, settings.venue))

        async def proof() -> ChainPoint | None:
            final = feed.journalled_to
            return ChainPoint(final.number, final.timestamp) if final else None

        settlement = Settlement(key, config.domain, context.database, ask, proof)
        database_url = settings.require_database_url()
        Sequencer(config, database_url, nats_url, [feed, settlement]).run()


@journal_app.command("export")
def export(file: Path = typer.Argument(help="File to write."), as_json: bool = JSON_OPTION) -> None:
    """Write the whole journal into one file that anybody can verify without a database."""
    with reporting(as_json), Context.load(as_json) as context:
        count = do_export(context, file)
        document = {"entries": count, "file": str(file)}
        emit(as_json, document, lambda: say(f"journal: {count} entries written to {file}"))


def do_export(context: Context, file: Path) -> int:
    """Write the journal into a file, whole or not at all; returns the number of entries."""
    journal = Journal(context.database, context.settings.venue)
    temporary = file.with_name(file.name + ".part")
    try:
        with temporary.open("wb") as target:
            write_header(target)
            count = write_stored(target, _stored(journal))
            target.flush()
            os.fsync(target.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return count


@journal_app.command("verify")
def verify(
    file: Path = typer.Argument(help="An exported journal."),
    events: bool = EVENTS_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Check a file's chain of hashes and every signature; with --events its replay too."""
    with reporting(as_json):
        try:
            source = file.open("rb")
        except OSError as error:
            raise NotFound(f"{file} cannot be read: {error.strerror}", file=str(file)) from error
        with source:
            _tell(as_json, check_journal(read_stored(source), replay=events))


@journal_app.command("replay")
def replay(as_json: bool = JSON_OPTION) -> None:
    """Replay the database's journal from its first entry and compare every event."""
    with reporting(as_json), Context.load(as_json) as context:
        journal = Journal(context.database, context.settings.venue)
        _tell(as_json, check_journal(_stored(journal), replay=True))


def _stored(journal: Journal) -> Iterator[Stored]:
    seq = 1
    while rows := journal.read(seq, _PAGE):
        for row in rows:
            yield Stored(row.entry, row.events)
        seq = rows[-1].seq + 1


def _tell(as_json: bool, checked: Checked) -> None:
    document = {
        "entries": checked.head.seq,
        "head": checked.head.hash,
        "epochs": checked.epochs,
        "trades": checked.trades if checked.digest else None,
        "state": checked.digest,
    }

    def text() -> None:
        say(
            f"journal: {checked.head.seq} entries in {checked.epochs} epochs hold, "
            f"head 0x{checked.head.hash.hex()}"
        )
        if checked.digest:
            say(f"replay: {checked.trades} trades, every event equal, state "
                f"0x{checked.digest.hex()}")  # fmt: skip

    emit(as_json, document, text)
