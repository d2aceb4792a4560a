"""From nearest neighbours to places worth verifying: votes over (song, offset)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.models import CATALOGUE_THINNING

BIN_STEPS = CATALOGUE_THINNING  # a true alignment's votes fall into one bin or two neighbouring ones
PLACES_PER_SONG_MAX = 6  # a song that repeats itself must not crowd the others out


@dataclass(frozen=True, slots=True)
class Place:
    """A song and the step in it at which the query may start."""

    song_id: int
    offset_steps: int
    votes: float


def tally(
    song_ids: NDArray[np.int64], offsets: NDArray[np.int32], cosines: NDArray[np.floating], *, limit: int
) -> list[Place]:
    """Return the places with the most votes, a vote weighing the square of its cosine; arrays (hits,)."""
    if len(song_ids) == 0:
        return []
    weights = np.square(np.clip(cosines, 0, 1)).astype(np.float64)
    bins = np.floor_divide(offsets, BIN_STEPS).astype(np.int64)
    lowest = bins.min()
    width = bins.max() - lowest + 2  # one more than there are: the last bin of a song is not next to another's first
    keys, inverse = np.unique(song_ids * width + bins - lowest, return_inverse=True)
    votes = np.bincount(inverse, weights)
    moments = np.bincount(inverse, weights * offsets)
    follows = np.diff(keys) == 1
    merged_votes, merged_moments = votes.copy(), moments.copy()
    merged_votes[:-1] += np.where(follows, votes[1:], 0)
    merged_moments[:-1] += np.where(follows, moments[1:], 0)

    chosen: list[Place] = []
    taken: dict[int, list[int]] = {}
    for at in np.argsort(-merged_votes, kind="stable").tolist():
        song_id, bin_ = divmod(int(keys[at]), int(width))
        neighbours = taken.setdefault(song_id, [])
        if len(neighbours) >= PLACES_PER_SONG_MAX or any(abs(bin_ - other) <= 1 for other in neighbours):
            continue
        neighbours.append(bin_)
        offset = round(float(merged_moments[at] / max(merged_votes[at], 1e-9)))
        chosen.append(Place(song_id=song_id, offset_steps=offset, votes=float(merged_votes[at])))
        if len(chosen) == limit:
            break
    return chosen
