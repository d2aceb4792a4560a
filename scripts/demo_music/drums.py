"""The unpitched instruments: a swept tone and a band of noise each, in a table of settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_music.synthesis import SAMPLE_RATE, Signal, band_noise, seconds_of


@dataclass(frozen=True, slots=True)
class Drum:
    """A drum or cymbal; frequencies in Hz, times in seconds to 1/e."""

    tone_hz: float = 0.0
    tone_seconds: float = 0.1
    sweep: float = 0.0  # the tone starts this many times its frequency higher
    sweep_seconds: float = 0.03
    noise: float = 0.0
    noise_seconds: float = 0.05
    low_hz: float = 1000.0
    high_hz: float = 9000.0
    hands: int = 1  # bursts, 11 ms apart
    overtones: tuple[float, ...] = (1.0,)

    def hit(self, rng: np.random.Generator) -> Signal:
        """Return one hit, slightly different each time."""
        length = min(6 * max(self.tone_seconds * (self.tone_hz > 0), self.noise_seconds * (self.noise > 0)), 2.5)
        t = seconds_of(int(length * SAMPLE_RATE))
        signal = self._tone(t, rng) if self.tone_hz else np.zeros(t.size)
        if self.noise:
            signal += self._noise(t, rng)
        return np.asarray(signal * np.minimum((t[-1] - t) / 0.01, 1))

    def _tone(self, t: Signal, rng: np.random.Generator) -> Signal:
        pitch = self.tone_hz * (1 + rng.normal(0, 0.006)) * (1 + self.sweep * np.exp(-t / self.sweep_seconds))
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        tones = sum(
            np.sin(ratio * phase) * np.exp(-t * ratio**0.5 / self.tone_seconds) / ratio**0.7 for ratio in self.overtones
        )
        return np.asarray(tones) * np.minimum(t / 0.0008, 1)

    def _noise(self, t: Signal, rng: np.random.Generator) -> Signal:
        fall = np.zeros(t.size)
        for hand in range(self.hands):
            since = t - 0.011 * hand
            fall = np.maximum(fall, np.where(since >= 0, np.exp(-since / self.noise_seconds), 0))
            if hand < self.hands - 1:
                fall *= np.where(since > 0.008, 0.3, 1.0)
        noise = band_noise(t.size, rng, low_hz=self.low_hz, high_hz=self.high_hz)
        return self.noise * noise * fall


DRUMS: dict[str, Drum] = {
    # tone_hz and seconds, sweep and seconds, noise and seconds, its low_hz and high_hz
    "kick": Drum(52, 0.13, 2.5, 0.025, 0.15, 0.006, 1500, 6000),
    "kick_soft": Drum(58, 0.12, 1.2, 0.02, 0.05, 0.008, 300, 2000),
    "kick_house": Drum(50, 0.16, 3.5, 0.03, 0.2, 0.005, 2000, 8000),
    "kick_techno": Drum(46, 0.2, 5.0, 0.035, 0.3, 0.006, 1500, 8000),
    "kick_808": Drum(44, 0.55, 2.0, 0.03, 0.1, 0.005, 1500, 6000),
    "surdo": Drum(70, 0.3, 0.3, 0.04, 0.1, 0.02, 100, 800),
    "bass_drum": Drum(62, 0.25, 0.5, 0.04, 0.3, 0.03, 80, 900),
    "timpani": Drum(98, 0.6, 0.05, 0.05, 0.2, 0.02, 100, 1200, overtones=(1, 1.5, 1.99, 2.44)),
    "snare": Drum(185, 0.06, 0.6, 0.02, 0.5, 0.09, 900, 9000),
    "snare_lofi": Drum(170, 0.07, 0.4, 0.02, 0.35, 0.07, 500, 4500),
    "snare_tight": Drum(215, 0.05, 0.8, 0.015, 0.6, 0.06, 1500, 10_000),
    "snare_march": Drum(240, 0.04, 0.3, 0.01, 0.7, 0.05, 1800, 10_000),
    "brush": Drum(noise=0.6, noise_seconds=0.07, low_hz=1500, high_hz=7000),
    "clap": Drum(noise=0.8, noise_seconds=0.07, low_hz=900, high_hz=5500, hands=4),
    "finger_snap": Drum(noise=0.8, noise_seconds=0.02, low_hz=1500, high_hz=4500, hands=2),
    "rim": Drum(820, 0.018, 0.1, 0.01, 0.3, 0.01, 1500, 8000, overtones=(1, 2.1)),
    "hat": Drum(noise=0.7, noise_seconds=0.022, low_hz=6500, high_hz=10_500),
    "hat_open": Drum(noise=0.7, noise_seconds=0.13, low_hz=6000, high_hz=10_500),
    "chip_hat": Drum(noise=0.7, noise_seconds=0.018, low_hz=3000, high_hz=10_500),
    "chip_snare": Drum(220, 0.03, 1.5, 0.03, 0.7, 0.06, 800, 10_500),
    "shaker": Drum(noise=0.6, noise_seconds=0.03, low_hz=4500, high_hz=9500, hands=2),
    "tambourine": Drum(noise=0.6, noise_seconds=0.07, low_hz=5500, high_hz=10_500, hands=2),
    "ride": Drum(3400, 0.25, 0, 0.01, 0.35, 0.2, 5000, 10_500, overtones=(1, 1.34, 1.71, 2.3)),
    "crash": Drum(noise=0.8, noise_seconds=0.5, low_hz=3000, high_hz=10_500),
    "tom": Drum(110, 0.18, 0.6, 0.05, 0.15, 0.02, 300, 3000),
    "conga_low": Drum(175, 0.13, 0.15, 0.02, 0.12, 0.008, 500, 4000, overtones=(1, 1.6)),
    "conga_high": Drum(265, 0.1, 0.15, 0.02, 0.2, 0.008, 800, 5000, overtones=(1, 1.6)),
    "tabla_ge": Drum(88, 0.3, 0.7, 0.09, 0.1, 0.01, 200, 1500, overtones=(1, 2.0)),
    "tabla_na": Drum(390, 0.16, 0.02, 0.02, 0.2, 0.006, 1500, 6000, overtones=(1, 2.0, 3.01)),
    "tabla_te": Drum(300, 0.025, 0.3, 0.01, 0.4, 0.015, 800, 4000),
    "cowbell": Drum(560, 0.07, 0, 0.01, 0.05, 0.01, 2000, 6000, overtones=(1, 1.504, 2.7)),
    "clave": Drum(2350, 0.025, 0, 0.01, 0.05, 0.005, 2000, 6000),
    "woodblock": Drum(900, 0.03, 0.1, 0.01, 0.1, 0.005, 1000, 5000, overtones=(1, 2.6)),
}
