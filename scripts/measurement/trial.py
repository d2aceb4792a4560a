"""Makes a recognition trial from a folder of songs: some kept out as negatives, the rest cut and degraded."""

from __future__ import annotations

import csv
import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path

import numpy as np
import soundfile
from degradation import KINDS, RATE, Samples, Studio, babble, background, degrade, unit
from rich.console import Console
from rich.progress import Progress

from backend.audio.files import read_blocks
from backend.audio.limits import DecoderLimits
from backend.errors import SonicaError
from backend.ingestion.sources import Item, items
from measurement.product import run_sonica
from measurement.scoring import Query

_SPARE = 1.2  # share of a clip that is cut, for speed changes shorten it
_EDGE_SECONDS = 1.0  # left out at a song's ends, which are often silent
_QUIET = 0.003  # of full scale
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of query: a degradation (or `speech`, `noise`, without any music) and a length."""

    kind: str
    seconds: int
    negative: bool = False

    @property
    def name(self) -> str:
        """The cell's name in tables."""
        return f"{'neg_' * self.negative}{self.kind}_{self.seconds}s"


CELLS = (
    *(Cell(kind, seconds) for kind in ("clean", "mic") for seconds in (1, 2, 3, 5, 10)),
    *(Cell(kind, 5) for kind in KINDS if kind not in ("clean", "mic")),
    *(Cell("mic", seconds, negative=True) for seconds in (5, 10)),
    *(Cell(kind, 5, negative=True) for kind in ("speech", "noise")),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A song that queries are cut from."""

    path: Path
    external_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Corpus:
    """Songs that the catalogue holds, and songs that it does not."""

    known: list[Source]
    unknown: list[Source]


def prepare_corpus(sources: Sequence[str], data_dir: Path, *, held_out: float, limits: DecoderLimits) -> Corpus:
    """Ingest all songs but a share, chosen by the hash of their names, into a data folder.

    Files that fail, or hold the bytes or the sound of another one, ask no questions.
    """
    songs = _unique([item for item in items(sources) if isinstance(item, Item)])
    root = commonpath([song.path.parent for song in songs])
    names = {song.path: song.details.external_id or str(song.path.relative_to(root)) for song in songs}
    kept_out = {path: name for path, name in names.items() if _is_held_out(name, held_out)}
    manifest = _write_manifest(data_dir / "trial.csv", {p: n for p, n in names.items() if p not in kept_out})
    known = [
        Source(Path(outcome["file"]), outcome["external_id"], outcome["duration_ms"] / 1000)
        for outcome in run_sonica(["ingest", str(manifest)], data_dir=data_dir)
        if outcome["outcome"] in ("added", "updated")
    ]
    unknown = [_measured(path, name, limits) for path, name in kept_out.items()]
    return Corpus(known, [source for source in unknown if source])


def make_queries(corpus: Corpus, folder: Path, *, per_cell: int, seed: int, limits: DecoderLimits) -> list[Query]:
    """Write `per_cell` clips of each cell and `queries.json` into a folder; the same seed gives the same clips."""
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio.build(seed)
    plan = _plan(corpus, per_cell=per_cell, seed=seed)
    queries = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("Degrading", total=sum(map(len, plan.values())))
        for song, wanted in plan.items():
            samples = _read(song.path, limits) if song else np.zeros(0)
            for cell, number in wanted:
                path = folder / f"{cell.name}-{number:03d}.wav"
                offset = _write_clip(path, samples, cell, _rng(seed, cell, number, "clip"), studio)
                queries.append(_query(path, cell, song, offset))
                progress.advance(task)
    order = {cell.name: position for position, cell in enumerate(CELLS)}
    queries.sort(key=lambda query: (order[query.cell], query.path))
    rows = [{"path": q.path, "cell": q.cell, "song": q.song, "offset_s": q.offset_seconds} for q in queries]
    (folder / "queries.json").write_text(json.dumps(rows, indent=0))
    return queries


def _plan(corpus: Corpus, *, per_cell: int, seed: int) -> dict[Source | None, list[tuple[Cell, int]]]:
    """Draw a song for each query; by song, so that each is read only once."""
    plan: dict[Source | None, list[tuple[Cell, int]]] = defaultdict(list)
    for cell in CELLS:
        pool = _pool(cell, corpus)
        for number in range(per_cell if pool else 0):
            plan[pool[int(_rng(seed, cell, number, "song").integers(len(pool)))]].append((cell, number))
    return plan


def _query(path: Path, cell: Cell, song: Source | None, offset_seconds: float) -> Query:
    if song is None or cell.negative:
        return Query(str(path), cell.name, None, None)
    return Query(str(path), cell.name, song.external_id, offset_seconds)


def _write_manifest(path: Path, names: dict[Path, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("uri", "external_id", "title"))
        table.writerows((song, name, song.stem) for song, name in names.items())
    return path


def _unique(songs: list[Item]) -> list[Item]:
    """Leave out files whose bytes came before: as a negative they would be found, and rightly."""
    return list({hashlib.sha256(song.path.read_bytes()).digest(): song for song in reversed(songs)}.values())[::-1]


def _is_held_out(name: str, share: float) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < share * 2**32


def _measured(path: Path, name: str, limits: DecoderLimits) -> Source | None:
    try:
        return Source(path, name, sum(map(len, read_blocks(path, limits=limits))) / RATE)
    except (SonicaError, OSError):
        return None


def _pool(cell: Cell, corpus: Corpus) -> Sequence[Source | None]:
    if cell.kind not in KINDS:
        return [None]
    songs = corpus.unknown if cell.negative else corpus.known
    return [song for song in songs if song.seconds > _SPARE * cell.seconds + 2 * _EDGE_SECONDS]


def _read(path: Path, limits: DecoderLimits) -> Samples:
    return np.concatenate(list(read_blocks(path, limits=limits))).astype(np.float64)


def _write_clip(path: Path, song: Samples, cell: Cell, rng: np.random.Generator, studio: Studio) -> float:
    """Write a clip; return where in the song it starts, in seconds."""
    length, offset = cell.seconds * RATE, 0
    if cell.kind == "speech":
        heard = babble(length, rng, studio, 1)
    elif cell.kind == "noise":
        heard = background(length, rng, studio)
    else:
        offset = _audible_offset(song, length, rng)
        heard = degrade(song[offset : offset + int(_SPARE * length)], cell.kind, rng, studio)[:length]
    soundfile.write(path, np.clip(0.1 * unit(heard), -1, 1), RATE, subtype="PCM_16")
    return offset / RATE


def _audible_offset(song: Samples, length: int, rng: np.random.Generator) -> int:
    """Draw a place of which at least 70 % is audible, if the song has one that is soon found."""
    edge = int(_EDGE_SECONDS * RATE)
    for _ in range(_TRIES):
        offset = int(rng.integers(edge, song.size - int(_SPARE * length) - edge + 1))
        frames = song[offset : offset + length // 512 * 512].reshape(-1, 512)
        if np.mean(frames.std(axis=1) > _QUIET) > 0.7:
            break
    return offset


def _rng(*names: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(names).encode()))
