"""Rooms without walls to mirror: velvet noise, delay networks, sparse reflections. The direct sound is at 0."""

from __future__ import annotations

import numpy as np
from scipy import signal

from hard_queries.sound import RATE, Generator, Samples, high_passed, low_passed

DELAY_LINES = 12
PULSES_A_SECOND = 1500  # of velvet noise: more sounds no smoother


def heard_in(samples: Samples, response: Samples) -> Samples:
    """Play where this is the impulse response."""
    return np.asarray(signal.fftconvolve(samples, response)[: samples.size])


def living_room(rng: Generator, metres: float) -> Samples:
    """A furnished room of 30 to 120 m3, heard from so far away: velvet noise (Karjalainen & Jarvelainen 2007)."""
    volume, decay = rng.uniform(30, 120), rng.uniform(0.25, 0.8)
    directivity = rng.uniform(1, 5)
    critical = 0.057 * np.sqrt(directivity * volume / decay)  # metres at which the room is as loud as the source
    dark = low_passed(velvet_noise(rng, decay), rng.uniform(800, 2500))
    bright = high_passed(velvet_noise(rng, rng.uniform(0.4, 0.8) * decay), 2500)
    late = dark
    late[: bright.size] += rng.uniform(0.3, 1) * bright
    gap = int(rng.uniform(0.001, 0.008) * RATE)
    return with_direct(np.concatenate([np.zeros(gap), late]), 20 * np.log10(critical / metres))


def velvet_noise(rng: Generator, decay_seconds: float) -> Samples:
    """A pulse of either sign somewhere in each grid cell, falling by 60 dB in `decay_seconds`."""
    pulses = int(decay_seconds * PULSES_A_SECOND)
    seconds = (np.arange(pulses) + rng.random(pulses)) / PULSES_A_SECOND
    noise = np.zeros(int(decay_seconds * RATE) + 1)
    noise[(seconds * RATE).astype(int)] = rng.choice([-1, 1], pulses) * 10 ** (-3 * seconds / decay_seconds)
    return noise


def large_room(rng: Generator, decay_seconds: float, ratio_db: float) -> Samples:
    """A hall by a feedback delay network (Jot & Chaigne 1991): delay lines that feed each other and lose treble.

    The bass decays in `decay_seconds`, all frequencies together in about 0.85 of that.
    """
    length = int(1.2 * decay_seconds * RATE)
    delays = rng.choice(np.arange(351, 1800, 2), DELAY_LINES, replace=False)
    treble_seconds = decay_seconds * rng.uniform(0.2, 0.5)
    gains, poles = _absorption(delays, decay_seconds, treble_seconds)
    mixing = np.eye(DELAY_LINES) - 2 / DELAY_LINES
    step, before = int(delays.min()), int(delays.max())
    entering = np.zeros((DELAY_LINES, before + length))
    burst = velvet_noise(rng, 0.03)
    entering[:, before : before + burst.size] = rng.choice([-1, 1], (DELAY_LINES, 1)) * burst
    states = np.zeros((DELAY_LINES, 1))
    late, signs = np.zeros(length), rng.choice([-1, 1], DELAY_LINES)
    for start in range(0, length, step):
        stop = min(start + step, length)
        leaving = np.empty((DELAY_LINES, stop - start))
        for line, delay in enumerate(delays):
            delayed = entering[line, before + start - delay : before + stop - delay]
            coefficients = [gains[line] * (1 - poles[line])], [1, -poles[line]]
            leaving[line], states[line] = signal.lfilter(*coefficients, delayed, zi=states[line])
        late[start:stop] = signs @ leaving
        entering[:, before + start : before + stop] += mixing @ leaving
    return with_direct(late, ratio_db)


def reflections(rng: Generator, count: int, span_seconds: float, ratio_db: float) -> Samples:
    """A few echoes within a short time, the later the weaker: a car's panes, a street's fronts."""
    late = np.zeros(int(span_seconds * RATE))
    at = rng.integers(8, late.size, count)
    np.add.at(late, at, rng.choice([-1, 1], count) * rng.uniform(0.3, 1, count) * 10 ** (-1.5 * at / late.size))
    return with_direct(low_passed(late, rng.uniform(2000, 6000)), ratio_db)


def with_direct(late: Samples, ratio_db: float) -> Samples:
    """Put the direct sound before what follows, at this ratio of their energies."""
    response = late / (np.sqrt(np.sum(late**2)) + 1e-9) * 10 ** (-ratio_db / 20)
    response[0] = 1
    return response


def _absorption(delays: np.ndarray, decay_seconds: float, treble_seconds: float) -> tuple[Samples, Samples]:
    """Return each line's gain and the pole of its low-pass, so that bass and treble decay in their own times."""
    seconds = delays / RATE
    gains = 10 ** (-3 * seconds / decay_seconds)
    treble = 10 ** (-3 * seconds * (1 / treble_seconds - 1 / decay_seconds))
    return gains, (1 - treble) / (1 + treble)
