"""An export that shows credits in trust as gone: said while tokens stand on them, else not."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from backend.bridge.imports import import_export
from backend.domain.credits import Kind, Status
from backend.domain.serials import Interval
from backend.registries.summary import load
from backend.store import tables
from backend.store.custody import Custody
from backend.store.database import Database
from backend.store.retired_in_trust import list_retired_in_trust
from tests.api.backing_history import BackingHistory
from tests.api.history import History, address, make_class
from tests.registries.exports import SAMPLES, VERRA
from tests.store.rows import GS, VCS, gold, row, save
from tests.store.test_custody import CHAIN, TRUST, receipt

pytestmark = pytest.mark.integration

GONE = Status.RETIRED_OR_CANCELLED
HOLDER = address(1)
CLASS = make_class(1)


@pytest.fixture
def history(database: Database) -> History:
    made = History(database)
    made.admit(HOLDER)
    return made


def found(database: Database) -> list[tuple[str, int, int]]:
    """(series, first, last) of what the newest import recorded."""
    with database.read() as connection:
        newest = max(connection.execute(select(tables.imports.c.id)).scalars())
        return [
            (one.series, one.first, one.last) for one in list_retired_in_trust(connection, newest)
        ]


def details(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(select(tables.contradictions)))


def test_l3_a_row_that_retires_serials_under_live_tokens_is_a_contradiction(
    database: Database, history: History
) -> None:
    minted = history.mint(CLASS, HOLDER, [Interval(VCS, 150, 250)])
    history.save()
    save(database, [row(100, 300)], "active")
    result = save(database, [row(100, 199, GONE), row(200, 300)], "newer")
    assert result.contradictions == 1
    (only,) = details(database)
    assert only.description == (
        "registry shows 100-199 as retired or cancelled, tokens of class 1 stand on 150-199"
    )
    assert only.import_id == result.import_id
    wanted = {"series": "VCS:2", "first": 150, "last": 199, "class_id": str(CLASS.token_id)}
    assert {key: only.detail[key] for key in wanted} == wanted
    assert only.detail["receipt_id"] == minted
    # The same file says it again, and records nothing.
    again = save(database, [row(100, 199, GONE), row(200, 300)], "newer")
    assert (again.known, again.contradictions) == (True, 1)
    # Another file with the same rows has nothing new to say.
    assert save(database, [row(100, 199, GONE), row(200, 300)], "newest").contradictions == 0
    assert len(details(database)) == 1


def test_serials_whose_positions_have_exited_may_be_retired(
    database: Database, history: History
) -> None:
    history.mint(CLASS, HOLDER, [Interval(VCS, 101, 120), Interval(VCS, 1, 20)])
    history.retire(HOLDER, CLASS.token_id, 25_000)
    history.save()
    rows = [row(1, 5, GONE), row(6, 20), row(101, 120, GONE)]
    assert save(database, rows, "honest").contradictions == 0
    rows = [row(1, 5, GONE), row(6, 6, GONE), row(7, 20), row(101, 120, GONE)]
    assert save(database, rows, "one too many").contradictions == 1
    assert found(database) == [("VCS:2", 6, 6)]


def test_the_dust_of_an_open_tonne_is_a_token_too(database: Database, history: History) -> None:
    history.mint(CLASS, HOLDER, [Interval(VCS, 1, 10)])
    history.retire(HOLDER, CLASS.token_id, 2_500)
    history.save()
    assert save(database, [row(1, 3, GONE), row(4, 10)], "a").contradictions == 1
    assert found(database) == [("VCS:2", 3, 3)]


def test_l4_what_an_exchange_moved_out_may_be_retired_and_what_it_moved_in_may_not(
    database: Database, history: History
) -> None:
    history.mint(CLASS, HOLDER, [Interval(VCS, 1, 20)])
    history.retire(HOLDER, CLASS.token_id, 3_000)
    # The registry retired others than the positions led one to expect: 11-13 for 1-3.
    history.confirm(CLASS.token_id, 0, [Interval(VCS, 11, 13)])
    history.save()
    rows = [row(1, 10), row(11, 13, GONE), row(14, 20)]
    assert save(database, rows, "honest").contradictions == 0
    rows = [row(1, 2, GONE), row(3, 10), row(11, 13, GONE), row(14, 20)]
    assert save(database, rows, "not honest").contradictions == 1
    assert found(database) == [("VCS:2", 1, 2)]


def test_every_block_and_row_is_named_by_itself(database: Database, history: History) -> None:
    other = make_class(2)
    history.mint(CLASS, HOLDER, [Interval(VCS, 10, 19), Interval(VCS, 30, 39)])
    history.mint(other, HOLDER, [Interval(VCS, 20, 29), Interval(GS, 5, 6)])
    history.save()
    assert save(database, [row(15, 32, GONE), row(33, 35, GONE)], "a").contradictions == 4
    assert [one[1:] for one in found(database)] == [(15, 19), (20, 29), (30, 32), (33, 35)]
    records = [gold(1, 10, Kind.ISSUANCE), gold(6, 8, Kind.RETIREMENT)]
    assert save(database, records, "gold").contradictions == 1
    assert found(database) == [(str(GS), 6, 6)]


def test_serials_of_a_receipt_that_is_not_minted_yet_are_a_contradiction_too(
    database: Database,
) -> None:
    save(database, [row(1, 100)], "active")
    held = Custody(database).draft(receipt((11, 20)), CHAIN, TRUST)
    result = save(database, [row(1, 15, GONE), row(16, 100)], "newer")
    assert result.contradictions == 1
    assert found(database) == [("VCS:2", 11, 15)]
    assert f"receipt {held.id}, not minted yet, holds 11-15" in details(database)[0].description


def test_the_import_says_it_in_its_document_and_by_its_exit_code(
    database: Database, history: History
) -> None:
    path = SAMPLES / VERRA
    gone = next(record for record in load(path).records if record.status.is_final)
    minted = history.mint(CLASS, HOLDER, [gone.interval])
    history.save()
    for known in (False, True):
        document, code = import_export(database, path, lambda text: None)
        assert (document["known"], code) == (known, 1)
        assert document["retired_in_trust"] == [
            {
                "series": str(gone.interval.series),
                "first": gone.interval.first,
                "last": gone.interval.last,
                "class_id": CLASS.token_id,
                "receipt_id": minted,
            }
        ]
        assert len(document["contradictions"]) == 1


def test_l3_a_refunded_serial_is_backed_again_a_delivered_or_dead_one_is_no_news(
    database: Database,
) -> None:
    made = BackingHistory(database)
    made.mint(CLASS, HOLDER, [Interval(VCS, 100, 119)])
    refunded = made.request(HOLDER, CLASS.token_id, 3)
    assert refunded is not None
    made.act(refunded, "reject")
    made.refund(refunded)
    delivered = made.request(HOLDER, CLASS.token_id, 2)
    assert delivered is not None
    for act in ("begin", "dispatch", "finalise"):
        made.act(delivered, act)
    made.invalidate(CLASS.token_id, 10, 3)
    made.save()
    save(database, [row(100, 119)], "active")
    save(database, [row(100, 119, GONE)], "newer")
    # 100-102 stand at the back, 103-104 left, 110-112 are a published gap.
    wanted = [("VCS:2", 100, 102), ("VCS:2", 105, 109), ("VCS:2", 113, 119)]
    assert sorted(found(database)) == wanted
