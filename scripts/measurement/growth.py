"""The product's index over a catalogue that grows, asked the same queries at every size."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, track
from sonica_fingerprint import Fingerprint

from backend.models import Change
from backend.recognition.verify import verify
from backend.search import faiss_index
from backend.search.faiss_index import FaissIndex
from backend.search.hnsw import HnswVectors
from backend.search.segments import loud_segments
from backend.settings import Settings
from measurement.accuracy_table import to_document
from measurement.distractors import HOUR_MS, Rows
from measurement.engines import Engine, Recorder, recall
from measurement.scoring import Answer, Query, Scores, score

TIMED_MS = 5000  # clips of this length are timed, as in README; all where there are none
RECALL_COUNTS = (1, 10)
_PARTS = ("top1", "accepted", "gated")
_CONSOLE = Console(stderr=True)


class GrowingCatalogue:
    """A change log: the catalogue's songs first, then distractors until there are as many hours as wanted."""

    def __init__(self, songs: Sequence[Fingerprint], distractors: Iterator[tuple[str, Fingerprint]]) -> None:
        self.wanted_ms = 0
        self.kinds: Counter[str] = Counter()  # ms by kind
        self._changes = 0
        self._rows: list[Rows] = []
        self._songs = chain((("catalogue", song) for song in songs), distractors)

    @property
    def hours(self) -> float:
        """How much audio the catalogue holds."""
        return self.kinds.total() / HOUR_MS

    @property
    def rows(self) -> Rows:
        """The fingerprints' own bytes in the order of the index, (segments, 128)."""
        self._rows = [np.concatenate(self._rows)]
        return self._rows[0]

    async def name(self) -> str:
        """Return its only name."""
        return "growing"

    async def revision(self) -> int:
        """Return the newest revision."""
        return self._changes

    async def changes(self, *, after_revision: int) -> AsyncIterator[Change]:
        """Yield one change a song; each is made only now."""
        with Progress(console=_CONSOLE, transient=True) as progress:
            task = progress.add_task("Indexing", total=self.wanted_ms, completed=self.kinds.total())
            while self.kinds.total() < self.wanted_ms:
                kind, song = next(self._songs)
                self._changes += 1
                self.kinds[kind] += song.duration_ms
                self._rows.append(loud_segments(song)[0])
                yield Change(self._changes, self._changes, song)
                progress.update(task, completed=self.kinds.total())


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and the fingerprint of its clip."""

    query: Query
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Setting:
    """What the product fixes, and may need more of in a larger catalogue."""

    neighbours: int  # of each segment
    candidates: int  # alignments verified for each query


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer, and the milliseconds of CPU that it took."""

    answer: Answer
    search: float
    verify: float


class Trial:
    """Asks an index; song number n+1 is names[n], others are distractors."""

    def __init__(self, index: FaissIndex, names: Sequence[str], settings: Settings) -> None:
        self._index = index
        self._names = names
        self._settings = settings

    @classmethod
    async def open(cls, changes: GrowingCatalogue, names: Sequence[str], settings: Settings) -> Trial:
        """Start an index in memory; `grow` fills it."""
        depth = settings.hnsw_search_depth
        return cls(await FaissIndex.open(Path("unused"), changes, search_depth=depth, fresh=True), names, settings)

    async def grow(self, changes: GrowingCatalogue, wanted_ms: int) -> None:
        """Take in songs until there is as much audio as wanted."""
        changes.wanted_ms = wanted_ms
        # A song at a time: each addition costs time in proportion to the whole index, and no search waits here.
        with patch.object(faiss_index, "ADD_SLICE", 1 << 20):
            await self._index.catch_up()

    @property
    def vectors(self) -> HnswVectors:
        """The product's vectors, beneath the port."""
        return self._index._vectors._last

    def stored(self) -> Rows:
        """Copy all vectors as the product stores them, (segments, 128)."""
        return self.vectors.stored(0, self._index.segments)

    @property
    def code_bytes(self) -> int:
        """Bytes of a stored vector, without its links."""
        return int(self.vectors._storage.codes.size() // self._index.segments)

    @property
    def directory_bytes(self) -> int:
        """Bytes of songs and positions, which every engine needs."""
        return self._index.status().bytes - self.vectors.nbytes

    async def rows(self, fingerprints: Sequence[Fingerprint]) -> list[Rows]:
        """Return the vectors that the index looks for, fingerprint by fingerprint; the silent ones ask nothing."""
        recorder = Recorder(self.vectors)
        with self._over(recorder, neighbours=1):
            for fingerprint in fingerprints:
                self._index.search(fingerprint, limit=1)
        return recorder.asked

    async def measure(self, engine: Engine, asked: Sequence[Asked], setting: Setting, *, name: str) -> dict[str, Any]:
        """Return accuracy, all over and by cell, and CPU time of a clip."""
        with self._over(engine, neighbours=setting.neighbours):
            shown = track(asked, name, console=_CONSOLE, transient=True)
            timed = {each.query.path: await self._ask(each.fingerprint, setting.candidates) for each in shown}
        answers = {path: each.answer for path, each in timed.items()}
        scores = score([each.query for each in asked], answers, rate=self._settings.false_accept_rate)
        clips = [timed[each.query.path] for each in timed_clips(asked)]
        return {
            "engine": name,
            **asdict(setting),
            **_overall(scores),
            "search_ms": _median_and_p95([clip.search for clip in clips]),
            "verify_ms": _median_and_p95([clip.verify for clip in clips]),
            "scores": to_document(scores),
        }

    async def _ask(self, fingerprint: Fingerprint, candidates: int) -> Timed:
        started = time.process_time()
        found = self._index.search(fingerprint, limit=candidates)
        searched = time.process_time()
        verdict = verify(
            fingerprint,
            found,
            false_accept_rate=self._settings.false_accept_rate,
            catalogue_segments=self._index.segments,
        )
        verified = time.process_time()
        answer = Answer()
        if verdict.ranked:
            best = verdict.ranked[0]
            answer = Answer(bool(verdict.accepted), self._name(best.song_id), best.offset_ms, best.score)
        return Timed(answer, 1000 * (searched - started), 1000 * (verified - searched))

    def _name(self, song_id: int) -> str:
        return self._names[song_id - 1] if song_id <= len(self._names) else f"distractor {song_id}"

    @contextmanager
    def _over(self, engine: Engine, *, neighbours: int) -> Iterator[None]:
        with patch.object(self._index, "_vectors", engine), patch.object(faiss_index, "NEIGHBOURS", neighbours):
            yield


def timed_clips(asked: Sequence[Asked]) -> Sequence[Asked]:
    """Return the clips of TIMED_MS, give or take a tenth; all where there are none."""
    return [each for each in asked if abs(each.fingerprint.duration_ms - TIMED_MS) <= TIMED_MS / 10] or asked


def recalls(engine: Engine, rows: Rows, exact: NDArray[np.float32]) -> dict[str, float]:
    """Return an engine's recall against the exact inner products of the same rows."""
    products, _ = engine.nearest(rows, count=max(RECALL_COUNTS))
    return {f"recall_at_{count}": recall(products, exact, count) for count in RECALL_COUNTS}


def _overall(scores: Scores) -> dict[str, float]:
    """Return the shares over all cells that have a song."""
    cells = [cell.shares for cell in scores.cells if not cell.negative]
    queries = sum(shares["top1"].of for shares in cells)
    return {part: round(sum(shares[part].count for shares in cells) / max(queries, 1), 5) for part in _PARTS}


def _median_and_p95(milliseconds: Sequence[float]) -> dict[str, float]:
    median, p95 = np.quantile(milliseconds, [0.5, 0.95])
    return {"median": round(float(median), 3), "p95": round(float(p95), 3)}
