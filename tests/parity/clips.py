"""Clips for the parity suite, made of integers alone, so that they are the same samples everywhere."""

import numpy as np

RATE = 16_000


def noise(seconds, seed):
    """White noise from a linear congruential generator."""
    state, values = seed, np.empty(int(seconds * RATE), np.int64)
    for n in range(len(values)):
        state = (1103515245 * state + 12345) % (1 << 31)
        values[n] = state >> 15
    return ((values - 32768) / 65536).astype(np.float32)


def chords(seconds):
    """Square waves that change every quarter of a second."""
    n = np.arange(int(seconds * RATE))
    period = np.array([73, 61, 49, 97, 41, 113])[(n // 4000) % 6]
    return (((n // period) % 2) * 0.5 + ((2 * n // (3 * period)) % 2) * 0.25 - 0.375).astype(np.float32)


def hostile(seconds):
    """No numbers, infinities and absurd levels among music."""
    samples = chords(seconds)
    samples[1000:1100] = np.nan
    samples[5000], samples[6000], samples[7000:7010] = np.inf, -np.inf, 1e30
    return samples


CLIPS = {
    "noise": lambda: noise(2.5, 1),
    "chords": lambda: chords(5),
    "chords-in-noise": lambda: chords(3) + noise(3, 2),
    "quiet": lambda: chords(2) / 4096,
    "silence": lambda: np.zeros(2 * RATE, np.float32),
    "one-segment": lambda: chords(0.96),
    "too-short": lambda: chords(0.9),
    "hostile": lambda: hostile(2),
}
