"""The songs that were recognised lately, anywhere: what a process that starts is likely to be asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.cache.redis_server import RedisServer

_NAME = "recent"
_RECENT_MAX = 10_000  # songs remembered; about 1 MB of Redis
_TTL_SECONDS = 7 * 86_400.0  # what was asked for last week says nothing about today


class RecentSongs:
    """Song ids in Redis, the latest first; written a bunch at a time, for it is no answer's business."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._noted: dict[int, None] = {}

    def note(self, song_ids: Iterable[int]) -> None:
        """Remember that these were just recognised."""
        self._noted.update(dict.fromkeys(song_ids))

    async def save(self) -> None:
        """Write what was noted since; what cannot be written is not worth keeping."""
        noted, self._noted = list(self._noted)[-_RECENT_MAX:], {}
        if noted:
            await self._server.note(_NAME, noted, at=time.time(), limit=_RECENT_MAX, ttl_seconds=_TTL_SECONDS)

    async def latest(self, limit: int) -> list[int]:
        """Return up to `limit` song ids, the latest first; none when Redis does not answer."""
        members = await self._server.noted(_NAME, limit=limit) or []
        return [int(member) for member in members if member.isdigit() and len(member) < 19]
