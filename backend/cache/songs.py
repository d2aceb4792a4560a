"""The catalogue's songs, as far as they are cached."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from backend.cache.kept import Codec
from backend.cache.layers import Found, Layered
from backend.cache.turns import Flights
from backend.deadline import within
from backend.errors import CatalogueUnavailable
from backend.models import Song
from backend.ports import SongCatalogue

POPULAR_MAX = 200  # ids kept of each language and genre; a page of songs has no more

SONGS: Codec[Song | None] = Codec(Song | None, version="1")  # None: there is no such song
POPULAR: Codec[tuple[int, ...]] = Codec(tuple[int, ...], version="1")


class CachedSongs:
    """Implements SongCatalogue and SongLookUp over another catalogue; who changes a song has it forgotten here."""

    def __init__(
        self,
        catalogue: SongCatalogue,
        songs: Layered[Song | None],
        popular: Layered[tuple[int, ...]],
        *,
        missing_ttl_seconds: float,
        wait_seconds: float = math.inf,
    ) -> None:
        """wait_seconds: that `look_up` waits for the catalogue."""
        self._catalogue = catalogue
        self._songs = songs
        self._popular = popular
        self._missing_ttl_seconds = missing_ttl_seconds
        self._wait_seconds = wait_seconds
        self._flights: Flights[tuple[int, ...]] = Flights()

    async def songs(self, song_ids: Sequence[int]) -> dict[int, Song]:
        """Return the songs of these ids that exist, by id; while the catalogue is away stale ones will do."""
        found = await self._find(song_ids)
        if None in found.values():
            raise CatalogueUnavailable
        return {song_id: song for song_id, song in found.items() if song is not None}

    async def look_up(self, song_ids: Sequence[int]) -> dict[int, Song | None]:
        """Return what can be told of these songs soon; implements SongLookUp."""
        with within(self._wait_seconds):
            return await self._find(song_ids)

    async def popular(self, limit: int, *, language: str | None = None, genre: str | None = None) -> list[Song]:
        """Return up to POPULAR_MAX songs of the highest popularity_score, of this language and genre if given."""
        key = f"popular:{quote(language or '', safe='')}:{quote(genre or '', safe='')}"
        song_ids, _ = await self._flights.answer(key, lambda: self._most_popular(key, language, genre))
        songs = await self.songs(song_ids[:limit])
        return [songs[song_id] for song_id in song_ids[:limit] if song_id in songs]

    async def page(self, *, after_id: int, limit: int, filters: dict[str, str]) -> list[Song]:
        """Return a page of the catalogue itself."""
        return await self._catalogue.page(after_id=after_id, limit=limit, filters=filters)

    async def delete(self, song_id: int) -> bool:
        """Delete a song from the catalogue."""
        return await self._catalogue.delete(song_id)

    async def warm(self, song_ids: Sequence[int], *, popular: int) -> int:
        """Load these songs and the most popular ones; return how many there are."""
        songs = {song.id: song for song in await self._catalogue.popular(popular)}
        await self._keep(songs.values())
        return len(songs | await self.songs(song_ids))

    async def forget(self, song_ids: Iterable[int]) -> None:
        """Have all processes fetch these anew."""
        await self._songs.forget([_key(song_id) for song_id in song_ids])

    async def _find(self, song_ids: Sequence[int]) -> dict[int, Song | None]:
        """Return the songs that exist, by id; None for one that is not kept while the catalogue is away."""
        keys = {_key(song_id): song_id for song_id in song_ids}
        found = await self._songs.get_many(list(keys))
        missing = [song_id for key, song_id in keys.items() if key not in found or not found[key].fresh]
        songs = _by_id(keys, found)
        if not missing:
            return songs
        try:
            fetched = await self._catalogue.songs(missing)
        except CatalogueUnavailable:
            return songs | {song_id: None for key, song_id in keys.items() if key not in found}
        await self._keep(fetched.values())
        missing_ones = {_key(song_id): None for song_id in missing if song_id not in fetched}
        await self._songs.put_many(missing_ones, ttl_seconds=self._missing_ttl_seconds)
        return {song_id: song for song_id, song in songs.items() if song_id not in missing} | fetched

    async def _keep(self, songs: Iterable[Song]) -> None:
        await self._songs.put_many({_key(song.id): song for song in songs})

    async def _most_popular(self, key: str, language: str | None, genre: str | None) -> tuple[int, ...]:
        found = await self._popular.get(key)
        if found is not None and found.fresh:
            return found.value
        try:
            songs = await self._catalogue.popular(POPULAR_MAX, language=language, genre=genre)
        except CatalogueUnavailable:
            if found is None:
                raise
            return found.value
        song_ids = tuple(song.id for song in songs)
        await self._popular.put(key, song_ids)
        await self._keep(songs)
        return song_ids


def _key(song_id: int) -> str:
    return f"song:{song_id}"


def _by_id(keys: dict[str, int], found: dict[str, Found[Song | None]]) -> dict[int, Song | None]:
    return {keys[key]: each.value for key, each in found.items() if each.value is not None}
