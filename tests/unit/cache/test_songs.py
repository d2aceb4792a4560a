from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from backend.cache.json_values import TEXTS, JsonCache
from backend.cache.layers import Layered
from backend.cache.lifetime import FORGOTTEN_SECONDS, Lifetime
from backend.cache.memory import MemoryLayer
from backend.cache.songs import POPULAR, SONGS, CachedSongs
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import CatalogueUnavailable
from backend.models import Song
from tests.factories import make_new_song


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class CountingCatalogue(InMemoryCatalogue):
    """Counts what it is asked, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.away = False

    async def songs(self, song_ids: Any) -> dict[int, Song]:
        self._ask(list(song_ids))
        return await super().songs(song_ids)

    async def popular(self, limit: int, **filters: Any) -> list[Song]:
        self._ask(filters)
        await asyncio.sleep(0)
        return await super().popular(limit, **filters)

    def _ask(self, question: Any) -> None:
        self.asked.append(question)
        if self.away:
            raise CatalogueUnavailable


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def layers(clock: Clock) -> list[MemoryLayer]:
    return [MemoryLayer(1_000_000, Lifetime(300.0, stale_seconds=60.0, jitter=0), timer=clock)]


@pytest.fixture
async def catalogue() -> CountingCatalogue:
    catalogue = CountingCatalogue()
    for seed in (1, 2, 3):
        await catalogue.put(make_new_song(seed, genre="film" if seed > 1 else "rock"))
    return catalogue


@pytest.fixture
def songs(catalogue: CountingCatalogue, layers: list[MemoryLayer], clock: Clock) -> CachedSongs:
    counts: Counter[tuple[str, str, str]] = Counter()
    return CachedSongs(
        catalogue,
        Layered("song", layers, SONGS, counts=counts, timer=clock),
        Layered("popular", layers, POPULAR, counts=counts, timer=clock),
        missing_ttl_seconds=30.0,
    )


async def test_catalogue_is_asked_only_for_what_is_not_kept(songs: CachedSongs, catalogue: CountingCatalogue) -> None:
    await songs.songs([1])
    found = await songs.songs([1, 2, 2, 7])
    await songs.songs([1, 2, 7])

    assert set(found) == {1, 2}
    assert catalogue.asked == [[1], [2, 7]]


async def test_missing_song_is_asked_for_again_when_a_short_time_is_over(
    songs: CachedSongs, catalogue: CountingCatalogue, clock: Clock
) -> None:
    await songs.songs([4])
    await catalogue.put(make_new_song(4))

    assert await songs.songs([4]) == {}
    clock.seconds += 31
    assert set(await songs.songs([4])) == {4}


async def test_song_is_asked_for_again_when_it_was_forgotten(songs: CachedSongs, catalogue: CountingCatalogue) -> None:
    await songs.songs([1])
    await catalogue.delete(1)
    await songs.forget([1])

    assert await songs.songs([1]) == {}


async def test_stale_songs_will_do_when_the_catalogue_is_away(
    songs: CachedSongs, catalogue: CountingCatalogue, clock: Clock
) -> None:
    await songs.songs([1, 2])
    clock.seconds += 301
    catalogue.away = True

    assert set(await songs.songs([1, 2])) == {1, 2}
    with pytest.raises(CatalogueUnavailable):
        await songs.songs([1, 3])


async def test_popular_songs_come_by_their_score_when_they_are_filtered(songs: CachedSongs) -> None:
    async def ids(limit: int, **filters: str) -> list[int]:
        return [song.id for song in await songs.popular(limit, **filters)]

    assert await ids(2) == [3, 2]
    assert await ids(9, genre="rock") == [1]
    assert await ids(9, language="hi", genre="film") == [3, 2]
    assert await ids(9, language="hi:film") == []


async def test_catalogue_is_asked_once_when_many_want_the_popular_songs(
    songs: CachedSongs, catalogue: CountingCatalogue
) -> None:
    await asyncio.gather(*(songs.popular(2, genre="film") for _ in range(10)))
    await songs.popular(3, genre="film")

    assert catalogue.asked == [{"language": None, "genre": "film"}]


async def test_deleted_song_is_not_popular_any_more(songs: CachedSongs, catalogue: CountingCatalogue) -> None:
    await songs.popular(9)
    await catalogue.delete(3)
    await songs.forget([3])

    assert [song.id for song in await songs.popular(9)] == [2, 1]


async def test_songs_are_there_when_they_were_loaded_before(songs: CachedSongs, catalogue: CountingCatalogue) -> None:
    await songs.warm([1], popular=2)
    catalogue.away = True

    assert set(await songs.songs([1, 2, 3])) == {1, 2, 3}


@pytest.fixture
def values(layers: list[MemoryLayer], clock: Clock) -> JsonCache:
    return JsonCache(Layered("user", layers, TEXTS, counts=Counter(), timer=clock))


async def test_value_is_a_copy_when_it_is_read(values: JsonCache) -> None:
    await values.put("user:1:prefs", {"language": "हिन्दी", "tags": [1, None]}, 60)
    first = await values.get("user:1:prefs")
    assert isinstance(first, dict)
    first["language"] = "spoilt"

    assert await values.get("user:1:prefs") == {"language": "हिन्दी", "tags": [1, None]}
    assert await values.get("user:2:prefs") is None


async def test_value_is_gone_when_its_time_is_over(values: JsonCache, clock: Clock) -> None:
    await values.put("user:1:prefs", 1, 60)
    clock.seconds += 61

    assert await values.get("user:1:prefs") is None


async def test_value_that_was_read_before_a_change_is_not_kept_when_it_is_put_after_it(
    values: JsonCache, clock: Clock
) -> None:
    await values.forget("user:1:prefs")
    await values.put("user:1:prefs", "old", 60)
    assert await values.get("user:1:prefs") is None

    clock.seconds += FORGOTTEN_SECONDS + 1
    await values.put("user:1:prefs", "new", 60)
    assert await values.get("user:1:prefs") == "new"
