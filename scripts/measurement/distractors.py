"""More music than there is: fingerprints of real songs, and any number of hours of others that are like them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE, SAMPLE_RATE_HZ, Fingerprint, decode, encode, extract

from backend.audio.files import read_blocks
from backend.audio.limits import DecoderLimits
from backend.models import CATALOGUE_THINNING

# At 15 % and more the tempo is another and so is the key: neither alignment nor fingerprint takes it for the song.
SPEEDS = (0.7, 0.78, 0.86, 1.17, 1.28, 1.4)
SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
LIKENESS_SEGMENTS = 20_000
HOUR_MS = 3_600_000

Rows = NDArray[np.int8]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sound:
    """A file, played at a speed (its pitch goes along), perhaps backwards."""

    path: Path
    speed: float = 1.0
    backwards: bool = False


class Fingerprinter:
    """Fingerprints sounds as ingestion does, and keeps the results in a folder."""

    def __init__(self, folder: Path, limits: DecoderLimits, *, jobs: int = 1) -> None:
        """jobs: threads; the kernel works outside of Python's lock."""
        noise = np.random.default_rng(1).normal(0, 0.1, 2 * SAMPLE_RATE_HZ).astype(np.float32)
        self._folder = folder / extract(noise).key[:16]  # what another kernel made is not taken for this one's
        self._folder.mkdir(parents=True, exist_ok=True)
        self._limits = limits
        self._jobs = jobs

    def fingerprints(self, sounds: Sequence[Sound], what: str) -> list[Fingerprint]:
        """Return a fingerprint a sound, thinned as the catalogue stores it."""
        with ThreadPoolExecutor(self._jobs) as pool:
            made = pool.map(self._fingerprint, sounds)
            return list(track(made, what, total=len(sounds), console=Console(stderr=True)))

    def _fingerprint(self, sound: Sound) -> Fingerprint:
        kept = self._folder / _name(sound)
        if kept.exists():
            return decode(kept.read_bytes())
        samples = np.concatenate(list(read_blocks(sound.path, limits=self._limits)))
        if sound.speed != 1:
            samples = soxr.resample(samples, SAMPLE_RATE_HZ * sound.speed, SAMPLE_RATE_HZ)
        if sound.backwards:
            samples = np.ascontiguousarray(samples[::-1])
        fingerprint = extract(samples).thinned(CATALOGUE_THINNING)
        partial = kept.with_suffix(".part")
        partial.write_bytes(encode(fingerprint))
        partial.replace(kept)
        return fingerprint


def audio_files(folder: Path) -> list[Path]:
    """Return all audio files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def resampled(paths: Sequence[Path], hours: float) -> list[Sound]:
    """Return sounds of at least so many hours, if there are: slower and faster ones, then backwards ones."""
    lengths = {path: soundfile.info(path).duration / 3600 for path in paths}
    chosen: list[Sound] = []
    variants = [*((speed, False) for speed in SPEEDS), *((speed, True) for speed in (1.0, *SPEEDS))]
    for (speed, backwards), path in itertools.product(variants, paths):
        if hours <= 0:
            break
        chosen.append(Sound(path, speed, backwards))
        hours -= lengths[path] / speed
    return chosen


def distractors(
    real: Sequence[Fingerprint], resampled: Sequence[Fingerprint], *, seed: int
) -> Iterator[tuple[str, Fingerprint]]:
    """Yield songs and their kind: all real ones, all resampled ones, then blended ones without end."""
    yield from (("real", song) for song in real)
    yield from (("resampled", song) for song in resampled)
    yield from (("blended", song) for song in blended([*real, *resampled], seed=seed))


def blended(songs: Sequence[Fingerprint], *, seed: int) -> Iterator[Fingerprint]:
    """Yield songs that nobody played: each song in turn, turned in the embedding space half way towards another one.

    Every segment is at a cosine of about .7 to the two that it was made from, and follows the one before as they do.
    Turned towards Gaussian noise instead, even if shaped like music, it would come less near to anything than music.
    """
    rng = np.random.default_rng(seed)
    songs = [song for song in songs if song.segments]
    for song in itertools.cycle(songs):
        other = unit(rows_of(songs[rng.integers(len(songs))]))
        shifted = np.resize(np.roll(other, rng.integers(len(other)), axis=0), (song.segments, DIMENSIONS))
        yield replace(song, embeddings=as_rows(unit(unit(rows_of(song)) + shifted)).tobytes())


def likeness(strangers: Sequence[Fingerprint], kinds: Mapping[str, Sequence[Fingerprint]]) -> dict[str, float]:
    """Return for each kind the mean cosine of the strangers' segments to the nearest of equally many of its own."""
    rng = np.random.default_rng(1)
    rows = {kind: np.concatenate([rows_of(song) for song in songs]) for kind, songs in kinds.items()}
    count = min(LIKENESS_SEGMENTS, *map(len, rows.values()))
    queries = unit(np.concatenate([rows_of(stranger) for stranger in strangers]))
    nearest = {}
    for kind, every in rows.items():
        drawn = unit(every[rng.choice(len(every), count, replace=False)])
        nearest[kind] = round(float((queries @ drawn.T).max(axis=1).mean()), 4)
    return nearest


def rows_of(fingerprint: Fingerprint) -> Rows:
    """Return the embeddings, (segments, 128)."""
    return np.frombuffer(fingerprint.embeddings, np.int8).reshape(-1, DIMENSIONS)


def unit(rows: NDArray[np.generic]) -> Vectors:
    """Scale each row to length 1."""
    vectors = rows.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def as_rows(vectors: Vectors) -> Rows:
    """Round unit vectors to bytes as the fingerprint does."""
    return np.rint(vectors * EMBEDDING_SCALE).clip(-127, 127).astype(np.int8)


def _name(sound: Sound) -> str:
    path = sound.path.resolve()
    state = path.stat()
    what = (str(path), state.st_size, state.st_mtime_ns, sound.speed, sound.backwards, CATALOGUE_THINNING)
    return hashlib.sha256(repr(what).encode()).hexdigest()[:32] + ".fingerprint"
