"""Worker processes: extraction on every core; a file that crashes its process takes no other with it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext

from backend.errors import WorkerCrashed
from backend.ingestion.extraction import Extracted, Job, extract_song

_SPAWN: SpawnContext = multiprocessing.get_context("spawn")  # a fork would copy the locks of running threads


class Workers:
    """Extracts files in `count` processes; use as a context manager."""

    def __init__(self, count: int, *, extract: Callable[[Job], Extracted] = extract_song) -> None:
        self.count = count
        self._extract = extract
        self._pool = _pool(count)
        self._alone = asyncio.Lock()

    async def __aenter__(self) -> Workers:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop at once: whoever leaves early does not want to wait for a three-hour mix."""
        processes = multiprocessing.active_children()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()

    async def extract(self, job: Job) -> Extracted:
        """Extract in a worker; raises what `extract_song` does, and WorkerCrashed.

        When a worker dies, every file under way may have been the cause: each is tried again alone.
        """
        pool = self._pool
        try:
            return await asyncio.wrap_future(pool.submit(self._extract, job))
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = _pool(self.count)
        async with self._alone:
            return await self._extract_alone(job)

    async def _extract_alone(self, job: Job) -> Extracted:
        with _pool(1) as pool:
            try:
                return await asyncio.wrap_future(pool.submit(self._extract, job))
            except BrokenProcessPool as error:
                raise WorkerCrashed() from error


def _pool(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=_SPAWN, initializer=_begin)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the parent was killed: workers hold both ends of the pool's pipe and would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
