"""Chromaprint's fingerprints, by its program `fpcalc`, laid along every song at every item.

A fingerprint is a row of 32-bit items, one each 1365 samples at 11,025 Hz. At an alignment, two fingerprints differ
by the share of bits that do: the bit error rate of Haitsma & Kalker, "A Highly Robust Audio Fingerprinting System"
(ISMIR 2002), which Chromaprint's own matcher takes too. AcoustID's comparison, repeated in pyacoustid, makes a
histogram over offsets of the items that differ in at most two bits; over all offsets, as here, that is the count at
each alignment, and it decides between alignments of one bit error rate. (By itself it finds fewer degraded clips.)
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import numpy as np
from measurement.scoring import Answer
from numpy.typing import NDArray

from peers.system import Songs, Watch, program

ITEM_SECONDS = 1365 / 11025  # frames of 4096 samples that overlap by two thirds
ITEM_BITS = 32
BIT_ERRORS_MAX = 2  # of items that AcoustID takes for the same

Items = NDArray[np.uint32]


class Chromaprint:
    """`fpcalc`, a process a file, and an exhaustive search of our own in NumPy."""

    name = "Chromaprint"
    about = "`fpcalc` (Debian: libchromaprint-tools; MIT, LGPL), started for each clip; all alignments by bit errors"

    def __init__(self) -> None:
        self._fpcalc = program("fpcalc", "libchromaprint-tools (Debian, Ubuntu)")
        self._names: list[str] = []
        self._items = np.zeros(0, np.uint32)  # of all songs, one after the other
        self._ends = np.zeros(0, np.intp)

    def ingest(self, songs: Songs, watch: Watch) -> None:
        """Learn all songs."""
        fingerprints = [self._fingerprint(str(path)) for path in watch(list(songs.values()))]
        self._names = list(songs)
        self._items = np.concatenate(fingerprints)
        self._ends = np.cumsum([items.size for items in fingerprints])

    def ask(self, clips: Sequence[str]) -> dict[str, Answer]:
        """Return the best candidate for each file; none for clips under 2.7 s, of which there is no fingerprint."""
        return {clip: self._answer(self._fingerprint(clip)) for clip in clips}

    def index_bytes(self) -> int:
        """Return the size of what it learned."""
        return self._items.nbytes

    def _fingerprint(self, path: str) -> Items:
        """Return a file's items; the exit status is no help, builds for FFmpeg 5 fail at the end of every file."""
        done = subprocess.run([self._fpcalc, "-raw", "-length", "0", path], capture_output=True, text=True, check=False)
        items = done.stdout.partition("FINGERPRINT=")[2].strip()
        return np.array(items.split(",") if items else [], dtype=np.uint32)

    def _answer(self, clip: Items) -> Answer:
        if clip.size == 0:
            return Answer()
        found = best_alignment(clip, self._items, self._ends)
        if found is None:
            return Answer()
        song, item, error_rate = found
        return Answer(song=self._names[song], offset_ms=1000 * ITEM_SECONDS * item, score=-error_rate)


def best_alignment(clip: Items, items: Items, ends: NDArray[np.intp]) -> tuple[int, int, float] | None:
    """Return (song, item in it, bit error rate) where a clip differs least; None if no song is as long as the clip.

    clip: (n,).   items: (m,), the songs' one after the other.   ends: (songs,), where each song ends in `items`.
    """
    places = items.size - clip.size + 1
    if places < 1:
        return None
    errors, same = np.zeros(places, np.int32), np.zeros(places, np.int32)
    for number, item in enumerate(clip):
        differing = np.bitwise_count(items[number : number + places] ^ item)
        errors += differing
        same += differing <= BIT_ERRORS_MAX
    song_of = np.searchsorted(ends, np.arange(places), side="right")
    inside = np.flatnonzero(np.arange(places) + clip.size <= ends[song_of])
    if inside.size == 0:
        return None
    place = inside[np.lexsort((-same[inside], errors[inside]))[0]]
    song = int(song_of[place])
    start = int(ends[song - 1]) if song else 0
    return song, int(place) - start, float(errors[place]) / (ITEM_BITS * clip.size)
