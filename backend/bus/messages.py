"""Subjects and codecs of what goes over the bus; the only place that knows either."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from backend.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Head:
    """The newest chain block that can be read from the store.

    `epoch` grows with every reorganisation the index took back: drop what has an older epoch.
    """

    chain_id: int
    epoch: int
    number: int
    hash: str

    def encode(self) -> bytes:
        """The message's body: integers as strings, as everywhere at Causeway's edges."""
        body = {"epoch": str(self.epoch), "number": str(self.number), "hash": self.hash}
        return orjson.dumps(body)

    @classmethod
    def decode(cls, chain_id: int, body: bytes) -> Head:
        """The inverse of `encode`; raises InvalidValue for anything else."""
        try:
            found = orjson.loads(body)
            return cls(chain_id, int(found["epoch"]), int(found["number"]), str(found["hash"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise InvalidValue("head", body[:200], "is no head of a chain") from None


def head_subject(chain_id: int) -> str:
    """Where heads of one chain are published."""
    return f"causeway.{chain_id}.head"
