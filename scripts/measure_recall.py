"""How much of exact search the index finds, by search depth: over a catalogue's own index and a folder of clips.

Usage: measure_recall.py CLIPS_FOLDER [--data-dir data] [--clips 200] [--json]
Recall@k: share of the k nearest segments by exhaustive search over the same codes that the index also returns, over all
queries' segments. Depth: HNSW's efSearch, or of the compact kind (SONICA_INDEX_KIND) SCANNED_PER_ROOT.
Same song: share of clips whose best alignment is of the song that exhaustive search would have voted for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from sonica_fingerprint import DIMENSIONS, Fingerprint, extract

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.composition import open_origin
from backend.search import compact
from backend.search.compact import CompactVectors
from backend.search.faiss_index import NEIGHBOURS, FaissIndex
from backend.search.hnsw import HnswVectors, Neighbours
from backend.settings import Settings

DEPTHS = [16, 32, 64, 96, 128, 256]
Vectors = HnswVectors | CompactVectors
Rows = npt.NDArray[np.int8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--clips-max", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings = Settings(data_dir=arguments.data_dir)
    paths = sorted(arguments.clips.rglob("*.wav"))
    chosen = np.random.default_rng(1).permutation(len(paths))[: arguments.clips_max]
    limits = DecoderLimits.from_settings(settings)
    queries = [extract(decode(paths[n].read_bytes(), limits=limits)) for n in chosen]
    results = asyncio.run(measure(settings, queries))
    print(json.dumps(results, indent=1)) if arguments.json else show(results)


async def measure(settings: Settings, queries: list[Fingerprint]) -> list[dict[str, float]]:
    """Return a row for each search depth."""
    async with open_origin(settings) as origin:
        index, results = origin.index, []
        vectors = index._vectors._last  # what is measured is beneath the port
        rows = [row for query in queries if len(row := segments(query))]
        exact = [vectors.nearest_exact(row, count=NEIGHBOURS)[1] for row in rows]
        voted = [song for query in queries if (song := best_song(index, query, exact=True)) is not None]
        for depth in DEPTHS:
            set_depth(vectors, depth)
            started = time.process_time()
            found = [vectors.nearest(row, count=NEIGHBOURS)[1] for row in rows]
            milliseconds = (time.process_time() - started) * 1000 / sum(map(len, rows))
            songs = [song for query in queries if (song := best_song(index, query, exact=False)) is not None]
            results.append(
                {
                    "search_depth": depth,
                    "recall_at_1": recall(found, exact, 1),
                    "recall_at_10": recall(found, exact, NEIGHBOURS),
                    "same_song": float(np.mean([a == b for a, b in zip(songs, voted, strict=True)])),
                    "cpu_ms_a_segment": milliseconds,
                }
            )
        return results


def set_depth(vectors: Vectors, depth: int) -> None:
    if isinstance(vectors, CompactVectors):
        compact.SCANNED_PER_ROOT = depth
    else:
        vectors.search_depth = depth


def segments(query: Fingerprint) -> Rows:
    return np.frombuffer(query.embeddings, np.int8).reshape(-1, DIMENSIONS)


def recall(found: list[npt.NDArray[np.int64]], exact: list[npt.NDArray[np.int64]], count: int) -> float:
    """Share of the exact `count` nearest that are among those found."""
    hits = [
        len(set(near[:count]) & set(true[:count])) / count
        for nears, trues in zip(found, exact, strict=True)
        for near, true in zip(nears, trues, strict=True)
    ]
    return float(np.mean(hits))


def best_song(index: FaissIndex, query: Fingerprint, *, exact: bool) -> int | None:
    """Return the song with the most votes, by the index or by exhaustive search in its place."""
    vectors = index._vectors

    def nearest_exact(rows: Rows, *, count: int, dead: npt.NDArray[np.uint8] | None, quick: bool) -> Neighbours:
        return vectors.nearest_exact(rows, count=count, dead=dead)

    with patch.object(vectors, "nearest", nearest_exact if exact else vectors.nearest):
        candidates = index.search(query, limit=1)
    return candidates[0].song_id if candidates else None


def show(results: list[dict[str, float]]) -> None:
    table = Table(title="The index against exhaustive search")
    for name in results[0]:
        table.add_column(name, justify="right")
    for row in results:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
