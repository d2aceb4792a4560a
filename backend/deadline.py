"""The time that is left: said where a request comes in, heeded where something is waited for."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at: ContextVar[float] = ContextVar("ends_at", default=math.inf)  # by the monotonic clock


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have what is waited for inside take no longer than that, nor than was said further out."""
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left(at_most: float = math.inf) -> float:
    """Return how long may be waited: `at_most`, or less; infinity where nothing was said."""
    return max(0.0, min(at_most, _ends_at.get() - time.monotonic()))
