"""Whose every indexed vector is: song and position by ordinal, ordinals by song."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.models import CATALOGUE_THINNING

Positions = NDArray[np.int32]
_POSITION_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """For each of n ordinals: its song (0 where the song was removed) and its position there in steps."""

    song_ids: NDArray[np.int64]
    positions: Positions


class SongDirectory:
    """Songs in the order in which they were added; a removed one leaves a gap of dead ordinals.

    A song's positions are CATALOGUE_THINNING apart but where silence was left out, so the runs in between are kept.
    """

    def __init__(self) -> None:
        # Arrays longer than what they hold, so that adding is cheap.
        self._song_ids = np.empty(0, np.int64)  # an entry a song added; 0 once removed
        self._firsts = np.empty(0, np.int64)  # its first ordinal
        self._run_firsts = np.empty(0, np.int64)  # a run's first ordinal
        self._run_positions = np.empty(0, np.int32)  # and the position of that
        self._run_keys = np.empty(0, np.int64)  # entry and position as one number, ascending
        self._added = self._runs = 0  # entries, runs
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
        runs = np.flatnonzero(np.diff(positions, prepend=-1 - CATALOGUE_THINNING) != CATALOGUE_THINNING)
        self._song_ids = _appended(self._song_ids, self._added, [song_id])
        self._firsts = _appended(self._firsts, self._added, [self.segments])
        self._run_firsts = _appended(self._run_firsts, self._runs, self.segments + runs)
        self._run_positions = _appended(self._run_positions, self._runs, positions[runs])
        self._run_keys = _appended(self._run_keys, self._runs, _keys(self._added, positions[runs]))
        self._entries[song_id] = self._added
        self._added, self._runs, self.segments = self._added + 1, self._runs + len(runs), self.segments + len(positions)

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
        entries = self._firsts[: self._added].searchsorted(ordinals, side="right") - 1
        return Owners(song_ids=self._song_ids[entries], positions=self._positions(ordinals))

    def windows(
        self, song_ids: Sequence[int], first_positions: ArrayLike, last_positions: ArrayLike
    ) -> tuple[NDArray[np.int64], Positions, list[int]]:
        """Return the ordinals and positions of the songs' segments between two positions each, both included.

        One song follows the other; the list says where each begins, and where the last one ends.
        """
        entries = np.array([self._entries[song_id] for song_id in song_ids], np.int64)
        lows = self._firsts_from(entries, np.asarray(first_positions))
        lengths = self._firsts_from(entries, np.asarray(last_positions) + 1) - lows
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        ordinals = np.repeat(lows - bounds[:-1], lengths) + np.arange(bounds[-1])
        return ordinals, self._positions(ordinals), bounds.tolist()

    def whole(self, song_id: int) -> tuple[int, Positions] | None:
        """Return the first ordinal and the positions of all of a song, None where it is not here."""
        entry = self._entries.get(song_id)
        if entry is None:
            return None
        start = int(self._firsts[entry])
        return start, self._positions(np.arange(start, self._end(entry)))

    def dead_between(self, first: int, end: int) -> int:
        """Count the dead ordinals of a range that begins and ends with a whole byte."""
        return int(np.bitwise_count(self.dead[first >> 3 : end >> 3]).sum())

    def songs_between(self, first: int, end: int) -> list[int]:
        """Return the songs that have ordinals in a range."""
        entries = slice(
            max(0, int(np.searchsorted(self._firsts[: self._added], first, side="right")) - 1),
            int(np.searchsorted(self._firsts[: self._added], end)),
        )
        return [int(song_id) for song_id in self._song_ids[entries] if song_id]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` takes."""
        return {
            "song_ids": self._song_ids[: self._added],
            "firsts": self._firsts[: self._added],
            "run_firsts": self._run_firsts[: self._runs],
            "run_positions": self._run_positions[: self._runs],
            "segments": np.array(self.segments),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> SongDirectory:
        """Restore a directory."""
        directory = cls()
        directory._song_ids = arrays["song_ids"].astype(np.int64)
        directory._firsts = arrays["firsts"].astype(np.int64)
        directory._run_firsts = arrays["run_firsts"].astype(np.int64)
        directory._run_positions = arrays["run_positions"].astype(np.int32)
        directory._added, directory._runs = len(directory._song_ids), len(directory._run_firsts)
        entries = directory._firsts.searchsorted(directory._run_firsts, side="right") - 1
        directory._run_keys = _keys(entries, directory._run_positions)
        directory.segments = int(arrays["segments"])
        directory._entries = {int(song): entry for entry, song in enumerate(directory._song_ids) if song}
        for entry in np.flatnonzero(directory._song_ids == 0):
            directory._bury(int(entry))
        return directory

    def _positions(self, ordinals: NDArray[np.int64]) -> Positions:
        firsts = self._run_firsts[: self._runs]
        runs = firsts.searchsorted(ordinals, side="right") - 1
        positions: Positions = (
            self._run_positions[runs] + (ordinals - firsts[runs]).astype(np.int32) * CATALOGUE_THINNING
        )
        return positions

    def _firsts_from(self, entries: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each song's first ordinal whose position is not before the one given; its end if there is none."""
        starts, ends = self._firsts[entries], self._ends(entries)
        firsts = self._run_firsts[: self._runs]
        before = self._run_keys[: self._runs].searchsorted(_keys(entries, np.maximum(positions, 0)), side="right") - 1
        runs = np.minimum(np.maximum(before, firsts.searchsorted(starts)), self._runs - 1)
        ahead = -(-(positions - self._run_positions[runs]) // CATALOGUE_THINNING)
        nexts = np.where(runs + 1 < self._runs, firsts[np.minimum(runs + 1, self._runs - 1)], self.segments)
        found: NDArray[np.int64] = np.minimum(firsts[runs] + np.maximum(ahead, 0), nexts)
        return found.clip(starts, ends)

    def _bury(self, entry: int) -> None:
        ordinals = np.arange(self._firsts[entry], self._end(entry))
        self.dead_segments += len(ordinals)
        if (missing := self.segments // 8 + 1 - len(self.dead)) > 0:
            self.dead = np.pad(self.dead, (0, missing))
        np.bitwise_or.at(self.dead, ordinals >> 3, (1 << (ordinals & 7)).astype(np.uint8))

    def _end(self, entry: int) -> int:
        return int(self._ends(np.array([entry]))[0])

    def _ends(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        ends = self._firsts[np.minimum(entries + 1, self._added - 1)]
        return np.where(entries + 1 < self._added, ends, self.segments)


def _keys(entries: int | NDArray[np.int64], positions: NDArray[Any]) -> NDArray[np.int64]:
    """Put entry and position into one number; positions are not negative."""
    keys: NDArray[np.int64] = (np.int64(entries) << _POSITION_BITS) + positions.astype(np.int64)
    return keys


def _appended(array: NDArray[Any], used: int, values: ArrayLike) -> NDArray[Any]:
    more = np.asarray(values, array.dtype)
    end = used + len(more)
    if end > len(array):
        array = np.resize(array, max(end, 2 * len(array), 1024))
    array[used:end] = more
    return array
