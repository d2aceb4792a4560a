"""Look-ups of a moment ago: asked again when they are no longer fresh, used as they are while nobody answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import TTLCache

from backend.errors import UnavailableError

_ENTRIES_MAX = 10_000  # callers of the last minutes; about 1 kB each
T = TypeVar("T")


@dataclass(slots=True)
class _Kept(Generic[T]):
    value: T
    asked_at: float


class Recent(Generic[T]):
    """Keeps what was found; what was not found is asked for each time."""

    def __init__(
        self, *, fresh_seconds: float, stale_seconds: float, timer: Callable[[], float] = time.monotonic
    ) -> None:
        """fresh_seconds: how late a change is seen; stale_seconds: how long an outage is bridged."""
        self._fresh_seconds = fresh_seconds
        self._timer = timer
        self._kept: TTLCache[str, _Kept[T]] = TTLCache(_ENTRIES_MAX, stale_seconds, timer)

    def forget(self, wanted: Callable[[T], bool]) -> None:
        """Keep such values no longer."""
        for name in [name for name, kept in self._kept.items() if wanted(kept.value)]:
            self._kept.pop(name, None)

    async def get(self, name: str, look_up: Callable[[str], Awaitable[T | None]]) -> T | None:
        """Return the value of the name; raises the look-up's UnavailableError when nothing is kept."""
        kept = self._kept.get(name)
        if kept is not None and self._timer() - kept.asked_at < self._fresh_seconds:
            return kept.value
        try:
            value = await look_up(name)
        except UnavailableError:
            if kept is None:
                raise
            kept.asked_at = self._timer()  # in place, so that it ages on: the next in line need not wait for nobody
            return kept.value
        if value is None:
            self._kept.pop(name, None)
        else:
            self._kept[name] = _Kept(value, self._timer())
        return value
