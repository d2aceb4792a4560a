"""Small songs for tests: seeded melodies over chords and beats, each unlike the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 16_000


def make_music(seed: int, seconds: float = 8.0) -> NDArray[np.float32]:
    """Return a song: a melody of bright tones, a chord below, a burst of noise on every beat."""
    random = np.random.default_rng(seed)
    beat = int(random.uniform(0.18, 0.4) * RATE_HZ)
    root = random.uniform(100, 220)
    beats = [_beat(random, beat, root) for _ in range(int(seconds * RATE_HZ / beat) + 1)]
    samples = np.concatenate(beats)[: int(seconds * RATE_HZ)]
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32)


def write_song(path: Path, seed: int, seconds: float = 8.0) -> Path:
    """Write song number seed as WAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, make_music(seed, seconds), RATE_HZ)
    return path


def write_clip(path: Path, seed: int, *, start_seconds: float, seconds: float = 4.0) -> Path:
    """Write a noisy cut of song number seed."""
    start = int(start_seconds * RATE_HZ)
    cut = make_music(seed, start_seconds + seconds)[start:]
    noise = np.random.default_rng(seed + 1).normal(0, 0.01, len(cut))
    soundfile.write(path, cut + noise, RATE_HZ)
    return path


def _beat(random: np.random.Generator, length: int, root: float) -> NDArray[np.float64]:
    time = np.arange(length) / RATE_HZ
    fading = np.exp(-6 * time)
    note = root * 2 ** (random.integers(0, 36) / 12)
    melody = sum(np.sin(2 * np.pi * note * partial * time) / partial for partial in range(1, 6))
    chord = sum(np.sin(2 * np.pi * root * 2 ** (step / 12) * time) for step in random.choice(24, 3))
    drum = random.normal(0, 1, length) * np.exp(-random.uniform(20, 90) * time)
    return np.asarray(melody * fading + 0.4 * chord + random.uniform(0.1, 0.8) * drum)
