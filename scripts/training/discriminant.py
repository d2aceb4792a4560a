"""The linear start: linear discriminant analysis on pairs of patches.

Directions in which different moments differ most against what rooms, noise and codecs change (Fisher 1936).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from scipy import linalg
from sonica_fingerprint import DIMENSIONS

from training.corpus import BANDS, SEGMENT_FRAMES
from training.pairs import Pairs

PATCH = BANDS * SEGMENT_FRAMES
RIDGE = 0.02
PAIRS_MAX = 400_000  # more change nothing
JITTER_FRAMES = 3  # a query starts up to 64 ms away from a catalogue segment, and search may skip every second one


@dataclass
class Moments:
    """Running sums over pairs: of patches, of their products, and of their differences' products."""

    count: int = 0
    total: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(PATCH))
    products: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((PATCH, PATCH)))
    differences: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((PATCH, PATCH)))

    def add(self, clean: npt.NDArray[np.float32], heard: npt.NDArray[np.float32]) -> None:
        """Take the pairs in: two arrays (n, PATCH)."""
        both = np.concatenate([clean, heard])
        difference = clean - heard
        self.count += len(clean)
        self.total += both.sum(axis=0)
        self.products += both.T @ both
        self.differences += difference.T @ difference


def discriminant(pairs: Pairs, seed: int, console: Console) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the projection (DIMENSIONS, PATCH) and the mean patch (PATCH,), in units of the features.

    The projection is rotated at random: cosines stay, the variance is spread evenly over the components, and a byte a
    component serves all alike. It is scaled so that embeddings have a length of about one.
    """
    rng = np.random.default_rng([seed, 1])
    moments = Moments()
    chosen = rng.permutation(len(pairs.table))[:PAIRS_MAX]
    for part in track(np.array_split(chosen, max(1, len(chosen) // 4096)), "linear start", console=console):
        clean, heard = pairs.patches(part, rng.integers(-JITTER_FRAMES, JITTER_FRAMES + 1, size=len(part)))
        moments.add(clean.reshape(len(part), PATCH) / 256, heard.reshape(len(part), PATCH) / 256)
    patches = 2 * moments.count
    mean = moments.total / patches
    total = moments.products / patches - np.outer(mean, mean)
    within = moments.differences / patches
    ridge = RIDGE * np.trace(within) / PATCH * np.eye(PATCH)
    ratios, directions = linalg.eigh(total - within, within + ridge, subset_by_index=(PATCH - DIMENSIONS, PATCH - 1))
    ratios = np.maximum(ratios, 0)
    weights = (directions * np.sqrt(ratios) / (1 + ratios)).T
    turn, _ = np.linalg.qr(rng.normal(size=(DIMENSIONS, DIMENSIONS)))
    weights = turn @ weights / np.sqrt(np.trace(weights @ total @ weights.T))
    return (weights / 256).astype(np.float32), (mean * 256).astype(np.float32)
