"""Every serial grammar: what is printed is read back; a changed text never means the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.domain.serials import Interval, Series, party_code
from backend.domain.units import MAX_SERIAL
from backend.errors import InvalidValue
from backend.registries import acr, art, car, cdm, cercarbono, gold_standard, holding, puro, verra

pytestmark = pytest.mark.unit

numbers = st.integers(1, MAX_SERIAL)
capitals = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2)
days = st.dates(date(1000, 1, 1), date(9999, 12, 31))
issuances = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 9999), st.integers(0, 2**32 - 1))
PARTY = Series("CDM", (party_code("ZZ"),))


def spans(series: Series, largest: int = MAX_SERIAL) -> st.SearchStrategy[Interval]:
    """Intervals of one series."""
    pairs = st.tuples(st.integers(1, largest), st.integers(1, largest)).map(sorted)
    return pairs.map(lambda pair: Interval(series, pair[0], pair[1]))


def series_spans(programme: str) -> st.SearchStrategy[Interval]:
    return issuances.flatmap(lambda codes: spans(Series(programme, codes)))


@st.composite
def vcu(draw: st.DrawFn) -> verra.VerraSerial:
    generation = draw(st.sampled_from((1, 2)))
    batch = draw(st.integers(0, 8163) if generation == 1 else st.integers(8159, 10**19))
    return verra.VerraSerial(
        batch,
        draw(spans(Series("VCS", (generation,)))),
        draw(st.text("0123456789", min_size=1, max_size=5)),
        draw(st.sampled_from(("VER", "APX", "MER"))),
        draw(capitals),
        draw(st.integers(0, 99)),
        draw(st.integers(0, 10**19)),
        draw(days),
        draw(days),
        draw(st.booleans()),
    )


@st.composite
def gold(draw: st.DrawFn) -> gold_standard.GoldStandardSerial:
    standard, version = f"GS{draw(st.integers(0, 9))}", draw(st.integers(0, 10**19))
    kind = draw(st.integers(0, 99))
    return gold_standard.GoldStandardSerial(
        standard, version, draw(capitals), kind, draw(series_spans("GS"))
    )


@st.composite
def un(draw: st.DrawFn) -> gold_standard.UnSerial:
    series = Series("CDM", (party_code(draw(capitals)),))
    digit = st.integers(0, 9)
    project = draw(st.text("0123456789", min_size=1, max_size=9))
    return gold_standard.UnSerial(
        draw(spans(series)), 5, draw(digit), draw(digit), draw(digit), project
    )


@st.composite
def reserve(draw: st.DrawFn) -> car.CarSerial:
    digits = st.text("0123456789", min_size=1, max_size=5)
    return car.CarSerial(
        draw(st.sampled_from(("1", "ROC"))),
        draw(capitals),
        draw(digits),
        draw(digits),
        draw(capitals),
        draw(series_spans("CAR")),
    )


@st.composite
def corc(draw: st.DrawFn) -> puro.PuroSerial:
    series = Series("PURO", (1, draw(st.integers(0, 2**128 - 1))))
    return puro.PuroSerial(
        draw(st.text("PROX", min_size=1, max_size=4)),
        "CORC" + draw(st.text("0125+", max_size=5)),
        draw(capitals),
        f"{draw(st.integers(0, 999_999)):06d}",
        draw(st.integers(0, 9999)),
        draw(spans(series)),
    )


@st.composite
def corc_legacy(draw: st.DrawFn) -> puro.LegacyPuroSerial:
    series = Series("PURO", (0, draw(st.integers(0, 10**18 - 1))))
    return puro.LegacyPuroSerial(draw(spans(series, 10**12 - 1)))


@st.composite
def prefix(draw: st.DrawFn) -> cercarbono.CercarbonoSerial:
    again = draw(st.sampled_from(("", "R_")))
    project = draw(st.integers(0, 99_999))
    segments = draw(st.lists(st.sampled_from(("1", "321", "CO", "R1", "BF", "BFC", "2019"))))
    text = "_".join([f"CDC_{again}{project}", "1", *segments])
    buffer = any(segment.startswith("BF") for segment in segments)
    return cercarbono.CercarbonoSerial(Series("CERCARBONO", (), text), project, buffer)


@dataclass(frozen=True)
class Range:
    """A CDM range with the text that its report shows."""

    interval: Interval

    def __str__(self) -> str:
        return f"{self.interval.first} - {self.interval.last}"


@dataclass(frozen=True)
class Grammar:
    parse: Callable[[str], Any]
    serials: st.SearchStrategy[Any]
    field: str


GRAMMARS = {
    "VCS": Grammar(verra.parse_serial, vcu(), "Serial Number"),
    "GS": Grammar(gold_standard.parse_serial, gold(), "Serial Number"),
    "UN": Grammar(gold_standard.parse_un_serial, un(), "Serial Number"),
    "CDM": Grammar(
        lambda text: Range(cdm.parse_range("SERIAL RANGE", text, PARTY)),
        spans(PARTY).map(Range),
        "SERIAL RANGE",
    ),
    "ACR": Grammar(
        acr.parse_serial,
        st.builds(acr.AcrSerial, capitals, series_spans("ACR"), st.sampled_from((" to ", "-"))),
        "Credit Serial Numbers",
    ),
    "CAR": Grammar(car.parse_serial, reserve(), "Offset Credit Serial Numbers"),
    "ART": Grammar(
        art.parse_serial,
        st.builds(art.ArtSerial, st.sampled_from(("ART", "FCPF")), capitals, series_spans("ART")),
        "Credit Serial Numbers",
    ),
    "PURO": Grammar(puro.parse_serial, corc(), "Certificates"),
    "PURO before": Grammar(puro.parse_serial, corc_legacy(), "Certificates"),
    "CERCARBONO": Grammar(cercarbono.parse_serial, prefix(), "serial"),
}
every_grammar = pytest.mark.parametrize("name", GRAMMARS)


def attempt(parse: Callable[[str], Any], text: str) -> Any:
    """What the text means, or the InvalidValue that refuses it; nothing else may be raised."""
    try:
        return parse(text)
    except InvalidValue as error:
        return error


def read(grammar: Grammar, text: str) -> Any:
    """What the text means, None when it is refused with its column and as it stands."""
    found = attempt(grammar.parse, text)
    if not isinstance(found, InvalidValue):
        return found
    assert found.field == grammar.field
    assert str(found.value) == text
    return None


@every_grammar
@given(data=st.data())
@settings(max_examples=60)
def test_a_serial_is_read_back_as_it_was_printed(name: str, data: st.DataObject) -> None:
    grammar = GRAMMARS[name]
    serial = data.draw(grammar.serials)
    parsed = read(grammar, str(serial))
    too_large = name == "VCS" and not _batch_fits(serial)

    assert parsed == (None if too_large else serial)


def _batch_fits(serial: verra.VerraSerial) -> bool:
    """Batches 8159 … 8163 were never seen and may be of either generation."""
    if serial.generation == 1:
        return serial.batch < verra.FIRST_BATCH_OF_SECOND_GENERATION
    return serial.batch > verra.LAST_BATCH_OF_FIRST_GENERATION


#: Characters that hand-typed and machine-made texts confuse, some outside ASCII.
_CONFUSED = "0123456789-_ .,+OIZoaf–—－０１٣\u00a0\u200b\nT"


@st.composite
def changed(draw: st.DrawFn, text: str) -> str:
    """The text after one to three slips: a character typed, dropped, doubled, swapped, …"""
    for _ in range(draw(st.integers(1, 3))):
        if not text:
            break
        place = draw(st.integers(0, len(text) - 1))
        slip = draw(st.sampled_from(("replace", "insert", "drop", "double", "swap", "case", "cut")))
        before, here, after = text[:place], text[place], text[place + 1 :]
        character = draw(st.sampled_from(_CONFUSED))
        text = {
            "replace": before + character + after,
            "insert": before + character + here + after,
            "drop": before + after,
            "double": before + here + here + after,
            "swap": before + after[:1] + here + after[1:],
            "case": before + here.swapcase() + after,
            "cut": before,
        }[slip]
    return text


@every_grammar
@given(data=st.data())
@settings(max_examples=150)
def test_a_changed_text_is_refused_or_prints_as_it_stands(name: str, data: st.DataObject) -> None:
    grammar = GRAMMARS[name]
    serial = data.draw(grammar.serials)
    text = data.draw(changed(str(serial)))
    parsed = read(grammar, text)

    if parsed is not None:
        assert str(parsed) == text
        assert (parsed == serial) == (text == str(serial))


@every_grammar
@given(text=st.text())
@example(text="")
@example(text="-")
@example(text="9" * 10_000)
@settings(max_examples=40)
def test_any_text_at_all_is_refused_or_prints_as_it_stands(name: str, text: str) -> None:
    parsed = read(GRAMMARS[name], text)

    assert parsed is None or str(parsed) == text


@pytest.mark.parametrize("name", [name for name in GRAMMARS if name not in ("CERCARBONO",)])
@given(data=st.data())
@settings(max_examples=30)
def test_two_serials_that_print_differently_are_different(name: str, data: st.DataObject) -> None:
    one, other = (data.draw(GRAMMARS[name].serials) for _ in range(2))

    assert (one == other) == (str(one) == str(other))


@given(st.text("0A-中０１－　 \n\tﬁé", max_size=8) | st.text(max_size=8))
@settings(max_examples=200)
def test_an_issuers_text_is_taken_as_it_stands_or_refused_with_what_to_write(text: str) -> None:
    cell = text.strip()
    found = attempt(lambda one: holding.canonical("CCER Serial Text", one), cell)

    if isinstance(found, InvalidValue):
        assert found.field == "CCER Serial Text"
        assert any(word in found.rule for word in ("is empty", "normal form", "control character"))
    else:
        assert found == Series.parse(f"CCER:{cell}").text == cell
