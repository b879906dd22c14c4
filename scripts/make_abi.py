"""Writes backend/chain/abi.json from the compiler; `--check` only compares, exit 1 = differs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import orjson

from backend.chain.compiler import REPOSITORY, compile_contracts

ABI_FILE = REPOSITORY / "backend" / "chain" / "abi.json"
_ORDER = ["constructor", "function", "event", "error", "receive", "fallback"]


def render(abis: dict[str, list[dict[str, Any]]]) -> bytes:
    """One entry a line, so that a change of a contract is a readable difference."""
    contracts = []
    for name, abi in abis.items():
        entries = sorted(
            (_plain(entry) for entry in abi),
            key=lambda entry: (_ORDER.index(entry["type"]), entry.get("name", ""), str(entry)),
        )
        lines = ",\n".join("  " + orjson.dumps(entry).decode() for entry in entries)
        contracts.append(f' "{name}": [\n{lines}\n ]')
    return ("{\n" + ",\n".join(contracts) + "\n}\n").encode()


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without `internalType`, which names what the bytes do not need."""
    plain = {key: value for key, value in entry.items() if key != "internalType"}
    for key in ("inputs", "outputs", "components"):
        if key in plain:
            plain[key] = [_plain(part) for part in plain[key]]
    return plain


def main() -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--cache", type=Path, help="directory of the compiler's results")
    options = parser.parse_args()
    compiled = compile_contracts(options.cache)
    text = render({name: contract.abi for name, contract in compiled.items()})
    if options.check:
        same = ABI_FILE.exists() and ABI_FILE.read_bytes() == text
        print("abi.json is what the sources say" if same else "abi.json differs from the sources")
        return 0 if same else 1
    ABI_FILE.write_bytes(text)
    print(f"wrote {ABI_FILE.relative_to(REPOSITORY)}: {len(compiled)} contracts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
