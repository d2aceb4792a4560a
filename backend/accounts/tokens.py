"""Short-lived tokens (JWT, RFC 7519, after the advice of RFC 8725) of the issuer that the settings name."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from backend.accounts.identity import LISTENER_SCOPES
from backend.accounts.issuer_keys import IssuerKeys
from backend.errors import InvalidCredentials

LEEWAY_SECONDS = 30  # between the issuer's clock and ours
_SUBJECT_BYTES_MAX = 255  # as in OpenID Connect
_TYPES = ("jwt", "at+jwt", "application/at+jwt")  # RFC 9068 has the latter
# What a malformed token makes the parser raise besides its own: of types that do not fit, endless numbers, deep JSON.
_MALFORMED = (JoseError, ValueError, TypeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What a token must say of itself."""

    issuer: str
    audience: str
    algorithms: frozenset[str]  # none that takes a shared secret
    lifetime_seconds_max: int


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token that is in order says: whose it is, and for what."""

    user_name: str  # `issuer#subject`: no name that someone may choose elsewhere
    scopes: frozenset[str]


class TokenVerifier:
    """Verifies tokens by the keys of their issuer."""

    def __init__(self, policy: TokenPolicy, keys: IssuerKeys, *, clock: Callable[[], float] = time.time) -> None:
        self._policy = policy
        self._keys = keys
        self._clock = clock

    @property
    def issuer_left_alone(self) -> bool:
        """Whether the issuer's keys could not be fetched and are not asked for now."""
        return self._keys.left_alone

    async def verify(self, token: str) -> TokenClaims:
        """Return what the token says.

        Raises InvalidCredentials for whatever is not in order, without a word on what, and IssuerUnavailable.
        """
        try:
            header = jws.extract_compact(token.encode(), registry=JWSRegistry(algorithms=self._algorithms)).headers()
            _check_type(header)
            # A set of one key, so that its own `alg` and `use` are held to as well.
            key = KeySet([await self._keys.find(_text(header, "kid"))])
            claims = jwt.decode(token, key, algorithms=self._algorithms).claims
            self._check(claims)
            return TokenClaims(f"{self._policy.issuer}#{_subject(claims)}", _scopes(claims))
        except _MALFORMED as error:
            raise InvalidCredentials from error

    @property
    def _algorithms(self) -> Collection[str]:
        return self._policy.algorithms

    def _check(self, claims: dict[str, Any]) -> None:
        registry = jwt.JWTClaimsRegistry(
            now=int(self._clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._policy.issuer},
            aud={"essential": True, "value": self._policy.audience},
            exp={"essential": True},
            iat={"essential": True},
        )
        registry.validate(claims)
        # Said this way round, the comparison is false for a NaN too.
        if not 0 < claims["exp"] - claims["iat"] <= self._policy.lifetime_seconds_max:
            raise ValueError("the token lives too long")


def _check_type(header: Mapping[str, Any]) -> None:
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise ValueError("the token is of another type")


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"the token has no {name}")
    return value


def _subject(claims: Mapping[str, Any]) -> str:
    subject = _text(claims, "sub")
    if not subject.isprintable() or len(subject.encode()) > _SUBJECT_BYTES_MAX:
        raise ValueError("the subject cannot be a name")
    return subject


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes of `scope` (RFC 8693); a token without one is a listener's."""
    return frozenset(_text(claims, "scope").split()) if "scope" in claims else LISTENER_SCOPES
