"""What exports say of projects, as listings that can be compared across programmes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from backend.domain.credits import ProjectRecord, Record
from backend.domain.duplicates import REGISTRY, Key, Listing
from backend.registries.attributes import SEVERAL, attributes_of_texts, normal

_MICRO = 6


def listing_of(record: Record) -> Listing:
    """What one row says of its project."""
    key = Key(REGISTRY, record.programme, record.project)
    if not isinstance(record, ProjectRecord):
        facts = record.facts
        return listing_of_texts(
            key,
            name=record.project_name,
            developer=facts.developer,
            country=facts.country,
            types=facts.project_types,
            methodologies=facts.methodologies,
            period=(
                facts.monitoring_start or record.vintage_start,
                facts.monitoring_end or record.vintage_end,
            ),
            stated=_moved(facts.moved_from),
        )
    return listing_of_texts(
        key,
        name=record.name,
        developer=record.developer,
        country=record.country,
        types=record.project_types,
        methodologies=record.methodologies,
        period=(record.crediting_start, record.crediting_end),
        place=(record.latitude, record.longitude),
        stated=record.cross_listings,
    )


_HOST = re.compile(r"(ACR|CAR|VCS)(\d+)", re.ASCII)


def _moved(host: str) -> tuple[str, ...]:
    """The id under the programme that credits came from (`ACR1007` in ARB's workbook)."""
    match = _HOST.fullmatch(host)
    return (f"{match[1]}:{match[2]}",) if match else ()


def listing_of_texts(
    key: Key,
    *,
    name: str,
    developer: str = "",
    country: str = "",
    types: Iterable[str] = (),
    methodologies: Iterable[str] = (),
    period: tuple[date | None, date | None] = (None, None),
    place: tuple[str, str] = ("", ""),
    stated: Iterable[str] = (),
) -> Listing:
    """A listing of these texts as a registry writes them; `stated` as `PROGRAMME:id`."""
    attributes = attributes_of_texts(
        key.programme, country=country, types=types, methodologies=methodologies
    )
    found = attributes.country
    where = _place(*place)
    first, last = period
    named = (text.partition(":") for text in stated)
    return Listing(
        key,
        names=(normal(name),) if normal(name) else (),
        developers=(normal(developer),) if normal(developer) else (),
        countries=(found,) if found and found != SEVERAL else (),
        methodologies=tuple(sorted({one.code for one in attributes.methodologies})),
        categories=attributes.categories,
        places=() if where is None else (where,),
        periods=((first, last),) if first and last and first <= last else (),
        stated=tuple(sorted({(programme, other) for programme, _, other in named if other})),
    )


def micro_degrees(text: str) -> int | None:
    """Decimal degrees as millionths, cut off; None for what is no number of degrees."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, _, part = digits.strip().partition(".")
    if not (whole + part).isdecimal() or not (whole + part).isascii() or len(whole) > 3:
        return None
    number = int((whole or "0") + part[:_MICRO].ljust(_MICRO, "0"))
    return sign * number if number <= 180 * 10**_MICRO else None


def _place(latitude: str, longitude: str) -> tuple[int, int] | None:
    north, east = micro_degrees(latitude), micro_degrees(longitude)
    if north is None or east is None or abs(north) > 90 * 10**_MICRO or (north, east) == (0, 0):
        return None
    return north, east


def listings_of(records: Iterable[Record]) -> dict[Key, Listing]:
    """One listing for each project that the rows name; the order of rows does not matter."""
    found: dict[Key, Listing] = {}
    seen: set[Listing] = set()
    for record in records:
        one = listing_of(record)
        # Rows of one project mostly repeat each other: a union for each would be slow.
        if one in seen:
            continue
        seen.add(one)
        held = found.get(one.key)
        found[one.key] = one if held is None else held | one
    return found
