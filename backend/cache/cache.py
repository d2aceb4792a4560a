"""The whole cache: its layers, what is kept in them, and what keeps it up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from backend.cache.answers import answers_by
from backend.cache.json_values import TEXTS, JsonCache
from backend.cache.kept import Codec
from backend.cache.layers import Counts, Layer, Layered
from backend.cache.lifetime import Lifetime
from backend.cache.memory import MemoryLayer
from backend.cache.recognitions import LayeredRecognitionCache
from backend.cache.songs import POPULAR, SONGS, CachedSongs
from backend.ports import SongCatalogue
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.cache.shared import SharedCache

T = TypeVar("T")

_log = structlog.stdlib.get_logger("sonica.cache")


class NamedCatalogue(SongCatalogue, Protocol):
    """A catalogue that has a name: others may share its Redis."""

    async def name(self) -> str:
        """Return what tells this catalogue from every other."""


class Cache:
    """Songs, answers and small values, in the memory of this process and, if there is one, in Redis."""

    def __init__(self, settings: Settings, catalogue: SongCatalogue, *, shared: SharedCache | None) -> None:
        lifetime = Lifetime(settings.cache_ttl_seconds, stale_seconds=settings.cache_stale_seconds)
        self.counts: Counts = Counter()
        self.memory = MemoryLayer(settings.cache_bytes_max, lifetime)
        self.shared = shared
        self._layers: Sequence[Layer] = [self.memory] if settings.cache_bytes_max else []
        if shared is not None:
            self._layers = [*self._layers, shared.layer]
        self.values = JsonCache(self._layered("user", TEXTS))
        self.songs = CachedSongs(
            catalogue,
            self._layered("song", SONGS),
            self._layered("popular", POPULAR),
            missing_ttl_seconds=settings.cache_no_match_ttl_seconds,
            wait_seconds=settings.database_wait_seconds,
        )
        self.recognitions = LayeredRecognitionCache(
            self._layered("recognition", answers_by(_limits(settings))),
            self.songs,
            no_match_ttl_seconds=settings.cache_no_match_ttl_seconds,
            turns=shared.turns if shared else None,
            recent=shared.recent if shared else None,
        )

    async def warm(self, songs: int) -> None:
        """Load so many popular and so many recently recognised songs; what fails is left to the requests."""
        try:
            recent = await self.shared.recent_songs(songs) if self.shared else []
            _log.info("cache_warmed", songs=await self.songs.warm(recent, popular=songs))
        except Exception as error:
            _log.warning("cache_not_warmed", error=repr(error))

    async def disconnect(self) -> None:
        """Keep nothing in memory and close the connections, until `reconnect`."""
        if self.shared is not None:
            await self.shared.close()
        self.memory.clear()

    def reconnect(self) -> None:
        """Hear of changes; other connections open at their next use."""
        if self.shared is not None:
            self.shared.start(self.memory)

    async def parts_away(self) -> list[str]:
        """Return the names of the parts that recognitions are slower without."""
        return ["redis"] if self.shared is not None and not await self.shared.server.ping() else []

    @property
    def redis_left_alone(self) -> bool:
        """Whether the breaker keeps requests away from Redis now."""
        return self.shared is not None and self.shared.server.away

    def _layered(self, kind: str, codec: Codec[T]) -> Layered[T]:
        return Layered(kind, self._layers, codec, counts=self.counts)


@asynccontextmanager
async def open_cache(settings: Settings, catalogue: NamedCatalogue, *, name: str | None = None) -> AsyncIterator[Cache]:
    """Open the cache of a catalogue; a Redis that is away is waited for behind the requests' backs.

    name: of the catalogue, which is asked for it unless it is given.
    """
    shared = await _shared(settings, catalogue, name)
    cache = Cache(settings, catalogue, shared=shared)
    cache.reconnect()
    try:
        yield cache
    finally:
        await cache.recognitions.close()
        if shared is not None:
            await shared.close()


async def _shared(settings: Settings, catalogue: NamedCatalogue, name: str | None) -> SharedCache | None:
    if settings.redis_url is None:
        return None
    from backend.cache.shared import SharedCache  # importing redis takes 0.2 s

    return SharedCache(settings.redis_url, settings, name=name or await catalogue.name())


def _limits(settings: Settings) -> str:
    """Name all that an answer depends on besides index and query: what was answered by others is not believed."""
    try:
        program = version("sonica")
    except PackageNotFoundError:  # run from a checkout that was never installed
        program = "0"
    return f"{program} {settings.candidates_max} {settings.false_accept_rate} {settings.hnsw_search_depth}"
