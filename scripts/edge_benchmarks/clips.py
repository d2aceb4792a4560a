"""Clips for every target: a minute of composed music, and WAV files of it."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray
from sonica_fingerprint import SAMPLE_RATE_HZ


def music(*, seconds: float, seed: int = 1) -> NDArray[np.float32]:
    """Return notes of random pitch and length over noise, mono at 16 kHz."""
    rng = np.random.default_rng(seed)
    samples = 0.01 * rng.normal(size=int(seconds * SAMPLE_RATE_HZ))
    for start in range(0, len(samples), SAMPLE_RATE_HZ // 5):
        length = min(int(rng.uniform(0.2, 0.8) * SAMPLE_RATE_HZ), len(samples) - start)
        turns = rng.uniform(100, 2_000) * np.arange(length) / SAMPLE_RATE_HZ
        note = sum(np.sin(2 * np.pi * turns * partial) / partial for partial in range(1, 5))
        samples[start : start + length] += 0.1 * note * np.exp(-4 * np.arange(length) / length)
    return samples.astype(np.float32)


def wav(samples: NDArray[np.float32], *, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """Return a WAV file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()
