"""The exported journal: what was written comes back, what is damaged is named by its number."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.journal_file import MAGIC, Stored, read_stored, write_header, write_stored
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

PAIRS = st.lists(st.tuples(st.binary(max_size=60), st.binary(max_size=60)), max_size=6)


def file_of(entries: list[tuple[bytes, bytes]]) -> bytes:
    file = BytesIO()
    write_header(file)
    assert write_stored(file, entries) == len(entries)
    return file.getvalue()


@given(PAIRS)
def test_what_was_written_is_read_again(entries: list[tuple[bytes, bytes]]) -> None:
    assert list(read_stored(BytesIO(file_of(entries)))) == [Stored(*pair) for pair in entries]


@given(PAIRS.filter(bool), st.data())
def test_a_file_cut_off_within_an_entry_is_refused(
    entries: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    whole, shorter = file_of(entries), file_of(entries[:-1])
    cut = data.draw(st.integers(len(shorter) + 1, len(whole) - 1))
    with pytest.raises(InvalidValue, match=f"{len(entries)} is cut off"):
        list(read_stored(BytesIO(whole[:cut])))


def test_another_file_is_refused() -> None:
    with pytest.raises(InvalidValue, match="does not begin like"):
        list(read_stored(BytesIO(b"PK\3\4")))


def test_a_later_version_is_refused() -> None:
    with pytest.raises(InvalidValue, match="version"):
        list(read_stored(BytesIO(MAGIC + b"\0\2")))


def test_an_impossible_length_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidValue, match="1 is damaged"):
        list(read_stored(BytesIO(MAGIC + b"\0\1" + b"\xff" * 4)))
