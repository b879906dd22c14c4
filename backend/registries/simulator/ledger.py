"""The registry's book: accounts, issuances, and the pieces that partition every issuance.

SQLite of the standard library, in a file of the process's own: the registry is another company's
system, so it shares neither server nor schema with Causeway, and either may die alone. Every
change is one transaction that is on disk before it is answered.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.domain.registry_requests import SerialRange
from backend.errors import Conflict, InvalidValue, NotFound
from backend.registries.simulator.faults import Faults

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS accounts (
    account TEXT PRIMARY KEY, holder TEXT NOT NULL, holds_for_others INTEGER NOT NULL,
    is_open INTEGER NOT NULL, sub_accounts TEXT NOT NULL,
    acceptance TEXT NOT NULL, acceptance_seconds INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS issuances (
    issuance INTEGER PRIMARY KEY, space TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, project TEXT NOT NULL, vintage_start TEXT NOT NULL,
    vintage_end TEXT NOT NULL, labels TEXT NOT NULL, issued_on TEXT NOT NULL, facts TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS pieces (
    piece INTEGER PRIMARY KEY AUTOINCREMENT, issuance INTEGER NOT NULL REFERENCES issuances,
    first INTEGER NOT NULL, last INTEGER NOT NULL, account TEXT NOT NULL REFERENCES accounts,
    sub_account TEXT NOT NULL, state TEXT NOT NULL, operation TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS pieces_of_account ON pieces (account, sub_account, state);
CREATE INDEX IF NOT EXISTS pieces_of_issuance ON pieces (issuance, first);
CREATE INDEX IF NOT EXISTS pieces_of_operation ON pieces (operation);
CREATE TABLE IF NOT EXISTS operations (
    reference TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, content TEXT NOT NULL,
    state TEXT NOT NULL, first_state TEXT NOT NULL, serials TEXT NOT NULL, reason TEXT NOT NULL,
    created_at INTEGER NOT NULL, due_at_ms INTEGER, expires_at INTEGER, done_on TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS operations_open ON operations (state, due_at_ms);
CREATE TABLE IF NOT EXISTS attempts (
    reference TEXT NOT NULL, call TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (reference, call)
) STRICT;
"""
#: What a recipient does with a transfer: answers by the API, or by itself after some seconds.
ACCEPTANCE = ("manual", "accept", "reject")


@dataclass(frozen=True, slots=True)
class Piece:
    """A block: a part of one issuance in one account and state (live, leaving, retired)."""

    piece: int
    issuance: int
    space: str
    first: int
    last: int
    account: str
    sub_account: str
    state: str
    operation: str | None

    @property
    def serials(self) -> SerialRange:
        return SerialRange(self.space, self.first, self.last)

    @property
    def block_id(self) -> str:
        return f"B-{self.piece:06d}"


class Ledger:
    """One connection, one lock: requests are small, and one writer at a time is the rule anyway."""

    def __init__(self, path: Path, programme: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(SCHEMA)
        with self.transaction():
            self._programme = self.fact("programme", programme)
            self.set_fact("programme", self._programme)
        if self._programme != programme:
            self.close()
            raise Conflict(
                f"{path} is the book of {self._programme}, not of {programme}",
                recorded=self._programme,
                asked=programme,
            )

    @property
    def programme(self) -> str:
        return self._programme

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nested calls join the outer one."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def execute(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Rows of one statement."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    # ── facts: clock, faults, opening hours ──────────────────────────────────────────────────

    def fact(self, name: str, default: str) -> str:
        found = self.execute("SELECT value FROM facts WHERE name = ?", name)
        return str(found[0]["value"]) if found else default

    def set_fact(self, name: str, value: str) -> None:
        self.execute(
            "INSERT INTO facts VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            value,
        )

    def now_ms(self) -> int:
        """The registry's clock: this machine's and what an administrator added."""
        return time.time_ns() // 1_000_000 + int(self.fact("clock_ms", "0"))

    def advance_clock(self, seconds: int) -> None:
        with self.transaction():
            self.set_fact("clock_ms", str(int(self.fact("clock_ms", "0")) + seconds * 1000))

    @property
    def faults(self) -> Faults:
        return Faults.from_json(json.loads(self.fact("faults", "{}")))

    def closed_until(self) -> int | None:
        """End of the maintenance that is under way (Unix seconds), None when open."""
        now = self.now_ms() // 1000
        windows = json.loads(self.fact("maintenance", "[]"))
        ends = [end for start, end in windows if start <= now < end]
        return max(ends) if ends else None

    def attempt(self, reference: str, call: str) -> int:
        """How often this call has been made for this reference, this time included."""
        with self.transaction():
            found = self.execute(
                "INSERT INTO attempts VALUES (?, ?, 1) ON CONFLICT (reference, call) "
                "DO UPDATE SET count = count + 1 RETURNING count",
                reference,
                call,
            )
        return int(found[0]["count"])

    # ── accounts and issuances ───────────────────────────────────────────────────────────────

    def open_account(
        self,
        account: str,
        holder: str,
        sub_accounts: Sequence[str],
        *,
        holds_for_others: bool,
        is_open: bool,
        acceptance: str,
        acceptance_seconds: int,
    ) -> None:
        """Open an account, or restate it: the same number with other facts changes them."""
        if acceptance not in ACCEPTANCE:
            raise InvalidValue("acceptance", acceptance, f"is not one of {ACCEPTANCE}")
        with self.transaction():
            self.execute(
                "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account) DO UPDATE "
                "SET holder = excluded.holder, holds_for_others = excluded.holds_for_others, "
                "is_open = excluded.is_open, sub_accounts = excluded.sub_accounts, "
                "acceptance = excluded.acceptance, "
                "acceptance_seconds = excluded.acceptance_seconds",
                account,
                holder,
                int(holds_for_others),
                int(is_open),
                json.dumps(list(sub_accounts)),
                acceptance,
                acceptance_seconds,
            )

    def account(self, account: str, sub_account: str = "") -> sqlite3.Row:
        """Raises NotFound for an account or a sub-account that nobody opened."""
        found = self.execute("SELECT * FROM accounts WHERE account = ?", account)
        if not found or (sub_account and sub_account not in json.loads(found[0]["sub_accounts"])):
            named = f"{account}/{sub_account}" if sub_account else account
            raise NotFound(f"there is no account {named}", account=named)
        return found[0]

    def issue(
        self,
        serials: SerialRange,
        account: str,
        sub_account: str,
        described: dict[str, Any],
        issued_on: str,
    ) -> int:
        """Issue a block into an account; Conflict when a serial of it was issued before."""
        with self.transaction():
            self.account(account, sub_account)
            taken = self.execute(
                "SELECT * FROM issuances WHERE space = ? AND first <= ? AND last >= ?",
                serials.space,
                serials.last,
                serials.first,
            )
            if taken:
                other = f"{taken[0]['space']}/{taken[0]['first']}-{taken[0]['last']}"
                raise Conflict(f"{serials} overlaps {other}", serials=str(serials), taken=other)
            made = self.execute(
                "INSERT INTO issuances (space, first, last, project, vintage_start, vintage_end, "
                "labels, issued_on, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING issuance",
                serials.space,
                serials.first,
                serials.last,
                described["project"],
                described["vintage_start"],
                described["vintage_end"],
                json.dumps(sorted(described.get("labels", []))),
                issued_on,
                json.dumps(described.get("facts", {}), sort_keys=True),
            )
            issuance = int(made[0]["issuance"])
            self.execute(
                "INSERT INTO pieces (issuance, first, last, account, sub_account, state) "
                "VALUES (?, ?, ?, ?, ?, 'live')",
                issuance,
                serials.first,
                serials.last,
                account,
                sub_account,
            )
        return issuance

    def issuance(self, issuance: int) -> sqlite3.Row:
        return self.execute("SELECT * FROM issuances WHERE issuance = ?", issuance)[0]

    # ── pieces ───────────────────────────────────────────────────────────────────────────────

    def pieces(self, where: str = "1", *values: Any) -> list[Piece]:
        """Pieces by series and serial."""
        rows = self.execute(
            "SELECT p.piece, p.issuance, i.space, p.first, p.last, p.account, p.sub_account, "
            "p.state, p.operation FROM pieces p JOIN issuances i USING (issuance) "
            f"WHERE {where} ORDER BY i.space, p.first",
            *values,
        )
        return [Piece(*row) for row in rows]

    def held(self, account: str, sub_account: str, state: str = "live") -> list[Piece]:
        return self.pieces(
            "p.account = ? AND p.sub_account = ? AND p.state = ?", account, sub_account, state
        )

    def of_class(self, like: Piece) -> list[Piece]:
        """Live pieces beside one: of its account, project, vintage and labels."""
        return self.pieces(
            "p.account = ? AND p.sub_account = ? AND p.state = 'live' AND "
            "(i.project, i.vintage_start, i.vintage_end, i.labels) = "
            "(SELECT project, vintage_start, vintage_end, labels FROM issuances "
            "WHERE issuance = ?)",
            like.account,
            like.sub_account,
            like.issuance,
        )

    def cut(self, piece: Piece, first: int, last: int, state: str, operation: str) -> None:
        """Give [first, last] of a piece another state; what is left stands as pieces of its own.

        The part before keeps the block's id; the others get new ones, as registries do it.
        """
        assert piece.first <= first <= last <= piece.last
        self.execute("DELETE FROM pieces WHERE piece = ?", piece.piece)
        if piece.first < first:
            self.execute(
                "INSERT INTO pieces VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                piece.piece,
                piece.issuance,
                piece.first,
                first - 1,
                piece.account,
                piece.sub_account,
                piece.state,
                piece.operation,
            )
        rest = [(first, last, state, operation)]
        if last < piece.last:
            rest.append((last + 1, piece.last, piece.state, piece.operation or ""))
        for begin, end, now, by in rest:
            self.execute(
                "INSERT INTO pieces (issuance, first, last, account, sub_account, state, operation)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                piece.issuance,
                begin,
                end,
                piece.account,
                piece.sub_account,
                now,
                by or None,
            )

    def partition_breaks(self) -> list[str]:
        """Issuances whose pieces do not cover them exactly once: always none."""
        found = []
        for row in self.execute("SELECT * FROM issuances ORDER BY issuance"):
            expected = int(row["first"])
            for piece in self.pieces("p.issuance = ?", row["issuance"]):
                if piece.first != expected:
                    found.append(f"issuance {row['issuance']}: {piece.serials}, not {expected}")
                expected = piece.last + 1
            if expected != int(row["last"]) + 1:
                found.append(f"issuance {row['issuance']}: ends at {expected - 1}")
        return found
