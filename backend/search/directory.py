"""Whose every indexed vector is: song and position by ordinal, ordinals by song."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """For each of n ordinals: its song (0 where the song was removed) and its position there in steps."""

    song_ids: NDArray[np.int64]
    positions: Positions


class SongDirectory:
    """Songs in the order in which they were added; a removed one leaves a gap of dead ordinals."""

    def __init__(self) -> None:
        # Arrays longer than what they hold, so that adding is cheap.
        self._song_ids = np.empty(0, np.int64)  # an entry a song added; 0 once removed
        self._firsts = np.empty(0, np.int64)  # its first ordinal
        self._positions = np.empty(0, np.int32)  # one an ordinal
        self._added = 0  # entries
        self._entries: dict[int, int] = {}
        self.dead = np.zeros(1, np.uint8)  # a bit an ordinal, the lowest first: set once its song was removed
        self.segments = 0
        self.dead_segments = 0

    @property
    def songs(self) -> int:
        """How many songs are alive."""
        return len(self._entries)

    def add(self, song_id: int, positions: Positions) -> None:
        """Append a song whose vectors have just got the next ordinals."""
        entry, end = self._added, self.segments + len(positions)
        self._song_ids = _with_room(self._song_ids, entry + 1)
        self._firsts = _with_room(self._firsts, entry + 1)
        self._positions = _with_room(self._positions, end)
        self._song_ids[entry] = song_id
        self._firsts[entry] = self.segments
        self._positions[self.segments : end] = positions
        self._entries[song_id] = entry
        self._added, self.segments = entry + 1, end

    def remove(self, song_id: int) -> bool:
        """Mark a song's ordinals dead; say whether it was there."""
        entry = self._entries.pop(song_id, None)
        if entry is None:
            return False
        self._song_ids[entry] = 0
        self._bury(entry)
        return True

    def owners(self, ordinals: NDArray[np.int64]) -> Owners:
        """Look ordinals up."""
        entries = np.searchsorted(self._firsts[: self._added], ordinals, side="right") - 1
        return Owners(song_ids=self._song_ids[entries], positions=self._positions[ordinals])

    def window(self, song_id: int, first_position: int, last_position: int) -> tuple[int, Positions]:
        """Return the first ordinal and the positions of a song's segments between two positions, both included."""
        entry = self._entries[song_id]
        start, end = int(self._firsts[entry]), self._end(entry)
        positions = self._positions[start:end]
        low = int(np.searchsorted(positions, first_position, side="left"))
        high = int(np.searchsorted(positions, last_position, side="right"))
        return start + low, positions[low:high].copy()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` takes."""
        return {
            "song_ids": self._song_ids[: self._added],
            "firsts": self._firsts[: self._added],
            "positions": self._positions[: self.segments],
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> SongDirectory:
        """Restore a directory."""
        directory = cls()
        directory._song_ids = arrays["song_ids"].astype(np.int64)
        directory._firsts = arrays["firsts"].astype(np.int64)
        directory._positions = arrays["positions"].astype(np.int32)
        directory._added, directory.segments = len(directory._song_ids), len(directory._positions)
        directory._entries = {int(song): entry for entry, song in enumerate(directory._song_ids) if song}
        for entry in np.flatnonzero(directory._song_ids == 0):
            directory._bury(int(entry))
        return directory

    def _bury(self, entry: int) -> None:
        ordinals = np.arange(self._firsts[entry], self._end(entry))
        self.dead_segments += len(ordinals)
        if (missing := self.segments // 8 + 1 - len(self.dead)) > 0:
            self.dead = np.pad(self.dead, (0, missing))
        np.bitwise_or.at(self.dead, ordinals >> 3, (1 << (ordinals & 7)).astype(np.uint8))

    def _end(self, entry: int) -> int:
        return int(self._firsts[entry + 1]) if entry + 1 < self._added else self.segments


def _with_room(array: NDArray[Any], length: int) -> NDArray[Any]:
    return array if length <= len(array) else np.resize(array, max(length, 2 * len(array), 1024))
