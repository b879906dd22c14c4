"""Queries against the naive twin: serials, counters, balances, traces for random pasts."""

from __future__ import annotations

from collections import Counter

import pytest

from backend.domain.serials import Series
from backend.store.database import Database
from backend.store.queries import accounts, certificates, classes, tracing
from backend.store.queries.certificates import CertificatePiece
from tests.api.history import NaiveClass, random_history

pytestmark = pytest.mark.integration


def _by_position(piece: CertificatePiece, which: str) -> dict[int, tuple[str, int]]:
    return {
        run.position + step: (run.series, run.first + step)
        for run in getattr(piece, which)
        for step in range(run.tonnes)
    }


def _check_certificate(database: Database, made: NaiveClass, index: int) -> None:
    naive = made.certificates[index]
    with database.read() as connection:
        found = certificates.get_certificate(connection, naive.certificate_id)
    taken: Counter[int] = Counter()
    for piece in found.pieces:
        share = piece.consumption.kilograms // piece.consumption.span.tonnes
        positions = range(piece.consumption.span.first, piece.consumption.span.end)
        taken.update(dict.fromkeys(positions, share))
        assert _by_position(piece, "expected") == {p: naive.expected[p] for p in positions}
        assert _by_position(piece, "serials") == {p: made.serials[p] for p in positions}
        for run in piece.serials:
            for step in range(run.tonnes):
                assert run.confirmation_id == made.confirmed.get(run.position + step)
                assert run.receipt_id == made.receipts[run.series, run.first + step]
        assert piece.still_open == any(0 < made.left[p] < 1000 for p in positions)
    assert taken == naive.taken
    confirmed = sum(kg for p, kg in naive.taken.items() if p in made.confirmed)
    assert found.retirement.confirmed_kilograms == confirmed
    assert (found.retirement.status == "confirmed") == (confirmed == naive.kilograms)
    assert (found.retirement.status == "pending") == (confirmed == 0)


@pytest.mark.parametrize("seed", range(12))
def test_serials_of_every_certificate_equal_a_recount_kilogram_by_kilogram_l2_l4(
    database: Database, seed: int
) -> None:
    history = random_history(database, seed, steps=70)
    assert any(made.certificates for made in history.classes.values())
    for made in history.classes.values():
        for index in range(len(made.certificates)):
            _check_certificate(database, made, index)


@pytest.mark.parametrize("seed", range(20, 24))
def test_counters_holdings_and_blocks_equal_a_recount_l1(database: Database, seed: int) -> None:
    history = random_history(database, seed)
    with database.read() as connection:
        for class_id, made in history.classes.items():
            found = classes.get_class(connection, class_id)
            assert found.positions.supply_kilograms == sum(made.left)
            assert found.retired_kilograms == sum(1000 - left for left in made.left)
            assert found.live_tonnes == made.left.count(1000)
            assert found.confirmed_tonnes == len(made.confirmed)
            assert found.cohort == made.credit_class.cohort
            holders = accounts.holders_of(connection, class_id, limit=500).items
            assert {h.account: h.kilograms for h in holders if h.kilograms} == {
                account: kilograms
                for (account, held_class), kilograms in history.held.items()
                if held_class == class_id and kilograms
            }
            assert {h.account: h.retired_kilograms for h in holders if h.retired_kilograms} == {
                account: kilograms
                for (account, held_class), kilograms in history.retired.items()
                if held_class == class_id and kilograms
            }
            standing = {
                run.position + step: (run.series, run.first + step)
                for block in classes.class_blocks(connection, class_id, limit=500).items
                for run in block.serials
                for step in range(run.tonnes)
            }
            assert standing == dict(enumerate(made.serials))


@pytest.mark.parametrize("seed", range(30, 34))
def test_a_serial_leads_to_its_certificates_and_back(database: Database, seed: int) -> None:
    history = random_history(database, seed, steps=40)
    with database.read() as connection:
        for class_id, made in history.classes.items():
            for position, (name, number) in enumerate(made.serials):
                found = tracing.trace_serial(connection, Series.parse(name), number)
                assert found.credit_class is not None
                assert (found.position, found.credit_class.class_id) == (position, class_id)
                assert [r.certificate_id for r in found.retirements] == [
                    naive.certificate_id for naive in made.certificates if naive.taken[position]
                ]
                assert found.retired_kilograms == 1000 - made.left[position]
                confirmed = found.confirmation and found.confirmation.confirmation_id
                assert confirmed == made.confirmed.get(position)
                assert found.receipt is not None
                assert found.receipt.receipt_id == made.receipts[name, number]
                expected = {1000: "live", 0: "retired"}.get(made.left[position], "open")
                assert found.state.split(" and ")[0] == expected
