"""Duplicates across registries: what an import said is listed, compared, and put to a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from backend.domain.credits import Record
from backend.domain.duplicates import (
    NOTED,
    REGISTRY,
    Assessment,
    Candidates,
    Key,
    Listing,
    assess,
    candidates,
)
from backend.registries.bridge_lists import read_bridge_list
from backend.registries.listings import listing_of_texts, listings_of
from backend.store import duplicates as store
from backend.store.database import LOCK_DUPLICATES, Connection, Database, lock


def note_imports(database: Database, rows: Iterable[Record] = ()) -> list[int]:
    """Compare what imports since the last call said; returns the cases that are new or changed.

    `rows` are those about projects and amounts; blocks are read from the database. Harmless to
    repeat, and nothing of blocks is missed when a process died between an import and this.
    """
    with database.begin() as connection:
        lock(connection, LOCK_DUPLICATES)
        said = _from_blocks(store.newly_said(connection))
        for key, listing in listings_of(rows).items():
            said[key] = said[key] | listing if key in said else listing
        touched = store.merge_listings(connection, _telling(said))
        return _find(connection, touched)


def find_all(database: Database) -> list[int]:
    """Compare everything that was ever imported; returns the cases that changed."""
    with database.begin() as connection:
        lock(connection, LOCK_DUPLICATES)
        store.merge_listings(
            connection, _telling(_from_blocks(store.newly_said(connection, everything=True)))
        )
        return _find(connection, None)


def note_bridge(database: Database, source: str, path: Path) -> list[int]:
    """Take in what another bridge says it holds; returns the cases that changed."""
    listed = read_bridge_list(path, source)
    with database.begin() as connection:
        lock(connection, LOCK_DUPLICATES)
        touched = store.merge_listings(connection, listed.listings)
        store.add_holdings(connection, listed.holdings)
        return _find(connection, touched)


def _from_blocks(rows: Iterable[store.Said]) -> dict[Key, Listing]:
    found: dict[Key, Listing] = {}
    for said in rows:
        listing = listing_of_texts(
            Key(REGISTRY, said.programme, said.project),
            name=said.project_name,
            developer=said.developer,
            country=said.country,
            types=said.project_types,
            methodologies=said.methodologies,
            period=(said.first, said.last),
        )
        held = found.get(listing.key)
        found[listing.key] = listing if held is None else held | listing
    return found


def _telling(listings: Mapping[Key, Listing]) -> dict[Key, Listing]:
    """Without those that nothing could ever be paired by."""
    return {key: one for key, one in listings.items() if one.names or one.places or one.stated}


def _find(connection: Connection, touched: set[Key] | None) -> list[int]:
    listings = store.load_listings(connection)
    # What a listing names and has only blocks, no name, can be paired by its id all the same.
    named = {other for one in listings.values() for other in one.stated}
    for programme, project in store.with_blocks(connection, named):
        key = Key(REGISTRY, programme, project)
        listings.setdefault(key, Listing(key))
    found: Candidates = candidates(listings.values(), touched)
    shared = store.shared_serials(connection)
    known = store.known_pairs(connection)
    pairs = set(found.pairs) | set(shared) | known
    judged = [
        assess(
            listings.get(left, Listing(left)),
            listings.get(right, Listing(right)),
            shared.get((left, right), 0),
        )
        for left, right in sorted(pairs)
    ]
    return store.save_cases(
        connection, [one for one in judged if one.score >= NOTED or _pair(one) in known]
    )


def _pair(one: Assessment) -> tuple[Key, Key]:
    return one.left, one.right
