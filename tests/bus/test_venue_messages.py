"""What goes between gates and leader: one encoding each way, anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.bus.venue_messages import (
    MAX_BODY,
    Answer,
    AnswerCode,
    Committed,
    Heartbeat,
    decode_committed,
    decode_reply,
    decode_request,
    encode_committed,
    encode_journalled,
    encode_record,
    encode_refused,
    encode_reply,
    encode_request,
)
from backend.domain.commands import PlaceCancel, PlaceCancelAll, PlaceWithdrawal, Tick
from backend.domain.journal import HEAD_BYTES
from backend.domain.orders import Account, Cancel, CancelAll, Withdrawal
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

WHO = Account(bytes(range(20)))
SIGNATURE = bytes(range(65))
COMMANDS = [
    PlaceCancel(Cancel(WHO, 7), SIGNATURE),
    PlaceCancelAll(CancelAll(WHO, 8, 1 << 200), SIGNATURE),
    PlaceWithdrawal(Withdrawal(WHO, 9, 5, 10**18, 0), SIGNATURE),
]


def test_a_request_carries_the_journals_own_bytes() -> None:
    records = [encode_record(one) for one in COMMANDS]
    found = decode_request(encode_request(123, records))
    assert found.deadline_ms == 123
    assert list(found.commands) == list(zip(COMMANDS, records, strict=True))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_request_are_refused(body: bytes) -> None:
    try:
        found = decode_request(body)
    except InvalidValue:
        return
    again = encode_request(found.deadline_ms, [record for _, record in found.commands])
    assert again == body


def test_only_commands_of_traders_come_over_the_bus() -> None:
    for body in (
        encode_request(1, [encode_record(Tick())]),
        encode_request(1, []),
        encode_request(1, [encode_record(COMMANDS[0])] * 65),
        encode_request(1, [encode_record(COMMANDS[0])])[:-1],
        encode_request(1, [encode_record(COMMANDS[0])]) + b"\0",
    ):
        with pytest.raises(InvalidValue):
            decode_request(body)


def test_a_reply_comes_back_as_it_was_sent() -> None:
    entry = b"\x01" + (77).to_bytes(8, "big") + bytes(HEAD_BYTES)
    path = b"\x01" + bytes(32) + b"\x00" + bytes([7] * 32)
    body = encode_reply(
        [
            encode_journalled(AnswerCode.ACCEPTED, entry, b"events", path, SIGNATURE),
            encode_refused(AnswerCode.CONFLICT, "nonce 3 …"),
            encode_journalled(AnswerCode.REPEATED, entry, b"", b"", SIGNATURE),
        ]
    )
    accepted, refused, repeated = decode_reply(body)
    assert accepted == Answer(AnswerCode.ACCEPTED, entry, b"events", path, SIGNATURE)
    assert accepted.acknowledgement is not None
    assert accepted.acknowledgement.seq == 77
    assert len(accepted.acknowledgement.path) == 2
    assert refused == Answer(AnswerCode.CONFLICT, detail="nonce 3 …")
    assert not refused.journalled
    assert refused.acknowledgement is None
    assert repeated.journalled
    for cut in range(len(body)):
        with pytest.raises(InvalidValue):
            decode_reply(body[:cut])


@given(st.binary(max_size=200))
def test_bytes_that_are_no_reply_are_refused_and_nothing_else_is_raised(body: bytes) -> None:
    for decode in (decode_reply, decode_committed, Heartbeat.decode):
        try:
            decode(body)
        except InvalidValue:
            continue


def test_a_commit_that_is_too_long_for_the_bus_comes_in_parts() -> None:
    stored = [(bytes([at] * 300_000), b"e" * 200_000) for at in range(4)]
    stored.insert(2, (b"x", bytes(MAX_BODY)))
    messages = list(encode_committed(3, 10, stored))
    assert all(len(one) < 2**20 for one in messages)
    found = [decode_committed(one) for one in messages]
    numbered = {
        one.first_seq + place: tuple(entry)
        for one in found
        for place, entry in enumerate(one.stored)
    }
    # The one that is too long by itself is announced only: readers find it in the journal.
    assert numbered == {10 + at: one for at, one in enumerate(stored) if at != 2}
    assert Committed(3, 12, ()) in found


def test_a_heartbeat_comes_back() -> None:
    beat = Heartbeat(4, 2**40, bytes([3] * 32), bytes(WHO))
    assert Heartbeat.decode(beat.encode()) == beat
