"""Decides: which of the candidates is the song, how sure that is, and whether it is sure enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sonica_fingerprint import STEP_MS, Fingerprint
from sonica_fingerprint.calibration import Evidence
from sonica_fingerprint.decision import Demand, decide, seconds_heard

from backend.models import Candidate, Match, Segment, Verdict
from backend.recognition.alignment import Alignment, align

SHARED_SIMILARITY_GAP = 0.1  # songs that share the clip's audio fit it equally well, up to this
SHARED_REFERENCE_COSINE = 0.35  # and what is stored there is alike: 95 % of music is at the worst phase, others are not
RANKED_MAX = 5


def verify(
    query: Fingerprint, candidates: Sequence[Candidate], *, false_accept_rate: float, catalogue_segments: int
) -> Verdict:
    """Rank the candidates' songs by their best alignment; accept the first if its score is high enough for its length.

    false_accept_rate: how many of the clips that are of no song here may get an answer.
    catalogue_segments: among how many the candidates were found.

    Songs that share the first one's audio at this very place are accepted with it: the answer is ambiguous. Of a query
    at another speed, which is a further try, more is demanded (decision.py).
    """
    if query.segments == 0:
        return Verdict(reason="too_short")
    if query.silent:
        return Verdict(reason="silence")
    songs = best_of_each_song(align(query, candidates))
    if not songs:
        return Verdict(reason="below_threshold")
    decision = decide(query, songs, same_recording, Demand(false_accept_rate, catalogue_segments))
    told = decision.ranked[: max(RANKED_MAX, decision.accepted)]
    ranked = tuple(_match(query, alignment, score) for alignment, score in told)
    return Verdict(ranked, decision.accepted, reason=None if decision.accepted else "below_threshold")


def best_of_each_song(alignments: Sequence[Alignment]) -> list[Alignment]:
    """Keep the first alignment of each song, in order."""
    first: dict[int, Alignment] = {}
    for alignment in alignments:
        first.setdefault(alignment.candidate.song_id, alignment)
    return list(first.values())


def same_recording(one: Alignment, other: Alignment) -> bool:
    """Say whether two songs hold the same audio here: both fit the clip, and what is stored of them is alike.

    Their stored segments start at different phases, so the other's are interpolated in between.
    """
    if one.similarity - other.similarity > SHARED_SIMILARITY_GAP:
        return False
    (rows, ours), (other_rows, stored) = one.compared, other.compared
    if len(rows) == 0 or len(other_rows) == 0:
        return False
    ours, stored = ours.astype(np.float32), stored.astype(np.float32)
    after = np.clip(np.searchsorted(other_rows, rows), 0, len(other_rows) - 1)
    before = np.maximum(after - 1, 0)
    gap = np.maximum(other_rows[after] - other_rows[before], 1)
    weight = np.clip((rows - other_rows[before]) / gap, 0, 1)[:, None]
    theirs = (1 - weight) * stored[before] + weight * stored[after]
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(np.mean((ours * theirs).sum(axis=1) / np.maximum(lengths, 1e-6))) >= SHARED_REFERENCE_COSINE


def evidence_of(query: Fingerprint, alignment: Alignment, rival: float) -> Evidence:
    """Put together what the score is made from."""
    return Evidence(alignment.similarity, alignment.sharpness, rival, seconds_heard(query))


def _match(query: Fingerprint, alignment: Alignment, score: float) -> Match:
    offset_ms = round(alignment.offset_steps * STEP_MS)
    speed = query.speed * alignment.speed
    return Match(
        song_id=alignment.candidate.song_id,
        score=score,
        offset_ms=offset_ms,
        segments=(
            Segment(
                query_start_ms=max(0, -round(offset_ms / speed)),
                query_end_ms=query.duration_ms,
                song_start_ms=max(0, offset_ms),
                song_end_ms=offset_ms + round(query.duration_ms * speed),
                speed=round(speed, 3),
            ),
        ),
    )
