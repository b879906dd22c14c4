"""Follows the chain into the store: append, rewind, rebuild, recover."""

from backend.indexer.follow import HeadSink, Indexer
from backend.indexer.recovery import Recovery

__all__ = ["HeadSink", "Indexer", "Recovery"]
