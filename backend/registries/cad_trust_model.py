"""The CAD Trust data model as data: entities, fields, pick lists, references; 1 and 2.0."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.resources import files
from typing import Any

#: One record of an entity: field → value as JSON has it.
Row = dict[str, Any]


class Version(StrEnum):
    """Versions of the model."""

    V1 = "1"
    V2 = "2.0"


def _load() -> Mapping[str, Any]:
    path = files("backend.registries").joinpath("vocabulary", "cad_trust.json")
    loaded: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


_TABLE = _load()
#: Pick lists that the model publishes; other fields are free text here.
PICKS: Mapping[str, list[str]] = _TABLE["picks"]
#: Programme → (name in the model, link to a project).
REGISTRIES: Mapping[str, list[str]] = _TABLE["registries"]
PROGRAMMES: Mapping[str, str] = {name: programme for programme, (name, _) in REGISTRIES.items()}


@dataclass(frozen=True, slots=True)
class Model:
    """One version: entity → field → kind (a `*` marks what is required)."""

    version: Version
    entities: Mapping[str, Mapping[str, str]]
    years: tuple[int, int]
    references: Mapping[str, Mapping[str, list[str]]]

    @property
    def block(self) -> tuple[str, str, str, str]:
        """Names of a unit's fields: first and last of the block, vintage year, its own id."""
        if self.version is Version.V1:
            return "unitBlockStart", "unitBlockEnd", "vintageYear", "warehouseUnitId"
        return "unitStartBlock", "unitEndBlock", "unitVintageYear", "cadTrustUnitId"


MODELS: Mapping[Version, Model] = {
    Version(name): Model(
        Version(name), model["entities"], (model["years"][0], model["years"][1]),
        model["references"],
    )
    for name, model in _TABLE["models"].items()
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dataset:
    """Records of one upload, by entity; `splits` are units with the parts that replace them."""

    version: Version
    entities: dict[str, list[Row]] = field(default_factory=dict)
    splits: tuple[tuple[Row, tuple[Row, ...]], ...] = ()

    def rows(self, entity: str) -> list[Row]:
        return self.entities.get(entity, [])

    def add(self, entity: str, row: Row) -> None:
        self.entities.setdefault(entity, []).append(row)
