"""What processes share through Redis: a layer, turns, the news of changes, and the songs recognised lately."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import structlog

from backend.breaker import Breaker
from backend.cache.lifetime import Lifetime
from backend.cache.memory import MemoryLayer
from backend.cache.recent import RecentSongs
from backend.cache.redis_layer import RedisLayer
from backend.cache.redis_server import RedisServer
from backend.cache.turns import RedisTurns
from backend.settings import Settings

_log = structlog.stdlib.get_logger("sonica.cache")
_UPKEEP_SECONDS = 1.0
_LISTENING_SECONDS_MAX = 2.0  # that the first load waits for the news; without them it would be forgotten again


class SharedCache:
    """The Redis of a catalogue; works as long as it is there, and takes up what was missed when it comes back."""

    def __init__(self, redis_url: str, settings: Settings, *, name: str) -> None:
        """name: of the catalogue; processes with others may share the same Redis."""
        self.server = RedisServer(
            redis_url,
            prefix=f"sonica:{name}:",
            timeout_seconds=settings.redis_timeout_seconds,
            breaker=Breaker(failures_max=settings.redis_failures_max, retry_seconds=settings.redis_retry_seconds),
        )
        lifetime = Lifetime(settings.cache_redis_ttl_seconds, stale_seconds=settings.cache_stale_seconds)
        self.layer = RedisLayer(self.server, lifetime)
        self.turns = RedisTurns(self.server, seconds=settings.cache_turn_seconds)
        self.recent = RecentSongs(self.server)
        self._retry_seconds = settings.redis_retry_seconds
        self._listening = asyncio.Event()
        self._upkeep: list[asyncio.Task[None]] = []

    def start(self, memory: MemoryLayer) -> None:
        """Hear of changes, which the memory is to forget, and write what waits, until `close`."""
        self._upkeep = [asyncio.create_task(task) for task in (self._listen(memory), self._tend())]

    async def recent_songs(self, limit: int) -> list[int]:
        """Return the ids of the songs recognised lately, as soon as no news are missed any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LISTENING_SECONDS_MAX):
                await self._listening.wait()
        return await self.recent.latest(limit)

    async def close(self) -> None:
        """Write what is left to write, and disconnect."""
        await _ended(self._upkeep)
        await self._write()
        await self.server.close()

    async def _listen(self, memory: MemoryLayer) -> None:
        def started() -> None:
            memory.clear()
            self._listening.set()

        while True:
            try:
                await self.server.listen(on_start=started, on_keys=memory.forget_now)
            except Exception as error:  # whatever the driver raises: the news are wanted as soon as there are any
                _log.warning("cache_hears_nothing", error=repr(error), retry_seconds=self._retry_seconds)
            await asyncio.sleep(self._retry_seconds)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_UPKEEP_SECONDS)
            await self._write()

    async def _write(self) -> None:
        await self.layer.catch_up()
        await self.recent.save()


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until it is heard: redis-py swallows a cancellation that comes as its own time limit is over."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=0.1)
