"""Processes that share a Redis."""

from __future__ import annotations

import asyncio
import json
import pickle

import pytest

from backend.cache import redis_server
from backend.cache.cache import open_cache
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import CatalogueUnavailable
from backend.settings import Settings
from tests.integration.cache.conftest import OpenProcess, Process, eventually
from tests.redis_server import RedisProcess, running_cluster


@pytest.fixture
async def one(open_process: OpenProcess, redis_process: RedisProcess) -> Process:
    return await open_process(redis_process.url)


@pytest.fixture
async def other(open_process: OpenProcess, redis_process: RedisProcess) -> Process:
    return await open_process(redis_process.url)


async def test_answer_comes_from_redis_when_another_process_computed_it(one: Process, other: Process) -> None:
    first = await one.ask()
    answers = [await other.ask() for _ in range(2)]

    assert [first.cache, *(answer.cache for answer in answers)] == ["miss", "redis", "memory"]
    assert all(answer.matches == first.matches for answer in answers)
    assert other.computed == 0


async def test_answer_comes_from_memory_alone_when_there_is_no_redis(open_process: OpenProcess) -> None:
    process = await open_process(None)

    assert [(await process.ask()).cache for _ in range(2)] == ["miss", "memory"]


async def test_answer_comes_from_redis_alone_when_memory_is_off(
    open_process: OpenProcess, redis_process: RedisProcess
) -> None:
    process = await open_process(redis_process.url, cache_bytes_max=0)

    assert [(await process.ask()).cache for _ in range(2)] == ["miss", "redis"]


async def test_answer_is_computed_once_when_all_processes_ask_at_the_same_time(
    open_process: OpenProcess, redis_process: RedisProcess
) -> None:
    processes = [await open_process(redis_process.url) for _ in range(4)]

    answers = await asyncio.gather(*(process.ask(seconds=0.1) for process in processes for _ in range(10)))

    assert sum(process.computed for process in processes) == 1
    assert {answer.matches[0].song.id for answer in answers} == {1}


async def test_no_match_is_computed_once_when_two_processes_ask_at_the_same_time(one: Process, other: Process) -> None:
    await asyncio.gather(*(process.ask(song_id=7, seconds=0.1) for process in (one, other)))

    assert one.computed + other.computed == 1


async def test_answer_is_computed_when_a_process_crashed_in_its_turn(
    open_process: OpenProcess, redis_process: RedisProcess, one: Process
) -> None:
    assert one.cache.shared is not None
    assert await one.cache.shared.server.take_turn("recognition:a", "crashed", seconds=0.2)
    process = await open_process(redis_process.url, cache_turn_seconds=0.2)

    assert (await process.ask()).cache == "miss"


async def test_another_process_computes_when_the_first_one_fails(one: Process, other: Process) -> None:
    async def fail() -> None:
        one.computed += 1
        await asyncio.sleep(0.05)
        raise CatalogueUnavailable

    failing = asyncio.create_task(one.cache.recognitions.get_or_compute("a", fail, index_version="v1-r1"))
    await asyncio.sleep(0.02)
    answer = await other.ask()

    with pytest.raises(CatalogueUnavailable):
        await failing
    assert answer.status == "match"


async def test_song_is_forgotten_by_all_processes_when_one_deletes_it(one: Process, other: Process) -> None:
    for process in (one, other):
        await process.ask()

    await one.delete(1)

    async def forgotten() -> bool:
        return not await other.cache.songs.songs([1])

    await eventually(forgotten)
    assert (await other.ask()).matches == ()


async def test_value_is_forgotten_by_all_processes_when_one_changes_it(one: Process, other: Process) -> None:
    await one.cache.values.put("user:5:prefs", {"language": "hi"}, 60)
    assert await other.cache.values.get("user:5:prefs") == {"language": "hi"}

    await one.cache.values.forget("user:5:prefs")

    async def forgotten() -> bool:
        return await other.cache.values.get("user:5:prefs") is None

    await eventually(forgotten)


async def test_what_was_read_before_a_change_is_not_kept_when_another_process_makes_it(
    one: Process, other: Process
) -> None:
    await one.cache.values.forget("user:5:prefs")
    await other.cache.values.put("user:5:prefs", "old", 60)  # whether or not it has heard of the change

    assert await one.cache.values.get("user:5:prefs") is None
    assert one.cache.shared is not None
    assert await one.cache.shared.server.get_many(["user:5:prefs"]) == {}


async def test_processes_go_on_listening_when_nonsense_is_said(
    one: Process, other: Process, redis_process: RedisProcess, catalogue: InMemoryCatalogue
) -> None:
    await other.ask()
    with redis_process.client() as client:
        for nonsense in (b"", b"\xff\x00", b"\n\n", b"x" * 100_000):
            client.publish(f"sonica:{await catalogue.name()}:changes", nonsense)

    await test_song_is_forgotten_by_all_processes_when_one_deletes_it(one, other)


async def test_process_ends_when_its_listening_is_at_any_point(
    catalogue: InMemoryCatalogue, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_server, "_HEARTBEAT_SECONDS", 0.02)
    settings = Settings(redis_url=redis_process.url)

    async with asyncio.timeout(60):
        for part in range(40):
            async with open_cache(settings, catalogue) as cache:
                assert cache.shared is not None
                await cache.shared.recent_songs(1)
                await asyncio.sleep(0.019 + part / 20_000)


async def test_catalogues_are_apart_when_they_share_a_redis(
    one: Process, open_process: OpenProcess, redis_process: RedisProcess, catalogue: InMemoryCatalogue
) -> None:
    await one.ask()
    catalogue._name = "another"  # what follows has the same ids in another catalogue
    stranger = await open_process(redis_process.url)

    assert (await stranger.ask()).cache == "miss"


async def test_answer_is_not_believed_when_another_process_has_other_limits(
    one: Process, open_process: OpenProcess, redis_process: RedisProcess
) -> None:
    await one.ask()
    strict = await open_process(redis_process.url, false_accept_rate=0.001)

    assert (await strict.ask()).cache == "miss"


async def test_every_key_ends_when_all_kinds_are_kept(one: Process, redis_process: RedisProcess) -> None:
    await one.ask()
    await one.ask("b", song_id=7)
    await one.cache.songs.popular(5, language="hi", genre="film: {noir}")
    await one.cache.values.put("user:5:prefs", {}, 60)
    await one.cache.songs.forget([3])
    assert one.cache.shared is not None
    await one.cache.shared.recent.save()
    await one.cache.shared.turns.taken("recognition:c")

    with redis_process.client() as client:
        keys = [key.decode() for key in client.scan_iter()]
        ends = {key: client.pttl(key) for key in keys}

    assert {key.split(":", 2)[2] for key in keys} == {
        *("recognition:a", "recognition:b", "song:1", "song:3", "song:7", "user:5:prefs", "recent"),
        *("popular:hi:film%3A%20%7Bnoir%7D", "turn:recognition:c"),
    }
    assert all(end > 0 for end in ends.values())


async def test_recently_recognised_songs_are_loaded_when_a_process_starts(
    one: Process, open_process: OpenProcess, redis_process: RedisProcess, catalogue: InMemoryCatalogue
) -> None:
    await one.ask(song_id=1)
    assert one.cache.shared is not None
    await one.cache.shared.recent.save()
    with redis_process.client() as client:
        client.delete(*(key for key in client.scan_iter() if b":song:" in key))
    started = await open_process(redis_process.url)

    await started.cache.warm(1)  # the most popular song is 3, the recent one is 1
    for song_id in (1, 2, 3):
        await catalogue.delete(song_id)

    assert set(await started.cache.songs.songs([1, 2, 3])) == {1, 3}


POISON = [
    b"garbage",
    b"forgotten",
    b"{}",
    pickle.dumps({"value": 1}),
    json.dumps({"format": "1", "key": "song:9", "fresh_until": 9e12, "value": None}).encode(),
]


@pytest.mark.parametrize("poison", POISON)
async def test_answer_is_right_when_values_are_poisoned(
    one: Process, other: Process, redis_process: RedisProcess, poison: bytes
) -> None:
    computed = await one.ask()
    with redis_process.client() as client:
        for key in client.scan_iter():
            client.set(key, poison)

    answer = await other.ask()

    assert (answer.cache, answer.matches) == ("miss", computed.matches)


async def test_values_are_kept_again_when_keys_had_another_type(
    one: Process, open_process: OpenProcess, redis_process: RedisProcess
) -> None:
    await one.ask()
    with redis_process.client() as client:
        for key in list(client.scan_iter()):
            client.delete(key)
            client.rpush(key, "a list")

    processes = [await open_process(redis_process.url) for _ in range(2)]

    assert [(await process.ask()).cache for process in processes] == ["miss", "redis"]


async def test_answers_go_on_and_nothing_old_is_given_when_redis_is_full(
    open_process: OpenProcess, redis_process: RedisProcess
) -> None:
    one, other = [await open_process(redis_process.url, redis_failures_max=1) for _ in range(2)]
    await one.ask()
    with redis_process.client() as client:
        client.config_set("maxmemory", 1)
    try:
        answers = [await other.ask("b"), await other.ask("b"), await other.ask("a")]
        await one.delete(1)
        await eventually(lambda: forgotten(other))
    finally:
        with redis_process.client() as client:
            client.config_set("maxmemory", 0)

    assert [answer.cache for answer in answers] == ["miss", "memory", "redis"]
    assert not one.cache.redis_left_alone
    assert not other.cache.redis_left_alone


async def forgotten(process: Process) -> bool:
    return not await process.cache.songs.songs([1])


@pytest.mark.parametrize("nodes", [1, 3])
async def test_processes_share_answers_and_news_when_redis_is_a_cluster(open_process: OpenProcess, nodes: int) -> None:
    with running_cluster(nodes) as url:
        one, other = [await open_process(url) for _ in range(2)]
        await test_answer_comes_from_redis_when_another_process_computed_it(one, other)
        await test_song_is_forgotten_by_all_processes_when_one_deletes_it(one, other)
        assert one.cache.shared is not None
        assert other.cache.shared is not None
        await one.cache.shared.recent.save()
        assert await other.cache.shared.recent.latest(5) == [1]
        for number in range(20):  # of as many slots, on all nodes
            assert (await one.ask(f"key {number}")).cache == "miss"
            assert (await other.ask(f"key {number}")).cache == "redis"
        await other.cache.songs.songs([1, 2, 3])  # at once, from different nodes
        assert not one.cache.redis_left_alone
        assert not other.cache.redis_left_alone
        for process in (one, other):
            await process.cache.shared.close()
