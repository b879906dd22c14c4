"""Cells, labels and overlaps: hostile texts and files never raise."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.domain.credits import BlockRecord
from backend.domain.serials import Interval, Series
from backend.errors import CausewayError, InvalidValue, UnknownLayout, UnmappedLabel
from backend.registries import labels, verra
from backend.registries.cells import (
    amount,
    either_date,
    iso_date,
    kilograms,
    literals,
    prefixed,
    texts_of,
    us_date,
    whole_number,
    worded_date,
    year,
)
from backend.registries.labels import CODES, VERSION, cohort_of
from backend.registries.summary import load, overlaps_among
from tests.registries.exports import BY_LAYOUT, SAMPLES, VERRA, accepted

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("batch", "segment", "rule"),
    [
        (8158, "", None),
        (8158, "-VCS", "has the segment VCS, which batch 8158 cannot have"),
        (8164, "-VCS", None),
        (8164, "", "lacks the segment VCS that batch 8164 has"),
        (8160, "", None),
        (8160, "-VCS", None),
    ],
)
def test_the_segment_vcs_belongs_to_batches_from_8164_on(
    batch: int, segment: str, rule: str | None
) -> None:
    text = f"{batch}-1-9{segment}-VCU-016-MER-ZZ-1-990001-01012020-31122020-0"

    read = _read_or_refused(verra.parse_serial, text)

    assert (read.rule if isinstance(read, InvalidValue) else None) == rule
    assert isinstance(read, InvalidValue) or read.generation == (2 if segment else 1)


def _read_or_refused(parse: Callable[..., Any], *texts: str) -> Any:
    """What the text means, or the error that refuses it; any other error passes through."""
    try:
        return parse(*texts)
    except CausewayError as error:
        return error


@given(st.text())
@example("9" * 10_000)
@example("2020-02-30")
@example("31/02/2020")
@example("2/30/2024 1:02:03 PM")
@example("31 Feb 2020")
@example("[" * 10_000)
@example("-" * 10_000 + "1")
@example("[{'code': 1}]")
@example("1" * 5_000 + ".0")
def test_any_text_in_a_cell_is_a_value_or_an_invalid_value(text: str) -> None:
    for parse in (
        whole_number,
        iso_date,
        either_date,
        us_date,
        worded_date,
        amount,
        kilograms,
        year,
        literals,
        lambda field, cell: texts_of(field, cell, "code"),
        lambda field, cell: prefixed(field, cell, "ACR"),
    ):
        read = _read_or_refused(parse, "cell", text)
        assert not isinstance(read, CausewayError) or isinstance(read, InvalidValue)


_SOURCES = {layout: (SAMPLES / sample).read_bytes() for layout, sample in BY_LAYOUT.items()}
_NOISE = st.sampled_from(
    [
        b'"',
        b",",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"\xe2\x80",
        b'""',
        b"-",
        b"0",
        b";",
        b"\xef\xbb\xbf",
    ]
)


@given(
    st.sampled_from(sorted(_SOURCES)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), _NOISE | st.binary(max_size=4)),
             max_size=12),
)  # fmt: skip
@settings(max_examples=150)
def test_a_damaged_export_never_raises_and_every_row_is_accepted_or_rejected(
    layout: str, damage: list[tuple[float, int, bytes]]
) -> None:
    content = _SOURCES[layout]
    for where, length, noise in damage:
        place = int(where * len(content))
        content = content[:place] + noise + content[place + length :]
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(content)
        file.flush()
        loaded = _read_or_refused(load, file.name)
    if isinstance(loaded, CausewayError):
        assert isinstance(loaded, UnknownLayout)
        return
    summary = loaded.summary
    assert summary.rows == summary.accepted + len(summary.rejected)
    kept = accepted(loaded)
    assert summary.accepted == len(kept)
    numbered = [r.row for r in kept] + [r.row for r in summary.rejected]
    assert sorted(numbered) == list(range(1, summary.rows + 1))
    places = sorted([(r.row, r.line) for r in kept]
                    + [(r.row, r.line) for r in summary.rejected])  # fmt: skip
    lines = [line for _, line in places]
    assert lines == sorted(set(lines))
    for record in loaded.records:
        assert record.tonnes > 0
    for rejection in summary.rejected:
        assert rejection.field
        assert rejection.rule
        rejection.value.encode("utf-8")


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 12), st.integers(1, 2)), max_size=25))
def test_the_sweep_finds_exactly_the_pairs_that_comparing_all_finds(
    spans: list[tuple[int, int, int]],
) -> None:
    records = _records(spans)
    naive = {
        (a.row, b.row)
        for a in records
        for b in records
        if a.row < b.row and a.interval.overlaps(b.interval)
    }

    found = overlaps_among(records)

    assert {(min(o.a.row, o.b.row), max(o.a.row, o.b.row)) for o in found} == naive
    assert len(found) == len(naive)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 12), st.integers(1, 2)), max_size=25),
    st.integers(0, 5),
)
def test_beyond_its_bound_the_sweep_still_names_every_overlapping_row(
    spans: list[tuple[int, int, int]], limit: int
) -> None:
    records = _records(spans)
    found = overlaps_among(records, limit)

    for pair in found:
        assert pair.a.interval.overlaps(pair.b.interval)
    overlapping = {
        r.row for r in records for o in records if o is not r and o.interval.overlaps(r.interval)
    }
    later = {pair.b.row for pair in found}
    assert {pair.a.row for pair in found} | later <= overlapping
    full = {pair.b.row for pair in overlaps_among(records)}
    assert later == full


def _records(spans: list[tuple[int, int, int]]) -> list[BlockRecord]:
    model = load(SAMPLES / VERRA).records[0]
    return [
        replace(model, interval=Interval(Series("VCS", (series,)), first, first + more), row=row)
        for row, (first, more, series) in enumerate(spans, 1)
    ]


def test_a_label_that_is_not_in_the_table_is_reported_with_all_others() -> None:
    with pytest.raises(UnmappedLabel) as caught:
        cohort_of("VCS", ["ICVCM CCP", "New one", "Another"])
    assert caught.value.values == {
        "programme": "VCS", "labels": ["Another", "New one"], "version": VERSION,
    }  # fmt: skip
    with pytest.raises(UnmappedLabel):
        cohort_of("XYZ", ["ICVCM CCP"])


def test_a_cohort_is_the_set_of_all_codes_in_order_and_none_is_left_out() -> None:
    assert cohort_of("VCS", []) == ()
    assert cohort_of("GS", ["Not Applicable"]) == ()
    assert cohort_of("GS", ["ICVCM CCP", "Emission Reduction", "Not Applicable"]) == (
        "ccp",
        "reduction",
    )
    # Two spellings of one label are one code.
    assert cohort_of(
        "VCS",
        ["CORSIA - Pilot Phase, 2021-2023 Eligible", "CORSIA – Pilot Phase, 2021-2023 Eligible"],
    ) == ("corsia-pilot-phase-eligible",)


def test_the_table_of_labels_maps_only_to_codes_it_explains() -> None:
    text = (Path(labels.__file__).parent / "labels.json").read_text(encoding="utf-8")
    loaded = json.loads(text)
    used = {code for table in loaded["programmes"].values() for code in table.values() if code}

    assert used == set(CODES)
    assert all(code == code.lower() and " " not in code for code in CODES)
