"""Signatures of webhooks: the scheme's own vector, rotation, and everything that is refused."""

from __future__ import annotations

import pytest

from backend.errors import InvalidValue, NotAuthorised
from backend.hooks.signing import read_secret, show_secret, sign, verify_webhook

pytestmark = pytest.mark.unit

#: The reference vector of the Standard Webhooks libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = show_secret(bytes(range(32)))


def headers(*secrets: str) -> dict[str, str]:
    return sign([read_secret(one) for one in secrets], ID, TIME, BODY)


def test_the_reference_vector_is_signed_and_verified() -> None:
    made = headers(SECRET)
    assert made == {
        "webhook-id": ID,
        "webhook-timestamp": str(TIME),
        "webhook-signature": SIGNATURE,
    }
    assert verify_webhook(made, BODY, [SECRET], now=TIME) == {"test": 2432232314}


def test_header_names_come_in_any_case() -> None:
    made = {name.title(): value for name, value in headers(SECRET).items()}
    assert verify_webhook(made, BODY, [SECRET], now=TIME)


def test_while_a_secret_is_rotated_either_of_the_two_verifies() -> None:
    made = headers(OTHER, SECRET)
    assert len(made["webhook-signature"].split(" ")) == 2
    for known in ([SECRET], [OTHER], [OTHER, SECRET]):
        assert verify_webhook(made, BODY, known, now=TIME)


@pytest.mark.parametrize("age", [-300, 300])
def test_a_message_within_the_tolerance_is_taken(age: int) -> None:
    assert verify_webhook(headers(SECRET), BODY, [SECRET], now=TIME + age)


@pytest.mark.parametrize(("age", "why"), [(301, "too old"), (-301, "in the future")])
def test_a_message_of_another_time_is_refused(age: int, why: str) -> None:
    with pytest.raises(NotAuthorised, match=why):
        verify_webhook(headers(SECRET), BODY, [SECRET], now=TIME + age)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_another"},
        {"webhook-timestamp": str(TIME + 1)},
        {"webhook-signature": SIGNATURE.replace("v1,g", "v1,h")},
        {"webhook-signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "ü"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": ""},
    ],
)
def test_what_was_changed_on_the_way_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(NotAuthorised):
        verify_webhook({**headers(SECRET), **changed}, BODY, [SECRET], now=TIME)


def test_another_body_or_another_secret_is_refused() -> None:
    with pytest.raises(NotAuthorised):
        verify_webhook(headers(SECRET), BODY + b" ", [SECRET], now=TIME)
    with pytest.raises(NotAuthorised):
        verify_webhook(headers(OTHER), BODY, [SECRET], now=TIME)
    with pytest.raises(NotAuthorised):
        verify_webhook(headers(SECRET), BODY, [], now=TIME)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_AAAA", "whsec_*", "whsec_" + "A" * 200])
def test_a_secret_that_is_none_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_secret(secret)
    assert "A" not in refused.value.message
