"""Rooms, echoes, filters and the colours of old media; by FFT, since NumPy has no recursive filters."""

from __future__ import annotations

import numpy as np

from demo_music.score import Colour
from demo_music.synthesis import SAMPLE_RATE, Signal, band_noise, seconds_of


def reverb(signal: Signal, room_seconds: float, rng: np.random.Generator) -> Signal:
    """Convolve with a room: noise that decays by 60 dB in `room_seconds`, its treble three times as fast."""
    t = seconds_of(int(room_seconds * SAMPLE_RATE))
    dark = band_noise(t.size, rng, low_hz=150, high_hz=1800) * 10 ** (-3 * t / room_seconds)
    bright = band_noise(t.size, rng, low_hz=1800, high_hz=7000) * 10 ** (-9 * t / room_seconds)
    room = (dark + 0.6 * bright) * np.minimum(t / 0.02, 1)
    return _convolve(signal, room / np.sqrt(np.sum(room**2)))


def delay(signal: Signal, seconds: float) -> Signal:
    """Repeat the signal five times, each softer."""
    out = np.zeros(signal.size)
    step = int(seconds * SAMPLE_RATE)
    for repeat in range(1, 6):
        if repeat * step < signal.size:
            out[repeat * step :] += 0.55**repeat * signal[: -repeat * step]
    return out


def coloured(mix: Signal, colour: Colour, rng: np.random.Generator) -> Signal:
    """Return the mix as an old medium or desk would sound."""
    if colour == "vinyl":
        return _vinyl(mix, rng)
    if colour == "crushed":
        level = np.abs(mix).max()
        return np.asarray(np.round(mix / level * 48) / 48 * level)
    if colour == "dub":
        return filtered(mix, low_hz=35, high_hz=6500)
    if colour == "warm":
        return filtered(mix, low_hz=40, high_hz=7500)
    return mix


def _vinyl(mix: Signal, rng: np.random.Generator) -> Signal:
    """Wow, hiss, crackle, and no treble."""
    t = seconds_of(mix.size)
    wow = 0.0006 * np.sin(2 * np.pi * 0.55 * t) + 0.0001 * np.sin(2 * np.pi * 6.1 * t)
    played = filtered(np.interp(t + wow, t, mix), low_hz=60, high_hz=5000)
    crackle = np.where(rng.random(mix.size) < 0.0006, rng.normal(0, 2.5, mix.size), 0)
    dirt = 0.25 * filtered(crackle, low_hz=1200, high_hz=6000) + 0.012 * rng.standard_normal(mix.size)
    return np.asarray(played + np.sqrt(np.mean(mix**2)) * dirt)


def filtered(signal: Signal, *, low_hz: float, high_hz: float) -> Signal:
    """Keep what lies between two frequencies (12 dB an octave beyond them), without a mean."""
    size = _fast_size(signal.size)
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    shape = 1 / np.sqrt((1 + (low_hz / np.maximum(hz, 1.0)) ** 4) * (1 + (hz / high_hz) ** 4))
    shape[0] = 0
    return np.fft.irfft(np.fft.rfft(signal, size) * shape, size)[: signal.size]


def _convolve(signal: Signal, response: Signal) -> Signal:
    size = _fast_size(signal.size + response.size)
    product = np.fft.rfft(signal, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: signal.size]


def _fast_size(samples: int) -> int:
    """Return the next length of the form 2^k, 3*2^k or 5*2^k, which an FFT likes."""
    power = 1 << max(samples - 1, 1).bit_length()
    return min(size for size in (power * 5 // 8, power * 3 // 4, power) if size >= samples)
