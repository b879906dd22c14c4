"""Receipts in Postgres: L2 before the chain, L10, and the same answers as the domain's oracle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any, ClassVar

import psycopg
import pytest
from eth_utils.crypto import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, insert, select

from backend.domain.classes import CreditClass, UnitType
from backend.domain.credits import Kind, Status
from backend.domain.custody import Receipt, RegistryRetirement, signing_domain
from backend.domain.serials import Interval, IntervalSet
from backend.errors import Conflict, InvalidValue, NotFound, SerialsOverlap, UnmappedLabel
from backend.store import tables
from backend.store.custody import Approval, ConfirmationState, Custody, ReceiptState
from backend.store.database import Database
from tests.store.rows import GS, VCS, gold, row, save

pytestmark = pytest.mark.integration

TRUST = "0x" + "11" * 20
CHAIN = 31337
CLASS = CreditClass("VCS", "1001", UnitType.CREDIT, date(2020, 1, 1), date(2020, 12, 31))
GS_CLASS = replace(CLASS, programme="GS", project="11603")


def receipt(*blocks: tuple[int, int], credit_class: CreditClass = CLASS, salt: int = 0) -> Receipt:
    series = VCS if credit_class.programme == "VCS" else GS
    intervals = tuple(Interval(series, first, last) for first, last in blocks)
    hashes = [keccak(text=f"{name} {salt}") for name in ("account", "evidence", "terms")]
    recipient = "0x" + "22" * 20
    return Receipt(recipient, credit_class, hashes[0], intervals, hashes[1], hashes[2], 2**39)


@pytest.fixture
def custody(database: Database) -> Custody:
    save(database, [row(1, 100), row(101, 200), row(301, 400)], "active")
    return Custody(database)


def test_l10_the_same_receipt_again_is_the_stored_one(custody: Custody) -> None:
    wanted = receipt((1, 50), (60, 70))
    first = custody.draft(wanted, CHAIN, TRUST)
    assert first.id == "0x" + wanted.digest(signing_domain(CHAIN, TRUST)).hex()
    assert first.receipt == wanted
    assert custody.draft(wanted, CHAIN, TRUST) == first
    assert custody.open_receipts() == [first]
    with pytest.raises(NotFound):
        custody.receipt("0x00")


@pytest.mark.parametrize("other", [(50, 60), (1, 1), (70, 70), (40, 80), (55, 56)])
def test_l2_one_shared_serial_is_refused_naming_both_intervals_and_the_holder(
    custody: Custody, other: tuple[int, int]
) -> None:
    held = custody.draft(receipt((1, 70)), CHAIN, TRUST)
    with pytest.raises(SerialsOverlap) as refused:
        custody.draft(receipt((101, 110), other, salt=1), CHAIN, TRUST)
    values = refused.value.values
    assert (values["first"], values["last"]) == other
    assert (values["taken_first"], values["taken_last"]) == (1, 70)
    assert values["receipt_id"] == held.id
    custody.draft(receipt((101, 110), salt=2), CHAIN, TRUST)


def test_l2_a_receipt_that_overlaps_itself_is_refused(custody: Custody) -> None:
    with pytest.raises(SerialsOverlap, match="same receipt"):
        custody.draft(receipt((1, 10), (10, 20)), CHAIN, TRUST)
    assert custody.open_receipts() == []


def test_l2_of_two_receipts_drafted_at_once_over_one_serial_one_is_refused(
    custody: Custody,
) -> None:
    def draft(salt: int) -> bool:
        blocks = ((1, 40), (150, 160)) if salt % 2 else ((155, 170), (30, 50))
        try:
            custody.draft(receipt(*blocks, salt=salt), CHAIN, TRUST)
        except SerialsOverlap:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        accepted = list(pool.map(draft, range(6)))
    assert accepted.count(True) == 1


def test_l2_serials_that_are_on_chain_by_a_receipt_unknown_here_are_refused(
    custody: Custody, database: Database
) -> None:
    with database.begin() as connection:
        number = connection.execute(select(tables.series.c.id)).scalar_one()
        connection.execute(
            insert(tables.class_blocks).values(
                class_id=CLASS.token_id,
                first_position=0,
                series_id=number,
                series_hash="0x" + VCS.id.hex(),
                first=10,
                last=20,
                receipt_id="0xdd",
                source="0xdd",
                block_number=1,
                log_index=1,
            )
        )
    with pytest.raises(SerialsOverlap, match="on chain"):
        custody.draft(receipt((20, 30)), CHAIN, TRUST)


@pytest.mark.parametrize("ended", [ReceiptState.CANCELLED, ReceiptState.FAILED])
def test_serials_of_a_receipt_that_ended_unminted_are_free_again(
    custody: Custody, ended: ReceiptState
) -> None:
    first = custody.draft(receipt((1, 50)), CHAIN, TRUST)
    assert custody.set_state(first.id, ended, reason="changed our mind").reason
    assert custody.draft(receipt((1, 50), salt=1), CHAIN, TRUST).state is ReceiptState.DRAFTED
    with pytest.raises(Conflict):
        custody.set_state(first.id, ReceiptState.SUBMITTED)


def test_l4_a_minted_receipt_keeps_its_serials_whatever_the_bridge_believes(
    custody: Custody, database: Database
) -> None:
    first = custody.draft(receipt((1, 50)), CHAIN, TRUST)
    custody.set_state(first.id, ReceiptState.SUBMITTED, transaction_key="mint-1")
    with database.begin() as connection:
        connection.execute(
            insert(tables.receipts_minted).values(
                receipt_id=first.id,
                class_id=CLASS.token_id,
                recipient=first.receipt.recipient,
                tonnes=50,
                account="0x",
                evidence_hash="0x",
                terms_hash="0x",
                signers=[],
                transaction_hash="0x",
                block_number=1,
                log_index=1,
            )
        )
    with pytest.raises(Conflict, match="never freed"):
        custody.set_state(first.id, ReceiptState.CANCELLED)
    custody.set_state(first.id, ReceiptState.MINTED)
    with pytest.raises(Conflict):
        custody.set_state(first.id, ReceiptState.FAILED)
    back = custody.set_state(first.id, ReceiptState.SUBMITTED)
    assert back.transaction_key == "mint-1"


def test_approvals_are_kept_once_per_signer(custody: Custody) -> None:
    made = custody.draft(receipt((1, 50)), CHAIN, TRUST)
    approval = Approval("0x" + "33" * 20, "custodian", b"\x01" * 65)
    custody.approve(made.id, approval)
    custody.approve(made.id, approval)
    assert custody.receipt(made.id).approvals == (approval,)
    with pytest.raises(Conflict, match="custodian"):
        custody.approve(made.id, replace(approval, role="attestor"))


@pytest.mark.parametrize(
    ("blocks", "wanted", "rule_broken"),
    [
        (((190, 201),), CLASS, "not in any imported export"),
        (((1, 10),), replace(CLASS, project="1002"), "project is 1001"),
        (((1, 10),), replace(CLASS, cohort=("ccp",)), "cohort"),
        (((1, 10),), replace(CLASS, vintage_end=date(2021, 1, 1)), "vintage_end"),
    ],
)
def test_only_imported_credits_of_the_class_go_into_trust(
    custody: Custody, blocks: Any, wanted: CreditClass, rule_broken: str
) -> None:
    with pytest.raises(InvalidValue, match=rule_broken):
        custody.draft(receipt(*blocks, credit_class=wanted), CHAIN, TRUST)


def test_retired_unmapped_and_issued_credits(custody: Custody, database: Database) -> None:
    save(database, [row(501, 510, Status.RETIRED_OR_CANCELLED)], "retired")
    save(database, [row(601, 610, labels=("A label nobody knows",))], "unmapped")
    save(database, [gold(1, 100, Kind.ISSUANCE), gold(41, 50, Kind.RETIREMENT)], "gold")
    with pytest.raises(InvalidValue, match="retired_or_cancelled"):
        custody.draft(receipt((505, 506)), CHAIN, TRUST)
    with pytest.raises(UnmappedLabel, match="A label nobody knows"):
        custody.draft(receipt((601, 602)), CHAIN, TRUST)
    live = receipt((1, 40), (51, 100), credit_class=GS_CLASS)
    with pytest.raises(InvalidValue, match="no inventory of the account shows"):
        custody.draft(live, CHAIN, TRUST)
    with pytest.raises(InvalidValue, match="GS:11603:2025:30256/100-100 live"):
        custody.draft(live, CHAIN, TRUST, [Interval(GS, 1, 40), Interval(GS, 45, 99)])
    # What the inventory wrongly shows live is refused all the same once it was retired.
    everything = [Interval(GS, 1, 100)]
    with pytest.raises(InvalidValue, match="retired or cancelled"):
        custody.draft(receipt((30, 41), credit_class=GS_CLASS), CHAIN, TRUST, everything)
    made = custody.draft(live, CHAIN, TRUST, live.intervals)
    assert made.receipt.tonnes == 90


def test_confirmations_of_overlapping_positions_are_refused_until_one_failed(
    custody: Custody,
) -> None:
    def confirmation(first: int, tonnes: int, reference: str) -> RegistryRetirement:
        actual = (Interval(VCS, first + 1, first + tonnes),)
        return RegistryRetirement(CLASS.token_id, first, actual, reference, 20260110, bytes(32))

    first = custody.draft_confirmation(confirmation(0, 10, "R-1"), CHAIN, TRUST)
    assert custody.draft_confirmation(first.retirement, CHAIN, TRUST) == first
    with pytest.raises(Conflict, match=r"0 … 9"):
        custody.draft_confirmation(confirmation(9, 2, "R-2"), CHAIN, TRUST)
    custody.set_confirmation_state(first.id, ConfirmationState.FAILED, reason="wrong reference")
    second = custody.draft_confirmation(confirmation(9, 2, "R-2"), CHAIN, TRUST)
    assert custody.open_confirmations() == [second]
    assert custody.confirmation(first.id).reason == "wrong reference"


class CustodyMachine(RuleBasedStateMachine):
    """Twin: receipts over serials 1 … 60 against the domain's IntervalSet."""

    database: ClassVar[Database]

    @initialize()
    def start(self) -> None:
        with self.database.begin() as connection:
            connection.execute(tables.receipts.delete())
        self.custody = Custody(self.database)
        self.held = IntervalSet(VCS)
        self.open: dict[str, tuple[Interval, ...]] = {}
        self.salt = 0

    @rule(cuts=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 8)), min_size=1, max_size=3))
    def draft(self, cuts: list[tuple[int, int]]) -> None:
        blocks = [(first, min(first + more, 60)) for first, more in cuts]
        self.salt += 1
        wanted = receipt(*blocks, salt=self.salt)
        trial = IntervalSet(VCS)
        for interval in self.held:
            trial.insert(interval)
        try:
            for interval in wanted.intervals:
                trial.insert(interval)
        except SerialsOverlap:
            with pytest.raises(SerialsOverlap):
                self.custody.draft(wanted, CHAIN, TRUST)
        else:
            made = self.custody.draft(wanted, CHAIN, TRUST)
            self.held = trial
            self.open[made.id] = wanted.intervals

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.open:
            chosen = data.draw(st.sampled_from(sorted(self.open)))
            self.custody.set_state(chosen, ReceiptState.CANCELLED)
            for interval in self.open.pop(chosen):
                self.held.remove(interval)

    @invariant()
    def the_database_holds_what_the_oracle_holds(self) -> None:
        blocks = tables.custody_blocks
        with self.database.read() as connection:
            rows = connection.execute(
                select(func.lower(blocks.c.block), func.upper(blocks.c.block) - 1)
            )
            found = sorted(tuple(one) for one in rows)
        assert found == [(one.first, one.last) for one in self.held]


@pytest.fixture
def filled(database: Database) -> Database:
    save(database, [row(1, 60)], "active")
    return database


def test_l2_custody_equals_the_domains_interval_set(filled: Database) -> None:
    machine = type("Machine", (CustodyMachine,), {"database": filled})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=12, stateful_step_count=15, derandomize=True),
    )


def test_l2_the_constraint_itself_refuses_without_our_code(filled: Database) -> None:
    made = Custody(filled).draft(receipt((1, 10)), CHAIN, TRUST)
    with (
        psycopg.connect(filled.url) as connection,
        pytest.raises(psycopg.errors.ExclusionViolation),
    ):
        connection.execute(
            "INSERT INTO custody_blocks (series_id, block, receipt_id, ordinal)"
            " SELECT series_id, '[10,12]', %s, 1 FROM custody_blocks",
            [made.id],
        )
