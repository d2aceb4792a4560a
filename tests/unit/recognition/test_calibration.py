"""The score: a probability that grows with the evidence."""

import itertools
import math

import pytest

from backend.recognition.calibration import CURVES, Evidence, probability, score_min

SIMILARITIES = [-0.2, 0.1, 0.3, 0.5, 0.7, 0.95]


@pytest.mark.parametrize("seconds", [0.96, 1.5, 3, 4.2, 10, 20])
def test_probability_grows_with_similarity_and_with_the_rivals_distance(seconds):
    rows = [probability(Evidence(similarity, similarity / 2, 0.1, seconds)) for similarity in SIMILARITIES]
    assert rows == sorted(rows)
    assert 0 <= rows[0] < 0.1
    assert 0.8 < rows[-1] <= 1
    near, far = probability(Evidence(0.45, 0.2, 0.44, seconds)), probability(Evidence(0.45, 0.2, 0.1, seconds))
    assert near <= far
    blurred, sharp = probability(Evidence(0.45, 0.0, 0.2, seconds)), probability(Evidence(0.45, 0.4, 0.2, seconds))
    assert blurred <= sharp


def test_probability_has_no_jumps_between_lengths():
    evidence = [probability(Evidence(0.4, 0.2, 0.2, 0.5 + n / 50)) for n in range(1, 600)]
    assert max(abs(b - a) for a, b in itertools.pairwise(evidence)) < 0.02


def test_curves_are_by_ascending_length_and_finite():
    assert [curve.seconds for curve in CURVES] == sorted(curve.seconds for curve in CURVES)
    assert all(
        math.isfinite(curve.intercept) and curve.similarity > 0 and curve.margin >= 0 and curve.sharpness >= 0
        for curve in CURVES
    )


@pytest.mark.parametrize("seconds", [0.96, 1.5, 3, 4.2, 10, 20])
def test_rarer_false_accepts_ask_for_higher_scores(seconds):
    thresholds = [score_min(seconds, false_accept_rate=rate) for rate in (0.002, 0.003, 0.005, 0.01, 0.03, 0.05)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert 0 < thresholds[-1] < thresholds[0] < 1
