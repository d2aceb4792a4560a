"""Has equal questions at the same time answered once: in this process, and through Redis among all of them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from backend.cache.redis_server import RedisServer

T = TypeVar("T")

_POLL_SECONDS = 0.01  # a recognition takes about as long


class _Flight(Generic[T]):
    """One question under way."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.answers: list[T] = []  # none or one


class Flights(Generic[T]):
    """Questions under way in this process, by key."""

    def __init__(self) -> None:
        self._flights: WeakValueDictionary[str, _Flight[T]] = WeakValueDictionary()

    async def answer(self, key: str, compute: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the answer, and whether it was computed for somebody else who asked at the same time.

        When that computation fails or is cancelled, the next one in line computes for itself.
        """
        flight = self._flights.setdefault(key, _Flight())
        async with flight.turn:
            if flight.answers:
                return flight.answers[0], True
            flight.answers.append(await compute())
            self._flights.pop(key, None)  # whoever comes now asks anew
            return flight.answers[0], False


class RedisTurns:
    """Turns among processes; one that crashes in its turn holds the others up no longer than a turn lasts."""

    def __init__(self, server: RedisServer, *, seconds: float) -> None:
        self._server = server
        self._seconds = seconds

    @asynccontextmanager
    async def turn(self, key: str, *, found: Callable[[], Awaitable[T | None]]) -> AsyncIterator[T | None]:
        """Yield None when it is this process's turn to compute, or what another one that had it left to be `found`."""
        token = uuid.uuid4().hex
        until = time.monotonic() + self._seconds
        while await self._server.take_turn(key, token, seconds=self._seconds) is False and time.monotonic() < until:
            await asyncio.sleep(_POLL_SECONDS)
            if (answer := await found()) is not None:
                yield answer
                return
        try:
            yield None
        finally:
            await self._server.end_turn(key, token)

    async def taken(self, key: str) -> bool:
        """Say whether another process has this turn; if not, this one has it, until it ends by itself."""
        return await self._server.take_turn(key, uuid.uuid4().hex, seconds=self._seconds) is False
