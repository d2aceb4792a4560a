"""Threads: so many calls at a time, each in its caller's context."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from backend.threads import Threads

_request = ContextVar("_request", default="none")


async def test_calls_wait_in_line_when_all_threads_are_busy():
    threads, under_way, most = Threads(2, name="test"), 0, 0
    lock, both, go_on = threading.Lock(), threading.Event(), threading.Event()

    def call(number):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if most == 2:
                both.set()
        go_on.wait(10)
        with lock:
            under_way -= 1
        return number

    calls = [asyncio.create_task(threads.run(call, number)) for number in range(6)]
    await asyncio.to_thread(both.wait, 10)
    go_on.set()
    assert await asyncio.gather(*calls) == list(range(6))
    assert most == 2
    threads.close()


async def test_call_sees_its_callers_context_and_raises_what_the_function_does():
    threads = Threads(1, name="test")
    _request.set("seven")
    assert await threads.run(_request.get) == "seven"
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run(int, "x")
    threads.close()


async def test_what_waits_is_given_up_when_closed():
    threads, started, go_on = Threads(1, name="test"), threading.Event(), threading.Event()
    first = asyncio.create_task(threads.run(lambda: (started.set(), go_on.wait(10))[1]))
    second = asyncio.create_task(threads.run(lambda: "never"))
    await asyncio.to_thread(started.wait, 10)
    threads.close()
    go_on.set()
    assert await first is True
    with pytest.raises(asyncio.CancelledError):
        await second
