"""Measures the edge's targets on this machine: start, time, memory, sizes, bytes to the origin, share answered there.

Usage: benchmark_edge.py [--targets cloudflare lambda_at_edge] [--calls 50] [--clips CLIP.wav ...] [--json FILE]
With clips (16 kHz) it counts how many of them become the native fingerprint at each target, byte for byte.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from edge_benchmarks import popularity
from rich.console import Console

TARGETS = ("cloudflare", "lambda_at_edge")  # a module of edge_benchmarks each: measure, tables, equal_fingerprints


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--calls", type=int, default=50, help="of each kind that is timed")
    parser.add_argument("--clips", type=Path, nargs="+", default=[], help="real clips, to compare fingerprints of")
    parser.add_argument("--hot-songs", type=int, default=500, help="in the hot index")
    parser.add_argument("--found", type=float, default=1.0, help="share of their clips that it answers")
    parser.add_argument("--unknown", type=float, default=0.1, help="share of clips that are of no song")
    parser.add_argument("--repeated", type=float, default=0.0, help="share of clips that were sent before")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    arguments = parser.parse_args()
    audience = popularity.Audience(arguments.hot_songs, arguments.found, arguments.unknown, arguments.repeated)
    console = Console()
    document = {name: measured(name, arguments.calls, arguments.clips, console) for name in arguments.targets}
    share = fingerprint_share(document.get("cloudflare"))
    document["popularity"] = popularity.measure(audience, fingerprint_share=share)
    console.print(popularity.table(document["popularity"], audience))
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def measured(name: str, calls: int, clips: list[Path], console: Console) -> dict[str, Any]:
    """Measure a target, and show what was measured."""
    target = importlib.import_module(f"edge_benchmarks.{name}")
    found: dict[str, Any] = target.measure(calls=calls)
    for each in target.tables(found):
        console.print(each)
    if clips:
        found["clips"], found["equal_fingerprints"] = len(clips), target.equal_fingerprints(clips)
        console.print(f"{name}: {found['equal_fingerprints']} of {found['clips']} fingerprints are the native ones")
    return found


def fingerprint_share(cloudflare: dict[str, Any] | None) -> float | None:
    """Return what a fingerprint of five seconds has of its clip's bytes, if that was measured."""
    if cloudflare is None:
        return None
    longest = list(cloudflare["clips_by_length"].values())[-1]
    return float(longest["bytes_out"] / longest["bytes_in"])


if __name__ == "__main__":
    main()
