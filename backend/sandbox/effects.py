"""What an act of the sandbox did, or found done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Effect:
    """`changed` is False when it was so already; `state` says how far what it began is."""

    changed: bool
    state: str = "done"
    transaction: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
