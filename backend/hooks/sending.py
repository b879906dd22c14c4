"""One request: a signed event to a checked address, within bounds, and what came of it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from backend.errors import InvalidValue
from backend.hooks.signing import sign
from backend.hooks.target import Target, check_address, read_target
from backend.store.webhook_deliveries import Outcome, Outgoing

#: Seconds for everything: look-up, connection, answer.
TIMEOUT_SECONDS: Final = 10.0
#: Of an answer so much is read, and so many characters of it are kept.
MOST_ANSWER: Final = 65_536
MOST_KEPT: Final = 1_024
AGENT: Final = "Causeway-Webhooks/1"

Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """Addresses of a host."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


async def send(
    event: Outgoing,
    *,
    private: bool,
    timeout: float = TIMEOUT_SECONDS,
    look_up: Resolve = resolve,
) -> Outcome:
    """Send an event once; never raises for what the receiver or the network does."""
    began = time.monotonic()

    def outcome(status: int | None, error: str | None, answer: str = "") -> Outcome:
        spent = int((time.monotonic() - began) * 1_000)
        return Outcome(status, None if error is None else error[:300], spent, answer)

    try:
        async with asyncio.timeout(timeout):
            target = read_target(event.url, private=private)
            address = await _checked(target, private, look_up)
            status, answer = await _post(event, target, address)
    except TimeoutError:
        return outcome(None, f"no answer within {timeout:g} s")
    except InvalidValue as error:
        return outcome(None, error.message)
    except OSError as error:
        return outcome(None, f"the host was not found: {error}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return outcome(None, f"{type(error).__name__}: {error}")
    if 300 <= status < 400:
        return outcome(status, f"HTTP {status}: redirects are not followed", answer)
    return outcome(status, None, answer)


async def _checked(target: Target, private: bool, look_up: Resolve) -> str:
    """The first of the host's addresses; InvalidValue when any of them is not allowed."""
    found = await look_up(target.host, target.port)
    for one in found:
        # A scope (`%eth0`) is of a link: what is before it says the same.
        check_address(ipaddress.ip_address(one.partition("%")[0]), private=private)
    if not found:
        raise InvalidValue("url", target.host, "has no address")
    return found[0]


async def _post(event: Outgoing, target: Target, address: str) -> tuple[int, str]:
    body = event.body.encode()
    headers = {
        **sign(event.secrets, event.id, int(time.time()), body),
        "Content-Type": "application/json",
        "User-Agent": AGENT,
        "Host": target.authority,
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    # The certificate is checked for the name, though the connection goes to the address.
    named = {"sni_hostname": target.host}
    async with (
        # No proxy of the environment: it would look the name up again.
        httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=None) as client,
        client.stream(
            "POST", target.at(address), content=body, headers=headers, extensions=named
        ) as answer,
    ):
        read = b""
        async for part in answer.aiter_raw(8_192):
            read += part
            if len(read) >= MOST_ANSWER:
                break
        kept = read[: 4 * MOST_KEPT].decode("utf-8", "replace")[:MOST_KEPT]
        return answer.status_code, "".join(c if c.isprintable() else " " for c in kept)
