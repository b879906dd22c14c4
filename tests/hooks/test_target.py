"""Where a webhook may go: never into the deployment's own network unless that is allowed."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from backend.errors import InvalidValue
from backend.hooks.sending import send
from backend.hooks.target import check_address, read_target
from backend.store.webhook_deliveries import Outgoing

pytestmark = pytest.mark.unit


def test_a_public_https_address_is_taken_apart() -> None:
    target = read_target("https://hooks.example.com/causeway?key=1", private=False)
    assert (target.host, target.port, target.path) == ("hooks.example.com", 443, "/causeway?key=1")
    assert target.authority == "hooks.example.com"
    assert target.at("93.184.215.14") == "https://93.184.215.14:443/causeway?key=1"
    assert read_target("https://h.example:8443", private=False).authority == "h.example:8443"
    assert read_target("https://[2606:4700::1]/", private=False).at("2606:4700::1") == (
        "https://[2606:4700::1]:443/"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://",
        "https:///path",
        "https://user:password@hooks.example.com/",
        "https://hooks.example.com/#part",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nHost: other",
        "https://例え.example/",
        "https://[::1",
        "https://hooks.example.com/" + "a" * 2_048,
        "https://127.0.0.1/",
        "https://localhost/",
        "https://localhost./",
        "https://10.0.0.8/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.8]/",
        "http://127.0.0.1:9000/",
    ],
)
def test_what_is_not_a_public_https_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue):
        read_target(url, private=False)


def test_where_private_addresses_are_allowed_http_still_is_for_this_machine_only() -> None:
    assert read_target("http://127.0.0.1:9000/", private=True).port == 9000
    assert read_target("https://10.0.0.8/", private=True).host == "10.0.0.8"
    with pytest.raises(InvalidValue):
        read_target("http://10.0.0.8/", private=True)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1"),
        *("192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "2002:7f00:1::1"),
        *("64:ff9b::a00:1", "2001:db8::1"),
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(InvalidValue):
        check_address(ipaddress.ip_address(address), private=False)


def test_a_name_with_one_private_address_among_others_is_not_connected_to() -> None:
    """The unit tests' own guard fails a connection: none is tried."""

    async def rebound(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "127.0.0.1"]

    event = Outgoing(1, "evt_1", "https://hooks.example.com/", "{}", (bytes(32),))
    outcome = asyncio.run(send(event, private=False, look_up=rebound))
    assert not outcome.delivered
    assert outcome.error is not None
    assert "private network" in outcome.error
