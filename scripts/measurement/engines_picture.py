"""Draws what measure_engines.py wrote: time, memory and recall against the number of vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from measurement.scale_report import _panels, _save

SEGMENTS_PER_SONG = 469  # four minutes

Row = dict[str, Any]
_DRAWN = (
    ("CPU ms a search; dotted: p95", "cpu_ms_p50"),
    ("MB in memory", "index_bytes"),
    ("recall@10 of segments", "recall_at_10"),
)


def draw(measured: list[Row], path: Path) -> None:
    """Write a picture with a panel for each, a line an engine."""
    figure, axes = _panels(*(title for title, _ in _DRAWN))
    for engine in dict.fromkeys(row["engine"] for row in measured):
        rows = sorted((row for row in measured if row["engine"] == engine), key=lambda row: row["vectors"])
        songs = [row["vectors"] / SEGMENTS_PER_SONG for row in rows]
        (line,) = axes[0].plot(songs, [row["cpu_ms_p50"] for row in rows], marker="o", label=engine)
        axes[0].plot(songs, [row["cpu_ms_p95"] for row in rows], ":", color=line.get_color())
        axes[1].plot(songs, [row["index_bytes"] / 1e6 for row in rows], marker="o", color=line.get_color())
        axes[2].plot(songs, [row["recall_at_10"] for row in rows], marker="o", color=line.get_color())
    axes[1].set(yscale="log")
    for axis in axes:
        axis.set(xscale="log", xlabel="songs of four minutes")
    _save(figure, path)
