"""The ledger of kept credits against a twin that counts serials one by one."""

from __future__ import annotations

import itertools
from datetime import date

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.ledger import LedgerClass, RetirementOrder
from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import SerialRange
from backend.errors import InvalidValue, RuleError, SerialsOverlap
from backend.store import ledger
from backend.store.custody import Custody
from backend.store.database import Database
from backend.store.flows import Flows
from backend.store.queries import ledger as kept
from tests.store.rows import VCS, row, save
from tests.store.test_custody import CHAIN, TRUST, receipt

pytestmark = pytest.mark.integration

ANA, BO = "0x" + "aa" * 20, "0x" + "bb" * 20
CLASSES = tuple(
    LedgerClass("CCER", project, date(2024, 1, 1), date(2024, 12, 31)) for project in ("1", "2")
)
SAID = RetirementInstruction(
    "CCER", "Sample Ltd", BeneficiaryKind.ENTITY, "CN", UseCase.VOLUNTARY, "", "91-SAMPLE"
)
DAY = date(2026, 2, 28)
MOST = 40
_worlds = itertools.count(1)
ranges = st.tuples(st.integers(0, MOST - 1), st.integers(0, 9)).map(
    lambda pair: (pair[0], min(MOST - 1, sum(pair)))
)


class LedgerMachine(RuleBasedStateMachine):
    """Each example keeps the serials of a space of its own."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.name = f"L{next(_worlds)}"
        self.account = f"CCER:{self.name}"
        self.numbers = itertools.count(1)
        #: Per serial: owner, part, whether it is retired, class.
        self.twin: dict[int, tuple[str, str | None, bool, LedgerClass]] = {}
        self.open: dict[str, str] = {}
        self.brought: dict[str, str] = {}

    def serials(self, first: int, last: int) -> SerialRange:
        return SerialRange(f"CCER:{self.name}", first, last)

    # ── rules ────────────────────────────────────────────────────────────────────────────────

    @rule(span=ranges, owner=st.sampled_from((ANA, BO)), of=st.sampled_from(CLASSES))
    def deposit(self, span: tuple[int, int], owner: str, of: LedgerClass) -> None:
        wanted = range(span[0], span[1] + 1)
        reference = f"{self.name}-{next(self.numbers)}"
        brought = [(self.serials(*span), of)]
        allowed = not any(number in self.twin for number in wanted)
        for _ in range(2):
            try:
                with self.database.begin() as connection:
                    ledger.keep(connection, reference, self.account, owner, brought, 1)
                assert allowed
            except SerialsOverlap:
                assert not allowed
        if allowed:
            self.brought[reference] = owner
            self.twin |= dict.fromkeys(wanted, (owner, None, False, of))

    @rule(span=ranges, owner=st.sampled_from((ANA, BO)))
    def order(self, span: tuple[int, int], owner: str) -> None:
        wanted = range(span[0], span[1] + 1)
        reference = f"{self.name}-r{next(self.numbers)}"
        order = RetirementOrder(reference, owner, self.account, (self.serials(*span),), SAID.hash)
        allowed = all(
            number in self.twin and self.twin[number][:3] == (owner, None, False)
            for number in wanted
        )
        for _ in range(2):
            try:
                with self.database.begin() as connection:
                    ledger.take_order(connection, order, SAID, b"s", 1, 9)
                assert allowed
            except RuleError:
                assert not allowed
        if not allowed:
            return
        number = 0
        for serial in wanted:
            of = self.twin[serial][3]
            if serial == span[0] or of != self.twin[serial - 1][3]:
                number += 1
                self.open[f"{reference}:{number}"] = reference
            self.twin[serial] = (owner, f"{reference}:{number}", False, of)

    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        part = self._part(data, 2)
        if part is None:
            return
        mine = self._expected(part)
        tonnes = data.draw(st.integers(1, len(mine) - 1))
        flow = Flows(self.database).get(ledger.LEDGER_RETIREMENT, part)
        with self.database.begin() as connection:
            ledger.split_part(connection, flow, tonnes)
        reference = self.open[part]
        made = f"{reference}:{1 + self._parts_ever(reference)}"
        self.open[made] = reference
        for serial in mine[tonnes:]:
            owner, _, retired, of = self.twin[serial]
            self.twin[serial] = (owner, made, retired, of)

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        part = self._part(data)
        if part is None:
            return
        with self.database.begin() as connection:
            flow = Flows(self.database).get(ledger.LEDGER_RETIREMENT, part)
            ledger.fail_part(connection, flow, "refused")
        del self.open[part]
        for serial in self._expected(part):
            owner, _, _, of = self.twin[serial]
            self.twin[serial] = (owner, None, False, of)

    @rule(data=st.data(), shift=st.integers(-6, 6))
    def answer(self, data: st.DataObject, shift: int) -> None:
        """The registry retires what it likes: as many serials, in up to two ranges."""
        part = self._part(data)
        if part is None:
            return
        mine = self._expected(part)
        at = min(max(0, mine[0] + shift), MOST - len(mine))
        cut = data.draw(st.integers(0, len(mine) - 1))
        jump = data.draw(st.integers(0, 5)) if cut else 0
        said = [*range(at, at + cut), *range(at + cut + jump, at + len(mine) + jump)]
        spans = [(at, at + cut - 1)] if cut else []
        spans.append((at + cut + jump, at + len(mine) + jump - 1))
        heard = Answer(
            f"led-{part}",
            AnswerState.DONE,
            "R-1",
            tuple(self.serials(*span) for span in reversed(spans)),
            DAY,
        )
        of = self.twin[mine[0]][3]
        true = all(
            serial in self.twin and not self.twin[serial][2] and self.twin[serial][3] == of
            for serial in said
        )
        flow = Flows(self.database).get(ledger.LEDGER_RETIREMENT, part)
        try:
            with self.database.begin() as connection:
                ledger.record(connection, flow, heard)
            assert true
        except InvalidValue:
            assert not true
            return
        owner = self.twin[mine[0]][0]
        strangers = [serial for serial in said if self.twin[serial][1] != part]
        unused = [serial for serial in mine if serial not in said]
        for serial, other in zip(strangers, unused, strict=True):
            self.twin[other] = self.twin[serial]
        for serial in said:
            self.twin[serial] = (owner, part, True, of)
        del self.open[part]

    # ── what is so ───────────────────────────────────────────────────────────────────────────

    @invariant()
    def every_serial_is_where_the_twin_has_it(self) -> None:
        with self.database.read() as connection:
            found = kept.pieces(connection, account=self.account)
        listed = [
            (serial, (piece.owner, piece.part, piece.retired, piece.kept_class))
            for piece in found
            for serial in range(piece.serials.first, piece.serials.last + 1)
        ]
        assert dict(listed) == self.twin
        assert len(listed) == len(self.twin)
        self._nobody_lost_or_gained_a_tonne(found)

    def _nobody_lost_or_gained_a_tonne(self, found: list[ledger.Piece]) -> None:
        for owner, of in itertools.product((ANA, BO), CLASSES):
            mine = [piece for piece in found if piece.kept_class == of]
            has = sum(piece.serials.tonnes for piece in mine if piece.owner == owner)
            gave = sum(p.serials.tonnes for p in mine if self.brought[p.deposit] == owner)
            assert has == gave

    def _part(self, data: st.DataObject, least: int = 1) -> str | None:
        fit = sorted(part for part in self.open if len(self._expected(part)) >= least)
        return data.draw(st.sampled_from(fit)) if fit else None

    def _expected(self, part: str) -> list[int]:
        return sorted(serial for serial, state in self.twin.items() if state[1] == part)

    def _parts_ever(self, reference: str) -> int:
        with self.database.read() as connection:
            return len(kept.get_retirement(connection, reference).parts) - 1


def test_every_serial_is_in_one_place_whatever_registries_answer(
    module_database: Database,
) -> None:
    class Machine(LedgerMachine):
        database = module_database

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=6,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_l4_no_program_changes_a_retired_serial(module_database: Database) -> None:
    serials = SerialRange("CCER:FINAL", 0, 9)
    order = RetirementOrder("final", ANA, "CCER:FINAL", (serials,), SAID.hash)
    answer = Answer("led-final", AnswerState.DONE, "R-1", (serials,), DAY)
    with module_database.begin() as connection:
        ledger.keep(connection, "final", "CCER:FINAL", ANA, [(serials, CLASSES[0])], 1)
        ledger.take_order(connection, order, SAID, b"s", 1, 9)
    with module_database.begin() as connection:
        flow = Flows(module_database).get(ledger.LEDGER_RETIREMENT, "final:1")
        ledger.record(connection, flow, answer)
    for act in (
        "UPDATE ledger_blocks SET retired = false WHERE owner = :owner",
        "DELETE FROM ledger_blocks WHERE owner = :owner AND part = 'final:1'",
        "UPDATE ledger_retired SET serials = '[]' WHERE part = 'final:1'",
    ):
        with (
            pytest.raises(IntegrityError, match="never changes"),
            module_database.begin() as connection,
        ):
            connection.execute(text(act), {"owner": ANA})
    with module_database.read() as connection:
        assert kept.get_retirement(connection, "final").state == "confirmed"


def test_l2_what_is_kept_gets_no_receipt_and_what_has_one_is_not_kept(
    module_database: Database,
) -> None:
    # A programme whose mode changes must not make tokens of what somebody owns in the ledger.
    save(module_database, [row(700_001, 700_040)], "both")
    mine, theirs = (SerialRange(str(VCS), at, at + 9) for at in (700_001, 700_021))

    def keep(serials: SerialRange) -> None:
        with module_database.begin() as connection:
            reference = f"both-{serials.first}"
            ledger.keep(connection, reference, "VCS:1", ANA, [(serials, CLASSES[0])], 1)

    custody = Custody(module_database)
    keep(mine)
    with pytest.raises(SerialsOverlap, match="of the ledger"):
        custody.draft(receipt((700_010, 700_015)), CHAIN, TRUST)
    custody.draft(receipt((700_025, 700_035)), CHAIN, TRUST)
    with pytest.raises(SerialsOverlap, match="in trust"):
        keep(theirs)
