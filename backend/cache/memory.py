"""Recognitions kept in the memory of this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from weakref import WeakValueDictionary

from cachetools import TLRUCache

from backend.models import Recognition


class MemoryRecognitionCache:
    """Keeps the latest answers, each for its time; equal queries at the same time are computed once."""

    def __init__(
        self,
        entries_max: int,
        *,
        ttl_seconds: float,
        no_match_ttl_seconds: float,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """entries_max: 0 switches the cache off."""
        self._entries_max = entries_max
        self._ttl_seconds = ttl_seconds
        self._no_match_ttl_seconds = no_match_ttl_seconds
        self._answers: TLRUCache[str, Recognition, float] = TLRUCache(entries_max, self._expiry, timer)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get_or_compute(self, key: str, compute: Callable[[], Awaitable[Recognition]]) -> Recognition:
        """Return the kept answer, with `cache="memory"`, else compute and keep it.

        Whoever asks for a key that is being computed waits; if that computation fails or is cancelled, the
        next one in line computes for itself.
        """
        if not self._entries_max:
            return await compute()
        async with self._turns.setdefault(key, asyncio.Lock()):
            if (kept := self._answers.get(key)) is not None:
                return replace(kept, cache="memory")
            answer = await compute()
            self._answers[key] = answer
            return answer

    def _expiry(self, _key: str, answer: Recognition, now: float) -> float:
        return now + (self._ttl_seconds if answer.matches else self._no_match_ttl_seconds)
