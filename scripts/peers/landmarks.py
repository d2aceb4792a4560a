"""Our own reading of Wang, "An Industrial-Strength Audio Search Algorithm" (ISMIR 2003): not Shazam's program.

Peaks of the spectrogram are paired with the nearest peaks of a target zone after them; a pair's two frequencies and
its time difference are its hash. Equal hashes of a clip and a song vote for the offset between them, and the tallest
bar of the histogram wins. The paper names no numbers but a fan-out of about ten; those here were chosen by trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measurement.scoring import Answer
from numpy.typing import NDArray
from sonica_fingerprint import SAMPLE_RATE_HZ

from backend.audio.files import read_blocks
from backend.audio.limits import DecoderLimits
from peers.system import Songs, Watch

FRAME = 1024  # samples: 64 ms
STEP = 512
BINS = 257  # up to 4 kHz
LOWEST_BIN = 4
REACH = 5  # frames, and bins, around a peak where nothing is louder
DEPTH = 12.0  # nepers under the loudest place, below which there are no peaks
QUIETEST = -7.0  # nor below this: five times the rounding noise of 16 bits
PEAKS_A_SECOND = 50  # the loudest
FAN_OUT = 10
FRAMES_APART = (2, 63)
BINS_APART = 63
_BLOCK = 4096  # frames at a time, to bound the memory
_SONG = 1 << 24  # frames apart are the songs on the one time line that all share
_LEAD = 1 << 16  # frames before each song, for clips that start earlier

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hashes:
    """Pairs of peaks: hash, and frame of the first peak; both (n,)."""

    values: Numbers
    frames: Numbers


class Landmarks:
    """Landmarks and an offset histogram, in NumPy, in this process."""

    name = "Landmarks"
    about = "our own reading of Wang (2003) in NumPy, as a yardstick; not Shazam's program"

    def __init__(self, limits: DecoderLimits) -> None:
        self._limits = limits
        self._names: list[str] = []
        self._hashes = np.zeros(0, np.uint32)  # sorted
        self._places = np.zeros(0, np.int64)  # on the time line, by hash

    def ingest(self, songs: Songs, watch: Watch) -> None:
        """Learn all songs."""
        self._names = list(songs)
        learned = [hashes_of(self._read(path)) for path in watch(list(songs.values()))]
        values = np.concatenate([hashes.values for hashes in learned])
        places = np.concatenate([song * _SONG + _LEAD + hashes.frames for song, hashes in enumerate(learned)])
        order = np.argsort(values, kind="stable")
        self._hashes, self._places = values[order].astype(np.uint32), places[order]

    def ask(self, clips: Sequence[str]) -> dict[str, Answer]:
        """Return the best candidate for each file."""
        return {clip: self._answer(hashes_of(self._read(Path(clip)))) for clip in clips}

    def index_bytes(self) -> int:
        """Return the size of what it learned at the paper's eight bytes a hash."""
        return 8 * self._hashes.size

    def _read(self, path: Path) -> Floats:
        return np.concatenate(list(read_blocks(path, limits=self._limits)))

    def _answer(self, clip: Hashes) -> Answer:
        values = clip.values.astype(np.uint32)
        first = np.searchsorted(self._hashes, values)
        counts = np.searchsorted(self._hashes, values, side="right") - first
        rows = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        if rows.size == 0:
            return Answer()
        bars, heights = np.unique(self._places[rows] - np.repeat(clip.frames, counts), return_counts=True)
        heights[:-1] += np.where(np.diff(bars) == 1, heights[1:], 0)  # an offset between two frames votes for both
        best = int(heights.argmax())
        song, frame = divmod(int(bars[best]), _SONG)
        seconds = (frame - _LEAD) * STEP / SAMPLE_RATE_HZ
        return Answer(song=self._names[song], offset_ms=1000 * seconds, score=float(heights[best]))


def hashes_of(samples: Floats) -> Hashes:
    """Return the hashes of audio, mono at 16 kHz."""
    frames, bins = peaks(spectrogram(samples))
    paired = np.zeros(frames.size, np.intp)
    values: list[Numbers] = [np.zeros(0, np.int64)]
    firsts: list[Numbers] = [np.zeros(0, np.int64)]
    for ahead in range(1, frames.size):
        apart = frames[ahead:] - frames[:-ahead]
        if apart.min() > FRAMES_APART[1]:
            break
        in_zone = (apart >= FRAMES_APART[0]) & (apart <= FRAMES_APART[1])
        in_zone &= np.abs(bins[ahead:] - bins[:-ahead]) <= BINS_APART
        first = np.flatnonzero(in_zone & (paired[:-ahead] < FAN_OUT))
        paired[first] += 1
        values.append((bins[first] * BINS + bins[first + ahead]) * (FRAMES_APART[1] + 1) + apart[first])
        firsts.append(frames[first])
    return Hashes(np.concatenate(values), np.concatenate(firsts))


def spectrogram(samples: Floats) -> Floats:
    """Return log magnitudes, (frames, BINS); audio shorter than a frame is filled up with silence."""
    padded = np.pad(samples, (0, max(0, FRAME - samples.size)))
    window = np.hanning(FRAME).astype(np.float32)
    cut = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::STEP]
    blocks = [np.fft.rfft(cut[at : at + _BLOCK] * window)[:, :BINS] for at in range(0, len(cut), _BLOCK)]
    return np.log(np.abs(np.concatenate(blocks)) + 1e-6)


def peaks(levels: Floats) -> tuple[Numbers, Numbers]:
    """Return frames and bins of the loudest places among their neighbours, in the order of time; both (peaks,)."""
    highest = _highest_around(_highest_around(levels).T).T
    is_peak = (levels == highest) & (levels > max(levels.max() - DEPTH, QUIETEST))
    is_peak[:, :LOWEST_BIN] = False
    frames, bins = np.nonzero(is_peak)
    second = frames * STEP // SAMPLE_RATE_HZ
    order = np.lexsort((-levels[frames, bins], second))
    rank = np.arange(order.size) - np.searchsorted(second, second)
    kept = np.sort(order[rank < PEAKS_A_SECOND])
    return frames[kept], bins[kept]


def _highest_around(rows: Floats) -> Floats:
    """Return the largest of the 2 REACH + 1 rows around each row."""
    highest = np.pad(rows, ((REACH, REACH), (0, 0)), constant_values=-np.inf)
    width = 1
    while width < 2 * REACH + 1:
        step = min(width, 2 * REACH + 1 - width)
        highest = np.maximum(highest[step:], highest[:-step])
        width += step
    return highest
