"""What programmes allow: the committed table, the deployment's file, and the reasons against."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from backend.domain.capabilities import (
    QUESTIONS,
    Known,
    Mode,
    Statement,
    bars_to_custody,
    bars_to_delivery,
    bars_to_receipt,
    bars_to_retirement,
    require,
)
from backend.domain.instruction_rules import breaches, check_instruction
from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.registry_requests import HeldBlock, RegistryAccount, SerialRange
from backend.domain.serials import SERIES_RULES
from backend.errors import InvalidValue, NotFound, ProgrammeForbids
from backend.registries.custody_file import load_custody, parse_custody, sample_text
from backend.registries.programmes import parse_programmes, programme_data, programmes

pytestmark = pytest.mark.unit

DAY = date(2026, 6, 1)
SERIALS = SerialRange("VCS:2", 100, 199)
BLOCK = HeldBlock("B-1", SERIALS, "900001", date(2023, 1, 1), date(2023, 12, 31))


def sample() -> Any:
    return json.loads(sample_text())


# ── the committed table ──────────────────────────────────────────────────────────────────────


def test_the_seven_programmes_of_the_mission_and_more_answer_every_question() -> None:
    assert {"VCS", "GS", "ACR", "CAR", "CDM", "CCER", "PHCER"} <= programmes().keys()
    for found in programmes().values():
        assert found.capabilities.answers.keys() == QUESTIONS.keys()


def test_only_what_has_a_series_on_chain_can_be_a_token() -> None:
    tokens = {code for code, one in programmes().items() if one.capabilities.mode is Mode.TOKEN}
    assert tokens == SERIES_RULES.keys() - {"CDM"}
    for code in ("CDM", "CCER", "PHCER", "CERCARBONO", "ISOMETRIC"):
        assert programmes()[code].capabilities.mode is Mode.LEDGER


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda one: one["answers"].pop("transfer"), "VCS.transfer"),
        (lambda one: one["answers"].update(colour=["yes", "x"]), "VCS.colour"),
        (lambda one: one["answers"].update(transfer=["maybe", "x"]), "answers.transfer"),
        (lambda one: one["answers"].update(transfer="yes"), "answers.transfer"),
        (lambda one: one["answers"].update(transfer=["yes", ""]), "VCS.transfer.source"),
        (lambda one: one.update(mode="coin"), "programmes[0].mode"),
        (lambda one: one.update(extra=1), "programmes[0].extra"),
        (lambda one: one["retirement"].update(beneficiary_required=1), "beneficiary_required"),
        (lambda one: one["retirement"].update(use_of={"No reason": "voluntary"}), "use_of"),
        (lambda one: one["retirement"].update(sources=[]), "sources"),
    ],
)
def test_a_table_of_another_form_names_the_place(
    spoil: Callable[[dict[str, Any]], object], place: str
) -> None:
    path = Path(__file__).resolve().parents[2] / "backend" / "registries" / "programmes.json"
    document = json.loads(path.read_text())
    assert parse_programmes(copy.deepcopy(document))
    spoil(document["programmes"][0])
    with pytest.raises(InvalidValue) as caught:
        parse_programmes(document)
    assert place in caught.value.field


# ── the deployment's file ────────────────────────────────────────────────────────────────────


def test_the_sample_file_is_marked_as_one_and_holds() -> None:
    custody = load_custody(None)
    assert custody.is_sample
    assert all(one.is_sample and "SAMPLE" in one.text for one in custody.trusts)
    trust = custody.trust("sample-vcs")
    assert custody.trust_of(trust.account_id) == trust == custody.open_trust("VCS", DAY)
    assert custody.trust("VCS:SAMPLE-1001/1") == trust
    with pytest.raises(NotFound):
        custody.trust("nobody")
    with pytest.raises(NotFound):
        custody.open_trust("ACR", DAY)


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda d: d.update(version=2), "custody.version"),
        (lambda d: d["trusts"][0].pop("trustee"), "trusts[0].trustee"),
        (lambda d: d["trusts"][0].update(trustee=" "), "trusts[0].trustee"),
        (lambda d: d["trusts"][0].update(programme="XYZ"), "trusts[0].programme"),
        (lambda d: d["trusts"][0].update(terms=""), "trusts[0].text"),
        (lambda d: d["trusts"][0].update(opened_on="1 May"), "trusts[0].opened_on"),
        (lambda d: d["trusts"][0].update(closed_on="2019-01-01"), "trusts[0].closed_on"),
        (lambda d: d["trusts"][0].update(typo=1), "trusts[0].typo"),
        (lambda d: d["trusts"][0]["consent"].update(until="2000-01-01"), "consent.until"),
        (lambda d: d["trusts"][0].update(successor="sample-gs"), "trusts.successor"),
        (lambda d: d["trusts"].append(d["trusts"][0]), "trusts.name"),
        (lambda d: d["trusts"].append(d["trusts"][0] | {"name": "x"}), "trusts.account"),
        (lambda d: d["registries"][0].update(channel="http"), "registries[0].url"),
        (lambda d: d["registries"][0].update(task_hours=0), "registries[0].task_hours"),
        (lambda d: d["registries"][0].update(service_hours=1), "registries[0].service_hours"),
        (lambda d: d["registries"][0].update(fees_passed_on=1), "registries[0].fees_passed_on"),
        (
            lambda d: d["statements"].append(
                {
                    "programme": "CCER",
                    "capability": "foreign_holders",
                    "answer": "yes",
                    "given_by": "x",
                    "document": "y",
                }
            ),
            "statement.foreign_holders",
        ),
    ],
)
def test_a_custody_file_of_another_form_names_the_place(
    spoil: Callable[[dict[str, Any]], object], place: str
) -> None:
    document = sample()
    spoil(document)
    with pytest.raises(InvalidValue) as caught:
        parse_custody(document)
    assert place in caught.value.field


def test_a_file_that_is_none_is_refused_by_its_setting(tmp_path: Path) -> None:
    path = tmp_path / "custody.json"
    with pytest.raises(InvalidValue, match="CAUSEWAY_CUSTODY"):
        load_custody(path)
    path.write_text("{")
    with pytest.raises(InvalidValue, match="is not JSON"):
        load_custody(path)
    path.write_text(sample_text())
    assert load_custody(path) == load_custody(None)


# ── what is barred ───────────────────────────────────────────────────────────────────────────


def test_a_receipt_of_the_sample_account_is_allowed() -> None:
    custody = load_custody(None)
    trust, vcs = custody.trust("sample-vcs"), custody.programme("VCS", DAY)
    assert bars_to_receipt(vcs, trust, [SERIALS], DAY) == ()
    gold = custody.programme("GS", DAY)
    un_serials = SerialRange("CDM:RW", 1, 9)
    assert bars_to_receipt(gold, custody.trust("sample-gs"), [un_serials], DAY) == ()


def test_no_token_without_consent_nor_before_it_nor_after_it() -> None:
    custody = load_custody(None)
    trust, vcs = custody.trust("sample-vcs"), custody.programme("VCS", DAY)
    assert trust.consent is not None
    (bar,) = bars_to_receipt(vcs, replace(trust, consent=None), [SERIALS], DAY)
    assert "no consent" in bar
    ended = replace(trust, consent=replace(trust.consent, until=date(2026, 5, 31)))
    (bar,) = bars_to_receipt(vcs, ended, [SERIALS], DAY)
    assert "winding-down" in bar
    later = replace(trust, consent=replace(trust.consent, given_on=date(2026, 6, 2)))
    assert any("begins" in bar for bar in bars_to_receipt(vcs, later, [SERIALS], DAY))
    with pytest.raises(ProgrammeForbids) as caught:
        require("receipt", bars_to_receipt(vcs, ended, [SERIALS], DAY))
    assert len(caught.value.values["reasons"]) == 1


def test_gold_standard_holds_for_others_in_sub_accounts_only() -> None:
    custody = load_custody(None)
    trust = custody.trust("sample-gs")
    plain = replace(trust, account=replace(trust.account, sub_account=""))
    serials = [SerialRange("GS:1:2023:1", 1, 9)]
    (bar,) = bars_to_receipt(custody.programme("GS", DAY), plain, serials, DAY)
    assert "sub-accounts only" in bar


@pytest.mark.parametrize("programme", ["CDM", "CCER", "PHCER", "CERCARBONO", "ISOMETRIC"])
def test_a_ledger_programme_gets_custody_but_no_token(programme: str) -> None:
    custody = load_custody(None)
    trust = replace(custody.trust("sample-cdm"), account=RegistryAccount(programme, "1"))
    found = custody.programme(programme, DAY)
    assert bars_to_custody(found, trust, DAY) == ()
    serials = SerialRange(f"{programme}:X", 1, 9)
    assert any("ledger only" in bar for bar in bars_to_receipt(found, trust, [serials], DAY))


def test_what_is_unknown_bars_until_it_is_stated() -> None:
    document = sample()
    document["trusts"][0].update(programme="ACR")
    trust = parse_custody(document).trusts[0]
    serials = [SerialRange("ACR:1:2020:1", 1, 9)]
    bars = bars_to_receipt(parse_custody(document).programme("ACR", DAY), trust, serials, DAY)
    assert [bar.split(" at ")[0] for bar in bars] == [
        QUESTIONS["sub_accounts"],
        QUESTIONS["holds_for_others"],
    ]
    for name in ("sub_accounts", "holds_for_others"):
        document["statements"].append(
            {
                "programme": "ACR",
                "capability": name,
                "answer": "yes",
                "given_by": "Sample registry",
                "document": "letter 1",
                "until": "2026-06-30",
            }
        )
    stated = parse_custody(document)
    assert bars_to_receipt(stated.programme("ACR", DAY), trust, serials, DAY) == ()
    after = date(2026, 7, 1)
    assert len(bars_to_receipt(stated.programme("ACR", after), trust, serials, after)) == 2


def test_a_statement_never_turns_a_known_answer() -> None:
    against = Statement("GS", "retirement_final", Known.NO, "somebody", "letter")
    with pytest.raises(InvalidValue, match="contradicts"):
        programme_data("GS").capabilities.with_statements([against], DAY)


def test_serials_of_another_programme_are_no_ground_for_a_receipt() -> None:
    custody = load_custody(None)
    serials = [SerialRange("ACR:1:2020:1", 1, 9)]
    (bar,) = bars_to_receipt(
        custody.programme("VCS", DAY), custody.trust("sample-vcs"), serials, DAY
    )
    assert "not a serial of VCS" in bar


def test_retirement_and_delivery_need_serials_inside_one_live_block() -> None:
    vcs = programme_data("VCS").capabilities
    account = RegistryAccount("VCS", "1", "2")
    part = SerialRange("VCS:2", 150, 199)
    assert bars_to_retirement(vcs, account, part, BLOCK) == ()
    assert bars_to_delivery(vcs, account, "9", part, BLOCK) == ()
    across = SerialRange("VCS:2", 150, 200)
    assert "one live block" in bars_to_retirement(vcs, account, across, BLOCK)[0]
    assert "one live block" in bars_to_delivery(vcs, account, "9", part, None)[0]
    assert "itself" in bars_to_delivery(vcs, account, "1/2", part, BLOCK)[0]


def test_a_programme_that_cannot_split_takes_whole_blocks_only() -> None:
    ccer = programme_data("CCER").capabilities
    account = RegistryAccount("CCER", "1")
    whole = SerialRange("CCER:X", 1, 10)
    block = replace(BLOCK, serials=whole)
    said = Statement("CCER", "retire_on_behalf", Known.YES, "x", "y")
    ccer = ccer.with_statements([said], DAY)
    assert bars_to_retirement(ccer, account, whole, block) == ()
    part = SerialRange("CCER:X", 1, 9)
    assert QUESTIONS["partial_retirement"] in bars_to_retirement(ccer, account, part, block)[0]


# ── instructions ─────────────────────────────────────────────────────────────────────────────


def instruction(programme: str, reason: str, **more: Any) -> RetirementInstruction:
    return RetirementInstruction(
        **{
            "programme": programme,
            "beneficiary": "Sample Ltd",
            "kind": BeneficiaryKind.ENTITY,
            "country": "HK",
            "use_case": UseCase.VOLUNTARY,
            "reason_code": reason,
        }
        | more
    )


CORSIA = {"use_case": UseCase.COMPLIANCE, "scheme": "CORSIA", "scheme_period": "2024-2026"}
NATIONAL = {
    "use_case": UseCase.COMPLIANCE,
    "scheme": "National ETS",
    "scheme_period": "2025",
    "country": "CN",
    "identifier": "91440000SAMPLE0001",
}


@pytest.mark.parametrize(
    "good",
    [
        instruction("VCS", "Environmental Benefit"),
        instruction("VCS", "Other", beneficiary="", country=""),
        instruction("VCS", "Other", **CORSIA),
        instruction("VCS", "Other", is_public=False, salt=b"\1" * 32),
        instruction("VCS", "Other", claim_start=date(2026, 1, 1), claim_end=date(2026, 12, 31)),
        instruction("GS", "Voluntary"),
        instruction("GS", "Compliance", **CORSIA),
        instruction("CAR", "On Behalf of Third Party"),
        instruction("ART", "CORSIA Compliance", **CORSIA),
        instruction("CDM", "any words of the holder"),
        instruction("CCER", "", country="CN", identifier="91440000SAMPLE0001"),
        instruction("PHCER", "", country="CN", kind=BeneficiaryKind.PERSON),
    ],
)
def test_an_instruction_the_programme_takes_breaks_nothing(good: RetirementInstruction) -> None:
    assert breaches(programme_data(good.programme).rules, good, DAY) == ()


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (instruction("GS", "Voluntary", beneficiary=" "), "beneficiary"),
        (instruction("GS", "Compliance"), "reason_code"),
        (instruction("GS", "Voluntary", **CORSIA), "reason_code"),
        (instruction("VCS", "Because"), "reason_code"),
        (instruction("VCS", "Other", country=""), "country"),
        (instruction("VCS", "Other", is_public=False), "salt"),
        (instruction("VCS", "Other", scheme="CORSIA"), "scheme"),
        (instruction("VCS", "Other", **CORSIA | {"scheme_period": "2030"}), "scheme_period"),
        (instruction("VCS", "Other", **CORSIA | {"scheme_period": ""}), "scheme_period"),
        (instruction("VCS", "Other", **CORSIA | {"scheme": "Own scheme"}), "scheme"),
        (
            instruction("VCS", "Other", claim_start=date(2026, 7, 1), claim_end=date(2026, 7, 2)),
            "claim_start",
        ),
        (
            instruction("CCER", "", country="CN", kind=BeneficiaryKind.PERSON, identifier="1"),
            "kind",
        ),
        (instruction("CCER", "", identifier="1"), "country"),
        (instruction("CCER", "", country="CN"), "identifier"),
        (instruction("CDM", "", **CORSIA), "use_case"),
        (instruction("ART", "CORSIA Compliance"), "reason_code"),
    ],
)
def test_an_instruction_the_programme_would_not_take_is_refused_before_the_signature(
    bad: RetirementInstruction, field: str
) -> None:
    rules = programme_data(bad.programme).rules
    assert field in [one.field for one in breaches(rules, bad, DAY)]
    with pytest.raises(ProgrammeForbids) as caught:
        check_instruction(rules, bad, DAY)
    assert field in caught.value.values["fields"]


def test_an_instruction_for_another_programme_is_refused() -> None:
    found = breaches(programme_data("GS").rules, instruction("VCS", "Voluntary"), DAY)
    assert [one.field for one in found] == ["programme"]


@pytest.mark.parametrize(
    ("filed_on", "fits"), [(None, False), (date(2017, 3, 13), False), (date(2017, 3, 14), True)]
)
def test_ccer_filed_before_14_march_2017_meets_no_national_obligation(
    filed_on: date | None, fits: bool
) -> None:
    rules = programme_data("CCER").rules
    assert (breaches(rules, instruction("CCER", "", **NATIONAL), DAY, filed_on) == ()) is fits
