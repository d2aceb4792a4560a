"""Kills, pauses and restarts PostgreSQL under a service: recognitions go on, and nothing wrong is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import sonica_fingerprint
from sonica_fingerprint import extract

from backend.accounts import authenticator
from backend.accounts.keys import make_key, prefix_of
from backend.app import create_app
from backend.catalogue.accounts import PostgresAccounts
from backend.catalogue.migrations import migrate
from backend.catalogue.postgres import PostgresCatalogue
from backend.settings import Settings
from tests.accounts import bearer
from tests.factories import make_new_song
from tests.music import RATE_HZ, make_music
from tests.origins import client_of
from tests.postgres_server import PostgresProcess, running_postgres

SONG_SECONDS = 16.0
STARTS = range(0, 12)  # seconds into a song: as many queries of it
# The wait is long, for a busy machine must not fail a test.
FAST = {"database_wait_seconds": 2.0, "database_retry_seconds": 0.05, "index_poll_seconds": 0.05, "cache_warm_songs": 0}
HEADERS = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}


@pytest.fixture(scope="module")
def _postgres() -> Iterator[PostgresProcess]:
    with running_postgres() as server:
        asyncio.run(_fill(server.url))
        yield server


@pytest.fixture
def postgres(_postgres: PostgresProcess) -> Iterator[PostgresProcess]:
    """A server with songs 1 and 2."""
    _postgres.start()
    yield _postgres
    _postgres.resume()


async def _fill(url: str) -> None:
    await migrate(url)
    catalogue = await PostgresCatalogue.connect(url, pool_max=1, timeout_seconds=20)
    for seed in (1, 2):
        await catalogue.put(make_new_song(seed, fingerprint=extract(make_music(seed, SONG_SECONDS)).thinned(4)))
    await catalogue.close()


@asynccontextmanager
async def serving(data_dir: Path, postgres: PostgresProcess, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(data_dir=data_dir, database_url=postgres.url, **FAST, **settings))
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


@cache
def query(seed: int, start: int) -> bytes:
    samples = make_music(seed, SONG_SECONDS)[start * RATE_HZ : (start + 4) * RATE_HZ]
    return sonica_fingerprint.encode(extract(samples))


async def recognize(client: httpx.AsyncClient, seed: int, start: int = 4, **headers: str) -> dict[str, Any]:
    """Return the answer, which is the right one whatever has become of the database."""
    response = await client.post("/v1/recognize", content=query(seed, start), headers=HEADERS | headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert [match["song"]["id"] for match in answer["matches"]] == [seed]
    (match,) = answer["matches"]
    assert abs(match["offset_ms"] - 1000 * start) < 500
    assert match["score"] > 0.9
    assert match["song"]["title"] == (None if answer["degraded"] else f"Title {seed}")
    return answer


async def recognize_all(client: httpx.AsyncClient) -> list[bool]:
    """Recognize many clips at a time; say which answers are degraded."""
    answers = await asyncio.gather(*(recognize(client, seed, start) for start in STARTS for seed in (1, 2)))
    return [answer["degraded"] for answer in answers]


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110  # it is the database that is waited for
            await asyncio.sleep(0.02)


async def degraded(client: httpx.AsyncClient) -> list[str]:
    response = await client.get("/readyz")
    assert response.status_code == 200, response.text
    parts: list[str] = response.json()["degraded"]
    return parts


async def test_cached_songs_are_named_and_pages_say_why_not_when_the_database_is_killed(
    tmp_path: Path, postgres: PostgresProcess
) -> None:
    async with serving(tmp_path, postgres) as client:
        before = await recognize(client, 1)
        postgres.kill()
        kept, named = await recognize(client, 1), await recognize(client, 1, 5)
        page, song, away = await client.get("/v1/songs"), await client.get("/v1/songs/1"), await degraded(client)
        for _ in range(3):
            await client.get("/v1/songs")
        metrics = (await client.get("/metrics")).text
        postgres.start()

        async def back() -> bool:
            return await degraded(client) == []

        await eventually(back)
        assert (await client.get("/v1/songs/2")).json()["title"] == "Title 2"
        after = (await client.get("/metrics")).text

    assert (before["cache"], kept["cache"]) == ("miss", "memory")
    assert kept["matches"] == before["matches"]
    assert (named["cache"], named["degraded"]) == ("miss", False)  # the song was cached, the answer was not
    for refused in (page, song):
        assert (refused.status_code, refused.json()["code"]) == (503, "catalogue_unavailable")
        assert refused.headers["retry-after"] == "1"
    assert away == ["catalogue"]
    assert 'sonica_breaker_open{part="catalogue"} 1.0' in metrics
    assert 'sonica_breaker_open{part="catalogue"} 0.0' in after


async def test_song_has_an_id_and_nothing_else_when_its_name_is_not_cached_and_the_database_is_killed(
    tmp_path: Path, postgres: PostgresProcess
) -> None:
    async with serving(tmp_path, postgres, cache_bytes_max=0) as client:
        whole = await recognize(client, 1)
        postgres.kill()
        nameless = await recognize(client, 1)
        asked = await client.post("/v1/recognize?include=candidates", content=query(1, 4), headers=HEADERS)
        metrics = (await client.get("/metrics")).text

    assert nameless["degraded"]
    assert {name for name, value in nameless["matches"][0]["song"].items() if value is not None} == {"id"}
    unnamed = [{**match, "song": None} for match in whole["matches"]]
    assert [{**match, "song": None} for match in nameless["matches"]] == unnamed
    assert asked.json()["degraded"]
    assert {candidate["song"]["title"] for candidate in asked.json()["candidates"]} == {None}
    assert "sonica_degraded_recognitions_total 2.0" in metrics


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_requests_under_way_are_answered_when_the_database_stops_answering(
    tmp_path: Path, postgres: PostgresProcess, fault: str
) -> None:
    async with serving(tmp_path, postgres, cache_bytes_max=0) as client:

        async def whole() -> bool:
            return not any(await recognize_all(client))

        await eventually(whole)
        under_way = asyncio.create_task(recognize_all(client))
        await asyncio.sleep(0.01)
        {"kill": postgres.kill, "pause": postgres.pause}[fault]()
        await under_way
        during = await recognize_all(client)
        assert await degraded(client) == ["catalogue"]
        postgres.resume()
        postgres.start()
        await eventually(whole)

    assert all(during)


async def test_recognitions_go_on_when_the_database_restarts_again_and_again(
    tmp_path: Path, postgres: PostgresProcess
) -> None:
    async with serving(tmp_path, postgres, cache_bytes_max=0) as client:
        restarting = asyncio.create_task(_restart(postgres, times=3))
        rounds = 0
        while not restarting.done() or rounds == 0:
            await recognize_all(client)
            rounds += 1
        await restarting

        async def whole() -> bool:
            return not any(await recognize_all(client))

        await eventually(whole)


async def _restart(postgres: PostgresProcess, *, times: int) -> None:
    for _ in range(times):
        await asyncio.to_thread(postgres.shut_down)
        await asyncio.to_thread(postgres.start)


async def test_index_follows_the_catalogue_again_when_the_database_is_back(
    tmp_path: Path, postgres: PostgresProcess
) -> None:
    async with serving(tmp_path, postgres) as client:
        postgres.kill()
        await recognize(client, 1)
        postgres.start()
        catalogue = await PostgresCatalogue.connect(postgres.url, pool_max=1, timeout_seconds=20)
        stored = await catalogue.put(make_new_song(3, fingerprint=extract(make_music(3, SONG_SECONDS)).thinned(4)))
        assert stored is not None

        async def found() -> bool:
            response = await client.post("/v1/recognize", content=query(3, 4), headers=HEADERS)
            return [match["song"]["id"] for match in response.json()["matches"]] == [stored.song_id]

        await eventually(found)
        await catalogue.delete(stored.song_id)
        await catalogue.close()


async def test_known_keys_go_on_and_others_are_neither_let_in_nor_called_wrong_when_the_database_is_away(
    tmp_path: Path, postgres: PostgresProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "_FRESH_SECONDS", 0.0)  # so that the database is asked each time
    known, unknown, revoked = [await _add_key(postgres.url, name) for name in ("known", "unknown", "revoked")]
    async with serving(tmp_path, postgres, auth="on") as client:
        for key in (known, revoked):
            await recognize(client, 1, **bearer(key))
        await _revoke(postgres.url, revoked)
        assert (await client.get("/v1/me", headers=bearer(revoked))).status_code == 401
        postgres.kill()
        for _ in range(5):
            await recognize(client, 1, **bearer(known))
        refused = await client.post("/v1/recognize", content=query(1, 4), headers=HEADERS | bearer(unknown))
        gone = await client.get("/v1/me", headers=bearer(revoked))
        wrong = await client.get("/v1/me", headers=bearer(known[:-4] + "AAAA"))
        postgres.start()

        async def let_in() -> bool:
            return (await client.get("/v1/me", headers=bearer(unknown))).status_code == 200

        await eventually(let_in)

    assert (refused.status_code, refused.json()["code"]) == (503, "catalogue_unavailable")
    assert refused.headers["retry-after"] == "1"
    for answer in (gone, wrong):
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


async def _add_key(url: str, name: str) -> str:
    catalogue = await PostgresCatalogue.connect(url, pool_max=1, timeout_seconds=20)
    store = PostgresAccounts(catalogue.database)
    key, secret = make_key("free", ["recognize", "songs:read"])
    await store.add_key((await store.add_user(name, "free")).id, key)
    await catalogue.close()
    return secret


async def _revoke(url: str, secret: str) -> None:
    catalogue = await PostgresCatalogue.connect(url, pool_max=1, timeout_seconds=20)
    await PostgresAccounts(catalogue.database).expire_key(prefix_of(secret) or "", datetime.now(UTC))
    await catalogue.close()
