"""Isometric: amounts in kilograms under ids, no serial numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from backend.domain.credits import Facts, Kind, ProjectRecord, Status, VolumeRecord
from backend.errors import InvalidValue
from backend.registries.cells import digits, iso_date, kilograms, literals, optional, period

PROGRAMME = "ISOMETRIC"
_ID = re.compile(r"[a-z]{3}_[0-9A-Z]{16}", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_TOTAL = "credit_batch_size_total"


def _checked(field: str, text: str, prefix: str) -> str:
    if not _ID.fullmatch(text) or not text.startswith(f"{prefix}_"):
        raise InvalidValue(field, text, f"is not {prefix}_ and 16 letters or digits")
    return text


def _amount(cell: dict[str, str], name: str) -> int:
    """Kilograms of an amount that stands in two columns, in credits and in kilograms."""
    credits_text, kg_field = cell[f"{name}.credits"], f"{name}.credit_kgs"
    kg_text = cell[kg_field]
    if not _DIGITS.fullmatch(kg_text):
        raise InvalidValue(kg_field, kg_text, "is not a whole number of kilograms")
    found = digits(kg_field, kg_text, kg_text)
    if kilograms(f"{name}.credits", credits_text) != found:
        raise InvalidValue(kg_field, kg_text, f"is not {credits_text} credits")
    return found


_SUPPLIER = (
    "supplier.id",
    "supplier.short_description",
    "supplier.long_description",
    "supplier.organisation.id",
    "supplier.organisation.name",
    "supplier.organisation.domain",
    "supplier.location",
)
_SUPPLIER_PLACE = tuple(
    f"supplier.location.{name}"
    for name in ("country_code", "country_name", "latitude", "longitude", "description")
)


class IsometricIssuances:
    """Issuances: the whole is the supplier's credits and the buffer pool's."""

    programme = PROGRAMME
    layout = "isometric-issuances"
    kind = Kind.ISSUANCE
    tells = (Status.ISSUED,)
    columns = (
        "id",
        "issued_at",
        "project_id",
        *_SUPPLIER,
        "supplier_credit_batch_size_total.credits",
        "supplier_credit_batch_size_total.credit_kgs",
        "buffer_pool_credit_batch_size_total.credits",
        "buffer_pool_credit_batch_size_total.credit_kgs",
        f"{_TOTAL}.credits",
        f"{_TOTAL}.credit_kgs",
        *_SUPPLIER_PLACE,
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> VolumeRecord:
        """One issuance; the export gives no vintage and no name of the project."""
        cell = dict(zip(self.columns, cells, strict=True))
        total = _amount(cell, _TOTAL)
        supplier = _amount(cell, f"supplier_{_TOTAL}")
        buffer = _amount(cell, f"buffer_pool_{_TOTAL}")
        if total != supplier + buffer:
            rule = f"is not {supplier} of the supplier + {buffer} of the buffer pool"
            raise InvalidValue(f"{_TOTAL}.credit_kgs", cell[f"{_TOTAL}.credit_kgs"], rule)
        parts = {"project": supplier, "buffer": buffer}
        return VolumeRecord(
            PROGRAMME,
            _checked("project_id", cell["project_id"], "prj"),
            "",
            _checked("id", cell["id"], "iss"),
            total,
            self.kind,
            Status.ISSUED,
            parts=tuple((name, kg) for name, kg in parts.items() if kg),
            facts=Facts(
                developer=cell["supplier.organisation.name"],
                issued_on=iso_date("issued_at", cell["issued_at"]),
            ),
            row=row,
            line=line,
        )


class IsometricRetirements:
    """Retirements, down to single kilograms."""

    programme = PROGRAMME
    layout = "isometric-retirements"
    kind = Kind.RETIREMENT
    tells = (Status.RETIRED,)
    columns = (
        "retirement_id",
        "retired_at",
        "purposes",
        "url",
        "notes",
        "beneficiary.id",
        "beneficiary.name",
        "beneficiary.domain",
        "owner.id",
        "owner.name",
        "owner.domain",
        f"{_TOTAL}.credits",
        f"{_TOTAL}.credit_kgs",
        "project_id",
        "sequestered_on",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> VolumeRecord:
        """One retirement; the day the carbon was stored is its vintage."""
        cell = dict(zip(self.columns, cells, strict=True))
        purposes = literals("purposes", cell["purposes"])
        if not all(isinstance(purpose, str) for purpose in purposes):
            raise InvalidValue("purposes", cell["purposes"], "is not a list of texts")
        kg = _amount(cell, _TOTAL)
        if not kg:
            raise InvalidValue(f"{_TOTAL}.credit_kgs", cell[f"{_TOTAL}.credit_kgs"], "is 0")
        day = optional(iso_date, "sequestered_on", cell["sequestered_on"])
        return VolumeRecord(
            PROGRAMME,
            _checked("project_id", cell["project_id"], "prj"),
            "",
            _checked("retirement_id", cell["retirement_id"], "ret"),
            kg,
            self.kind,
            Status.RETIRED,
            day,
            day,
            facts=Facts(
                retired_on=iso_date("retired_at", cell["retired_at"]),
                beneficiary=cell["beneficiary.name"],
                reason=", ".join(purposes),
                note=cell["notes"],
                account_holder=cell["owner.name"],
            ),
            row=row,
            line=line,
        )


_TOTALS = (
    "issued_credits_total",
    "retired_credits_total",
    "issued_buffer_pool_credits_total",
    "retired_buffer_pool_credits_total",
)


class IsometricProjects:
    """The list of projects with the registry's own totals, the buffer pool's among them."""

    programme = PROGRAMME
    layout = "isometric-projects"
    kind = Kind.PROJECT
    tells = ()
    columns = (
        "id",
        "name",
        "status",
        "short_code",
        "url",
        "process_key",
        "pathway",
        "protocol_slug",
        "country_code",
        "validator_name",
        "current_verifier_name",
        "crediting_period_start",
        "crediting_period_end",
        *_SUPPLIER,
        *(f"{name}.{unit}" for name in _TOTALS for unit in ("credits", "credit_kgs")),
        *(column.removeprefix("supplier.") for column in _SUPPLIER_PLACE),
        "location",
        *_SUPPLIER_PLACE,
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> ProjectRecord:
        """One project."""
        cell = dict(zip(self.columns, cells, strict=True))
        if not cell["status"]:
            raise InvalidValue("status", "", "is empty: the row names no status")
        start = optional(iso_date, "crediting_period_start", cell["crediting_period_start"])
        end = optional(iso_date, "crediting_period_end", cell["crediting_period_end"])
        period("crediting_period_end", start, end, cell["crediting_period_end"])
        issued, retired, issued_buffer, retired_buffer = (_amount(cell, name) for name in _TOTALS)
        if issued_buffer > issued or retired_buffer > retired:
            field = "issued_buffer_pool_credits_total.credit_kgs"
            raise InvalidValue(field, cell[field], "is more than the whole, which it is part of")
        return ProjectRecord(
            PROGRAMME,
            _checked("id", cell["id"], "prj"),
            cell["name"],
            cell["status"],
            developer=cell["supplier.organisation.name"],
            country=cell["location.country_name"] or cell["country_code"],
            region=cell["location.description"],
            project_types=tuple(filter(None, (cell["pathway"],))),
            methodologies=tuple(filter(None, (cell["protocol_slug"],))),
            issued_kilograms=issued,
            retired_kilograms=retired,
            crediting_start=start,
            crediting_end=end,
            verifier=cell["current_verifier_name"],
            latitude=cell["location.latitude"],
            longitude=cell["location.longitude"],
            row=row,
            line=line,
        )
