"""Whose address a request comes from, behind proxies that are trusted or without any."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.types import Scope

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_IPV6_SITE_BITS = 64  # one customer has at least so many addresses


def read_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list such as `10.0.0.0/8, ::1`; raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """Return the address that a request is counted for, of IPv6 the network.

    X-Forwarded-For is believed only where a trusted proxy wrote it: from its end up to the first address that is
    none of theirs. Its beginning is written by whoever sends the request.
    """
    client = _address(scope["client"][0]) if scope.get("client") else None
    fields = Headers(scope=scope).getlist("x-forwarded-for")
    hops = [hop for field in fields for hop in field.split(",")]
    while client is not None and hops and _among(client, trusted):
        if (before := _address(hops.pop())) is None:
            break
        client = before
    return "unknown" if client is None else _counted(client)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _counted(address: Address) -> str:
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _IPV6_SITE_BITS), strict=False))
    return str(address)
