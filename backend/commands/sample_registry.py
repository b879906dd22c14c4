"""The demo's stand-in for a registry: a newer sample export in which named serials are retired."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path

from backend.domain.serials import Interval, merge, subtract
from backend.registries.verra import parse_serial

_RETIRED_ON = "Retirement/Cancellation Date"
_BENEFICIARY = "Retirement Beneficiary"
_REASON = "Retirement Reason"
_DETAILS = "Retirement Details"


def export_after(
    export: Path, retired: Iterable[Interval], on: date, reference: str, target: Path
) -> None:
    """Write the export as the registry would give it out after it retired these serials.

    A piece that is retired in part is cut as Verra cuts it: batch and every later segment stay,
    only the range and the quantity change.
    """
    gone = merge(retired)
    with export.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        rows = [part for row in reader for part in _after(row, gone, on, reference)]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _after(
    row: dict[str, str], gone: list[Interval], on: date, reference: str
) -> list[dict[str, str]]:
    serial = parse_serial(row["Serial Number"])
    whole = serial.interval
    left = subtract([whole], gone)
    if row[_RETIRED_ON] or left == [whole]:
        return [row]
    pieces = [(interval, False) for interval in left]
    pieces += [(interval, True) for interval in subtract([whole], left)]
    parts = []
    for interval, is_retired in sorted(pieces):
        part = dict(row)
        part["Serial Number"] = str(replace(serial, interval=interval))
        part["Quantity Issued"] = f"{interval.tonnes:,}"
        if is_retired:
            part[_RETIRED_ON] = on.isoformat()
            part[_BENEFICIARY] = "SAMPLE – beneficiaries of Causeway certificates"
            part[_REASON] = "Retirement for Person or Organization"
            part[_DETAILS] = f"SAMPLE – {reference}"
        parts.append(part)
    return parts
