"""Threads for what computes or blocks, so many and no more: what comes beyond waits in line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


class Threads:
    """Runs `count` calls at a time, each in its caller's context: a span that it opens is of the caller's trace."""

    def __init__(self, count: int, *, name: str) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(
        self, function: Callable[Given, Returned], /, *arguments: Given.args, **named: Given.kwargs
    ) -> Returned:
        """Return what the function does; raises the same."""
        call = partial(copy_context().run, function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """Give up what waits in line; what is under way ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)
