"""Faster, slower, higher, lower: by Rubber Band, a phase vocoder, where ffmpeg has it."""

from __future__ import annotations

import subprocess
from functools import cache

import imageio_ffmpeg
import numpy as np
import soxr

from hard_queries.sound import RATE, Samples, filtered


def faster(samples: Samples, factor: float) -> Samples:
    """Change speed: tempo and pitch alike."""
    return np.asarray(soxr.resample(samples, factor * RATE, RATE))


def hurried(samples: Samples, factor: float) -> Samples:
    """Change tempo and keep the pitch."""
    return filtered(samples, f"{_stretcher()}{factor}")


def higher(samples: Samples, factor: float) -> Samples:
    """Change pitch and keep the tempo."""
    return faster(hurried(samples, 1 / factor), factor)


@cache
def _stretcher() -> str:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-filters"]
    filters = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return "rubberband=tempo=" if " rubberband " in filters else "atempo="
