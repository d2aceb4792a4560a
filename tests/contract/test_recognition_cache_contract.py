"""What RecognitionCache promises, held for each adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from backend.cache.memory import MemoryRecognitionCache
from backend.models import Match, Recognition, SongMatch
from backend.ports import RecognitionCache
from tests.factories import make_song

TTL_SECONDS, NO_MATCH_TTL_SECONDS = 300.0, 30.0


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory"])
def new_cache(clock: Clock) -> Callable[..., RecognitionCache]:
    """Builds each adapter."""

    def build(entries_max: int = 100) -> RecognitionCache:
        return MemoryRecognitionCache(
            entries_max, ttl_seconds=TTL_SECONDS, no_match_ttl_seconds=NO_MATCH_TTL_SECONDS, timer=clock
        )

    return build


NewCache = Callable[..., RecognitionCache]


async def test_answer_is_kept_when_it_was_computed(new_cache: NewCache) -> None:
    cache, compute = new_cache(), Computation()

    first = await cache.get_or_compute("a", compute)
    second = await cache.get_or_compute("a", compute)

    assert (first.cache, second.cache, compute.calls) == ("miss", "memory", 1)
    assert first.matches == second.matches


async def test_answers_are_apart_when_the_keys_differ(new_cache: NewCache) -> None:
    cache, compute = new_cache(), Computation()

    await cache.get_or_compute("a", compute)
    await cache.get_or_compute("b", compute)

    assert compute.calls == 2


@pytest.mark.parametrize(("matched", "ttl_seconds"), [(True, TTL_SECONDS), (False, NO_MATCH_TTL_SECONDS)])
async def test_answer_is_computed_again_when_its_time_is_over(
    new_cache: NewCache, clock: Clock, *, matched: bool, ttl_seconds: float
) -> None:
    cache, compute = new_cache(), Computation(matched=matched)
    await cache.get_or_compute("a", compute)

    clock.seconds = ttl_seconds - 1
    assert (await cache.get_or_compute("a", compute)).cache == "memory"
    clock.seconds = ttl_seconds + 1
    assert (await cache.get_or_compute("a", compute)).cache == "miss"


async def test_oldest_answer_goes_when_the_cache_is_full(new_cache: NewCache) -> None:
    cache, compute = new_cache(2), Computation()
    for key in ("a", "b", "c"):
        await cache.get_or_compute(key, compute)

    kept = [(await cache.get_or_compute(key, compute)).cache for key in ("c", "a")]

    assert kept == ["memory", "miss"]


async def test_nothing_is_kept_when_the_cache_is_off(new_cache: NewCache) -> None:
    cache, compute = new_cache(0), Computation()

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
