"""Measures how accuracy, search time and size hold as the catalogue grows: 0, 1, 10, 100 times as much other music.

Usage: measure_scale.py CORPUS_JSON QUERIES_JSON DISTRACTORS_FOLDER --cache FOLDER [--times 0 1 10] [--output FOLDER]
CORPUS_JSON lists {id, path, role}, of which role `catalog` is the catalogue; QUERIES_JSON is what evaluate.py takes.
Distractors are the folder's music as it is, then slower, faster and backwards (10 times the catalogue at most), then
blended in the embedding space (scripts/measurement/distractors.py). Recall is against exhaustive search of what the
product stores. Squeezed formats are searched exhaustively, and verified with what is left of the vectors.
Milliseconds are CPU's, one thread, a whole search of a 5 s clip; set OMP_NUM_THREADS=1 lest NumPy adds its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from measurement.distractors import HOUR_MS, Fingerprinter, Rows, Sound, audio_files, blended, distractors, resampled
from measurement.distractors import likeness as likeness_of
from measurement.engines import Cells, Exhaustive, Hnsw, IvfPq, nearest_exact
from measurement.growth import RECALL_COUNTS, Asked, GrowingCatalogue, Setting, Trial, recalls, timed_clips
from measurement.scale_report import draw, tables
from measurement.scoring import read_queries
from measurement.squeezing import FITTED_MAX, FORMATS, Format, sampled, squeezed
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from sonica_fingerprint import DIMENSIONS, FINGERPRINT_VERSION, Fingerprint, extract

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.search.faiss_index import NEIGHBOURS
from backend.settings import Settings

RESAMPLED_TIMES_MAX = 10  # beyond, the same music would come back too often to be other music
TABLE_WIDTH = 150  # where no terminal says how wide it is
SEED = 1

Row = dict[str, Any]


def main() -> None:
    arguments = parse()
    document = asyncio.run(measure(arguments))
    text = json.dumps(document, indent=1)
    to_stdout = arguments.json == Path("-")
    console = Console(stderr=to_stdout, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    for table in tables(document):
        console.print(table)
    if to_stdout:
        print(text)
    elif arguments.json:
        arguments.json.write_text(text + "\n")
    if arguments.output:
        draw(document, arguments.output)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("distractors", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps fingerprints for the next time")
    parser.add_argument("--times", type=float, nargs="+", default=[0, 1, 10], help="distractors, in catalogues")
    parser.add_argument("--depths", type=int, nargs="+", default=[64, 256, 1024], help="HNSW efSearch, besides ours")
    parser.add_argument("--neighbours", type=int, nargs="+", default=[30, 100], help="besides the product's")
    parser.add_argument("--candidates", type=int, nargs="+", default=[48, 96], help="besides the product's")
    parser.add_argument("--code-bytes", type=int, nargs="+", default=[DIMENSIONS // 2, DIMENSIONS // 4], help="of PQ")
    parser.add_argument("--probes", type=int, nargs="+", default=[8, 32, 128], help="cells of IVF that are searched")
    parser.add_argument("--squeeze-to", type=float, default=10, help="no squeezed formats beyond so many times")
    parser.add_argument("--clips", type=int, default=150, help="clips that recall is measured on")
    parser.add_argument("--jobs", type=int, default=1, help="threads for fingerprints and exhaustive search")
    parser.add_argument("--json", type=Path, help="write all numbers; - is stdout")
    parser.add_argument("--output", type=Path, help="folder for the curves, PNG")
    return parser.parse_args()


@dataclass(frozen=True, slots=True)
class Material:
    """The queries, the catalogue's songs by name, and other music."""

    asked: list[Asked]
    songs: dict[str, Fingerprint]
    real: list[Fingerprint]
    resampled: list[Fingerprint]

    @property
    def catalogue_ms(self) -> int:
        """How long the catalogue's songs are."""
        return sum(song.duration_ms for song in self.songs.values())


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the document that tables and curves show."""
    settings = Settings()
    usual = Setting(NEIGHBOURS, settings.candidates_max)
    material = read_material(options, DecoderLimits.from_settings(settings))
    others = distractors(material.real, material.resampled, seed=SEED)
    catalogue = GrowingCatalogue(list(material.songs.values()), others)
    trial = await Trial.open(catalogue, list(material.songs), settings)
    sizes = []
    for times in sorted(set(options.times)):
        await trial.grow(catalogue, round(material.catalogue_ms * (1 + times)))
        size = await Size.of(trial, material.asked, usual, options)
        engines = [*await size.graph(settings.hnsw_search_depth), *await size.cells()]
        engines += await size.squeezed(catalogue.rows) if times <= options.squeeze_to else []
        for row in engines:
            row["bytes_per_hour"] = round((row.pop("bytes") + trial.directory_bytes) / catalogue.hours)
            row["rescored_bytes_per_hour"] = round(row.pop("rescored_bytes", 0) / catalogue.hours)
        hours = {kind: round(ms / HOUR_MS, 3) for kind, ms in catalogue.kinds.items()}
        sizes.append({"times": times, "hours": hours, "segments": len(size.stored), "engines": engines})
    return {
        "fingerprint_version": FINGERPRINT_VERSION,
        "queries": len(material.asked),
        "product": {"engine": hnsw_name(settings.hnsw_search_depth), **asdict(usual)},
        "likeness": likeness(material),
        "sizes": sizes,
    }


def read_material(options: argparse.Namespace, limits: DecoderLimits) -> Material:
    """Fingerprint everything, or read it from the cache."""
    shown = track(read_queries(options.queries), "Queries", console=Console(stderr=True))
    asked = [Asked(query, extract(decode(Path(query.path).read_bytes(), limits=limits))) for query in shown]
    fingerprinter = Fingerprinter(options.cache, limits, jobs=options.jobs)
    paths = {
        song["id"]: Path(song["path"]) for song in json.loads(options.corpus.read_text()) if song["role"] == "catalog"
    }
    known = fingerprinter.fingerprints([Sound(path) for path in paths.values()], "Catalogue")
    times = max(options.times)
    others = audio_files(options.distractors) if times > 0 else []
    if times > 0 and not others:
        sys.exit(f"no audio below {options.distractors}")
    real = fingerprinter.fingerprints([Sound(path) for path in others], "Real distractors")
    wanted_ms = sum(song.duration_ms for song in known) * min(times, RESAMPLED_TIMES_MAX)
    missing_ms = wanted_ms - sum(song.duration_ms for song in real)
    made = fingerprinter.fingerprints(resampled(others, missing_ms / HOUR_MS), "Resampled distractors")
    return Material(asked, dict(zip(paths, known, strict=True)), real, made)


def likeness(material: Material) -> dict[str, float]:
    """Return how near each kind of music comes to clips of no song here: made distractors should as real ones do."""
    strangers = [each.fingerprint for each in material.asked if each.query.song is None]
    if not strangers or not material.real:
        return {}
    made = [*material.real, *material.resampled]
    kinds = {
        "catalogue": list(material.songs.values()),
        "real": material.real,
        "resampled": material.resampled,
        "blended": list(islice(blended(made, seed=SEED), len(made))),
    }
    return likeness_of(strangers, {kind: songs for kind, songs in kinds.items() if songs})


@dataclass(frozen=True, slots=True)
class Size:
    """A catalogue of one size, and the queries; every method returns a row an engine."""

    trial: Trial
    asked: list[Asked]
    usual: Setting
    options: argparse.Namespace
    stored: Rows  # all vectors as the product stores them
    rows: Rows  # what recall is measured on
    exact: NDArray[np.float32]  # and its exact inner products with what is stored

    @classmethod
    async def of(cls, trial: Trial, asked: list[Asked], usual: Setting, options: argparse.Namespace) -> Size:
        """Search exhaustively for what recall is measured against."""
        stored, clips = trial.stored(), timed_clips(asked)
        chosen = np.random.default_rng(SEED).permutation(len(clips))[: options.clips]
        rows = np.concatenate(await trial.rows([clips[number].fingerprint for number in chosen]))
        exact, _ = nearest_exact(rows, stored, count=max(RECALL_COUNTS), threads=options.jobs)
        return cls(trial, asked, usual, options, stored, rows, exact)

    async def graph(self, depth: int) -> list[Row]:
        """Measure the product's graph: deeper and shallower, with more neighbours, more candidates, the most of all."""
        vectors, options = self.trial.vectors, self.options
        tried = [(each, self.usual) for each in sorted({depth, *options.depths})]
        tried += [(depth, replace(self.usual, neighbours=more)) for more in options.neighbours]
        tried += [(depth, replace(self.usual, candidates=more)) for more in options.candidates]
        tried.append((max(options.depths), Setting(max(options.neighbours), max(options.candidates))))
        rows = []
        for each, setting in dict.fromkeys(tried):
            engine = Hnsw(vectors, each)
            row = await self.trial.measure(engine, self.asked, setting, name=hnsw_name(each))
            rows.append({**row, **recalls(engine, self.rows, self.exact), "kind": "hnsw", "bytes": vectors.nbytes})
        return rows

    async def cells(self) -> list[Row]:
        """Measure IVF_HNSW with PQ, re-scored by what the product stores, which is counted apart."""
        rows, cells, rescored = [], Cells.of(self.stored, seed=SEED), self.trial.code_bytes * len(self.stored)
        for code_bytes in self.options.code_bytes:
            engine = IvfPq(self.stored, cells, code_bytes=code_bytes, seed=SEED)
            for engine.probes in self.options.probes:
                name = f"IVF_HNSW,PQ{code_bytes} probe {engine.probes}"
                row = await self.trial.measure(engine, self.asked, self.usual, name=name)
                row |= {**recalls(engine, self.rows, self.exact), "kind": "ivf", "rescored_bytes": rescored}
                rows.append({**row, "bytes": engine.nbytes})
        return rows

    async def squeezed(self, table: Rows) -> list[Row]:
        """Measure the formats in which search and verification use what is left of a table's vectors."""
        ours = Format("as the product", DIMENSIONS, self.trial.code_bytes, None)
        rows, sample = [await self._exhaustive(ours, self.stored)], sampled(table, FITTED_MAX, seed=SEED)
        for form in FORMATS:
            rows.append(await self._exhaustive(form, form.fitted(sample)(table)))
        return rows

    async def _exhaustive(self, form: Format, left: Rows) -> Row:
        engine = Exhaustive(left, self.options.jobs)
        queries = [replace(each, fingerprint=squeezed(each.fingerprint, form.of_query)) for each in self.asked]
        searched = await self.trial.rows([each.fingerprint for each in queries])
        engine.prepare(searched, count=self.usual.neighbours)
        row = await self.trial.measure(engine, queries, self.usual, name=form.name)
        nbytes = form.bytes_per_vector * len(left)
        # Its search time would be that of looking up what was prepared.
        return {**row, "search_ms": None, "kind": "squeezed", "dimensions": form.dimensions, "bytes": nbytes}


def hnsw_name(depth: int) -> str:
    return f"HNSW depth {depth}"


if __name__ == "__main__":
    main()
