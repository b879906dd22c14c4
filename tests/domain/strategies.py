"""Hypothesis strategies shared by the tests of the domain."""

from __future__ import annotations

from datetime import date

from hypothesis import strategies as st

from backend.domain.classes import CreditClass, UnitType
from backend.domain.serials import Interval, Series

series = st.one_of(
    st.sampled_from((1, 2)).map(lambda generation: Series("VCS", (generation,))),
    st.tuples(
        st.sampled_from(("GS", "ACR", "CAR", "ART")),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**16 - 1),
        st.integers(0, 2**32 - 1),
    ).map(lambda parts: Series(parts[0], parts[1:])),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2).map(
        lambda party: Series.parse(f"CDM:{party}")
    ),
)

vcs = Series("VCS", (2,))


@st.composite
def small_intervals(draw: st.DrawFn, highest: int = 60) -> Interval:
    """Short intervals low in one series, so that overlaps are frequent."""
    first = draw(st.integers(1, highest))
    return Interval(vcs, first, min(highest, first + draw(st.integers(0, 9))))


@st.composite
def classes(draw: st.DrawFn) -> CreditClass:
    """Any class of credits."""
    days = st.dates(date(1990, 1, 1), date(2099, 12, 31))
    start, end = sorted((draw(days), draw(days)))
    # At most 16 × 4 bytes of UTF-8, no control characters: what a class may be named.
    letters = st.characters(codec="utf-8", exclude_categories=("Cc",))
    words = st.text(letters, min_size=1, max_size=16)
    cohort = draw(st.sets(st.sampled_from(("ccp", "removal", "reduction", "corsia-1"))))
    unit = draw(st.sampled_from(UnitType))
    return CreditClass(draw(words), draw(words), unit, start, end, tuple(sorted(cohort)))
