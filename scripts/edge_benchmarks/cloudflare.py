"""Cloudflare's two Workers as far as they run on this machine: start, time, memory, sizes and bytes to the origin."""

from __future__ import annotations

import base64
import gzip
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sonica_fingerprint
import soundfile
from benchmark_hot_index import Rows, bundle_of, unit_rows
from numpy.typing import NDArray
from rich.table import Table
from sonica_fingerprint import DIMENSIONS, SAMPLE_RATE_HZ, encode, extract
from sonica_fingerprint.pcm import read_wav

from edge_benchmarks.clips import music, wav
from edge_benchmarks.cloudflare_host.edge import WORKER, EdgeHost
from edge_benchmarks.cloudflare_host.engines import install_engines
from edge_benchmarks.cloudflare_host.hot_bucket import HotBucket

SECONDS = (1.0, 3.0, 5.0)
SONGS, SONG_SECONDS = 500, 240.0
CATALOGUE_THINNING = 4
FLOATS = {"form": "f32", "rate_hz": SAMPLE_RATE_HZ, "channels": 1, "big_endian": False}
WASM = Path(sonica_fingerprint.__file__).with_name("fingerprint.wasm")
KERNEL_SOURCES = [
    *sorted((WORKER / "kernel").glob("*.mjs")),
    *(WORKER.parents[1] / f"wasm/browser/{name}.mjs" for name in ("sonica-bundle", "sonica-fingerprint")),
    WASM,
]

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call costs: waiting, and the processors' time of the process that serves it."""

    wall_ms: float
    cpu_ms: float


def measure(*, calls: int = 50) -> dict[str, Any]:
    """Return the numbers of both Workers, with a hot index of SONGS songs."""
    install_engines()
    song = music(seconds=30.0)
    with tempfile.TemporaryDirectory() as folder:
        host = EdgeHost(Path(folder) / "build")
        try:
            start, hot_index = _start(host, song), _publish(host, song)
            return {
                "sizes": _sizes(Path(folder) / "build"),
                "start": start,
                "hot_index": hot_index,
                "clips_by_length": {f"{seconds:g} s": _clip(host, song, seconds, calls) for seconds in SECONDS},
                "memory": _memory(host, int(hot_index["bundle_bytes"])),
            }
        finally:
            host.close()


def tables(measured: dict[str, Any]) -> list[Table]:
    """Return the numbers for people."""
    title = f"Cloudflare: a clip that the hot index knows ({measured['hot_index']['songs']} songs), ms"
    columns = ("kernel, CPU", "hot index, CPU", "Python Worker, CPU", "whole, wall", "bytes in", "fingerprint", "%")
    clips = Table("clip", *columns, title=title)
    for name, each in measured["clips_by_length"].items():
        times = (f"{each[key]:.1f}" for key in ("extract_cpu_ms", "search_cpu_ms", "handling_cpu_ms", "wall_ms"))
        sizes = (f"{each['bytes_in']:,}", f"{each['bytes_out']:,}", f"{each['bytes_out'] / each['bytes_in']:.1%}")
        clips.add_row(name, *times, *sizes)
    others = Table("", "", show_header=False, title="start, memory, sizes")
    for part in ("start", "memory", "hot_index", "sizes"):
        for name, value in measured[part].items():
            others.add_row(name.replace("_", " "), f"{value:,.0f}")
    return [clips, others]


def equal_fingerprints(clips: Sequence[Path]) -> int:
    """Return how many WAV files at 16 kHz become, in workerd, the very fingerprint that is made of them here."""
    install_engines()
    with tempfile.TemporaryDirectory() as folder:
        host = EdgeHost(Path(folder) / "build")
        try:
            return sum(_edge_fingerprint(host, path) == _native_fingerprint(path) for path in clips)
        finally:
            host.close()


def _edge_fingerprint(host: EdgeHost, path: Path) -> bytes:
    pcm = read_wav(path.read_bytes())
    form = {"form": pcm.form, "rate_hz": pcm.rate_hz, "channels": pcm.channels, "big_endian": pcm.big_endian}
    return bytes(host.kernel("extract", bytes(pcm.data), form))


def _native_fingerprint(path: Path) -> bytes:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return encode(extract(samples.mean(axis=1, dtype=np.float32)))


def _sizes(staged: Path) -> dict[str, int]:
    def both(paths: list[Path]) -> tuple[int, int]:
        bodies = [path.read_bytes() for path in paths]
        return sum(map(len, bodies)), sum(len(gzip.compress(body)) for body in bodies)

    python, javascript = both(sorted(staged.rglob("*.py"))), both(KERNEL_SOURCES)
    return {
        "python_worker_bytes": python[0],
        "python_worker_gzip_bytes": python[1],
        "kernel_worker_bytes": javascript[0],
        "kernel_worker_gzip_bytes": javascript[1],
    }


def _start(host: EdgeHost, song: Samples) -> dict[str, float]:
    """How long until the Workers are there, and what the first request of each takes more than later ones."""
    clip = song[: 3 * SAMPLE_RATE_HZ]
    first_extract = _wall(lambda: host.kernel("extract", clip.tobytes(), FLOATS))
    first_request = _wall(lambda: host.request("GET", "/livez"))
    return host.control("times") | {"first_extract_ms": first_extract, "first_request_ms": first_request}


def _publish(host: EdgeHost, song: Samples) -> dict[str, float]:
    """Publish songs of noise, and the one that the clips are of."""
    rng = np.random.default_rng(1)
    rows = round(SONG_SECONDS * 1000 / (128 * CATALOGUE_THINNING))
    stored: list[Rows] = [unit_rows(rng, rows) for _ in range(SONGS - 1)]
    ours = extract(song).thinned(CATALOGUE_THINNING)
    stored.append(np.frombuffer(ours.embeddings, np.int8).reshape(-1, DIMENSIONS))
    bundle = bundle_of(stored)
    bucket = HotBucket(host)
    bucket.publish(bundle)
    bucket.close()
    began = time.perf_counter()
    while not (described := host.kernel("hotIndex")):
        time.sleep(0.01)
    loaded_ms = (time.perf_counter() - began) * 1000
    return {
        "songs": described["songs"],
        "segments": described["segments"],
        "bundle_bytes": len(bundle),
        "bundle_load_ms": loaded_ms,
    }


def _clip(host: EdgeHost, song: Samples, seconds: float, calls: int) -> dict[str, Any]:
    cuts = [song[start : start + int(seconds * SAMPLE_RATE_HZ)] for start in range(0, 2000 * calls, 2000)]
    host.set_variables(body_bytes_max=1_000_000)  # 5 s of 16 kHz are 160 kB
    clip, fingerprint = wav(cuts[0]), encode(extract(cuts[0]))
    empty = _usage(host, lambda _: host.kernel("hotIndex"), cuts)
    extracting = _usage(host, lambda cut: host.kernel("extract", cut.tobytes(), FLOATS), cuts)
    queries = [encode(extract(cut)) for cut in cuts]
    searching = _usage(host, lambda query: host.kernel("recognize", query), queries)
    whole = [_wall(partial(_known, host, wav(cut))) for cut in cuts]
    handling = host.control(
        "handling", {"base64": base64.b64encode(clip).decode(), "type": "audio/wav", "repeats": calls}
    )
    return {
        "extract_cpu_ms": extracting.cpu_ms - empty.cpu_ms,
        "search_cpu_ms": searching.cpu_ms - empty.cpu_ms,
        "handling_cpu_ms": statistics.median(handling["cpu_ms"]),
        "wall_ms": statistics.median(whole),
        "bytes_in": len(clip),
        "bytes_out": len(fingerprint),
    }


def _known(host: EdgeHost, clip: bytes) -> None:
    headers = {"content-type": "audio/wav"}
    answer = host.request("POST", "/v1/recognize", content=clip, headers=headers, settled=False).json()
    assert (answer["status"], answer["tier"]) == ("match", "edge"), answer


def _usage(host: EdgeHost, ask: Callable[[Any], object], given: list[Any]) -> Usage:
    """Ask with each, and return the mean of the waiting and of workerd's processor time."""
    workerd = _workerd(host)
    before, began = sum(workerd.cpu_times()[:2]), time.perf_counter()
    for each in given:
        ask(each)
    wall, cpu = time.perf_counter() - began, sum(workerd.cpu_times()[:2]) - before
    return Usage(wall * 1000 / len(given), cpu * 1000 / len(given))


def _memory(host: EdgeHost, bundle_bytes: int) -> dict[str, int]:
    """What either isolate holds, of 128 MB; of the kernel Worker JavaScript's heap and the sizes of its memories."""
    found = host.control("memory")
    at_rest = found["kernel_heap_bytes"] + 2 * found["wasm_memory_bytes"] + bundle_bytes  # kernel; kernel and bundle
    swapping = at_rest + found["wasm_memory_bytes"] + 2 * bundle_bytes  # the next one, as it came and in its memory
    return {
        "python_worker_heap_bytes": found["python_heap_bytes"],
        "kernel_worker_bytes_at_rest": at_rest,
        "kernel_worker_bytes_while_swapping": swapping,
    }


def _workerd(host: EdgeHost) -> psutil.Process:
    children = psutil.Process(host.process.pid).children(recursive=True)
    return max(children, key=lambda child: child.memory_info().rss)


def _wall(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000
