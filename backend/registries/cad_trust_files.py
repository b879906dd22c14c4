"""CAD Trust uploads as files: one JSON document, or a folder with a CSV file per entity."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.errors import InvalidValue, UnknownLayout
from backend.registries.cad_trust_model import MODELS, Dataset, Version

#: Lists in one cell.
_JOINT = "; "


def write_json(data: Dataset, path: Path) -> None:
    """One document: version, entities, each a list of records."""
    document = {"version": data.version.value, **data.entities}
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


def write_csv(data: Dataset, folder: Path) -> list[Path]:
    """A file per entity with every column of the model; empty for what a record has not."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for entity, fields in MODELS[data.version].entities.items():
        path = folder / f"{entity}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(fields), lineterminator="\n")
            writer.writeheader()
            for row in data.rows(entity):
                writer.writerow({name: _cell(value) for name, value in row.items()})
        written.append(path)
    return written


def _cell(value: Any) -> Any:
    return _JOINT.join(value) if isinstance(value, list) else value


def read(path: Path, version: Version | None = None) -> Dataset:
    """A JSON document or a folder of CSV files; raises UnknownLayout, or InvalidValue (`file`).

    `version` is needed only where the document does not say it.
    """
    try:
        return _read_folder(path, version) if path.is_dir() else _read_json(path, version)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise InvalidValue("file", str(path), f"cannot be read: {error}") from None


def _read_json(path: Path, version: Version | None) -> Dataset:
    content = json.loads(path.read_text("utf-8-sig"))
    if not isinstance(content, dict):
        raise UnknownLayout(f"{path}: is not one JSON object of entities")
    said = content.pop("version", None)
    splits = content.pop("splits", [])
    if version is None:
        try:
            version = Version(str(said))
        except ValueError:
            raise UnknownLayout(f"{path}: version {said!r} is neither 1 nor 2.0") from None
    for entity, rows in content.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidValue(entity, path.name, "is not a list of records")
    return Dataset(version, content, tuple(_split(one) for one in splits))


def _split(content: Any) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    if (
        not isinstance(content, Mapping)
        or not isinstance(content.get("unit"), dict)
        or not isinstance(content.get("records"), list)
        or not all(isinstance(part, dict) for part in content["records"])
    ):
        raise InvalidValue("splits", str(content)[:200], "is not {unit, records}")
    return content["unit"], tuple(content["records"])


def _read_folder(folder: Path, version: Version | None) -> Dataset:
    files = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    if version is None:
        version = Version.V2 if "verification" in files else Version.V1
    model = MODELS[version]
    if "unit" not in files:
        raise UnknownLayout(f"{folder}: there is no unit.csv")
    data = Dataset(version)
    for entity in model.entities:
        if entity not in files:
            continue
        kinds = model.entities[entity]
        with files[entity].open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                data.add(
                    entity,
                    {
                        name: value.split(_JOINT) if kinds.get(name) == "texts" else value
                        for name, value in row.items()
                        if name and value
                    },
                )
    return data
