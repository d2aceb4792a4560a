"""Writes down what callers did, after their answers and without delaying them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime

import structlog

from backend.errors import UnavailableError
from backend.models import Heard, Recognition
from backend.ports import AccountLog

_ENTRIES_MAX = 10_000  # about 5 MB; what comes beyond, the database being away, is not recorded
_BATCH = 1000
_PAUSE_SECONDS = 1.0  # between writes: many entries share one
_LAST_SECONDS_MAX = 5.0  # for what is left when the server stops
_log = structlog.stdlib.get_logger("sonica.accounts")


class Recorder:
    """A bounded queue of history entries, and the keys that were used."""

    def __init__(self, log: AccountLog, *, entries_max: int = _ENTRIES_MAX) -> None:
        self._log = log
        self._entries_max = entries_max
        self._entries: deque[Heard] = deque()
        self._keys: set[int] = set()
        self._lost = 0
        self._turn = asyncio.Lock()
        self._prepared_on: date | None = None

    def recognized(self, user_id: int, recognition: Recognition) -> None:
        """Take down what was found for a user, nothing when nothing was; never waits."""
        if not recognition.matches:
            return
        if len(self._entries) >= self._entries_max:
            self._lost += 1
            return
        match = recognition.matches[0].match
        entry = Heard(user_id, datetime.now(UTC), recognition.query_key, match.song_id, match.score, match.offset_ms)
        self._entries.append(entry)

    def used(self, key_id: int) -> None:
        """Take down that a key was used; never waits."""
        self._keys.add(key_id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write every second, and in the end what is left."""
        writing = asyncio.create_task(self._write_for_ever())
        try:
            yield
        finally:
            writing.cancel()
            await asyncio.wait([writing])
            try:
                async with asyncio.timeout(_LAST_SECONDS_MAX):
                    await self.flush()
            except (UnavailableError, TimeoutError) as error:
                _log.warning("history_lost", entries=len(self._entries) + self._lost, error=repr(error))

    async def flush(self) -> None:
        """Write everything that is there; raises UnavailableError, and then forgets nothing."""
        async with self._turn:
            await self._flush()

    async def _flush(self) -> None:
        if self._prepared_on != datetime.now(UTC).date():
            await self._log.turn_pages()
            self._prepared_on = datetime.now(UTC).date()
        while self._entries:
            batch = [self._entries[place] for place in range(min(_BATCH, len(self._entries)))]
            await self._log.record(batch)
            for _ in batch:
                self._entries.popleft()
        keys = list(self._keys)
        await self._log.touch_keys(keys)
        self._keys.difference_update(keys)
        if self._lost:
            _log.warning("history_lost", entries=self._lost)
            self._lost = 0

    async def _write_for_ever(self) -> None:
        while True:
            try:
                await self.flush()
            except UnavailableError as error:
                _log.warning("history_waits", entries=len(self._entries), error=repr(error))
            except Exception:  # of this program: the entry that it is about must not hold up the others for ever
                self._entries.clear()
                _log.exception("history_lost")
            await asyncio.sleep(_PAUSE_SECONDS)
