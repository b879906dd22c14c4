"""What a registry's answer for one certificate confirms: runs of positions that can be closed."""

from __future__ import annotations

from backend.domain.assignment import joined
from backend.domain.custody import RegistryRetirement
from backend.domain.serials import Interval, merge
from backend.errors import InvalidValue
from backend.store.database import Connection
from backend.store.queries import lookup
from backend.store.queries.certificates import get_certificate


def confirmable(connection: Connection, certificate_id: int) -> tuple[int, list[tuple[int, int]]]:
    """Class and runs [first, end) of the certificate's positions that can be confirmed now.

    A tonne that is still open waits until it closes; what is settled already is left out, since
    another certificate may share the tonne.
    """
    found = get_certificate(connection, certificate_id)
    class_id = found.retirement.class_id
    positions = lookup.position_map(connection, class_id)
    runs: list[tuple[int, int]] = []
    for piece in found.pieces:
        span = piece.consumption.span
        if not piece.still_open:
            runs.append((span.first, span.end))
    free: list[tuple[int, int]] = []
    for first, end in sorted(set(runs)):
        free += _without(first, end, [(one.first, one.end) for one in positions.settled])
    ready: list[tuple[int, int]] = []
    for first, end in sorted(free):
        if ready and ready[-1][1] == first:
            ready[-1] = (ready[-1][0], end)
        else:
            ready.append((first, end))
    return class_id, ready


def _without(first: int, end: int, taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """[first, end) without the ranges that are taken, which are disjoint."""
    left = []
    cursor = first
    for low, high in sorted(taken):
        if high <= cursor or low >= end:
            continue
        if low > cursor:
            left.append((cursor, low))
        cursor = max(cursor, high)
    if cursor < end:
        left.append((cursor, end))
    return left


def confirmations_for(
    connection: Connection,
    certificate_id: int,
    reference: str,
    registry_date: int,
    actual: list[Interval] | None,
    evidence_hash: bytes,
) -> list[RegistryRetirement]:
    """One statement per run of positions; `actual` (None: the expected serials) in their order.

    Raises InvalidValue when nothing can be confirmed, when the tonnes differ, or when an actual
    serial does not lie in trust in this class; SerialsOverlap when one is confirmed already.
    """
    class_id, runs = confirmable(connection, certificate_id)
    if not runs:
        raise InvalidValue(
            "certificate",
            certificate_id,
            "has no tonne to confirm: all are confirmed, or its tonne is still open",
        )
    positions = lookup.position_map(connection, class_id)
    wanted = sum(end - first for first, end in runs)
    if actual is None:
        serials = [joined([p.serials for p in positions.pieces(first, end)]) for first, end in runs]
    else:
        given = sum(interval.tonnes for interval in actual)
        if given != wanted:
            raise InvalidValue("serials", f"{given} t", f"are not the {wanted} t to confirm")
        if sum(one.tonnes for one in merge(actual)) != given:
            raise InvalidValue("serials", [str(one) for one in actual], "name a serial twice")
        serials = _deal(actual, [end - first for first, end in runs])
    made = [
        RegistryRetirement(class_id, first, tuple(part), reference, registry_date, evidence_hash)
        for (first, _), part in zip(runs, serials, strict=True)
    ]
    for one in made:
        # Refuses here, with names, what the contract would refuse later.
        for exchange in positions.exchanges_for(one.first_position, one.actual):
            positions.exchange(exchange)
        positions.confirm(one.first_position, one.actual)
    return made


def _deal(intervals: list[Interval], sizes: list[int]) -> list[list[Interval]]:
    """Cut the intervals, in their order, into parts of these sizes in tonnes."""
    parts: list[list[Interval]] = []
    queue = list(intervals)
    for size in sizes:
        part: list[Interval] = []
        left = size
        while left:
            head = queue.pop(0)
            if head.tonnes > left:
                queue.insert(0, Interval(head.series, head.first + left, head.last))
                head = Interval(head.series, head.first, head.first + left - 1)
            part.append(head)
            left -= head.tonnes
        parts.append(part)
    return parts
