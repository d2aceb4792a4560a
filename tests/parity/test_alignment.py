"""The kernel's alignment against one in NumPy, and what it refuses."""

import numpy as np
import pytest
from sonica_fingerprint import SILENCE_DB, Fingerprint, _native

SPEEDS = np.array([1, 0.98, 1.02, 0.96, 1.04, 0.94, 1.06, 0.92, 1.08], np.float32)
SHIFTS = np.arange(-6, 7)


def heard(steps, speed, query):
    """Which segment of the query is heard so many steps after its start, -1 for none."""
    rows = np.rint(steps.astype(np.float32) / (speed * np.float32(query.thinning))).astype(int)
    there = (rows >= 0) & (rows < query.segments)
    loud = np.frombuffer(query.levels, np.uint8)[np.where(there, rows, 0)] < SILENCE_DB
    return np.where(there & loud, rows, -1)


def fit(query, start, positions, stored):
    """Similarity, sharpness, speed, shift, and what is heard at each stored segment."""
    products = stored.astype(int) @ np.frombuffer(query.embeddings, np.int8).reshape(-1, 128).T.astype(int)
    loud = (np.frombuffer(query.levels, np.uint8) < SILENCE_DB).sum()
    expected = max(1.0, loud * query.thinning / 4)
    similarities = np.full((len(SPEEDS), len(SHIFTS)), -1.0)
    for one, speed in enumerate(SPEEDS):
        for other, shift in enumerate(SHIFTS):
            rows = heard(positions - start - shift, speed, query)
            count = (rows >= 0).sum()
            if count >= 0.6 * expected:
                total = products[np.arange(len(rows)), rows][rows >= 0].sum()
                similarities[one, other] = total / 360**2 / max(count, int(expected))
    speed, shift = np.unravel_index(similarities.argmax(), similarities.shape)
    along = similarities[speed]
    elsewhere = (np.abs(SHIFTS - SHIFTS[shift]) >= 3) & (along > -1)
    sharpness = along[shift] - along[elsewhere].mean() if elsewhere.any() else 0.0
    rows = heard(positions - start - SHIFTS[shift], SPEEDS[speed], query)
    return (along[shift], sharpness, SPEEDS[speed], SHIFTS[shift]), rows


def query_of(rng, segments, thinning):
    levels = rng.integers(20, 75, segments, dtype=np.uint8)
    return Fingerprint(
        rng.integers(-90, 91, (segments, 128), dtype=np.int8).tobytes(), levels.tobytes(), 5000, thinning=thinning
    )


def candidate_of(rng, query, count):
    """Stored segments of which some are the query's own, a little changed."""
    positions = np.sort(rng.choice(np.arange(-20, 120), count, replace=False)).astype(np.int32)
    stored = rng.integers(-75, 76, (count, 128), dtype=np.int8)
    own = heard(positions - 3, np.float32(1.04), query)
    theirs = np.frombuffer(query.embeddings, np.int8).reshape(-1, 128)[own]
    stored[own >= 0] = theirs[own >= 0] // 2
    return positions, stored


@pytest.mark.parametrize("thinning", [1, 2])
def test_fits_are_those_of_numpy(thinning):
    rng = np.random.default_rng(thinning)
    query = query_of(rng, 40, thinning)
    candidates = [candidate_of(rng, query, count) for count in (24, 3, 0, 31)]
    starts = np.array([3, -2, 0, 5], np.int32)
    bounds = np.cumsum([0, *(len(positions) for positions, _ in candidates)], dtype=np.int32)
    positions, stored = (np.concatenate(part) for part in zip(*candidates, strict=True))
    fits, segments = _native.align(thinning, query.levels, query.embeddings, starts, bounds, positions, stored)

    for n, start in enumerate(starts):
        (similarity, sharpness, speed, shift), rows = fit(query, start, *candidates[n])
        assert fits[n] == (
            pytest.approx(similarity, abs=1e-9),
            pytest.approx(sharpness, abs=1e-9),
            pytest.approx(speed),
            shift,
        )
        assert np.frombuffer(segments, np.int32)[bounds[n] : bounds[n + 1]].tolist() == rows.tolist()
    assert fits[0][0] > 0.2 > fits[1][0] == -1  # the second covers too little


@pytest.mark.parametrize(
    "wrong",
    [
        {"thinning": 0},
        {"embeddings": bytes(128)},
        {"bounds": np.array([0, 2], np.int32)},
        {"bounds": np.array([1, 1], np.int32)},
        {"bounds": np.array([0, 2, 1], np.int32), "starts": np.array([0, 0], np.int32)},
        {"bounds": b""},
        {"stored": bytes(127)},
        {"positions": bytes(3)},
    ],
)
def test_what_does_not_fit_together_is_refused(wrong):
    given = {
        "thinning": 1,
        "levels": bytes(2),
        "embeddings": bytes(256),
        "starts": np.array([0], np.int32),
        "bounds": np.array([0, 1], np.int32),
        "positions": np.array([0], np.int32),
        "stored": bytes(128),
    }
    assert _native.align(*given.values())[0][0][0] == 0
    with pytest.raises(ValueError, match="do not fit together"):
        _native.align(*(given | wrong).values())
