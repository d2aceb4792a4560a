"""Tens of millions of vectors in a file: a catalogue of real songs, real other music, then music blended from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from sonica_fingerprint import DIMENSIONS, Fingerprint

from backend.models import CATALOGUE_THINNING
from backend.search.directory import SongDirectory
from backend.search.segments import loud_segments
from measurement.distractors import Rows, distractors
from measurement.engines import nearest_exact

SEED = 1


@dataclass(frozen=True, slots=True)
class Mass:
    """Vectors, (n, 128), and the songs that they are of, in order; song number n+1 has lengths[n] of them."""

    rows: Rows
    names: list[str]  # of the catalogue's songs, which come first
    lengths: list[int]
    kinds: dict[str, int]  # vectors of each kind of music

    def directory(self, catalogue: Sequence[Fingerprint], *, vectors: int) -> SongDirectory:
        """Return whose the first vectors are; of other songs than the catalogue's, silence is taken for left out."""
        directory = SongDirectory()
        for number, length in enumerate(self.lengths):
            if directory.segments + length > vectors:
                length = vectors - directory.segments  # the last one is cut  # noqa: PLW2901
            if length == 0:
                continue
            steps = np.arange(length, dtype=np.int32) * CATALOGUE_THINNING
            positions = loud_segments(catalogue[number])[1][:length] if number < len(catalogue) else steps
            directory.add(number + 1, positions)
        return directory


def read_or_make(
    folder: Path, songs: dict[str, Fingerprint], real: Sequence[Fingerprint], made: Sequence[Fingerprint], *, count: int
) -> Mass:
    """Read the vectors of a folder; make them at the first time."""
    if not (folder / "songs.json").exists():
        _make(folder, songs, real, made, count=count)
    told = json.loads((folder / "songs.json").read_text())
    return Mass(np.load(folder / "rows.npy", mmap_mode="r"), **told)


def exact_products(mass: Mass, queries: Rows, sizes: Sequence[int], *, count: int) -> dict[int, np.ndarray]:
    """Return for each size the largest inner products with all of the first vectors, (queries, count)."""
    best, found, first = np.full((len(queries), count), -np.inf, np.float32), {}, 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Exhaustive search", total=max(sizes))
        for size in sorted(sizes):
            for start in range(first, size, 1 << 20):
                table = mass.rows[start : min(start + (1 << 20), size)]
                both = np.hstack([best, nearest_exact(queries, table, count=count)[0]])
                best = -np.sort(-both, axis=1)[:, :count]
                progress.update(task, completed=start)
            found[size], first = best, size
    return found


def _make(
    folder: Path, songs: dict[str, Fingerprint], real: Sequence[Fingerprint], made: Sequence[Fingerprint], *, count: int
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.int8, (count, DIMENSIONS))
    lengths: list[int] = []
    kinds: dict[str, int] = {}
    end = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Vectors", total=count)
        everything = [("catalogue", song) for song in songs.values()]
        others = distractors(real, made, seed=SEED)
        while end < count:
            kind, song = everything.pop(0) if everything else next(others)
            part = loud_segments(song)[0][: count - end]
            rows[end : end + len(part)] = part
            lengths.append(len(part))
            kinds[kind] = kinds.get(kind, 0) + len(part)
            end += len(part)
            progress.update(task, completed=end)
    rows.flush()
    told = asdict(Mass(np.empty((0, DIMENSIONS), np.int8), list(songs), lengths, kinds))
    del told["rows"]
    (folder / "songs.json").write_text(json.dumps(told))
