"""From evidence to probability, and how probable is enough; fitted by scripts/calibrate.py, by length of clip."""

from __future__ import annotations

import itertools
import json
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

MARGIN_MAX = 0.25  # a rival further behind than this says nothing more
RATE_MAX = 0.2  # of false accepts over the catalogue of the calibration: where its thresholds end
LOG_GROWTH_MAX = 1.5  # down to a catalogue of a fifth of that size: the songs of yet smaller ones are often of a kind


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
    """The log odds that only this share of the clips of unknown music and noise exceeds."""

    false_accept_rate: float
    log_odds: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Log odds = intercept + similarity * x + margin * y + sharpness * z, for clips of so many seconds."""

    seconds: float
    intercept: float
    similarity: float
    margin: float
    sharpness: float
    thresholds: tuple[Threshold, ...]  # by ascending rate, so by descending log odds

    def log_odds(self, evidence: Evidence) -> float:
        """Return the natural logarithm of right : wrong."""
        return (
            self.intercept
            + self.similarity * evidence.similarity
            + self.margin * evidence.margin
            + self.sharpness * evidence.sharpness
        )

    def log_odds_min(self, false_accept_rate: float) -> float:
        """Return the threshold for this rate, interpolated along the rate's logarithm, and beyond the rarest one."""
        points = [(math.log(threshold.false_accept_rate), threshold.log_odds) for threshold in self.thresholds]
        rate = math.log(false_accept_rate)
        (rarest, highest), (next_, lower) = points[:2]
        if rate < rarest:
            return highest + (highest - lower) * (rarest - rate) / (next_ - rarest)
        return _interpolated(rate, points)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What scripts/calibrate.py found, over a catalogue of so many segments."""

    catalogue_segments: int
    curves: tuple[Curve, ...]  # by ascending length

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Calibration:
        """Read what calibration.json and bundles hold."""
        curves = tuple(
            Curve(**{**curve, "thresholds": tuple(Threshold(**threshold) for threshold in curve["thresholds"])})
            for curve in document["curves"]
        )
        return cls(document["catalogue_segments"], curves)

    def probability(self, evidence: Evidence, *, catalogue_segments: int) -> float:
        """Return how probable it is that the song is right, were half of all clips not in the catalogue.

        Every segment that a catalogue has more is a chance more to fit by accident (the union bound), so the odds fall
        with its size.
        """
        odds = self._by_length(evidence.seconds, lambda curve: curve.log_odds(evidence))
        return _probability(odds - self._log_growth(catalogue_segments))

    def score_min(self, seconds: float, *, false_accept_rate: float, catalogue_segments: int) -> float:
        """Return the score from which a match of a clip this long is accepted, for a wanted rate of false accepts."""
        growth = self._log_growth(catalogue_segments)
        rate = min(RATE_MAX, false_accept_rate / math.exp(growth))
        return _probability(self._by_length(seconds, lambda curve: curve.log_odds_min(rate)) - growth)

    def _log_growth(self, catalogue_segments: int) -> float:
        return max(-LOG_GROWTH_MAX, math.log(max(1, catalogue_segments) / self.catalogue_segments))

    def _by_length(self, seconds: float, value: Callable[[Curve], float]) -> float:
        """Interpolate between the curves along the logarithm of the length; beyond the ends, the ends hold."""
        after = bisect_left(self.curves, seconds, key=lambda curve: curve.seconds)
        around = self.curves[max(0, after - 1) : after + 1]
        return _interpolated(math.log(seconds), [(math.log(curve.seconds), value(curve)) for curve in around])


def published() -> dict[str, Any]:
    """Return calibration.json and the limits above, as bundles carry them to hosts that are not Python."""
    limits = {"margin_max": MARGIN_MAX, "rate_max": RATE_MAX, "log_growth_max": LOG_GROWTH_MAX}
    return {**_stored(), **limits}


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))


def _interpolated(x: float, points: Sequence[tuple[float, float]]) -> float:
    if x <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in itertools.pairwise(points):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return points[-1][1]


def _stored() -> dict[str, Any]:
    text = resources.files("sonica_fingerprint").joinpath("calibration.json").read_text()
    document: dict[str, Any] = json.loads(text)
    return document


CALIBRATION = Calibration.of(_stored())
