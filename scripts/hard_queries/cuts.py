"""Songs of a corpus, and where to cut them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from hard_queries.sound import LEAD, LEAD_SECONDS, RATE, Generator, Samples

SPARE = 1.12  # share of a clip that is cut, for speed changes shorten it
AUDIBLE = 0.005  # of full scale, -46 dB: root mean square of every half second of a clip
TRIES = 50


@dataclass(frozen=True, slots=True)
class Song:
    """A song of the corpus; `role` is catalog or negative."""

    name: str
    path: Path
    seconds: float
    role: str


def read_corpus(folder: Path) -> list[Song]:
    """Read `tracks.json`; its paths may be relative to the folder."""
    tracks = json.loads((folder / "tracks.json").read_text())
    return [Song(track["id"], folder / track["path"], track["seconds"], track["role"]) for track in tracks]


def cut(songs: list[Song], seconds: int, rng: Generator) -> tuple[Song, float, Samples]:
    """Draw a song and a place in it that is nowhere silent, or of several tries the least silent.

    Returns the song, where in it the clip starts (s), and the samples from LEAD before that on.
    """
    needed = LEAD_SECONDS + SPARE * seconds + 0.5
    long_enough = [song for song in songs if song.seconds > needed]
    if not long_enough:
        raise ValueError(f"no song is longer than the {needed:.1f} s that a clip of {seconds} s needs")
    best, loudest = None, -1.0
    for _ in range(TRIES):
        song = long_enough[rng.integers(len(long_enough))]
        samples, offset = _read(song, rng.uniform(0, song.seconds - needed), needed)
        quietest = quietest_half_second(samples[LEAD : LEAD + seconds * RATE])
        if quietest > loudest:
            best, loudest = (song, offset, samples), quietest
        if quietest > AUDIBLE:
            break
    assert best is not None
    return best


def quietest_half_second(samples: Samples) -> float:
    """Return the root mean square of the quietest half second."""
    halves = samples[: samples.size // (RATE // 2) * (RATE // 2)].reshape(-1, RATE // 2)
    return float(halves.std(axis=1).min())


def _read(song: Song, start_seconds: float, seconds: float) -> tuple[Samples, float]:
    """Return samples from about a start on, and the offset of what comes LEAD later."""
    with soundfile.SoundFile(song.path) as file:
        first = round(start_seconds * file.samplerate)
        file.seek(first)
        frames = file.read(round(seconds * file.samplerate), always_2d=True)
        mono = soxr.resample(frames.mean(axis=1), file.samplerate, RATE)
        return np.asarray(mono), first / file.samplerate + LEAD_SECONDS
