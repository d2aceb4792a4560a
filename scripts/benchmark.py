"""Measures speed and size: fingerprinting, requests, ingest, index, start-up, memory. Never fails on a number."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from compose_demo import compose
from measurement.product import run_sonica
from measurement.speed import Measure, Measures, cut_clips, measure_all, read_songs
from rich.console import Console
from rich.table import Table
from sonica_fingerprint import SAMPLE_RATE_HZ

from backend.audio.limits import DecoderLimits
from backend.cli.options import settings_from
from backend.cores import cores
from backend.ingestion.sources import Item, items

TABLE_WIDTH = 100  # where no terminal says how wide it is


def benchmark(
    songs: Annotated[
        list[str] | None,
        typer.Argument(help="What to cut clips from, as for `sonica ingest`; unset composes the demo."),
    ] = None,
    *,
    data_dir: Annotated[
        Path | None,
        typer.Option(exists=True, help="Ask this data folder; unset ingests the songs into a new one."),
    ] = None,
    clips: Annotated[int, typer.Option(min=10, help="Requests, in process and over HTTP.")] = 100,
    seed: Annotated[int, typer.Option(help="Draws other clips.")] = 1,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write as JSON; - is stdout.")] = None,
    baseline: Annotated[Path | None, typer.Option(exists=True, help="Show ratios to these measures.")] = None,
    write_baseline: Annotated[Path | None, typer.Option(help="Keep the measures as a baseline.")] = None,
) -> None:
    """Measure this machine with this build, and print a table."""
    to_stdout = json_out == Path("-")
    console = Console(stderr=to_stdout, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sonica-benchmark-")))
        measures = _measure(songs or [], data_dir, folder, clips=clips, seed=seed)
    document = json.dumps(_document(measures), indent=1)
    console.print(_table(measures, json.loads(baseline.read_text())["measures"] if baseline else {}))
    if to_stdout:
        print(document)
    for path in (json_out, write_baseline):
        if path and path != Path("-"):
            path.write_text(document + "\n")


def _measure(sources: list[str], data_dir: Path | None, folder: Path, *, clips: int, seed: int) -> Measures:
    if not sources:
        compose(folder / "demo", jobs=cores())
        sources = [str(folder / "demo")]
    settings = settings_from(data_dir or folder / "data")
    paths = [item.path for item in items(sources) if isinstance(item, Item)]
    songs, measures = read_songs(paths, DecoderLimits.from_settings(settings))
    if data_dir is None:
        started = time.perf_counter()
        run_sonica(["ingest", *sources], data_dir=settings.data_dir)
        seconds = sum(map(len, songs.values())) / SAMPLE_RATE_HZ
        spent = time.perf_counter() - started
        measures["ingest_command"] = Measure(seconds / spent, f"x real time, {cores()} cores, start included")
    return measures | measure_all(settings, cut_clips(songs, clips, seed=seed))


def _document(measures: Measures) -> dict[str, object]:
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": cores(),
    }
    numbers = {name: {"value": round(m.value, 4), "unit": m.unit} for name, m in measures.items()}
    return {"machine": machine, "measures": numbers}


def _table(measures: Measures, before: dict[str, dict[str, float]]) -> Table:
    """Return a row a measure, and the ratio to the baseline's."""
    table = Table("measure", "value", "unit", "baseline", "ratio", box=None, header_style="bold")
    for column in (1, 3, 4):
        table.columns[column].justify = "right"
    for name, measure in measures.items():
        old = before.get(name, {}).get("value")
        compared = ("", "") if not old else (f"{old:,.3g}", f"{measure.value / old:.2f}")
        table.add_row(name, f"{measure.value:,.4g}", measure.unit, *compared)
    return table


if __name__ == "__main__":
    typer.run(benchmark)
