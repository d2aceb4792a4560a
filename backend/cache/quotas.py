"""Counts requests against quotas: in Redis, which all servers share, or in the memory of this process."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any

import structlog
from cachetools import LRUCache
from limits.aio.storage import RedisClusterStorage, RedisStorage, Storage

from backend.breaker import Breaker
from backend.cache.windows import WindowsInMemory
from backend.settings import Settings

_ENDS_MAX = 100_000  # callers whose windows are known; about 20 MB
_log = structlog.stdlib.get_logger("sonica.quotas")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands with a quota after a request."""

    policy: str
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int  # until the window ends
    granted: bool


class Quotas:
    """Fixed windows that start with the first request in them."""

    def __init__(
        self, *, window_seconds: int, redis: Storage | None = None, timeout_seconds: float, breaker: Breaker
    ) -> None:
        """redis: asked for no longer than timeout_seconds, and left alone while the breaker says so."""
        self._window_seconds = window_seconds
        self._memory = WindowsInMemory(window_seconds)
        self._redis = redis
        self._ends: LRUCache[str, float] = LRUCache(_ENDS_MAX)  # of the windows in Redis
        self._timeout_seconds = timeout_seconds
        self._breaker = breaker

    @classmethod
    def from_settings(cls, settings: Settings) -> Quotas:
        """Count where the settings say."""
        timeout_seconds = settings.redis_timeout_seconds
        return cls(
            window_seconds=settings.rate_limit_window_seconds,
            redis=_redis(settings.redis_url, timeout_seconds) if settings.redis_url else None,
            timeout_seconds=timeout_seconds,
            breaker=Breaker(failures_max=settings.redis_failures_max, retry_seconds=settings.redis_retry_seconds),
        )

    @property
    def redis_left_alone(self) -> bool:
        """Whether the breaker keeps requests away from Redis now."""
        return self._breaker.open

    async def take(self, policy: str, partition: str, quota: int) -> Standing:
        """Count one request of a partition; while Redis does not answer, this process counts for itself."""
        key = f"{policy}:{partition}"
        if self._redis is not None and self._breaker.allows():
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    standing = await self._count(self._redis, key, policy, quota)
            except Exception as error:  # whatever the driver raises: no caller is refused for it
                self._breaker.failed()
                _log.warning("quotas_in_memory", error=type(error).__name__)
            else:
                self._breaker.succeeded()
                return standing
        return await self._count(self._memory, key, policy, quota)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if isinstance(self._redis, RedisStorage):
            bridge: Any = self._redis.bridge
            await bridge.get_connection().aclose()

    async def _count(self, storage: Storage, key: str, policy: str, quota: int) -> Standing:
        taken = await storage.incr(key, self._window_seconds)
        left = math.ceil(await self._end(storage, key, new=taken == 1) - time.time())
        return Standing(
            policy=policy,
            quota=quota,
            window_seconds=self._window_seconds,
            remaining=max(0, quota - taken),
            reset_seconds=min(max(1, left), self._window_seconds),
            granted=taken <= quota,
        )

    async def _end(self, storage: Storage, key: str, *, new: bool) -> float:
        """Return when the window ends, in seconds since 1970; Redis is asked no more than once a window."""
        if storage is self._memory:
            return await storage.get_expiry(key)
        now = time.time()
        end = now + self._window_seconds if new else self._ends.get(key, now)
        if end <= now:
            end = await storage.get_expiry(key)
        self._ends[key] = end
        return end


def _redis(url: str, timeout_seconds: float) -> Storage:
    """Return the storage for a URL such as `SONICA_REDIS_URL` takes."""
    from backend.cache.redis_server import client_options  # importing redis takes 0.2 s

    scheme, _, rest = url.partition("://")
    options: dict[str, Any] = {
        **client_options(timeout_seconds),
        "implementation": "redispy",
        "key_prefix": "sonica:quota",
    }
    if scheme.endswith("+cluster"):
        if scheme.startswith("rediss"):
            options["ssl"] = True
        return RedisClusterStorage(f"async+redis+cluster://{rest}", **options)
    scheme = "redis+unix" if scheme == "unix" else scheme
    return RedisStorage(f"async+{scheme}://{rest}", **options)
