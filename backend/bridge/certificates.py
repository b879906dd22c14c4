"""Certificates: which of their tonnes the registries can retire by now, and when all is settled.

Whole tonnes go to the registry as soon as the certificate is final, an opened tonne when it
closes; several certificates can share one.
"""

from __future__ import annotations

from collections.abc import Sequence

from backend.bridge.parts import SLOW_SECONDS, Parts
from backend.domain.positions import Positions
from backend.store.database import Connection
from backend.store.flows import Flow, add_flow, flows_at, move_flow, postpone_flow
from backend.store.queries import consumed
from backend.store.queries.certificates import Consumption

CERTIFICATE, RETIREMENT = "certificate", "retirement"
#: States of a retirement that a person has to look at.
STUCK = ("failed", "broken")


class CertificateFlow:
    """Every certificate from the chain to the end of its last tonne."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def discover(self) -> int:
        """Take up certificates of final chain blocks; returns how many were new."""
        with self._parts.database.read() as connection:
            final = self._parts.services.final_number(connection)
            found = [
                (number, *consumed.consumed_by(connection, number))
                for number in consumed.new_certificates(connection, final)
            ]
        with self._parts.database.begin() as connection:
            for certificate_id, class_id, pieces in found:
                add_flow(
                    connection,
                    CERTIFICATE,
                    str(certificate_id),
                    "pending",
                    {},
                    class_id=class_id,
                    tonnes=sum(piece.span.tonnes for piece in pieces),
                )
        return len(found)

    def look_again(self, class_id: int) -> None:
        """Certificates of a class that had failed go on: something was made good or confirmed."""
        with self._parts.database.begin() as connection:
            for flow in flows_at(connection, CERTIFICATE, class_id, ("failed",)):
                move_flow(connection, flow, "pending", reason="looked at again")

    def advance(self, flow: Flow) -> None:
        """Plan what can be retired by now; ends when every tonne is settled, or is stuck."""
        with self._parts.database.begin() as connection:
            final = self._parts.services.final_number(connection)
            class_id, pieces = consumed.consumed_by(connection, int(flow.id))
            settled = consumed.settled_runs(connection, class_id)
            spans = [(piece.span.first, piece.span.end) for piece in pieces]
            left = [
                part
                for first, end in spans
                for part in without(first, end, [(run.first, run.end) for run in settled])
            ]
            if not left:
                how = {
                    run.how
                    for run in settled
                    for first, end in spans
                    if run.first < end and first < run.end
                }
                ending = "made good" if "made good" in how else "confirmed"
                move_flow(connection, flow, ending, ended=True)
                return
            state = consumed.counters_at(connection, class_id, final)
            self._plan(connection, flow, class_id, _closed(pieces, state), left)
            stuck = _stuck(connection, class_id, left)
            if stuck:
                move_flow(connection, flow, "failed", ended=True, reason=stuck)
            else:
                postpone_flow(connection, flow, SLOW_SECONDS)

    def _plan(
        self,
        connection: Connection,
        flow: Flow,
        class_id: int,
        closed: Sequence[tuple[int, int]],
        left: Sequence[tuple[int, int]],
    ) -> None:
        """Make retirements of the closed positions that no retirement has."""
        known = [
            (held.first_position or 0, (held.first_position or 0) + (held.tonnes or 0))
            for held in flows_at(connection, RETIREMENT, class_id)
        ]
        for first, end in closed:
            for low, high in without(first, end, known):
                if not any(a <= low and high <= b for a, b in left):
                    continue
                add_flow(
                    connection,
                    RETIREMENT,
                    f"{class_id}:{low}",
                    "planned",
                    {"certificate": flow.id},
                    class_id=class_id,
                    first_position=low,
                    tonnes=high - low,
                )


def _closed(pieces: Sequence[Consumption], state: Positions) -> list[tuple[int, int]]:
    """Positions [first, end) of the pieces without the tonne that is still open."""
    found = []
    for piece in pieces:
        is_open = bool(state.dust) and piece.span.first == state.open_tonne
        if piece.kind == "whole" or not is_open:
            found.append((piece.span.first, piece.span.end))
    return found


def _stuck(connection: Connection, class_id: int, left: Sequence[tuple[int, int]]) -> str:
    """Why nothing that is left goes on by itself; empty while something does."""
    reasons: dict[int, str] = {}
    waiting = {low for low, _ in left}
    for held in flows_at(connection, RETIREMENT, class_id, STUCK):
        first = held.first_position or 0
        for low, high in left:
            if low <= first < high:
                reasons[low] = held.reason or held.state
    return "; ".join(sorted(set(reasons.values()))) if reasons.keys() == waiting else ""


def without(first: int, end: int, taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """[first, end) without the ranges that are taken."""
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
