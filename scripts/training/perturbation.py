"""Makes heard patches more varied than any simulator: other sounds mixed in, other colours, bands and moments missing.

A network learns its simulators, of however many kinds; what it cannot foresee it must do without. After SpecAugment
(Park et al. 2019) and the mixing of spectra in Neural Audio Fingerprint (Chang et al. 2021).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MIXED, MASKED, COLOURED = 0.2, 0.2, 0.3  # shares of the patches
MIX_DB = (-12.0, 3.0)  # how loud another patch is
BANDS_MASKED_MAX, FRAMES_MASKED_MAX = 16, 6
COLOUR_DB = 6.0  # of the slowest of three waves over the bands
FLOOR = 10**-1.7  # what the kernel adds to powers before their logarithm
SCALE, OFFSET, FEATURE_MAX = 256, 0.5, 2047  # features are (log10(power + FLOOR) + OFFSET) * SCALE
TEN = float(np.log(10))
Patches = npt.NDArray[np.float32]


def perturb(patches: Patches, rng: np.random.Generator) -> Patches:
    """Return patches (n, frames, bands) in units of the features, changed; the others are mixed in from among them."""
    count, _, bands = patches.shape
    powers = np.maximum(np.exp(patches * np.float32(TEN / SCALE) - np.float32(OFFSET * TEN)) - np.float32(FLOOR), 0)
    share = np.where(rng.random(count) < MIXED, 10 ** (rng.uniform(*MIX_DB, count) / 10), 0)
    share = share.astype(np.float32)[:, None, None]
    powers = (powers + share * powers[rng.permutation(count)]) / (1 + share)
    slopes = rng.normal(0, COLOUR_DB / np.arange(1, 4), (count, 3)) * (rng.random(count) < COLOURED)[:, None]
    waves = np.cos(np.pi * np.arange(1, 4)[:, None] * np.arange(bands) / bands + rng.uniform(0, np.pi, (3, 1)))
    powers *= (10 ** (slopes @ waves / 10)).astype(np.float32)[:, None, :]
    changed = np.log(powers + np.float32(FLOOR)) * np.float32(SCALE / TEN) + np.float32(OFFSET * SCALE)
    for length_max, axis in ((BANDS_MASKED_MAX, 2), (FRAMES_MASKED_MAX, 1)):
        changed = _masked(changed, length_max, axis, rng)
    return np.minimum(changed, np.float32(FEATURE_MAX))


def _masked(patches: Patches, length_max: int, axis: int, rng: np.random.Generator) -> Patches:
    """Put the patch's mean where a stretch along the axis is missing."""
    count, size = len(patches), patches.shape[axis]
    length = rng.integers(1, length_max + 1, count) * (rng.random(count) < MASKED)
    first = (rng.random(count) * (size - length + 1)).astype(int)
    at = np.arange(size)
    missing = (at >= first[:, None]) & (at < (first + length)[:, None])
    missing = missing[:, :, None] if axis == 1 else missing[:, None, :]
    return np.where(missing, patches.mean(axis=(1, 2), keepdims=True), patches)
