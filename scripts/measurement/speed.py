"""Times the product: fingerprinting, requests in process, requests over HTTP."""

from __future__ import annotations

import asyncio
import io
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray
from sonica_fingerprint import SAMPLE_RATE_HZ, extract

from backend.audio.files import read_blocks
from backend.audio.limits import DecoderLimits
from backend.composition import open_origin
from backend.settings import Settings
from measurement.product import serving

CLIP_SECONDS = 5
_WARM_UP = 3  # requests that are not counted: they load code and connect to the database
_NOISE = 0.02  # of full scale; makes each clip another query, so that no cache answers
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Measure:
    """A measured number."""

    value: float
    unit: str


Measures = dict[str, Measure]
Songs = dict[Path, NDArray[np.float32]]


def read_songs(paths: Sequence[Path], limits: DecoderLimits) -> tuple[Songs, Measures]:
    """Decode songs; measure how fast a core ingests, decoding included and excluded."""
    started = time.process_time()
    songs = {path: np.concatenate(list(read_blocks(path, limits=limits))) for path in paths}
    decoded = time.process_time()
    for samples in songs.values():
        extract(samples)
    ended = time.process_time()
    seconds = sum(map(len, songs.values())) / SAMPLE_RATE_HZ
    return songs, {
        "ingest_with_decode": Measure(seconds / (ended - started), "x real time per core"),
        "ingest_without_decode": Measure(seconds / (ended - decoded), "x real time per core"),
    }


def cut_clips(songs: Songs, count: int, *, seed: int) -> list[bytes]:
    """Return noisy cuts of five seconds as 16 kHz mono WAV files."""
    rng = np.random.default_rng(seed)
    length = CLIP_SECONDS * SAMPLE_RATE_HZ
    pool = [samples for samples in songs.values() if samples.size > length]
    return [_cut(pool[int(rng.integers(len(pool)))], length, rng) for _ in range(count)]


async def time_in_process(settings: Settings, clips: Sequence[bytes]) -> Measures:
    """Time each step of a request, one request at a time; CPU is this process's, the database's left out."""
    steps: dict[str, list[float]] = defaultdict(list)
    async with open_origin(settings) as origin:
        for number, clip in enumerate(clips):
            started, started_cpu = time.perf_counter(), time.process_time()
            recognition = await origin.recognizer.recognize_clip(clip)
            spent, spent_cpu = time.perf_counter() - started, time.process_time() - started_cpu
            if number < _WARM_UP:
                continue
            for step, milliseconds in (recognition.timings_ms | {"request": 1000 * spent}).items():
                steps[step].append(milliseconds)
            steps["request_cpu"].append(1000 * spent_cpu)
        status = origin.index.status()
    measures: Measures = {}
    for step, samples in steps.items():
        measures |= _median_and_p95(step, samples)
    measures["index_songs"] = Measure(status.songs, "songs")
    measures["index_size"] = Measure(
        status.bytes / _MEGABYTE / max(status.audio_seconds / 3600, 1e-9), "MB per hour of audio"
    )
    return measures


def time_over_http(data_dir: Path, clips: Sequence[bytes]) -> Measures:
    """Start a server, send one request at a time, and look at what the server took."""
    with serving(data_dir) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        process = psutil.Process(server.process_id)
        for clip in clips[:_WARM_UP]:
            _send(client, clip)
        idle = process.memory_info().rss
        cpu_before = process.cpu_times()
        spent = [_send(client, clip) for clip in clips[_WARM_UP:]]
        cpu_after = process.cpu_times()
        loaded = process.memory_info().rss
    cpu_seconds = cpu_after.user + cpu_after.system - cpu_before.user - cpu_before.system
    return {
        **_median_and_p95("http_request", spent),
        "http_request_cpu_mean": Measure(1000 * cpu_seconds / len(spent), "ms"),
        "server_startup": Measure(server.startup_seconds, "s"),
        "server_memory_start": Measure(idle / _MEGABYTE, "MB resident"),
        "server_memory_end": Measure(loaded / _MEGABYTE, "MB resident"),
    }


def measure_all(settings: Settings, clips: Sequence[bytes]) -> Measures:
    """Time requests in process, then over HTTP."""
    return asyncio.run(time_in_process(settings, clips)) | time_over_http(settings.data_dir, clips)


def _cut(song: NDArray[np.float32], length: int, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(song.size - length))
    noisy = song[start : start + length] + rng.normal(0, _NOISE, length)
    file = io.BytesIO()
    soundfile.write(file, np.clip(noisy, -1, 1), SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _send(client: httpx.Client, clip: bytes) -> float:
    """Return the milliseconds until the answer is there."""
    started = time.perf_counter()
    client.post("/v1/recognize", content=clip, headers={"Content-Type": "audio/wav"}).raise_for_status()
    return 1000 * (time.perf_counter() - started)


def _median_and_p95(name: str, samples: list[float]) -> Measures:
    return {
        f"{name}_median": Measure(statistics.median(samples), "ms"),
        f"{name}_p95": Measure(float(np.quantile(samples, 0.95)), "ms"),
    }
