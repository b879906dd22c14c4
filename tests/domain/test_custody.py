"""What is signed binds chain, contract and every word; what is not true is not built (L5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from backend.domain.classes import CreditClass, UnitType
from backend.domain.custody import Receipt, RegistryRetirement, signing_domain
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Interval
from backend.errors import InvalidValue
from tests.domain.strategies import vcs

pytestmark = pytest.mark.unit

TRUST, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
CLASS = CreditClass("VCS", "1", UnitType.CREDIT, date(2020, 1, 1), date(2020, 12, 31), ("ccp",))
RECEIPT = Receipt(
    "0x" + "33" * 20, CLASS, b"a" * 32, (Interval(vcs, 1, 9),), b"e" * 32, b"t" * 32, 2_000
)
RETIREMENT = RegistryRetirement(5, 0, (Interval(vcs, 1, 2),), "R-1", 20260228, b"e" * 32)


def test_l10_a_receipt_on_another_chain_trust_or_with_other_content_has_another_id() -> None:
    ids = {
        RECEIPT.digest(signing_domain(1, TRUST)),
        RECEIPT.digest(signing_domain(2, TRUST)),
        RECEIPT.digest(signing_domain(1, OTHER)),
        replace(RECEIPT, recipient=OTHER).digest(signing_domain(1, TRUST)),
        replace(RECEIPT, account=b"b" * 32).digest(signing_domain(1, TRUST)),
        replace(RECEIPT, intervals=(Interval(vcs, 1, 8),)).digest(signing_domain(1, TRUST)),
        replace(RECEIPT, evidence_hash=b"f" * 32).digest(signing_domain(1, TRUST)),
        replace(RECEIPT, terms_hash=b"u" * 32).digest(signing_domain(1, TRUST)),
        replace(RECEIPT, valid_until=2_001).digest(signing_domain(1, TRUST)),
        replace(RECEIPT, credit_class=replace(CLASS, cohort=())).digest(signing_domain(1, TRUST)),
    }
    assert len(ids) == 10
    assert RECEIPT.tonnes == 9


@pytest.mark.parametrize(
    "change",
    [
        {"registry_date": 20260230},
        {"registry_date": 0},
        {"registry_reference": ""},
        {"registry_reference": "x" * 257},
        {"actual": ()},
        {"actual": (Interval(vcs, 1, 1),) * 65},
    ],
)
def test_a_confirmation_that_the_contract_would_refuse_is_not_built(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        replace(RETIREMENT, **change)


def test_the_salt_hides_and_the_hash_binds_every_text() -> None:
    public = RetirementDetails("A", "B", "C")
    hashes = {
        public.hash,
        replace(public, salt=b"s" * 32).hash,
        replace(public, beneficiary="AB", purpose="").hash,
        replace(public, period="D").hash,
        replace(public, instruction_hash=b"i" * 32).hash,
    }
    assert len(hashes) == 5
    assert public.is_public
    assert not replace(public, salt=b"s" * 32).is_public


@pytest.mark.parametrize("text", ["x" * 257, "ü" * 129, "a\nb", "a\x00b", "\x7f"])
def test_a_text_too_long_or_with_a_control_character_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        RetirementDetails(text, "", "")
