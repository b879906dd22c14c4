"""L2: the serial register and the classes as stored, against every block ever registered."""

from __future__ import annotations

from typing import Any

from backend.audit.evidence import Evidence, View, ViewFailed
from backend.audit.ledger import Ledger
from backend.audit.register import RegisteredBlock, show
from backend.audit.report import Findings
from backend.domain.assignment import Piece
from backend.domain.serials import Interval, IntervalSet

#: How many nodes that no event named are followed before the rest is left alone.
MAX_UNKNOWN_NODES = 100


def check_serials(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    """Linked lists, blocks, positions and class hashes equal what the events say."""
    register = ledger.register
    for series_id in register.series:
        _check_list(findings, evidence, ledger, series_id)
    _check_blocks(findings, evidence, ledger)
    _check_positions(findings, evidence, ledger)
    _check_class_hashes(findings, evidence, ledger)
    blocks = [block for held in register.blocks.values() for block in held]
    findings.count(
        "L2",
        series=len(register.series),
        blocks=len(blocks),
        registered_tonnes=sum(held.tonnes for held in register.intervals.values()),
        released_tonnes=sum(interval.tonnes for interval in register.released),
        rebound_tonnes=register.rebound,
        exchanges=register.exchanges,
        confirmed_tonnes=sum(entry.end - entry.first for entry in register.confirmations.values()),
    )


def _check_list(findings: Findings, evidence: Evidence, ledger: Ledger, series_id: str) -> None:
    """Walk the contract's list by what the events predict, then along what they do not."""
    register = ledger.register
    known, held = register.nodes[series_id], register.intervals[series_id]
    order = [0, *(interval.first for interval in held)]
    nodes = evidence.views(
        f"register of {held.series}", [("Trust", "registered", (series_id, at)) for at in order]
    )
    created = register.series_events[series_id]
    for index, (first, node) in enumerate(zip(order, nodes, strict=True)):
        entered = known.get(first)
        event = entered.event if entered else created
        whole = Interval(held.series, first, entered.last) if entered else None
        serials = show([whole]) if whole else ()
        if isinstance(node, ViewFailed):
            findings.broken(
                "L2", f"the register of {held.series} cannot be read at {first}: {node.message}",
                event, serials,
            )  # fmt: skip
            continue
        expected = order[index + 1] if index + 1 < len(order) else 0
        if node["next"] != expected:
            findings.broken(
                "L2", f"in the register of {held.series} another interval follows {first} than "
                "the events say", event, serials, stored=node["next"], expected=expected,
            )  # fmt: skip
            _follow_unknown(findings, evidence, held, series_id, node["next"], set(order))
        if entered and (node["last"], node["classId"]) != (entered.last, entered.class_id):
            findings.broken(
                "L2", f"the register holds another interval than {whole}", event, serials,
                stored_last=node["last"], last=entered.last,
                stored_class=node["classId"], class_id=entered.class_id,
            )  # fmt: skip


def _follow_unknown(
    findings: Findings,
    evidence: Evidence,
    held: IntervalSet,
    series_id: str,
    first: int,
    known: set[int],
) -> None:
    """Report intervals in the list that no event ever registered."""
    for _ in range(MAX_UNKNOWN_NODES):
        if first in known:
            return
        known.add(first)
        node = evidence.views("unknown intervals", [("Trust", "registered", (series_id, first))])[0]
        if isinstance(node, ViewFailed):
            return
        findings.broken(
            "L2", f"the register of {held.series} holds {first}-{node['last']}, which no event "
            "registered", None, (f"{held.series}/{first}-{node['last']}",),
            class_id=node["classId"],
        )  # fmt: skip
        first = node["next"]


def _check_blocks(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    register = ledger.register
    calls: list[View] = [("Trust", "blockCount", (class_id,)) for class_id in ledger.classes]
    counts = evidence.views("block counts", calls)
    wanted: list[RegisteredBlock] = []
    places: list[View] = []
    for (class_id, held), count in zip(ledger.classes.items(), counts, strict=True):
        blocks = register.blocks.get(class_id, [])
        tonnes = sum(block.serials.tonnes for block in blocks)
        if count != len(blocks) or tonnes != held.positions.minted:
            findings.broken(
                "L2", f"class {held.number}: its blocks are not the tonnes it minted", held.last,
                show(block.serials for block in blocks)[:20], class_id=class_id,
                blocks=len(blocks), stored_blocks=_number(count), tonnes=tonnes,
                minted=held.positions.minted,
            )  # fmt: skip
        wanted += blocks
        places += [("Trust", "blockAt", (class_id, index)) for index in range(len(blocks))]
    for block, stored in zip(wanted, evidence.views("blocks", places), strict=True):
        expected = {
            "series": "0x" + block.serials.series.id.hex(),
            "first": block.serials.first,
            "last": block.serials.last,
            "firstPosition": block.first_position,
        }
        if stored != expected:
            findings.broken(
                "L2", f"block {block.serials} is stored otherwise: {_text(stored)}", block.event,
                show([block.serials]), tonnes=block.serials.tonnes, class_id=block.class_id,
            )  # fmt: skip


def _check_positions(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    """`serialAt` leads every position to the serial that blocks and exchanges put there.

    Round by round over all classes: each answer says how far it reaches, the next begins there.
    """
    open_pieces: list[tuple[int, Piece]] = []
    for class_id in ledger.classes:
        position_map = ledger.register.map(class_id)
        open_pieces += [(class_id, piece) for piece in position_map.pieces(0, position_map.minted)]
    while open_pieces:
        answers = evidence.views(
            "serials of positions",
            [
                ("RegistryRecords", "serialAt", (class_id, piece.position))
                for class_id, piece in open_pieces
            ],
        )
        rest: list[tuple[int, Piece]] = []
        for (class_id, piece), answer in zip(open_pieces, answers, strict=True):
            serials = piece.serials
            good = not isinstance(answer, ViewFailed) and (
                answer["seriesId"] == "0x" + serials.series.id.hex()
                and answer["serial"] == serials.first
                and answer["run"] >= 1
            )
            if not good:
                findings.broken(
                    "L2", f"position {piece.position} does not lead to {serials}: {_text(answer)}",
                    ledger.register.last_events.get(class_id), show([serials]),
                    class_id=class_id, position=piece.position, tonnes=serials.tonnes,
                )  # fmt: skip
            elif answer["run"] < piece.tonnes:
                rest.append((class_id, piece.cut(piece.position + answer["run"], piece.end)))
        open_pieces = rest


def _check_class_hashes(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    classes = list(ledger.classes.values())
    count = evidence.views("classes", [("CarbonCredits", "classCount", ())])[0]
    if count != len(classes):
        last = max((held.created for held in classes), key=lambda e: e.block_number, default=None)
        findings.broken(
            "L2", "there are not as many classes as were created", last, stored=_number(count),
            created=len(classes),
        )  # fmt: skip
    hashes = evidence.views(
        "class hashes", [("CarbonCredits", "classHashes", (held.id,)) for held in classes]
    )
    numbered = evidence.views(
        "class numbers", [("CarbonCredits", "classAt", (held.number,)) for held in classes]
    )
    for held, stored, class_id in zip(classes, hashes, numbered, strict=True):
        if class_id != held.id:
            findings.broken(
                "L2", f"class number {held.number} leads to another class", held.created,
                stored=_number(class_id), class_id=held.id,
            )  # fmt: skip
        if stored != {"projectHash": held.project_hash, "vintageHash": held.vintage_hash}:
            findings.broken(
                "L2", f"class {held.number}: the stored hashes are not those of its identifiers: "
                f"{_text(stored)}", held.created, class_id=held.id,
            )  # fmt: skip


def _number(value: Any) -> int | str:
    return value.message if isinstance(value, ViewFailed) else int(value)


def _text(value: Any) -> str:
    return value.message if isinstance(value, ViewFailed) else str(value)
