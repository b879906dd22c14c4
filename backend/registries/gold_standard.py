"""Gold Standard's credit exports: issuances of whole blocks, retirements of parts of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series, party_code
from backend.errors import InvalidValue
from backend.registries import holding
from backend.registries.cells import (
    identifier,
    iso_date,
    listed,
    optional,
    segment,
    whole_number,
)

PROGRAMME = "GS"
_SERIAL_FIELD = "Serial Number"
#: Unit type of a CER in a serial of the United Nations' transaction log.
_CER_UNIT = 5
CER = "CER"

_SERIAL = re.compile(
    r"(?P<std>GS\d)-(?P<ver>\d+)-(?P<country>[A-Z]{2})-GS(?P<project>\d+)-(?P<ptype>\d{1,2})"
    r"-(?P<vintage>\d{4})-(?P<batch>\d+)-(?P<start>\d+)-(?P<end>\d+)",
    re.ASCII,
)
_WITHOUT_RANGE = re.compile(r"GS\d-\d+-[A-Z]{2}-GS\d+-\d{1,2}-\d{4}-\d+", re.ASCII)
_UN_SERIAL = re.compile(
    r"(?P<party>[A-Z]{2})-(?P<utype>\d+)-(?P<start>\d+)-(?P<ocp>\d)-(?P<acp>\d)-(?P<lulucf>\d)"
    r"-(?P<project>\d+) - (?P=party)-(?P=utype)-(?P<end>\d+)-(?P=ocp)-(?P=acp)-(?P=lulucf)"
    r"-(?P=project)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class GoldStandardSerial:
    """The segments of a VER serial range; numbers restart in every (project, vintage, batch)."""

    standard: str
    version: int
    country: str
    project_type: int
    interval: Interval

    @property
    def project(self) -> int:
        return self.interval.series.codes[0]

    @property
    def vintage(self) -> int:
        return self.interval.series.codes[1]

    @property
    def batch(self) -> int:
        return self.interval.series.codes[2]

    def __str__(self) -> str:
        return (
            f"{self.standard}-{self.version}-{self.country}-GS{self.project}-{self.project_type}"
            f"-{self.vintage:04d}-{self.batch}-{self.interval.first}-{self.interval.last}"
        )


@dataclass(frozen=True, slots=True)
class UnSerial:
    """Two serials of the UN's transaction log that name one interval in the party's series."""

    interval: Interval
    unit_type: int
    original_period: int
    applicable_period: int
    lulucf: int
    project: str

    def __str__(self) -> str:
        party = self.interval.series.codes[0].to_bytes(2, "big").decode("ascii")
        tail = f"{self.original_period}-{self.applicable_period}-{self.lulucf}-{self.project}"
        first, last = self.interval.first, self.interval.last
        return f"{party}-{self.unit_type}-{first}-{tail} - {party}-{self.unit_type}-{last}-{tail}"


def _interval(text: str, programme: str, codes: tuple[int, ...], start: str, end: str) -> Interval:
    first, last = segment(_SERIAL_FIELD, start, text), segment(_SERIAL_FIELD, end, text)
    try:
        return Interval(Series(programme, codes), first, last)
    except InvalidValue as error:
        raise InvalidValue(_SERIAL_FIELD, text, f"{error.field} {error.rule}") from None


def parse_serial(text: str) -> GoldStandardSerial:
    """The VER serial range in `text`; raises InvalidValue for field `Serial Number`."""
    match = _SERIAL.fullmatch(text)
    if not match:
        if _WITHOUT_RANGE.fullmatch(text):
            rule = "lacks the first and last number at its end"
        elif _UN_SERIAL.fullmatch(text):
            rule = "is a UN serial, which only Product Type CER has"
        else:
            rule = "is not GS1-1-CC-GS<project>-<type>-<vintage>-<batch>-<first>-<last>"
        raise InvalidValue(_SERIAL_FIELD, text, rule)
    standard, version, country, project, project_type, vintage, batch, start, end = match.groups()
    codes = (
        segment(_SERIAL_FIELD, project, text),
        int(vintage),
        segment(_SERIAL_FIELD, batch, text),
    )
    interval = _interval(text, PROGRAMME, codes, start, end)
    return GoldStandardSerial(
        standard,
        segment(_SERIAL_FIELD, version, text),
        country,
        segment(_SERIAL_FIELD, project_type, text),
        interval,
    )


def parse_un_serial(text: str) -> UnSerial:
    """The interval that two UN serials joined by ` - ` name; raises InvalidValue."""
    match = _UN_SERIAL.fullmatch(text)
    if not match:
        if _SERIAL.fullmatch(text):
            rule = "is a Gold Standard serial, which Product Type CER does not have"
        else:
            rule = "is not two UN serials of one party, unit type and project joined by ' - '"
        raise InvalidValue(_SERIAL_FIELD, text, rule)
    unit_type = segment(_SERIAL_FIELD, match["utype"], text)
    if unit_type != _CER_UNIT:
        raise InvalidValue(_SERIAL_FIELD, text, f"has unit type {unit_type}, a CER has {_CER_UNIT}")
    codes = (party_code(match["party"]),)
    return UnSerial(
        _interval(text, "CDM", codes, match["start"], match["end"]),
        unit_type,
        int(match["ocp"]),
        int(match["acp"]),
        int(match["lulucf"]),
        match["project"],
    )


def _vintage_year(text: str) -> int:
    if len(text) != 4 or not text.isascii() or not text.isdigit() or text < "1900":
        raise InvalidValue("Vintage", text, "is not a year from 1900 on")
    return int(text)


def _serial_of(text: str, product: str, project: int, vintage: int) -> tuple[Interval, int | None]:
    """The interval and batch of a row, its serial checked against the row's own columns."""
    if product == CER:
        return parse_un_serial(text).interval, None
    if product == "PER":
        raise InvalidValue("Product Type", product, "is planned: no credit has been issued for it")
    if product != "VER":
        raise InvalidValue("Product Type", product, "is neither VER nor CER")
    serial = parse_serial(text)
    if serial.project != project:
        raise InvalidValue("GSID", str(project), f"is not project {serial.project} of the serial")
    if serial.vintage != vintage:
        raise InvalidValue("Vintage", str(vintage), f"is not {serial.vintage} of the serial")
    return serial.interval, serial.batch


def _poa(text: str) -> str:
    """The number of the programme of activities; exports that went through a table have `.0`."""
    return text.removesuffix(".0")


@dataclass(frozen=True, slots=True)
class _Common:
    """Columns that both exports have, as written."""

    vintage: str
    status: str
    quantity: str
    gsid: str
    name: str
    developer: str
    country: str
    product: str
    project_type: str
    methodology: str
    poa: str
    issued: str
    monitoring_start: str
    monitoring_end: str
    serial: str
    label: str
    article_six: str


@dataclass(frozen=True, slots=True)
class _Retirement:
    """Columns that only the retirements have."""

    retired_on: date | None = None
    beneficiary: str = ""
    note: str = ""
    use_case: str = ""
    aeroplane_operator: str = ""


def _record(
    common: _Common, kind: Kind, status: Status, retirement: _Retirement, row: int, line: int
) -> BlockRecord:
    vintage = _vintage_year(common.vintage)
    tonnes = whole_number("Quantity", common.quantity)
    project = identifier("GSID", common.gsid)
    issued_on = iso_date("Issuance Date", common.issued)
    monitoring_start = optional(iso_date, "Monitoring Period Start", common.monitoring_start)
    monitoring_end = optional(iso_date, "Monitoring Period End", common.monitoring_end)
    if monitoring_start and monitoring_end and monitoring_end < monitoring_start:
        raise InvalidValue(
            "Monitoring Period End", common.monitoring_end, f"is before {monitoring_start}"
        )
    interval, batch = _serial_of(common.serial, common.product, project, vintage)
    if interval.tonnes != tonnes:
        raise InvalidValue(
            "Quantity", common.quantity, f"is not the {interval.tonnes} of the serial"
        )
    labels = listed(common.label, ",")
    if common.article_six:
        labels += (common.article_six,)
    if common.product == CER:
        labels += (CER,)
    facts = Facts(
        methodologies=(common.methodology,) if common.methodology else (),
        project_types=(common.project_type,) if common.project_type else (),
        country=common.country,
        developer=common.developer,
        programme_of_activities=_poa(common.poa),
        product_type=common.product,
        monitoring_start=monitoring_start,
        monitoring_end=monitoring_end,
        issued_on=issued_on,
        retired_on=retirement.retired_on,
        beneficiary=retirement.beneficiary,
        note=retirement.note,
        use_case=retirement.use_case,
        aeroplane_operator=retirement.aeroplane_operator,
    )
    return BlockRecord(
        PROGRAMME,
        str(project),
        common.name,
        date(vintage, 1, 1),
        date(vintage, 12, 31),
        interval,
        kind,
        status,
        labels,
        batch,
        facts,
        row,
        line,
    )


class GoldStandardIssuances:
    """The export of issuances: each row repeats the whole block, whatever was retired of it."""

    programme = PROGRAMME
    layout = "gold-standard-issuances"
    kind = Kind.ISSUANCE
    tells = (Status.ISSUED,)
    columns = (
        "Vintage",
        "Credit Status",
        "Quantity",
        "GSID",
        "Project Name",
        "Project Developer",
        "Country",
        "Project Type",
        "Methodology",
        "Programme of Activities",
        "POA GSID",
        "Product Type",
        "Issuance Date",
        "Monitoring Period Start",
        "Monitoring Period End",
        "Serial Number",
        "Label",
        "Article Six Authorization",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One issuance of one block."""
        (
            vintage, status, quantity, gsid, name, developer, country, project_type, methodology,
            _, poa, product, issued, monitoring_start, monitoring_end, serial, label, article_six,
        ) = cells  # fmt: skip
        if status.casefold() != "issued":
            raise InvalidValue("Credit Status", status, "is not Issued")
        common = _Common(
            vintage, status, quantity, gsid, name, developer, country, product, project_type,
            methodology, poa, issued, monitoring_start, monitoring_end, serial, label, article_six,
        )  # fmt: skip
        return _record(common, self.kind, Status.ISSUED, _Retirement(), row, line)


_STATUS_WORDS = {
    "retired": Status.RETIRED,
    "canceled": Status.CANCELLED,
    "cancelled": Status.CANCELLED,
}


class GoldStandardRetirements:
    """The export of retirements and cancellations of parts of issued blocks."""

    programme = PROGRAMME
    layout = "gold-standard-retirements"
    kind = Kind.RETIREMENT
    tells = (Status.RETIRED, Status.CANCELLED)
    columns = (
        "Vintage",
        "Credit Status",
        "Quantity",
        "GSID",
        "Project Name",
        "Project Developer",
        "Country",
        "Product Type",
        "Project Type",
        "Methodology",
        "Programme of Activities",
        "POA GSID",
        "Issuance Date",
        "Retirement Date",
        "Monitoring Period Start",
        "Monitoring Period End",
        "Serial Number",
        "Note",
        "Aeroplane Operator Name",
        "Label",
        "Use Case",
        "Using Entity",
        "Article Six Authorization",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One retirement or cancellation; a cancellation has no date in this export."""
        (
            vintage, status_word, quantity, gsid, name, developer, country, product, project_type,
            methodology, _, poa, issued, retired, monitoring_start, monitoring_end, serial, note,
            operator, label, use_case, entity, article_six,
        ) = cells  # fmt: skip
        status = _STATUS_WORDS.get(status_word.casefold())
        if status is None:
            raise InvalidValue("Credit Status", status_word, "is neither Retired nor Canceled")
        retired_on = optional(iso_date, "Retirement Date", retired)
        if status is Status.RETIRED and retired_on is None:
            raise InvalidValue("Retirement Date", retired, "is empty on a row that is Retired")
        common = _Common(
            vintage, status_word, quantity, gsid, name, developer, country, product, project_type,
            methodology, poa, issued, monitoring_start, monitoring_end, serial, label, article_six,
        )  # fmt: skip
        retirement = _Retirement(retired_on, entity, note, use_case, operator)
        return _record(common, self.kind, status, retirement, row, line)


class GoldStandardHoldings:
    """Pieces in a holder's account, live or gone; the layout is Causeway's own."""

    programme = PROGRAMME
    layout = "gold-standard-holdings"
    kind = Kind.PARTITION
    tells = holding.TELLS
    columns = ("GS Serial Numbers", *holding.COLUMNS)

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One piece."""
        cell = dict(zip(self.columns, cells, strict=True))
        serial = holding.named("GS Serial Numbers", cell["GS Serial Numbers"], parse_serial)
        return holding.of_batch(PROGRAMME, cell, serial.interval, (row, line))
