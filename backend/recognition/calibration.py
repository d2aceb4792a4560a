"""From evidence to probability, and how probable is enough; fitted by scripts/calibrate.py, by length of clip."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

MARGIN_MAX = 0.25  # a rival further behind than this says nothing more


@dataclass(frozen=True, slots=True)
class Evidence:
    """What verification found."""

    similarity: float  # mean cosine along the alignment
    sharpness: float  # how far that falls when the alignment is shifted
    rival: float  # the similarity of the best song that is not this recording
    seconds: float  # of the clip that are not silent

    @property
    def margin(self) -> float:
        """How far the rival is behind, within +-MARGIN_MAX."""
        return max(-MARGIN_MAX, min(MARGIN_MAX, self.similarity - self.rival))


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score that only this share of the clips of unknown music and noise exceeds."""

    false_accept_rate: float
    score: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Log odds = intercept + similarity * x + margin * y + sharpness * z, for clips of so many seconds."""

    seconds: float
    intercept: float
    similarity: float
    margin: float
    sharpness: float
    thresholds: tuple[Threshold, ...]  # by ascending rate, so by descending score

    def log_odds(self, evidence: Evidence) -> float:
        """Return the natural logarithm of right : wrong."""
        return (
            self.intercept
            + self.similarity * evidence.similarity
            + self.margin * evidence.margin
            + self.sharpness * evidence.sharpness
        )

    def score_min(self, false_accept_rate: float) -> float:
        """Return the threshold for this rate, interpolated along the rate's logarithm."""
        points = [(math.log(threshold.false_accept_rate), threshold.score) for threshold in self.thresholds]
        return _interpolated(math.log(false_accept_rate), points)


def probability(evidence: Evidence) -> float:
    """Return how probable it is that the song is right, were half of all clips not in the catalogue."""
    log_odds = _by_length(evidence.seconds, lambda curve: curve.log_odds(evidence))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))


def score_min(seconds: float, *, false_accept_rate: float) -> float:
    """Return the score from which a match of a clip this long is accepted, for a wanted rate of false accepts."""
    return _by_length(seconds, lambda curve: curve.score_min(false_accept_rate))


def _by_length(seconds: float, value: Callable[[Curve], float]) -> float:
    """Interpolate between the curves along the logarithm of the length; beyond the ends, the ends hold."""
    return _interpolated(math.log(seconds), [(math.log(curve.seconds), value(curve)) for curve in CURVES])


def _interpolated(x: float, points: Sequence[tuple[float, float]]) -> float:
    if x <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in itertools.pairwise(points):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return points[-1][1]


def _stored_curves() -> tuple[Curve, ...]:
    text = resources.files("backend.recognition").joinpath("calibration.json").read_text()
    return tuple(
        Curve(**{**curve, "thresholds": tuple(Threshold(**threshold) for threshold in curve["thresholds"])})
        for curve in json.loads(text)["curves"]
    )


CURVES = _stored_curves()
