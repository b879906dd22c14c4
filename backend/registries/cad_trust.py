"""Our ledger as CAD Trust projects, issuances, units and labels; versions 1 and 2.0.

A unit is a piece of a block in its present state, so a ledger of events is first cut into pieces.
Statuses that the model does not have keep their meaning in the unit's reason; nothing is guessed.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from backend.domain.credits import BlockRecord, Kind, Status
from backend.domain.serials import Series, subtract
from backend.errors import InvalidValue
from backend.registries.attributes import attributes_of
from backend.registries.cad_trust_model import REGISTRIES, Dataset, Row, Version

_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "causeway:cad-trust")
#: Status of ours → the model's, and the reason that keeps what the pick list cannot say.
STATUSES: dict[Status, tuple[str, str]] = {
    Status.ACTIVE: ("Held", ""),
    Status.ISSUED: ("Held", "issued; whether it is still active is not stated"),
    Status.RETIRED: ("Retired", ""),
    Status.CANCELLED: ("Cancelled", ""),
    Status.RETIRED_OR_CANCELLED: (
        "Inactive",
        "retired or cancelled; the registry does not state which",
    ),
    Status.MOVED: ("Exported", ""),
    Status.BUFFER: ("Buffer", ""),
}
_NATURE = frozenset(("forest", "land-use", "agriculture"))
_TONNE = "tCO2e"
NOT_STATED = "Not stated"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A piece that the model cannot hold, and why."""

    serials: str
    rule: str


# ── pieces ───────────────────────────────────────────────────────────────────────────────────


def pieces_of(records: Iterable[BlockRecord]) -> list[BlockRecord]:
    """Disjoint pieces in their present state, in order of series and serial.

    Of events, what was retired, cancelled or moved is cut out of what was issued; the rest stays
    `issued`. Raises InvalidValue when two retirements share serials.
    """
    pieces: list[BlockRecord] = []
    issued: dict[tuple[str, Series], list[BlockRecord]] = defaultdict(list)
    gone: dict[tuple[str, Series], list[BlockRecord]] = defaultdict(list)
    for record in records:
        key = (record.programme, record.interval.series)
        if record.kind is Kind.PARTITION:
            pieces.append(record)
        else:
            (issued if record.kind is Kind.ISSUANCE else gone)[key].append(record)
    for key, events in gone.items():
        pieces += [replace(one, kind=Kind.PARTITION) for one in events]
        _require_disjoint(key[1], events)
    for key, blocks in issued.items():
        taken = sorted(one.interval for one in gone.get(key, ()))
        ends = [one.last for one in taken]
        for block in blocks:
            # Only what touches this block: a party's ledger has ten thousands of both.
            low = bisect_left(ends, block.interval.first)
            high = low
            while high < len(taken) and taken[high].first <= block.interval.last:
                high += 1
            pieces += [
                replace(block, kind=Kind.PARTITION, interval=left)
                for left in subtract([block.interval], taken[low:high])
            ]
    return sorted(pieces, key=lambda one: (one.programme, str(one.interval.series), one.interval))


def _require_disjoint(series: Series, events: Sequence[BlockRecord]) -> None:
    found = sorted(one.interval for one in events)
    for one, other in pairwise(found):
        if other.first <= one.last:
            raise InvalidValue("serials", str(other), f"share serials with {one} in {series}")


# ── ours to theirs ───────────────────────────────────────────────────────────────────────────


def dataset_of(version: Version, pieces: Iterable[BlockRecord]) -> tuple[Dataset, list[LeftOut]]:
    """One upload of these pieces, and the pieces that the model cannot hold."""
    data = Dataset(version)
    write = _Writer(data).write_v1 if version is Version.V1 else _Writer(data).write_v2
    left_out = []
    for piece in pieces:
        if piece.vintage_start is None or piece.vintage_end is None:
            left_out.append(LeftOut(str(piece.interval), "the registry does not give the vintage"))
        elif piece.programme not in REGISTRIES:
            left_out.append(LeftOut(str(piece.interval), f"{piece.programme} has no name there"))
        else:
            write(piece, piece.vintage_start, piece.vintage_end)
    return data, left_out


def _id(*parts: object) -> str:
    return str(uuid.uuid5(_SPACE, "\n".join(map(str, parts))))


def _link(piece: BlockRecord) -> str:
    return REGISTRIES[piece.programme][1].format(project=piece.project)


def _unit_type(piece: BlockRecord) -> str:
    found = attributes_of(piece)
    word = {"reduction": "Reduction", "removal": "Removal"}.get(found.direction or "")
    if word is None or not found.categories:
        return "Not Determined"
    kinds = {"nature" if category in _NATURE else "technical" for category in found.categories}
    return f"{word} - {kinds.pop()}" if len(kinds) == 1 else "Not Determined"


def _block_text(series: Series, number: int) -> str:
    return f"{series}/{number}"


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _label_type(label: str) -> str:
    return "Article 6 - Authorisation" if label.startswith("Article 6") else "Certification"


class _Writer:
    """Adds a piece with the project and issuance it belongs to; each of those once."""

    def __init__(self, data: Dataset) -> None:
        self._data = data
        self._known: set[tuple[str, str]] = set()

    def _once(self, entity: str, key: str, row: Callable[[str], Row]) -> str:
        if (entity, key) not in self._known:
            self._known.add((entity, key))
            self._data.add(entity, row(key))
        return key

    def write_v1(self, piece: BlockRecord, start: date, end: date) -> None:
        issuance = self._issuance_v1(piece, start, end)
        status, reason = STATUSES[piece.status]
        interval = piece.interval
        unit = _id("unit", interval, piece.programme)
        authorised = any(_label_type(label) != "Certification" for label in piece.labels)
        first, last = (_block_text(interval.series, n) for n in (interval.first, interval.last))
        row: Row = {
            "warehouseUnitId": unit,
            "issuanceId": issuance,
            "countryJurisdictionOfOwner": "Not Specified",
            "serialNumberBlock": f"{first}-{last}",
            "unitBlockStart": first,
            "unitBlockEnd": last,
            "unitCount": interval.tonnes,
            "vintageYear": end.year,
            "unitType": _unit_type(piece),
            "unitStatus": status,
            "unitRegistryLink": _link(piece),
            "correspondingAdjustmentDeclaration": "Committed" if authorised else "Unknown",
            "correspondingAdjustmentStatus": "Pending" if authorised else "Not Applicable",
            "unitTags": "" if piece.batch is None else f"batch:{piece.batch}",
            "unitStatusReason": reason,
        }
        self._data.add("unit", {name: value for name, value in row.items() if value != ""})
        for label in piece.labels:
            self._data.add(
                "label",
                {
                    "id": _id("label", unit, label),
                    "warehouseUnitId": unit,
                    "label": label,
                    "labelType": _label_type(label),
                    "unitQuantity": interval.tonnes,
                    "labelLink": _link(piece),
                },
            )

    def _project_v1(self, piece: BlockRecord) -> str:
        facts, registry = piece.facts, REGISTRIES[piece.programme][0]
        return self._once(
            "project",
            _id("project", piece.programme, piece.project),
            lambda key: {
                "warehouseProjectId": key,
                "currentRegistry": registry,
                "projectId": piece.project,
                "originProjectId": piece.project,
                "registryOfOrigin": registry,
                "program": piece.programme,
                "projectName": piece.project_name or piece.project,
                "projectLink": _link(piece),
                "projectDeveloper": facts.developer or NOT_STATED,
                "sector": "; ".join(facts.project_types) or NOT_STATED,
                "projectType": "; ".join(facts.project_types) or NOT_STATED,
                "coveredByNDC": "Unknown",
                "projectStatus": NOT_STATED,
                "unitMetric": _TONNE,
                "methodology": "; ".join(facts.methodologies) or NOT_STATED,
            },
        )

    def _issuance_v1(self, piece: BlockRecord, start: date, end: date) -> str:
        facts, project = piece.facts, self._project_v1(piece)
        return self._once(
            "issuance",
            _id("issuance", project, start, end, piece.batch, facts.issued_on, facts.verifier),
            lambda key: {
                "id": key,
                "warehouseProjectId": project,
                "startDate": start.isoformat(),
                "endDate": end.isoformat(),
                "verificationApproach": NOT_STATED,
                "verificationReportDate": _iso(facts.issued_on),
                "verificationBody": facts.verifier or NOT_STATED,
            },
        )

    def write_v2(self, piece: BlockRecord, start: date, end: date) -> None:
        facts = piece.facts
        issuance = self._issuance_v2(piece, self._project_v2(piece), start, end)
        status, reason = STATUSES[piece.status]
        interval = piece.interval
        unit = _id("unit", interval, piece.programme)
        row: Row = {
            "cadTrustUnitId": unit,
            "unitSerialId": str(interval),
            "unitStartBlock": _block_text(interval.series, interval.first),
            "unitEndBlock": _block_text(interval.series, interval.last),
            "unitCount": interval.tonnes,
            "unitType": _unit_type(piece),
            "unitVintageYear": end.year,
            "unitStatus": status,
            "unitStatusReason": reason,
            "unitStatusDate": _iso(facts.retired_on),
            "unitRetirementBeneficiary": facts.beneficiary,
            "unitRetirementDetail": facts.note,
            "unitLink": _link(piece),
            "unitMetric": _TONNE,
            "cadTrustIssuanceId": issuance,
        }
        self._data.add("unit", {name: value for name, value in row.items() if value or value == 0})
        for label in piece.labels:
            key = self._once(
                "label",
                _id("label", piece.programme, label),
                lambda key, label=label: {  # type: ignore[misc]
                    "cadTrustLabelId": key,
                    "labelName": label,
                    "labelType": _label_type(label),
                },
            )
            self._data.add("unitLabel", {"cadTrustUnitId": unit, "cadTrustLabelId": key})

    def _project_v2(self, piece: BlockRecord) -> str:
        facts, registry = piece.facts, REGISTRIES[piece.programme][0]
        program = self._once(
            "program",
            _id("program", piece.programme),
            lambda key: {
                "cadTrustProgramId": key,
                "programName": piece.programme,
                "programRegistry": registry,
            },
        )
        return self._once(
            "project",
            _id("project", piece.programme, piece.project),
            lambda key: {
                "cadTrustProjectId": key,
                "cadTrustProgramId": program,
                "projectRegistryName": registry,
                "projectId": piece.project,
                "projectCreditingProgram": piece.programme,
                "projectName": piece.project_name or piece.project,
                "projectLink": _link(piece),
                "projectType": list(facts.project_types),
                "projectUnitMetric": _TONNE,
            },
        )

    def _methodologies_v2(self, piece: BlockRecord, project: str) -> None:
        for method in piece.facts.methodologies:
            code = self._once(
                "methodology",
                _id("methodology", method),
                lambda key, method=method: {  # type: ignore[misc]
                    "cadTrustMethodologyId": key,
                    "methodologyCode": method,
                },
            )
            self._once(
                "projectMethodology",
                _id("projectMethodology", project, method),
                lambda key, code=code: {  # type: ignore[misc]
                    "cadTrustProjectMethodologyId": key,
                    "cadTrustProjectId": project,
                    "cadTrustMethodologyId": code,
                },
            )

    def _issuance_v2(self, piece: BlockRecord, project: str, start: date, end: date) -> str:
        facts = piece.facts
        self._methodologies_v2(piece, project)
        location = None
        if facts.country:
            location = self._once(
                "location",
                _id("location", project, facts.country),
                lambda key: {
                    "cadTrustLocationId": key,
                    "cadTrustProjectId": project,
                    "locationCountry": facts.country,
                },
            )
        verification = self._once(
            "verification",
            _id("verification", project, start, end, facts.verifier),
            lambda key: {
                "cadTrustVerificationId": key,
                "cadTrustProjectId": project,
                "verificationStart": start.isoformat(),
                "verificationEnd": end.isoformat(),
                "verificationBody": facts.verifier or NOT_STATED,
            },
        )
        return self._once(
            "issuance",
            _id("issuance", verification, piece.batch, facts.issued_on, location),
            lambda key: {
                "cadTrustIssuanceId": key,
                "issuanceId": f"{piece.programme}-{piece.project}"
                + ("" if piece.batch is None else f" batch:{piece.batch}"),
                "issuanceDate": _iso(facts.issued_on),
                "cadTrustVerificationId": verification,
                "cadTrustLocationId": location,
            },
        )
