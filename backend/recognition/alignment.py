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
    reference: NDArray[np.int8]  # (segments, 128) stored embeddings by query segment, zero where none is stored


def align(query: Fingerprint, candidates: Sequence[Candidate]) -> list[Alignment]:
    """Return each candidate's best alignment, most similar first."""
    if not candidates:
        return []
    grid = _Grid.of(query, candidates)
    alignments = [grid.best(number, candidate) for number, candidate in enumerate(candidates)]
    return sorted(alignments, key=lambda alignment: -alignment.similarity)


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Every candidate at every speed and shift."""

    similarities: NDArray[np.float32]  # (candidates, speeds, shifts)
    rows: NDArray[np.int32]  # (candidates, speeds, shifts, stored): the query segment heard at a stored one
    inside: NDArray[np.bool_]  # the same shape: whether there is one, and not a silent one
    query_segments: int

    @classmethod
    def of(cls, query: Fingerprint, candidates: Sequence[Candidate]) -> _Grid:
        loud = np.frombuffer(query.levels, np.uint8) < SILENCE_DB
        heard = np.frombuffer(query.embeddings, np.int8).reshape(-1, DIMENSIONS).astype(np.float32)
        positions, stored = _padded(candidates)
        cosines = stored @ heard.T / EMBEDDING_SCALE**2  # (candidates, stored, query)
        starts = np.array([candidate.offset_steps for candidate in candidates], np.float32)[:, None] + SHIFTS
        heard_at = (positions[:, None, None, :] - starts[:, None, :, None]) / (SPEEDS[:, None, None] * query.thinning)
        rows = np.rint(heard_at).astype(np.int32)
        inside = (rows >= 0) & (rows < len(loud))
        rows = np.where(inside, rows, 0)
        inside &= loud[rows]
        each = np.arange(len(candidates))[:, None, None, None]
        totals = np.where(inside, cosines[each, np.arange(positions.shape[1]), rows], 0).sum(axis=3)
        counts = inside.sum(axis=3)
        expected = max(1.0, float(loud.sum()) * query.thinning / CATALOGUE_THINNING)
        means = totals / np.maximum(counts, np.floor(expected))
        return cls(np.where(counts >= OVERLAP_MIN * expected, means, NO_OVERLAP), rows, inside, len(loud))

    def best(self, number: int, candidate: Candidate) -> Alignment:
        similarities = self.similarities[number]
        speed, shift = np.unravel_index(similarities.argmax(), similarities.shape)
        return Alignment(
            candidate=candidate,
            offset_steps=float(candidate.offset_steps + SHIFTS[shift]),
            speed=float(SPEEDS[speed]),
            similarity=float(similarities[speed, shift]),
            sharpness=_sharpness(similarities[speed], int(shift)),
            reference=self._reference(candidate, (number, int(speed), int(shift))),
        )

    def _reference(self, candidate: Candidate, at: tuple[int, int, int]) -> NDArray[np.int8]:
        reference = np.zeros((self.query_segments, DIMENSIONS), np.int8)
        there = self.inside[at][: len(candidate.positions)]
        reference[self.rows[at][: len(there)][there]] = candidate.embeddings[there]
        return reference


def _sharpness(similarities: NDArray[np.float32], shift: int) -> float:
    """Rain, drones and beats fit at any shift; a song only where it was."""
    elsewhere = similarities[np.abs(SHIFTS - SHIFTS[shift]) >= ELSEWHERE_STEPS]
    elsewhere = elsewhere[elsewhere > NO_OVERLAP]
    return float(similarities[shift] - elsewhere.mean()) if len(elsewhere) else 0.0


def _padded(candidates: Sequence[Candidate]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Stack what is stored around the candidates: positions (candidates, stored), embeddings (.., .., 128)."""
    longest = max(1, *(len(candidate.positions) for candidate in candidates))
    positions = np.full((len(candidates), longest), _NOWHERE, np.float32)
    embeddings = np.zeros((len(candidates), longest, DIMENSIONS), np.float32)
    for n, candidate in enumerate(candidates):
        positions[n, : len(candidate.positions)] = candidate.positions
        embeddings[n, : len(candidate.positions)] = candidate.embeddings
    return positions, embeddings
