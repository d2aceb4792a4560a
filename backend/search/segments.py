"""The segments of a fingerprint that an index keeps, and those of a query that it looks for."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS, SILENCE_DB, Fingerprint

DENSE_QUERY_SEGMENTS = 16  # longer queries search every second segment: neighbours overlap by 87 %

Segments: TypeAlias = tuple[NDArray[np.int8], NDArray[np.int32]]


def loud_segments(fingerprint: Fingerprint) -> Segments:
    """Return the embeddings, (n, 128), and positions in steps, (n,), of all that is not silent."""
    loud = np.flatnonzero(np.frombuffer(fingerprint.levels, np.uint8) < SILENCE_DB)
    embeddings = np.frombuffer(fingerprint.embeddings, np.int8).reshape(-1, DIMENSIONS)
    return embeddings[loud], (loud * fingerprint.thinning).astype(np.int32)


def searched_segments(query: Fingerprint) -> Segments:
    """Return those of a query that are looked for."""
    embeddings, positions = loud_segments(query)
    if len(embeddings) > DENSE_QUERY_SEGMENTS:
        return embeddings[::2], positions[::2]
    return embeddings, positions
