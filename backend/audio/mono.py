"""Frames of any rate and number of channels become mono samples at the fingerprint's rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray
from sonica_fingerprint import SAMPLE_RATE_HZ

from backend.errors import UndecodableAudio

# Floats scaled like 16-bit integers are a common mistake and still music. No other music goes beyond 32, 30 dB over
# full scale; and what stays below 32 of 32 768 is 60 dB under full scale, which is silence to the fingerprint.
_FLOAT_MAX = 32.0
_INT16_SCALE = 32_768.0


def to_mono(blocks: Iterable[NDArray[np.float32]], *, rate_hz: int) -> Iterator[NDArray[np.float32]]:
    """Yield mono samples at 16 kHz for blocks of (frames, channels) at rate_hz.

    Raises UndecodableAudio for samples that are not finite numbers.
    """
    if rate_hz == SAMPLE_RATE_HZ:
        yield from mixed(blocks)
        return
    resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    for block in mixed(blocks):
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def mixed(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Yield the mean of the channels of blocks of (frames, channels), within -32..32.

    The first block with a sample beyond 32 tells that the file is scaled like 16-bit integers: it and all after it
    are scaled down; the blocks before it were silence. Raises UndecodableAudio.
    """
    scale = 1.0
    for block in blocks:
        peak = np.abs(block).max(initial=0.0)
        if not np.isfinite(peak):
            raise UndecodableAudio("the samples are not finite numbers")
        if peak > _FLOAT_MAX:
            scale = _INT16_SCALE
        yield _mean(np.clip(block / np.float32(scale), -_FLOAT_MAX, _FLOAT_MAX))


def _mean(block: NDArray[np.float32]) -> NDArray[np.float32]:
    channels = block.shape[1]
    mono: NDArray[np.float32] = block[:, 0] if channels == 1 else block @ np.full(channels, 1 / channels, np.float32)
    return mono
