"""What a venue answered to a signed message, checked against what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.domain.acknowledgements import Acknowledgement, decode_path
from backend.domain.commands import TraderCommand
from backend.domain.journal import decode_entry, hash_entry
from backend.errors import Contradiction, InvalidValue


@dataclass(frozen=True)
class Placed:
    """A journalled answer; keep `entry` and `acknowledgement`, they prove it.

    `status` is accepted or refused (`reason` says why; the nonce is used either way); `filled` and
    `resting` are tonnes; `ended` says why nothing more of an order can match.
    """

    status: str
    repeated: bool
    nonce: int
    seq: int
    time_ms: int
    filled: int
    resting: int
    ended: str | None
    reason: str | None
    signer: str
    entry: bytes = field(repr=False)
    acknowledgement: Acknowledgement = field(repr=False)
    events: tuple[dict[str, Any], ...] = ()

    @property
    def fills(self) -> tuple[dict[str, Any], ...]:
        """Trades of this message: price, quantity, number, fee."""
        own = str(self.nonce)
        return tuple(
            event for event in self.events if event["type"] == "fill" and event["nonce"] == own
        )


@dataclass(frozen=True)
class Claim:
    """An answer that is about the message that was sent; who promised it is not known yet."""

    told: Mapping[str, Any]
    entry: bytes
    acknowledgement: Acknowledgement

    def signed_by(self, signer: str) -> Placed:
        """The answer, once `signer` is known to be a sequencer of the venue."""
        return Placed(
            **self.told, signer=signer, entry=self.entry, acknowledgement=self.acknowledgement
        )


def read_answer(sent: TraderCommand, shown: Mapping[str, Any]) -> Claim:
    """What an answer claims, once it is known to be about `sent`.

    Raises Contradiction when the entry is another command's or another number's, InvalidValue when
    the answer is not of its form.
    """
    try:
        entry = _bytes(shown["entry"])
        given = shown["acknowledgement"]
        path = decode_path(_bytes(given["path"]))
        signature = _bytes(given["signature"])
        told: dict[str, Any] = {
            name: int(shown[name]) for name in ("nonce", "seq", "time_ms", "filled", "resting")
        }
        told |= {name: shown[name] for name in ("status", "repeated", "ended", "reason")}
        told["events"] = tuple(shown["events"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidValue("answer", str(shown)[:200], f"is no answer: {error!r}") from None
    journalled = decode_entry(entry)
    if journalled.command != sent or journalled.seq != told["seq"]:
        raise Contradiction(
            f"the answer's entry {journalled.seq} is not the message that was sent",
            seq=told["seq"],
            nonce=told["nonce"],
        )
    return Claim(told, entry, Acknowledgement(journalled.seq, hash_entry(entry), path, signature))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
