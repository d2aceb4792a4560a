"""What RecognitionCache promises, held for each adapter."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from backend.breaker import Breaker
from backend.cache.answers import Answer, answers_by
from backend.cache.layers import Layer, Layered
from backend.cache.lifetime import Lifetime
from backend.cache.memory import MemoryLayer
from backend.cache.recognitions import LayeredRecognitionCache
from backend.cache.redis_layer import RedisLayer
from backend.cache.redis_server import RedisServer
from backend.cache.turns import RedisTurns
from backend.models import Match, Recognition, Song, SongMatch
from backend.ports import RecognitionCache
from tests.factories import make_song
from tests.redis_server import RedisProcess

TTL_SECONDS, NO_MATCH_TTL_SECONDS = 300.0, 30.0


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Computation:
    """Computes answers, and counts them."""

    def __init__(self, *, matched: bool = True, failures: int = 0) -> None:
        self.calls = 0
        self._matched = matched
        self._failures = failures

    async def __call__(self) -> Recognition:
        self.calls += 1
        await asyncio.sleep(0)
        if self.calls <= self._failures:
            raise ConnectionError("the database went away")
        return make_recognition(matched=self._matched)


def make_recognition(*, matched: bool) -> Recognition:
    found = (SongMatch(make_song(1), Match(song_id=1, score=0.9, offset_ms=0, segments=())),)
    return Recognition(
        matches=found if matched else (),
        candidates=found,
        reason=None if matched else "below_threshold",
        index_version="1-1",
        query_key="key",
        query_duration_ms=5000,
        query_fingerprint_version=1,
    )


class OneSong:
    """A catalogue of song 1."""

    async def look_up(self, song_ids: list[int]) -> dict[int, Song | None]:
        return {1: make_song(1)} if 1 in song_ids else {}


class VersionedCache:
    """The cache as one whose index stays the same asks it."""

    def __init__(self, cache: RecognitionCache) -> None:
        self.get = partial(cache.get, index_version="1-1")
        self.get_or_compute = partial(cache.get_or_compute, index_version="1-1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def redis(redis_process: RedisProcess) -> AsyncIterator[RedisServer]:
    server = RedisServer(
        redis_process.url,
        prefix=f"sonica:{id(redis_process)}:",
        timeout_seconds=5.0,
        breaker=Breaker(failures_max=3, retry_seconds=1.0),
    )
    yield server
    await server.close()


@pytest.fixture(params=["memory", "redis", "memory, redis"])
def names(request: pytest.FixtureRequest) -> list[str]:
    """The layers, from the top."""
    return request.param.split(", ")


@pytest.fixture
def new_cache(names: list[str], clock: Clock, request: pytest.FixtureRequest) -> Callable[..., VersionedCache]:
    """Builds each adapter."""
    lifetime = Lifetime(TTL_SECONDS, jitter=0)
    redis: RedisServer | None = request.getfixturevalue("redis") if "redis" in names else None
    layers: list[Layer] = [MemoryLayer(10_000_000, lifetime, timer=clock)] if "memory" in names else []
    if redis is not None:
        layers.append(RedisLayer(redis, lifetime, timer=clock))

    def build(*, on: bool = True) -> VersionedCache:
        answers: Layered[Answer] = Layered(
            "recognition", layers if on else [], answers_by("limits"), counts=Counter(), timer=clock
        )
        turns = RedisTurns(redis, seconds=0.5) if redis is not None else None
        return VersionedCache(
            LayeredRecognitionCache(answers, OneSong(), no_match_ttl_seconds=NO_MATCH_TTL_SECONDS, turns=turns)
        )

    return build


NewCache = Callable[..., VersionedCache]


async def test_answer_is_kept_when_it_was_computed(new_cache: NewCache, names: list[str]) -> None:
    cache, compute = new_cache(), Computation()

    first = await cache.get_or_compute("a", compute)
    second = await cache.get_or_compute("a", compute)

    assert (first.cache, second.cache, compute.calls) == ("miss", names[0], 1)
    assert first.matches == second.matches


async def test_answers_are_apart_when_the_keys_differ(new_cache: NewCache) -> None:
    cache, compute = new_cache(), Computation()

    await cache.get_or_compute("a", compute)
    await cache.get_or_compute("b", compute)

    assert compute.calls == 2


@pytest.mark.parametrize(("matched", "ttl_seconds"), [(True, TTL_SECONDS), (False, NO_MATCH_TTL_SECONDS)])
async def test_answer_is_computed_again_when_its_time_is_over(
    new_cache: NewCache, clock: Clock, names: list[str], *, matched: bool, ttl_seconds: float
) -> None:
    cache, compute = new_cache(), Computation(matched=matched)
    await cache.get_or_compute("a", compute)

    clock.seconds += ttl_seconds - 1
    assert (await cache.get_or_compute("a", compute)).cache == names[0]
    clock.seconds += 2
    assert (await cache.get_or_compute("a", compute)).cache == "miss"


async def test_kept_answer_is_given_when_asked_for_by_key(new_cache: NewCache, names: list[str]) -> None:
    cache, compute = new_cache(), Computation()
    computed = await cache.get_or_compute("a", compute)

    kept = await cache.get("a")

    assert kept is not None
    assert (kept.cache, kept.matches) == (names[0], computed.matches)


async def test_nothing_is_given_when_the_key_is_unknown_or_its_time_is_over(new_cache: NewCache, clock: Clock) -> None:
    cache = new_cache()
    await cache.get_or_compute("a", Computation())

    clock.seconds += TTL_SECONDS + 1

    assert [await cache.get(key) for key in ("a", "b")] == [None, None]


async def test_nothing_is_kept_when_the_cache_is_off(new_cache: NewCache) -> None:
    cache, compute = new_cache(on=False), Computation()

    answers = [await cache.get_or_compute("a", compute) for _ in range(2)]

    assert ([answer.cache for answer in answers], compute.calls) == (["miss", "miss"], 2)


async def test_answer_is_computed_once_when_many_ask_at_the_same_time(new_cache: NewCache) -> None:
    cache, compute = new_cache(), Computation()

    answers = await asyncio.gather(*(cache.get_or_compute("a", compute) for _ in range(20)))

    assert compute.calls == 1
    assert sorted(answer.cache for answer in answers) == ["memory"] * 19 + ["miss"]


async def test_followers_get_an_answer_when_the_first_one_fails(new_cache: NewCache) -> None:
    cache, compute = new_cache(), Computation(failures=1)

    answers: list[Any] = await asyncio.gather(
        *(cache.get_or_compute("a", compute) for _ in range(5)), return_exceptions=True
    )

    assert isinstance(answers[0], ConnectionError)
    assert [answer.status for answer in answers[1:]] == ["match"] * 4
    assert compute.calls == 2


async def test_followers_get_an_answer_when_the_first_one_is_cancelled(new_cache: NewCache) -> None:
    cache, compute, stuck = new_cache(), Computation(), asyncio.Event()

    async def never() -> Recognition:
        stuck.set()
        return await asyncio.Future()

    leader = asyncio.create_task(cache.get_or_compute("a", never))
    await stuck.wait()
    followers = [asyncio.create_task(cache.get_or_compute("a", compute)) for _ in range(3)]
    await asyncio.sleep(0)
    followers[0].cancel()
    leader.cancel()
    answers: list[Any] = await asyncio.gather(*followers, return_exceptions=True)

    assert isinstance(answers[0], asyncio.CancelledError)
    assert [answer.status for answer in answers[1:]] == ["match", "match"]
    assert compute.calls == 1
