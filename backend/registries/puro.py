"""Puro: a holder's certificates in Causeway's own layout; both grammars of certificate ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.credits import BlockRecord, Kind
from backend.domain.serials import (
    PURO_ISSUANCE,
    PURO_LEGACY,
    Interval,
    Series,
    uuid_number,
    uuid_text,
)
from backend.errors import InvalidValue
from backend.registries import holding
from backend.registries.cells import segment

PROGRAMME = "PURO"
_FIELD = "Certificates"
_SERIAL = re.compile(
    r"PURO_(?P<registry>[A-Z]+)_(?P<ctype>CORC[0-9A-Z+]*)_(?P<country>[A-Z]{2})_(?P<project>\d{6})"
    r"_(?P<vintage>\d{4})_(?P<issuance>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"_(?P<start>\d+)-(?P<end>\d+)",
    re.ASCII,
)
#: Before the change of registry: twice a GSRN of 18 digits and a counter of 12.
_LEGACY = re.compile(r"(?P<gsrn>\d{18})(?P<start>\d{12})-(?P=gsrn)(?P<end>\d{12})", re.ASCII)


@dataclass(frozen=True, slots=True)
class PuroSerial:
    """Certificates of one issuance: numbers are unique only inside it."""

    registry: str
    certificate_type: str
    country: str
    project: str
    vintage: int
    interval: Interval

    def __str__(self) -> str:
        return (
            f"PURO_{self.registry}_{self.certificate_type}_{self.country}_{self.project}"
            f"_{self.vintage:04d}_{uuid_text(self.interval.series.codes[1])}"
            f"_{self.interval.first}-{self.interval.last}"
        )


@dataclass(frozen=True, slots=True)
class LegacyPuroSerial:
    """Certificates of one production device (GSRN); the counter runs over all its issuances."""

    interval: Interval

    def __str__(self) -> str:
        gsrn = f"{self.interval.series.codes[1]:018d}"
        return f"{gsrn}{self.interval.first:012d}-{gsrn}{self.interval.last:012d}"


def _interval(text: str, series: Series, first: int, last: int) -> Interval:
    try:
        return Interval(series, first, last)
    except InvalidValue as error:
        raise InvalidValue(_FIELD, text, f"{error.field} {error.rule}") from None


def parse_serial(text: str) -> PuroSerial | LegacyPuroSerial:
    """The certificates in `text`, of either grammar; raises InvalidValue for `Certificates`."""
    if match := _SERIAL.fullmatch(text):
        registry, ctype, country, project, vintage, issuance, start, end = match.groups()
        series = Series(PROGRAMME, (PURO_ISSUANCE, uuid_number(issuance)))
        first, last = segment(_FIELD, start, text), segment(_FIELD, end, text)
        interval = _interval(text, series, first, last)
        return PuroSerial(registry, ctype, country, project, int(vintage), interval)
    if match := _LEGACY.fullmatch(text):
        series = Series(PROGRAMME, (PURO_LEGACY, int(match["gsrn"])))
        return LegacyPuroSerial(_interval(text, series, int(match["start"]), int(match["end"])))
    rule = (
        "is neither PURO_<registry>_CORC…_CC_<project>_<vintage>_<uuid>_<first>-<last>"
        " nor two numbers of 30 digits with one GSRN"
    )
    raise InvalidValue(_FIELD, text, rule)


class PuroHoldings:
    """A holder's certificates; the layout is Causeway's own, for Puro publishes no serials."""

    programme = PROGRAMME
    layout = "puro-holdings"
    kind = Kind.PARTITION
    tells = holding.TELLS
    columns = (_FIELD, *holding.COLUMNS)

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One piece; the type of certificate (`CORC100+`) is one of its labels."""
        cell = dict(zip(self.columns, cells, strict=True))
        serial = parse_serial(cell[_FIELD])
        labels: tuple[str, ...] = ()
        if isinstance(serial, PuroSerial):
            if serial.project != cell["Project"]:
                rule = f"is not project {serial.project} of the certificates"
                raise InvalidValue("Project", cell["Project"], rule)
            start, end = holding.vintage(cell)
            if not start.year <= serial.vintage <= end.year:
                rule = f"leaves out {serial.vintage} of the certificates"
                raise InvalidValue("Vintage Start", cell["Vintage Start"], rule)
            labels = (serial.certificate_type,)
        return holding.record(PROGRAMME, cell, serial.interval, labels, (row, line))
