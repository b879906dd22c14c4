"""L3: every token outstanding stands on a credit that the registry still shows as live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from backend.audit.bridge import Bridge
from backend.audit.custody import CustodyStatement
from backend.audit.ledger import ClassLedger, Ledger
from backend.audit.register import Confirmation, show
from backend.audit.report import Findings
from backend.domain.classes import as_yyyymmdd, from_yyyymmdd
from backend.domain.events import ChainEvent
from backend.domain.serials import Interval, subtract
from backend.errors import InvalidValue

NO_EXPORT = "no registry export was given (--custody)"


def live_ranges(held: ClassLedger) -> list[tuple[int, int]]:
    """Positions [first, end) with kilograms outstanding: an opened tonne counts until it closes."""
    state = held.positions
    ranges = [(state.open_tonne, state.open_tonne + 1)] if state.dust else []
    if state.exited < state.minted:
        ranges.append((state.exited, state.minted))
    return ranges


def live_serials(
    ledger: Ledger, class_id: int, gaps: Iterable[tuple[int, int]] = ()
) -> list[Interval]:
    """Serials that must be live in trust, after every exchange; none of `gaps` [first, end)."""
    position_map = ledger.register.map(class_id)
    serials = []
    for first, end in live_ranges(ledger.classes[class_id]):
        # Counters that claim more than there are blocks are a break of L2, reported there.
        end = min(end, position_map.minted)
        for low, high in _without(first, end, gaps):
            serials += [piece.serials for piece in position_map.pieces(low, high)]
    return serials


def _without(first: int, end: int, gaps: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """[first, end) without the gaps."""
    cursor = first
    for low, high in sorted(gaps):
        if high <= cursor or low >= end:
            continue
        if cursor < low:
            yield cursor, low
        cursor = high
    if cursor < end:
        yield cursor, end


def _tonnes(intervals: Iterable[Interval]) -> int:
    return sum(interval.tonnes for interval in intervals)


def _block_event(ledger: Ledger, class_id: int, serials: Interval) -> ChainEvent | None:
    for block in ledger.register.blocks.get(class_id, []):
        if block.serials.overlaps(serials):
            return block.event
    return None


def _belongs(held: ClassLedger) -> tuple[object, ...] | None:
    """The class as a row names it; None for one whose identifiers are no dates."""
    named = held.created.args.get("creditClass")
    if named is None:
        return None
    try:
        start, end = from_yyyymmdd(named["vintageStart"]), from_yyyymmdd(named["vintageEnd"])
    except InvalidValue:
        return None
    return (named["programme"], named["project"], start, end)


def check_backing(
    findings: Findings, ledger: Ledger, statement: CustodyStatement | None, books: Bridge
) -> None:
    """Compare live and confirmed serials with the exports' rows.

    Without exports the reserve reports, which custodian and attestor signed, are what there is.
    """
    if statement is None:
        if not books.reserve.reports and books.reserve.mints:
            findings.gap("L3", NO_EXPORT)
        return
    live_tonnes = backed = uncovered = 0
    open_series: set[str] = set()
    for class_id, held in ledger.classes.items():
        gaps = [(gap.first, gap.end) for gap in books.programme.gaps[class_id]]
        must_live = live_serials(ledger, class_id, gaps) + books.deliveries.in_trust(class_id)
        live_tonnes += _tonnes(must_live)
        covered = statement.live.of_all(must_live)
        backed += _tonnes(covered)
        for gone in statement.gone.of_all(must_live):
            findings.broken(
                "L3", f"tokens stand on {gone}, which the registry shows as retired or cancelled",
                _block_event(ledger, class_id, gone), show([gone]), tonnes=gone.tonnes,
                class_id=class_id,
            )  # fmt: skip
        missing = subtract(must_live, [*covered, *statement.gone.of_all(must_live)])
        uncovered += _tonnes(missing)
        open_series |= {str(interval.series) for interval in missing}
        _check_class(findings, ledger, held, statement)
    confirmed = _check_confirmed(findings, ledger, statement)
    findings.count(
        "L3", live_tonnes=live_tonnes, backed_tonnes=backed, uncovered_tonnes=uncovered,
        confirmed_tonnes=confirmed, export_rows=statement.rows, rejected_rows=statement.rejected,
    )  # fmt: skip
    if statement.rejected_retirements:
        findings.gap(
            "L3", f"{statement.rejected_retirements} retirement rows could not be read: the "
            "serials they retired look live",
        )  # fmt: skip
    if uncovered:
        findings.gap(
            "L3",
            f"no row of the exports covers {uncovered} t of {live_tonnes} t outstanding "
            f"(series {', '.join(sorted(open_series)[:5])})",
        )


def _check_class(
    findings: Findings, ledger: Ledger, held: ClassLedger, statement: CustodyStatement
) -> None:
    belongs = _belongs(held)
    if belongs is None:
        return
    for block in ledger.register.blocks.get(held.id, []):
        for record in statement.foreign(block.serials, belongs):
            findings.broken(
                "L3",
                f"{block.serials} was minted as {belongs[0]}-{belongs[1]} {belongs[2]}…"
                f"{belongs[3]}, the registry shows {record.programme}-{record.project} "
                f"{record.vintage_start}…{record.vintage_end}",
                block.event, show([block.serials]), tonnes=block.serials.tonnes,
                class_id=held.id,
            )  # fmt: skip


def _check_confirmed(findings: Findings, ledger: Ledger, statement: CustodyStatement) -> int:
    """What the registry is recorded to have retired must not be active in a newer export.

    An export that names no day after the registry's own date of the retirement may be older than
    it: that is counted, and is no break, since the tokens of these credits are gone anyway.
    """
    tonnes = not_yet = 0
    for confirmation in ledger.register.confirmations.values():
        tonnes += _tonnes(confirmation.actual)
        still_live = statement.live.of_all(confirmation.actual)
        if not still_live:
            continue
        if not _is_newer(ledger, statement, confirmation):
            not_yet += _tonnes(still_live)
            continue
        findings.broken(
            "L3", f"confirmation {confirmation.id}: the registry shows as active what it is "
            "recorded to have retired, in an export with later days",
            confirmation.event, show(still_live), tonnes=_tonnes(still_live),
            class_id=confirmation.class_id,
        )  # fmt: skip
    findings.count("L3", confirmed_after_export_tonnes=not_yet)
    return tonnes


def _is_newer(ledger: Ledger, statement: CustodyStatement, confirmation: Confirmation) -> bool:
    """Whether the exports name a day after the one on which the registry retired."""
    belongs = _belongs(ledger.classes[confirmation.class_id])
    as_of = statement.as_of.get(str(belongs[0])) if belongs else None
    if as_of is None:
        return False
    registry_date: int = confirmation.event.args["registryDate"]
    return as_yyyymmdd(as_of) > registry_date
