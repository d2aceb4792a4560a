"""Counters in memory, bounded in number: the storage of `limits` itself walks through all of them at each request."""

from __future__ import annotations

import time

from cachetools import TTLCache
from limits.aio.storage import Storage

_COUNTERS_MAX = 100_000  # about 20 MB; beyond that the counter unused for longest goes


class WindowsInMemory(Storage):
    """Implements what fixed windows need of a storage; all windows are of one length."""

    STORAGE_SCHEME = None

    def __init__(self, window_seconds: int) -> None:
        super().__init__()
        self._counters: TTLCache[str, list[float]] = TTLCache(_COUNTERS_MAX, window_seconds, time.time)

    @property
    def base_exceptions(self) -> type[Exception]:
        """Name what a failure raises: nothing of its own."""
        return KeyError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, in a window that starts now if there is none, and return the count."""
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = [0.0, time.time() + expiry]
        counter[0] += amount  # in place: storing it anew would prolong its window
        return int(counter[0])

    async def get(self, key: str) -> int:
        """Return the count."""
        counter = self._counters.get(key)
        return int(counter[0]) if counter else 0

    async def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970."""
        counter = self._counters.get(key)
        return counter[1] if counter else time.time()

    async def clear(self, key: str) -> None:
        """Forget a counter."""
        self._counters.pop(key, None)

    async def reset(self) -> int | None:
        """Forget all counters; return how many there were."""
        number = len(self._counters)
        self._counters.clear()
        return number

    async def check(self) -> bool:
        """Say that memory is there."""
        return True
