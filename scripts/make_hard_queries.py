"""Makes clips that are hard to recognise: small loudspeakers, cars, streets, talk, halls, memos, speed changes.

Training uses none of these simulators, so that what is gained here was not learnt by heart.
The same seed gives the same clips, whatever cells are made. Needs the `lab` extra, and espeak-ng for voices.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import typer
from hard_queries.cells import Cell, chosen_cells
from hard_queries.cuts import SPARE, Song, cut, read_corpus
from hard_queries.sound import LEAD, RATE, Generator, Samples
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LOUDNESS_DB = (-32.0, -16.0)  # of full scale: root mean square of a clip
PEAK_MAX = 0.98


def main(
    corpus: Annotated[Path, typer.Argument(exists=True, help="Folder with tracks.json: id, path, seconds, role.")],
    folder: Annotated[Path, typer.Argument(help="Where <cell>/<nnn>.wav and queries.json go; made if missing.")],
    *,
    cells: Annotated[str, typer.Option(help="Only these, with commas between; unset makes all.")] = "",
    per_cell: Annotated[int, typer.Option(min=1, help="Clips a cell.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other cuts and places.")] = 1,
) -> None:
    """Make hard queries from CORPUS in FOLDER and print the path of their list."""
    try:
        print(make_queries(read_corpus(corpus), folder, chosen_cells(cells), per_cell=per_cell, seed=seed))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def make_queries(songs: list[Song], folder: Path, cells: list[Cell], *, per_cell: int, seed: int) -> Path:
    """Write `per_cell` clips of each cell and `queries.json`, whose path is returned."""
    rows = []
    with _progress() as progress:
        task = progress.add_task("Making", total=per_cell * len(cells))
        for cell in cells:
            progress.update(task, description=f"Making {cell.name}")
            (folder / cell.name).mkdir(parents=True, exist_ok=True)
            for number in range(per_cell):
                path = folder.resolve() / cell.name / f"{number:03d}.wav"
                clip, answer = make_clip(songs, cell, _generator(seed, cell.name, number))
                soundfile.write(path, clip, RATE, subtype="PCM_16")
                rows.append({"cell": cell.name, "path": str(path), **answer, "seconds": cell.seconds})
                progress.advance(task)
    listed = folder / "queries.json"
    listed.write_text(json.dumps(rows, indent=0))
    return listed


def make_clip(songs: list[Song], cell: Cell, rng: Generator) -> tuple[Samples, dict[str, object]]:
    """Return a clip and its right answer: the track and where in it the clip's first sample lies, or None for both."""
    length = cell.seconds * RATE
    if cell.plays is None:
        return _recorded(cell.scene(np.zeros(LEAD + int(SPARE * length)), rng), length, rng), _answer(None, None)
    song, offset, samples = cut([song for song in songs if song.role == cell.plays], cell.seconds, rng)
    clip = _recorded(cell.scene(samples, rng), length, rng)
    return clip, _answer(song.name, round(offset, 3)) if cell.plays == "catalog" else _answer(None, None)


def _answer(track: str | None, offset_seconds: float | None) -> dict[str, object]:
    return {"track": track, "offset_s": offset_seconds}


def _recorded(heard: Samples, length: int, rng: Generator) -> Samples:
    """Cut to length, at a random loudness that does not clip."""
    clip = heard[:length] - heard[:length].mean()
    gain = 10 ** (rng.uniform(*LOUDNESS_DB) / 20) / np.sqrt(np.mean(clip**2))
    return clip * min(gain, PEAK_MAX / np.abs(clip).max())


def _generator(seed: int, *keys: object) -> Generator:
    return np.random.default_rng([seed, zlib.crc32(repr(keys).encode())])


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:30}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


if __name__ == "__main__":
    typer.run(main)
