"""API keys: how they are made, read and proved. Nothing here or elsewhere keeps one."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

from backend.accounts.identity import granted
from backend.errors import InvalidRequest
from backend.models import ApiKey, NewApiKey, Role

MARK = "sk_"  # by which people and secret scanners tell what it is
_KEY = re.compile(r"(sk_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")


def make_key(
    role: Role, scopes: Iterable[str], *, label: str = "", expires_at: datetime | None = None
) -> tuple[NewApiKey, str]:
    """Return a key to store, and the secret to show once; raises InvalidRequest for scopes that the role lacks."""
    wanted = frozenset(scopes)
    allowed = granted(role, wanted)
    if not wanted or wanted != allowed:
        lacking = ", ".join(sorted(wanted - allowed)) or "no scope"
        raise InvalidRequest(f"the role {role} cannot have a key for {lacking}")
    prefix = MARK + secrets.token_hex(6)
    secret = f"{prefix}_{secrets.token_urlsafe(32)}"
    return NewApiKey(prefix, _hash(secret), label, allowed, expires_at), secret


def prefix_of(credential: str) -> str | None:
    """Return the prefix of what has the form of a key."""
    found = _KEY.fullmatch(credential)
    return found[1] if found else None


def proves(credential: str, key: ApiKey, *, now: datetime | None = None) -> bool:
    """Say whether the credential is this very key, and the key is still good."""
    same = hmac.compare_digest(_hash(credential), key.secret_sha256)
    return same and (key.expires_at is None or (now or datetime.now(UTC)) < key.expires_at)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
