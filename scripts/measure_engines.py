"""Measures the engines from ten thousand to tens of millions of vectors: memory, disk, time, recall, accuracy.

Usage: measure_engines.py CORPUS_JSON QUERIES_JSON DISTRACTORS_FOLDER --work FOLDER [--sizes 1e4 1e6 2e7] [--json FILE]
CORPUS_JSON and QUERIES_JSON are what measure_scale.py takes. The catalogue's songs come first, then the folder's music,
then the same slower and faster, then music blended from all these (scripts/measurement/distractors.py): the work folder
keeps fingerprints, vectors and what was built for the next time. Recall is against exhaustive search of the vectors
before they are made smaller, with the segments of clips. Milliseconds are a whole search of a 5 s clip, its candidates
included: CPU on one thread, and wall on one and on two at a time. Set OMP_NUM_THREADS=1 lest NumPy adds threads.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from measurement.distractors import Fingerprinter, Rows, Sound, audio_files, resampled
from measurement.engines import recall
from measurement.engines_picture import draw
from measurement.growth import Asked, timed_clips
from measurement.mass import Mass, exact_products, read_or_make
from measurement.scoring import Answer, read_queries, score
from rich.console import Console
from rich.progress import track
from sonica_fingerprint import Fingerprint, extract

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.recognition.verify import verify
from backend.search.faiss_index import FaissIndex
from backend.search.index import NEIGHBOURS
from backend.search.segments import searched_segments
from backend.search.shards import FIRST
from backend.settings import Settings

ADDED = 1 << 16  # vectors at a time
RECALL_ROWS = 200
RESAMPLED_HOURS = 60
CONSOLE = Console(stderr=True)


def main() -> None:
    options = parse()
    settings = Settings()
    limits = DecoderLimits.from_settings(settings)
    queries = [each for each in read_queries(options.queries) if each.cell in options.cells]
    queries = [each for cell in options.cells for each in [q for q in queries if q.cell == cell][: options.per_cell]]
    asked = [
        Asked(q, extract(decode(Path(q.path).read_bytes(), limits=limits))) for q in track(queries, console=CONSOLE)
    ]
    songs, mass = material(options, limits)
    sizes = sorted({int(size) for size in options.sizes})
    rows = np.concatenate([searched_segments(each.fingerprint)[0] for each in timed_clips(asked)])[:RECALL_ROWS]
    exact = exact_products(mass, rows, sizes, count=NEIGHBOURS)
    measured = []
    for kind in options.engines:
        for size in sizes:
            trial = Trial(kind, size, mass, songs, settings)
            row = {"engine": kind, "vectors": size, **trial.built(options.work), **trial.recalls(rows, exact[size])}
            row |= {**trial.accuracy(asked), **trial.latency([each.fingerprint for each in timed_clips(asked)])}
            measured.append(row)
            CONSOLE.print(row)
            options.json.write_text(json.dumps({"kinds": mass.kinds, "measured": measured}, indent=1) + "\n")
    if options.picture:
        draw(measured, options.picture)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("distractors", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for fingerprints, vectors and indexes")
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e4, 1e5, 1e6], help="vectors")
    parser.add_argument("--engines", nargs="+", default=["hnsw", "compact"], choices=["hnsw", "compact", "exact"])
    parser.add_argument("--cells", nargs="+", default=["clean_3s", "mic_3s", "mic_5s", "mic_10s", "noise0_5s"])
    parser.add_argument("--per-cell", type=int, default=50, help="clips of each")
    parser.add_argument("--picture", type=Path, help="where curves go, PNG")
    parser.add_argument("--json", type=Path, default=Path("engines.json"), help="where the numbers go")
    return parser.parse_args()


def material(options: argparse.Namespace, limits: DecoderLimits) -> tuple[list[Fingerprint], Mass]:
    """Return the catalogue's songs and all vectors; only the songs are needed when the vectors are there."""
    fingerprinter = Fingerprinter(options.work / "cache", limits)
    known = [song for song in json.loads(options.corpus.read_text()) if song["role"] == "catalog"]
    songs = fingerprinter.fingerprints([Sound(Path(song["path"])) for song in known], "Catalogue")
    others = [] if (options.work / "songs.json").exists() else audio_files(options.distractors)
    real = fingerprinter.fingerprints([Sound(path) for path in others], "Other music")
    made = fingerprinter.fingerprints(resampled(others, RESAMPLED_HOURS), "Resampled music")
    names = dict(zip([song["id"] for song in known], songs, strict=True))
    return songs, read_or_make(options.work, names, real, made, count=int(max(options.sizes)))


@dataclass
class Trial:
    """The product's index with so many vectors in it."""

    kind: Any
    size: int
    mass: Mass
    songs: Sequence[Fingerprint]
    settings: Settings

    def __post_init__(self) -> None:
        depth = self.settings.hnsw_search_depth
        self.index = FaissIndex(Path("unused"), InMemoryCatalogue(), search_depth=depth, kind=self.kind)
        self.index._directory = self.mass.directory(self.songs, vectors=self.size)

    def built(self, work: Path) -> dict[str, float]:
        """Build and save the vectors, unless an earlier call did; load them; say what it took."""
        folder = work / f"{self.kind}-{self.size}"
        told, file = folder / "built.json", folder / "vectors"
        if not told.exists():
            folder.mkdir(exist_ok=True)
            told.write_text(json.dumps(self._build(file)))
        before, wall, cpu = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
        self.index._vectors.read({FIRST: file}, starts=[0], total=self.size)
        return json.loads(told.read_text()) | {
            "load_s": round(time.perf_counter() - wall, 2),
            "load_cpu_s": round(time.process_time() - cpu, 2),
            "resident_bytes": psutil.Process().memory_info().rss - before,
            "index_bytes": self.index.status().bytes,
            "disk_bytes": file.stat().st_size,
        }

    def recalls(self, rows: Rows, exact: np.ndarray) -> dict[str, float]:
        """Compare what is found, by the vectors before they were made smaller, with what is nearest."""
        _, ordinals = self.index._vectors.nearest(rows, count=NEIGHBOURS)
        found = np.einsum(
            "qnd,qd->qn", self.mass.rows[np.maximum(ordinals, 0)].astype(np.float32), rows.astype(np.float32)
        )
        found = -np.sort(-np.where(ordinals < 0, -np.inf, found), axis=1)
        return {f"recall_at_{count}": round(recall(found, exact, count), 4) for count in (1, NEIGHBOURS)}

    def accuracy(self, asked: Sequence[Asked]) -> dict[str, Any]:
        """Recognize all clips; return the shares by cell."""
        answers = {each.query.path: self._answer(each.fingerprint) for each in asked}
        cells: dict[str, dict[str, float]] = defaultdict(dict)
        for cell in score([each.query for each in asked], answers, rate=self.settings.false_accept_rate).cells:
            for part in ("top1", "accepted"):
                if part in cell.shares:
                    cells[cell.cell][part] = round(cell.shares[part].value, 4)
        return {"cells": dict(cells)}

    def latency(self, clips: Sequence[Fingerprint]) -> dict[str, float]:
        """Return milliseconds of a search: CPU and wall one at a time, wall two at a time."""
        alone = [self._timed(clip) for clip in clips]
        with ThreadPoolExecutor(2) as pool:
            started = time.perf_counter()
            together = list(pool.map(self._timed, clips))
            seconds = time.perf_counter() - started
        columns = {
            "cpu": [cpu for cpu, _ in alone],
            "wall": [wall for _, wall in alone],
            "wall_of_two": [wall for _, wall in together],
        }
        said = {
            f"{name}_ms_{part}": round(float(np.quantile(values, share)), 2)
            for name, values in columns.items()
            for part, share in (("p50", 0.5), ("p95", 0.95))
        }
        return said | {"searches_a_second_of_two": round(len(clips) / seconds, 1)}

    def _build(self, file: Path) -> dict[str, float]:
        vectors = self.index._new_vectors()
        wall, cpu = time.perf_counter(), time.process_time()
        for first in track(range(0, self.size, ADDED), f"{self.kind} {self.size:,}", console=CONSOLE):
            vectors.add(np.asarray(self.mass.rows[first : min(first + ADDED, self.size)]), threads=1)
        took = {"build_s": time.perf_counter() - wall, "build_cpu_s": time.process_time() - cpu}
        wall = time.perf_counter()
        vectors.write(file)
        return {name: round(value, 2) for name, value in (took | {"write_s": time.perf_counter() - wall}).items()}

    def _answer(self, clip: Fingerprint) -> Answer:
        candidates = self.index.search(clip, limit=self.settings.candidates_max)
        rate = self.settings.false_accept_rate
        verdict = verify(clip, candidates, false_accept_rate=rate, catalogue_segments=self.index.segments)
        if not verdict.ranked:
            return Answer()
        best = verdict.ranked[0]
        named = self.mass.names[best.song_id - 1] if best.song_id <= len(self.mass.names) else f"other {best.song_id}"
        return Answer(bool(verdict.accepted), named, best.offset_ms, best.score)

    def _timed(self, clip: Fingerprint) -> tuple[float, float]:
        cpu, wall = time.thread_time(), time.perf_counter()
        self.index.search(clip, limit=self.settings.candidates_max)
        return 1000 * (time.thread_time() - cpu), 1000 * (time.perf_counter() - wall)


if __name__ == "__main__":
    main()
