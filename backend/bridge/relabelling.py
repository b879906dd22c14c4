"""A newer vocabulary of labels over rows that an older one mapped."""

from __future__ import annotations

from backend.registries import labels
from backend.store.block_rows import Labels
from backend.store.database import Database
from backend.store.imports import remap_labels


def relabel(database: Database) -> int:
    """Give every imported row the cohort of the vocabulary this program has; returns how many.

    Run when a program starts on a database, which may be older. Credits that are tokens keep the
    class they were minted in.
    """
    return remap_labels(database, Labels(str(labels.VERSION), labels.cohort_of))
