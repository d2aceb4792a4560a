"""How long a layer keeps what."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TypeVar

from backend.cache.kept import Kept

T = TypeVar("T")

# Longer than a read of the catalogue may take, and what is put after it: whatever was read before a change is not kept.
FORGOTTEN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The bounds of a layer's values."""

    seconds_max: float
    stale_seconds: float = 0.0  # kept beyond their time, to be served while they are computed anew
    jitter: float = 0.1  # up to this share is taken off, so that what came together does not go together

    def limited(self, kept: Kept[T], *, now: float) -> Kept[T]:
        """Return the value as this layer keeps it."""
        until = now + self.seconds_max * (1 - self.jitter * random.random())  # noqa: S311
        return replace(kept, fresh_until=until) if until < kept.fresh_until else kept

    def gone_at(self, kept: Kept[T]) -> float:
        """Return when the value is not even stale any more."""
        return kept.fresh_until + self.stale_seconds
