"""Sign-In with Ethereum (EIP-4361): the text that a wallet shows, written, read and judged.

The text is parsed by its grammar and nothing else: a line too many, another order or a field twice
is refused, so that what a person read is what the service understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from eth_utils.address import is_checksum_formatted_address, to_checksum_address
from eth_utils.crypto import keccak

from backend.errors import InvalidValue

#: Longer texts are refused unread.
MAX_LENGTH: Final = 4_096
_TIME: Final = r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})"
_GRAMMAR: Final = re.compile(
    r"(?:(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://)?"
    r"(?P<domain>[A-Za-z0-9._~%!$&'()*+,;=:@\[\]-]+)"
    r" wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9a-fA-F]{40})\n"
    r"\n"
    r"(?:(?P<statement>[\x20-\x7e]+)\n)?"
    r"\n"
    r"URI: (?P<uri>[!-~]+)\n"
    r"Version: (?P<version>1)\n"
    r"Chain ID: (?P<chain_id>[0-9]{1,20})\n"
    r"Nonce: (?P<nonce>[a-zA-Z0-9]{8,128})\n"
    rf"Issued At: (?P<issued_at>{_TIME})"
    rf"(?:\nExpiration Time: (?P<expiration_time>{_TIME}))?"
    rf"(?:\nNot Before: (?P<not_before>{_TIME}))?"
    r"(?:\nRequest ID: (?P<request_id>[A-Za-z0-9._~%!$&'()*+,;=:@-]*))?"
    r"(?:\nResources:(?P<resources>(?:\n- [!-~]+)*))?"
)


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a sign-in message says. Times are Unix seconds; `address` is checksummed."""

    domain: str
    address: str
    uri: str
    chain_id: int
    nonce: str
    issued_at: int
    expiration_time: int | None = None
    not_before: int | None = None
    statement: str | None = None

    def text(self) -> str:
        """The message as it is signed."""
        lines = [
            f"{self.domain} wants you to sign in with your Ethereum account:",
            to_checksum_address(self.address),
            "",
            *([self.statement] if self.statement else []),
            "",
            f"URI: {self.uri}",
            "Version: 1",
            f"Chain ID: {self.chain_id}",
            f"Nonce: {self.nonce}",
            f"Issued At: {_written(self.issued_at)}",
        ]
        if self.expiration_time is not None:
            lines.append(f"Expiration Time: {_written(self.expiration_time)}")
        if self.not_before is not None:
            lines.append(f"Not Before: {_written(self.not_before)}")
        return "\n".join(lines)


def personal_digest(text: str) -> bytes:
    """What `personal_sign` signs (EIP-191)."""
    raw = text.encode()
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(raw) + raw)


def parse_sign_in(text: str) -> SignIn:
    """The message in a text. Raises InvalidValue for anything that EIP-4361 does not allow."""
    found = _GRAMMAR.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if found is None:
        raise InvalidValue("message", text[:80], "is no sign-in message of EIP-4361, version 1")
    address = to_checksum_address(found["address"])
    if found["address"] != address:
        told = "a wrong" if is_checksum_formatted_address(found["address"]) else "no"
        raise InvalidValue("message", found["address"], f"has {told} checksum (EIP-55)")
    return SignIn(
        domain=found["domain"],
        address=address,
        uri=found["uri"],
        chain_id=int(found["chain_id"]),
        nonce=found["nonce"],
        issued_at=_read("Issued At", found["issued_at"]),
        expiration_time=_optional("Expiration Time", found["expiration_time"]),
        not_before=_optional("Not Before", found["not_before"]),
        statement=found["statement"],
    )


def check_sign_in(
    message: SignIn, *, domains: frozenset[str], chain_id: int, time: int, skew: int
) -> None:
    """Raises InvalidValue unless the message is for one of `domains` on this chain, and now.

    The nonce and the signature are judged by who knows them.
    """
    _require("domain", message.domain, message.domain in domains, "is not this service's")
    authority = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]*)", message.uri)
    here = authority is not None and authority[1] in domains
    _require("URI", message.uri, here, "is not this service's")
    _require("Chain ID", message.chain_id, message.chain_id == chain_id, f"is not {chain_id}")
    issued = message.issued_at
    _require("Issued At", _written(issued), issued <= time + skew, "is in the future")
    expires, begins = message.expiration_time, message.not_before
    if expires is not None:
        _require("Expiration Time", _written(expires), time < expires, "has passed")
    if begins is not None:
        _require("Not Before", _written(begins), begins <= time, "has not come")


def _require(field: str, value: object, holds: bool, rule: str) -> None:
    if not holds:
        raise InvalidValue(f"message.{field}", value, rule)


def _written(time: int) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _optional(field: str, text: str | None) -> int | None:
    return None if text is None else _read(field, text)


def _read(field: str, text: str) -> int:
    # Fractions of a second are cut: no rule here is that fine.
    plain = re.sub(r"\.\d+", "", text.upper())
    try:
        return int(datetime.fromisoformat(plain).timestamp())
    except (ValueError, OverflowError):
        raise InvalidValue(f"message.{field}", text, "is no time of RFC 3339") from None
