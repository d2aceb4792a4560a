from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from backend.cache.cache import Cache, open_cache
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.models import Recognition
from backend.settings import Settings
from tests.factories import make_new_song, make_recognition
from tests.redis_server import RedisProcess, running_redis

OpenProcess = Callable[..., Awaitable["Process"]]


class Process:
    """What one process of the service does with its cache."""

    def __init__(self, cache: Cache, catalogue: InMemoryCatalogue) -> None:
        self.cache = cache
        self.computed = 0
        self._catalogue = catalogue

    async def ask(self, query_key: str = "a", *, song_id: int = 1, seconds: float = 0.0) -> Recognition:
        """Ask for an answer, which is computed in so many seconds where it is not kept."""

        async def compute() -> Recognition:
            self.computed += 1
            await asyncio.sleep(seconds)
            songs = await self.cache.songs.songs([song_id])
            return make_recognition(*songs.values(), query_key=query_key)

        return await self.cache.recognitions.get_or_compute(query_key, compute, index_version="v1-r1")

    async def delete(self, song_id: int) -> None:
        """Delete a song, as the catalogue's own adapter does it."""
        await self._catalogue.delete(song_id)
        await self.cache.songs.forget([song_id])


@pytest.fixture
async def catalogue() -> InMemoryCatalogue:
    """A catalogue of three songs, which all processes share."""
    catalogue = InMemoryCatalogue()
    for seed in (1, 2, 3):
        await catalogue.put(make_new_song(seed))
    return catalogue


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """A Redis of the test's own, to be stopped."""
    with running_redis() as server:
        yield server


@pytest.fixture
async def open_process(catalogue: InMemoryCatalogue, tmp_path: Path) -> AsyncIterator[OpenProcess]:
    """Opens the cache as another process would. The deadline is long, for a busy machine must not fail a test."""
    async with AsyncExitStack() as stack:

        async def opened(redis_url: str | None, **settings: Any) -> Process:
            given = {"redis_timeout_seconds": 2.0, "redis_retry_seconds": 0.01, "cache_turn_seconds": 10.0, **settings}
            cache = await stack.enter_async_context(
                open_cache(Settings(data_dir=tmp_path, redis_url=redis_url, **given), catalogue)
            )
            if cache.shared is not None:
                await cache.shared.recent_songs(1)  # it hears what the others forget from now on
            return Process(cache, catalogue)

        yield opened


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once it holds; raises TimeoutError after ten seconds."""
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110  # what is waited for is another process's
            await asyncio.sleep(0.01)
