"""The public keys of the tokens' issuer (JWKS, RFC 7517): fetched, kept, and fetched again when one is new."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from backend.breaker import Breaker
from backend.errors import IssuerUnavailable

PublicKey = RSAKey | ECKey | OKPKey
_KEPT_SECONDS = 300.0  # a key that the issuer withdrew is believed no longer than that, unless the issuer is away
_PAUSE_SECONDS = 30.0  # between fetches that worked, whatever keys callers make up
_RETRY_SECONDS = 5.0  # between those that did not: one request waits for it, the others use what there is
_PUBLIC_TYPES = ("RSA", "EC", "OKP")
_log = structlog.stdlib.get_logger("sonica.accounts")


class IssuerKeys:
    """Keys by their id."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], *, timer: Callable[[], float] = time.monotonic) -> None:
        """fetch: returns the issuer's JWKS as JSON, or raises whatever it does."""
        self._fetch = fetch
        self._timer = timer
        self._keys: Mapping[str, PublicKey] = {}
        self._fetched_at = -float("inf")
        self._tries = 0
        self._turn = asyncio.Lock()
        self._breaker = Breaker(failures_max=1, retry_seconds=_RETRY_SECONDS, timer=timer)

    @property
    def left_alone(self) -> bool:
        """Whether the last fetch failed, and the next one has to wait."""
        return self._breaker.open

    async def find(self, key_id: str) -> PublicKey:
        """Return the key; raises ValueError when the issuer has none of this id, IssuerUnavailable."""
        if self._wants(key_id) and self._breaker.allows():
            tries = self._tries
            async with self._turn:
                if tries == self._tries:  # nobody did while we waited
                    await self._refresh()
        if key_id in self._keys:
            return self._keys[key_id]
        if self.left_alone or not self._keys:
            raise IssuerUnavailable
        raise ValueError("the issuer has no such key")

    def _wants(self, key_id: str) -> bool:
        age = self._timer() - self._fetched_at
        return age >= (_KEPT_SECONDS if key_id in self._keys else _PAUSE_SECONDS)

    async def _refresh(self) -> None:
        """Fetch the keys; while the issuer is away, those of before are used."""
        try:
            self._keys = read_keys(await self._fetch())
            self._fetched_at = self._timer()
            self._breaker.succeeded()
        except Exception as error:  # a library's, or of a document that is none
            self._breaker.failed()
            _log.warning("issuer_keys_not_fetched", error=type(error).__name__, kept=len(self._keys))
        finally:
            self._tries += 1


def read_keys(document: bytes | str) -> Mapping[str, PublicKey]:
    """Return the public keys of a JWKS by id; whatever else is in it is passed over. Raises ValueError."""
    found = json.loads(document)
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError("this is no JWKS: an object with a list `keys`")
    keys = {key.kid: key for each in found["keys"] if (key := _public_key(each)) is not None and key.kid}
    if not keys:
        raise ValueError("the JWKS has no public key with an id")
    return keys


def _public_key(document: object) -> PublicKey | None:
    """Read a key; a shared secret (`oct`) is none, for whoever verifies with it could sign too."""
    if not isinstance(document, dict) or document.get("kty") not in _PUBLIC_TYPES:
        return None
    try:
        key = import_key(document)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, PublicKey) else None
