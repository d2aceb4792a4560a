"""From the Authorization field of a request to the identity behind it."""

from __future__ import annotations

from collections.abc import Sequence

from backend.accounts.identity import Identity, granted
from backend.accounts.keys import MARK, prefix_of, proves
from backend.accounts.recent import Recent
from backend.accounts.tokens import TokenVerifier
from backend.errors import InvalidCredentials, Unauthenticated
from backend.models import ApiKey, User
from backend.ports import AccountStore

_CREDENTIAL_BYTES_MAX = 8192  # what servers take as one header; a token with a few scopes has 1 kB
_FRESH_SECONDS = 10.0  # a revoked key ends within that; one look-up a user in that time


class Authenticator:
    """Knows callers by API key or by token."""

    def __init__(self, store: AccountStore, *, tokens: TokenVerifier | None = None, outage_seconds: float) -> None:
        """tokens: None takes API keys only. outage_seconds: for which a store that is away locks out nobody known."""
        self._store = store
        self._tokens = tokens
        self._keys: Recent[ApiKey] = Recent(fresh_seconds=_FRESH_SECONDS, stale_seconds=outage_seconds)
        self._users: Recent[User] = Recent(fresh_seconds=_FRESH_SECONDS, stale_seconds=outage_seconds)

    @property
    def issuer_left_alone(self) -> bool:
        """Whether the issuer's keys could not be fetched and are not asked for now."""
        return self._tokens is not None and self._tokens.issuer_left_alone

    async def identify(self, authorization: Sequence[str]) -> Identity:
        """Return who sent these Authorization fields.

        Raises Unauthenticated when there is none, InvalidCredentials when it is wrong in any way,
        CatalogueUnavailable and IssuerUnavailable when that cannot be told now.
        """
        if not authorization:
            raise Unauthenticated
        scheme, _, credential = authorization[0].partition(" ")
        if len(authorization) > 1 or scheme.lower() != "bearer":
            raise Unauthenticated
        credential = credential.strip(" ")
        if not credential.isascii() or len(credential) > _CREDENTIAL_BYTES_MAX:
            raise InvalidCredentials
        return await (self._by_key(credential) if credential.startswith(MARK) else self._by_token(credential))

    def forget(self, user_id: int) -> None:
        """Look the keys of a user up anew."""
        self._keys.forget(lambda key: key.user.id == user_id)
        self._users.forget(lambda user: user.id == user_id)

    async def _by_key(self, credential: str) -> Identity:
        prefix = prefix_of(credential)
        key = await self._keys.get(prefix, self._store.key) if prefix else None
        if key is None or not proves(credential, key):
            raise InvalidCredentials
        return Identity(key.user, granted(key.user.role, key.scopes), key.id)

    async def _by_token(self, credential: str) -> Identity:
        if self._tokens is None:
            raise InvalidCredentials
        claims = await self._tokens.verify(credential)
        user = await self._users.get(claims.user_name, self._store.user_of_token)
        if user is None:
            raise InvalidCredentials
        return Identity(user, granted(user.role, claims.scopes))
