"""What records: a phone's microphone, a voice memo."""

from __future__ import annotations

import numpy as np

from hard_queries.dynamics import gain_controlled, gated
from hard_queries.sound import Generator, Samples, high_passed, level, resonant_low_passed, transcoded

MEMO_KILOBITS = (24, 28, 32)
MEMO_RATE = 44_100


def microphone(samples: Samples, rng: Generator) -> Samples:
    """A phone's: less bass, a resonance in its port, and noise of its own 35 to 55 dB below."""
    heard = high_passed(samples, rng.uniform(40, 180))
    heard = resonant_low_passed(heard, rng.uniform(5500, 7500), rng.uniform(0.8, 2.5))
    noise = rng.standard_normal(heard.size)
    return heard + noise * level(heard) / level(noise) * 10 ** (-rng.uniform(35, 55) / 20)


def overloaded(samples: Samples, rng: Generator) -> Samples:
    """A microphone that gusts drive to its limits, in one direction sooner than in the other."""
    strength = np.sqrt(np.mean(samples**2))
    return np.clip(samples, -strength * rng.uniform(2, 5), strength * rng.uniform(2, 5))


def voice_memo(samples: Samples, rng: Generator) -> Samples:
    """Noise gate, gain control, AAC."""
    return advanced_audio(gain_controlled(gated(samples, rng), rng), int(rng.choice(MEMO_KILOBITS)))


def advanced_audio(samples: Samples, kilobits: int) -> Samples:
    """Encode as a phone's recorder does, in mono at 44.1 kHz, and decode."""
    scaled = 0.7 * samples / (np.abs(samples).max() + 1e-9)
    return transcoded(scaled, "-ar", str(MEMO_RATE), "-c:a", "aac", "-b:a", f"{kilobits}k")
