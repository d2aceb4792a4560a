"""Whether scores mean what they say: of the answers with a score of .8, four in five should be right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from measurement.scoring import Answer, Query

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers with about the same score."""

    score: float  # their mean
    right: float  # the share of them that name the right song
    weight: float  # of all answers


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram, and its distance from the diagonal."""

    bins: tuple[Bin, ...]
    expected_calibration_error: float  # mean of |score - right| over the bins by weight (Naeini et al. 2015)


def reliability(queries: list[Query], answers: dict[str, Answer]) -> Reliability | None:
    """Compare scores and outcomes, known and unknown songs weighing half each, as the score assumes.

    None without negatives or without positives. A query without a candidate has a score of 0, and is right if its
    song is not in the catalogue: it is left out.
    """
    asked = [(query, answers[query.path]) for query in queries if query.path in answers]
    asked = [(query, answer) for query, answer in asked if answer.song is not None]
    scores = np.array([answer.score for _, answer in asked])
    right = np.array([answer.song == query.song for query, answer in asked])
    negative = np.array([query.song is None for query, _ in asked], bool)
    if not 0 < negative.sum() < len(negative):
        return None
    weights = np.where(negative, 0.5 / negative.sum(), 0.5 / (~negative).sum())
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins = []
    for place in range(BINS):
        inside = places == place
        if inside.any():
            mean = np.average(np.stack([scores[inside], right[inside]]), axis=1, weights=weights[inside])
            bins.append(Bin(float(mean[0]), float(mean[1]), float(weights[inside].sum())))
    return Reliability(tuple(bins), sum(each.weight * abs(each.score - each.right) for each in bins))


def draw_reliability(found: Reliability, path: Path) -> None:
    """Write the diagram as a picture: dots near the diagonal are honest, their area is how many answers they hold."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot([each.score for each in found.bins], [each.right for each in found.bins], linewidth=1)
    sizes = [20 + 800 * each.weight for each in found.bins]
    axes.scatter([each.score for each in found.bins], [each.right for each in found.bins], s=sizes, alpha=0.6)
    axes.set(xlabel="score", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"expected calibration error {found.expected_calibration_error:.3f}")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
