"""What may not pass for a token, after RFC 8725."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from joserfc.jwk import OctKey

from backend.accounts.issuer_keys import IssuerKeys
from backend.accounts.tokens import TokenPolicy, TokenVerifier
from backend.errors import InvalidCredentials
from tests import tokens
from tests.tokens import AUDIENCE, ISSUER, SigningKey, jwks, signing_key

NOW = 2_000_000_000


def make_claims(**changed: Any) -> dict[str, Any]:
    return tokens.make_claims(**{"iat": NOW, "exp": NOW + 900, **changed})


def make_token(**changed: Any) -> str:
    return tokens.make_token(**{"iat": NOW, "exp": NOW + 900, **changed})


def verifier(*keys: SigningKey, algorithms: frozenset[str] = frozenset({"RS256", "ES256", "Ed25519"})) -> TokenVerifier:
    async def fetch() -> bytes:
        return jwks(*keys).encode()

    policy = TokenPolicy(ISSUER, AUDIENCE, algorithms, lifetime_seconds_max=900)
    return TokenVerifier(policy, IssuerKeys(fetch), clock=lambda: NOW)


def part(document: object) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def refused(token: str, *keys: SigningKey) -> bool:
    with pytest.raises(InvalidCredentials) as raised:
        await verifier(*keys).verify(token)
    return token not in str(raised.value)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
async def test_token_says_whose_it_is_when_it_is_in_order(alg: str) -> None:
    claims = await verifier(signing_key(alg=alg)).verify(make_token(alg=alg, scope="recognize songs:read"))

    assert (claims.user_name, claims.scopes) == (f"{ISSUER}#listener", {"recognize", "songs:read"})


async def test_token_is_a_listeners_when_it_names_no_scope() -> None:
    assert (await verifier().verify(make_token())).scopes == {"recognize", "songs:read"}


async def test_audience_may_be_one_of_several() -> None:
    assert await verifier().verify(make_token(aud=["other", AUDIENCE]))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"iss": "https://other.example"},
        {"iss": [ISSUER]},
        {"aud": None},
        {"aud": "other"},
        {"aud": []},
        {"aud": {AUDIENCE: 1}},
        {"exp": None},
        {"exp": NOW - 31, "iat": NOW - 600},
        {"exp": str(NOW + 60)},
        {"exp": True},
        {"exp": 10**400},
        {"exp": NOW + 901, "iat": NOW},
        {"exp": NOW + 60, "iat": NOW + 50},
        {"exp": NOW, "iat": NOW},
        {"iat": None},
        {"iat": "now"},
        {"iat": 1.5e308, "exp": 1.6e308},
        {"nbf": NOW + 60},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"sub": "a\x00b"},
        {"sub": "a\nb"},
        {"scope": ["recognize"]},
        {"scope": ""},
    ],
    ids=str,
)
async def test_token_is_refused_when_a_claim_is_wrong(claims: dict[str, Any]) -> None:
    assert await refused(make_token(**claims))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
async def test_token_is_refused_when_it_is_unsigned(alg: str) -> None:
    head = part({"alg": alg, "typ": "JWT", "kid": "first"})

    assert await refused(f"{head}.{part(make_claims())}.")
    assert await refused(f"{head}.{part(make_claims())}.{make_token().rpartition('.')[2]}")


async def test_token_is_refused_when_the_public_key_is_used_as_a_shared_secret() -> None:
    public = signing_key(alg="RS256")
    signed = f"{part({'alg': 'HS256', 'kid': 'first'})}.{part(make_claims())}"
    for encoding in ("PEM", "DER"):
        secret = public.as_bytes(encoding=encoding, private=False)
        signature = hmac.digest(secret, signed.encode(), "sha256")
        assert await refused(f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}", public)


async def test_token_is_refused_when_the_issuer_publishes_a_shared_secret() -> None:
    secret = OctKey.import_key("a secret that is long enough for HS256", {"kid": "shared"})

    async def fetch() -> bytes:
        return json.dumps({"keys": [signing_key().as_dict(private=False), secret.as_dict(private=True)]}).encode()

    policy = TokenPolicy(ISSUER, AUDIENCE, frozenset({"ES256"}), lifetime_seconds_max=900)
    with pytest.raises(InvalidCredentials):
        await TokenVerifier(policy, IssuerKeys(fetch), clock=lambda: NOW).verify(make_token(key=secret, alg="HS256"))


async def test_token_is_refused_when_its_algorithm_is_not_allowed() -> None:
    key = signing_key(alg="RS256")
    only_es256 = verifier(key, algorithms=frozenset({"ES256"}))

    with pytest.raises(InvalidCredentials):
        await only_es256.verify(make_token(alg="RS256"))
    assert await verifier(key).verify(make_token(alg="RS256"))


async def test_token_is_refused_when_another_key_signed_it() -> None:
    stranger = signing_key("stranger")

    assert await refused(make_token(key=stranger))  # of a key id that the issuer does not have
    assert await refused(make_token(key=stranger, header={"kid": "first"}))  # under the name of one that it has
    assert await refused(make_token(header={"kid": "second"}), signing_key(), signing_key("second"))


@pytest.mark.parametrize("kid", [None, "", 7, ["first"], "../../first", "x" * 400])
async def test_token_is_refused_when_its_key_id_is_none(kid: object) -> None:
    genuine = make_token()
    head = part({"alg": "ES256"} if kid is None else {"alg": "ES256", "kid": kid})

    assert await refused(f"{head}.{genuine.partition('.')[2]}")


async def test_token_is_refused_when_it_brings_its_own_key() -> None:
    stranger = signing_key("stranger")
    header = {"jwk": stranger.as_dict(private=False), "kid": "first"}

    assert await refused(make_token(key=stranger, header=header))


async def test_token_is_refused_when_it_is_of_another_type() -> None:
    assert await verifier().verify(make_token(header={"typ": "at+jwt"}))
    assert await refused(make_token(header={"typ": "logout+jwt"}))


async def test_token_is_refused_when_a_part_was_changed() -> None:
    head, claims, signature = make_token().split(".")
    raised = part(make_claims(scope="admin"))

    assert await refused(f"{head}.{raised}.{signature}")
    assert await refused(f"{head}.{claims}.{signature[:-4]}AAAA")
    assert await refused(f"{head}.{claims}.")
    assert await refused(f"{head}.{claims}")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "....",
        f"{part('[]')}.{part({})}.AAAA",
        f"{part({'alg': ['ES256'], 'kid': 'first'})}.{part({})}.AAAA",
        f"{part({'alg': 'ES256', 'kid': 'first', 'crit': ['exp']})}.{part({})}.AAAA",
        f"{part('[' * 300)}.{part({})}.AAAA",
        f"{part('{' * 100_000)}.{part({})}.AAAA",
        "A" * 8000,
        "A" * 200_000,
    ],
    ids=lambda token: token[:12],
)
async def test_token_is_refused_when_it_is_malformed(token: str) -> None:
    with pytest.raises(InvalidCredentials):
        await verifier().verify(token)
