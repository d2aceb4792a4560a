"""A catalogue's change log whose readers make the cache forget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from backend.models import Change
from backend.ports import ChangeLog


class FollowedChanges:
    """Implements ChangeLog over another one: what other processes changed is forgotten before the index takes it."""

    def __init__(self, changes: ChangeLog) -> None:
        self._changes = changes
        self._forget: Callable[[Sequence[int]], Awaitable[None]] | None = None

    def after_change(self, forget: Callable[[Sequence[int]], Awaitable[None]]) -> None:
        """Call this with each changed song's id from now on."""
        self._forget = forget

    async def name(self) -> str:
        """Return what tells this catalogue from every other."""
        return await self._changes.name()

    async def revision(self) -> int:
        """Return the newest revision, 0 for an empty log."""
        return await self._changes.revision()

    async def changes(self, *, after_revision: int) -> AsyncIterator[Change]:
        """Yield one change per song touched since, ascending by revision."""
        async for change in self._changes.changes(after_revision=after_revision):
            if self._forget is not None:
                await self._forget([change.song_id])
            yield change
