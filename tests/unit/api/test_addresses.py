from __future__ import annotations

from typing import Any

import pytest

from backend.api.addresses import client_address, read_networks
from backend.settings import Settings


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", field.encode()) for field in forwarded]
    return {"type": "http", "client": (peer, 5) if peer is not None else None, "headers": headers}


PROXIES = read_networks("10.0.0.0/8, ::1, 192.0.2.1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # whoever is no proxy may write what it likes
        ("10.1.1.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.1.1.1", ["6.6.6.6", "198.51.100.1, 192.0.2.1"], "198.51.100.1"),
        ("10.1.1.1", ["6.6.6.6, 10.2.2.2", "10.3.3.3"], "6.6.6.6"),
        ("10.1.1.1", ["198.51.100.1, nonsense"], "10.1.1.1"),
        ("10.1.1.1", [""], "10.1.1.1"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", [], "203.0.113.7"),
        ("2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", [], "unknown"),
        (None, ["198.51.100.1"], "unknown"),
    ],
)
def test_address_is_that_of_the_last_hop_that_no_trusted_proxy_is(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    assert client_address(scope(peer, *forwarded), PROXIES) == address


def test_forwarded_addresses_are_not_read_when_no_proxy_is_trusted() -> None:
    trusted = read_networks(Settings().trusted_proxies)

    assert client_address(scope("127.0.0.1", "198.51.100.1"), trusted) == "127.0.0.1"


def test_setting_is_refused_when_it_is_no_list_of_networks() -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        Settings(trusted_proxies="10.0.0.0/8, proxy.example")
