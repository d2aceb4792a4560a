"""Scores alignments along the whole clip: every speed and shift of every candidate in one batch of array steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
_NOWHERE = -(1 << 20)


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
    similarities, rows = _grid(query, candidates)
    each = np.arange(len(candidates))
    speeds, shifts = np.unravel_index(similarities.reshape(len(each), -1).argmax(axis=1), similarities.shape[1:])
    along = similarities[each, speeds]
    heard = rows[each, speeds, shifts]
    heard = np.where(_loud(query)[heard], heard, -1)
    found = zip(candidates, speeds, shifts, along[each, shifts], _sharpness(along, shifts), heard, strict=True)
    alignments = [
        Alignment(
            candidate=candidate,
            offset_steps=float(candidate.offset_steps + SHIFTS[shift]),
            speed=float(SPEEDS[speed]),
            similarity=float(similarity),
            sharpness=float(sharpness),
            heard=segments[: len(candidate.positions)],
        )
        for candidate, speed, shift, similarity, sharpness, segments in found
    ]
    return sorted(alignments, key=lambda alignment: -alignment.similarity)


def _grid(query: Fingerprint, candidates: Sequence[Candidate]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Lay every candidate along the query at every speed and shift.

    Return the similarities, (candidates, speeds, shifts), and which query segment is heard at each stored one,
    (candidates, speeds, shifts, stored), which is `query.segments` where there is none.
    """
    loud = _loud(query)
    heard = np.frombuffer(query.embeddings, np.int8).reshape(-1, DIMENSIONS).astype(np.float32)
    positions, stored = _padded(candidates)
    cosines = np.zeros((*positions.shape, len(loud)), np.float32)  # the last one is of no segment: 0
    cosines[..., :-1] = stored @ heard.T / EMBEDDING_SCALE**2
    cosines[..., ~loud] = 0
    starts = np.array([candidate.offset_steps for candidate in candidates], np.float32)[:, None] + SHIFTS
    heard_at = (positions[:, None, None, :] - starts[:, None, :, None]) / (SPEEDS[:, None, None] * query.thinning)
    rows = np.rint(heard_at, out=heard_at).astype(np.int64)
    rows = np.minimum(rows.view(np.uint64), query.segments).view(np.int64)  # negative ones are large without a sign
    firsts = np.arange(positions.size).reshape(len(candidates), 1, 1, -1) * len(loud)
    totals = cosines.take(rows + firsts).sum(axis=3)
    counts = loud.take(rows).sum(axis=3)
    expected = max(1.0, float(loud.sum()) * query.thinning / CATALOGUE_THINNING)
    means = totals / np.maximum(counts, np.floor(expected))
    return np.where(counts >= OVERLAP_MIN * expected, means, NO_OVERLAP), rows


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


def _padded(candidates: Sequence[Candidate]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Stack what is stored around the candidates: positions (candidates, stored), embeddings (.., .., 128)."""
    longest = max(1, *(len(candidate.positions) for candidate in candidates))
    positions = np.full((len(candidates), longest), _NOWHERE, np.float32)
    embeddings = np.zeros((len(candidates), longest, DIMENSIONS), np.float32)
    for n, candidate in enumerate(candidates):
        positions[n, : len(candidate.positions)] = candidate.positions
        embeddings[n, : len(candidate.positions)] = candidate.embeddings
    return positions, embeddings
