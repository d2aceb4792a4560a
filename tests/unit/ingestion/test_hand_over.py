"""Handing objects to workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from backend.errors import InvalidRequest, QueueUnavailable
from backend.ingestion.hand_over import hand_over
from backend.ingestion.messages import read_message
from backend.ingestion.sources import Flaw, Item


class Queue:
    """Keeps what is sent; is away from message number `ends` on."""

    def __init__(self, ends: int = 10**9) -> None:
        self.sent: list[str] = []
        self.ends = ends
        self.most_together = self.requests = self.most_requests = 0

    async def send(self, bodies: Sequence[str]) -> None:
        self.most_together = max(self.most_together, len(bodies))
        self.requests += 1
        self.most_requests = max(self.most_requests, self.requests)
        await asyncio.sleep(0.001)
        self.requests -= 1
        if len(self.sent) >= self.ends:
            raise QueueUnavailable("away")
        self.sent.extend(bodies)


def objects(count: int) -> list[Item | Flaw]:
    return [Item(f"s3://music/{number:04}.wav") for number in range(count)]


async def test_every_object_is_sent_once_and_told_in_order() -> None:
    queue = Queue()
    told = [outcome async for outcome in hand_over(objects(123), queue)]
    assert [outcome.file for outcome in told] == [item.uri for item in objects(123)]
    assert {outcome.outcome for outcome in told} == {"queued"}
    sent = [item.uri for body in queue.sent for item in read_message(body).items]
    assert sorted(sent) == [item.uri for item in objects(123)]
    assert queue.most_together == 10
    assert 1 < queue.most_requests <= 8


async def test_files_of_this_machine_and_flaws_are_told_and_not_sent() -> None:
    queue = Queue()
    flaw = Flaw("songs.csv, line 2", InvalidRequest("uri is blank"))
    told = [outcome async for outcome in hand_over([Item("file:///a.wav"), flaw, *objects(1)], queue, reingest=True)]
    assert [(outcome.file, outcome.outcome) for outcome in told] == [
        ("/a.wav", "failed"),
        ("songs.csv, line 2", "failed"),
        ("s3://music/0000.wav", "queued"),
    ]
    (body,) = queue.sent
    assert read_message(body).reingest


async def test_nothing_is_told_as_queued_that_the_queue_did_not_take() -> None:
    queue = Queue(ends=60)
    told = []
    with pytest.raises(QueueUnavailable):
        async for outcome in hand_over(objects(200), queue):
            told.append(outcome.file)  # what came before the error counts
    sent = {item.uri for body in queue.sent for item in read_message(body).items}
    assert set(told) <= sent
    assert len(told) >= 50
