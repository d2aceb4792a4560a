"""Lets a system learn the songs and answer the queries, and takes down what it said and what it cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from measurement.scoring import Answer, Query, Scores, score

from peers.system import Songs, System, Watch, cpu_seconds

TIMED_CELLS = "_5s"  # of five-second clips: these end the cells' names
_STARTS = 3
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU and size; the CPU is that of all its processes.

    query_cpu_ms: of one more 5 s clip, decoding included and start-up left out; None where no cell has two such clips.
    ingest_speed: seconds of music a CPU second, start-up included.
    """

    query_cpu_ms: float | None
    ingest_speed: float
    index_mb_per_hour: float


@dataclass(frozen=True, slots=True)
class Result:
    """A system in a comparison."""

    name: str
    about: str
    scores: Scores
    costs: Costs


@dataclass(frozen=True, slots=True)
class Trial:
    """What all systems are given; the scores' gate lets `rate` of the negatives through."""

    songs: Songs
    seconds: float  # of music in the songs
    queries: list[Query]
    rate: float


def measure(system: System, trial: Trial, watch: Watch) -> Result:
    """Run a system through a trial."""
    before = cpu_seconds()
    system.ingest(trial.songs, partial(watch, description=f"{system.name}: ingesting"))
    ingest_seconds = cpu_seconds() - before
    answers, query_cpu_ms = _ask(system, trial.queries, partial(watch, description=f"{system.name}: asking"))
    megabytes = system.index_bytes() / _MEGABYTE
    costs = Costs(query_cpu_ms, trial.seconds / ingest_seconds, megabytes / (trial.seconds / 3600))
    return Result(system.name, system.about, score(trial.queries, answers, rate=trial.rate), costs)


def _ask(system: System, queries: Sequence[Query], watch: Watch) -> tuple[dict[str, Answer], float | None]:
    """Ask cell by cell; return the answers and the median over cells of what one more clip costs, in milliseconds.

    A run for n clips costs a start and n clips: less the cost of a run for one clip, that is n - 1 clips.
    """
    cells: Mapping[str, list[str]] = {query.cell: [] for query in queries}
    for query in queries:
        cells[query.cell].append(query.path)
    timed = {cell for cell, clips in cells.items() if cell.endswith(TIMED_CELLS) and len(clips) > 1}
    one_clip = [cells[min(timed)][:1]] * _STARTS if timed else []
    start = statistics.median([_cpu_of(system, clips)[1] for clips in one_clip] or [0.0])
    answers: dict[str, Answer] = {}
    spent: list[float] = []
    for cell, clips in watch(list(cells.items())):
        found, seconds = _cpu_of(system, clips)
        answers |= found
        if cell in timed:
            spent.append(1000 * (seconds - start) / (len(clips) - 1))
    return answers, statistics.median(spent) if spent else None


def _cpu_of(system: System, clips: Sequence[str]) -> tuple[dict[str, Answer], float]:
    before = cpu_seconds()
    answers = system.ask(clips)
    return answers, cpu_seconds() - before
