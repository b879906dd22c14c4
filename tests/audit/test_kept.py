"""The audit of a ledger without tokens: an honest file holds, each lie is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from backend.audit.kept import check_kept, read_book
from backend.audit.report import Findings
from backend.chain.keys import named_key, sign_digest
from backend.domain.ledger import LedgerClass, RetirementOrder, interval_of, signing_domain
from backend.domain.ledger_document import (
    Book,
    BookBlock,
    BookDeposit,
    BookRetirement,
    document_of,
)
from backend.domain.registry_requests import SerialRange
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

ANA, BO = (named_key(name, bytes([at]) * 32) for at, name in enumerate(("ana", "bo"), 1))
CONTRACT = "0x" + "11" * 20
DOMAIN = signing_domain(31337, CONTRACT)
ACCOUNT = "CDM:KEPT-1"
OF = LedgerClass("CDM", "1", date(2020, 1, 1), date(2020, 12, 31))


def serials(first: int, last: int) -> SerialRange:
    return SerialRange("CDM:CN", first, last)


def honest() -> Book:
    """Ana brought 1-100 and ordered 1-10; the registry took 101-110, which Bo had brought."""
    order = RetirementOrder("r", ANA.address, ACCOUNT, (serials(1, 10),), bytes(32))
    signature = sign_digest(ANA.private_key, order.digest(DOMAIN))

    def block(first: int, last: int, owner: str, deposit: str, part: str | None) -> BookBlock:
        span = serials(first, last)
        return BookBlock(span, ACCOUNT, owner, deposit, OF, part, part is not None)

    return Book(
        31337,
        CONTRACT,
        (
            BookDeposit("a", ACCOUNT, ANA.address, (serials(1, 100),)),
            BookDeposit("b", ACCOUNT, BO.address, (serials(101, 120),)),
        ),
        (
            block(1, 10, BO.address, "a", None),
            block(11, 100, ANA.address, "a", None),
            block(101, 110, ANA.address, "b", "r:1"),
            block(111, 120, BO.address, "b", None),
        ),
        ((order, signature),),
        (BookRetirement("r:1", "r", "R-1", date(2026, 2, 28), (serials(101, 110),)),),
    )


def broken(book: Book, *registered: SerialRange) -> set[str]:
    """Names of the laws that a book breaks."""
    findings = Findings()
    check_kept(findings, DOMAIN, [interval_of(one) for one in registered], book, None)
    return {law for law, breaks in findings.breaks.items() if breaks}


def test_an_honest_ledger_holds_and_reads_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    file.write_text(json.dumps(document_of(honest())))
    assert read_book(file) == honest()
    assert broken(read_book(file)) == set()
    for damaged in ("[]", "{}", '{"version": 2}'):
        file.write_text(damaged)
        with pytest.raises(InvalidValue, match="ledger"):
            read_book(file)


def _at(book: Book, at: int, **changes: object) -> Book:
    blocks = list(book.blocks)
    blocks[at] = replace(blocks[at], **changes)  # type: ignore[arg-type]
    return replace(book, blocks=tuple(blocks))


Lie = Callable[[Book], Book]


@pytest.mark.parametrize(
    ("law", "lie"),
    [
        ("L2", lambda book: _at(book, 0, serials=serials(1, 11))),
        ("L2", lambda book: _at(book, 1, serials=serials(12, 100))),
        ("L2", lambda book: replace(book, deposits=book.deposits[:1])),
        ("L1", lambda book: _at(book, 3, owner=ANA.address)),
        ("L1", lambda book: _at(book, 0, kept_class=replace(OF, project="2"))),
        ("L4", lambda book: _at(book, 2, retired=False)),
        ("L4", lambda book: replace(book, retired=())),
        ("L4", lambda book: _at(book, 3, retired=True, part="r:2")),
        ("L5", lambda book: replace(book, orders=((book.orders[0][0], bytes(65)),))),
        ("L5", lambda book: replace(book, orders=())),
        ("L5", lambda book: replace(book, chain_id=1)),
    ],
)
def test_each_lie_breaks_its_law(law: str, lie: Lie) -> None:
    assert law in broken(lie(honest()))


def test_l5_an_order_of_another_owner_or_more_serials_is_not_what_was_signed() -> None:
    order, signature = honest().orders[0]
    for said in (replace(order, owner=BO.address), replace(order, serials=(serials(1, 11),))):
        assert "L5" in broken(replace(honest(), orders=((said, signature),)))


def test_l2_a_kept_serial_that_a_token_stands_on_is_found() -> None:
    assert broken(honest(), serials(100, 100)) == {"L2"}
    assert broken(honest(), serials(121, 130)) == set()
