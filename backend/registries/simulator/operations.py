"""What the registry does for account holders: retirements and transfers, each once by reference."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from backend.domain.registry_requests import SerialRange
from backend.errors import Conflict, InvalidValue, NotFound
from backend.registries.simulator.ledger import Ledger, Piece

RETIREMENT, TRANSFER = "retirement", "transfer"
#: queued (taken, not done), pending (waits for the recipient), done; the rest are final noes.
OPEN_STATES = ("queued", "pending")
#: How long a recipient may wait when the sender names no end.
TRANSFER_SECONDS = 14 * 86_400


class Operations:
    """All changes of what is held. Every method first does what is due by the registry's clock."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    # ── asked by account holders ─────────────────────────────────────────────────────────────

    def ask(self, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Take a request, or find it: the same reference with other content is a Conflict."""
        ledger = self._ledger
        text = json.dumps({"kind": kind, **content}, sort_keys=True, ensure_ascii=False)
        with ledger.transaction():
            self.do_what_is_due()
            found = self._operation(content["reference"])
            if found is not None:
                if found["content"] != text:
                    raise Conflict(
                        f"{content['reference']} was asked before with other content",
                        reference=content["reference"],
                    )
                return self._shown(found)
            return self._take(kind, content, text)

    def _take(self, kind: str, content: Mapping[str, Any], text: str) -> dict[str, Any]:
        ledger, reference = self._ledger, content["reference"]
        faults, now_ms = ledger.faults, ledger.now_ms()
        queued = faults.strikes("queued", reference)
        delay = 0
        if queued:
            delay = faults.number("due", reference) % (faults.queue_seconds * 1000 + 1)
        number = ledger.execute("SELECT coalesce(max(number), 0) + 1 AS next FROM operations")
        ledger.execute(
            "INSERT INTO operations VALUES (?, ?, ?, 'queued', 'queued', '[]', '', ?, ?, ?, NULL)",
            reference,
            number[0]["next"],
            text,
            now_ms // 1000,
            now_ms + delay,
            content.get("expires_at"),
        )
        if not queued:
            self._carry_out(reference)
            ledger.execute(
                "UPDATE operations SET first_state = CASE WHEN state = 'done' THEN 'queued' "
                "ELSE state END WHERE reference = ?",
                reference,
            )
        taken = self._operation(reference)
        assert taken is not None
        return self._shown(taken)

    def find(self, reference: str, as_taken: bool = False) -> dict[str, Any] | None:
        """The operation of a reference; `as_taken` shows what it was at first, without serials."""
        with self._ledger.transaction():
            self.do_what_is_due()
            found = self._operation(reference)
        if found is None:
            return None
        shown = self._shown(found)
        if as_taken and found["first_state"] in OPEN_STATES:
            shown |= {
                "state": found["first_state"],
                "serials": [],
                "date": None,
                "certificate_id": "",
                "reason": "",
            }
        return shown

    def by_number(self, registry_reference: str) -> dict[str, Any]:
        """The operation of one of the registry's own references; raises NotFound."""
        with self._ledger.transaction():
            self.do_what_is_due()
            digits = registry_reference.rpartition("-")[2]
            number = int(digits) if digits.isascii() and digits.isdecimal() else 0
            for row in self._ledger.execute("SELECT * FROM operations WHERE number = ?", number):
                if self._number(row) == registry_reference:
                    return self._shown(row)
        raise NotFound(f"there is no operation {registry_reference}", reference=registry_reference)

    def answer_transfer(self, registry_reference: str, accept: bool, reason: str) -> dict[str, Any]:
        """The recipient takes a transfer or does not. Again the same answer changes nothing."""
        with self._ledger.transaction():
            shown = self.by_number(registry_reference)
            reference, wanted = shown["reference"], "done" if accept else "rejected"
            if shown["state"] not in ("pending", wanted):
                raise Conflict(
                    f"{registry_reference} is {shown['state']}", reference=registry_reference
                )
            if shown["state"] == "pending":
                if accept:
                    self._accept(reference)
                else:
                    self._give_back(reference, "rejected", reason or "the recipient refused")
            again = self.find(reference)
        assert again is not None
        return again

    # ── what is due ──────────────────────────────────────────────────────────────────────────

    def do_what_is_due(self) -> int:
        """Carry out what was queued, by its due time; let recipients answer; let transfers expire.

        Returns how many operations moved.
        """
        ledger = self._ledger
        moved = 0
        with ledger.transaction():
            now_ms = ledger.now_ms()
            for row in ledger.execute(
                "SELECT reference FROM operations WHERE state = 'queued' AND due_at_ms <= ? "
                "ORDER BY due_at_ms, number",
                now_ms,
            ):
                self._carry_out(row["reference"])
                moved += 1
            for row in ledger.execute(
                "SELECT * FROM operations WHERE state = 'pending' "
                "AND (due_at_ms <= ? OR expires_at < ?) ORDER BY due_at_ms, number",
                now_ms,
                now_ms // 1000,
            ):
                moved += self._move_pending(row, now_ms)
        return moved

    def _move_pending(self, row: sqlite3.Row, now_ms: int) -> bool:
        """An end that lies before the recipient's answer wins, however late anybody looks."""
        recipient = self._recipient(json.loads(row["content"])["recipient"])
        acceptance = "manual" if recipient is None else recipient[0]["acceptance"]
        answers_at = row["due_at_ms"] or 0
        expires_at_ms = row["expires_at"] * 1000
        if acceptance != "manual" and answers_at <= min(now_ms, expires_at_ms):
            if acceptance == "accept":
                self._accept(row["reference"])
            else:
                self._give_back(row["reference"], "rejected", "the recipient refused")
            return True
        if expires_at_ms < now_ms:
            self._give_back(row["reference"], "expired", "the recipient did not answer in time")
            return True
        if acceptance == "manual":
            self._wait(row["reference"])
        return False

    def _wait(self, reference: str) -> None:
        """Nothing happens by itself any more, but the end: not looked at at every request."""
        self._ledger.execute(
            "UPDATE operations SET due_at_ms = NULL WHERE reference = ?", reference
        )

    def reconsider(self) -> None:
        """A recipient's rule may have changed: look at what waits for one again."""
        self._ledger.execute(
            "UPDATE operations SET due_at_ms = ? WHERE state = 'pending' AND due_at_ms IS NULL",
            self._ledger.now_ms(),
        )

    def _carry_out(self, reference: str) -> None:
        """Do one queued operation now, or refuse it for ever."""
        row = self._operation(reference)
        assert row is not None
        content = json.loads(row["content"])
        try:
            taken = self._chosen(content)
            if content["kind"] == RETIREMENT:
                self._retire(reference, content, taken)
            else:
                self._send(reference, content, taken)
        except (InvalidValue, NotFound) as error:
            self._ledger.execute(
                "UPDATE operations SET state = 'refused', reason = ? WHERE reference = ?",
                error.message,
                reference,
            )

    def _chosen(self, content: Mapping[str, Any]) -> list[tuple[Piece, int, int]]:
        """The pieces and serials that will be taken; raises InvalidValue when it may not be."""
        ledger, reference = self._ledger, content["reference"]
        account = ledger.account(content["account"], content["sub_account"])
        if not account["is_open"]:
            raise InvalidValue("account", content["account"], "is closed")
        if ledger.faults.strikes("refuse", reference):
            raise InvalidValue("request", reference, "was not approved by the registry")
        wanted = SerialRange.parse(content["serials"])
        held = ledger.held(content["account"], content["sub_account"])
        piece = next((one for one in held if one.serials.contains(wanted)), None)
        if piece is None:
            raise InvalidValue(
                "serials", content["serials"], "are not in one live block of this account"
            )
        faults = ledger.faults
        meant = faults.other_serials_of in ("any", content["kind"])
        if not meant or not faults.strikes("other_serials", reference):
            return [(piece, wanted.first, wanted.last)]
        if faults.other_serials_scope == "block":
            return [(piece, piece.last - wanted.tonnes + 1, piece.last)]
        pool = ledger.of_class(piece)
        start = faults.number("pool", reference) % len(pool)
        taken, left = [], wanted.tonnes
        for one in pool[start:] + pool[:start]:
            part = min(left, one.serials.tonnes)
            taken.append((one, one.last - part + 1, one.last))
            left -= part
            if not left:
                break
        return taken

    def _retire(
        self, reference: str, content: Mapping[str, Any], taken: list[tuple[Piece, int, int]]
    ) -> None:
        if self._ledger.programme == "GS" and not content["instruction"]["beneficiary"].strip():
            raise InvalidValue("beneficiary", "", "is empty: the using entity is mandatory")
        for piece, first, last in taken:
            self._ledger.cut(piece, first, last, "retired", reference)
        self._done(reference, _texts(taken))

    def _send(
        self, reference: str, content: Mapping[str, Any], taken: list[tuple[Piece, int, int]]
    ) -> None:
        found = self._recipient(content["recipient"])
        if found is None or not found[0]["is_open"]:
            raise InvalidValue("recipient", content["recipient"], "is no open account here")
        if content["recipient"] == _account_text(content["account"], content["sub_account"]):
            raise InvalidValue("recipient", content["recipient"], "is the account it comes from")
        now_ms = self._ledger.now_ms()
        expires_at = content.get("expires_at") or now_ms // 1000 + TRANSFER_SECONDS
        if expires_at * 1000 < now_ms:
            raise InvalidValue("expires_at", expires_at, "is over")
        for piece, first, last in taken:
            self._ledger.cut(piece, first, last, "leaving", reference)
        self._ledger.execute(
            "UPDATE operations SET state = 'pending', expires_at = ?, due_at_ms = ?, serials = ? "
            "WHERE reference = ?",
            expires_at,
            now_ms + found[0]["acceptance_seconds"] * 1000,
            json.dumps(_texts(taken)),
            reference,
        )
        if found[0]["account"] == content["account"]:
            # Between an account and its own sub-accounts nobody has to agree.
            self._accept(reference)

    def _accept(self, reference: str) -> None:
        row = self._operation(reference)
        assert row is not None
        recipient = self._recipient(json.loads(row["content"])["recipient"])
        assert recipient is not None
        self._ledger.execute(
            "UPDATE pieces SET account = ?, sub_account = ?, state = 'live', operation = NULL "
            "WHERE operation = ? AND state = 'leaving'",
            recipient[0]["account"],
            recipient[1],
            reference,
        )
        self._done(reference, json.loads(row["serials"]))

    def _give_back(self, reference: str, state: str, reason: str) -> None:
        self._ledger.execute(
            "UPDATE pieces SET state = 'live', operation = NULL "
            "WHERE operation = ? AND state = 'leaving'",
            reference,
        )
        self._ledger.execute(
            "UPDATE operations SET state = ?, reason = ?, serials = '[]' WHERE reference = ?",
            state,
            reason,
            reference,
        )

    def _done(self, reference: str, serials: list[str]) -> None:
        self._ledger.execute(
            "UPDATE operations SET state = 'done', serials = ?, done_on = ? WHERE reference = ?",
            json.dumps(serials),
            _day(self._ledger.now_ms()),
            reference,
        )

    # ── shapes ───────────────────────────────────────────────────────────────────────────────

    def _operation(self, reference: str) -> sqlite3.Row | None:
        found = self._ledger.execute("SELECT * FROM operations WHERE reference = ?", reference)
        return found[0] if found else None

    def _recipient(self, text: str) -> tuple[sqlite3.Row, str] | None:
        """The account that a text `ACCOUNT[/SUB-ACCOUNT]` names, and its sub-account."""
        account, _, sub_account = text.partition("/")
        try:
            return self._ledger.account(account, sub_account), sub_account
        except NotFound:
            return None

    def _number(self, row: sqlite3.Row) -> str:
        letter = "R" if json.loads(row["content"])["kind"] == RETIREMENT else "T"
        return f"{self._ledger.programme}-{letter}-{row['number']:06d}"

    def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        content = json.loads(row["content"])
        done = row["state"] == "done"
        retired = done and content["kind"] == RETIREMENT
        return {
            "reference": row["reference"],
            "registry_reference": self._number(row),
            "kind": content["kind"],
            "state": row["state"],
            "account": content["account"],
            "sub_account": content["sub_account"],
            "recipient": content.get("recipient"),
            "asked": content["serials"],
            "serials": json.loads(row["serials"]) if done else [],
            "date": row["done_on"],
            "certificate_id": f"{self._ledger.programme}-C-{row['number']:06d}" if retired else "",
            "expires_at": row["expires_at"],
            "reason": row["reason"],
        }


def _account_text(account: str, sub_account: str) -> str:
    return f"{account}/{sub_account}" if sub_account else account


def _texts(taken: list[tuple[Piece, int, int]]) -> list[str]:
    return [str(SerialRange(piece.space, first, last)) for piece, first, last in taken]


def _day(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms // 1000, UTC).date().isoformat()
