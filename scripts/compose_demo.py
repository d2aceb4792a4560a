"""Composes the demo catalogue: original pieces in many styles, as WAV files with a manifest.

The same seed gives the same bytes. Everything, the players' names included, is invented.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import soundfile
import typer
from demo_music.mixing import render
from demo_music.score import Style
from demo_music.styles import STYLES
from demo_music.synthesis import SAMPLE_RATE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

MANIFEST = "manifest.csv"
COLUMNS = ("uri", "external_id", "title", "artist", "album", "isrc", "language", "genre", "release_date")


def main(
    folder: Annotated[Path, typer.Argument(help="Where the WAV files and manifest.csv go; made if missing.")],
    seed: Annotated[int, typer.Option(help="Another seed gives other melodies in the same styles.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = os.cpu_count() or 1,
    pieces: Annotated[int, typer.Option(min=1, max=len(STYLES), help="Only the first so many.")] = len(STYLES),
) -> None:
    """Compose the demo pieces into FOLDER and print the manifest's path."""
    print(compose(folder, STYLES[:pieces], seed=seed, jobs=jobs))


def compose(folder: Path, styles: Sequence[Style] = STYLES, *, seed: int = 1, jobs: int = 1) -> Path:
    """Compose pieces into a folder, several at once, and return the path of their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    with _progress() as progress, ProcessPoolExecutor(jobs) as pool:
        task = progress.add_task("Composing", total=len(styles))
        written = [pool.submit(write_piece, folder / _name(style), style, seed) for style in styles]
        for piece in as_completed(written):
            progress.update(task, advance=1, description=f"Composed {piece.result()}")
        progress.update(task, description="Composed")
    return write_manifest(folder, styles)


def write_piece(path: Path, style: Style, seed: int) -> str:
    """Compose one piece into a 16-bit mono WAV file, whole or not at all, and return its title."""
    part = path.with_suffix(".part")
    soundfile.write(part, render(style, seed), SAMPLE_RATE, subtype="PCM_16", format="WAV")
    part.replace(path)
    return style.title


def write_manifest(folder: Path, styles: Sequence[Style]) -> Path:
    """Describe the pieces in `manifest.csv`; all are instrumental: no language; and there is no ISRC."""
    path = folder / MANIFEST
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        for style in styles:
            name = _name(style)
            described = {column: getattr(style, column) for column in ("title", "artist", "album", "genre")}
            table.writerow(
                {"uri": name, "external_id": Path(name).stem, **described, "release_date": style.release_date}
            )
    return path


def _name(style: Style) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in style.title.lower()).split()
    return f"{STYLES.index(style) + 1:02d}-{'-'.join(words)}.wav"


@contextmanager
def _progress() -> Iterator[Progress]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


if __name__ == "__main__":
    typer.run(main)
