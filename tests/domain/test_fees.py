"""Fee schedules: the vectors of the published tables, the edges of tiers, what is not known."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.fees import MILLS, Occasion, Quote, Volume, money, quote
from backend.errors import InvalidValue, NotFound
from backend.registries.fee_schedules import fee_schedules, parse_schedules

pytestmark = pytest.mark.unit

DAY = date(2022, 6, 1)
VALIDATION = {"validation and monitoring": 40_000 * MILLS}


def of(programme: str, occasion: Occasion, tonnes: int = 72_000, **more: Any) -> Quote:
    volume = Volume(tonnes, more.pop("before", 0))
    return quote(fee_schedules(), programme, occasion, volume, more.pop("on", DAY), **more)


@pytest.mark.parametrize(
    ("programme", "variant", "total"),
    [("VCS", "", 56_880), ("ACR", "acr", 52_300), ("PLAN_VIVO", "", 70_300)],
)
def test_the_example_of_72_000_t_with_40_000_for_validation(
    programme: str, variant: str, total: int
) -> None:
    found = of(programme, Occasion.PROJECT, variant=variant, extra=VALIDATION)
    assert found.total_mills == total * MILLS
    assert found.total_cents == total * 100
    assert found.is_complete


@pytest.mark.parametrize(
    ("programme", "total"), [("VCS", 9_180), ("ACR", 10_800), ("PLAN_VIVO", 25_200)]
)
def test_the_issuance_of_72_000_t(programme: str, total: int) -> None:
    assert of(programme, Occasion.ISSUANCE).total_mills == total * MILLS


def test_the_printed_51_300_of_acr_is_its_lines_without_the_registration() -> None:
    found = of("ACR", Occasion.PROJECT, variant="acr", extra=VALIDATION)
    registration = next(line.mills for line in found.lines if line.name == "registration")
    assert registration is not None
    assert found.total_mills - registration == 51_300 * MILLS
    carb = of("ACR", Occasion.PROJECT, variant="carb", extra=VALIDATION)
    assert carb.total_mills - found.total_mills == 6_500 * MILLS


def test_the_registration_of_vcs_is_capped_and_credited_later() -> None:
    lines = {line.name: line.mills for line in of("VCS", Occasion.PROJECT, 72_000).lines}
    assert lines["registration"] == 7_200 * MILLS
    large = of("VCS", Occasion.PROJECT, 100_001)
    assert {line.name: line.mills for line in large.lines}["registration"] == 10_000 * MILLS
    assert any("credited against later issuance" in note for note in large.notes)


@pytest.mark.parametrize(
    ("tonnes", "mills"),
    [
        (0, 0),
        (1, 50),
        (10_000, 500_000),
        (10_001, 500_140),
        (1_000_000, 500_000 + 990_000 * 140),
        (1_000_001, 500_000 + 990_000 * 140 + 120),
    ],
)
def test_the_edges_of_marginal_tiers(tonnes: int, mills: int) -> None:
    assert of("VCS", Occasion.ISSUANCE, tonnes).total_mills == mills


@pytest.mark.parametrize(
    ("tonnes", "mills"),
    [(50_000, 50_000 * 400), (50_001, 50_001 * 350), (250_000, 250_000 * 350),
     (250_001, 250_001 * 300)],
)  # fmt: skip
def test_a_slab_prices_every_tonne_alike(tonnes: int, mills: int) -> None:
    assert of("PLAN_VIVO", Occasion.ISSUANCE, tonnes).total_mills == mills


@given(st.lists(st.integers(0, 3_000_000), max_size=6))
def test_marginal_fees_of_parts_add_up_to_that_of_the_whole(parts: list[int]) -> None:
    before, total = 0, 0
    for part in parts:
        total += of("VCS", Occasion.ISSUANCE, part, before=before).total_mills
        before += part
    assert total == of("VCS", Occasion.ISSUANCE, before).total_mills


@given(st.integers(0, 20_000_000))
def test_marginal_tiers_equal_a_count_of_rates(tonnes: int) -> None:
    """A twin without tiers: how many tonnes lie above each threshold, and by how much it falls."""
    edges = [0, 10_000, 10**6, 2 * 10**6, 4 * 10**6, 6 * 10**6, 8 * 10**6, 10**7]
    rates = [50, 140, 120, 105, 85, 60, 40, 25]
    twin = sum(
        max(0, tonnes - edge) * (rate - before)
        for edge, rate, before in zip(edges, rates, [0, *rates], strict=False)
    )
    assert of("VCS", Occasion.ISSUANCE, tonnes).total_mills == twin


def test_what_no_source_says_is_unknown_and_not_in_the_total() -> None:
    found = of("VCS", Occasion.RETIREMENT)
    assert not found.is_complete
    assert found.total_mills == 0
    assert any("no source says how much" in note for note in found.notes)
    acr = of("ACR", Occasion.RETIREMENT, 1_000)
    assert acr.total_mills == 150_000
    assert of("ACR", Occasion.RETIREMENT, 1_000, activated=True).total_mills == 0
    assert of("ACR", Occasion.DELIVERY, 1_000).total_mills == 150_000


def test_cents_are_rounded_up() -> None:
    found = of("VCS", Occasion.ISSUANCE, 2_000_001)
    assert found.total_mills % 10 != 0
    assert found.total_cents == found.total_mills // 10 + 1


def test_a_day_without_a_schedule_and_a_variant_that_is_none_are_refused() -> None:
    with pytest.raises(NotFound, match="2020-04-01"):
        of("VCS", Occasion.ISSUANCE, on=date(2020, 3, 31))
    with pytest.raises(NotFound, match="those of"):
        of("GS", Occasion.ISSUANCE)
    with pytest.raises(InvalidValue, match="variant"):
        of("ACR", Occasion.PROJECT)
    with pytest.raises(InvalidValue, match="variant"):
        of("VCS", Occasion.PROJECT, variant="acr")


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda s: s["fees"][2].update(tiers=[]), "issuance.tiers"),
        (lambda s: s["fees"][2]["tiers"].pop(), "issuance.tiers"),
        (lambda s: s["fees"][2]["tiers"].reverse(), "issuance.tiers"),
        (lambda s: s["fees"][0].update(mills=-1), "account.mills"),
        (lambda s: s["fees"][0].update(mills=0.5), "fees[0].mills"),
        (lambda s: s["fees"][0].update(of=["ACR"]), "account.of"),
        (lambda s: s["fees"][0].update(typo=1), "fees[0].typo"),
        (lambda s: s.update(programme="ACR"), "valid_from"),
    ],
)
def test_a_schedule_of_another_form_names_the_place(
    spoil: Callable[[dict[str, Any]], object], place: str
) -> None:
    root = Path(__file__).resolve().parents[2]
    document = json.loads((root / "backend" / "registries" / "fees.json").read_text())
    assert parse_schedules(copy.deepcopy(document))
    spoil(document["schedules"][0])
    with pytest.raises(InvalidValue) as caught:
        parse_schedules(document)
    assert place in caught.value.field


def test_money_is_shown_exactly() -> None:
    assert (money(9_180_000), money(105), money(0)) == ("9,180.00", "0.105", "0.00")
