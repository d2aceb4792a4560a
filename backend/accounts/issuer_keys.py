"""The public keys of the tokens' issuer (JWKS, RFC 7517): fetched, kept, and fetched again when one is new."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from backend.errors import IssuerUnavailable

PublicKey = RSAKey | ECKey | OKPKey
_KEPT_SECONDS = 300.0  # a key that the issuer withdrew is believed no longer than that, unless the issuer is away
_PAUSE_SECONDS = 30.0  # between fetches, whatever keys callers make up
_PUBLIC_TYPES = ("RSA", "EC", "OKP")
_log = structlog.stdlib.get_logger("sonica.accounts")


class IssuerKeys:
    """Keys by their id."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], *, timer: Callable[[], float] = time.monotonic) -> None:
        """fetch: returns the issuer's JWKS as JSON, or raises whatever it does."""
        self._fetch = fetch
        self._timer = timer
        self._keys: Mapping[str, PublicKey] = {}
        self._fetched_at = self._tried_at = -float("inf")
        self._turn = asyncio.Lock()

    async def find(self, key_id: str) -> PublicKey:
        """Return the key; raises ValueError when the issuer has none of this id, IssuerUnavailable."""
        if self._wants(key_id):
            async with self._turn:
                if self._wants(key_id):  # nobody did while we waited
                    await self._refresh()
        if not self._keys:
            raise IssuerUnavailable
        if key_id not in self._keys:
            raise ValueError("the issuer has no such key")
        return self._keys[key_id]

    def _wants(self, key_id: str) -> bool:
        now = self._timer()
        if now - self._tried_at < _PAUSE_SECONDS:
            return False
        return key_id not in self._keys or now - self._fetched_at >= _KEPT_SECONDS

    async def _refresh(self) -> None:
        """Fetch the keys; while the issuer is away, those of before are used."""
        try:
            self._keys = read_keys(await self._fetch())
            self._fetched_at = self._timer()
        except Exception as error:  # a library's, or of a document that is none
            _log.warning("issuer_keys_not_fetched", error=type(error).__name__, kept=len(self._keys))
        finally:
            self._tried_at = self._timer()


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
