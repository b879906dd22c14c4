"""L9: answers that the sequencer signed, held against the journal that was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from backend.audit.journal import Journal
from backend.audit.report import Findings
from backend.audit.venue import Venue
from backend.chain.keys import recover
from backend.domain.acknowledgements import (
    Acknowledgement,
    Step,
    verify_acknowledgement,
)
from backend.errors import CausewayError, InvalidValue

#: What the sequencer signed, by the name of the file it was kept in.
Promised = Mapping[str, Sequence[Acknowledgement]]


def read_acknowledgements(path: Path) -> list[Acknowledgement]:
    """Answers of the API as they came (one, a list, or `results`), each with `seq`, `entry_hash`
    and `acknowledgement` {path, signature}. Raises InvalidValue for anything else."""
    try:
        told = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InvalidValue("acknowledgement", str(path), f"is no JSON: {error}") from None
    if isinstance(told, dict) and isinstance(told.get("results"), list):
        told = told["results"]
    return [_read(path, one) for one in (told if isinstance(told, list) else [told])]


def _read(path: Path, told: Any) -> Acknowledgement:
    try:
        signed = told["acknowledgement"]
        steps = tuple(Step(bool(one["left"]), _bytes(one["hash"])) for one in signed["path"])
        return Acknowledgement(
            int(told["seq"]), _bytes(told["entry_hash"]), steps, _bytes(signed["signature"])
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"is no answer with seq, entry_hash and acknowledgement: {error!r}"
        raise InvalidValue("acknowledgement", str(path), what) from None


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def check_acknowledgements(
    findings: Findings, journal: Journal, venue: Venue, promised: Promised
) -> None:
    """Each promised entry is in the journal: another hash there is a second version of it."""
    for name, answers in promised.items():
        for one in answers:
            try:
                verify_acknowledgement(venue.domain, one, venue.approvals.sequencers, recover)
            except CausewayError as error:
                findings.broken("L9", f"{name}: {error.message}", None, (), seq=one.seq)
                continue
            held = journal.hash_at(one.seq)
            if held != one.entry_hash:
                found = f"has 0x{held.hex()}" if held else f"ends at entry {journal.length}"
                findings.broken(
                    "L9", f"{name}: the sequencer acknowledged entry {one.seq} as "
                    f"0x{one.entry_hash.hex()}, the journal {found}", None, (), seq=one.seq,
                )  # fmt: skip
    if promised:
        findings.count("L9", acknowledgements=sum(len(one) for one in promised.values()))
