"""Fixed-width big-endian records: how journal entries and their events are laid out in bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from backend.errors import InvalidValue

#: Field kinds: how struct packs them, and whether they are integers wider than struct knows.
_FORMATS: Final = {
    "u8": "B",
    "u16": "H",
    "u32": "I",
    "u64": "Q",
    "u128": "16s",
    "u256": "32s",
    "account": "20s",
    "hash": "32s",
    "id": "16s",
    "signature": "65s",
}
_WIDE: Final = {"u128": 16, "u256": 32}
_BYTES: Final = {"account": 20, "hash": 32, "id": 16, "signature": 65}


class Layout:
    """One record type: `pack(values)` and `unpack(bytes)` are inverse and refuse anything else."""

    __slots__ = ("_exact", "_kinds", "_struct", "_wide", "size")

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = tuple(kinds)
        self._struct = struct.Struct(">" + "".join(_FORMATS[kind] for kind in kinds))
        self._wide = tuple((i, _WIDE[kind]) for i, kind in enumerate(kinds) if kind in _WIDE)
        self._exact = tuple((i, _BYTES[kind]) for i, kind in enumerate(kinds) if kind in _BYTES)
        self.size = self._struct.size

    def pack(self, values: Sequence[Any]) -> bytes:
        """The bytes of a record. Raises InvalidValue for a value its field cannot hold."""
        found = list(values)
        try:
            for index, width in self._wide:
                found[index] = found[index].to_bytes(width, "big")
            for index, width in self._exact:
                # struct itself would cut or fill.
                if len(found[index]) != width:
                    raise ValueError(f"{self._kinds[index]} is not {width} bytes")
            return self._struct.pack(*found)
        except (
            struct.error, OverflowError, AttributeError, TypeError, ValueError, IndexError
        ) as error:  # fmt: skip
            rule = f"does not fit the layout {','.join(self._kinds)}: {error}"
            raise InvalidValue("record", repr(tuple(values))[:200], rule) from None

    def unpack(self, raw: bytes) -> list[Any]:
        """The values of a record. Raises InvalidValue when the length is another."""
        if len(raw) != self.size:
            raise InvalidValue("record", raw.hex()[:64], f"is {len(raw)} bytes, not {self.size}")
        return self.unpack_from(raw, 0)

    def unpack_from(self, raw: bytes, offset: int) -> list[Any]:
        """The values of a record that begins at `offset`; the caller knows it is long enough."""
        values = list(self._struct.unpack_from(raw, offset))
        for index, _ in self._wide:
            values[index] = int.from_bytes(values[index], "big")
        return values


#: What turns unpacked values into the named tuple of their kind.
Maker = Callable[[Sequence[Any]], Any]
