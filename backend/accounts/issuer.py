"""Where the keys of the tokens' issuer come from: the settings themselves, or the issuer's JWKS over HTTPS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from backend.accounts.issuer_keys import IssuerKeys, read_keys
from backend.accounts.tokens import TokenPolicy, TokenVerifier
from backend.errors import InvalidRequest
from backend.settings import Settings

_BYTES_MAX = 256_000  # a hundred keys with their certificates
_SECONDS_MAX = 3.0  # a request may wait for it


def token_verifier(settings: Settings) -> TokenVerifier | None:
    """Return what verifies tokens, None where no issuer is set; raises InvalidRequest for half a setting."""
    if settings.jwt_jwks is None:
        return None
    if settings.jwt_issuer is None or settings.jwt_audience is None:
        raise InvalidRequest("SONICA_JWT_JWKS needs SONICA_JWT_ISSUER and SONICA_JWT_AUDIENCE")
    policy = TokenPolicy(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithms=frozenset(settings.jwt_algorithms.split(",")),
        lifetime_seconds_max=settings.jwt_lifetime_seconds_max,
    )
    return TokenVerifier(policy, IssuerKeys(_source(settings.jwt_jwks.strip())))


def _source(jwks: str) -> Callable[[], Awaitable[bytes]]:
    if jwks.startswith("{"):
        return _inline(jwks)
    url = urlsplit(jwks)
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname or "")):
        raise InvalidRequest("SONICA_JWT_JWKS is neither a JWKS nor an https:// URL of one")
    return _download(jwks)


def _inline(jwks: str) -> Callable[[], Awaitable[bytes]]:
    try:
        read_keys(jwks)
    except ValueError as error:
        raise InvalidRequest(f"SONICA_JWT_JWKS: {error}") from error

    async def given() -> bytes:
        return jwks.encode()

    return given


def _download(url: str) -> Callable[[], Awaitable[bytes]]:
    async def fetched() -> bytes:
        """Fetch the JWKS, following no redirection: the keys are believed because of where they are."""
        async with httpx.AsyncClient(timeout=_SECONDS_MAX) as client, client.stream("GET", url) as response:
            response.raise_for_status()
            document = b""
            async for piece in response.aiter_bytes():
                document += piece
                if len(document) > _BYTES_MAX:
                    raise ValueError("the JWKS is too large")
            return document

    return fetched


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
