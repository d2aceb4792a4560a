"""Takes messages of a queue in until it is told to stop: some at a time, each hidden from others while it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

import structlog

from backend.errors import QueueUnavailable
from backend.ingestion.intake import Intake
from backend.models import QueueMessage
from backend.ports import WorkQueue

_log = structlog.stdlib.get_logger("sonica.queue_worker")

_BEATS = 3  # of the heart in the time that a message stays hidden: two may be missed
_RETRY_SECONDS = 30.0  # until a message comes again, twice as long each time ...
_RETRY_SECONDS_MAX = 900.0  # ... up to this
_PAUSE_SECONDS_MAX = 60.0  # between messages when all of them have to come again: an outage must not use up their turns


class QueueWorker:
    """Works on up to `at_once` messages at a time."""

    def __init__(
        self,
        intake: Intake,
        queue: WorkQueue,
        *,
        at_once: int,
        stopping_seconds: float,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        """stopping_seconds: how long it goes on with what is under way once it is to stop; the rest is given back."""
        self._intake = intake
        self._queue = queue
        self._at_once = at_once
        self._stopping_seconds = stopping_seconds
        self._retry_seconds = retry_seconds
        self._failed_in_a_row = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set and what is under way has ended."""
        under_way: set[asyncio.Task[None]] = set()
        told_to_stop = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                for message in await self._received(self._at_once - len(under_way)):
                    task = asyncio.create_task(self._handle(message))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                if len(under_way) >= self._at_once:
                    await asyncio.wait([told_to_stop, *under_way], return_when=asyncio.FIRST_COMPLETED)
                await self._pause(told_to_stop)
        finally:
            told_to_stop.cancel()
            await self._end(under_way)

    async def _received(self, count: int) -> list[QueueMessage]:
        try:
            return await self._queue.receive(count)
        except QueueUnavailable as error:
            _log.warning("queue_unavailable", detail=error.detail)
            self._failed_in_a_row += 1
            return []

    async def _pause(self, told_to_stop: asyncio.Future[Literal[True]]) -> None:
        """Wait the longer, the more messages in a row have to come again."""
        if self._failed_in_a_row > self._at_once:
            seconds = min(2.0 ** (self._failed_in_a_row - self._at_once), _PAUSE_SECONDS_MAX)
            await asyncio.wait([told_to_stop], timeout=seconds)

    async def _handle(self, message: QueueMessage) -> None:
        try:
            async with self._kept_hidden(message):
                fate = await self._intake.take(message)
            await self._settle(message, again=fate == "again", deleted=fate == "rejected")
        except asyncio.CancelledError:
            await self._give_back(message)
            raise

    async def _settle(self, message: QueueMessage, *, again: bool, deleted: bool) -> None:
        self._failed_in_a_row = self._failed_in_a_row + 1 if again else 0
        try:
            if again:
                seconds = min(self._retry_seconds * 2 ** (message.receive_count - 1), _RETRY_SECONDS_MAX)
                await self._queue.hide(message, seconds=seconds)
            elif not deleted:
                await self._queue.delete(message)
        except QueueUnavailable as error:  # it comes again when its time is over, and is known then
            _log.warning("queue_unavailable", detail=error.detail)

    @asynccontextmanager
    async def _kept_hidden(self, message: QueueMessage) -> AsyncIterator[None]:
        heart = asyncio.create_task(self._beat(message))
        try:
            yield
        finally:
            heart.cancel()
            await asyncio.wait([heart])

    async def _beat(self, message: QueueMessage) -> None:
        while True:
            await asyncio.sleep(self._queue.visibility_seconds / _BEATS)
            try:
                await self._queue.hide(message, seconds=self._queue.visibility_seconds)
            except QueueUnavailable as error:
                _log.warning("queue_unavailable", detail=error.detail)

    async def _give_back(self, message: QueueMessage) -> None:
        with suppress(QueueUnavailable):
            await self._queue.hide(message, seconds=0)

    async def _end(self, under_way: set[asyncio.Task[None]]) -> None:
        if not under_way:
            return
        _, left = await asyncio.wait(under_way, timeout=self._stopping_seconds)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
