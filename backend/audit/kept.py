"""The ledger of credits that are kept without tokens, judged by its exported file.

No chain says anything of them, so the file must bear itself out: every serial in one place, every
retirement ordered and signed by its owner, within what was brought, and no tonne lost between
owners; where registry exports were given, they must show the same serials live and gone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from itertools import pairwise
from os import PathLike
from pathlib import Path

from backend.audit.custody import CustodyStatement
from backend.audit.report import Findings
from backend.chain.keys import recover
from backend.domain.eip712 import SigningDomain
from backend.domain.ledger import interval_of
from backend.domain.ledger_document import Book, BookBlock, book_of
from backend.domain.registry_requests import SerialRange
from backend.domain.serials import Interval, merge, subtract
from backend.errors import InvalidValue


def read_book(path: str | PathLike[str]) -> Book:
    """The exported ledger; raises InvalidValue for a file that is none."""
    try:
        return book_of(json.loads(Path(path).read_bytes()))
    except (OSError, ValueError) as error:
        raise InvalidValue("ledger", str(path), f"cannot be read: {error}") from None


def check_kept(
    findings: Findings,
    domain: SigningDomain,
    registered: Collection[Interval],
    book: Book,
    statement: CustodyStatement | None,
) -> None:
    """Judge a ledger of kept credits by every law that concerns it.

    `domain`: of this deployment; `registered`: what its register on chain holds.
    """
    if book.domain != domain:
        findings.broken("L5", "the ledger file is of another deployment")
        return
    _check_places(findings, registered, book)
    _check_owners(findings, book)
    _check_retirements(findings, book)
    if statement is not None:
        _check_registry(findings, book, statement)
    findings.count(
        "L2",
        ledger_blocks=len(book.blocks),
        ledger_tonnes=sum(one.serials.tonnes for one in book.blocks),
    )
    findings.count(
        "L4",
        ledger_retirements=len(book.retired),
        ledger_retired_tonnes=sum(one.serials.tonnes for one in book.blocks if one.retired),
    )
    findings.count("L5", ledger_orders=len(book.orders))


def _check_places(findings: Findings, registered: Collection[Interval], book: Book) -> None:
    """No serial stands twice, here or on chain, and what was brought is what stands here (L2)."""
    ordered = sorted(book.blocks, key=lambda one: one.serials)
    for one, other in pairwise(ordered):
        if one.serials.overlaps(other.serials):
            _broken(findings, "L2", "a kept serial stands twice", one.serials, other.serials)
    series = {one.interval.series for one in book.blocks}
    for held in (one for one in registered if one.series in series):
        for block in book.blocks:
            if block.interval.overlaps(held):
                _broken(findings, "L2", "a kept serial is in trust on chain too", block.serials)
    for deposit in book.deposits:
        brought = [interval_of(one) for one in deposit.serials]
        stand = [one.interval for one in book.blocks if one.deposit == deposit.reference]
        if merge(brought) != merge(stand):
            what = f"deposit {deposit.reference} brought other serials than stand in the ledger"
            _broken(findings, "L2", what, *deposit.serials)
    known = {one.reference for one in book.deposits}
    for one in book.blocks:
        if one.deposit not in known:
            _broken(findings, "L2", "a kept serial was in no deposit", one.serials)


def _check_owners(findings: Findings, book: Book) -> None:
    """What an owner has and had retired is what was brought for them, class by class (L1)."""
    brought = {one.reference: one.owner for one in book.deposits}
    balance: Counter[tuple[str, object]] = Counter()
    for one in book.blocks:
        balance[one.owner, one.kept_class] += one.serials.tonnes
        balance[brought.get(one.deposit, ""), one.kept_class] -= one.serials.tonnes
    for (owner, kept_class), tonnes in balance.items():
        if tonnes:
            what = f"{owner} has {tonnes:+} t of {kept_class} against what was brought for them"
            findings.broken("L1", what, tonnes=tonnes)


def _check_retirements(findings: Findings, book: Book) -> None:
    """Every retirement was ordered by the owner's signature and is of the serials that stand as
    retired, once, within what was ordered (L4, L5).
    """
    orders = {order.reference: order for order, _ in book.orders}
    for order, signature in book.orders:
        try:
            signer = recover(order.digest(book.domain), signature)
        except InvalidValue as error:
            signer = error.message
        if signer != order.owner:
            what = f"retirement {order.reference} is not signed by its owner"
            _broken(findings, "L5", what, *order.serials)
    stand: dict[str | None, list[BookBlock]] = {}
    for one in book.blocks:
        if one.retired:
            stand.setdefault(one.part, []).append(one)
    done: Counter[str] = Counter()
    for said in book.retired:
        blocks = stand.pop(said.part, [])
        if merge(map(interval_of, said.serials)) != merge(one.interval for one in blocks):
            what = f"{said.part} retired other serials than stand as retired for it"
            _broken(findings, "L4", what, *said.serials)
        done[said.order] += sum(one.tonnes for one in said.serials)
        ordered_by = orders.get(said.order)
        for one in blocks:
            if ordered_by is None or one.owner != ordered_by.owner:
                what = f"{said.part} retired what nobody, or another owner, ordered"
                _broken(findings, "L5", what, one.serials)
    for part, blocks in stand.items():
        what = f"no answer of the registry stands behind what {part} retired"
        _broken(findings, "L4", what, *(one.serials for one in blocks))
    for reference, tonnes in done.items():
        if reference in orders and tonnes > orders[reference].tonnes:
            what = f"retirement {reference} retired {tonnes} t of {orders[reference].tonnes} t"
            findings.broken("L4", what, tonnes=tonnes)


def _check_registry(findings: Findings, book: Book, statement: CustodyStatement) -> None:
    """Exports of the programme show what is kept as live and nothing that is held as gone (L3)."""
    for one in book.blocks:
        if not statement.tells_of(one.interval.series):
            continue
        gone = statement.gone.within(one.interval)
        if not one.retired and gone:
            _broken(
                findings,
                "L3",
                "the registry shows kept serials as gone",
                *map(SerialRange.of, gone),
            )
        elif not one.retired:
            missing = subtract([one.interval], statement.live.within(one.interval))
            if missing:
                what = "no export shows kept serials as live"
                _broken(findings, "L3", what, *map(SerialRange.of, missing))
        elif statement.live.within(one.interval):
            findings.gap(
                "L4", f"the exports still show {one.serials} live: older, or contradicting"
            )


def _broken(findings: Findings, law: str, what: str, *serials: SerialRange) -> None:
    findings.broken(law, what, serials=tuple(map(str, serials)))
