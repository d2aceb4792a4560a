"""Scores alignments along the whole clip: every speed and shift of every candidate in one batch of array steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE, SILENCE_DB, Fingerprint

from backend.models import CATALOGUE_THINNING, Candidate

# Two hundredths apart: a fifth of a second over ten. Of speeds that fit equally the first is taken: the least change.
SPEEDS = np.array([1, 0.98, 1.02, 0.96, 1.04, 0.94, 1.06, 0.92, 1.08], np.float32)
SHIFTS = np.arange(-6, 7, dtype=np.float32)  # steps around the voted offset
OVERLAP_MIN = 0.6  # of the clip's segments must lie within the song, or it could be anything
ELSEWHERE_STEPS = 3  # so far away a segment overlaps with itself by 60 % and looks like another
NO_OVERLAP = -1.0  # the similarity of what was not compared
ROWS = 16  # that are multiplied at a time: more go to BLAS's threads, which twice as many requests would wait for

_CHANGES = len(SPEEDS) * len(SHIFTS)


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The best speed and shift of a candidate."""

    candidate: Candidate
    offset_steps: float  # where in the song the query starts
    speed: float
    similarity: float  # mean cosine over the stored segments that the query covers, -1..1
    sharpness: float  # how far it falls, on average, when the query is shifted by 3 steps or more
    heard: NDArray[np.int64]  # (n,) the query segment at each stored one, -1 where none that is not silent

    @property
    def compared(self) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """The query segments that were compared, (m,), ascending, and the stored embeddings beside them, (m, 128)."""
        there = np.flatnonzero(self.heard >= 0)
        rows = self.heard[there]
        last = np.append(rows[1:] != rows[:-1], True)  # where two lie beside one, the later one
        return rows[last], self.candidate.embeddings[there[last]]


def align(query: Fingerprint, candidates: Sequence[Candidate]) -> list[Alignment]:
    """Return each candidate's best alignment, most similar first."""
    if not candidates:
        return []
    loud = _loud(query)
    products, steps = _compared(query, candidates)
    products[..., ~loud] = 0
    table = _heard_after(query.segments, query.thinning)
    rows = table.take(steps, axis=0, mode="clip")
    similarities = _similarities(products, rows, loud, expected=_expected(query, loud))
    each, best = np.arange(len(candidates)), similarities.argmax(axis=1)
    speeds, shifts = np.divmod(best, len(SHIFTS))
    along = similarities.reshape(len(each), len(SPEEDS), -1)[each, speeds]
    heard = rows[each, :, best]
    found = zip(
        candidates,
        SHIFTS[shifts].tolist(),
        SPEEDS[speeds].tolist(),
        along[each, shifts].tolist(),
        _sharpness(along, shifts).tolist(),
        np.where(loud[heard], heard, -1),
        strict=True,
    )
    alignments = [
        Alignment(
            candidate=candidate,
            offset_steps=candidate.offset_steps + shift,
            speed=speed,
            similarity=similarity,
            sharpness=sharpness,
            heard=segments[: len(candidate.positions)],
        )
        for candidate, shift, speed, similarity, sharpness, segments in found
    ]
    return sorted(alignments, key=lambda alignment: -alignment.similarity)


def _compared(query: Fingerprint, candidates: Sequence[Candidate]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Compare what is stored around each candidate with all that is heard.

    Return inner products, (candidates, stored, query segments + 1), 0 with the last one, which is nowhere; and which
    row of `_heard_after` each stored segment is at, (candidates, stored).
    """
    lengths = np.array([len(candidate.positions) for candidate in candidates])
    there = np.arange(max(1, lengths.max())) < lengths[:, None]
    starts = np.repeat([candidate.offset_steps for candidate in candidates], lengths)
    steps = np.zeros(there.shape, np.int64)
    steps[there] = (
        np.concatenate([candidate.positions for candidate in candidates]) - starts - _first_step(query.thinning)
    )
    heard = np.frombuffer(query.embeddings, np.int8).reshape(-1, DIMENSIONS)
    products = np.zeros((*there.shape, query.segments + 1), np.float32)
    products[there, :-1] = _products(np.concatenate([candidate.embeddings for candidate in candidates]), heard)
    return products, steps


def _products(stored: NDArray[np.int8], heard: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the inner products of all with all, (stored, heard)."""
    rows = np.zeros((-(-len(stored) // ROWS), ROWS, DIMENSIONS), np.float32)
    rows.reshape(-1, DIMENSIONS)[: len(stored)] = stored
    products: NDArray[np.float32] = rows @ heard.T.astype(np.float32)
    return products.reshape(-1, len(heard))[: len(stored)]


def _similarities(
    products: NDArray[np.float32], rows: NDArray[np.int64], loud: NDArray[np.bool_], *, expected: float
) -> NDArray[np.float32]:
    """Return the mean cosine of each candidate at every speed and shift, (candidates, speeds * shifts).

    Products are whole numbers and so are their sums, which float32 holds exactly: equal fits are found equal.
    """
    firsts = np.arange(0, products.size, products.shape[2]).reshape(*products.shape[:2], 1)
    totals = products.take(rows + firsts).sum(axis=1)
    counts = loud.astype(np.float32).take(rows).sum(axis=1)
    means = totals / (np.maximum(counts, np.floor(expected)) * np.float32(EMBEDDING_SCALE**2))
    return np.where(counts >= OVERLAP_MIN * expected, means, NO_OVERLAP)


def _expected(query: Fingerprint, loud: NDArray[np.bool_]) -> float:
    """Return how many stored segments lie beside what is heard of the query, where the song goes on."""
    return max(1.0, float(loud.sum()) * query.thinning / CATALOGUE_THINNING)


@lru_cache(maxsize=32)  # clips are of few lengths; 20 s take 0.2 MB
def _heard_after(segments: int, thinning: int) -> NDArray[np.int64]:
    """Return which query segment is heard so many steps after the voted start, (steps, speeds * shifts).

    The first row is of `_first_step` and of all before: none is heard there, which is `segments`; nor is at the last.
    """
    first, last = _first_step(thinning), SHIFTS[-1] + SPEEDS.max() * thinning * (segments + 1)
    steps = np.arange(first, math.ceil(last) + 1, dtype=np.float32)
    rows = np.rint((steps[:, None, None] - SHIFTS) / (SPEEDS[:, None] * np.float32(thinning))).astype(np.int64)
    rows[(rows < 0) | (rows >= segments)] = segments
    rows = rows.reshape(len(steps), _CHANGES)
    rows.flags.writeable = False
    return rows


def _first_step(thinning: int) -> int:
    """Return a step so early that nothing is heard there at any speed and shift."""
    return int(SHIFTS[0]) - 2 * thinning


def _loud(query: Fingerprint) -> NDArray[np.bool_]:
    """Say of each segment whether it is not silent, and of the one beyond the last, which is nowhere, that it is."""
    levels = np.frombuffer(query.levels + bytes([SILENCE_DB]), np.uint8)
    return levels < SILENCE_DB


def _sharpness(similarities: NDArray[np.float32], shifts: NDArray[np.intp]) -> NDArray[np.float32]:
    """Rain, drones and beats fit at any shift; a song only where it was.

    similarities: of each candidate at each shift; shifts: where each is best.
    """
    elsewhere = (np.abs(SHIFTS - SHIFTS[shifts][:, None]) >= ELSEWHERE_STEPS) & (similarities > NO_OVERLAP)
    counts = elsewhere.sum(axis=1)
    means = np.where(elsewhere, similarities, 0).sum(axis=1) / np.maximum(counts, 1)
    return np.where(counts > 0, similarities[np.arange(len(shifts)), shifts] - means, 0)
