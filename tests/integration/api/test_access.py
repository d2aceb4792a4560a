"""Who gets in, and what is said to those who do not: the whole service over a real database."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import BaseRoute, Mount, Route

from backend.api.access import is_public, needed_scope
from backend.errors import CatalogueUnavailable
from backend.models import ApiKey
from backend.observability.logs import configure_logging
from tests.accounts import Service, bearer, guarded_service
from tests.tokens import ISSUER, SETTINGS, jwks, make_token, signing_key

# Every route and the scope that it needs: `anyone` may be nobody, `somebody` has any key.
ROUTES = {
    ("POST", "/v1/recognize"): "recognize",
    ("POST", "/recognize"): "recognize",
    ("GET", "/v1/match/{key}"): "recognize",
    ("GET", "/v1/songs"): "songs:read",
    ("GET", "/v1/songs/popular"): "songs:read",
    ("GET", "/v1/songs/{song_id}"): "songs:read",
    ("DELETE", "/v1/songs/{song_id}"): "songs:write",
    ("GET", "/v1/me"): "somebody",
    ("GET", "/v1/me/preferences"): "somebody",
    ("PUT", "/v1/me/preferences"): "somebody",
    ("GET", "/v1/me/history"): "somebody",
    ("GET", "/v1/me/history/export"): "somebody",
    ("DELETE", "/v1/me/history"): "somebody",
    ("GET", "/livez"): "anyone",
    ("GET", "/readyz"): "anyone",
    ("GET", "/metrics"): "admin",
    ("GET", "/docs"): "anyone",
    ("GET", "/docs/errors"): "anyone",
    ("GET", "/openapi.json"): "anyone",
    ("DELETE", "/v1/me"): "somebody",  # the last one: who asks for it is gone
}
SCOPES = ("recognize", "songs:read", "songs:write", "admin")


@pytest.fixture
async def service(tmp_path: Path, database_url: str) -> AsyncIterator[Service]:
    async with guarded_service(tmp_path, database_url, jwt_jwks=jwks(), **SETTINGS) as service:
        yield service


def operations(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Yield what can be asked for, but for the files of the documentation."""
    for route in routes:
        if isinstance(route, Route):
            yield from ((method, route.path) for method in (route.methods or ()) if method != "HEAD")
        elif not isinstance(route, Mount):
            included: Any = route
            yield from operations(included.original_router.routes)


def filled(path: str) -> str:
    return path.replace("{song_id}", "7").replace("{key}", "0" * 64)


async def test_every_route_asks_for_its_scope_and_no_other_does(service: Service) -> None:
    assert set(operations(service.app.routes)) - {("GET", "/docs/oauth2-redirect")} == set(ROUTES)
    keys = {scope: await service.key_of(await service.add_user(scope, "admin"), [scope]) for scope in SCOPES}

    for (method, path), needed in ROUTES.items():
        nobody = await service.client.request(method, filled(path))
        assert (nobody.status_code == 401) is (needed != "anyone"), (method, path)
        for scope, key in keys.items():
            response = await service.client.request(method, filled(path), headers=bearer(key))
            allowed = needed in ("anyone", "somebody", scope) or scope == "admin"
            assert (response.status_code == 403) is not allowed, (method, path, scope)
            assert response.status_code != 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/songs/1/secret"),
        ("GET", "/v1/future"),
        ("PATCH", "/v1/me"),
        ("GET", "//v1/songs"),
        ("GET", "/V1/songs"),
        ("GET", "/v1/songs/"),
        ("GET", "/livez/"),
        ("GET", "/livez\n"),
        ("OPTIONS", "/v1/recognize"),
        ("GET", "/metrics"),
    ],
)
def test_what_nobody_thought_of_needs_an_admin(method: str, path: str) -> None:
    assert not is_public(path)
    assert needed_scope(method, path) == "admin"


async def test_refusals_are_problems_that_say_how_to_get_in(service: Service) -> None:
    user = await service.add_user()
    key = await service.key_of(user)
    nobody = await service.client.get("/v1/songs")
    stranger = await service.client.get("/v1/songs", headers=bearer(key[:-1] + "_"))
    limited = await service.client.delete("/v1/songs/1", headers=bearer(key))

    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
    assert nobody.headers["www-authenticate"] == 'Bearer realm="sonica"'
    assert (stranger.status_code, stranger.json()["code"]) == (401, "invalid_credentials")
    assert stranger.headers["www-authenticate"] == 'Bearer realm="sonica", error="invalid_token"'
    assert (limited.status_code, limited.json()["code"]) == (403, "insufficient_scope")
    assert limited.headers["www-authenticate"] == 'Bearer realm="sonica", error="insufficient_scope"'
    assert "songs:write" in limited.json()["detail"]
    for response in (nobody, stranger, limited):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["cache-control"] == "no-store"
        assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    "field",
    ["", "Bearer", "Bearer ", "Basic {key}", "{key}", "Bearer {key} {key}", "Bearer x{key}", "Bearer sk_", "bearer é"],
)
async def test_nobody_gets_in_when_the_field_is_malformed(service: Service, field: str) -> None:
    key = await service.key_of(await service.add_user())
    assert (await service.client.get("/v1/me", headers={"Authorization": f"bearer {key}"})).status_code == 200

    response = await service.client.get("/v1/me", headers={"Authorization": field.format(key=key).encode()})

    assert response.status_code == 401


async def test_nobody_gets_in_when_two_say_who_they_are(service: Service) -> None:
    key = await service.key_of(await service.add_user())
    both = [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")]

    assert (await service.client.get("/v1/me", headers=both)).status_code == 401


@pytest.mark.parametrize("name", ["api_key", "access_token", "key", "token", "Authorization"])
async def test_key_is_not_read_when_it_is_in_the_query_string(service: Service, name: str) -> None:
    key = await service.key_of(await service.add_user())

    for value in (key, f"Bearer {key}"):
        assert (await service.client.get("/v1/me", params={name: value})).status_code == 401


async def test_body_is_not_read_when_the_sender_may_not_send_it(service: Service) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("nobody must ask for it")
        yield b""

    response = await service.client.post("/v1/recognize", content=body())

    assert response.status_code == 401


async def test_key_ends_when_it_expires_or_is_revoked(service: Service) -> None:
    user = await service.add_user()
    now = datetime.now(UTC)
    over = await service.key_of(user, expires_at=now - timedelta(seconds=1))
    good = await service.key_of(user, expires_at=now + timedelta(hours=1))
    revoked = await service.key_of(user)
    await service.accounts.store.expire_key(revoked[:15], now)

    statuses = [(await service.client.get("/v1/me", headers=bearer(key))).status_code for key in (over, good, revoked)]

    assert statuses == [401, 200, 401]


async def test_both_keys_get_in_when_one_was_rotated_and_only_the_new_one_later(service: Service) -> None:
    user = await service.add_user()
    old = await service.key_of(user)
    stored = await service.accounts.store.key(old[:15])
    assert stored is not None

    async def rotated(until: datetime) -> list[int]:
        from backend.accounts.keys import make_key

        key, new = make_key("free", stored.scopes)
        await service.accounts.store.replace_key(stored, key, until=until)
        return [(await service.client.get("/v1/me", headers=bearer(each))).status_code for each in (old, new)]

    now = datetime.now(UTC)
    assert await rotated(now + timedelta(hours=1)) == [200, 200]
    forget_recent(service)
    assert await rotated(now) == [401, 200]


def forget_recent(service: Service) -> None:
    """Have the service look keys up as it does after some seconds."""
    service.accounts.authenticator._keys._kept.clear()


async def test_key_loses_what_the_role_of_its_user_loses(service: Service) -> None:
    admin = await service.add_user("boss", "admin")
    key = await service.key_of(admin, ["songs:write", "songs:read"])
    assert (await service.client.delete("/v1/songs/7", headers=bearer(key))).status_code == 404

    await service.accounts.store.set_role("boss", "free")
    forget_recent(service)

    assert (await service.client.delete("/v1/songs/7", headers=bearer(key))).status_code == 403
    assert (await service.client.get("/v1/songs", headers=bearer(key))).status_code == 200


async def test_key_is_good_for_nothing_when_its_user_was_deleted(service: Service) -> None:
    key = await service.key_of(await service.add_user())
    await service.accounts.store.delete_user("someone")

    assert (await service.client.get("/v1/me", headers=bearer(key))).status_code == 401


async def test_token_gets_in_as_a_user_of_its_own(service: Service) -> None:
    await service.add_user("listener", "admin")  # of the subject's name, but nobody's token

    me = (await service.client.get("/v1/me", headers=bearer(make_token(scope="recognize admin")))).json()

    assert (me["name"], me["role"], me["scopes"]) == (f"{ISSUER}#listener", "free", ["recognize"])


async def test_token_may_more_when_its_user_was_given_a_role(service: Service) -> None:
    await service.add_user(f"{ISSUER}#boss", "admin")
    listener = make_token(sub="boss")
    boss = make_token(sub="boss", scope="songs:write")

    assert (await service.client.delete("/v1/songs/7", headers=bearer(listener))).status_code == 403
    assert (await service.client.delete("/v1/songs/7", headers=bearer(boss))).status_code == 404


async def test_token_gets_nobody_in_when_it_is_not_in_order(service: Service) -> None:
    stranger = signing_key("stranger")
    for token in (make_token(exp=1, iat=0), make_token(aud="other"), make_token(key=stranger), "a.b.c"):
        response = await service.client.get("/v1/me", headers=bearer(token))
        assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")


async def test_token_gets_nobody_in_when_no_issuer_is_set(tmp_path: Path, database_url: str) -> None:
    async with guarded_service(tmp_path, database_url) as service:
        assert (await service.client.get("/v1/me", headers=bearer(make_token()))).status_code == 401


async def test_who_was_there_gets_in_and_others_are_told_to_come_again_when_the_database_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await service.add_user()
    known, unknown = await service.key_of(user), await service.key_of(user)
    assert (await service.client.get("/v1/me", headers=bearer(known))).status_code == 200

    async def away(prefix: str) -> ApiKey | None:
        raise CatalogueUnavailable

    monkeypatch.setattr(type(service.accounts.store), "key", lambda self, prefix: away(prefix))
    monkeypatch.setattr(service.accounts.authenticator._keys, "_fresh_seconds", 0.0)

    assert (await service.client.get("/v1/me", headers=bearer(known))).status_code == 200
    response = await service.client.get("/v1/me", headers=bearer(unknown))
    assert (response.status_code, response.json()["code"]) == (503, "catalogue_unavailable")


async def test_no_secret_is_told_or_logged_when_requests_are_served_and_refused(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    key = await service.key_of(await service.add_user())
    token = make_token()
    wrong = key[:-6] + "AAAAAA"
    configure_logging("DEBUG")  # to the stderr of this very test
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the client of this test
    answers: list[Any] = []
    for secret in (key, token, wrong, token[:-6] + "AAAAAA", f"{key} {key}"):
        for field in (f"Bearer {secret}", f"Basic {secret}", secret):
            answers.append(await service.client.get("/v1/me", headers={"Authorization": field}))
        answers.append(await service.client.get("/v1/me", params={"api_key": secret}))
        answers.append(await service.client.get(f"/v1/songs/{secret}", headers=bearer(key)))
    await service.accounts.recorder.flush()

    logged = capsys.readouterr().err
    told = "".join(f"{answer.headers} {answer.text}" for answer in answers if secret_free(answer))
    assert '"event": "request"' in logged
    for private in (key[16:-6], token.rpartition(".")[2][:-6]):
        assert private not in logged
        assert private not in told
    assert not re.search(r"[0-9a-f]{64}", told)


def secret_free(answer: Any) -> bool:
    """Leave out the problems that give back the path that a caller wrote its secret into."""
    return "/v1/songs/" not in str(answer.request.url)


async def test_nothing_asks_who_comes_when_authentication_is_off(tmp_path: Path) -> None:
    from tests.origins import serving

    async with serving(tmp_path) as client:
        described = (await client.get("/openapi.json")).json()
        songs = await client.get("/v1/songs", headers=bearer("sk_nonsense"))
        me = await client.get("/v1/me")

    assert (songs.status_code, me.status_code) == (200, 404)
    assert not {"ratelimit", "ratelimit-policy", "vary"} & songs.headers.keys()
    assert "securitySchemes" not in described.get("components", {})
