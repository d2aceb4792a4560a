"""A Redis that goes away: answers take longer, none is wrong, none is missing."""

from __future__ import annotations

import asyncio

import pytest

from backend.cache.cache import Cache
from tests.integration.cache.conftest import OpenProcess, Process, eventually
from tests.redis_server import RedisProcess


@pytest.fixture
async def process(open_process: OpenProcess, own_redis: RedisProcess) -> Process:
    """One that waits for Redis but shortly."""
    return await open_process(own_redis.url, redis_timeout_seconds=0.05)


async def is_back(cache: Cache) -> bool:
    return await cache.parts_away() == []


async def test_answers_go_on_when_redis_was_never_there(open_process: OpenProcess, tmp_path: object) -> None:
    settings = {"redis_timeout_seconds": 0.05, "redis_retry_seconds": 60.0}
    process = await open_process(f"unix://{tmp_path}/nothing.sock", **settings)

    assert [(await process.ask(key)).cache for key in ("a", "a", "b", "c")] == ["miss", "memory", "miss", "miss"]
    assert process.cache.redis_left_alone
    assert await process.cache.parts_away() == ["redis"]


@pytest.mark.parametrize("loss", ["kill", "pause"])
async def test_answer_is_given_when_redis_is_lost_while_it_is_computed(
    process: Process, own_redis: RedisProcess, loss: str
) -> None:
    asking = asyncio.create_task(process.ask(seconds=0.1))
    await eventually(lambda: started(process))
    getattr(own_redis, loss)()

    answer = await asking

    assert (answer.cache, answer.matches[0].song.id) == ("miss", 1)
    assert (await process.ask()).cache == "memory"


async def started(process: Process) -> bool:
    return process.computed > 0


@pytest.mark.parametrize("loss", ["kill", "pause"])
async def test_answers_go_on_and_redis_is_left_alone_when_it_is_lost(
    open_process: OpenProcess, own_redis: RedisProcess, loss: str
) -> None:
    process = await open_process(own_redis.url, redis_timeout_seconds=0.05, redis_retry_seconds=60.0)
    await process.ask()
    getattr(own_redis, loss)()

    answers = await asyncio.gather(*(process.ask(str(number)) for number in range(50)))

    assert {answer.cache for answer in answers} == {"miss"}
    assert process.cache.redis_left_alone
    assert await process.cache.parts_away() == ["redis"]
    if loss == "kill":
        own_redis.start()
        await process.ask("another")
        with own_redis.client() as client:
            assert client.dbsize() == 0


async def test_answers_are_shared_again_when_redis_comes_back_empty(
    process: Process, open_process: OpenProcess, own_redis: RedisProcess
) -> None:
    await process.ask()
    own_redis.kill()
    await process.ask("b")
    own_redis.start()
    await eventually(lambda: is_back(process.cache))

    await process.ask("c")
    another = await open_process(own_redis.url)

    assert (await another.ask("c")).cache == "redis"


async def test_answers_are_shared_again_when_redis_goes_on(
    process: Process, open_process: OpenProcess, own_redis: RedisProcess
) -> None:
    await process.ask()
    own_redis.pause()
    await process.ask("b")
    own_redis.resume()
    await eventually(lambda: is_back(process.cache))
    another = await open_process(own_redis.url)

    assert [(await another.ask()).cache, (await another.ask()).cache] == ["redis", "memory"]


async def test_deleted_song_is_not_answered_when_redis_was_away_at_its_deletion(
    open_process: OpenProcess, own_redis: RedisProcess
) -> None:
    settings = {"redis_timeout_seconds": 0.05, "redis_retry_seconds": 0.5, "cache_bytes_max": 0}
    process, other = await open_process(own_redis.url, **settings), await open_process(own_redis.url)
    await process.ask()
    own_redis.pause()  # it keeps what it has
    await asyncio.gather(*(process.ask(str(number)) for number in range(3)))
    assert process.cache.redis_left_alone
    await process.delete(1)
    own_redis.resume()
    while process.cache.redis_left_alone:
        assert await process.cache.songs.songs([1]) == {}
        await asyncio.sleep(0.01)
    assert await process.cache.songs.songs([1]) == {}

    async def forgotten() -> bool:
        return not await other.cache.songs.songs([1])

    await eventually(forgotten)
    assert (await other.ask()).matches == ()


async def test_old_answers_are_not_given_from_memory_when_news_were_missed(
    process: Process, open_process: OpenProcess, own_redis: RedisProcess
) -> None:
    await process.ask()
    own_redis.kill()
    own_redis.start()
    other = await open_process(own_redis.url)
    await other.delete(1)  # perhaps before the first process listens again

    async def forgotten() -> bool:
        return not await process.cache.songs.songs([1])

    await eventually(forgotten)


async def test_no_answer_is_that_of_another_question_when_questions_are_given_up(
    open_process: OpenProcess, own_redis: RedisProcess
) -> None:
    process = await open_process(own_redis.url, cache_bytes_max=0)
    keys = [str(number) for number in range(40)]
    for key in keys:
        await process.ask(key)

    async def ask(key: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                assert (await process.ask(key)).query_key == key
        except TimeoutError:
            return

    for attempt in range(20):
        await asyncio.gather(*(ask(key, 0.0005 * (attempt + number % 7)) for number, key in enumerate(keys)))

    assert [(await process.ask(key)).query_key for key in keys] == keys
