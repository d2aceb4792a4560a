"""An issuer of tokens, for tests."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

ISSUER = "https://issuer.example"
AUDIENCE = "sonica"
SETTINGS = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
SigningKey = RSAKey | ECKey | OKPKey | OctKey


def signing_key(kid: str = "first", *, alg: str = "ES256") -> SigningKey:
    """Return the same key for the same name: making RSA keys takes a while."""
    return _signing_key(kid, alg)


@cache
def _signing_key(kid: str, alg: str) -> SigningKey:
    if alg.startswith(("RS", "PS")):
        return RSAKey.generate_key(2048, {"kid": kid})
    if alg == "Ed25519":
        return OKPKey.generate_key("Ed25519", {"kid": kid})
    return ECKey.generate_key("P-256", {"kid": kid})


def jwks(*keys: SigningKey) -> str:
    """Return the public parts of keys as an issuer publishes them."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys or (signing_key(),)]})


def make_claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a token that is in order; None leaves one out."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "listener", "iat": now, "exp": now + 900, **changed}
    return {name: value for name, value in claims.items() if value is not None}


def make_token(
    *, key: SigningKey | None = None, alg: str = "ES256", header: dict[str, Any] | None = None, **claims: Any
) -> str:
    """Return a signed token."""
    key = key or signing_key(alg=alg)
    return jwt.encode({"alg": alg, "kid": key.kid, **(header or {})}, make_claims(**claims), key, algorithms=[alg])
