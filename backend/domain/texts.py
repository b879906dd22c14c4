"""Texts that go on chain: 1 … 256 bytes of UTF-8 without control characters."""

from __future__ import annotations

from backend.errors import InvalidValue

MAX_BYTES = 256


def check_text(field: str, text: str) -> None:
    """Raises InvalidValue unless the contracts take the text."""
    if not 1 <= len(text.encode()) <= MAX_BYTES:
        raise InvalidValue(field, text, f"needs 1 … {MAX_BYTES} bytes")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidValue(field, text, "holds a control character")
