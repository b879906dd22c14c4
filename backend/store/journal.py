"""The journal of one venue in Postgres: append-only, one writer at a time, fenced by its key (L9).

A row is the exact bytes of an entry with its events. `Journal` reads; `LeaderSession` is the one
connection a leader writes with. What keeps an old leader out (DESIGN.md section 5): the key
(venue, seq), because a leader only ever writes behind the last entry it knows and a new one first
writes the start of its epoch there; the session's advisory lock, which Postgres frees with the
process; the lease on the database's clock, after which a standby ends the session of a leader that
hangs, also inside a COPY.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Self, cast

import psycopg
from psycopg import errors, sql

from backend.domain.journal import GENESIS_HASH, Head
from backend.domain.orders import Account
from backend.errors import Conflict, DatabaseUnavailable, LeadershipLost
from backend.store.database import (
    CONNECT_TIMEOUT_SECONDS,
    LOCK_SPACE,
    Database,
    raw,
)
from backend.store.venue_acts import VenueAct

#: Advisory locks of leaders: this number plus the venue's, beside those of `database`.
LOCK_LEADER: Final = 1_000
#: A leader that gave no sign of life for so long (database's clock) may be replaced.
LEASE_SECONDS: Final = 2.0
#: Longest wait, in `start_epoch`, for a transaction of an old leader that is being ended.
_LOCK_WAIT: Final = "2s"
_COLUMNS: Final = "venue, seq, epoch, entry, hash, trader, nonce, kind, events"
_COPY: Final = f"COPY journal ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_SELECT: Final = f"SELECT {_COLUMNS.removeprefix('venue, ')} FROM journal WHERE venue = %s"
_COPY_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"
_HEAD: Final = struct.Struct(">hiiiqiii")
_HASH: Final = struct.Struct(">i32s")
_TRADER: Final = struct.Struct(">i20siq")
_NO_TRADER: Final = struct.pack(">ii", -1, -1)
_TAIL: Final = struct.Struct(">ihi")


class JournalRow(NamedTuple):
    """One stored entry. `trader` and `nonce` stand on traders' commands alone."""

    seq: int
    epoch: int
    entry: bytes
    hash: bytes
    trader: bytes | None
    nonce: int | None
    kind: int
    events: bytes

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)


class Journal:
    """Reading one venue's journal; safe to share between threads."""

    def __init__(self, database: Database, venue: int) -> None:
        self._database = database
        self.venue = venue

    def tail(self) -> Head:
        """Number and hash of the last committed entry; 0 and zeros when there is none."""
        query = "SELECT seq, hash FROM journal WHERE venue = %s ORDER BY seq DESC LIMIT 1"
        found = self._fetch(query, (self.venue,))
        return Head(found[0][0], found[0][1]) if found else Head(0, GENESIS_HASH)

    def read(self, from_seq: int, limit: int = 1_000) -> list[JournalRow]:
        """Committed entries from a number on."""
        # Numbers have no gaps, so a range of them is a page: any plan reads no more than that.
        query = f"{_SELECT} AND seq >= %s AND seq < %s ORDER BY seq"
        return _rows(self._fetch(query, (self.venue, from_seq, from_seq + limit)))

    def find(self, trader: Account, nonce: int) -> list[JournalRow]:
        """Entries under a nonce, oldest first: the command that used it, cancels that name it."""
        query = f"{_SELECT} AND trader = %s AND nonce = %s ORDER BY seq LIMIT 100"
        return _rows(self._fetch(query, (self.venue, trader, nonce)))

    def entries_of(
        self, nonces: Sequence[tuple[Account, int]], kinds: Sequence[int]
    ) -> dict[tuple[Account, int], bytes]:
        """The first entry of these kinds under each (trader, nonce), in its stored bytes."""
        query = (
            "SELECT DISTINCT ON (j.trader, j.nonce) j.trader, j.nonce, j.entry FROM journal j"
            " JOIN unnest(%s::bytea[], %s::bigint[]) AS wanted (trader, nonce)"
            " ON j.trader = wanted.trader AND j.nonce = wanted.nonce"
            " WHERE j.venue = %s AND j.kind = ANY(%s::smallint[])"
            " ORDER BY j.trader, j.nonce, j.seq"
        )
        traders = [bytes(trader) for trader, _ in nonces]
        numbers = [nonce for _, nonce in nonces]
        found = self._fetch(query, (traders, numbers, self.venue, list(kinds)))
        return {(Account(bytes(row[0])), row[1]): bytes(row[2]) for row in found}

    def lease(self) -> tuple[int, bytes, bool] | None:
        """(epoch, leader, whether its lease has lapsed), None before the first leader."""
        query = "SELECT epoch, leader, expires_at < clock_timestamp() FROM venue_leases"
        found = self._fetch(f"{query} WHERE venue = %s", (self.venue,))
        return (found[0][0], bytes(found[0][1]), found[0][2]) if found else None

    # ── snapshots ────────────────────────────────────────────────────────────────────────────

    def save_snapshot(self, head: Head, schema: int, state: bytes, keep: int = 2) -> None:
        """Keep a state of the engine after an entry; only the newest `keep` stay."""
        with self._database.begin() as connection, raw(connection).cursor() as cursor:
            cursor.execute(
                "INSERT INTO journal_snapshots (venue, seq, hash, schema, state)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (self.venue, head.seq, head.hash, schema, state),
            )
            cursor.execute(
                "DELETE FROM journal_snapshots WHERE venue = %s AND seq < (SELECT min(seq) FROM"
                " (SELECT seq FROM journal_snapshots WHERE venue = %s AND schema = %s"
                " ORDER BY seq DESC LIMIT %s) AS newest)",
                (self.venue, self.venue, schema, keep),
            )

    def newest_snapshot(self, schema: int) -> tuple[Head, bytes] | None:
        """The newest state of this schema that stands on the journal as it is."""
        query = (
            "SELECT s.seq, s.hash, s.state FROM journal_snapshots s JOIN journal j"
            " ON j.venue = s.venue AND j.seq = s.seq AND j.hash = s.hash"
            " WHERE s.venue = %s AND s.schema = %s ORDER BY s.seq DESC LIMIT 1"
        )
        found = self._fetch(query, (self.venue, schema))
        return (Head(found[0][0], bytes(found[0][1])), bytes(found[0][2])) if found else None

    def _fetch(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._database.read() as connection, raw(connection).cursor(binary=True) as cursor:
            return cursor.execute(cast("Any", query), values).fetchall()


class LeaderSession:
    """The connection of a candidate, then of the leader. One thread at a time.

    Whatever fails after `try_lead` was True means that this process cannot know any more what is
    committed or who leads: it raises LeadershipLost and the process must end.
    """

    def __init__(
        self, url: str, venue: int, leader: bytes, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._url = url
        self._venue = venue
        self._leader = leader
        self._lease_seconds = lease_seconds
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = (LOCK_SPACE, LOCK_LEADER + venue)
        self.epoch = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    # ── becoming the leader ──────────────────────────────────────────────────────────────────

    def try_lead(self) -> bool:
        """Take the leader's lock if it is free, or if the lease of who holds it has lapsed.

        Raises DatabaseUnavailable; the session is opened anew at the next call then.
        """
        try:
            connection = self._open()
            if self._locked(connection):
                return True
            if not self._end_lapsed(connection):
                return False
            return self._locked(connection)
        except psycopg.Error as error:
            self.close()
            raise DatabaseUnavailable(f"Postgres does not answer: {_line(error)}") from error

    def start_epoch(
        self,
        after: Head,
        write: Callable[[int], Sequence[JournalRow]],
        apply: Callable[[], Sequence[bytes]],
    ) -> int:
        """Begin an epoch with its first entries behind `after`; returns the epoch.

        `write(epoch)` makes the rows, without events; once nobody else can write in their places
        `apply()` gives the events. Raises Conflict when the journal has gone on from `after`: an
        old leader's last commit came through; read it and call again.
        """
        connection = self._open()
        try:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute(cast("Any", f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
                epoch = self._next_epoch(cursor)
                rows = write(epoch)
                # Waits here for whoever has an uncommitted entry in this place.
                self._copy(cursor, rows)
                if rows[0].seq != after.seq + 1 or self._hash_at(cursor, after.seq) != after.hash:
                    raise Conflict(f"the journal does not end at entry {after.seq}", seq=after.seq)
                for row, events in zip(rows, apply(), strict=True):
                    cursor.execute(
                        "UPDATE journal SET events = %s WHERE venue = %s AND seq = %s",
                        (events, self._venue, row.seq),
                    )
        except (errors.UniqueViolation, errors.LockNotAvailable) as error:
            raise Conflict(
                f"the journal has gone on after entry {after.seq}", seq=after.seq
            ) from error
        except psycopg.Error as error:
            raise self._lost(error) from error
        self.epoch = epoch
        return epoch

    # ── being the leader ─────────────────────────────────────────────────────────────────────

    def append(self, rows: Iterable[JournalRow]) -> None:
        """Commit entries with their events, all or none: one COPY is one transaction."""
        try:
            with self._mine().cursor() as cursor:
                self._copy(cursor, rows)
        except psycopg.Error as error:
            raise self._lost(error) from error

    def renew(self) -> None:
        """A sign of life: the lease runs anew from now."""
        try:
            renewed = self._mine().execute(
                "UPDATE venue_leases SET expires_at = clock_timestamp() + %s * interval '1 second'"
                " WHERE venue = %s AND epoch = %s",
                (self._lease_seconds, self._venue, self.epoch),
            )
        except psycopg.Error as error:
            raise self._lost(error) from error
        if renewed.rowcount != 1:
            raise self._lost("a newer epoch has begun")

    def record_act(self, act: VenueAct) -> None:
        """Store an act for the chain; refused when there is a newer epoch."""
        try:
            stored = self._mine().execute(
                "INSERT INTO venue_acts (venue, number, epoch, kind, first_trade, last_trade,"
                " first_withdrawal, last_withdrawal, seq, head, content, signatures,"
                " sequencer_signature, watcher_signature, state)"
                " SELECT venue, %s, epoch, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s"
                " FROM venue_leases WHERE venue = %s AND epoch = %s FOR SHARE",
                (
                    act.number,
                    act.kind.value,
                    *act[2:6],
                    act.head.seq,
                    act.head.hash,
                    *act[7:11],
                    act.state.value,
                    self._venue,
                    self.epoch,
                ),
            )
        except psycopg.Error as error:
            raise self._lost(error) from error
        if stored.rowcount != 1:
            raise self._lost("a newer epoch has begun")

    def give_up(self) -> None:
        """Let the next leader in at once: the lease ends and the lock is free."""
        with suppress(psycopg.Error, LeadershipLost):
            self._mine().execute(
                "UPDATE venue_leases SET expires_at = clock_timestamp()"
                " WHERE venue = %s AND epoch = %s",
                (self._venue, self.epoch),
            )
        self.close()

    def close(self) -> None:
        """End the session; Postgres frees its lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name=f"causeway-standby-{self._venue}",
                keepalives_idle=2,
                keepalives_interval=1,
                keepalives_count=3,
            )
            self._connection.execute("SET idle_in_transaction_session_timeout = '1s'")
            # An acknowledged order is on disk, whatever the server's default says.
            if self._connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
                self._connection.execute("SET synchronous_commit = on")
        return self._connection

    def _mine(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            raise self._lost("the session is closed")
        return self._connection

    def _locked(self, connection: psycopg.Connection[Any]) -> bool:
        found = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", self._lock).fetchone()
        if found is None or not found[0]:
            return False
        # The lease is this candidate's from here on: the lapsed one was its predecessor's.
        connection.execute(
            "INSERT INTO venue_leases AS mine (venue, epoch, leader, expires_at)"
            " VALUES (%s, 0, %s, clock_timestamp() + %s * interval '1 second')"
            " ON CONFLICT (venue) DO UPDATE SET expires_at = excluded.expires_at",
            (self._venue, self._leader, self._lease_seconds),
        )
        # Whoever wrote under this name and is still there is an old leader: its session ends.
        name = f"causeway-leader-{self._venue}"
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            " AND datname = current_database() AND pid <> pg_backend_pid()",
            (name,),
        )
        connection.execute(sql.SQL("SET application_name = {}").format(sql.Literal(name)))
        return True

    def _end_lapsed(self, connection: psycopg.Connection[Any]) -> bool:
        """End the session that holds the lock, if its lease has lapsed; False when it has not."""
        ended = connection.execute(
            "SELECT pg_terminate_backend(l.pid, 1000) FROM pg_locks l, venue_leases v"
            " WHERE l.locktype = 'advisory' AND l.classid = %s AND l.objid = %s AND l.granted"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND l.pid <> pg_backend_pid()"
            " AND v.venue = %s AND v.expires_at < clock_timestamp()",
            (*self._lock, self._venue),
        ).fetchall()
        return bool(ended)

    def _next_epoch(self, cursor: psycopg.Cursor[Any]) -> int:
        cursor.execute(
            "INSERT INTO venue_leases AS mine (venue, epoch, leader, expires_at)"
            " VALUES (%(venue)s, 1, %(leader)s,"
            " clock_timestamp() + %(lease)s * interval '1 second')"
            " ON CONFLICT (venue) DO UPDATE SET epoch = mine.epoch + 1,"
            " leader = excluded.leader, expires_at = excluded.expires_at RETURNING epoch",
            {"venue": self._venue, "leader": self._leader, "lease": self._lease_seconds},
        )
        found = cursor.fetchone()
        assert found is not None
        return int(found[0])

    def _hash_at(self, cursor: psycopg.Cursor[Any], seq: int) -> bytes:
        if seq == 0:
            return GENESIS_HASH
        cursor.execute("SELECT hash FROM journal WHERE venue = %s AND seq = %s", (self._venue, seq))
        found = cursor.fetchone()
        return bytes(found[0]) if found else b""

    def _copy(self, cursor: psycopg.Cursor[Any], rows: Iterable[JournalRow]) -> None:
        with cursor.copy(_COPY) as copy:
            copy.write(encode_copy(self._venue, rows))

    def _lost(self, reason: object) -> LeadershipLost:
        said = _line(reason)
        return LeadershipLost(
            f"leader of venue {self._venue} in epoch {self.epoch}: {said}",
            venue=self._venue,
            epoch=self.epoch,
            reason=said,
        )


def encode_copy(venue: int, rows: Iterable[JournalRow]) -> bytes:
    """Rows as COPY's binary format takes them: the bytes go in as they are."""
    parts = [_COPY_BEGIN]
    for seq, epoch, entry, entry_hash, trader, nonce, kind, events in rows:
        parts.append(_HEAD.pack(9, 4, venue, 8, seq, 4, epoch, len(entry)))
        parts.append(entry)
        parts.append(_HASH.pack(32, entry_hash))
        parts.append(_NO_TRADER if trader is None else _TRADER.pack(20, trader, 8, nonce))
        parts.append(_TAIL.pack(2, kind, len(events)))
        parts.append(events)
    parts.append(_COPY_END)
    return b"".join(parts)


def _rows(found: Iterable[tuple[Any, ...]]) -> list[JournalRow]:
    return [JournalRow._make(row) for row in found]


def _line(error: object) -> str:
    return " ".join(str(error).split())
