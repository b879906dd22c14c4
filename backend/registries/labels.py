"""The vocabulary of labels: from every spelling in a row to the cohort of its class."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from backend.domain.classes import CreditClass, UnitType
from backend.domain.credits import BlockRecord
from backend.errors import InvalidValue, UnmappedLabel


def _table() -> Mapping[str, Any]:
    text = files("backend.registries").joinpath("labels.json").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


_TABLE = _table()
#: Version of the committed table; recorded with everything that was derived from it.
VERSION: int = _TABLE["version"]
#: Code → what it means. A code never changes its meaning: classes are made of them.
CODES: Mapping[str, str] = _TABLE["codes"]
_SPELLINGS: Mapping[str, Mapping[str, str | None]] = _TABLE["programmes"]


@lru_cache(maxsize=4096)
def _cohort_of(programme: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    known = _SPELLINGS.get(programme, {})
    unknown = sorted({label for label in labels if label not in known})
    if unknown:
        raise UnmappedLabel(
            f"{programme}: {', '.join(map(repr, unknown))} not in the table of labels, "
            f"version {VERSION}: such credits cannot be tokenized",
            programme=programme,
            labels=unknown,
            version=VERSION,
        )
    return tuple(sorted({code for label in labels if (code := known[label]) is not None}))


def cohort_of(programme: str, labels: Iterable[str]) -> tuple[str, ...]:
    """The codes of all labels of a row, sorted, each once; none is left out.

    A spelling may be mapped to no code on purpose (`Not Applicable`). Raises UnmappedLabel with
    the spellings that are not in the table (`values["labels"]`).
    """
    return _cohort_of(programme, tuple(labels))


def credit_class(record: BlockRecord) -> CreditClass:
    """The class a row's credits belong to; raises UnmappedLabel, InvalidValue without a vintage.

    A CER held at Gold Standard is of the project and vintage Gold Standard gives it; the code
    `cer` keeps it apart from that project's own VERs.
    """
    if record.vintage_start is None or record.vintage_end is None:
        raise InvalidValue("vintage", "", "is not in the export: the credits have no class")
    return CreditClass(
        record.programme,
        record.project,
        UnitType.CREDIT,
        record.vintage_start,
        record.vintage_end,
        cohort_of(record.programme, record.labels),
    )
