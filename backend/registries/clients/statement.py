"""A statement of account as people bring it: the CSV of live blocks, one layout for all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date
from typing import Any

from backend.domain.registry_requests import HeldBlock, Inventory, RegistryAccount, SerialRange
from backend.errors import InvalidValue

#: Columns that must be there, in any order; others (of the block inventory) may be.
COLUMNS = ("Block", "Series", "First", "Last", "Project", "Vintage Start", "Vintage End")
LIVE, LEAVING = "live", "leaving"
#: States of the block inventory whose rows are not in the account any more.
GONE = ("retired", "cancelled")
MAX_ROWS = 1_000_000


def read_statement(account: RegistryAccount, as_of: int, raw: bytes) -> Inventory:
    """The blocks of a statement. Raises InvalidValue naming line, column and rule: a statement
    with one bad row is none, since a missing block would look like a shortfall.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValue("statement", str(error), "is not UTF-8") from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidValue("statement", ", ".join(missing), "are columns that it lacks")
    blocks: list[HeldBlock] = []
    leaving: list[HeldBlock] = []
    try:
        for row in reader:
            place = f"statement line {reader.line_num}"
            state = _state(account, row, place)
            if state is not None:
                (blocks if state == LIVE else leaving).append(_block(row, place))
            if len(blocks) > MAX_ROWS:
                raise InvalidValue("statement", MAX_ROWS, "rows are the most it may have")
    except csv.Error as error:
        raise InvalidValue(f"statement line {reader.line_num}", str(error), "is no CSV") from None
    _check_disjoint(blocks + leaving)
    return Inventory(account, as_of, tuple(blocks), tuple(leaving))


def _state(account: RegistryAccount, row: Mapping[str, Any], place: str) -> str | None:
    """LIVE, LEAVING, or None for a row of another account or of what is gone."""
    for column, wanted in (
        ("Programme", account.programme),
        ("Account", account.account),
        ("Sub-account", account.sub_account),
    ):
        if column in row and (row[column] or "") != wanted:
            return None
    state = (row.get("State") or LIVE).strip().lower()
    if state in GONE:
        return None
    if state not in (LIVE, LEAVING):
        raise InvalidValue(f"{place}: State", state, f"is not one of {LIVE}, {LEAVING}, {GONE}")
    return state


def _block(row: Mapping[str, Any], place: str) -> HeldBlock:
    def cell(name: str) -> str:
        value = row.get(name)
        if value is None or not value.strip():
            raise InvalidValue(f"{place}: {name}", value, "is empty")
        return str(value).strip()

    def number(name: str) -> int:
        value = cell(name)
        if not (value.isascii() and value.isdecimal() and len(value) <= 19):
            raise InvalidValue(f"{place}: {name}", value, "is not a serial number")
        return int(value)

    def day(name: str) -> date:
        try:
            return date.fromisoformat(cell(name))
        except ValueError:
            raise InvalidValue(f"{place}: {name}", row[name], "is not YYYY-MM-DD") from None

    try:
        serials = SerialRange(cell("Series"), number("First"), number("Last"))
    except InvalidValue as error:
        if error.field.startswith(place):
            raise
        raise InvalidValue(f"{place}: {error.field}", error.value, error.rule) from None
    tonnes = (row.get("Tonnes") or "").replace(",", "").strip()
    if tonnes and tonnes != str(serials.tonnes):
        raise InvalidValue(f"{place}: Tonnes", tonnes, f"are not the {serials.tonnes} of {serials}")
    labels = tuple(one for part in (row.get("Labels") or "").split(";") if (one := part.strip()))
    return HeldBlock(
        cell("Block"), serials, cell("Project"), day("Vintage Start"), day("Vintage End"), labels
    )


def _check_disjoint(blocks: list[HeldBlock]) -> None:
    ordered = sorted(blocks, key=lambda one: one.serials)
    for index in range(1, len(ordered)):
        one, after = ordered[index - 1].serials, ordered[index].serials
        if one.overlaps(after):
            raise InvalidValue("statement", f"{one} and {after}", "share serials")


def statement_json(inventory: Inventory) -> dict[str, Any]:
    """An inventory as it is stored."""
    return {
        "account": str(inventory.account),
        "as_of": inventory.as_of,
        "blocks": [_as_json(one) for one in inventory.blocks],
        "leaving": [_as_json(one) for one in inventory.leaving],
    }


def _as_json(block: HeldBlock) -> dict[str, Any]:
    return {
        "block": block.block_id,
        "serials": str(block.serials),
        "project": block.project,
        "vintage_start": block.vintage_start.isoformat(),
        "vintage_end": block.vintage_end.isoformat(),
        "labels": list(block.labels),
    }


def block_from_json(found: Mapping[str, Any]) -> HeldBlock:
    """One block of a registry's answer or of a stored statement; raises KeyError, ValueError,
    TypeError, InvalidValue for another form.
    """
    return HeldBlock(
        str(found["block"]),
        SerialRange.parse(found["serials"]),
        str(found["project"]),
        date.fromisoformat(found["vintage_start"]),
        date.fromisoformat(found["vintage_end"]),
        tuple(map(str, found["labels"])),
    )


def statement_from_json(found: Mapping[str, Any]) -> Inventory:
    """The inverse of `statement_json`."""
    return Inventory(
        RegistryAccount.parse(found["account"]),
        found["as_of"],
        tuple(block_from_json(one) for one in found["blocks"]),
        tuple(block_from_json(one) for one in found["leaving"]),
    )
