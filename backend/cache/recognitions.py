"""Answers by query key, in layers: computed once, given slightly stale while they are computed anew."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from backend.cache.answers import Answer
from backend.cache.layers import Layered
from backend.cache.recent import RecentSongs
from backend.cache.turns import Flights, RedisTurns
from backend.models import Recognition
from backend.ports import SongLookUp

_REFRESHES_MAX = 4  # at a time; requests come first

Compute = Callable[[], Awaitable[Recognition]]
_log = structlog.stdlib.get_logger("sonica.cache")


class LayeredRecognitionCache:
    """Implements RecognitionCache.

    Answers are kept without their songs, which are looked up whenever an answer is given: one that was changed is
    given as it is now, and an answer one of whose songs was deleted, or has become another recording, is none.
    """

    def __init__(
        self,
        answers: Layered[Answer],
        songs: SongLookUp,
        *,
        no_match_ttl_seconds: float,
        turns: RedisTurns | None = None,
        recent: RecentSongs | None = None,
    ) -> None:
        self._answers = answers
        self._songs = songs
        self._no_match_ttl_seconds = no_match_ttl_seconds
        self._turns = turns
        self._recent = recent
        self._flights: Flights[Recognition] = Flights()
        self._refreshes: dict[str, asyncio.Task[None]] = {}

    async def get(self, query_key: str, *, index_version: str) -> Recognition | None:
        """Return the kept answer, None when there is none; waits for no computation."""
        kept, _ = await self._find(_key(query_key), index_version)
        return kept

    async def get_or_compute(self, query_key: str, compute: Compute, *, index_version: str) -> Recognition:
        """Return the kept answer, else compute and keep it.

        A stale match is given too, and computed anew behind the caller's back; a stale no-match is not.
        """
        if not self._answers:
            return await compute()
        key = _key(query_key)
        answer, shared = await self._flights.answer(key, lambda: self._found_or_computed(key, compute, index_version))
        if self._recent is not None:
            self._recent.note(found.match.song_id for found in answer.matches)
        return replace(answer, cache="memory") if shared and answer.cache == "miss" else answer

    async def close(self) -> None:
        """Stop computing anew."""
        refreshes = list(self._refreshes.values())
        for refresh in refreshes:
            refresh.cancel()
        await asyncio.gather(*refreshes, return_exceptions=True)

    async def _find(self, key: str, index_version: str) -> tuple[Recognition | None, bool]:
        """Return what is kept and can be given, and whether it is fresh."""
        found = await self._answers.get(key, holds=lambda answer: answer.index_version == index_version)
        if found is None or not (found.fresh or found.value.accepted):
            return None, False
        songs = await self._songs.look_up(found.value.song_ids)
        if None in songs.values():
            return None, False  # whether they are the same songs still cannot be told; the index can say it
        return found.value.with_songs(songs, layer=found.layer), found.fresh

    async def _found_or_computed(self, key: str, compute: Compute, index_version: str) -> Recognition:
        kept, fresh = await self._find(key, index_version)
        if kept is None:
            async with self._turn(key, index_version) as found:
                return found or await self._computed(key, compute)
        if not fresh:
            self._refresh_soon(key, compute)
        return kept

    async def _computed(self, key: str, compute: Compute) -> Recognition:
        recognition = await compute()
        if any(found.song is None for found in recognition.candidates):
            return recognition  # the next one who asks may be told more
        ttl_seconds = math.inf if recognition.matches else self._no_match_ttl_seconds
        await self._answers.put(key, Answer.of(recognition), ttl_seconds=ttl_seconds)
        return recognition

    @asynccontextmanager
    async def _turn(self, key: str, index_version: str) -> AsyncIterator[Recognition | None]:
        if self._turns is None:
            yield None
            return

        async def found() -> Recognition | None:
            recognition, fresh = await self._find(key, index_version)
            return recognition if fresh else None

        async with self._turns.turn(key, found=found) as recognition:
            yield recognition

    def _refresh_soon(self, key: str, compute: Compute) -> None:
        if key not in self._refreshes and len(self._refreshes) < _REFRESHES_MAX:
            self._refreshes[key] = refresh = asyncio.create_task(self._refresh(key, compute))
            refresh.add_done_callback(lambda _: self._refreshes.pop(key))

    async def _refresh(self, key: str, compute: Compute) -> None:
        try:
            if self._turns is None or not await self._turns.taken(key):
                await self._computed(key, compute)
        except Exception as error:  # the stale answer was given; the next one who asks tries again
            _log.warning("answer_not_refreshed", error=repr(error))


def _key(query_key: str) -> str:
    return f"recognition:{query_key}"
