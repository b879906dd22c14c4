"""The reserve: reports over what lies live in trust, in time, and the proofs from them (L3).

A report is due when there is none, when the newest grows old, or when an approved receipt is not
covered by it. It is drafted here, signed apart by custodian and attestor, submitted by anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

import orjson
import structlog
from eth_utils.crypto import keccak

from backend.bridge import unconfirmed
from backend.bridge.approvals import Services
from backend.bridge.holdings import Held, Holding, Holdings
from backend.bridge.statements import SignedStatements
from backend.domain.coverage import Coverage, coverage_of
from backend.domain.positions import Positions
from backend.domain.reserve import (
    ClassReserve,
    Liabilities,
    LiveBlock,
    ReserveProof,
    ReserveReport,
    ReserveTree,
)
from backend.domain.serials import Interval, merge, subtract
from backend.errors import InvalidValue, NotEnough, NotFound, ServiceError
from backend.store.breaks import Breaks
from backend.store.database import Connection
from backend.store.holdings import imported_classes, imports_done
from backend.store.queries.backing import (
    ClassBacking,
    backing_at,
    liabilities_at,
    registered_parts,
)
from backend.store.queries.lookup import position_map
from backend.store.reserve_trees import ReserveTrees, StoredTrees, newest_recorded
from backend.store.statements import Statement, StatementState

log = structlog.get_logger("reserve")

#: A report is replaced when this part of its greatest age has passed (numerator, denominator).
RENEW_AT = (1, 7)
#: From this part on it is an alarm: mints stop soon.
ALARM_AT = (5, 7)
#: A draft that nobody signed is made anew, with what is live then, after so many seconds.
DRAFT_SECONDS = 3600
#: What was built in vain is built again when something came in, and else after so many seconds:
#: serials that the chain let go can cover more although nothing came in. A draft that nobody signs
#: is looked at again as often. By our clock: the time of a quiet chain stands still.
REBUILD_SECONDS = 15
_NOTHING = ClassBacking(0, Positions(), (), ())


class Current(NamedTuple):
    """The newest report on chain; all 0 before the first."""

    sequence: int
    as_of: int
    root: bytes

    def is_of(self, content: Mapping[str, Any]) -> bool:
        """Whether it is this report; the same root alone can be any report's."""
        said = (int(content["sequence"]), int(content["asOf"]), str(content["root"]))
        return said == (self.sequence, self.as_of, "0x" + self.root.hex())


class Attempt(NamedTuple):
    """What a report that says the same again was built from, and when (monotonic seconds)."""

    holdings: tuple[Holding, ...]
    imports: int
    root: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Built:
    """A report that could be signed now, with its trees and what it says of each class."""

    report: ReserveReport
    reserve: ReserveTree
    liabilities: Liabilities
    coverage: dict[int, Coverage]
    figures: dict[str, Any]


class ReserveKeeper:
    """Reports of one deployment."""

    def __init__(
        self, services: Services, statements: SignedStatements, holdings: Holdings
    ) -> None:
        self._services = services
        self._statements = statements
        self._holdings = holdings
        self._trees = ReserveTrees(services.database)
        self._breaks = Breaks(services.database)
        self._in_vain: Attempt | None = None
        #: The draft that was looked at last, and when.
        self._seen = ("", 0.0)
        #: When a renewal would have been no younger than the newest report.
        self._not_younger = float("-inf")

    def current(self) -> Current:
        """The newest report on chain."""
        found = self._services.contracts.read("Reserve", "current")
        return Current(found["sequence"], found["asOf"], bytes.fromhex(found["root"][2:]))

    def max_age(self) -> int:
        """Seconds after which a report refuses mints."""
        return int(self._services.contracts.read("Reserve", "maxAge"))

    # ── building ─────────────────────────────────────────────────────────────────────────────

    def build(self, held: Held | None = None) -> Built:
        """A report over what is live now, or over `held`, and the newest final chain block."""
        held = held or self._holdings.now(self._services.chain_time())
        exchange = self._services.contracts.deployment["Exchange"]
        with self._services.database.read() as connection:
            final = self._services.final_number(connection)
            known = backing_at(connection, final)
            live, unknown = _by_class(connection, held, known)
            owed = Liabilities.of(liabilities_at(connection, final, exchange))
        coverage, classes, figures = {}, [], {}
        for class_id in sorted(known.keys() | live.keys()):
            backing = known.get(class_id, _NOTHING)
            blocks = live.get(class_id, [])
            serials = [serials for serials, _ in blocks]
            found = coverage_of(backing.state, backing.pieces, backing.named, serials)
            coverage[class_id] = found
            classes.append(_class_reserve(class_id, found.covered, blocks))
            figures[str(class_id)] = _figures(backing, found)
        tree = ReserveTree(tuple(classes))
        newest = self.current()
        report = ReserveReport.of(
            newest.sequence + 1,
            max(held.as_of, newest.as_of),
            final,
            tree,
            owed,
            _evidence(held, unknown),
        )
        more = {"unclassified": [str(one) for one in unknown]}
        return Built(report, tree, owed, coverage, {"classes": figures, **more})

    def draft(self, built: Built | None = None) -> Statement:
        """Draft a report over what is live now, and report what is missing as breaks."""
        built = built or self.build()
        drafted = self._statements.draft("ReserveReport", built.report.message())
        self._trees.keep(
            StoredTrees(
                drafted.id,
                built.report.sequence,
                built.report.as_of,
                built.report.chain_block,
                built.reserve,
                built.liabilities,
                built.figures,
            )
        )
        self._report_shortfalls(built)
        return drafted

    def _report_shortfalls(self, built: Built) -> None:
        for class_id, found in built.coverage.items():
            if not found.shortfall:
                continue
            missing = self._unexplained(class_id, [piece.serials for piece in found.missing])
            if not missing:
                continue
            pieces = [str(serials) for serials in missing]
            key = f"shortfall {class_id} " + keccak(text=" ".join(pieces)).hex()
            self._breaks.report(
                key,
                "shortfall",
                f"{sum(one.tonnes for one in missing)} t of class {class_id} stand on serials that "
                f"no trust account holds live: {', '.join(pieces[:5])}",
                {"serials": pieces, "as_of": built.report.as_of},
                class_id=class_id,
            )

    def _unexplained(self, class_id: int, missing: Sequence[Interval]) -> list[Interval]:
        """Missing serials that no retirement under way accounts for.

        A registry that chooses has taken others than it was asked for; the chain exchanges them
        with the confirmation. What it was asked and we have not heard of, it may have taken too:
        the next report judges then. And a confirmation counts from the newest chain block on, not
        from the final one that the report is over.
        """
        database = self._services.database
        # Asked for first: what is answered meanwhile counts twice rather than not at all.
        unanswered = unconfirmed.unanswered_tonnes(database, class_id)
        said = unconfirmed.retired(database, class_id, recorded=True)
        with database.read() as connection:
            positions = position_map(connection, class_id)
        settled = [
            piece.serials
            for first, end in positions.confirmed
            for piece in positions.pieces(first, end)
        ]
        known = [part.interval for answer in said for part in answer.serials]
        rest = subtract(missing, merge([*known, *settled]))
        return rest if sum(one.tonnes for one in rest) > unanswered else []

    def trees(self, report_id: str) -> StoredTrees:
        """The trees of a draft or a report; raises NotFound."""
        return self._trees.get(report_id)

    # ── in time ──────────────────────────────────────────────────────────────────────────────

    def tend(self, uncovered: bool = False) -> Statement | None:
        """Draft a report when one is due; `uncovered`: an approved receipt waits for one.

        A draft that is under way is left alone until it is recorded, out of date or unsigned for
        too long.
        """
        newest, now = self.current(), self._services.chain_time()
        for held in self._statements.stored.open():
            if held.type != "ReserveReport":
                continue
            if int(held.content["sequence"]) > newest.sequence and self._stands(held, now):
                return held
            if newest.is_of(held.content):
                continue  # it is the newest itself, and not yet indexed
            self._statements.stored.set_state(held.id, StatementState.SUPERSEDED, "a newer one")
        age, longest = now - newest.as_of, self.max_age()
        if newest.sequence and age * ALARM_AT[1] > longest * ALARM_AT[0]:
            self._alarm(newest, age, longest)
        if not newest.sequence or age * RENEW_AT[1] >= longest * RENEW_AT[0]:
            drafted = self._renew(newest, longest)
            if drafted is not None:
                return drafted
        return self._draft_if_more(newest, now) if uncovered else None

    def _renew(self, newest: Current, longest: int) -> Statement | None:
        """Draft a report that is so much younger than the newest as makes one due: accounts that
        nobody has looked at since, or whose registry's clock stands behind the chain's, would give
        one that is due as well, without end.
        """
        if monotonic() - self._not_younger < REBUILD_SECONDS:
            return None
        built = self.build()
        gained = built.report.as_of - newest.as_of
        if newest.sequence and (gained <= 0 or gained * RENEW_AT[1] < longest * RENEW_AT[0]):
            self._not_younger = monotonic()
            return None
        return self.draft(built)

    def _stands(self, held: Statement, now: int) -> bool:
        """Whether a draft may still be signed: what nobody can sign holds up every mint.

        What it covered may have gone meanwhile, as when a registry retires other serials than it
        was asked for and the chain has not exchanged them yet.
        """
        if held.state is StatementState.SUBMITTED:
            return True
        if now - int(held.content["asOf"]) >= DRAFT_SECONDS:
            return False
        if self._seen[0] != held.id:
            self._seen = held.id, monotonic()
        if monotonic() - self._seen[1] < REBUILD_SECONDS:
            return True
        self._seen = held.id, monotonic()
        return not self.excess(held.id, self.build())

    def excess(self, report_id: str, now: Built) -> dict[int, int]:
        """Classes of which a draft covers more than is covered now: the tonnes that it says."""
        covered = {class_id: found.covered for class_id, found in now.coverage.items()}
        return {
            entry.class_id: entry.covered
            for entry in self.trees(report_id).reserve.classes
            if entry.covered > covered.get(entry.class_id, 0)
        }

    def _draft_if_more(self, newest: Current, now: int) -> Statement | None:
        """Draft a report if it would not say the same again; built only when something came in."""
        held = self._holdings.now(now)
        with self._services.database.read() as connection:
            attempt = Attempt(held.holdings, imports_done(connection), newest.root, monotonic())
        last = self._in_vain
        if last and last[:-1] == attempt[:-1] and attempt.at - last.at < REBUILD_SECONDS:
            return None
        built = self.build(held)
        if built.report.root != newest.root:
            return self.draft(built)
        self._in_vain = attempt
        return None

    def _alarm(self, newest: Current, age: int, longest: int) -> None:
        log.warning("the reserve report grows stale", sequence=newest.sequence, age=age)
        self._breaks.report(
            f"stale {newest.sequence}",
            "stale-reserve",
            f"reserve report {newest.sequence} is {age} s old; at {longest} s mints stop",
            {"sequence": newest.sequence, "as_of": newest.as_of, "age": age, "max_age": longest},
        )

    # ── proofs ───────────────────────────────────────────────────────────────────────────────

    def newest(self) -> StoredTrees:
        """The trees of the report that the chain has now; raises NotFound, ServiceError."""
        current = self.current()
        if not current.sequence:
            raise NotFound("there is no reserve report yet")
        with self._services.database.read() as connection:
            held = newest_recorded(connection)
        if held is None or held.reserve.tree.root.hash != current.root:
            raise ServiceError(
                f"the trees of reserve report {current.sequence} are not kept here yet",
                sequence=current.sequence,
            )
        return held

    def proof_for_mint(
        self, class_id: int, minted_after: int, account: bytes, intervals: Sequence[Interval]
    ) -> ReserveProof:
        """What `mintWithReceipt` takes; NotFound or NotEnough when it needs a new report."""
        held = self.newest()
        if self._services.chain_time() > held.as_of + self.max_age():
            raise NotFound(f"reserve report {held.sequence} is too old", sequence=held.sequence)
        proof = held.reserve.proof(class_id, intervals)
        for interval, proven in zip(intervals, proof.blocks, strict=True):
            if proven.block.account != account:
                raise InvalidValue("account", str(interval), "lies in another trust account")
        if proof.covered < minted_after:
            raise NotEnough(
                f"the report covers {proof.covered} t of class {class_id}, the mint needs "
                f"{minted_after} t",
                asked=minted_after,
                available=proof.covered,
            )
        return proof

    def proof_of_live(self, class_id: int, serials: Interval) -> ReserveProof:
        """What a refund with a report takes; raises NotFound when the serials are not listed."""
        return self.newest().reserve.proof(class_id, [serials])


def _class_reserve(
    class_id: int, covered: int, blocks: Iterable[tuple[Interval, bytes]]
) -> ClassReserve:
    made = [LiveBlock.of(serials, account) for serials, account in blocks]
    return ClassReserve(
        class_id, covered, tuple(sorted(made, key=lambda one: (one.series_id, one.first)))
    )


def _figures(backing: ClassBacking, found: Coverage) -> dict[str, str]:
    return {
        "minted": str(backing.state.minted),
        "exited": str(backing.state.exited),
        "covered": str(found.covered),
        "live": str(found.live + found.open),
        "not_minted": str(found.unnamed),
        "shortfall": str(found.shortfall),
    }


def _by_class(
    connection: Connection, held: Held, known: dict[int, ClassBacking]
) -> tuple[dict[int, list[tuple[Interval, bytes]]], list[Interval]]:
    """Live serials with their account per class, and those of which no import says what they are.

    What is registered has the class of the register; the rest the class of its imported row.
    """
    by_account: dict[bytes, list[Interval]] = defaultdict(list)
    for one in held.holdings:
        by_account[one.account].append(one.serials)
    live: dict[int, list[tuple[Interval, bytes]]] = defaultdict(list)
    unknown: list[Interval] = []
    for account, serials in by_account.items():
        parts = registered_parts(serials, known)
        rest = subtract(serials, [part for part, _ in parts])
        for interval in rest:
            classed = _imported(connection, interval)
            parts += classed
            unknown += subtract([interval], [part for part, _ in classed])
        per_class: dict[int, list[Interval]] = defaultdict(list)
        for part, class_id in parts:
            per_class[class_id].append(part)
        for class_id, intervals in per_class.items():
            live[class_id] += [(interval, account) for interval in merge(intervals)]
    return live, unknown


def _imported(connection: Connection, serials: Interval) -> list[tuple[Interval, int]]:
    """Parts of serials whose imported rows make a class: others cannot be minted."""
    found = imported_classes(connection, serials)
    return [(part, int(credit_class.token_id)) for part, credit_class in found]


def _evidence(held: Held, unknown: Sequence[Interval]) -> bytes:
    """keccak256 of what was seen, as canonical JSON."""
    seen = {
        "as_of": held.as_of,
        "blocks": sorted(f"{one.account.hex()} {one.serials}" for one in held.holdings),
        "ledger": sorted(map(str, held.other)),
        "unclassified": sorted(map(str, unknown)),
    }
    return keccak(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS))
