"""What the cache does beyond the contract: staleness, index versions, songs that change."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from backend.cache.answers import Answer, answers_by
from backend.cache.layers import Layered
from backend.cache.lifetime import Lifetime
from backend.cache.memory import MemoryLayer
from backend.cache.recognitions import LayeredRecognitionCache
from backend.errors import CatalogueUnavailable
from backend.models import Recognition, Song, SongMatch
from tests.factories import make_fingerprint, make_recognition, make_song

STALE_SECONDS = 60.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Songs:
    """A catalogue that a test changes."""

    def __init__(self, *songs: Song) -> None:
        self.by_id = {song.id: song for song in songs}
        self.away = False

    async def look_up(self, song_ids: list[int]) -> dict[int, Song | None]:
        if self.away:
            return dict.fromkeys(song_ids)
        return {song_id: self.by_id[song_id] for song_id in song_ids if song_id in self.by_id}


class Computation:
    """Gives one answer after the other."""

    def __init__(self, *answers: Recognition | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def __call__(self) -> Recognition:
        await asyncio.sleep(0)
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def songs() -> Songs:
    return Songs(make_song(1), make_song(2))


@pytest.fixture
def cache(clock: Clock, songs: Songs) -> LayeredRecognitionCache:
    memory = MemoryLayer(1_000_000, Lifetime(300.0, stale_seconds=STALE_SECONDS, jitter=0), timer=clock)
    answers: Layered[Answer] = Layered("recognition", [memory], answers_by("x"), counts=Counter(), timer=clock)
    return LayeredRecognitionCache(answers, songs, no_match_ttl_seconds=30.0)


async def settled() -> None:
    """Let what was started come to its end."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_stale_match_is_given_and_computed_anew_when_its_time_is_over(
    cache: LayeredRecognitionCache, clock: Clock
) -> None:
    compute = Computation(make_recognition(make_song(1)), make_recognition(make_song(2)))
    await cache.get_or_compute("a", compute, index_version="v1-r1")

    clock.seconds += 301
    answers = [await cache.get_or_compute("a", compute, index_version="v1-r1") for _ in range(3)]
    await settled()
    later = await cache.get_or_compute("a", compute, index_version="v1-r1")

    assert [(answer.cache, answer.matches[0].song.id) for answer in answers] == [("memory", 1)] * 3
    assert (later.cache, later.matches[0].song.id, compute.calls) == ("memory", 2, 2)


async def test_stale_match_is_given_again_when_it_cannot_be_computed_anew(
    cache: LayeredRecognitionCache, clock: Clock
) -> None:
    compute = Computation(make_recognition(make_song(1)), CatalogueUnavailable(), make_recognition(make_song(2)))
    await cache.get_or_compute("a", compute, index_version="v1-r1")
    clock.seconds += 301

    given = []
    for _ in range(3):
        given.append((await cache.get_or_compute("a", compute, index_version="v1-r1")).matches[0].song.id)
        await settled()

    assert given == [1, 1, 2]


async def test_match_is_computed_first_when_it_is_older_than_stale(
    cache: LayeredRecognitionCache, clock: Clock
) -> None:
    compute = Computation(make_recognition(make_song(1)), make_recognition(make_song(2)))
    await cache.get_or_compute("a", compute, index_version="v1-r1")

    clock.seconds += 301 + STALE_SECONDS
    answer = await cache.get_or_compute("a", compute, index_version="v1-r1")

    assert (answer.cache, answer.matches[0].song.id) == ("miss", 2)


async def test_match_is_stale_when_the_index_has_changed(cache: LayeredRecognitionCache) -> None:
    old = make_recognition(make_song(1))
    new = make_recognition(make_song(1), make_song(2), index_version="v1-r2")
    compute = Computation(old, new)
    await cache.get_or_compute("a", compute, index_version="v1-r1")

    first = await cache.get_or_compute("a", compute, index_version="v1-r2")
    await settled()
    second = await cache.get_or_compute("a", compute, index_version="v1-r2")

    assert (first.index_version, second.index_version) == ("v1-r1", "v1-r2")
    assert (len(second.matches), compute.calls) == (2, 2)


async def test_no_match_is_computed_anew_when_the_index_has_changed(cache: LayeredRecognitionCache) -> None:
    compute = Computation(make_recognition(), make_recognition(make_song(1), index_version="v1-r2"))
    await cache.get_or_compute("a", compute, index_version="v1-r1")

    answer = await cache.get_or_compute("a", compute, index_version="v1-r2")

    assert (answer.cache, answer.status) == ("miss", "match")


async def test_no_match_is_not_given_stale_when_its_time_is_over(cache: LayeredRecognitionCache, clock: Clock) -> None:
    compute = Computation(make_recognition())
    await cache.get_or_compute("a", compute, index_version="v1-r1")

    clock.seconds += 31

    assert await cache.get("a", index_version="v1-r1") is None
    assert (await cache.get_or_compute("a", compute, index_version="v1-r1")).cache == "miss"


async def test_song_is_given_as_it_is_now_when_its_details_changed(
    cache: LayeredRecognitionCache, songs: Songs
) -> None:
    compute = Computation(make_recognition(make_song(1)))
    await cache.get_or_compute("a", compute, index_version="v1-r1")

    songs.by_id[1] = make_song(1, title="Another")
    answer = await cache.get_or_compute("a", compute, index_version="v1-r1")

    assert (answer.cache, answer.matches[0].song.details.title) == ("memory", "Another")


@pytest.mark.parametrize("change", ["deleted", "another recording"])
async def test_answer_is_computed_anew_when_its_song_is_not_the_same_any_more(
    cache: LayeredRecognitionCache, songs: Songs, change: str
) -> None:
    compute = Computation(make_recognition(make_song(1)), make_recognition(make_song(2)))
    await cache.get_or_compute("a", compute, index_version="v1-r1")

    if change == "deleted":
        del songs.by_id[1]
    else:
        songs.by_id[1] = make_song(1, fingerprint=make_fingerprint(99))
    answer = await cache.get_or_compute("a", compute, index_version="v1-r1")

    assert (answer.cache, answer.matches[0].song.id) == ("miss", 2)


async def test_answer_is_given_without_a_candidate_when_that_one_was_deleted(
    cache: LayeredRecognitionCache, songs: Songs
) -> None:
    compute = Computation(make_recognition(make_song(1), make_song(2), unsure=1))
    await cache.get_or_compute("a", compute, index_version="v1-r1")

    del songs.by_id[2]
    answer = await cache.get_or_compute("a", compute, index_version="v1-r1")

    assert answer.cache == "memory"
    assert [found.song.id for found in answer.candidates] == [1]


async def test_nothing_is_given_by_key_when_the_songs_cannot_be_looked_up(
    cache: LayeredRecognitionCache, songs: Songs
) -> None:
    await cache.get_or_compute("a", Computation(make_recognition(make_song(1))), index_version="v1-r1")
    songs.away = True

    assert await cache.get("a", index_version="v1-r1") is None


async def test_answer_is_computed_anew_when_its_songs_cannot_be_looked_up(
    cache: LayeredRecognitionCache, songs: Songs
) -> None:
    compute = Computation(make_recognition(make_song(1)), make_recognition(make_song(2)))
    await cache.get_or_compute("a", compute, index_version="v1-r1")
    songs.away = True

    answer = await cache.get_or_compute("a", compute, index_version="v1-r1")

    assert (answer.cache, answer.matches[0].match.song_id) == ("miss", 2)


@pytest.mark.parametrize("unsure", [0, 1])
async def test_answer_is_not_kept_when_a_song_of_it_could_not_be_looked_up(
    cache: LayeredRecognitionCache, unsure: int
) -> None:
    whole = make_recognition(make_song(1), make_song(2), unsure=unsure)
    nameless = SongMatch(None, whole.candidates[1].match)
    known = whole.candidates[:1]
    partial = replace(whole, candidates=(*known, nameless), matches=known if unsure else (*known, nameless))
    compute = Computation(partial, whole)

    answers = [await cache.get_or_compute("a", compute, index_version="v1-r1") for _ in range(3)]

    assert [answer.degraded for answer in answers] == [not unsure, False, False]
    assert [answer.cache for answer in answers] == ["miss", "miss", "memory"]
    assert answers[2].candidates == whole.candidates


async def test_few_are_computed_anew_when_many_are_stale(cache: LayeredRecognitionCache, clock: Clock) -> None:
    under_way, going_on = 0, asyncio.Event()

    async def slow() -> Recognition:
        nonlocal under_way
        under_way += 1
        await going_on.wait()
        return make_recognition(make_song(1))

    for number in range(20):
        await cache.get_or_compute(str(number), Computation(make_recognition(make_song(1))), index_version="v1-r1")
    clock.seconds += 301
    for number in range(20):
        await cache.get_or_compute(str(number), slow, index_version="v1-r1")
    await settled()

    assert under_way == 4
    await cache.close()
