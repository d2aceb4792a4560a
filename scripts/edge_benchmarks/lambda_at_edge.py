"""Lambda@Edge as AWS's runtime client runs it from its zips: cold start, warm time, CPU, memory, bytes."""

from __future__ import annotations

import base64
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import build_edge
import numpy as np
import psutil
import sonica_fingerprint
import soundfile
from rich.table import Table
from sonica_fingerprint import SAMPLE_RATE_HZ

from edge_benchmarks.clips import music, wav
from edge_benchmarks.runtime_api import Function, running

CLIPS = {  # name: seconds, rate
    "1 s, 16 kHz": (1.0, 16_000),
    "3 s, 16 kHz": (3.0, 16_000),
    "5 s, 16 kHz": (5.0, 16_000),
    "5 s, 8 kHz": (5.0, 8_000),
    "5 s, 48 kHz": (5.0, 48_000),
}
CLIP_BYTES_MAX = 1_000_000  # so that 5 s of 16 kHz, 160 kB, are read: by default 100 kB are
STARTS = 5
WARM_UP = 5
MATCH = "/v1/match/" + "ab" * 32


def measure(*, python: str = sys.executable, client: Path | None = None, calls: int = 100) -> dict[str, Any]:
    """Return the numbers of every function; `python` and `client` as in runtime_api.running."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        functions = {
            name: _measured(each, folder / name, python=python, client=client, calls=calls)
            for name, each in _staged(folder).items()
        }
    version = subprocess.run([python, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return {"python": version, "functions": functions}


def equal_fingerprints(clips: Sequence[Path], *, python: str = sys.executable, client: Path | None = None) -> int:
    """Return how many WAV files at 16 kHz become, at the edge, the very fingerprint that is made of them here."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        staged = _staged(folder)["origin_request"]
        with running(folder / "origin_request", staged.handler, python=python, client=client) as function:
            return sum(_edge_fingerprint(function, path) == _native_fingerprint(path) for path in clips)


def tables(measured: dict[str, Any]) -> list[Table]:
    """Return the numbers for people."""
    starts = Table(
        "function", "zip kB", "import, CPU ms", "cold start ms", "memory MB", title=f"Lambda@Edge, {measured['python']}"
    )
    warm = Table("function", "event", "warm ms", "p95", "CPU ms", "bytes in", "to the origin", "%", title="warm")
    for name, found in measured["functions"].items():
        sizes = (f"{found['zip_bytes'] / 1000:.1f}", f"{found['memory_bytes'] / 1e6:.0f}")
        starts.add_row(name, sizes[0], f"{found['import_cpu_ms']:.0f}", f"{found['cold_start_ms']:.0f}", sizes[1])
        for event, each in found["warm"].items():
            times = (f"{each[key]:.2f}" for key in ("wall_ms", "p95_ms", "cpu_ms"))
            sizes = (f"{each['bytes_in']:,}", f"{each['bytes_out']:,}") if each["bytes_in"] else ("", "")
            share = f"{each['bytes_out'] / each['bytes_in']:.1%}" if each["bytes_in"] else ""
            warm.add_row(name, event, *times, *sizes, share)
    return [starts, warm]


def _staged(folder: Path) -> dict[str, build_edge.Staged]:
    """Build the zips, and unpack each into a folder of its name."""
    settings = build_edge.baked_settings([f"clip_bytes_max={CLIP_BYTES_MAX}"])
    staged = {each.path.stem: each for each in build_edge.stage(folder / "zips", settings)}
    for name, each in staged.items():
        zipfile.ZipFile(each.path).extractall(folder / name)
    return staged


def _edge_fingerprint(function: Function, path: Path) -> bytes | None:
    body = function(_event("origin-request", clip=path.read_bytes()))["body"]
    return base64.b64decode(body["data"]) if body["action"] == "replace" else None


def _native_fingerprint(path: Path) -> bytes:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return sonica_fingerprint.encode(sonica_fingerprint.extract(samples.mean(axis=1, dtype=np.float32)))


def _measured(
    staged: build_edge.Staged, folder: Path, *, python: str, client: Path | None, calls: int
) -> dict[str, Any]:
    events = _events(staged.path.stem)
    first = next(iter(events.values()))
    cold = [_cold_start(staged, folder, first, python=python, client=client) for _ in range(STARTS)]
    with running(folder, staged.handler, python=python, client=client) as function:
        warm = {name: _warm(function, event, calls) for name, event in events.items()}
        memory = psutil.Process(function.process.pid).memory_info().rss
    return {
        "zip_bytes": staged.zip_bytes,
        "import_cpu_ms": statistics.median(_import_cpu_ms(staged, folder, python) for _ in range(STARTS)),
        "cold_start_ms": statistics.median(cold),
        "memory_bytes": memory,
        "warm": warm,
    }


def _cold_start(
    staged: build_edge.Staged, folder: Path, event: dict[str, Any], *, python: str, client: Path | None
) -> float:
    """Return the time from no process to the first answer: Python, the runtime client, the function, the event."""
    started = time.perf_counter()
    with running(folder, staged.handler, python=python, client=client) as function:
        function(event)
        return (time.perf_counter() - started) * 1000


def _import_cpu_ms(staged: build_edge.Staged, folder: Path, python: str) -> float:
    """Return what of that is ours: the import of the function in a Python that runs."""
    module = staged.handler.rpartition(".")[0]
    program = f"import time; started = time.process_time(); import {module}; print(time.process_time() - started)"
    command = [python, "-B", "-c", program]
    return float(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout) * 1000


def _warm(function: Function, event: dict[str, Any], calls: int) -> dict[str, Any]:
    for _ in range(WARM_UP):
        answer = function(event)
    process = psutil.Process(function.process.pid)
    before, walls = process.cpu_times(), []
    for _ in range(calls):
        started = time.perf_counter()
        function(event)
        walls.append((time.perf_counter() - started) * 1000)
    after = process.cpu_times()
    return {
        "wall_ms": statistics.median(walls),
        "p95_ms": sorted(walls)[int(0.95 * calls)],
        "cpu_ms": (after.user + after.system - before.user - before.system) / calls * 1000,
        "bytes_in": _body_bytes(event["Records"][0]["cf"]["request"]),
        "bytes_out": _body_bytes(answer),
    }


def _body_bytes(request: dict[str, Any]) -> int:
    body = request.get("body")
    return len(base64.b64decode(body["data"])) if isinstance(body, dict) else 0


def _events(function: str) -> dict[str, dict[str, Any]]:
    kind = function.replace("_", "-")
    if function == "origin_request":
        return {name: _event(kind, clip=_clip(seconds, rate_hz)) for name, (seconds, rate_hz) in CLIPS.items()}
    return {"GET /v1/match": _event(kind, uri=MATCH), "POST": _event(kind)}


def _clip(seconds: float, rate_hz: int) -> bytes:
    """Return music as a WAV file; at another rate it sounds higher or lower, which takes as long."""
    return wav(music(seconds=seconds * rate_hz / SAMPLE_RATE_HZ), rate_hz=rate_hz)


def _event(kind: str, *, uri: str = "/v1/recognize", clip: bytes | None = None) -> dict[str, Any]:
    """Return an event of the shape that CloudFront sends."""
    headers = {"host": "origin.example.org", "content-type": "audio/wav", "user-agent": "Amazon CloudFront"}
    request: dict[str, Any] = {
        "clientIp": "203.0.113.178",
        "headers": {name: [{"key": name.title(), "value": value}] for name, value in headers.items()},
        "method": "GET" if uri == MATCH else "POST",
        "querystring": "",
        "uri": uri,
    }
    if clip is not None:
        data = base64.b64encode(clip).decode()
        request["body"] = {"action": "read-only", "data": data, "encoding": "base64", "inputTruncated": False}
    cf: dict[str, Any] = {"config": {"eventType": kind, "requestId": "benchmark"}, "request": request}
    if kind == "origin-response":
        cf["response"] = {"status": "200", "statusDescription": "OK", "headers": {}}
    return {"Records": [{"cf": cf}]}
