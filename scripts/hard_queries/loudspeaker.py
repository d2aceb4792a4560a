"""A loudspeaker the size of a fist or smaller, played too loud."""

from __future__ import annotations

import numpy as np
import soxr

from hard_queries.dynamics import limited
from hard_queries.sound import (
    RATE,
    Generator,
    Samples,
    levelled,
    low_passed,
    resonant_high_passed,
    resonant_low_passed,
    resonated,
)

OVERSAMPLING = 4  # products of products of signals need four times the band
RESONANCES_HZ = ((80, 200), (180, 400), (350, 800))  # of bluetooth loudspeakers, laptops, phones


def small_loudspeaker(samples: Samples, rng: Generator) -> Samples:
    """Play through limiter, amplifier and cone."""
    resonance = rng.uniform(*RESONANCES_HZ[rng.integers(len(RESONANCES_HZ))])
    quality = rng.uniform(0.6, 1.6)
    driven = clipped(limited(levelled(samples), rng), rng)
    moved = distorted(driven, resonant_low_passed(driven, resonance, quality), rng)
    radiated = resonant_high_passed(moved, resonance, quality)
    for _ in range(rng.integers(2, 6)):  # box, grille, rim
        radiated = radiated + rng.uniform(-0.7, 1.5) * resonated(radiated, rng.uniform(400, 6000), rng.uniform(1, 8))
    return low_passed(radiated, rng.uniform(4000, 7500))


def clipped(samples: Samples, rng: Generator) -> Samples:
    """An amplifier without headroom, which gives up at different voltages upwards and downwards."""
    fine = soxr.resample(samples, RATE, OVERSAMPLING * RATE)
    strength = np.sqrt(np.mean(fine**2))
    limits = np.where(fine > 0, *(strength * rng.uniform(1.2, 3.0, 2)))
    hardness = rng.uniform(2, 8)
    fine = fine / (1 + np.abs(fine / limits) ** hardness) ** (1 / hardness)
    return np.asarray(soxr.resample(fine, OVERSAMPLING * RATE, RATE))[: samples.size]


def distorted(driven: Samples, displaced: Samples, rng: Generator) -> Samples:
    """A cone whose motor weakens and whose spring stiffens as it moves: a Volterra series cut off at order three.

    The kernels have memory, for displacement is the drive low-passed by the cone's resonance (Klippel 2006).
    """
    drive, moved = (soxr.resample(each, RATE, OVERSAMPLING * RATE) for each in (driven, displaced))
    strength = np.sqrt(np.mean(drive**2))
    total = drive.copy()
    for product in (moved * drive, moved**2, moved**2 * drive, moved**3):
        ratio = rng.choice([-1, 1]) * 10 ** (rng.uniform(-36, -15) / 20)
        total += ratio * strength * (product - product.mean()) / (product.std() + 1e-9)
    return np.asarray(soxr.resample(total, OVERSAMPLING * RATE, RATE))[: driven.size]
