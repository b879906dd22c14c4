"""Runs an audit: fixes a chain block, replays the history, judges every law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from os import PathLike
from pathlib import Path

from backend.audit.acknowledged import Promised, read_acknowledgements
from backend.audit.authority import Authority
from backend.audit.backing import check_backing
from backend.audit.bridge import Bridge
from backend.audit.calls import Calls
from backend.audit.code import AUDITED, MODULES, check_code, require_deployment
from backend.audit.conservation import check_conservation
from backend.audit.custody import CustodyStatement, read_statement
from backend.audit.evidence import Evidence, Progress, gather
from backend.audit.exchange import EXCHANGE
from backend.audit.finality import check_finality, check_once
from backend.audit.kept import check_kept, read_book
from backend.audit.ledger import Ledger
from backend.audit.legal import LegalRecord
from backend.audit.manager import Manager
from backend.audit.register import Register
from backend.audit.replay import check_replay
from backend.audit.report import LAWS, AuditReport, CodeReport, Findings
from backend.audit.serials import check_serials
from backend.audit.venue import check_venue
from backend.chain.compiler import CompiledContract, compile_contracts
from backend.chain.manifest import Deployment
from backend.chain.rpc import Rpc
from backend.domain.ledger import signing_domain
from backend.domain.ledger_document import Book
from backend.errors import InvalidValue, LocalError

#: A chain that is reorganised while it is read is read again this often.
ATTEMPTS = 3
#: What holding means, per law that this version can judge.
HOLDS = {
    "L1": "supply, counters and balances: events, views and each other agree in every class",
    "L2": "no serial lies in two blocks; register, blocks and positions are as published",
    "L3": "every mint was proven from a fresh reserve report that covers it; nothing stands on a "
    "dead serial or consumed one; where exports were given, every credit outstanding is live there",
    "L4": "certificates and confirmations are as published and follow each other without gap",
    "L5": "every mint, confirmation, act of law, transfer, fill, withdrawal and settlement was "
    "signed by those entitled then, who were appointed as the deployment file says or after the "
    "delay",
    "L6": "every fill is within quantity, price limit, fee cap, expiry and conditions; replayed, "
    "the journal gives the same trades",
    "L7": "every account adds up from the events as it is stored, and the Exchange holds at least "
    "their sum in every asset",
    "L8": "nobody is frozen but by a published order; every claim, exit and retirement goes "
    "through while paused; holds stopped what they must, deliveries kept their deadlines",
    "L9": "the journal is one chain of signed entries, holds the facts of the chain in their "
    "order, and replayed gives what was settled, voided and anchored",
    "L10": "receipts, certificates, confirmations, orders, deposits, trades and withdrawals took "
    "effect once",
    "L11": "every amount is an integer in bounds, every fee is rounded down and every transfer "
    "conserves the sum",
}
NO_EXCHANGE = "this deployment has no Exchange: nothing is traded, settled or deposited"


@dataclass(frozen=True, slots=True)
class _Files:
    """What a venue and its traders gave beside the chain."""

    journal: Path | None = None
    #: Signed answers by the name of their file.
    acknowledgements: Promised = field(default_factory=dict)
    #: The ledger of credits that are kept without tokens.
    book: Book | None = None


def _silent(what: str, done: int, total: int) -> None:
    """The progress of a caller that wants none."""


def run(
    rpc_url: str,
    deployment_path: str | PathLike[str],
    journal: str | PathLike[str] | None = None,
    custody: Sequence[str | PathLike[str]] = (),
    progress: Progress | None = None,
    compare_source: bool = True,
    compiler_cache: Path | None = None,
    acknowledgements: Sequence[str | PathLike[str]] = (),
    ledger: str | PathLike[str] | None = None,
) -> AuditReport:
    """Judge every law at the newest chain block, from the chain and registry exports alone.

    `compare_source`: also compile the contracts of this checkout and compare their bytecode;
    `compiler_cache`: where the result is kept. Raises a CausewayError when the audit cannot be
    run: ChainUnavailable, DeploymentMismatch, UnknownLayout or InvalidValue for files.
    """
    files = {"journal": [journal] if journal is not None else [], "acknowledgement": []}
    files["acknowledgement"] += acknowledgements
    for kind, paths in files.items():
        for path in paths:
            if not Path(path).is_file():
                raise InvalidValue(kind, str(path), "is not a file")
    if acknowledgements and journal is None:
        raise InvalidValue("acknowledgement", str(acknowledgements[0]), "needs --journal")
    promised = {Path(one).name: read_acknowledgements(Path(one)) for one in acknowledgements}
    book = None if ledger is None else read_book(ledger)
    given = _Files(None if journal is None else Path(journal), promised, book)
    deployment = Deployment.load(Path(deployment_path))
    statement = read_statement(custody) if custody else None
    rpc = Rpc(rpc_url)
    try:
        require_deployment(rpc, deployment)
        compiled, no_compiler = _compile(compare_source, compiler_cache)
        for attempt in count(1):
            evidence = gather(rpc, deployment, _judged(deployment), progress or _silent)
            code = check_code(evidence, compiled, no_compiler)
            findings = judge(evidence, statement, given)
            if attempt == ATTEMPTS:
                evidence.require_unchanged()
            if attempt == ATTEMPTS or evidence.is_unchanged():
                break
    finally:
        rpc.close()
    return _report(evidence, code, findings)


def _judged(deployment: Deployment) -> list[str]:
    """The contracts whose logs are read: a registry may stand without an Exchange."""
    more = [name for name in (*MODULES, EXCHANGE) if name in deployment.contracts]
    return [*AUDITED, *(name for name in more if name not in AUDITED)]


def _compile(wanted: bool, cache: Path | None) -> tuple[dict[str, CompiledContract] | None, str]:
    if not wanted:
        return None, "it was not asked for"
    try:
        return dict(compile_contracts(cache)), ""
    except LocalError as error:
        return None, error.message


def judge(
    evidence: Evidence, statement: CustodyStatement | None, given: _Files | None = None
) -> Findings:
    """Replay the history and check every law; the findings hold figures, gaps and breaks."""
    findings = Findings()
    register = Register(findings)
    ledger = Ledger(findings, register)
    for transaction, block, problem in evidence.malformed:
        findings.unreadable(
            "L11", f"an event is not what its name says: {problem}", transaction, block
        )
    books = Bridge(evidence, ledger)
    books.replay()
    check_conservation(findings, evidence, ledger)
    check_serials(findings, evidence, ledger)
    check_backing(findings, ledger, statement, books)
    check_finality(findings, evidence, ledger)
    check_once(findings, evidence, ledger)
    calls = Calls(evidence)
    books.check(calls)
    _check_signatures(findings, evidence, ledger, calls)
    if given is not None and given.book is not None:
        deployment = evidence.deployment
        domain = signing_domain(deployment.chain_id, deployment["RegistryRecords"])
        held = [one for intervals in register.intervals.values() for one in intervals]
        check_kept(findings, domain, held, given.book, statement)
    _check_exchange(findings, evidence, ledger, calls, given or _Files())
    return findings


def _check_signatures(findings: Findings, evidence: Evidence, ledger: Ledger, calls: Calls) -> None:
    authority = Authority(findings, evidence, ledger, calls)
    legal = LegalRecord(findings, evidence, calls)
    authority.check()
    legal.check()
    Manager(findings, evidence).check()
    indirect = authority.indirect + legal.indirect
    findings.count(
        "L5",
        acts=authority.acts + legal.acts,
        signatures=authority.signatures + legal.signatures,
        signers=len(authority.roles.ever) + len(legal.roles.ever),
        acts_by_trace=calls.traced,
        acts_without_call=indirect,
    )
    if indirect:
        findings.gap(
            "L5",
            f"{indirect} acts were called through another contract and the endpoint gives no "
            "trace: only the signers that the events name were checked, not their signatures",
        )


def _check_exchange(
    findings: Findings, evidence: Evidence, ledger: Ledger, calls: Calls, given: _Files
) -> None:
    if EXCHANGE not in evidence.deployment.contracts:
        for law in ("L6", "L7", "L8", "L9"):
            findings.gap(law, NO_EXCHANGE)
        return
    venue = check_venue(findings, evidence, ledger, calls)
    if venue is not None:
        check_replay(findings, evidence, venue, given.journal, given.acknowledgements)


def _report(evidence: Evidence, code: CodeReport, findings: Findings) -> AuditReport:
    laws = {law: findings.verdict(law, HOLDS.get(law, "")) for law in LAWS}
    return AuditReport(
        evidence.deployment.chain_id, evidence.block.number, evidence.block.hash, code, laws
    )
