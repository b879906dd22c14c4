"""What is wrong with a CAD Trust upload: fields, and what the model's own server never compares.

A server that splits a unit checks that counts add up; here the blocks are compared: a unit's count
is its block's length, no serial lies in two units, and the parts of a split partition it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from backend.registries.cad_trust_model import MODELS, PICKS, Dataset, Model, Row, Version

_BLOCK = re.compile(r"(?P<prefix>.*?)(?P<number>\d{1,20})", re.ASCII | re.DOTALL)
_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule: entity, row from 1, field, value, rule. `code` names the kind of fault."""

    entity: str
    row: int
    field: str
    value: str
    rule: str
    code: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Block(NamedTuple):
    """Inclusive serials in a space; the text before the number names the space."""

    space: str
    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def check(data: Dataset) -> list[Fault]:
    """Every fault, in the order of entities and rows."""
    model = MODELS[data.version]
    faults: list[Fault] = []
    for entity, rows in data.entities.items():
        if entity not in model.entities:
            faults.append(
                Fault(entity, 0, "entity", entity, f"is not in version {data.version}", "entity")
            )
            continue
        for number, row in enumerate(rows, 1):
            faults += _fields(model, entity, number, row)
    blocks = _blocks(model, data, faults)
    faults += _overlaps(model, data, blocks)
    faults += _references(model, data)
    for original, parts in data.splits:
        faults += check_split(data.version, original, parts)
    return faults


# ── fields ───────────────────────────────────────────────────────────────────────────────────


def _fields(model: Model, entity: str, number: int, row: Row) -> Iterator[Fault]:
    kinds = model.entities[entity]
    for name in row.keys() - kinds.keys():
        yield Fault(
            entity, number, name, _shown(row[name]),
            f"is not a field of {entity} in version {model.version}", "unknown-field",
        )  # fmt: skip
    for name, kind in kinds.items():
        value = row.get(name)
        if value is None or value == "":
            if kind.endswith("*"):
                yield Fault(entity, number, name, "", "is required", "missing")
            continue
        rule = _KINDS[kind.rstrip("*")](value, name, model)
        if rule:
            yield Fault(entity, number, name, _shown(value), rule, kind.rstrip("*"))


def _shown(value: Any) -> str:
    return str(value)[:200]


def _number(value: Any) -> int | None:
    """A whole number, as JSON or as the text that a CSV file has."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


def _is_text(value: Any, name: str, model: Model) -> str:
    return "" if isinstance(value, str | int) else "is not a text"


def _is_integer(value: Any, name: str, model: Model) -> str:
    found = _number(value)
    if found is None:
        return "is not a whole number"
    return "" if found > 0 else "is not positive"


def _is_decimal(value: Any, name: str, model: Model) -> str:
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return "is not a number"
    if not found.is_finite() or isinstance(value, bool):
        return "is not a number"
    return "" if found > 0 else "is not positive"


def _is_year(value: Any, name: str, model: Model) -> str:
    found = _number(value)
    low, high = model.years
    return "" if found is not None and low <= found <= high else f"is not a year {low} … {high}"


def _is_date(value: Any, name: str, model: Model) -> str:
    try:
        date.fromisoformat(str(value)[:10])
    except ValueError:
        return "is not a date YYYY-MM-DD"
    return ""


def _is_pick(value: Any, name: str, model: Model) -> str:
    return "" if value in PICKS[name] else f"is not in the pick list: {', '.join(PICKS[name])}"


def _is_list(value: Any, name: str, model: Model) -> str:
    return "" if isinstance(value, list) else "is not a list"


_KINDS: Mapping[str, Callable[[Any, str, Model], str]] = {
    "text": _is_text,
    "texts": _is_list,
    "list": _is_list,
    "integer": _is_integer,
    "decimal": _is_decimal,
    "year": _is_year,
    "date": _is_date,
    "pick": _is_pick,
}


# ── blocks ───────────────────────────────────────────────────────────────────────────────────


def block_of(model: Model, row: Row, space: str = "") -> Block | Fault:
    """The serials of a unit; `space` is what bare numbers are unique in. Row 0 in a fault."""
    start, end, _, _ = model.block
    ends = []
    for name in (start, end):
        match = _BLOCK.fullmatch(str(row.get(name) or ""))
        if not match:
            rule = "does not end with a serial number"
            return Fault("unit", 0, name, _shown(row.get(name)), rule, "block")
        ends.append((match["prefix"], int(match["number"])))
    (prefix, first), (other, last) = ends
    if prefix != other:
        rule = f"is in another number space than {row.get(start)!r}"
        return Fault("unit", 0, end, _shown(row.get(end)), rule, "block")
    if last < first:
        return Fault("unit", 0, end, _shown(row.get(end)), f"is below {row.get(start)}", "block")
    return Block(prefix or space, first, last)


def _count_fault(row: Row, block: Block) -> Fault | None:
    """What a unit's count says otherwise than its block."""
    raw = row.get("unitCount")
    try:
        count = Decimal(str(raw))
    except InvalidOperation:
        return None  # said already, as a field
    if raw is None or count == block.length:
        return None
    rule = f"is not {block.length}, the length of {block.first} … {block.last}"
    if count == block.length - 1:
        rule += ": one short, the last serial counts too"
    return Fault("unit", 0, "unitCount", _shown(raw), rule, "count")


def _blocks(model: Model, data: Dataset, faults: list[Fault]) -> dict[int, Block]:
    """Block of each unit by its row; faults of blocks and counts are added."""
    spaces = _bare_spaces(data)
    found = {}
    for number, row in enumerate(data.rows("unit"), 1):
        block = block_of(model, row, spaces(row))
        fault = block if isinstance(block, Fault) else _count_fault(row, block)
        if fault is not None:
            faults.append(_at(fault, number))
        if isinstance(block, Block):
            found[number] = block
    return found


def _at(fault: Fault, number: int) -> Fault:
    return Fault(fault.entity, number, fault.field, fault.value, fault.rule, fault.code)


def _bare_spaces(data: Dataset) -> Callable[[Row], str]:
    """What bare numbers of a unit are unique in: the registry, for CDM with the host party."""
    if data.version is not Version.V1:
        return lambda row: ""
    projects = {str(row.get("warehouseProjectId")): row for row in data.rows("project")}
    issued = {
        str(row.get("id")): projects.get(str(row.get("warehouseProjectId")))
        for row in data.rows("issuance")
    }

    def space(row: Row) -> str:
        project = issued.get(str(row.get("issuanceId"))) or {}
        origin = str(project.get("originProjectId") or "")
        party = origin[:2] if re.match(r"[A-Z]{2}-", origin) else ""
        return f"{project.get('registryOfOrigin') or ''}:{party}"

    return space


def _overlaps(model: Model, data: Dataset, blocks: Mapping[int, Block]) -> Iterator[Fault]:
    """Units that share a serial with one that begins before them in their space."""
    start, _, vintage, _ = model.block
    rows = data.rows("unit")
    by_space: dict[str, list[tuple[Block, int]]] = defaultdict(list)
    for number, block in blocks.items():
        by_space[block.space].append((block, number))
    for held in by_space.values():
        held.sort()
        reach, owner = None, 0
        for block, number in held:
            if reach is not None and block.first <= reach.last:
                same = (block.first, block.last) == (reach.first, reach.last)
                rule = f"shares serials with row {owner} ({reach.first} … {reach.last})"
                if same:
                    theirs, ours = rows[owner - 1].get(vintage), rows[number - 1].get(vintage)
                    rule = f"is the block of row {owner} again"
                    if theirs != ours:
                        rule += f", with vintage {ours} instead of {theirs}: a join that fanned out"
                code = "repeated" if same else "overlap"
                value = f"{block.first} … {block.last}"
                yield Fault("unit", number, start, value, rule, code)
            if reach is None or block.last > reach.last:
                reach, owner = block, number


def check_split(version: Version, original: Row, parts: Sequence[Row]) -> list[Fault]:
    """Faults of a split: the parts must partition the unit, serial by serial."""
    model = MODELS[version]
    start, _, vintage, own = model.block
    whole = block_of(model, original)
    if isinstance(whole, Fault):
        return [whole]
    faults: list[Fault] = []
    if len(parts) < 2:
        faults.append(Fault("split", 0, own, str(len(parts)), "needs at least 2 parts", "split"))
    held: list[tuple[Block, int]] = []
    for number, part in enumerate(parts, 1):
        block = block_of(model, part)
        fault = block if isinstance(block, Fault) else _count_fault(part, block)
        if fault is not None:
            faults.append(_at(fault, number))
        if part.get(vintage, original.get(vintage)) != original.get(vintage):
            faults.append(
                Fault("split", number, vintage, _shown(part.get(vintage)),
                      f"is not the vintage {original.get(vintage)} of the unit", "split")
            )  # fmt: skip
        if isinstance(block, Block):
            held.append((block, number))
    faults += _gaps(whole, sorted(held), start)
    return faults


def _gaps(whole: Block, held: Iterable[tuple[Block, int]], name: str) -> Iterator[Fault]:
    cursor = whole.first
    for block, number in held:
        value = f"{block.space}{block.first} … {block.last}"
        if block.space != whole.space or block.first < whole.first or block.last > whole.last:
            rule = f"is not inside {whole.space}{whole.first} … {whole.last}"
            yield Fault("split", number, name, value, rule, "split")
            continue
        if block.first < cursor:
            yield Fault("split", number, name, value, "shares serials with another part", "split")
        elif block.first > cursor:
            rule = f"leaves out {cursor} … {block.first - 1}"
            yield Fault("split", number, name, value, rule, "split")
        cursor = max(cursor, block.last + 1)
    if cursor <= whole.last:
        rule = f"leaves out {cursor} … {whole.last}"
        yield Fault("split", 0, name, f"{whole.first} … {whole.last}", rule, "split")


# ── references ───────────────────────────────────────────────────────────────────────────────


def _references(model: Model, data: Dataset) -> Iterator[Fault]:
    """Ids that name nothing in this upload."""
    for entity, names in model.references.items():
        for name, (other, key) in names.items():
            known = {str(row.get(key)) for row in data.rows(other)}
            for number, row in enumerate(data.rows(entity), 1):
                value = row.get(name)
                if value not in (None, "") and str(value) not in known:
                    rule = f"names no {other} of this upload"
                    yield Fault(entity, number, name, _shown(value), rule, "reference")
