"""Hands the work to workers: a message for each object."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice
from typing import Protocol

from backend.errors import InvalidRequest
from backend.ingestion.messages import order
from backend.ingestion.outcomes import Ingested, failed
from backend.ingestion.sources import Flaw, Item

_SENT_TOGETHER = 10  # the most that SQS takes
_SENDING_MAX = 8  # requests at a time


class Orders(Protocol):
    """A queue that takes orders."""

    async def send(self, bodies: Sequence[str]) -> None:
        """Add up to ten messages; raises QueueUnavailable unless all were taken."""


async def hand_over(items: Iterable[Item | Flaw], queue: Orders, *, reingest: bool = False) -> AsyncGenerator[Ingested]:
    """Yield what became of each item, in their order, `queued` once the queue has it.

    Raises QueueUnavailable; whoever starts again sends some a second time, which does no harm.
    """
    sending: deque[asyncio.Task[list[Ingested]]] = deque()
    source = iter(items)
    try:
        while batch := await asyncio.to_thread(lambda: list(islice(source, _SENT_TOGETHER))):
            sending.append(asyncio.create_task(_sent(batch, queue, reingest=reingest)))
            if len(sending) >= _SENDING_MAX:
                for told in await sending.popleft():
                    yield told
        while sending:
            for told in await sending.popleft():
                yield told
    finally:
        for task in sending:
            task.cancel()


async def _sent(batch: list[Item | Flaw], queue: Orders, *, reingest: bool) -> list[Ingested]:
    told = [_told(entry) for entry in batch]
    orders = [
        order(entry, reingest=reingest)
        for entry, outcome in zip(batch, told, strict=True)
        if isinstance(entry, Item) and outcome.outcome == "queued"
    ]
    if orders:
        await queue.send(orders)
    return told


def _told(entry: Item | Flaw) -> Ingested:
    if isinstance(entry, Flaw):
        return failed(entry, entry.error)
    if entry.path is not None:
        return failed(entry, InvalidRequest("it is on this machine: workers read objects, s3://, alone"))
    return Ingested(entry.shown, "queued")
