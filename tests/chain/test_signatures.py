"""Traders' signatures on the hot path: equal to the plain definition and to eth_account's."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from backend.chain.keys import address_of, sign_digest
from backend.chain.keys import recover as plain_recover
from backend.chain.signatures import NO_SIGNATURE, Verifier, recover_account
from backend.domain.commands import (
    Command,
    PlaceCancel,
    PlaceCancelAll,
    PlaceOrder,
    PlaceWithdrawal,
    Tick,
)
from backend.domain.orders import (
    Account,
    Cancel,
    CancelAll,
    Message,
    Order,
    Withdrawal,
    account_of,
    exchange_domain,
    message_digest,
    typed,
)
from backend.errors import CausewayError, InvalidValue, NotAuthorised

pytestmark = pytest.mark.unit

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DOMAIN = exchange_domain(31_337, "0x" + "c0" * 20)
VERIFIER = Verifier(DOMAIN)
SECRET = (7).to_bytes(32, "big")
TRADER = account_of(address_of(SECRET))

secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
accounts = st.binary(min_size=20, max_size=20).map(Account)
hashes = st.binary(min_size=32, max_size=32)


def up_to(bits: int, least: int = 0) -> st.SearchStrategy[int]:
    return st.integers(least, 2**bits - 1)


orders = st.builds(
    Order,
    accounts,
    up_to(64),
    up_to(256),
    up_to(160, 1),
    up_to(8),
    up_to(64),
    up_to(128),
    up_to(16),
    up_to(40),
    up_to(40),
    up_to(8),
    hashes,
    up_to(8),
)
withdrawals = st.builds(Withdrawal, accounts, up_to(64), up_to(256), up_to(128), up_to(8))
cancels = st.builds(Cancel, accounts, up_to(64))
cancel_alls = st.builds(CancelAll, accounts, up_to(64), up_to(256))
messages = st.one_of(orders, withdrawals, cancels, cancel_alls)


def an_order(**changed: Any) -> Order:
    plain = Order(
        TRADER, 1, 1 << 200, 5, 0, 10, 1_000, 30, 1_700_000_000, 1_700_000_100, 0, bytes(32), 0
    )
    return plain._replace(**changed)


def signed(message: Message, secret: bytes = SECRET) -> bytes:
    return sign_digest(secret, message_digest(DOMAIN, message))


@given(messages)
def test_a_digest_is_that_of_the_plain_definition(message: Message) -> None:
    assert VERIFIER.digest(message) == message_digest(DOMAIN, message)


@given(messages, secrets)
def test_a_signature_of_eth_account_recovers_to_its_signer(message: Message, secret: bytes) -> None:
    types, _, fields = typed(message)
    shown = {name: "0x" + v.hex() if isinstance(v, bytes) else v for name, v in fields.items()}
    definition = {
        kind: [{"name": name, "type": of} for name, of in members]
        for kind, members in types.items()
    }
    domain = {
        "name": DOMAIN.name,
        "version": DOMAIN.version,
        "chainId": DOMAIN.chain_id,
        "verifyingContract": DOMAIN.contract,
    }
    theirs = encode_typed_data(domain, definition, shown)
    signature = EthAccount.sign_message(theirs, secret).signature
    assert VERIFIER.recover(message, bytes(signature)) == account_of(address_of(secret))


@given(messages, secrets)
def test_only_the_trader_it_names_can_sign_a_message(message: Message, secret: bytes) -> None:
    own = message._replace(trader=account_of(address_of(secret)))
    assert VERIFIER.verify(own, signed(own, secret))
    assert not VERIFIER.verify(message, signed(message, secret)) or message == own
    assert not VERIFIER.verify(own._replace(nonce=own.nonce ^ 1), signed(own, secret))


@given(st.binary(min_size=63, max_size=66), hashes)
def test_any_bytes_are_judged_as_by_the_plain_recovery(signature: bytes, digest: bytes) -> None:
    assert _judged(recover_account, digest, signature) == _judged(_plain, digest, signature)


@given(hashes, secrets, st.sampled_from(("good", "high", "v 0", "v 29", "zero r", "zero s")))
def test_near_signatures_are_judged_as_by_the_plain_recovery(
    digest: bytes, secret: bytes, damage: str
) -> None:
    signature = sign_digest(secret, digest)
    high = (ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    damaged = {
        "good": signature,
        "high": signature[:32] + high + bytes([55 - signature[64]]),
        "v 0": signature[:64] + bytes([signature[64] - 27]),
        "v 29": signature[:64] + b"\x1d",
        "zero r": bytes(32) + signature[32:],
        "zero s": signature[:32] + bytes(32) + signature[64:],
    }[damage]
    judged = _judged(recover_account, digest, damaged)
    assert judged == _judged(_plain, digest, damaged)
    assert isinstance(judged, bytes) == (damage == "good")


def _plain(digest: bytes, signature: bytes) -> Account:
    return account_of(plain_recover(digest, signature))


def _judged(recover: Any, digest: bytes, signature: bytes) -> object:
    try:
        return recover(digest, signature)
    except InvalidValue as refused:
        return refused.message


def test_s_at_half_the_order_is_the_last_that_is_accepted() -> None:
    r = sign_digest(SECRET, bytes(31) + b"\1")[:32]
    for s, refused in ((ORDER // 2, False), (ORDER // 2 + 1, True)):
        judged = _judged(recover_account, bytes(32), r + s.to_bytes(32, "big") + b"\x1b")
        assert ("upper half" in str(judged)) is refused


@pytest.mark.parametrize(
    "broken",
    [
        an_order(quantity=2**64),
        an_order(quantity=-1),
        an_order(price=2**128),
        an_order(instrument=2**256),
        an_order(asset=2**160),
        an_order(asset=0),
        an_order(signed_at=2**40),
        an_order(expiry=2**40),
        an_order(trader=Account(bytes(19))),
        an_order(details_hash=bytes(31)),
        an_order(nonce=None),
        Withdrawal(TRADER, 0, 2**256, 1, 0),
        Withdrawal(TRADER, 0, 1, -1, 0),
        Cancel(TRADER, 2**64),
        CancelAll(TRADER, 1, -1),
    ],
)
def test_a_value_its_type_cannot_hold_is_refused(broken: Message) -> None:
    with pytest.raises(InvalidValue):
        VERIFIER.digest(broken)


def every_command(signer: bytes) -> list[Command]:
    order, cancel = an_order(), Cancel(TRADER, 2)
    withdrawal, everything = Withdrawal(TRADER, 3, 9, 1, 0), CancelAll(TRADER, 4, 0)
    return [
        PlaceOrder(order, signed(order, signer)),
        PlaceWithdrawal(withdrawal, signed(withdrawal, signer)),
        PlaceCancel(cancel, signed(cancel, signer)),
        PlaceCancelAll(everything, signed(everything, signer)),
    ]


def test_commands_signed_by_their_trader_pass() -> None:
    for command in [*every_command(SECRET), Tick()]:
        VERIFIER.check(command)


@pytest.mark.parametrize("command", every_command((8).to_bytes(32, "big")))
def test_commands_signed_by_another_are_refused(command: Command) -> None:
    with pytest.raises(NotAuthorised, match="not its trader's"):
        VERIFIER.check(command)


@pytest.mark.parametrize("command", every_command(SECRET))
def test_a_signature_for_another_venue_is_refused(command: Command) -> None:
    for other in (exchange_domain(1, DOMAIN.contract), exchange_domain(31_337, "0x" + "c1" * 20)):
        with pytest.raises(NotAuthorised):
            Verifier(other).check(command)


def test_a_pre_signed_message_carries_zeros_and_nothing_else() -> None:
    order = an_order(signature_kind=1)
    VERIFIER.check(PlaceOrder(order, NO_SIGNATURE))
    with pytest.raises(InvalidValue, match="pre-signed"):
        VERIFIER.check(PlaceOrder(order, signed(order)))
    assert not VERIFIER.verify(order, NO_SIGNATURE)
    withdrawal = Withdrawal(TRADER, 3, 9, 1, 1)
    VERIFIER.check(PlaceWithdrawal(withdrawal, NO_SIGNATURE))
    with pytest.raises(CausewayError):
        VERIFIER.check(PlaceCancel(Cancel(TRADER, 3), NO_SIGNATURE))
    with pytest.raises(InvalidValue, match="neither"):
        VERIFIER.check(PlaceOrder(an_order(signature_kind=2), NO_SIGNATURE))
