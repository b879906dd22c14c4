"""The administrator's side: accounts, issuances, clock, faults, opening hours, the whole book."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from backend.domain.registry_requests import SerialRange, check_text
from backend.errors import InvalidValue
from backend.registries.simulator.faults import Faults
from backend.registries.simulator.ledger import Ledger
from backend.registries.simulator.operations import Operations

Step = Callable[[dict[str, Any]], Any]


class Admin:
    """Each step takes the body of a request and gives the document of its answer."""

    def __init__(self, ledger: Ledger, operations: Operations) -> None:
        self._ledger = ledger
        self._operations = operations

    def steps(self) -> list[tuple[str, str, Step]]:
        """Method, path below /admin, step."""
        return [
            ("POST", "accounts", self._open_account),
            ("POST", "issuances", self._issue),
            ("GET", "faults", lambda body: self._ledger.faults.as_json()),
            ("PUT", "faults", self._set_faults),
            ("POST", "clock", self._advance_clock),
            ("GET", "maintenance", self._maintenance),
            ("PUT", "maintenance", self._set_maintenance),
            ("POST", "process", self._process),
            ("GET", "book", self._book),
        ]

    def _open_account(self, body: dict[str, Any]) -> Any:
        name = _text(body, "account")
        sub_accounts = body.get("sub_accounts", [])
        if not isinstance(sub_accounts, list) or not all(
            isinstance(one, str) for one in sub_accounts
        ):
            raise InvalidValue("sub_accounts", sub_accounts, "is not a list of texts")
        self._ledger.open_account(
            name,
            _text(body, "holder"),
            sub_accounts,
            holds_for_others=bool(body.get("holds_for_others", False)),
            is_open=bool(body.get("is_open", True)),
            acceptance=str(body.get("acceptance", "manual")),
            acceptance_seconds=_number(body, "acceptance_seconds", 0),
        )
        self._operations.reconsider()
        return {"account": name}

    def _issue(self, body: dict[str, Any]) -> Any:
        serials = SerialRange.parse(_text(body, "serials"))
        described = {
            "project": _text(body, "project"),
            "vintage_start": _day(body, "vintage_start"),
            "vintage_end": _day(body, "vintage_end"),
            "labels": body.get("labels", []),
            "facts": body.get("facts", {}),
        }
        issued_on = body.get("issued_on") or self._today()
        issuance = self._ledger.issue(
            serials,
            _text(body, "account"),
            str(body.get("sub_account", "")),
            described,
            _day({"issued_on": issued_on}, "issued_on"),
        )
        return {"issuance": issuance, "serials": str(serials)}

    def _set_faults(self, body: dict[str, Any]) -> Any:
        faults = Faults.from_json(body)
        with self._ledger.transaction():
            self._ledger.set_fact("faults", json.dumps(faults.as_json()))
        return faults.as_json()

    def _advance_clock(self, body: dict[str, Any]) -> Any:
        self._ledger.advance_clock(_number(body, "seconds", None))
        moved = self._operations.do_what_is_due()
        return {"time": self._ledger.now_ms() // 1000, "moved": moved}

    def _maintenance(self, body: dict[str, Any]) -> Any:
        return {"windows": json.loads(self._ledger.fact("maintenance", "[]"))}

    def _set_maintenance(self, body: dict[str, Any]) -> Any:
        """Windows [start, end) in Unix seconds of the registry's clock; they replace the old."""
        windows = body.get("windows")
        if not isinstance(windows, list) or not all(
            isinstance(one, list) and len(one) == 2 and all(type(end) is int for end in one)
            for one in windows
        ):
            raise InvalidValue("windows", windows, "is not a list of [start, end]")
        with self._ledger.transaction():
            self._ledger.set_fact("maintenance", json.dumps(windows))
        return {"windows": windows}

    def _process(self, body: dict[str, Any]) -> Any:
        return {"moved": self._operations.do_what_is_due()}

    def _book(self, body: dict[str, Any]) -> Any:
        """Every piece and every operation, for whoever compares registry, custody and chain."""
        ledger = self._ledger
        with ledger.transaction():
            self._operations.do_what_is_due()
            references = ledger.execute("SELECT reference FROM operations ORDER BY number")
            return {
                "programme": ledger.programme,
                "as_of": ledger.now_ms() // 1000,
                "partition_breaks": ledger.partition_breaks(),
                "pieces": [
                    {
                        "block": one.block_id,
                        "serials": str(one.serials),
                        "account": one.account,
                        "sub_account": one.sub_account,
                        "state": one.state,
                        "operation": one.operation,
                    }
                    for one in ledger.pieces()
                ],
                "operations": [self._operations.find(row["reference"]) for row in references],
            }

    def _today(self) -> str:
        return datetime.fromtimestamp(self._ledger.now_ms() // 1000, UTC).date().isoformat()


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise InvalidValue(name, value, "is not a text")
    return check_text(name, value, required=True)


def _number(body: dict[str, Any], name: str, default: int | None) -> int:
    value = body.get(name, default)
    if type(value) is not int or value < 0:
        raise InvalidValue(name, value, "is not a number of seconds")
    return value


def _day(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise InvalidValue(name, value, "is not a day in the form YYYY-MM-DD") from None
