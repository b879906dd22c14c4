"""Units of a CAD Trust upload as pieces of our ledger; versions 1 and 2.0."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue
from backend.registries.cad_trust import NOT_STATED, STATUSES
from backend.registries.cad_trust_check import Fault
from backend.registries.cad_trust_model import PROGRAMMES, Dataset, Row, Version

_OF_MODEL = {said: status for status, said in STATUSES.items()}


def records_of(data: Dataset) -> tuple[list[BlockRecord], list[Fault]]:
    """The units as pieces of our ledger; a unit that cannot be one is a fault.

    A unit needs a block in a series that Causeway knows (`VCS:2/100`), a status that has a
    counterpart, and the issuance with its dates. Check the upload first: broken fields count as
    missing here.
    """
    reader = _v1(data) if data.version is Version.V1 else _v2(data)
    records: list[BlockRecord] = []
    faults: list[Fault] = []
    for number, row in enumerate(data.rows("unit"), 1):
        try:
            records.append(replace(reader(row), row=number, line=number))
        except InvalidValue as error:
            faults.append(
                Fault("unit", number, error.field, str(error.value), error.rule, "import")
            )
    return records, faults


def _interval(start: str, end: str) -> Interval:
    space, mark, first = start.rpartition("/")
    other, _, last = end.rpartition("/")
    if not mark or space != other or not (first + last).isdecimal() or not last.isascii():
        raise InvalidValue("block", f"{start} … {end}", "names no series that Causeway knows")
    return Interval(Series.parse(space), int(first), int(last))


def _status(row: Row) -> Status:
    said = (str(row.get("unitStatus") or ""), str(row.get("unitStatusReason") or ""))
    found = _OF_MODEL.get(said) or _OF_MODEL.get((said[0], ""))
    if found is None:
        raise InvalidValue("unitStatus", said[0], "has no counterpart in the ledger")
    return found


def _day(name: str, value: object) -> date:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise InvalidValue(name, value, "is not a date YYYY-MM-DD") from None


def _programme(registry: object) -> str:
    found = PROGRAMMES.get(str(registry))
    if found is None:
        raise InvalidValue("registryOfOrigin", registry, "is no registry that Causeway knows")
    return found


def _batch(text: object) -> int | None:
    _, mark, number = str(text or "").partition("batch:")
    return int(number) if mark and number.isascii() and number.isdecimal() else None


def _stated(text: object) -> str:
    return "" if text in (None, NOT_STATED) else str(text)


def _listed(text: object) -> tuple[str, ...]:
    return tuple(filter(None, _stated(text).split("; ")))


def _by(rows: Iterable[Row], name: str) -> dict[str, Row]:
    """Records by an id, whatever was written there."""
    return {str(row.get(name)): row for row in rows}


def _found(rows: dict[str, Row], key: object, name: str) -> Row:
    if str(key) not in rows:
        raise InvalidValue(name, key, "names nothing in this upload")
    return rows[str(key)]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else _listed(value)


def _v1(data: Dataset) -> Callable[[Row], BlockRecord]:
    projects = _by(data.rows("project"), "warehouseProjectId")
    issuances = _by(data.rows("issuance"), "id")
    labels: dict[str, list[str]] = defaultdict(list)
    for label in data.rows("label"):
        labels[str(label.get("warehouseUnitId"))].append(str(label.get("label")))

    def read(row: Row) -> BlockRecord:
        issued = _found(issuances, row.get("issuanceId"), "issuanceId")
        project = _found(projects, issued.get("warehouseProjectId"), "warehouseProjectId")
        report = issued.get("verificationReportDate")
        return BlockRecord(
            programme=_programme(project.get("registryOfOrigin")),
            project=str(project.get("projectId")),
            project_name=str(project.get("projectName")),
            vintage_start=_day("startDate", issued.get("startDate")),
            vintage_end=_day("endDate", issued.get("endDate")),
            interval=_interval(str(row.get("unitBlockStart")), str(row.get("unitBlockEnd"))),
            kind=Kind.PARTITION,
            status=_status(row),
            labels=tuple(labels.get(str(row.get("warehouseUnitId")), ())),
            batch=_batch(row.get("unitTags")),
            facts=Facts(
                methodologies=_listed(project.get("methodology")),
                project_types=_listed(project.get("projectType")),
                developer=_stated(project.get("projectDeveloper")),
                verifier=_stated(issued.get("verificationBody")),
                issued_on=None if report is None else _day("verificationReportDate", report),
            ),
        )

    return read


def _v2(data: Dataset) -> Callable[[Row], BlockRecord]:
    tables = {
        entity: _by(data.rows(entity), key)
        for entity, key in (
            ("project", "cadTrustProjectId"),
            ("verification", "cadTrustVerificationId"),
            ("issuance", "cadTrustIssuanceId"),
            ("location", "cadTrustLocationId"),
            ("label", "cadTrustLabelId"),
            ("methodology", "cadTrustMethodologyId"),
        )
    }
    labels: dict[str, list[str]] = defaultdict(list)
    for one in data.rows("unitLabel"):
        label = tables["label"].get(str(one.get("cadTrustLabelId")), {})
        labels[str(one.get("cadTrustUnitId"))].append(str(label.get("labelName")))
    methods: dict[str, list[str]] = defaultdict(list)
    for one in data.rows("projectMethodology"):
        method = tables["methodology"].get(str(one.get("cadTrustMethodologyId")), {})
        methods[str(one.get("cadTrustProjectId"))].append(str(method.get("methodologyCode")))

    def read(row: Row) -> BlockRecord:
        key = row.get("cadTrustIssuanceId")
        issued = _found(tables["issuance"], key, "cadTrustIssuanceId")
        key = issued.get("cadTrustVerificationId")
        verified = _found(tables["verification"], key, "cadTrustVerificationId")
        key = verified.get("cadTrustProjectId")
        project = _found(tables["project"], key, "cadTrustProjectId")
        located = tables["location"].get(str(issued.get("cadTrustLocationId")), {})
        day, ended = issued.get("issuanceDate"), row.get("unitStatusDate")
        return BlockRecord(
            programme=_programme(project.get("projectRegistryName")),
            project=str(project.get("projectId")),
            project_name=str(project.get("projectName")),
            vintage_start=_day("verificationStart", verified.get("verificationStart")),
            vintage_end=_day("verificationEnd", verified.get("verificationEnd")),
            interval=_interval(str(row.get("unitStartBlock")), str(row.get("unitEndBlock"))),
            kind=Kind.PARTITION,
            status=_status(row),
            labels=tuple(labels.get(str(row.get("cadTrustUnitId")), ())),
            batch=_batch(issued.get("issuanceId")),
            facts=Facts(
                methodologies=tuple(methods.get(str(project.get("cadTrustProjectId")), ())),
                project_types=_texts(project.get("projectType")),
                country=str(located.get("locationCountry") or ""),
                verifier=_stated(verified.get("verificationBody")),
                issued_on=None if day is None else _day("issuanceDate", day),
                retired_on=None if ended is None else _day("unitStatusDate", ended),
                beneficiary=str(row.get("unitRetirementBeneficiary") or ""),
                note=str(row.get("unitRetirementDetail") or ""),
            ),
        )

    return read
