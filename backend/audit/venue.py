"""The Exchange of a deployment, walked in log order and judged: L5 to L8, L10 and L11 of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.audit.approvals import OWN_ACTS, Approvals
from backend.audit.calls import Calls
from backend.audit.evidence import Evidence, View, ViewFailed
from backend.audit.exchange import EXCHANGE, Books, Pauses
from backend.audit.exits import check_exits
from backend.audit.ledger import Ledger
from backend.audit.report import Findings
from backend.audit.settlement import Settlement
from backend.audit.solvency import check_solvency
from backend.chain.signatures import Verifier
from backend.domain.eip712 import SigningDomain
from backend.domain.events import ChainEvent
from backend.domain.orders import account_of, exchange_domain


@dataclass(slots=True)
class Venue:
    """Everything the chain says of one Exchange, for who compares it with a journal."""

    domain: SigningDomain
    books: Books
    settlement: Settlement
    approvals: Approvals
    pauses: Pauses
    #: Settlement assets as they were last listed or delisted.
    listed: dict[str, ChainEvent]
    #: (seq, head, event) of every batch, void and anchor, in log order.
    anchors: list[tuple[int, str, ChainEvent]]
    window: int
    skew: int


def check_venue(
    findings: Findings, evidence: Evidence, ledger: Ledger, calls: Calls
) -> Venue | None:
    """Replay the Exchange, judge it and compare it with its views; None when it answers nothing."""
    address = evidence.deployment.contracts[EXCHANGE].address
    immutables = evidence.views("immutables", [(EXCHANGE, name, ()) for name in ("WINDOW", "SKEW")])
    if any(isinstance(answer, ViewFailed) for answer in immutables):
        findings.broken("L6", f"the Exchange at {address} does not say its window and skew")
        return None
    window, skew = immutables
    domain = exchange_domain(evidence.deployment.chain_id, address)
    verifier = Verifier(domain)
    books, pauses = Books(findings), Pauses()
    settlement = Settlement(books, verifier, pauses, window, skew)
    approvals = Approvals(findings, calls, domain, verifier)
    venue = Venue(domain, books, settlement, approvals, pauses, {}, [], window, skew)
    walk = _Walk(findings, evidence, ledger, venue)
    walk.run()
    settlement.check_conditions()
    settlement.check_shorts()
    check_solvency(findings, evidence, books, settlement, ledger)
    check_exits(findings, evidence, books, pauses, window)
    _check_state(findings, evidence, venue)
    _count(findings, venue)
    return venue


@dataclass(slots=True)
class _Walk:
    """Applies each event to the parts that it concerns."""

    findings: Findings
    evidence: Evidence
    ledger: Ledger
    venue: Venue

    def run(self) -> None:
        events = [event for event in self.evidence.events if event.contract == EXCHANGE]
        times = self.evidence.times(event.block_number for event in events)
        self.evidence.transactions(
            event.transaction_hash for event in events if event.name in _SIGNED
        )
        for event in events:
            self._apply(event, times[event.block_number])

    def _apply(self, event: ChainEvent, time: int) -> None:
        books, settlement = self.venue.books, self.venue.settlement
        approvals, args = self.venue.approvals, event.args
        if event.name in OWN_ACTS:
            approvals.own_act(event)
        plain: dict[str, Callable[[ChainEvent], None]] = {
            "Deposited": books.deposit,
            "Claimed": books.claim,
            "ExitRequested": books.request_exit,
            "ExitCancelled": books.cancel_exit,
            "FeesCollected": books.collect_fees,
            "KeysSet": approvals.set_keys,
            "TradesVoided": self._void,
            "Anchored": self._anchor,
            "RetirementCompleted": self._retire,
        }
        if event.name in plain:
            plain[event.name](event)
        elif event.name == "BatchSettled":
            approvals.batch(event, settlement.settle(event, time))
            self.venue.anchors.append((args["seq"], args["head"], event))
        elif event.name == "ExitExecuted":
            books.execute_exit(event, time, self.venue.window)
        elif event.name == "WithdrawalShort":
            settlement.shorts[args["number"]] = event
        elif event.name == "NonceInvalidated":
            settlement.killed[account_of(args["trader"]), args["nonce"]] = args["at"]
        elif event.name == "FeePayeesSet":
            books.payees = (args["operator"], args["developer"], args["developerShareBps"])
        elif event.name == "AssetListed":
            self.venue.listed[args["asset"]] = event
        elif event.name == "VenuePaused":
            self.venue.pauses.pause(args["at"])
        elif event.name == "VenueUnpaused":
            self.venue.pauses.unpause(args["at"])

    def _void(self, event: ChainEvent) -> None:
        self.venue.settlement.void(event)
        self.venue.approvals.void(event)
        self.venue.anchors.append((event.args["seq"], event.args["head"], event))

    def _anchor(self, event: ChainEvent) -> None:
        self.venue.approvals.anchor(event)
        self.venue.anchors.append((event.args["seq"], event.args["head"], event))

    def _retire(self, event: ChainEvent) -> None:
        """RetirementCompleted, and the certificate it names: the trader's, of what it bought."""
        books, args = self.venue.books, event.args
        order = books.earmarked_of.get(bytes.fromhex(args["orderDigest"].removeprefix("0x")))
        books.retire(event)
        found = self.ledger.certificates.get(args["certificateId"])
        if order is None:
            return
        wanted = (args["trader"], args["instrument"], args["kilograms"])
        held = (found.owner, found.class_id, found.kilograms) if found else None
        if held != wanted or (found and found.details_hash != "0x" + order.details_hash.hex()):
            self.findings.broken(
                "L6", f"what {args['trader']} bought to retire is not on certificate "
                f"{args['certificateId']}: that says {held}", event,
                kilograms=args["kilograms"],
            )  # fmt: skip


_SIGNED = frozenset({"BatchSettled", "TradesVoided", "Anchored", *OWN_ACTS})


def _check_state(findings: Findings, evidence: Evidence, venue: Venue) -> None:
    """Numbers, head, keys, payees, listed assets and pre-signatures as stored."""
    settlement, books, approvals = venue.settlement, venue.books, venue.approvals
    head = _head(findings, venue)
    expected: list[tuple[str, str, tuple[object, ...]]] = [
        ("L10", "depositCount", (books.deposits,)),
        (
            "L10",
            "settled",
            (settlement.last_trade, settlement.last_withdrawal, settlement.match_time),
        ),
        ("L9", "anchored", head),
        ("L5", "keys", approvals.keys or (_NOBODY, _NOBODY)),
        ("L11", "feePayees", books.payees or (_NOBODY, _NOBODY, 0)),
    ]
    answers = evidence.views("exchange state", [(EXCHANGE, name, ()) for _, name, _ in expected])
    for (law, name, rebuilt), answer in zip(expected, answers, strict=True):
        stored = tuple(answer.values()) if isinstance(answer, dict) else (answer,)
        if stored != rebuilt:
            findings.broken(
                law, f"{name} of the Exchange is stored as {stored}; its events say {rebuilt}"
            )
    assets = list(venue.listed)
    answers = evidence.views("listed", [(EXCHANGE, "isListed", (asset,)) for asset in assets])
    for asset, answer in zip(assets, answers, strict=True):
        event = venue.listed[asset]
        if answer is not event.args["listed"]:
            findings.broken(
                "L5", f"whether asset {asset} is listed is stored as {answer}, published is "
                f"{event.args['listed']}", event,
            )  # fmt: skip
    signed = sorted(approvals.pre_signed)
    calls: list[View] = [
        (EXCHANGE, "isPreSigned", ("0x" + account.hex(), "0x" + digest.hex()))
        for account, digest in signed
    ]
    for (account, digest), answer in zip(signed, evidence.views("signed", calls), strict=True):
        if answer is not True:
            findings.broken(
                "L5", f"the pre-signature 0x{digest.hex()} of 0x{account.hex()} is not stored"
            )


_NOBODY = "0x" + "0" * 40


def _head(findings: Findings, venue: Venue) -> tuple[int, str]:
    """The newest anchor; one number with two heads is a second version of the journal."""
    newest = (0, "0x" + "0" * 64)
    heads: dict[int, str] = {}
    for seq, head, event in venue.anchors:
        if heads.setdefault(seq, head) != head:
            findings.broken(
                "L9", f"entry {seq} is anchored as {heads[seq]} and as {head}", event, seq=seq
            )  # fmt: skip
        if seq > newest[0]:
            newest = (seq, head)
    findings.count("L9", anchors=len(venue.anchors))
    return newest


def _count(findings: Findings, venue: Venue) -> None:
    settlement, approvals = venue.settlement, venue.approvals
    voided = sum(
        max(event.args["lastTrade"] - event.args["firstTrade"] + 1, 0) for event in settlement.voids
    )
    findings.count(
        "L5", exchange_acts=approvals.acts, exchange_signatures=approvals.signatures,
        own_acts=approvals.own_acts,
    )  # fmt: skip
    findings.count(
        "L6", batches=len(settlement.batches), trades=len(settlement.trades),
        orders=len(settlement.fills), voided_trades=voided,
        tonnes=sum(one.trade.quantity for one in settlement.trades.values()),
    )  # fmt: skip
    findings.count(
        "L10", deposits=venue.books.deposits, trades=settlement.last_trade,
        withdrawals=settlement.last_withdrawal,
    )  # fmt: skip
    findings.count("L11", trades=len(settlement.trades))
    if approvals.indirect:
        findings.gap(
            "L5",
            f"{approvals.indirect} acts of the Exchange were called through another contract and "
            "the endpoint gives no trace: their signatures were not checked",
        )
