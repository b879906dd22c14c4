"""Whether registry, custody and chain agree to the kilogram when every flow has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from backend.bridge.service import Bridge
from backend.domain.registry_requests import SerialRange
from backend.domain.serials import Interval, merge
from backend.store.queries import lookup
from backend.store.queries.custody_holdings import receipts_holding

KINDS = ("deposit", "certificate", "retirement", "delivery")
#: Serials of one class, from its first on.
SPAN = 10_000


class Issued(NamedTuple):
    """A class and what the registry issued of it: `tonnes` serials from `base` + 1 on."""

    class_id: int
    base: int
    tonnes: int


def differences(
    bridge: Bridge, book: Mapping[str, Any], trust: str, classes: Sequence[Issued]
) -> list[str]:
    """Everything that is not as it must be, in words; empty when all agree.

    `book`: the registry's own; `trust`: its account. A class may have no open tonne.
    """
    wrong = [f"the book: {one}" for one in book["partition_breaks"]]
    for kind in KINDS:
        for flow in bridge.parts.flows.of_kind(kind):
            if not flow.ended or flow.state in ("broken", "failed", "cancelled"):
                wrong.append(f"{kind} {flow.id} is {flow.state}: {flow.reason}")
    coverage = bridge.reserve.build().coverage
    for one in classes:
        pieces = [(SerialRange.parse(piece["serials"]).interval, piece) for piece in book["pieces"]]
        mine = [
            (serials, piece)
            for serials, piece in pieces
            if one.base < serials.first <= one.base + SPAN
        ]
        found = _class_differences(bridge, one, mine, trust)
        backing = coverage[one.class_id]
        minted = bridge.services.contracts.positions(one.class_id).positions.minted
        if backing.shortfall or backing.covered != minted:
            found.append(
                f"{backing.covered} t covered, {minted} t minted, {backing.shortfall} t short"
            )
        wrong += [f"class {one.class_id}: {text}" for text in found]
    return wrong


def _class_differences(
    bridge: Bridge, one: Issued, pieces: Sequence[tuple[Interval, Mapping[str, str]]], trust: str
) -> list[str]:
    retired = merge(serials for serials, piece in pieces if piece["state"] == "retired")
    live = [(serials, piece) for serials, piece in pieces if piece["state"] == "live"]
    held = merge(serials for serials, piece in live if piece["account"] == trust)
    bought = merge(serials for serials, piece in live if piece["account"] != trust)
    contracts = bridge.services.contracts
    with bridge.services.database.read() as connection:
        positions = lookup.position_map(connection, one.class_id)
        unheld = [str(serials) for serials in held if not receipts_holding(connection, serials)]
    confirmed = merge(
        piece.serials
        for first, end in positions.confirmed
        for piece in positions.pieces(first, end)
    )
    state = contracts.positions(one.class_id).positions
    # No tonne is open: what stands behind tokens is what has not exited.
    backing = merge(piece.serials for piece in positions.pieces(state.exited, state.minted))
    supply = contracts.total_supply(one.class_id)
    wrong = []
    if retired != confirmed:
        wrong.append(f"the registry retired {_said(retired)}, the chain says {_said(confirmed)}")
    if held != backing:
        wrong.append(f"live in trust are {_said(held)}, tokens stand on {_said(backing)}")
    if not supply == state.supply_kilograms == _tonnes(held) * 1000:
        wrong.append(
            f"{supply} kg of tokens, {state.supply_kilograms} kg by the counters, "
            f"{_tonnes(held)} t live in trust"
        )
    if unheld:
        wrong.append(f"live in trust and in no receipt: {unheld}")
    if _tonnes(held) + _tonnes(bought) + _tonnes(retired) != one.tonnes:
        wrong.append(f"{_tonnes(held)} + {_tonnes(bought)} + {_tonnes(retired)} t of {one.tonnes}")
    if len(merge([*held, *bought, *retired])) != 1:
        wrong.append("a serial is nowhere")
    return wrong


def _said(intervals: Iterable[Interval]) -> str:
    return ", ".join(map(str, intervals)) or "nothing"


def _tonnes(intervals: Iterable[Interval]) -> int:
    """Tonnes of disjoint intervals."""
    return sum(one.tonnes for one in intervals)
