"""What the origin asks of its index, whichever engine is beneath it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backend.ports import IndexUpkeep, ReferenceIndex

NEIGHBOURS = 10  # of each segment of a query
WINDOW_MARGIN_STEPS = 12  # stored segments around an alignment that verification may shift or stretch into
STRETCH_MAX = 1.1


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index holds."""

    version: str
    kind: str  # and of a compact one the codebooks' name
    fingerprint_version: int
    revision: int
    songs: int
    segments: int
    dead_segments: int
    bytes: int
    audio_seconds: float


class SearchIndex(ReferenceIndex, IndexUpkeep, Protocol):
    """Searched, kept in step with the catalogue, and watched."""

    caught_up_at: float  # when it last had all changes of the catalogue, in seconds since 1970

    @property
    def revisions_behind(self) -> int:
        """Changes of the catalogue that are known and not taken yet."""

    def stored(self, song_id: int) -> tuple[NDArray[np.int32], NDArray[np.int8]] | None:
        """Return a song's positions in steps, (n,), and vectors as they are kept, (n, 128); None for none here."""

    def status(self) -> IndexStatus:
        """Say what the index holds; waits for nobody."""


def compared_window(offset_steps: int, last_position: int) -> tuple[int, int]:
    """Return the first and the last position that verification may compare a query with.

    last_position: of the query's segments, in steps from its start.
    """
    stretched = round(last_position * STRETCH_MAX)
    return offset_steps - WINDOW_MARGIN_STEPS, offset_steps + stretched + WINDOW_MARGIN_STEPS
