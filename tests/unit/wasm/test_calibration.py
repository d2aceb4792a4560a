"""The score: a probability that grows with the evidence."""

import itertools
import json
import math

import pytest
from sonica_fingerprint.calibration import CALIBRATION, Calibration, Evidence, published

SEGMENTS = CALIBRATION.catalogue_segments


def probability(evidence, *, segments=SEGMENTS):
    return CALIBRATION.probability(evidence, catalogue_segments=segments)


def score_min(seconds, rate, *, segments=SEGMENTS):
    return CALIBRATION.score_min(seconds, false_accept_rate=rate, catalogue_segments=segments)


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
    assert [curve.seconds for curve in CALIBRATION.curves] == sorted(curve.seconds for curve in CALIBRATION.curves)
    assert all(
        math.isfinite(curve.intercept) and curve.similarity > 0 and curve.margin >= 0 and curve.sharpness >= 0
        for curve in CALIBRATION.curves
    )


@pytest.mark.parametrize("seconds", [0.96, 1.5, 3, 4.2, 10, 20])
def test_rarer_false_accepts_ask_for_higher_scores(seconds):
    thresholds = [score_min(seconds, rate) for rate in (0.0001, 0.0003, 0.002, 0.005, 0.01, 0.03, 0.05)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert 0 < thresholds[-1] < thresholds[0] < 1


def test_the_same_evidence_says_less_in_a_larger_catalogue():
    evidence = Evidence(0.45, 0.3, 0.2, 5)
    scores = [probability(evidence, segments=SEGMENTS * factor) for factor in (0.1, 1, 10, 1000)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]


@pytest.mark.parametrize("seconds", [1, 3, 5, 10])
def test_a_rate_ten_times_as_rare_is_asked_where_the_catalogue_is_ten_times_as_large(seconds):
    evidence = [Evidence(n / 100, n / 200, 0.1, seconds) for n in range(5, 100)]

    def accepted(rate, segments):
        return [probability(e, segments=segments) >= score_min(seconds, rate, segments=segments) for e in evidence]

    assert accepted(0.01, SEGMENTS * 10) == accepted(0.001, SEGMENTS)
    assert sum(accepted(0.01, SEGMENTS)) > sum(accepted(0.01, SEGMENTS * 10)) > 0


def test_published_calibration_is_read_back_as_it_was():
    assert Calibration.of(json.loads(json.dumps(published()))) == CALIBRATION
