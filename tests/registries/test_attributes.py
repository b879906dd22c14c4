"""The vocabulary of attributes: known spellings to codes, unknown ones named, nothing guessed."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import InvalidValue, UnknownLayout
from backend.registries import attributes
from backend.registries.attributes import (
    COUNTRIES,
    METHODOLOGIES,
    TYPES,
    Attribute,
    attributes_of,
    attributes_of_texts,
    is_regional,
    normal,
    read,
    read_list,
)
from backend.registries.coverage import check
from backend.registries.reader import open_export
from tests.shared_data import requires_shared_data, shared_data_directory

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Mainland China", "CN"),
        ("TÜRKİYE", "TR"),
        ("Turkey", "TR"),
        ("COTE D'IVOIRE", "CI"),
        ("Côte d’Ivoire", "CI"),
        ("CONGO, THE DEMOCRATIC REPUBLIC OF THE", "CD"),
        ("Congo the Democratic Republic of the", "CD"),
        ("Congo", "CG"),
        ("Tanzania United Republic of", "TZ"),
        ("COD", "CD"),
        ("US", "US"),
        ("International", "several"),
    ],
)
def test_a_country_is_its_iso_code_whoever_spells_it(text: str, code: str) -> None:
    assert read(Attribute.COUNTRY, "VCS", text).codes == (code,)


def test_every_country_is_known_by_its_codes_and_its_name() -> None:
    for code, entry in COUNTRIES.items():
        for text in (code, entry["alpha3"], entry["name"], entry["name"].upper()):
            assert read(Attribute.COUNTRY, "GS", text).codes == (code,)


@pytest.mark.parametrize(
    ("text", "codes", "version"),
    [
        ("ACM0002", ("ACM0002",), ""),
        ("ACM 0002: Grid-connected generation - Version 21.0", ("ACM0002",), "21.0"),
        ("ACM0001: “Flaring” Version 19.0 and ACM0022: “Waste” Version 3.0",
         ("ACM0001", "ACM0022"), ""),
        ("AMS-III.AV. Low greenhouse gas emitting water", ("AMS-III.AV",), ""),
        ("AMS I.D Version 18 & ACM0002 , version 20.0", ("AMS-I.D", "ACM0002"), ""),
        ("AMS-1.D, Version 18.0", ("AMS-I.D",), "18.0"),
        ("AR-ACM0003", ("AR-ACM0003",), ""),
        ("GS TPDDTEC v3.1", ("GS-TPDDTEC",), "3.1"),
        ("Forestry - MX - Version 3.0", ("CAR-FOREST-MX",), "3.0"),
        ("Livestock - ARB Compliance - ARB Compliance Offset Protocol Livestock Projects, "
         "November 14, 2014", ("ARB-LIVESTOCK",), ""),
    ],
)  # fmt: skip
def test_a_methodology_is_read_with_its_version(
    text: str, codes: tuple[str, ...], version: str
) -> None:
    found = read(Attribute.METHODOLOGY, "VCS", text)
    assert (found.codes, found.version, found.unknown) == (codes, version, ())


def test_a_code_that_is_no_known_methodology_is_unknown_and_not_its_neighbour() -> None:
    assert read(Attribute.METHODOLOGY, "VCS", "VM00015").unknown == ("VM00015",)
    mixed = read(Attribute.METHODOLOGY, "VCS", "AMS-III.AJ.; AMS-III.AJ1")
    assert (mixed.codes, mixed.unknown) == (("AMS-III.AJ",), ("AMS-III.AJ1",))


def test_a_word_that_states_nothing_is_known_and_says_nothing() -> None:
    for text in ("Not provided", "Other", "Not defined"):
        assert read(Attribute.METHODOLOGY, "GS", text) == attributes.Reading()
    assert read(Attribute.TYPE, "GS", "Other") == attributes.Reading()


def test_a_list_whose_values_hold_its_separator_is_taken_apart_by_the_vocabulary() -> None:
    text = "Energy demand, Livestock, enteric fermentation, and manure management, Transport"
    found = read_list(Attribute.TYPE, "VCS", text, ",")
    assert found.codes == ("scope:3", "scope:15", "scope:7")
    assert read_list(Attribute.TYPE, "VCS", "Wind, Moonshine", ",").unknown == ("Moonshine",)


def test_a_category_is_stated_or_follows_from_the_methodology_and_says_which() -> None:
    stated = attributes_of_texts("GS", types=["Wind"], methodologies=["VM0047"])
    assert (stated.categories, stated.category_source) == (("renewable-energy",), "stated")
    implied = attributes_of_texts("VCS", types=["Energy demand"], methodologies=["VM0047"])
    assert (implied.categories, implied.category_source) == (("forest",), "methodology")
    neither = attributes_of_texts("VCS", types=["Energy demand"])
    assert (neither.categories, neither.category_source) == ((), "")


def test_credits_issued_for_another_country_are_regional_and_not_refused() -> None:
    assert is_regional("RW", "CD")
    assert not is_regional("RW", "RW")
    assert not is_regional(None, "RW")


def test_every_reference_of_the_tables_leads_to_a_code() -> None:
    def known(reference: str) -> bool:
        kind, _, code = reference.partition(":")
        tables = {
            "type": TYPES, "scope": attributes.SCOPES, "category": attributes.CATEGORIES
        }  # fmt: skip
        return code in tables[kind]

    for code, methodology in METHODOLOGIES.items():
        assert "implies" not in methodology or known(methodology["implies"]), code
    for attribute in (Attribute.TYPE, Attribute.STATUS, Attribute.UNIT_STATUS):
        meanings = {
            Attribute.STATUS: attributes.STATUSES, Attribute.UNIT_STATUS: attributes.UNIT_STATUSES
        }.get(attribute)  # fmt: skip
        for table in attributes._TABLES[attribute].values():
            for code in (code for codes in table.values() for code in codes):
                assert code in meanings if meanings else known(code), code


@given(st.text(max_size=40))
def test_no_text_is_guessed(text: str) -> None:
    for attribute in Attribute:
        found = read(attribute, "VCS", text)
        if found.codes and attribute is not Attribute.METHODOLOGY:
            spelled = {
                key
                for table in attributes._TABLES[attribute].values()
                for key in table
            }  # fmt: skip
            assert normal(text) in spelled
        elif text.strip() and not found.codes:
            assert found.unknown or normal(text) in {
                key for table in attributes._TABLES[attribute].values() for key in table
            }


@given(st.sampled_from(sorted(METHODOLOGIES)), st.sampled_from(["", " v", " - Version ", ", ver "]))
def test_a_code_reads_itself_with_any_version(code: str, joint: str) -> None:
    found = read(Attribute.METHODOLOGY, "VCS", f"{code.lower()}{joint}{'3.1' if joint else ''}")
    assert (found.codes, found.version) == ((code,), "3.1" if joint else "")


def test_a_file_is_checked_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "projects.csv"
    path.write_text(
        "GSID,Country,Project Type,Methodology,Status\n"
        "1,Kenya,Wind,,Listed\n"
        "2,Atlantis,Wind,Not provided,Certified twice\n"
        "3,Atlantis,Moonshine,AMS-I.D.,Listed\n"
    )
    found = check(path)
    counts = {
        name.value: (count.known, count.silent, count.empty, dict(count.unknown))
        for name, count in found.counts.items()
    }
    assert (found.programme, found.rows, found.unknown) == ("GS", 3, 4)
    assert counts == {
        "country": (1, 0, 0, {"Atlantis": 2}),
        "type": (2, 0, 0, {"Moonshine": 1}),
        "methodology": (1, 1, 1, {}),
        "status": (2, 0, 0, {"Certified twice": 1}),
    }


def test_a_file_that_cannot_be_checked_says_why(tmp_path: Path) -> None:
    strange = tmp_path / "strange.csv"
    strange.write_text("a,b\n1,2\n")
    with pytest.raises(UnknownLayout, match="no column of attributes"):
        check(strange)
    with pytest.raises(InvalidValue, match="cannot be read"):
        check(tmp_path / "absent.csv")


# ── real files ───────────────────────────────────────────────────────────────────────────────

#: Files of ids and amounts only: no cell of them is an attribute.
WITHOUT_ATTRIBUTES = {
    "offsetsdb/cercarbono/issuances.csv",
    "offsetsdb/cercarbono/retirements.csv",
    "offsetsdb/isometric/retirements.csv",
}


@requires_shared_data
def test_no_spelling_of_the_real_exports_is_unknown() -> None:
    folder = shared_data_directory()
    known = Counter[str]()
    for path in sorted(folder.rglob("*.*")):
        if path.suffix not in (".csv", ".xlsx"):
            continue
        if path.relative_to(folder).as_posix() in WITHOUT_ATTRIBUTES:
            with pytest.raises(UnknownLayout):
                check(path)
            continue
        found = check(path)
        unknown = {name: dict(count.unknown) for name, count in found.counts.items()}
        assert not any(unknown.values()), (path, unknown)
        known.update({name: count.known for name, count in found.counts.items()})
    assert known[Attribute.COUNTRY] > 40_000
    assert known[Attribute.METHODOLOGY] > 1_000
    assert known[Attribute.STATUS] >= 400


@requires_shared_data
def test_of_831_collected_spellings_of_methodologies_five_name_no_known_code() -> None:
    path = shared_data_directory() / "offsetsdb/configs/all-protocol-mapping.json"
    spellings = defaultdict(set)
    for key, entry in json.loads(path.read_text("utf-8")).items():
        for text in entry["known-strings"]:
            spellings[text].add(key)
    unknown = set()
    for text, keys in spellings.items():
        programme = next(
            (p for p in ("ISOMETRIC", "CAR") if any(k[:3].upper() == p[:3] for k in keys)), "X"
        )
        unknown.update(read(Attribute.METHODOLOGY, programme, text).unknown)
    assert len(spellings) == 831
    assert unknown == {
        "ASM-I.D: Grid connected renewable electricity generation, Version 18.0",
        "AMD ID (Version-18)",
        "AMS-I.J1",
        "AMS-III.AJ1",
        "VM00015",
    }


@requires_shared_data
def test_the_80_collected_types_have_the_category_they_are_listed_under() -> None:
    path = shared_data_directory() / "offsetsdb/configs/type-category-mapping.json"
    listed = json.loads(path.read_text("utf-8"))
    assert len(listed) == 80
    for text, entry in listed.items():
        assert attributes_of_texts("X", types=[text]).categories == (entry["category"],)


@requires_shared_data
@pytest.mark.parametrize(
    "name",
    [
        "verra/vcus_sg.csv",
        "offsetsdb/verra/transactions.csv",
        "offsetsdb/gold-standard/issuances.csv",
    ],
)
def test_every_imported_row_has_attributes_without_an_unknown(name: str) -> None:
    with open_export(shared_data_directory() / name) as export:
        found = [attributes_of(row) for row in export if hasattr(row, "interval")]
    assert found
    assert [one.unknown for one in found if one.unknown] == []
    assert all(one.country for one in found)
