"""The text of Sign-In with Ethereum (EIP-4361): written, read back, and everything else refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from backend.chain.keys import named_key, sign_digest
from backend.domain.sign_in import SignIn, parse_sign_in, personal_digest
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

HOLDER = named_key("holder", bytes([1]) * 32)
SAID = SignIn(
    "registry.example",
    HOLDER.address,
    "https://registry.example",
    31337,
    "a1b2c3d4e5",
    1_790_000_000,
    statement="I see what is mine.",
)


def test_what_is_written_is_read_again() -> None:
    full = replace(SAID, expiration_time=1_790_000_900, not_before=1_789_999_000)
    for said in (SAID, full, replace(full, statement=None)):
        assert parse_sign_in(said.text()) == said


def test_a_text_with_every_field_of_the_standard_is_read() -> None:
    text = (
        "https://"
        + SAID.text().replace("00Z", "00.123+00:00")
        + ("\nRequest ID: some-id\nResources:\n- ipfs://bafy\n- https://example.com/my.json")
    )
    assert parse_sign_in(text) == SAID


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ("Version: 1", "Version: 2"),
        ("Nonce: a1b2c3d4e5", "Nonce: short"),
        ("Chain ID: 31337", "Chain ID: 31337\nChain ID: 1"),
        ("URI: ", "URI:"),
        ("I see what is mine.", "I see\nwhat is mine."),
        ("I see what is mine.", "I sеe what is mine."),
        ("Issued At: 2026", "Issued At: 20x6"),
        ("2026-09", "2026-19"),
    ],
)
def test_anything_else_is_refused(found: str, put: str) -> None:
    text = SAID.text()
    assert found in text
    with pytest.raises(InvalidValue):
        parse_sign_in(text.replace(found, put))


def test_an_address_without_checksum_is_refused() -> None:
    for address in (HOLDER.address.lower(), "0x" + HOLDER.address[2:].swapcase()):
        with pytest.raises(InvalidValue, match="checksum"):
            parse_sign_in(SAID.text().replace(HOLDER.address, address))


def test_the_digest_is_that_of_wallets() -> None:
    text = SAID.text() + " ünïcode"
    signed = Account.sign_message(encode_defunct(text=text), HOLDER.private_key)
    assert bytes(signed.signature) == sign_digest(HOLDER.private_key, personal_digest(text))
