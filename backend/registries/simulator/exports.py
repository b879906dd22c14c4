"""Exports of the book in layouts that importers know: Verra's for VCS, an inventory for any."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from backend.errors import InvalidValue, NotFound
from backend.registries.simulator.ledger import Ledger, Piece

#: As Verra's registry spells them; a test reads the export with the importer's own adapter.
VERRA_COLUMNS = (
    "Issuance Date",
    "Sustainable Development Goals",
    "Vintage Start",
    "Vintage End",
    "ID",
    "Name",
    "Country/Area",
    "Project Type",
    "Methodology",
    "Total Vintage Quantity",
    "Quantity Issued",
    "Serial Number",
    "Additional Certifications",
    "Retirement/Cancellation Date",
    "Retirement Beneficiary",
    "Retirement Reason",
    "Retirement Details",
)
INVENTORY_COLUMNS = (
    "Programme",
    "Account",
    "Sub-account",
    "Block",
    "Series",
    "First",
    "Last",
    "Tonnes",
    "Project",
    "Vintage Start",
    "Vintage End",
    "Labels",
    "State",
    "Date",
    "Beneficiary",
    "Reference",
)


def export(ledger: Ledger, layout: str) -> str:
    """The whole book as CSV. Raises NotFound for a layout there is none of."""
    made = _LAYOUTS.get(layout)
    if made is None:
        raise NotFound(f"there is no layout {layout!r}: {', '.join(_LAYOUTS)}", layout=layout)
    columns, row_of = made
    with ledger.transaction():
        rows = [row_of(ledger, piece) for piece in ledger.pieces()]
    return _csv(columns, rows)


def _csv(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return written.getvalue()


def _operation(ledger: Ledger, piece: Piece) -> tuple[dict[str, Any], sqlite3.Row] | None:
    """Content and row of the retirement that took a piece."""
    if piece.state != "retired":
        return None
    found = ledger.execute("SELECT * FROM operations WHERE reference = ?", piece.operation)
    return json.loads(found[0]["content"]), found[0]


def _verra_row(ledger: Ledger, piece: Piece) -> tuple[Any, ...]:
    if ledger.programme != "VCS":
        raise InvalidValue("layout", "verra-vcu-export", f"is not for {ledger.programme}")
    issued = ledger.issuance(piece.issuance)
    facts = json.loads(issued["facts"])
    labels = "; ".join(json.loads(issued["labels"]))
    total = issued["last"] - issued["first"] + 1
    retired = _operation(ledger, piece)
    instruction = retired[0]["instruction"] if retired else {}
    shown = instruction if instruction.get("is_public", True) else {}
    return (
        issued["issued_on"],
        facts.get("goals", ""),
        issued["vintage_start"],
        issued["vintage_end"],
        issued["project"],
        facts.get("name", f"Sample project {issued['project']}"),
        facts.get("country_name", "Sampleland"),
        facts.get("project_type", "Energy industries (renewable/non-renewable sources)"),
        facts.get("methodology", "ACM0002"),
        f"{total:,}",
        f"{piece.serials.tonnes:,}",
        _verra_serial(piece, issued, facts, bool(labels)),
        labels,
        retired[1]["done_on"] if retired else "",
        shown.get("beneficiary", ""),
        instruction.get("reason_code", ""),
        shown.get("note", ""),
    )


def _verra_serial(piece: Piece, issued: sqlite3.Row, facts: dict[str, Any], labelled: bool) -> str:
    """Batch and place of the block in the form of section 1.4 of the notes on formats."""
    first_generation = piece.space == "VCS:1"
    batch = facts.get("batch", issued["issuance"] + (7_000 if first_generation else 20_000))
    start = date.fromisoformat(issued["vintage_start"])
    end = date.fromisoformat(issued["vintage_end"])
    return (
        f"{batch}-{piece.first}-{piece.last}{'' if first_generation else '-VCS'}-VCU-"
        f"{facts.get('vvb', '999')}-{'APX' if first_generation else 'VER'}-"
        f"{facts.get('country', 'HK')}-{facts.get('scope', 1)}-{issued['project']}-"
        f"{start:%d%m}{start.year:04d}-{end:%d%m}{end.year:04d}-{int(labelled)}"
    )


def _inventory_row(ledger: Ledger, piece: Piece) -> tuple[Any, ...]:
    issued = ledger.issuance(piece.issuance)
    retired = _operation(ledger, piece)
    instruction = retired[0]["instruction"] if retired else {}
    shown = instruction if instruction.get("is_public", True) else {}
    return (
        ledger.programme,
        piece.account,
        piece.sub_account,
        piece.block_id,
        piece.space,
        piece.first,
        piece.last,
        piece.serials.tonnes,
        issued["project"],
        issued["vintage_start"],
        issued["vintage_end"],
        "; ".join(json.loads(issued["labels"])),
        piece.state,
        retired[1]["done_on"] if retired else issued["issued_on"],
        shown.get("beneficiary", ""),
        piece.operation or "",
    )


_RowOf = Callable[[Ledger, Piece], tuple[Any, ...]]
_LAYOUTS: dict[str, tuple[tuple[str, ...], _RowOf]] = {
    "verra-vcu-export": (VERRA_COLUMNS, _verra_row),
    "block-inventory": (INVENTORY_COLUMNS, _inventory_row),
}
