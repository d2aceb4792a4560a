"""Lays a clip along its candidates, at every speed and shift; the kernel does (wasm/kernel/alignment.c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import Fingerprint
from sonica_fingerprint._native import align as best_fits

from backend.models import Candidate


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The best speed and shift of a candidate."""

    candidate: Candidate
    offset_steps: int  # where in the song the query starts
    speed: float
    similarity: float  # mean cosine over the stored segments that the query covers, -1..1; -1 where it covers too few
    sharpness: float  # how far it falls, on average, when the query is shifted by 3 steps or more
    heard: NDArray[np.int32]  # (n,) the query segment at each stored one, -1 where none that is not silent

    @property
    def compared(self) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """The query segments that were compared, (m,), ascending, and the stored embeddings beside them, (m, 128)."""
        there = np.flatnonzero(self.heard >= 0)
        rows = self.heard[there]
        last = np.append(rows[1:] != rows[:-1], True)  # where two lie beside one, the later one
        return rows[last], self.candidate.embeddings[there[last]]


def align(query: Fingerprint, candidates: Sequence[Candidate]) -> list[Alignment]:
    """Return each candidate's best alignment, most similar first; of speeds that fit equally the least change."""
    if not candidates:
        return []
    bounds = np.cumsum([0, *(len(candidate.positions) for candidate in candidates)], dtype=np.int32)
    fits, segments = best_fits(
        query.thinning,
        query.levels,
        query.embeddings,
        np.array([candidate.offset_steps for candidate in candidates], np.int32),
        bounds,
        np.concatenate([candidate.positions for candidate in candidates], dtype=np.int32),
        np.concatenate([candidate.embeddings for candidate in candidates], dtype=np.int8),
    )
    heard = np.split(np.frombuffer(segments, np.int32), bounds[1:-1])
    alignments = [
        Alignment(candidate, candidate.offset_steps + shift, speed, similarity, sharpness, segments_heard)
        for candidate, (similarity, sharpness, speed, shift), segments_heard in zip(
            candidates, fits, heard, strict=True
        )
    ]
    return sorted(alignments, key=lambda alignment: -alignment.similarity)
