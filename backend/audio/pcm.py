"""Samples without a container: `audio/L16`, 16-bit integers, big-endian as RFC 2586 has it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.audio.limits import DecoderLimits
from backend.audio.mono import to_mono


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """The rate and the interleaved channels of headerless samples."""

    rate_hz: int
    channels: int = 1


def pcm_blocks(clip: bytes, pcm: PcmFormat, *, limits: DecoderLimits) -> Generator[NDArray[np.float32], None, None]:
    """Yield the clip's first clip_seconds_max as mono samples at 16 kHz; a frame cut in two is dropped.

    Raises UnsupportedAudio for a form outside of the limits.
    """
    limits.check_form(rate_hz=pcm.rate_hz, channels=pcm.channels)
    frames = min(len(clip) // (2 * pcm.channels), int(limits.clip_seconds_max * pcm.rate_hz))
    integers = np.frombuffer(clip, ">i2", count=frames * pcm.channels).reshape(frames, pcm.channels)
    yield from to_mono([integers.astype(np.float32) * np.float32(1 / 32_768)], rate_hz=pcm.rate_hz)
