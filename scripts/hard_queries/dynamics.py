"""Gains that follow the level with attack and release: limiter, noise gate, automatic gain control."""

from __future__ import annotations

import numpy as np

from hard_queries.sound import RATE, Generator, Samples

BLOCK = 16  # samples that share a level: 1 ms


def limited(samples: Samples, rng: Generator) -> Samples:
    """A player's limiter: what rises above its threshold is turned down within milliseconds."""
    peaks = _followed(_peaks(samples), rng.uniform(0.001, 0.005), rng.uniform(0.05, 0.4))
    threshold = rng.uniform(1.0, 2.0) * np.sqrt(np.mean(samples**2))
    return samples * _spread(np.minimum(1, threshold / np.maximum(peaks, 1e-9)), samples.size)


def gated(samples: Samples, rng: Generator) -> Samples:
    """A recorder's noise gate: turns down what is quieter than a fifth to two fifths of all moments."""
    peaks = _followed(_peaks(samples), 0.002, rng.uniform(0.03, 0.1))
    threshold, closed = np.quantile(peaks, rng.uniform(0.2, 0.4)), 10 ** rng.uniform(-2, -0.8)
    wanted = np.where(peaks > threshold, 1.0, closed)
    return samples * _spread(_followed(wanted, rng.uniform(0.002, 0.01), rng.uniform(0.05, 0.25)), samples.size)


def gain_controlled(samples: Samples, rng: Generator) -> Samples:
    """A recorder's automatic gain control: quickly down, slowly up, by 30 dB at most."""
    levels = _followed(_peaks(samples), rng.uniform(0.005, 0.05), rng.uniform(0.3, 1.5))
    floor = levels.max() / 10**1.5
    return samples * _spread(np.maximum(levels, floor) ** -rng.uniform(0.6, 1.0), samples.size)


def _peaks(samples: Samples) -> Samples:
    blocks = np.zeros(-(-samples.size // BLOCK) * BLOCK)
    blocks[: samples.size] = np.abs(samples)
    return np.asarray(blocks.reshape(-1, BLOCK).max(axis=1))


def _followed(values: Samples, rise_seconds: float, fall_seconds: float) -> Samples:
    """Follow a value a block, with one time constant upwards and another downwards."""
    rise, fall = (1 - np.exp(-BLOCK / RATE / seconds) for seconds in (rise_seconds, fall_seconds))
    followed, now = np.empty(values.size), float(values[0])
    for number, value in enumerate(values.tolist()):
        now += (value - now) * (rise if value > now else fall)
        followed[number] = now
    return followed


def _spread(values: Samples, length: int) -> Samples:
    """Interpolate a value a block to a value a sample."""
    return np.interp(np.arange(length), BLOCK * (np.arange(values.size) + 0.5), values)
