"""Learns the linear embedding from music and writes wasm/kernel/weights.bin.

Usage: train_embedding.py CORPUS_FOLDER [--output FILE] [--passes 4] [--seed 1]
Linear discriminant analysis on pairs of patches, one clean, one degraded (scripts/degradation.py): directions in which
different moments differ most against what rooms, noise and codecs change. One track in seven is held out, by its name.
Seeded: a second run gives the same pairs; sums may differ in their last bits with the BLAS at hand.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from degradation import KINDS, RATE, Studio, change_pitch, change_speed, change_tempo, degrade
from rich.console import Console
from rich.progress import Progress
from scipy import linalg, signal
from sonica_fingerprint import DIMENSIONS
from sonica_fingerprint._native import features

BANDS, SEGMENT_FRAMES, STEP_FRAMES, HOP = 80, 27, 4, 512
PATCH = BANDS * SEGMENT_FRAMES
STRETCH_SECONDS = 20
JITTER_FRAMES = 3  # a query starts up to 64 ms away from a catalogue segment, and search may skip every second one
RIDGE = 0.02
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
Pairs = tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]


@dataclass(frozen=True)
class Stretch:
    """Twenty seconds of a track, and the seed of what happens to them."""

    path: Path
    start_seconds: float
    seed: tuple[int, ...]


@dataclass
class Moments:
    """Running sums over pairs: of patches, of their products, and of their differences' products."""

    count: int = 0
    total: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(PATCH))
    products: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((PATCH, PATCH)))
    differences: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((PATCH, PATCH)))

    def add(self, clean: npt.NDArray[np.int16], degraded: npt.NDArray[np.int16]) -> None:
        """Take the pairs in: two arrays (n, PATCH)."""
        both = np.concatenate([clean, degraded]).astype(np.float32) / 256
        difference = both[: len(clean)] - both[len(clean) :]
        self.count += len(clean)
        self.total += both.sum(axis=0)
        self.products += both.T @ both
        self.differences += difference.T @ difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "wasm" / "kernel" / "weights.bin")
    parser.add_argument("--passes", type=int, default=4, help="how often each track is degraded anew")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    console = Console(stderr=True)
    tracks = [path for path in audio_files(arguments.corpus) if not held_out(path)]
    stretches = list(plan(tracks, arguments.passes, arguments.seed))
    console.print(f"{len(tracks)} tracks, {len(stretches)} stretches of {STRETCH_SECONDS} s")
    started = time.monotonic()
    moments = collect(stretches, arguments.seed, arguments.jobs, console)
    console.print(f"{moments.count} pairs in {time.monotonic() - started:.0f} s")
    weights, mean = discriminant(moments)
    arguments.output.write_bytes(quantised(rotated(weights, arguments.seed), mean))
    console.print(f"wrote {arguments.output}; now build the kernel and run the evaluation")


def audio_files(corpus: Path) -> list[Path]:
    """All tracks long enough for a stretch, sorted."""
    found = sorted(path for path in corpus.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [path for path in found if soundfile.info(path).duration > STRETCH_SECONDS + 1]


def held_out(path: Path) -> bool:
    """One track in seven is kept from training, for calibration."""
    return int(hashlib.sha256(path.stem.encode()).hexdigest(), 16) % 7 == 0


def plan(tracks: list[Path], passes: int, seed: int) -> Iterator[Stretch]:
    """Cut every track into stretches, at another phase in every pass."""
    for turn in range(passes):
        for number, path in enumerate(tracks):
            rng = np.random.default_rng([seed, turn, number])
            duration = soundfile.info(path).duration
            starts = np.arange(rng.uniform(0, STRETCH_SECONDS), duration - STRETCH_SECONDS, STRETCH_SECONDS)
            for start in starts if len(starts) else [0.0]:
                yield Stretch(path, float(start), (seed, turn, number, int(start * 1000)))


def collect(stretches: list[Stretch], seed: int, jobs: int, console: Console) -> Moments:
    """Degrade every stretch and sum its pairs up."""
    moments = Moments()
    with (
        ProcessPoolExecutor(jobs, initializer=_open_studio, initargs=(seed,)) as pool,
        Progress(console=console) as bar,
    ):
        for clean, degraded in bar.track(pool.map(pairs, stretches, chunksize=4), total=len(stretches)):
            if len(clean):
                moments.add(clean, degraded)
    return moments


_studio: list[Studio] = []  # one a worker process


def _open_studio(seed: int) -> None:
    _studio.append(Studio.build(seed))


def pairs(stretch: Stretch) -> Pairs:
    """Return patches (n, PATCH) of a stretch, clean and degraded, that start at the same moments of the music."""
    rng = np.random.default_rng(stretch.seed)
    clean = read(stretch.path, stretch.start_seconds, STRETCH_SECONDS)
    heard, rate = warp(clean, rng)
    heard = degrade(
        heard,
        str(rng.choice(["mic", "mic", "mic", *KINDS])) if rng.random() < 0.97 else "clean",
        rng,
        _studio[0],
    )
    if abs(heard.size * rate - clean.size) > RATE:  # a kind that warped it a second time: take it as it was
        heard, rate = degrade(clean, "mic", rng, _studio[0]), 1.0
    clean_features = to_features(clean)
    chosen: list[tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]] = []
    start = 0
    while start + RATE <= heard.size:  # queries are short: their gain control sees only themselves
        length = int(rng.choice([1, 2, 3, 5, 10]) * RATE)
        clip_features = to_features(heard[start : start + length])
        for frame in range(0, len(clip_features) - SEGMENT_FRAMES + 1, STEP_FRAMES):
            at = round((start / HOP + frame) * rate) + int(rng.integers(-JITTER_FRAMES, JITTER_FRAMES + 1))
            if 0 <= at <= len(clean_features) - SEGMENT_FRAMES:
                chosen.append((clean_features[at : at + SEGMENT_FRAMES], clip_features[frame : frame + SEGMENT_FRAMES]))
        start += length
    if np.sqrt(np.mean(clean**2)) < 1e-3 or not chosen:
        return np.empty((0, PATCH), np.int16), np.empty((0, PATCH), np.int16)
    stacked = np.stack([np.stack(pair) for pair in chosen]).reshape(len(chosen), 2, PATCH)
    return stacked[:, 0], stacked[:, 1]


def warp(clean: npt.NDArray[np.float64], rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], float]:
    """Sometimes change speed, tempo or pitch; return also how much of the original passes in a unit of time."""
    kind, factor = rng.random(), rng.uniform(0.95, 1.05)
    if kind < 0.25:
        return change_speed(clean, factor), factor
    if kind < 0.35:
        return change_tempo(clean, factor), factor
    if kind < 0.45:
        return change_pitch(clean, factor), 1.0
    return clean, 1.0


def read(path: Path, start_seconds: float, seconds: float) -> npt.NDArray[np.float64]:
    """Return a stretch as mono at 16 kHz."""
    with soundfile.SoundFile(path) as file:
        file.seek(int(start_seconds * file.samplerate))
        samples = file.read(int(seconds * file.samplerate), always_2d=True).mean(axis=1)
        return np.asarray(signal.resample_poly(samples, RATE, file.samplerate))


def to_features(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    """Return the kernel's own features, (frames, BANDS)."""
    level = 0.1 / (np.sqrt(np.mean(samples**2)) + 1e-9)
    return np.frombuffer(features((samples * level).astype(np.float32)), np.int16).reshape(-1, BANDS)


def discriminant(moments: Moments) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the projection (DIMENSIONS, PATCH) and the mean patch (PATCH,)."""
    patches = 2 * moments.count
    mean = moments.total / patches
    total = moments.products / patches - np.outer(mean, mean)
    within = moments.differences / patches
    ridge = RIDGE * np.trace(within) / PATCH * np.eye(PATCH)
    top = (PATCH - DIMENSIONS, PATCH - 1)
    ratios, directions = linalg.eigh(total - within, within + ridge, subset_by_index=top)
    ratios = np.maximum(ratios, 0)
    return (directions * np.sqrt(ratios) / (1 + ratios)).T, mean


def rotated(weights: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """Spread the variance evenly over the components: cosines stay, and a byte a component serves all alike."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(DIMENSIONS, DIMENSIONS)))
    return turn @ weights


def quantised(weights: npt.NDArray[np.float64], mean: npt.NDArray[np.float64]) -> bytes:
    """Return the file that wasm/kernel/embedding.c describes; its inputs are features in 1/256."""
    scale = np.abs(weights).max(axis=1) / 127
    rows = np.rint(weights / scale[:, None]).astype(np.int8)
    bias = -np.rint(rows.astype(np.float64) @ (mean * 256)).astype(np.int32)
    relative = scale / scale.mean()
    return rows.tobytes() + bias.astype("<i4").tobytes() + relative.astype("<f4").tobytes()


if __name__ == "__main__":
    main()
