"""Music as the kernel's features."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from sonica_fingerprint._native import features

RATE = 16_000
BANDS, SEGMENT_FRAMES, STEP_FRAMES, HOP = 80, 27, 4, 512
EDGE_FRAMES = 8  # made up before the first frame and after the last
STRETCH_SECONDS = 20
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
Samples = npt.NDArray[np.float64]
Features = npt.NDArray[np.int16]


def audio_files(corpora: list[Path]) -> list[Path]:
    """All tracks long enough for a stretch, sorted within each folder."""
    found = [path for corpus in corpora for path in sorted(corpus.rglob("*")) if path.suffix.lower() in SUFFIXES]
    return [path for path in found if soundfile.info(path).duration > STRETCH_SECONDS + 1]


def held_out(path: Path) -> bool:
    """One track in seven is kept from training, for calibration."""
    return int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % 7 == 0


def read(path: Path, start_seconds: float, seconds: float) -> Samples:
    """Return a stretch as mono at 16 kHz."""
    with soundfile.SoundFile(path) as file:
        file.seek(int(start_seconds * file.samplerate))
        samples = file.read(int(seconds * file.samplerate), always_2d=True).mean(axis=1)
        return np.asarray(soxr.resample(samples, file.samplerate, RATE))


def to_features(samples: Samples) -> Features:
    """Return the kernel's own features, (EDGE_FRAMES + frames + EDGE_FRAMES, BANDS), in 1/256."""
    level = 0.1 / (np.sqrt(np.mean(samples**2)) + 1e-9)
    return np.frombuffer(features((samples * level).astype(np.float32)), np.int16).reshape(-1, BANDS)
