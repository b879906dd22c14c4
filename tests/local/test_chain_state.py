"""Generations of the local chain's state on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.local import chain_state

pytestmark = pytest.mark.unit

HASH = "0x" + "ab" * 32


def _dump(block: int) -> bytes:
    return b'{"best_block_number":"0x%x","accounts":{}}' % block


def _save(directory: Path, *blocks: int) -> None:
    for block in blocks:
        chain_state.save(directory, _dump(block), block, HASH)


def test_the_newest_generation_is_chosen_and_two_are_kept(tmp_path: Path) -> None:
    _save(tmp_path, 1, 5, 9)
    chain_state.keep_newest(tmp_path)
    chosen = chain_state.choose(tmp_path)
    assert chosen.generation is not None
    assert chosen.generation.block_number == 9
    assert chosen.generation.block_hash == HASH
    assert chosen.path is not None
    assert chosen.path.read_bytes() == _dump(9)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "state-00000002.json",
        "state-00000002.meta.json",
        "state-00000003.json",
        "state-00000003.meta.json",
    ]


def _blocks(directory: Path) -> list[int]:
    held = [chain_state.read_sidecar(directory, n) for n in chain_state._numbers(directory)]
    return [one.block_number for one in held if one]


def test_one_generation_from_before_any_reorganisation_stays(tmp_path: Path) -> None:
    for block in range(1, 200):
        _save(tmp_path, block)
        blocks = _blocks(tmp_path)
        assert blocks[-2:] == [block - 1, block][-len(blocks) :]
        assert len(blocks) <= 4
        assert blocks[0] <= max(block - chain_state.DEEPEST, 1)
        assert blocks[0] > block - 3 * chain_state.DEEPEST
    chain_state.keep_newest(tmp_path)
    assert _blocks(tmp_path) == [198, 199]


@pytest.mark.parametrize("length", [0, 1, 20])
def test_a_truncated_dump_is_passed_over_with_its_reason(tmp_path: Path, length: int) -> None:
    _save(tmp_path, 1, 5)
    newest = tmp_path / "state-00000002.json"
    newest.write_bytes(_dump(5)[:length])
    chosen = chain_state.choose(tmp_path)
    assert chosen.generation is not None
    assert chosen.generation.block_number == 1
    assert chosen.refused == (f"{newest.name} holds {length} bytes of the {len(_dump(5))} written",)


def test_a_changed_dump_of_the_same_length_is_passed_over(tmp_path: Path) -> None:
    _save(tmp_path, 1, 5)
    (tmp_path / "state-00000002.json").write_bytes(_dump(6))
    chosen = chain_state.choose(tmp_path)
    assert chosen.generation is not None
    assert chosen.generation.block_number == 1
    assert "does not have the hash" in chosen.refused[0]


def test_a_dump_whose_sidecar_was_not_written_yet_does_not_count(tmp_path: Path) -> None:
    _save(tmp_path, 1, 5)
    (tmp_path / "state-00000002.meta.json").unlink()
    chosen = chain_state.choose(tmp_path)
    assert chosen.generation is not None
    assert chosen.generation.block_number == 1


def test_a_kill_before_the_rename_leaves_the_earlier_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save(tmp_path, 1)

    def die(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        _save(tmp_path, 5)
    monkeypatch.undo()
    chosen = chain_state.choose(tmp_path)
    assert chosen.generation is not None
    assert chosen.generation.block_number == 1
    assert chosen.refused == ()
    _save(tmp_path, 6)
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_chosen_where_nothing_is_good(tmp_path: Path) -> None:
    assert chain_state.choose(tmp_path / "absent") == chain_state.Chosen(None, None, ())
    _save(tmp_path, 1)
    (tmp_path / "state-00000001.json").write_bytes(b"")
    assert chain_state.choose(tmp_path).generation is None


def test_transactions_are_needed_from_the_older_generation_on(tmp_path: Path) -> None:
    assert chain_state.oldest_kept_block(tmp_path) == 0
    _save(tmp_path, 4)
    assert chain_state.oldest_kept_block(tmp_path) == 0
    _save(tmp_path, 8)
    assert chain_state.oldest_kept_block(tmp_path) == 4


def test_going_on_from_an_older_generation_keeps_the_bad_one_apart(tmp_path: Path) -> None:
    _save(tmp_path, 1, 5)
    chain_state.discard_after(tmp_path, 1)
    assert (tmp_path / "state-00000002.bad").read_bytes() == _dump(5)
    _save(tmp_path, 2)
    chosen = chain_state.choose(tmp_path)
    assert chosen.generation is not None
    assert chosen.generation.block_number == 2
