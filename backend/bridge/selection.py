"""Which imported credits go into which receipt: active, mapped, in no trust yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from eth_utils.crypto import keccak

from backend.domain.classes import CreditClass, UnitType
from backend.domain.custody import MAX_INTERVALS
from backend.domain.registry_requests import SerialRange
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue, NotEnough
from backend.store.queries.registry import RegistryBlock


@dataclass(frozen=True, slots=True)
class Lot:
    """Serials of one class for one receipt; `rows` names the registry's rows behind them."""

    credit_class: CreditClass
    intervals: tuple[Interval, ...]
    rows: tuple[RegistryBlock, ...]

    @property
    def tonnes(self) -> int:
        return sum(interval.tonnes for interval in self.intervals)

    @property
    def ranges(self) -> tuple[SerialRange, ...]:
        """The same serials as a registry counts them."""
        return tuple(SerialRange.of(interval) for interval in self.intervals)

    @property
    def evidence_hash(self) -> bytes:
        """keccak256 of the rows the custodian and the attestor saw, as canonical JSON."""
        seen = [
            {
                "series": row.series,
                "first": row.first,
                "last": row.last,
                "programme": row.programme,
                "project": row.project,
                "status": row.status,
                "labels": list(row.labels),
                "vocabulary": row.vocabulary,
                "source": row.source,
            }
            for row in self.rows
        ]
        return keccak(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS))


def class_of(block: RegistryBlock) -> CreditClass:
    """The class of a registry's row; InvalidValue says why it has none."""
    if block.cohort is None:
        raise InvalidValue("labels", ", ".join(block.unmapped), "are not in the vocabulary")
    if block.vintage_start is None or block.vintage_end is None:
        raise InvalidValue("vintage", "", "is not in the export: the credits have no class")
    return CreditClass(
        block.programme,
        block.project,
        UnitType.CREDIT,
        block.vintage_start,
        block.vintage_end,
        block.cohort,
    )


def lots_of(blocks: Iterable[RegistryBlock], tonnes: int | None = None) -> list[Lot]:
    """The free serials of these rows, one lot per class and at most 64 intervals each.

    `tonnes` limits the whole, taken in the order of the rows; raises NotEnough when there are
    fewer.
    """
    by_class: dict[CreditClass, list[tuple[Interval, RegistryBlock]]] = defaultdict(list)
    left = tonnes
    for block in blocks:
        if not block.tokenizable:
            continue
        for first, last in block.free:
            if left == 0:
                break
            end = last if left is None else min(last, first + left - 1)
            interval = Interval(Series.parse(block.series), first, end)
            by_class[class_of(block)].append((interval, block))
            left = None if left is None else left - interval.tonnes
    if left:
        found = (tonnes or 0) - left
        raise NotEnough(
            f"{tonnes} t asked, {found} t can be tokenized", asked=tonnes, available=found
        )
    return [
        _lot(credit_class, parts[start : start + MAX_INTERVALS])
        for credit_class, parts in by_class.items()
        for start in range(0, len(parts), MAX_INTERVALS)
    ]


def _lot(credit_class: CreditClass, parts: Sequence[tuple[Interval, RegistryBlock]]) -> Lot:
    rows = {row.id: row for _, row in parts}
    return Lot(credit_class, tuple(interval for interval, _ in parts), tuple(rows.values()))
