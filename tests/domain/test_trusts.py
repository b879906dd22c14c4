"""Trust accounts: the hash of their terms, the phases of their life, a change of custodian."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from eth_account.messages import encode_typed_data

from backend.domain.registry_requests import HeldBlock, Inventory, RegistryAccount, SerialRange
from backend.domain.trusts import TERMS_TYPE, Consent, Phase, TrustAccount, moves_to_successor
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

CONSENT = Consent("Sample programme", "letter 1", date(2024, 1, 1), date(2026, 6, 30), 90)
TRUST = TrustAccount(
    "old",
    RegistryAccount("VCS", "1001", "1"),
    "Sample Trustee Limited",
    "0001",
    "Sample Custodian Limited",
    "Hong Kong",
    "a sample right",
    "sample terms",
    date(2024, 1, 1),
    consent=CONSENT,
    successor="new",
)
NEW = replace(TRUST, name="new", account=RegistryAccount("VCS", "2002", "3"), successor="")


def test_the_terms_hash_binds_every_word_of_them_and_nothing_else() -> None:
    changed = {
        replace(TRUST, **{name: "other"}).terms_hash
        for name in (
            "trustee",
            "trustee_identifier",
            "governing_law",
            "holder_right",
            "text",
        )
    }
    changed |= {TRUST.terms_hash, NEW.terms_hash}
    assert len(changed) == 7
    # Dates and consent have an end of their own: the terms stay the same.
    assert replace(TRUST, consent=None, closed_on=date(2030, 1, 1)).terms_hash == TRUST.terms_hash


def test_the_terms_hash_is_that_of_eip_712() -> None:
    entries = [one.split(" ") for one in TERMS_TYPE[TERMS_TYPE.index("(") + 1 : -1].split(",")]
    typed = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [{"name": "name", "type": "string"}],
                "TrustTerms": [{"name": name, "type": kind} for kind, name in entries],
            },
            "primaryType": "TrustTerms",
            "domain": {"name": "any"},
            "message": {
                "account": "VCS:1001/1",
                "trustee": TRUST.trustee,
                "trusteeIdentifier": "0001",
                "governingLaw": "Hong Kong",
                "holderRight": "a sample right",
                "text": "sample terms",
            },
        }
    )
    assert typed.body == TRUST.terms_hash


@pytest.mark.parametrize(
    ("on", "phase"),
    [
        (date(2023, 12, 31), Phase.NOT_YET),
        (date(2024, 1, 1), Phase.OPEN),
        (date(2026, 6, 30), Phase.OPEN),
        (date(2026, 7, 1), Phase.WINDING_DOWN),
        (date(2026, 9, 28), Phase.WINDING_DOWN),
        (date(2026, 9, 29), Phase.ENDED),
    ],
)
def test_when_consent_ends_the_account_winds_down(on: date, phase: Phase) -> None:
    assert TRUST.phase(on) is phase


def test_an_account_without_any_end_stays_open_and_the_earlier_end_counts() -> None:
    assert replace(TRUST, consent=replace(CONSENT, until=None)).phase(date(2999, 1, 1)) == "open"
    assert replace(TRUST, closed_on=date(2025, 1, 1)).ends_on() == date(2025, 1, 1)


def test_a_change_of_custodian_moves_each_block_by_itself_and_once() -> None:
    ranges = [SerialRange("VCS:2", 1, 10), SerialRange("VCS:2", 11, 20)]
    blocks = tuple(
        HeldBlock(f"B-{n}", one, "1", date(2020, 1, 1), date(2020, 12, 31))
        for n, one in enumerate(ranges)
    )
    moves = moves_to_successor(TRUST, NEW, Inventory(TRUST.account, 1, blocks), None)
    assert [one.serials for one in moves] == ranges
    assert {one.recipient for one in moves} == {"2002/3"}
    renamed = tuple(replace(one, block_id="other") for one in reversed(blocks))
    again = moves_to_successor(TRUST, NEW, Inventory(TRUST.account, 2, renamed), None)
    assert {one.reference for one in again} == {one.reference for one in moves}
    assert len({one.reference for one in moves}) == 2
    with pytest.raises(InvalidValue):
        moves_to_successor(TRUST, NEW, Inventory(NEW.account, 1, ()), None)
