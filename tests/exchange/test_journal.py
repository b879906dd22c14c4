"""The journal's store: what is appended stands; an old leader cannot write, however it tries."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from backend.domain.journal import GENESIS_HASH, Head, hash_entry
from backend.domain.orders import Account
from backend.errors import Conflict, DatabaseUnavailable, LeadershipLost
from backend.store.database import LOCK_SPACE, Database
from backend.store.journal import (
    LOCK_LEADER,
    Journal,
    JournalRow,
    LeaderSession,
    encode_copy,
)
from backend.store.venue_acts import (
    ActKind,
    ActState,
    VenueAct,
    last_act_number,
    read_acts,
    register_venue,
    set_act_state,
)

pytestmark = pytest.mark.integration

LEASE = 1.2


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    made = Database(migrated_url)
    with made.begin() as connection:
        register_venue(connection, 1, 31337, "0x" + "e5" * 20, "main")
    yield made
    made.close()


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database, 1)


def session(database: Database, name: int = 1) -> LeaderSession:
    return LeaderSession(database.url, 1, bytes([name] * 16), LEASE)


def row(seq: int, epoch: int = 1, entry: bytes = b"entry", **other: object) -> JournalRow:
    values = {"trader": None, "nonce": None, "kind": 39, "events": b"events", **other}
    return JournalRow(seq, epoch, entry, hash_entry(entry), **values)  # type: ignore[arg-type]


def lead(database: Database, journal: Journal, name: int = 1) -> LeaderSession:
    """A session that leads and has begun its epoch."""
    made = session(database, name)
    wait_until_free(database)
    assert made.try_lead()
    begin(made, journal)
    return made


def wait_until_free(database: Database) -> None:
    """Postgres ends a closed session a moment later, on a busy machine a long one."""
    deadline = time.monotonic() + 60
    query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s"
    with psycopg.connect(database.url, autocommit=True) as connection:
        mine = f"{query} AND database = (SELECT oid FROM pg_database WHERE datname = %s)"
        values = (LOCK_SPACE, LOCK_LEADER + 1, connection.info.dbname)
        while connection.execute(mine, values).fetchone() and time.monotonic() < deadline:
            time.sleep(0.01)


def copy_late(connection: psycopg.Connection[Any]) -> None:
    """An old leader's commit at entry 2, in a transaction that stays open."""
    with connection.cursor().copy("COPY journal FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(encode_copy(1, [row(2, 1, b"late")]))


def begin(leader: LeaderSession, journal: Journal) -> int:
    after = journal.tail()
    return leader.start_epoch(
        after, lambda epoch: [row(after.seq + 1, epoch, b"epoch %d" % epoch)], lambda: [b"begun"]
    )


def test_rows_come_back_as_they_were_written(database: Database, journal: Journal) -> None:
    assert journal.tail() == Head(0, GENESIS_HASH)
    with lead(database, journal) as leader:
        trader = Account(bytes(range(20)))
        written = [
            row(2, entry=b"\x00\xff\n\t\\", trader=trader, nonce=2**48 - 1, kind=1, events=b""),
            row(3, entry=bytes(1_000), events=bytes(200_000)),
            row(4, trader=trader, nonce=2**48 - 1, kind=3),
        ]
        leader.append(written)
    assert journal.read(2) == written
    assert journal.read(1, 1)[0].events == b"begun"
    assert journal.tail() == written[-1].head
    assert journal.find(trader, 2**48 - 1) == [written[0], written[2]]
    assert journal.find(trader, 1) == []
    assert journal.entries_of([(trader, 2**48 - 1), (trader, 5)], [1, 2]) == {
        (trader, 2**48 - 1): written[0].entry
    }


def test_a_group_is_committed_as_a_whole_or_not(database: Database, journal: Journal) -> None:
    with lead(database, journal) as leader:
        leader.append([row(2)])
        with pytest.raises(LeadershipLost):
            leader.append([row(3), row(4), row(2)])
    assert journal.tail().seq == 2


def test_one_leads_and_the_next_one_begins_a_new_epoch(
    database: Database, journal: Journal
) -> None:
    first, second = lead(database, journal, 1), session(database, 2)
    assert first.epoch == 1
    assert not second.try_lead()
    first.close()
    wait_until_free(database)
    assert second.try_lead()
    assert begin(second, journal) == 2
    assert [one.epoch for one in journal.read(1)] == [1, 2]
    second.close()


def test_two_standbys_race_and_one_leads(database: Database, journal: Journal) -> None:
    lead(database, journal).close()
    for _ in range(10):
        wait_until_free(database)
        candidates = [session(database, name) for name in range(2, 6)]
        with ThreadPoolExecutor(len(candidates)) as pool:
            won = list(pool.map(LeaderSession.try_lead, candidates))
        assert sorted(won) == [False, False, False, True]
        begin(candidates[won.index(True)], journal)
        for one in candidates:
            one.close()
    assert [one.epoch for one in journal.read(1)] == list(range(1, 12))


def test_a_leader_whose_lease_lapsed_is_ended_and_cannot_write(
    database: Database, journal: Journal
) -> None:
    hung, standby = lead(database, journal, 1), session(database, 2)
    assert not standby.try_lead()
    time.sleep(LEASE / 2)
    hung.renew()
    time.sleep(LEASE / 2 + 0.05)
    assert not standby.try_lead(), "a renewed lease runs anew"
    time.sleep(LEASE)
    assert standby.try_lead()
    with pytest.raises(LeadershipLost):
        hung.append([row(2)])
    with pytest.raises(LeadershipLost):
        hung.renew()
    begin(standby, journal)
    assert journal.tail().seq == 2
    standby.close()


def test_a_leader_that_hangs_inside_a_copy_is_ended_too(
    database: Database, journal: Journal
) -> None:
    hung, standby = lead(database, journal, 1), session(database, 2)
    connection = hung._connection
    assert connection is not None
    body = encode_copy(1, [row(2), row(3)])

    def write() -> None:
        columns = "venue, seq, epoch, entry, hash, trader, nonce, kind, events"
        statement = f"COPY journal ({columns}) FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(body[:-20])
            connection.pgconn.flush()
            # Longer than idle_in_transaction_session_timeout, which does not fire here.
            time.sleep(LEASE + 1.5)
            copy.write(body[-20:])

    def hang() -> None:
        with pytest.raises(psycopg.Error):
            write()
        failed.append(True)

    failed: list[bool] = []
    thread = threading.Thread(target=hang)
    thread.start()
    time.sleep(LEASE + 0.3)
    assert standby.try_lead()
    begin(standby, journal)
    thread.join()
    assert failed == [True]
    assert [(one.seq, one.epoch) for one in journal.read(1)] == [(1, 1), (2, 2)]
    standby.close()


def test_a_late_commit_of_an_old_leader_meets_the_key(database: Database, journal: Journal) -> None:
    """The commit is under way in a session that no lock and no lease knows of any more."""
    lead(database, journal).close()
    with psycopg.connect(database.url) as old:
        copy_late(old)
        wait_until_free(database)
        with session(database, 2) as new:
            assert new.try_lead()
            begun: list[int] = []
            thread = threading.Thread(target=lambda: begun.append(begin(new, journal)))
            thread.start()
            time.sleep(0.3)
            assert begun == [], "the new epoch waits for what may still be committed before it"
            old.rollback()
            thread.join()
            assert begun == [2]
            with pytest.raises(psycopg.errors.UniqueViolation):
                copy_late(old)
            old.rollback()
    assert [(one.seq, one.epoch) for one in journal.read(1)] == [(1, 1), (2, 2)]


def test_a_new_epoch_reads_again_when_the_late_commit_was_first(
    database: Database, journal: Journal
) -> None:
    lead(database, journal).close()
    with psycopg.connect(database.url) as old, session(database, 2) as new:
        copy_late(old)
        wait_until_free(database)
        assert new.try_lead()
        applied: list[int] = []
        failed: list[Exception] = []
        after = journal.tail()

        def start() -> None:
            try:
                new.start_epoch(
                    after, lambda epoch: [row(2, epoch)], lambda: [bytes([applied.append(1) or 1])]
                )
            except Conflict as error:
                failed.append(error)

        thread = threading.Thread(target=start)
        thread.start()
        time.sleep(0.3)
        old.commit()
        thread.join()
        assert len(failed) == 1
        assert applied == [], "nothing was applied for a place that was taken"
        assert begin(new, journal) == 2
    assert [(one.seq, one.epoch) for one in journal.read(1)] == [(1, 1), (2, 1), (3, 2)]


def test_an_idle_transaction_of_a_leader_ends_by_itself(
    database: Database, journal: Journal
) -> None:
    with lead(database, journal) as leader:
        connection = leader._connection
        assert connection is not None
        connection.execute("BEGIN")
        connection.execute("UPDATE journal SET kind = kind")
        time.sleep(1.3)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            connection.execute("COMMIT")
    assert journal.tail().seq == 1


def test_an_act_is_recorded_by_the_leader_alone(database: Database, journal: Journal) -> None:
    act = VenueAct(
        1, ActKind.BATCH, 1, 2, 1, 0, journal.tail(), b"batch", b"traders", b"one", b"two"
    )
    old = lead(database, journal, 1)
    old.record_act(act)
    assert old._connection is not None
    # The lock is gone as after a lost connection, the session itself is still there.
    old._connection.execute("SELECT pg_advisory_unlock_all()")
    old._connection.execute("SET application_name = 'somebody'")
    new = lead(database, journal, 2)
    with pytest.raises(LeadershipLost, match="newer epoch"):
        old.record_act(act._replace(number=2))
    new.record_act(act._replace(number=2, kind=ActKind.ANCHOR))
    with database.begin() as connection:
        set_act_state(connection, 1, 1, ActState.SUBMITTED, transaction_key="venue-1-act-1")
        signed = read_acts(connection, 1, ActState.SIGNED)
        every = read_acts(connection, 1)
        assert last_act_number(connection, 1) == 2
        assert last_act_number(connection, 2) == 0
    assert [one.number for one in signed] == [2]
    assert every[0] == act._replace(state=ActState.SUBMITTED, transaction_key="venue-1-act-1")
    old.close()
    new.close()


def test_snapshots_stand_on_the_journal_and_the_newest_stay(
    database: Database, journal: Journal
) -> None:
    with lead(database, journal) as leader:
        leader.append([row(seq, entry=b"%d" % seq) for seq in range(2, 6)])
    heads = [one.head for one in journal.read(1)]
    assert journal.newest_snapshot(1) is None
    for head in heads:
        journal.save_snapshot(head, 1, b"state %d" % head.seq)
    journal.save_snapshot(Head(9, bytes(32)), 1, b"of an entry that is not there")
    assert journal.newest_snapshot(1) == (heads[-1], b"state 5")
    assert journal.newest_snapshot(2) is None
    with database.read() as connection:
        from sqlalchemy import text

        kept = connection.execute(text("SELECT count(*) FROM journal_snapshots")).scalar()
    assert kept == 2


def test_acknowledged_is_on_disk_even_where_the_server_says_otherwise(
    database: Database, journal: Journal
) -> None:
    with lead(database, journal) as leader:
        assert leader._connection is not None
        assert leader._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
        lock = (LOCK_SPACE, LOCK_LEADER + 1)
        with psycopg.connect(database.url) as other:
            taken = other.execute("SELECT pg_try_advisory_lock(%s, %s)", lock).fetchone()
    assert taken == (False,)


def test_an_absent_postgres_is_named(database: Database) -> None:
    absent = LeaderSession("postgresql://somebody:secret@127.0.0.1:1/causeway", 1, bytes(16))
    with pytest.raises(DatabaseUnavailable) as refused:
        absent.try_lead()
    assert "secret" not in refused.value.message
