"""Oddities of registries' exports, each with the rule that takes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from backend.domain.credits import (
    BlockRecord,
    ProjectRecord,
    Status,
    VolumeRecord,
    bars_to_tokens,
)
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue, UnmappedLabel
from backend.registries import acr, holding, puro
from backend.registries.cells import (
    amount,
    kilograms,
    literals,
    prefixed,
    us_date,
    worded_date,
    year,
)
from backend.registries.labels import cohort_of, credit_class
from backend.registries.summary import dry_run, load
from tests.registries.exports import SAMPLES, changed

pytestmark = pytest.mark.unit


def blocks(layout: str) -> tuple[BlockRecord, ...]:
    return load(SAMPLES / f"sample-{layout}.csv").records


def volumes(layout: str) -> tuple[VolumeRecord, ...]:
    return load(SAMPLES / f"sample-{layout}.csv").volumes


def projects(layout: str) -> tuple[ProjectRecord, ...]:
    return load(SAMPLES / f"sample-{layout}.csv").projects


# ── cells ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (us_date, "3/9/2026 4:16:10 PM", date(2026, 3, 9)),
        (us_date, "12/31/2025 12:00:05 AM", date(2025, 12, 31)),
        (us_date, "03/09/2026", date(2026, 3, 9)),
        (worded_date, "01 Jan 2020", date(2020, 1, 1)),
        (amount, "79565.0", 79_565),
        (amount, "1,454,054", 1_454_054),
        (amount, "", 0),
        (amount, "0.0", 0),
        (kilograms, "6.37", 6_370),
        (kilograms, "0.019", 19),
        (kilograms, "31.0", 31_000),
        (kilograms, "5", 5_000),
        (year, "2024.0", 2024),
    ],
)
def test_a_cell_is_read_as_registries_write_it(
    parse: Callable[[str, str], object], text: str, value: object
) -> None:
    assert parse("cell", text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (us_date, "13/1/2025"),
        (us_date, "3/9/2026 16:16:10"),
        (us_date, "3/9/2026 4:16:10 pm"),
        (us_date, "3/9/26"),
        (worded_date, "1 Jan 2020"),
        (worded_date, "01 January 2020"),
        (amount, "79565.5"),
        (kilograms, "6.3701"),
        (kilograms, ".5"),
        (year, "24"),
        (literals, "__import__('os')"),
        (literals, "{'a': 1}"),
        (literals, "[1"),
    ],
)
def test_a_cell_that_means_something_else_is_refused(
    parse: Callable[[str, str], object], text: str
) -> None:
    with pytest.raises(InvalidValue):
        parse("cell", text)


def test_an_id_must_begin_with_its_registrys_name() -> None:
    assert prefixed("Project ID", "ACR731", "ACR") == 731
    for text in ("731", "CAR731", "ACR", "ACR0731", "ACR7 31"):
        with pytest.raises(InvalidValue):
            prefixed("Project ID", text, "ACR")


# ── APX: ACR, CAR, ART, and ARB ──────────────────────────────────────────────────────────────


def test_headers_of_two_spaces_and_columns_without_a_name_are_as_the_registries_write_them() -> (
    None
):
    for layout, column in (
        ("acr-cancellations", "Status Effective  (GMT)"),
        ("art-projects", "Program  Country"),
    ):
        header = (SAMPLES / f"sample-{layout}.csv").read_text("utf-8").split("\n")[0]
        assert column in header
        assert header.endswith(",")


def test_older_texts_of_acr_join_with_a_hyphen_and_name_the_same_serials() -> None:
    older = acr.parse_serial("ACR-US-192-2010-203-1-5000")
    newer = acr.parse_serial("ACR-US-192-2010-203-1 to 5000")

    assert older.interval == newer.interval == Interval(Series("ACR", (192, 2010, 203)), 1, 5000)
    assert str(older) == "ACR-US-192-2010-203-1-5000"
    assert older != newer


def test_a_conversion_is_a_move_and_a_removal_is_an_end() -> None:
    found = [(one.status, one.facts.moved_to) for one in blocks("acr-cancellations")]

    assert set(found) == {
        (Status.MOVED, "ARB"),
        (Status.MOVED, "ECY"),
        (Status.CANCELLED, ""),
    }
    assert {one.status for one in blocks("car-cancellations")} == {Status.MOVED}
    shown, _ = dry_run(SAMPLES / "sample-acr-cancellations.csv")
    assert shown["retired_tonnes"] is None
    assert (shown["moved_tonnes"], shown["cancelled_tonnes"]) == (4_008, 1_002)


def test_a_reason_nobody_knows_is_neither_a_move_nor_an_end(tmp_path: Path) -> None:
    path = changed(tmp_path, "sample-car-cancellations.csv", 1, {"Cancellation Reason": "VCS"})

    [rejection] = load(path).summary.rejected

    assert (rejection.field, rejection.value) == ("Cancellation Reason", "VCS")
    assert "a move or an end?" in rejection.rule


def test_a_cancellation_for_corsia_is_a_use() -> None:
    assert {(one.status, one.facts.use_case) for one in blocks("art-cancellations")} == {
        (Status.RETIRED, "CORSIA")
    }


def test_totals_of_issuances_are_the_sums_of_their_parts() -> None:
    for layout in ("acr-issuances", "art-issuances", "isometric-issuances"):
        for volume in volumes(layout):
            parts = dict(volume.parts)
            assert volume.kilograms == parts.get("project", 0) + parts.get("buffer", 0)


def test_a_reporting_period_without_credits_says_so() -> None:
    assert [volume.kilograms == 0 for volume in volumes("car-issuances")] == [*[False] * 5, True]


def test_the_columns_that_are_labels_make_the_cohort() -> None:
    assert credit_class(blocks("acr-retirements")[2]).cohort == (
        "ccp", "corsia-eligible", "corsia-pilot-phase-eligible", "removal",
    )  # fmt: skip
    assert credit_class(blocks("car-retirements")[3]).cohort == ("ccp", "removal", "reversible")
    assert credit_class(blocks("art-cancellations")[0]).cohort == (
        "corsia-eligible", "corsia-first-phase-eligible", "corsia-pilot-phase-eligible",
    )  # fmt: skip
    assert cohort_of("ACR", ["CCP Approved: No", "ARB Eligible: No"]) == ()


def test_a_value_nobody_has_seen_in_a_column_of_labels_bars_the_class(tmp_path: Path) -> None:
    path = changed(tmp_path, "sample-acr-retirements.csv", 1, {"CCP Approved": "Pending"})
    loaded = load(path)

    assert loaded.summary.rejected == ()
    assert loaded.summary.unmapped_labels == {"CCP Approved: Pending": 1}
    with pytest.raises(UnmappedLabel):
        credit_class(loaded.records[0])


def test_arb_keeps_rows_that_issue_nothing() -> None:
    empty = [volume for volume in volumes("arb-issuances") if not volume.kilograms]

    assert [volume.reference for volume in empty] == [
        "CAFR99001-C-(zero)", "CAFR99001 | 4", "CAFR99001-(reversal)", "CAFR99001-E",
    ]  # fmt: skip
    assert empty[1].parts == (("reversed", 27_150_000),)
    assert empty[3].facts.note == "reforest defer"
    first = volumes("arb-issuances")[0]
    assert dict(first.parts)["retired_period_4"] == 20_000_000
    assert first.facts.moved_from == "ACR990001"


# ── Cercarbono, Isometric ────────────────────────────────────────────────────────────────────


def test_cercarbonos_buffers_are_marked_in_the_prefix_and_are_not_issued_to_anybody() -> None:
    found = {volume.reference: volume.status for volume in volumes("cercarbono-issuances")}

    assert {ref for ref, status in found.items() if status is Status.BUFFER} == {
        ref for ref in found if "_BF" in ref
    }
    assert "CDC_R_9903_1_1_321_14_CO_1_2_2017" in found
    assert {volume.project for volume in volumes("cercarbono-issuances")} == {
        "9901", "9902", "9903",
    }  # fmt: skip


def test_a_buffers_column_may_not_contradict_its_prefix(tmp_path: Path) -> None:
    path = changed(tmp_path, "sample-cercarbono-issuances.csv", 1, {"is_buffer": "True"})

    [rejection] = load(path).summary.rejected

    assert rejection.field == "is_buffer"


def test_cercarbono_counts_from_0_and_a_hidden_name_is_no_beneficiary() -> None:
    records = blocks("cercarbono-retirements")

    assert records[0].interval == Interval(
        Series("CERCARBONO", (), "CDC_9901_1_1_321_14_1"), 0, 999
    )
    assert records[0].facts.beneficiary == ""
    assert records[0].facts.note == "Not public"
    assert records[2].facts.beneficiary


def test_a_vintage_of_two_dates_is_both() -> None:
    first = volumes("cercarbono-issuances")[0]

    assert (first.vintage_start, first.vintage_end) == (date(2010, 1, 1), date(2018, 9, 30))


def test_isometric_retires_single_kilograms_and_both_units_must_agree(tmp_path: Path) -> None:
    assert volumes("isometric-retirements")[0].kilograms == 19
    cells = {"credit_batch_size_total.credits": "0.02"}
    path = changed(tmp_path, "sample-isometric-retirements.csv", 1, cells)

    [rejection] = load(path).summary.rejected

    assert rejection.rule == "is not 0.02 credits"


# ── Causeway's own layouts ───────────────────────────────────────────────────────────────────


def test_both_grammars_of_puro_name_their_own_spaces() -> None:
    new = puro.parse_serial(
        "PURO_PR_CORC100+_FI_577166_2020_00112233-4455-6677-8899-aabbccddeeff_1-100"
    )
    old = puro.parse_serial("643002406555908610000000140219-643002406555908610000000140220")

    assert str(new.interval) == "PURO:00112233-4455-6677-8899-aabbccddeeff/1-100"
    assert str(old.interval) == "PURO:643002406555908610/140219-140220"


def test_credits_of_ledger_programmes_are_held_under_the_issuers_text() -> None:
    for layout in ("ccer-holdings", "phcer-holdings"):
        records = blocks(layout)
        assert len({record.interval.series for record in records}) == 2
        assert not any(record.interval.series.on_chain for record in records)


@pytest.mark.parametrize("programme", ["gold-standard", "acr", "car", "art"])
def test_a_holding_is_of_the_class_that_the_registrys_own_reports_make(programme: str) -> None:
    for record in blocks(f"{programme}-holdings"):
        made = credit_class(record)
        project, year, batch = record.interval.series.codes
        assert (made.project, record.batch) == (str(project), batch)
        assert (made.vintage_start, made.vintage_end) == (date(year, 1, 1), date(year, 12, 31))
        assert made.cohort
        assert bars_to_tokens(
            record.interval.series, record.status, made.vintage_start, (), "2"
        ) == ([] if record.status is Status.ACTIVE else ["status is retired"])


def test_a_holdings_vintage_is_the_serials_year(tmp_path: Path) -> None:
    cells = {"Vintage End": "2024-06-30"}
    [rejection] = load(changed(tmp_path, "sample-acr-holdings.csv", 1, cells)).summary.rejected

    assert (rejection.field, rejection.rule) == ("Vintage End", "is not that of the vintage 2024")


def test_a_text_typed_in_full_width_is_refused_with_what_to_write() -> None:
    with pytest.raises(InvalidValue, match="write 'CCER-2024-01'"):
        holding.canonical("CCER Serial Text", "ＣＣＥＲ－２０２４－０１")


# ── lists of projects ────────────────────────────────────────────────────────────────────────


def test_both_lists_of_verra_say_the_same_of_a_project() -> None:
    older, newer = projects("verra-projects")[1], projects("verra-projects-2026")[1]

    assert (SAMPLES / "sample-verra-projects-2026.csv").read_bytes().startswith(b'\xef\xbb\xbf"')
    for name in ("project", "name", "developer", "country", "registered_on", "crediting_start",
                 "crediting_end", "estimated_annual_tonnes"):  # fmt: skip
        assert getattr(older, name) == getattr(newer, name)
    # The newer joins a list by what its entries may hold, so it stays one text.
    assert newer.goals == ("13, Climate Action",)


def test_a_gold_standard_project_is_its_gsid_and_not_what_its_name_begins_with() -> None:
    for project in projects("gold-standard-projects"):
        assert project.project in ("990101", "990102", "990103", "990104")
        assert project.name.startswith("GS990199-VPA-")
        assert project.programme_of_activities in ("", "990199")


def test_a_project_states_its_ids_under_other_programmes() -> None:
    assert {one for project in projects("acr-projects") for one in project.cross_listings} == {
        "ARB:CAFR99001", "ECY:ECYOD99002",
    }  # fmt: skip
    assert {one for project in projects("car-projects") for one in project.cross_listings} == {
        "ARB:CAFR99010", "ECY:ECYOD99011",
    }  # fmt: skip


def test_a_project_without_a_voluntary_status_has_that_of_the_compliance_programme() -> None:
    assert {project.status for project in projects("acr-projects")} == {
        "Registered", "ARB Completed",
    }  # fmt: skip
