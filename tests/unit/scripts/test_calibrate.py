"""Calibration: thresholds of rare false accepts, from samples that hold few of them.

Needs what `make lab` installs; without it these tests are skipped.
"""

import numpy as np
import pytest

pytest.importorskip("pyroomacoustics")

from calibrate import Sample, fit, log_odds, threshold
from sonica_fingerprint.calibration import Evidence


def evidence(rng, *, right):
    similarity = rng.normal(0.6 if right else 0.3, 0.1)
    return Evidence(similarity, similarity / 2 + rng.normal(0, 0.05), rival=0.2 + rng.normal(0, 0.05), seconds=5)


@pytest.mark.parametrize("rate", [0.0001, 0.001, 0.01, 0.1])
def test_threshold_is_near_the_true_quantile_when_the_tail_is_exponential(rate):
    wrong = np.random.default_rng(1).exponential(size=20_000)
    assert threshold(wrong, rate) == pytest.approx(-np.log(rate), rel=0.08)


def test_thresholds_let_the_wanted_share_pass_when_measured_on_other_samples():
    rng = np.random.default_rng(2)
    samples = [Sample(evidence(rng, right=bool(n % 2)), right=bool(n % 2)) for n in range(8000)]
    curve = fit(5, samples)
    wrong = log_odds(curve, [Sample(evidence(rng, right=False), right=False) for _ in range(20_000)])

    shares = {each.false_accept_rate: np.mean(wrong > each.log_odds) for each in curve.thresholds}

    assert curve.similarity > 0
    assert shares[0.01] == pytest.approx(0.01, abs=0.004)
    assert shares[0.1] == pytest.approx(0.1, abs=0.02)
    assert shares[0.0001] < 0.002
