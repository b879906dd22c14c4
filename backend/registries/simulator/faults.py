"""What goes wrong, how often, and when: each draw follows from a seed, so runs can be repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from backend.errors import InvalidValue

SCOPES = ("block", "class")
KINDS = ("any", "retirement")
#: The largest delay and queue, so that a typing error does not stop a run for a day.
MAX_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates per mille of requests. A draw depends on seed, reference and attempt alone, so
    neither the order nor the number of other requests changes it.

    `fail_before`: 500, nothing happened; `fail_after`: 500 although it happened; `cut_after`: it
    happened and the connection breaks; `slow`: the answer takes `slow_ms`; `refuse`: a final no;
    `queued`: taken now, done up to `queue_seconds` later, so in another order than they came;
    `other_serials`: the registry takes serials of its own choice, inside the same block or, with
    scope `class`, from anywhere in the account's credits of that project, vintage and labels; of
    every operation or, with `other_serials_of` `retirement`, of retirements alone;
    `repeated`: a look-up lists the operation twice; `stale`: a look-up shows the operation as it
    was when it was taken.
    """

    seed: int = 0
    fail_before: int = 0
    fail_after: int = 0
    cut_after: int = 0
    slow: int = 0
    slow_ms: int = 0
    refuse: int = 0
    queued: int = 0
    queue_seconds: int = 0
    other_serials: int = 0
    other_serials_scope: str = "block"
    other_serials_of: str = "any"
    repeated: int = 0
    stale: int = 0

    def __post_init__(self) -> None:
        for name in _RATES:
            if not 0 <= getattr(self, name) <= 1000:
                raise InvalidValue(name, getattr(self, name), "is not 0 … 1000 per mille")
        if not 0 <= self.slow_ms <= MAX_SECONDS * 1000:
            raise InvalidValue("slow_ms", self.slow_ms, f"is not 0 … {MAX_SECONDS * 1000}")
        if not 0 <= self.queue_seconds <= MAX_SECONDS:
            raise InvalidValue("queue_seconds", self.queue_seconds, f"is not 0 … {MAX_SECONDS}")
        if self.other_serials_scope not in SCOPES:
            raise InvalidValue(
                "other_serials_scope", self.other_serials_scope, f"is not one of {SCOPES}"
            )
        if self.other_serials_of not in KINDS:
            raise InvalidValue("other_serials_of", self.other_serials_of, f"is not one of {KINDS}")

    def number(self, name: str, key: str, attempt: int = 0) -> int:
        """A number of 32 bits that only these and the seed decide."""
        drawn = hashlib.sha256(f"{self.seed}:{name}:{key}:{attempt}".encode()).digest()
        return int.from_bytes(drawn[:4], "big")

    def strikes(self, name: str, key: str, attempt: int = 0) -> bool:
        """Whether the fault of this name happens to this attempt."""
        rate: int = getattr(self, name)
        return rate > 0 and self.number(name, key, attempt) % 1000 < rate

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Faults:
        """Faults from their names; what is left out is off. Raises InvalidValue."""
        known = {entry.name: entry.type for entry in fields(cls)}
        for name, value in found.items():
            if name not in known:
                raise InvalidValue("faults", name, "is not a fault")
            wanted: type = str if name in _WORDS else int
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise InvalidValue(name, value, f"is not of type {wanted.__name__}")
        return cls(**found)


_WORDS = ("other_serials_scope", "other_serials_of")
_RATES = (
    "fail_before",
    "fail_after",
    "cut_after",
    "slow",
    "refuse",
    "queued",
    "other_serials",
    "repeated",
    "stale",
)
