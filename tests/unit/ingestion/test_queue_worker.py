"""The worker's loop: how many messages at a time, what becomes of each, how it stops."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable

from backend.errors import QueueUnavailable
from backend.ingestion.queue_worker import QueueWorker
from backend.models import QueueMessage


class Queue:
    """Hands out messages once; remembers what was done with each. `hidden`: the seconds, 0 for given back."""

    visibility_seconds = 0.06

    def __init__(self, *ids: str, receive_count: int = 1) -> None:
        self.messages = deque(QueueMessage(name, f"receipt {name}", "", receive_count) for name in ids)
        self.deleted: list[str] = []
        self.hidden: dict[str, list[float]] = {}
        self.asked = 0
        self.broken = False

    async def receive(self, count: int) -> list[QueueMessage]:
        self.asked += 1
        await asyncio.sleep(0.001)
        if self.broken:
            raise QueueUnavailable
        return [self.messages.popleft() for _ in range(min(count, len(self.messages)))]

    async def delete(self, message: QueueMessage) -> None:
        if self.broken:
            raise QueueUnavailable
        self.deleted.append(message.id)

    async def hide(self, message: QueueMessage, *, seconds: float) -> None:
        self.hidden.setdefault(message.id, []).append(seconds)
        if self.broken:
            raise QueueUnavailable

    async def reject(self, message: QueueMessage, *, code: str, detail: str) -> None:
        raise NotImplementedError


class Intake:
    """Answers with the fate that a message's id begins with; `slow` ones wait until they are let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.taken: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0

    async def take(self, message: QueueMessage) -> str:
        self.taken[message.id] += 1
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            if message.id.startswith("slow"):
                await self.let_go.wait()
            await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        return message.id.split()[0].replace("slow", "done")


async def until(holds: Callable[[], object]) -> None:
    for _ in range(5_000):
        if holds():
            return
        await asyncio.sleep(0.002)
    raise TimeoutError


class Running:
    """A worker that runs until the end of the block."""

    def __init__(self, queue: Queue, intake: Intake, *, at_once: int = 4, stopping_seconds: float = 10.0) -> None:
        self.stopping = asyncio.Event()
        self._worker = QueueWorker(intake, queue, at_once=at_once, stopping_seconds=stopping_seconds, retry_seconds=30)

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self._worker.run(self.stopping))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        async with asyncio.timeout(10):
            await self.task


async def test_messages_are_deleted_hidden_or_left_by_what_became_of_them() -> None:
    queue, intake = Queue("done 1", "rejected 2", "again 3", "done 4"), Intake()
    async with Running(queue, intake):
        await until(lambda: len(queue.deleted) == 2 and queue.hidden)
    assert sorted(queue.deleted) == ["done 1", "done 4"]
    assert queue.hidden == {"again 3": [30]}


async def test_message_that_came_often_is_hidden_longer() -> None:
    for receive_count, seconds in ((2, 60), (4, 240), (20, 900)):
        queue = Queue("again", receive_count=receive_count)
        async with Running(queue, Intake()):
            await until(lambda queue=queue: queue.hidden)
        assert queue.hidden == {"again": [seconds]}


async def test_no_more_messages_are_under_way_than_allowed() -> None:
    queue, intake = Queue(*(f"slow {number}" for number in range(9))), Intake()
    async with Running(queue, intake, at_once=3):
        await until(lambda: intake.under_way == 3)
        await asyncio.sleep(0.05)
        assert len(queue.messages) == 6
        intake.let_go.set()
        await until(lambda: len(queue.deleted) == 9)
    assert intake.most_under_way == 3


async def test_message_stays_hidden_while_it_is_worked_on() -> None:
    queue, intake = Queue("slow"), Intake()
    async with Running(queue, intake):
        await until(lambda: len(queue.hidden.get("slow", ())) >= 3)
        intake.let_go.set()
        await until(lambda: queue.deleted)
        beats = len(queue.hidden["slow"])
        await asyncio.sleep(2 * queue.visibility_seconds)
        assert len(queue.hidden["slow"]) == beats
    assert set(queue.hidden["slow"]) == {queue.visibility_seconds}


async def test_what_is_under_way_is_finished_when_told_to_stop() -> None:
    queue, intake = Queue("slow", "slow 2"), Intake()
    async with Running(queue, intake, at_once=2) as running:
        await until(lambda: intake.under_way == 2)
        running.stopping.set()
        queue.messages.append(QueueMessage("done later", "", "", 1))
        await asyncio.sleep(0.02)
        assert not running.task.done()
        intake.let_go.set()
    assert sorted(queue.deleted) == ["slow", "slow 2"]


async def test_what_lasts_too_long_is_given_back_when_told_to_stop() -> None:
    queue, intake = Queue("slow"), Intake()
    async with Running(queue, intake, stopping_seconds=0.01):
        await until(lambda: intake.under_way == 1)
    assert queue.hidden["slow"][-1] == 0
    assert queue.deleted == []


async def test_messages_are_left_in_the_queue_when_all_have_to_come_again() -> None:
    queue, intake = Queue(*(f"again {number}" for number in range(1000))), Intake()
    async with Running(queue, intake, at_once=2):
        await until(lambda: intake.taken.total() > 2)
        await asyncio.sleep(0.2)
    assert intake.taken.total() < 10


async def test_worker_outlives_a_queue_that_is_away() -> None:
    queue, intake = Queue("slow"), Intake()
    async with Running(queue, intake):
        await until(lambda: intake.under_way == 1)
        queue.broken = True
        asked = queue.asked
        intake.let_go.set()
        await until(lambda: queue.asked > asked + 1)
        queue.broken = False
        queue.messages.append(QueueMessage("done", "", "", 1))
        await until(lambda: queue.deleted == ["done"])
