"""A circuit breaker: what keeps failing is left alone for a while, then tried by one caller."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Opens after some failures in a row; once its time is over, lets a single call through to see."""

    def __init__(self, *, failures_max: int, retry_seconds: float, timer: Callable[[], float] = time.monotonic) -> None:
        self._failures_max = failures_max
        self._retry_seconds = retry_seconds
        self._timer = timer
        self._failures = 0
        self._retry_at = 0.0

    @property
    def open(self) -> bool:
        """Whether calls are kept away, but for the one that probes."""
        return self._failures >= self._failures_max

    def allows(self) -> bool:
        """Say whether to call now; who is told yes reports by `succeeded` or `failed`.

        A probe that never reports, having been cancelled, is followed by the next one after the same time.
        """
        if not self.open:
            return True
        if self._timer() < self._retry_at:
            return False
        self._retry_at = self._timer() + self._retry_seconds
        return True

    def succeeded(self) -> None:
        """Close."""
        self._failures = 0

    def failed(self) -> None:
        """Count a failure; the last one allowed opens."""
        self._failures += 1
        self._retry_at = self._timer() + self._retry_seconds

    def trip(self) -> None:
        """Open at once: there is no need to see it fail again."""
        self._failures = self._failures_max - 1
        self.failed()
