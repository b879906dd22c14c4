"""The matcher: a pure function of the journal from commands to events (L9)."""

from backend.matching.accounts import NonceState
from backend.matching.book import Depth, DepthLevel, OrderState
from backend.matching.engine import Engine
from backend.matching.snapshot import SCHEMA, dump, load

__all__ = [
    "SCHEMA",
    "Depth",
    "DepthLevel",
    "Engine",
    "NonceState",
    "OrderState",
    "dump",
    "load",
]
