"""A server starts while PostgreSQL is away, answers from its index, and is whole when PostgreSQL is back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sonica_fingerprint import CONTENT_TYPE, encode, extract

from backend.app import create_app
from backend.bundles.signatures import public_text
from backend.catalogue.accounts import PostgresAccounts
from backend.catalogue.database import session
from backend.catalogue.migrations import migrate, migrations
from backend.catalogue.postgres import PostgresCatalogue
from backend.composition import open_servers_origin
from backend.errors import CatalogueUnavailable, SchemaVersionMismatch
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings
from tests.accounts import add_key, bearer
from tests.bundles import SIGNER, folder_place, publish
from tests.factories import make_new_song
from tests.music import RATE_HZ, make_music
from tests.origins import client_of
from tests.postgres_server import PostgresProcess, running_postgres
from tests.redis_server import RedisProcess

SONG_SECONDS = 16.0
FAST = {"database_retry_seconds": 0.05, "index_poll_seconds": 0.05}
PATIENT = {"database_wait_seconds": 20, "database_timeout_seconds": 20, "redis_timeout_seconds": 5}  # of a busy machine
SECONDS_MAX = 120
HEADERS = {"Content-Type": CONTENT_TYPE}
NEWEST = migrations()[-1].name


@pytest.fixture(scope="module")
def _postgres() -> Iterator[PostgresProcess]:
    with running_postgres() as server:
        asyncio.run(_fill(server.url))
        yield server


@pytest.fixture
def postgres(_postgres: PostgresProcess) -> PostgresProcess:
    """A server with songs 1 and 2."""
    _postgres.start()
    return _postgres


async def _fill(url: str) -> None:
    await migrate(url)
    for seed in (1, 2):
        await put(url, seed)


async def put(url: str, seed: int) -> None:
    catalogue = await PostgresCatalogue.connect(url, pool_max=1, timeout_seconds=20)
    await catalogue.put(make_new_song(seed, fingerprint=extract(make_music(seed, SONG_SECONDS)).thinned(4)))
    await catalogue.close()


async def execute(url: str, statement: str) -> None:
    async with session(url) as connection:
        await connection.execute(statement)


async def saved(kind: str, folder: Path, url: str) -> dict[str, Any]:
    """Save the index as a server would find it; return the settings that say where."""
    catalogue = await PostgresCatalogue.connect(url, pool_max=1, timeout_seconds=20)
    index = await FaissIndex.open(folder / "data/index", catalogue, search_depth=96)
    settings: dict[str, Any] = {"data_dir": folder / "data", "database_url": url}
    if kind == "bundle":
        await publish(index, catalogue, folder_place(folder / "store").publisher())
        settings |= {"bundle_url": str(folder / "store"), "bundle_public_keys": public_text(SIGNER)}
    else:
        index.save()
    await catalogue.close()
    return settings


@asynccontextmanager
async def serving(settings: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(**FAST | PATIENT | settings))
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


async def recognize(client: httpx.AsyncClient, seed: int, **headers: str) -> httpx.Response:
    samples = make_music(seed, SONG_SECONDS)[4 * RATE_HZ : 8 * RATE_HZ]
    return await client.post("/v1/recognize", content=encode(extract(samples)), headers=HEADERS | headers)


async def named(client: httpx.AsyncClient, seed: int) -> list[tuple[str | None, bool]]:
    """Return the titles that a clip is answered with, and whether the answer is degraded."""
    response = await recognize(client, seed)
    assert response.status_code == 200, response.text
    answer = response.json()
    return [(match["song"]["title"], answer["degraded"]) for match in answer["matches"]]


async def ready(client: httpx.AsyncClient, status: int = 200) -> dict[str, Any]:
    """Wait until /readyz has this status, and nothing is missing where it is 200."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            response = await client.get("/readyz")
            document: dict[str, Any] = response.json()
            if response.status_code == status and not (document.get("degraded") or document.get("revisions_behind")):
                return document
            await asyncio.sleep(0.02)


async def warmed(capsys: pytest.CaptureFixture[str]) -> None:
    """Wait until the cache says that it was warmed."""
    async with asyncio.timeout(SECONDS_MAX):
        while not any(each["event"] == "cache_warmed" for each in events(capsys)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("kind", ["snapshot", "bundle"])
async def test_server_answers_from_its_index_when_it_starts_without_its_database_and_is_whole_when_that_is_back(
    kind: str,
    postgres: PostgresProcess,
    redis_process: RedisProcess,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = await saved(kind, tmp_path, postgres.url) | {"redis_url": redis_process.url}
    new = {"snapshot": 3, "bundle": 4}[kind]
    await put(postgres.url, new)  # after the index was saved
    postgres.kill()
    async with serving(settings) as client:
        at_start = (await client.get("/readyz")).json()
        away = [await named(client, seed) for seed in (1, 2, new)]
        page = await client.get("/v1/songs")
        said = [each for each in events(capsys) if each["event"] == "started_without_catalogue"]
        postgres.start()
        whole = await ready(client)
        back = [await named(client, seed) for seed in (1, 2, new)]
        await warmed(capsys)
        with redis_process.client() as redis:
            keys = [key.decode() for key in redis.scan_iter()]

    assert (at_start["status"], at_start["degraded"]) == ("ready", ["catalogue"])
    assert at_start["songs"] == new - 1
    assert away == [[(None, True)], [(None, True)], []]
    assert (page.status_code, page.json()["code"]) == (503, "catalogue_unavailable")
    assert [(each["level"], each["songs"]) for each in said] == [("warning", new - 1)]
    assert "does not answer" in said[0]["error"]
    assert whole["songs"] == new
    assert back == [[(f"Title {seed}", False)] for seed in (1, 2, new)]
    assert {key.split(":")[1] for key in keys} == {await name_of(postgres.url)}


async def name_of(url: str) -> str:
    catalogue = await PostgresCatalogue.connect(url, pool_max=1, timeout_seconds=20)
    name = await catalogue.name()
    await catalogue.close()
    return name


async def new_key(url: str) -> str:
    catalogue = await PostgresCatalogue.connect(url, pool_max=1, timeout_seconds=20)
    store = PostgresAccounts(catalogue.database)
    key = await add_key(store, await store.add_user("someone", "free"), ["recognize"])
    await catalogue.close()
    return key


async def test_callers_are_known_again_when_the_database_is_back_and_nobody_is_let_in_before(
    postgres: PostgresProcess, tmp_path: Path
) -> None:
    key = await new_key(postgres.url)
    settings = await saved("snapshot", tmp_path, postgres.url) | {"auth": "on"}
    postgres.kill()
    async with serving(settings) as client:
        before = await recognize(client, 1, **bearer(key))
        nobody = await recognize(client, 1)
        postgres.start()
        await ready(client)
        after = await recognize(client, 1, **bearer(key))

    assert (before.status_code, before.json()["code"]) == (503, "catalogue_unavailable")
    assert before.headers["retry-after"] == "1"
    assert nobody.status_code == 401
    assert (after.status_code, after.json()["degraded"]) == (200, False)


@pytest.mark.parametrize(("spoil", "mend", "reason"), [
    (
        f"delete from schema_migrations where name = '{NEWEST}'",
        f"insert into schema_migrations (name) values ('{NEWEST}')",
        f"lacks {NEWEST}: run `sonica migrate`",
    ),
    (
        "insert into schema_migrations (name) values ('9999_contract_songs')",
        "delete from schema_migrations where name = '9999_contract_songs'",
        "9999_contract_songs, after which this program cannot use it",
    ),
])  # fmt: skip
async def test_schema_is_refused_at_the_start_and_when_the_database_comes_back(
    postgres: PostgresProcess, tmp_path: Path, spoil: str, mend: str, reason: str
) -> None:
    settings = await saved("snapshot", tmp_path, postgres.url)
    await execute(postgres.url, spoil)
    try:
        with pytest.raises(SchemaVersionMismatch) as at_start:
            async with open_servers_origin(Settings(**settings)):
                pass
        postgres.kill()
        async with serving(settings) as client:
            away = await client.get("/readyz")
            postgres.start()
            refused = await ready(client, 503)
            page = await client.get("/v1/songs")
            await execute(postgres.url, mend)
            await ready(client)
            names = await named(client, 1)
    finally:
        postgres.start()
        await execute(postgres.url, f"{mend} {'on conflict do nothing' if 'insert' in mend else ''}")

    assert reason in at_start.value.detail
    assert away.json()["degraded"] == ["catalogue"]
    assert [error["location"] for error in refused["errors"]] == ["catalogue"]
    assert reason in refused["detail"]
    assert (page.status_code, page.json()["code"]) == (500, "schema_version_mismatch")
    assert names == [("Title 1", False)]


async def test_server_does_not_start_when_it_has_neither_database_nor_index(
    postgres: PostgresProcess, tmp_path: Path
) -> None:
    postgres.kill()
    settings = Settings(data_dir=tmp_path, database_url=postgres.url)

    with pytest.raises(CatalogueUnavailable, match=r"does not answer: .*no saved index"):
        async with open_servers_origin(settings):
            pass


async def test_server_does_not_start_when_the_database_is_there_and_does_not_let_it_in(
    postgres: PostgresProcess, tmp_path: Path
) -> None:
    settings = await saved("snapshot", tmp_path, postgres.url)
    wrong = postgres.url.replace("/postgres?", "/nowhere?")

    with pytest.raises(CatalogueUnavailable, match="nowhere"):
        async with open_servers_origin(Settings(**settings | {"database_url": wrong})):
            pass
