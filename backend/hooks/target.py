"""Where a webhook may go: the rules of its URL, and the address that it is sent to.

A name is looked up right before each request, every address it has is checked, and the connection
is made to a checked address, so that no second look-up can lead elsewhere (no request forgery into
the deployment's own network).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from backend.errors import InvalidValue

MAX_URL: Final = 2_048
_PORTS: Final = {"http": 80, "https": 443}
#: IPv4 inside IPv6 by translation (RFC 6052): what counts is the IPv4 address.
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart; `path` with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == _PORTS[self.scheme] else f"{shown}:{self.port}"

    def at(self, address: str) -> str:
        """The URL of the same thing at an address of its host."""
        shown = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{shown}:{self.port}{self.path}"


def read_target(url: str, *, private: bool) -> Target:
    """A URL that keeps the rules; raises InvalidValue.

    https to a public host; with `private` (deployments on one machine or in one network) any
    address, and http to loopback.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidValue("url", url[:200], f"is not plain ASCII of at most {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidValue("url", url, f"is no URL: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise InvalidValue("url", url, "is not of the form https://host/path")
    if "@" in parts.netloc:
        raise InvalidValue("url", url, "carries a user or a password")
    if parts.fragment or "#" in url:
        raise InvalidValue("url", url, "has a fragment, which is never sent")
    host = parts.hostname.rstrip(".")
    literal = _literal(host)
    if literal is not None:
        check_address(literal, private=private)
    loopback = host == "localhost" or (literal is not None and literal.is_loopback)
    if loopback and not private:
        raise InvalidValue("url", url, "is of a private network, which is not allowed here")
    if parts.scheme == "http" and not (private and loopback):
        raise InvalidValue("url", url, "is not https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path)


def check_address(address: Address, *, private: bool) -> None:
    """Raises InvalidValue for an address that a webhook may not be sent to."""
    meant = _meant(address)
    if meant.is_multicast or meant.is_unspecified or meant.is_reserved:
        raise InvalidValue("url", str(address), "is no address of a host")
    if not meant.is_global and not private:
        raise InvalidValue("url", str(address), "is of a private network, not allowed here")


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
