"""What the function needs to start, and SnapStart: a snapshot without connections, restored many times."""

from __future__ import annotations

from pathlib import Path

import pytest
import sonica_fingerprint
from edge_benchmarks.runtime_api import RUNS_HERE

from backend.catalogue.database import session
from backend.catalogue.postgres import PostgresCatalogue
from tests.accounts import SONG_SECONDS, bearer, guarded_service, make_query
from tests.factories import make_new_song
from tests.lambda_function import Request, content_of, http_api_event, origin_function
from tests.music import make_music
from tests.redis_server import RedisProcess

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the runtime client is for Linux on x86_64")
CONNECTIONS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


def asks(seed: int, **headers: str) -> Request:
    return Request(
        "/v1/recognize", "POST", make_query(seed), {"Content-Type": sonica_fingerprint.CONTENT_TYPE, **headers}
    )


async def add_song(catalogue: PostgresCatalogue, seed: int) -> None:
    fingerprint = sonica_fingerprint.extract(make_music(seed, SONG_SECONDS)).thinned(4)
    await catalogue.put(make_new_song(seed, fingerprint=fingerprint))


def test_function_does_not_start_when_it_would_serve_everybody(tmp_path: Path) -> None:
    with origin_function(tmp_path, "postgresql://db/sonica", auth="off") as function:
        error = function.failure_to_start()

    assert "SONICA_AUTH=on" in error["errorMessage"]


def test_function_does_not_start_when_no_database_is_named(tmp_path: Path) -> None:
    with origin_function(tmp_path, None) as function:
        error = function.failure_to_start()

    assert "SONICA_DATABASE_URL" in error["errorMessage"]


def test_secrets_stay_out_of_the_error_when_a_setting_is_wrong(tmp_path: Path) -> None:
    with origin_function(tmp_path, "postgresql://db/sonica", redis_url="redisx://:secret@host") as function:
        error = function.failure_to_start()

    assert "redis_url" in error["errorMessage"]
    assert "secret" not in str(error)


async def test_snapshot_holds_the_index_and_no_connection(
    postgres_catalogue: PostgresCatalogue, database_url: str, redis_process: RedisProcess, tmp_path: Path
) -> None:
    await add_song(postgres_catalogue, 1)
    await postgres_catalogue.close()
    settings = {"redis_url": redis_process.url, "auth": "off", "lambda_unguarded": "true", "index_poll_seconds": "3600"}
    with redis_process.client() as redis, origin_function(tmp_path, database_url, snap_start=True, **settings) as it:
        async with session(database_url) as connection:
            it.wait_for_snapshot()
            connections = await connection.fetchval(CONNECTIONS)
            redis_clients = [client for client in redis.client_list() if client["addr"]]
            later = await PostgresCatalogue.connect(database_url, pool_max=1, timeout_seconds=5)
            await add_song(later, 2)
            await later.close()
        it.restore()
        answers = [it(http_api_event(asks(seed))) for seed in (1, 2)]
        kept = it(http_api_event(asks(1)))

    assert connections == 0
    assert len(redis_clients) == 1  # that of the test itself
    assert [content_of(each)["matches"][0]["song"]["external_id"] for each in answers] == ["song-1", "song-2"]
    assert content_of(kept)["cache"] == "memory"


async def test_caller_is_known_and_counted_when_the_function_was_restored(
    database_url: str, redis_process: RedisProcess, tmp_path: Path
) -> None:
    async with guarded_service(tmp_path / "here", database_url, songs=1) as service:
        key = await service.key_of(await service.add_user())
    settings = {"redis_url": redis_process.url, "rate_limit_free": "2", "cache_bytes_max": "0"}
    with origin_function(tmp_path, database_url, snap_start=True, **settings) as function:
        function.wait_for_snapshot()
        function.restore()
        answers = [function(http_api_event(asks(1, **bearer(key)))) for _ in range(3)]

    assert [answer["statusCode"] for answer in answers] == [200, 200, 429]
    assert [content_of(answer)["cache"] for answer in answers[:2]] == ["miss", "redis"]


async def test_function_is_restored_when_the_database_is_away(
    postgres_url: str, database_url: str, tmp_path: Path
) -> None:
    settings = {"auth": "off", "lambda_unguarded": "true"}
    with origin_function(tmp_path, database_url, snap_start=True, **settings) as function:
        function.wait_for_snapshot()
        name = database_url.partition("@/")[2].partition("?")[0]
        async with session(postgres_url) as connection:
            await connection.execute(f"alter database {name} rename to moved")
            function.restore()
            away = function(http_api_event(Request("/readyz")))
            await connection.execute(f"alter database moved rename to {name}")
        back = function(http_api_event(Request("/readyz")))

    assert [content_of(answer)["status"] for answer in (away, back)] == ["ready", "ready"]
    assert [content_of(answer)["degraded"] for answer in (away, back)] == [["catalogue"], []]
