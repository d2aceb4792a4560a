"""The kernel against the NumPy oracle: features within one unit, embeddings within rounding."""

import numpy as np
import pytest
from sonica_fingerprint import DIMENSIONS, _native, extract

from tests.parity import oracle
from tests.parity.clips import CLIPS

MUSIC = ["noise", "chords", "chords-in-noise", "quiet", "one-segment"]


@pytest.mark.parametrize("name", MUSIC)
def test_features_agree_with_the_oracle(name):
    samples = CLIPS[name]()
    ours = np.frombuffer(_native.features(samples), np.int16).reshape(-1, oracle.BANDS)
    difference = np.abs(ours - oracle.features(samples))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02  # where the two round to different sides


@pytest.mark.parametrize("name", MUSIC)
def test_embeddings_agree_with_the_oracle(name):
    samples = CLIPS[name]()
    ours = np.frombuffer(extract(samples).embeddings, np.int8).reshape(-1, DIMENSIONS)
    theirs = oracle.embeddings(oracle.features(samples))
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 2
