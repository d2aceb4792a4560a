"""Pairs of patches that start at the same moment of a track: as it is stored, and as a phone hears it.

They are made once and kept in a folder, since degrading is as dear as learning: `clean.npy` holds every track's
features end to end, `heard.npy` those of the degraded clips, `pairs.npy` which frame of one belongs to which of the
other. A query is short and its gain control sees only itself, so degraded stretches are cut before features are taken.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from degradation import KINDS, Studio, change_pitch, change_speed, change_tempo, degrade
from rich.console import Console
from rich.progress import Progress

from training.corpus import (
    BANDS,
    EDGE_FRAMES,
    HOP,
    RATE,
    SEGMENT_FRAMES,
    STRETCH_SECONDS,
    Features,
    Samples,
    read,
    to_features,
)

FRAMES_BETWEEN = 2  # patches are taken every 64 ms of a clip
CLIP_SECONDS = [1, 2, 3, 5, 10]
ROOMS = 300
SILENCE = 1e-3  # root mean square of a stretch that holds nothing to learn
PAIR = np.dtype([("track", "<i4"), ("clean", "<i4"), ("heard", "<i4")])


@dataclass(frozen=True)
class Stretch:
    """Twenty seconds of a track, and the seed of what happens to them."""

    track: int
    path: Path
    start_seconds: float
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Pairs:
    """Features and which belong together; patches are SEGMENT_FRAMES rows from the rows that `table` names."""

    clean: Features  # (frames, BANDS)
    heard: Features  # (frames, BANDS)
    table: npt.NDArray[np.void]  # (pairs,) of PAIR: the track, the first row in `clean`, the first row in `heard`
    track_rows: npt.NDArray[np.int64]  # (tracks + 1,): where each track begins in `clean`

    @classmethod
    def load(cls, folder: Path) -> Pairs:
        """Read what `make` wrote."""
        clean, heard, table, rows = (np.load(folder / f"{name}.npy") for name in ("clean", "heard", "pairs", "tracks"))
        return cls(clean, heard, table, rows)

    def patches(
        self, chosen: npt.NDArray[np.int64], jitter: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the chosen pairs' patches, each (n, SEGMENT_FRAMES, BANDS); the clean ones `jitter` frames later."""
        table = self.table[chosen]
        first, end = self.track_rows[table["track"]], self.track_rows[table["track"] + 1]
        clean_rows = np.clip(table["clean"] + jitter, first, end - SEGMENT_FRAMES)
        frames = np.arange(SEGMENT_FRAMES)
        clean = self.clean[clean_rows[:, None] + frames]
        heard = self.heard[table["heard"][:, None] + frames]
        return clean.astype(np.float32), heard.astype(np.float32)


def make(
    folder: Path, tracks: list[Path], *, passes: int, seed: int, jobs: int, console: Console, speech: Path | None
) -> Pairs:
    """Degrade every stretch `passes` times; return the pairs, and keep them in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    Worker.studio = Studio.build(seed, rooms=ROOMS, speech=speech)  # before the workers fork: rooms take a minute
    stretches = list(plan(tracks, passes, seed))
    with (
        ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool,
        Progress(console=console) as bar,
    ):
        clean = list(bar.track(pool.map(Worker.whole, tracks), total=len(tracks), description="tracks"))
        rows = np.concatenate([[0], np.cumsum([len(features) for features in clean])])
        done = pool.map(Worker.pairs, stretches, chunksize=4)
        heard, table, heard_rows = [], [], 0
        for stretch, (features, moments) in zip(
            stretches, bar.track(done, total=len(stretches), description="stretches"), strict=True
        ):
            inside = (moments[:, 0] >= 0) & (moments[:, 0] + SEGMENT_FRAMES <= len(clean[stretch.track]))
            pairs = np.zeros(int(inside.sum()), PAIR)
            pairs["track"] = stretch.track
            pairs["clean"] = rows[stretch.track] + moments[inside, 0]
            pairs["heard"] = heard_rows + moments[inside, 1]
            heard_rows += len(features)
            heard.append(features)
            table.append(pairs)
    made = Pairs(np.concatenate(clean), np.concatenate(heard), np.concatenate(table), rows)
    for name, array in (("clean", made.clean), ("heard", made.heard), ("pairs", made.table), ("tracks", rows)):
        np.save(folder / f"{name}.npy", array)
    return made


def plan(tracks: list[Path], passes: int, seed: int) -> Iterator[Stretch]:
    """Cut every track into stretches, at another phase in every pass."""
    for turn in range(passes):
        for track, path in enumerate(tracks):
            rng = np.random.default_rng([seed, turn, track])
            duration = soundfile.info(path).duration
            starts = np.arange(rng.uniform(0, STRETCH_SECONDS), duration - STRETCH_SECONDS, STRETCH_SECONDS)
            for start in starts if len(starts) else [0.0]:
                yield Stretch(track, path, float(start), (seed, turn, track, int(start * 1000)))


class Worker:
    """What the processes of the pool do."""

    studio: Studio

    @staticmethod
    def whole(path: Path) -> Features:
        """Return a track's features."""
        return to_features(read(path, 0, 3 * 3600))

    @staticmethod
    def pairs(stretch: Stretch) -> tuple[Features, npt.NDArray[np.int32]]:
        """Return a degraded stretch's features and pairs of rows (n, 2): in the track, in the features returned."""
        rng = np.random.default_rng(stretch.seed)
        clean = read(stretch.path, stretch.start_seconds, STRETCH_SECONDS)
        if np.sqrt(np.mean(clean**2)) < SILENCE:
            return np.empty((0, BANDS), np.int16), np.empty((0, 2), np.int32)
        heard, rate = _heard(clean, rng, Worker.studio)
        clips, moments, start, row = [], [], 0, 0
        while start + RATE <= heard.size:
            length = int(rng.choice(CLIP_SECONDS) * RATE)
            clip = to_features(heard[start : start + length])
            frames = np.arange(0, len(clip) - SEGMENT_FRAMES + 1, FRAMES_BETWEEN)
            at = EDGE_FRAMES + stretch.start_seconds * RATE / HOP + (start / HOP + frames - EDGE_FRAMES) * rate
            moments.append(np.stack([np.rint(at), row + frames], axis=1))
            clips.append(clip)
            row += len(clip)
            start += length
        return np.concatenate(clips), np.concatenate(moments).astype(np.int32)


def _heard(clean: Samples, rng: np.random.Generator, studio: Studio) -> tuple[Samples, float]:
    """Return the stretch degraded, and how much of the track passes in a unit of its time."""
    warped, rate = _warped(clean, rng)
    kind = str(rng.choice(["mic", "mic", "mic", *KINDS])) if rng.random() < 0.97 else "clean"
    heard = degrade(warped, kind, rng, studio)
    if abs(heard.size * rate - clean.size) > RATE / 8:  # a kind that warped it a second time: take it as it was
        return degrade(clean, "mic", rng, studio), 1.0
    return heard, rate


def _warped(clean: Samples, rng: np.random.Generator) -> tuple[Samples, float]:
    """Sometimes change speed, tempo or pitch by up to 8 %."""
    kind, factor = rng.random(), rng.uniform(0.92, 1.08)
    if kind < 0.25:
        return change_speed(clean, factor), factor
    if kind < 0.35:
        return change_tempo(clean, factor), factor
    if kind < 0.45:
        return change_pitch(clean, 1 + 0.75 * (factor - 1)), 1.0
    return clean, 1.0
