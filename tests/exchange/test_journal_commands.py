"""`causeway journal`: an export that anybody can verify, and forgeries that it finds."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from backend.commands import venue
from backend.domain.commands import PlaceOrder
from backend.domain.journal import Entry, decode_entry, encode_entry, hash_entry
from backend.domain.journal_file import Stored, read_stored, write_header, write_stored
from backend.errors import JournalInconsistent
from backend.exchange.journal_check import check_journal
from tests.exchange.market import Market

pytestmark = pytest.mark.integration

app = Typer()
venue.register(app)


@pytest.fixture
def traded(market: Market, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Market:
    """A venue with a few trades whose sequencer has stopped."""
    running = market.start()
    market.wait_funded()
    market.send(*(market.order(at % 2, at, side=at % 2, quantity=at + 1) for at in range(10)))
    market.send(market.cancel(0, 8))
    running.stop()
    monkeypatch.setenv("CAUSEWAY_HOME", str(tmp_path))
    monkeypatch.setenv("CAUSEWAY_DATABASE_URL", market.database_url)
    return market


def run(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, words)
    return found.exit_code, found.output


def rebuilt(stored: list[Stored], at: int, change: dict[str, object]) -> list[Stored]:
    """The journal with one entry changed and every later hash made right again."""
    made: list[Stored] = []
    previous = bytes(32)
    for place, one in enumerate(stored):
        entry: Entry = decode_entry(one.entry)._replace(previous=previous)
        if place == at:
            entry = entry._replace(**change)  # type: ignore[arg-type]
        raw = encode_entry(entry)
        previous = hash_entry(raw)
        made.append(Stored(raw, one.events))
    return made


def test_an_export_is_the_whole_journal_and_verifies(traded: Market, tmp_path: Path) -> None:
    file = tmp_path / "venue.journal"
    assert run("journal", "export", str(file))[0] == 0
    stored = list(read_stored(BytesIO(file.read_bytes())))
    assert stored == [Stored(row.entry, row.events) for row in traded.rows()]
    status, said = run("journal", "verify", str(file), "--events", "--json")
    assert status == 0
    state = traded.check().engine
    assert state.digest().hex() in said
    assert f'"trades": "{state.next_trade - 1}"' in said
    assert state.next_trade > 1
    assert run("journal", "verify", str(file))[0] == 0
    assert run("journal", "replay")[0] == 0
    assert run("journal", "verify", str(tmp_path / "absent"))[0] == 2


def test_l9_every_kind_of_forgery_is_found_and_named(traded: Market, tmp_path: Path) -> None:
    stored = [Stored(row.entry, row.events) for row in traded.rows()]
    order = next(
        at for at, one in enumerate(stored)
        if isinstance(decode_entry(one.entry).command, PlaceOrder)
    )  # fmt: skip
    command = decode_entry(stored[order].entry).command
    assert isinstance(command, PlaceOrder)
    dearer = command._replace(order=command.order._replace(price=command.order.price + 1))
    forgeries = {
        "is not signed by its trader": rebuilt(stored, order, {"command": dearer}),
        "older epoch or time": rebuilt(stored, order, {"time_ms": 1}),
        "does not follow": stored[:order] + stored[order + 1 :],
        "does not follow from": [*stored[:order], stored[order], *stored[order:]],
        "opens no venue": rebuilt(
            [Stored(encode_entry(decode_entry(one.entry)._replace(seq=at + 1)), one.events)
             for at, one in enumerate(stored[1:])], 0, {}
        ),
    }  # fmt: skip
    for rule, forged in forgeries.items():
        with pytest.raises(JournalInconsistent, match=rule):
            check_journal(forged, replay=False)
    events = [*stored]
    events[order] = Stored(stored[order].entry, b"")
    check_journal(events, replay=False)
    with pytest.raises(JournalInconsistent, match=f"entry {order + 1} has other events"):
        check_journal(events, replay=True)
    file = tmp_path / "forged.journal"
    with file.open("wb") as target:
        write_header(target)
        write_stored(target, forgeries["is not signed by its trader"])
    status, said = run("journal", "verify", str(file))
    assert status == 2
    assert f"journal entry {order + 1}" in said
