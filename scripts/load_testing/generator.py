"""Runs clients in processes of their own, so that neither the server's nor the terminal's work holds them up."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from ctypes import c_double, c_ulong
from dataclasses import dataclass, replace
from multiprocessing.sharedctypes import RawArray, RawValue
from typing import Any

from load_testing.clients import Load, Sample, Target, send
from load_testing.truth import Asked

_SPAWN = multiprocessing.get_context("spawn")  # a fork would take the terminal's threads and locks along
_START_SECONDS_MAX = 60.0
_WATCH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Sent:
    """A load that was sent."""

    load: Load
    samples: Sequence[Sample]
    seconds: float
    cpu_seconds: float  # of the clients' processes


class Generator:
    """Processes of clients, started once for any number of loads; a context manager."""

    def __init__(self, target: Target, asked: Asked, *, processes: int = 1) -> None:
        self._processes = processes
        self._counts = RawArray(c_ulong, processes)
        self._until = RawValue(c_double)
        self._together = _SPAWN.Barrier(processes + 1)
        start = (target, asked, self._counts, self._until, self._together)
        self._pool = ProcessPoolExecutor(processes, _SPAWN, initializer=_prepare, initargs=start)
        self._stack = ExitStack()

    def __enter__(self) -> Generator:
        self._stack.enter_context(self._pool)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def send(self, load: Load, *, on_progress: Callable[[int], None] = lambda _: None) -> Sent:
        """Send a load and wait for its end; on_progress is told how many requests have been answered."""
        self._counts[:] = [0] * self._processes  # type: ignore[index]
        self._until.value = math.inf
        running = [self._pool.submit(_send, self._share(load, number), number) for number in range(self._processes)]
        self._together.wait(_START_SECONDS_MAX)
        started = time.monotonic()
        while not all(each.done() for each in running):
            on_progress(sum(self._counts))
            time.sleep(_WATCH_SECONDS)
        seconds = time.monotonic() - started
        return _sent(load, running, seconds)

    def end(self) -> None:
        """Send no more than is due by now; for another thread than the one that waits for the load's end."""
        self._until.value = time.monotonic()

    def _share(self, load: Load, number: int) -> Load:
        def part(whole: int) -> int:
            return whole // self._processes + (number < whole % self._processes)

        clients = part(load.clients)
        return replace(
            load,
            clients=clients,
            rate=load.rate and load.rate * clients / load.clients,
            requests=load.requests and part(load.requests),
        )


def _sent(load: Load, shares: Sequence[Future[tuple[list[Sample], float]]], seconds: float) -> Sent:
    samples = [sample for share in shares for sample in share.result()[0]]
    return Sent(load, sorted(samples), seconds, sum(share.result()[1] for share in shares))


_process: dict[str, Any] = {}  # of a generator's process: what _prepare was given


def _prepare(target: Target, asked: Asked, *shared: Any) -> None:  # noqa: ANN401
    _process.update(target=target, asked=asked, **dict(zip(("counts", "until", "together"), shared, strict=True)))


def _send(load: Load, number: int) -> tuple[list[Sample], float]:
    samples: list[Sample] = []
    counts, until = _process["counts"], _process["until"]

    def take(sample: Sample) -> None:
        samples.append(sample)
        counts[number] += 1

    _process["together"].wait(_START_SECONDS_MAX)
    cpu_before = sum(os.times()[:2])
    asyncio.run(send(_process["target"], _process["asked"], load, take, until=lambda: float(until.value)))
    return samples, sum(os.times()[:2]) - cpu_before
