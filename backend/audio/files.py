"""Songs on disk, read in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import SAMPLE_RATE_HZ

from backend.audio.decode import file_blocks
from backend.audio.limits import DecoderLimits
from backend.errors import SongTooLong, UndecodableAudio

_BLOCK_SAMPLES = 10 * SAMPLE_RATE_HZ  # long enough that Python's part is nothing, 640 kB


def read_blocks(path: Path, *, limits: DecoderLimits) -> Iterator[NDArray[np.float32]]:
    """Yield the whole song as blocks of about ten seconds, mono at 16 kHz.

    A file that holds less than its header claims gives what it holds. Raises UnsupportedAudio,
    UndecodableAudio (no audio), SongTooLong (beyond song_seconds_max), DecoderUnavailable and OSError.
    """
    samples = 0
    with path.open("rb") as file:
        # One second more than is allowed, to see that there is more.
        blocks = file_blocks(file, limits=limits, seconds_max=limits.song_seconds_max + 1)
        with closing(blocks):
            for block in _grouped(blocks):
                samples += len(block)
                if samples > limits.song_seconds_max * SAMPLE_RATE_HZ:
                    raise SongTooLong(f"longer than {limits.song_seconds_max:g} s: a mix, not a song")
                yield block
    if samples == 0:
        raise UndecodableAudio("there is no audio in the file")


def _grouped(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Join neighbouring blocks until each is long enough; the last one may be short."""
    waiting: list[NDArray[np.float32]] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= _BLOCK_SAMPLES:
            yield np.concatenate(waiting)
            waiting.clear()
    if any(map(len, waiting)):
        yield np.concatenate(waiting)
