"""Learns what the compact index tells vectors apart by, and writes backend/search/codebooks.npz.

Usage: train_codebooks.py MUSIC_FOLDER... [--seconds 60] [--seed 1] [--output FILE]
From a stretch of each track: centroids of its segments by direction, shortened to what a list's segments have in common
so that least is left over, and codebooks of what is left. Two or three minutes; to be run again when the fingerprint
changes. Seeded: a second run differs by the last bits of its sums only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import soundfile
from rich.console import Console
from rich.progress import track
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE, SILENCE_DB, extract
from training.corpus import audio_files, read

from backend.search.codebooks import CODE_BYTES, FILE, LISTS, Codebooks, to_file

ROUNDS = 10  # of either clustering
LEFT_OVER_MAX = 40_000  # vectors that codebooks are made from: 156 for each of the 256 values of a byte
OUTPUT = Path(__file__).parents[1] / "backend" / "search" / FILE
Rows = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("music", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=60, help="of each track")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    console = Console(stderr=True)
    shown = track(audio_files(arguments.music), "listening", console=console)
    drawn = stretches(list(shown), arguments.seconds, seed=arguments.seed)
    rows = np.random.default_rng(arguments.seed).permutation(np.concatenate(list(drawn)))
    console.print(f"{len(rows):,} segments")
    content = learnt(rows, seed=arguments.seed)
    arguments.output.write_bytes(content)
    console.print(f"{Codebooks.of(content).name}: {len(content):,} bytes in {arguments.output}")


def stretches(paths: list[Path], seconds: float, *, seed: int) -> Iterator[Rows]:
    """Yield the loud segments of a stretch of each track, (n, 128)."""
    random = np.random.default_rng(seed)
    for path in paths:
        start = random.uniform(0, max(0.0, soundfile.info(path).duration - seconds))
        fingerprint = extract(read(path, start, seconds).astype(np.float32))
        rows = np.frombuffer(fingerprint.embeddings, np.int8).reshape(-1, DIMENSIONS)
        yield rows[np.frombuffer(fingerprint.levels, np.uint8) < SILENCE_DB].astype(np.float32)


def learnt(rows: Rows, *, seed: int) -> bytes:
    """Cluster segments, (n, 128) in random order, then what the centroids leave over."""
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    clusters = faiss.Kmeans(DIMENSIONS, LISTS, niter=ROUNDS, spherical=True, seed=seed, min_points_per_centroid=1)
    clusters.train(directions)
    cosines, lists = clusters.index.search(directions, 1)
    centroids = np.rint(clusters.centroids * cosines.mean() * EMBEDDING_SCALE)
    left = faiss.ProductQuantizer(DIMENSIONS, CODE_BYTES, 8)
    left.cp.niter, left.cp.seed, left.cp.min_points_per_centroid = ROUNDS, seed, 1
    left.train((rows - centroids[lists[:, 0]])[:LEFT_OVER_MAX])
    return to_file(centroids, faiss.vector_to_array(left.centroids))


if __name__ == "__main__":
    main()
