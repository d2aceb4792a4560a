"""Measures Sonica beside what else can be installed, on the same songs and clips in the same run."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from os.path import commonpath
from pathlib import Path
from typing import Annotated

import typer
from measurement.accuracy_table import to_document
from measurement.scoring import read_queries
from peers.audfprint import Audfprint
from peers.chromaprint import Chromaprint
from peers.landmarks import Landmarks
from peers.measuring import Result, Trial, measure
from peers.sheets import accuracy_sheet, costs_sheet, published_sheet
from peers.sonica import Sonica
from peers.system import NotInstalled, Songs, System, Watch, adopt_orphans
from rich.console import Console
from rich.progress import track
from sonica_fingerprint import SAMPLE_RATE_HZ

from backend.audio.files import read_blocks
from backend.audio.limits import DecoderLimits
from backend.cli.options import settings_from
from backend.cores import cores
from backend.ingestion.sources import Item, items

TABLE_WIDTH = 140  # where no terminal says how wide it is
DENSE = 70  # hashes a second: what audfprint gains most by, for a larger table


def compare(
    corpus: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="JSON list of {id, path, role} (none `negative` is ingested), or a folder, list or manifest.",
        ),
    ],
    queries: Annotated[Path, typer.Argument(exists=True, help="JSON list of {path, cell, song, offset_s}.")],
    *,
    rate: Annotated[float, typer.Option(min=0, max=1, help="Share of negatives that the gate lets through.")] = 0.01,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write as JSON; - is stdout.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables for a README.")] = False,
) -> None:
    """Measure Sonica and its peers, and print tables; as Markdown, with what papers report beside.

    Looks on PATH for fpcalc (Debian: libchromaprint-tools) and audfprint (the Python package audfprint2, and ffmpeg;
    best in an environment of its own). What is missing is left out, and said.

    `evaluate.py run --keep FOLDER` makes both arguments: FOLDER/data/trial.csv and FOLDER/clips/queries.json.
    """
    to_stdout = json_out == Path("-")
    console = Console(stderr=to_stdout, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    progress = Console(stderr=True)
    limits = DecoderLimits.from_settings(settings_from(None))
    watch = partial(track, console=progress)
    songs = read_corpus(corpus)
    trial = Trial(songs, music_seconds(songs, limits, watch), read_queries(queries), rate)
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="sonica-comparison-") as folder:
        found = systems(Path(folder), limits, say=progress.print)
        results = [measure(system, trial, watch) for system in found]
    show(results, console, markdown=markdown)
    document = json.dumps(to_json(results, trial), indent=1)
    if to_stdout:
        print(document)
    elif json_out:
        json_out.write_text(document + "\n")


def read_corpus(path: Path) -> Songs:
    """Return the catalogue's songs; they are named as the queries name them, by id or by path below the folder."""
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
        return {row["id"]: path.parent / row["path"] for row in rows if row.get("role") != "negative"}
    found = [item for item in items([str(path)]) if isinstance(item, Item)]
    root = commonpath([item.path.parent for item in found])
    return {item.details.external_id or str(item.path.relative_to(root)): item.path for item in found}


def music_seconds(songs: Songs, limits: DecoderLimits, watch: Watch) -> float:
    """Return how long all songs are."""
    files = watch(list(songs.values()), description="Measuring songs")
    return sum(len(block) for file in files for block in read_blocks(file, limits=limits)) / SAMPLE_RATE_HZ


def systems(folder: Path, limits: DecoderLimits, *, say: Callable[[str], None]) -> Iterator[System]:
    """Yield the systems that are installed; say what is missing."""
    makers: list[Callable[[], System]] = [
        lambda: Sonica(folder / "sonica"),
        Chromaprint,
        lambda: Audfprint(folder),
        lambda: Audfprint(folder, density=DENSE),
        lambda: Landmarks(limits),
    ]
    for make in makers:
        try:
            yield make()
        except NotInstalled as missing:
            say(f"Left out: {missing}")


def show(results: list[Result], console: Console, *, markdown: bool) -> None:
    """Print the tables; as Markdown, those of others too."""
    measured = (accuracy_sheet(results), costs_sheet(results))
    if markdown:
        for sheet in (*measured, published_sheet()):
            console.out(sheet.to_markdown(), end="\n\n", highlight=False)
    else:
        console.print(*(sheet.to_table() for sheet in measured), sep="\n")


def to_json(results: list[Result], trial: Trial) -> dict[str, object]:
    """Return the comparison as JSON."""
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": cores(),
    }
    corpus = {"songs": len(trial.songs), "hours": round(trial.seconds / 3600, 3), "queries": len(trial.queries)}
    return {"machine": machine, "corpus": corpus, "systems": {result.name: _result_json(result) for result in results}}


def _result_json(result: Result) -> dict[str, object]:
    return {"about": result.about, "costs": asdict(result.costs), "accuracy": to_document(result.scores)}


if __name__ == "__main__":
    typer.run(compare)
