"""The service over a real Redis, and without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import sonica_fingerprint

from tests.integration.cache.conftest import eventually
from tests.music import make_music
from tests.origins import SONG_SECONDS, serving
from tests.redis_server import RedisProcess, running_redis

HEARD = sonica_fingerprint.extract(make_music(2, SONG_SECONDS)[8 * 16_000 : 13 * 16_000])


@pytest.fixture
async def redis() -> AsyncIterator[RedisProcess]:
    with running_redis() as server:
        yield server


async def recognize(client: httpx.AsyncClient) -> dict[str, object]:
    headers = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}
    response = await client.post("/v1/recognize", content=sonica_fingerprint.encode(HEARD), headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


async def test_recognitions_and_readiness_go_on_when_redis_is_lost(tmp_path: Path, redis: RedisProcess) -> None:
    async with serving(tmp_path, redis_url=redis.url, redis_timeout_seconds=2.0, cache_bytes_max=0) as client:
        before = [await recognize(client) for _ in range(2)]
        assert (await client.get("/readyz")).json()["degraded"] == []
        redis.kill()
        without = [await recognize(client) for _ in range(2)]
        ready = await client.get("/readyz")
        metrics = (await client.get("/metrics")).text
        songs = await client.get("/v1/songs/popular")
        deleted = await client.delete("/v1/songs/1")

    assert [answer["cache"] for answer in before + without] == ["miss", "redis", "miss", "miss"]
    assert all(answer["matches"] == before[0]["matches"] for answer in before + without)
    assert (ready.status_code, ready.json()["status"], ready.json()["degraded"]) == (200, "ready", ["redis"])
    assert 'sonica_breaker_open{part="redis"} 1.0' in metrics
    assert 'sonica_cache_lookups_total{kind="recognition",layer="redis",outcome="error"}' in metrics
    assert (songs.status_code, deleted.status_code) == (200, 204)


async def test_redis_is_used_again_when_it_comes_back(tmp_path: Path, redis: RedisProcess) -> None:
    settings = {"redis_url": redis.url, "redis_timeout_seconds": 2.0, "redis_retry_seconds": 0.01}
    async with serving(tmp_path, cache_bytes_max=0, **settings) as client:
        redis.kill()
        await recognize(client)
        redis.start()

        async def ready() -> bool:
            return (await client.get("/readyz")).json()["degraded"] == []

        await eventually(ready)
        answers = [await recognize(client) for _ in range(2)]

    assert [answer["cache"] for answer in answers] == ["miss", "redis"]


async def test_look_ups_are_counted_by_layer_when_answers_are_kept(tmp_path: Path, redis: RedisProcess) -> None:
    async with serving(tmp_path, redis_url=redis.url, redis_timeout_seconds=2.0) as client:
        for _ in range(3):
            await recognize(client)
        metrics = (await client.get("/metrics")).text

    for layer, outcome, count in (("memory", "hit", 2), ("memory", "miss", 1), ("redis", "miss", 1)):
        labels = f'kind="recognition",layer="{layer}",outcome="{outcome}"'
        assert f"sonica_cache_lookups_total{{{labels}}} {count}.0" in metrics
    assert 'sonica_breaker_open{part="redis"} 0.0' in metrics
    assert "sonica_cache_memory_bytes" in metrics
