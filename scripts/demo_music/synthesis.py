"""The oscillators, filters and envelopes that instruments are built of; signals are float64, mono."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]

SAMPLE_RATE = 22_050
_TABLE_SIZE = 2048
_CUTOFFS = np.geomspace(100.0, 11_000.0, 14)


def seconds_of(samples: int) -> Signal:
    """Return the time of each of `samples` samples in seconds."""
    return np.arange(samples) / SAMPLE_RATE


def envelope(held_seconds: float, *, attack: float, decay: float, sustain: float, release: float) -> Signal:
    """Return attack, exponential decay to `sustain`, and release after the note's end; all in seconds."""
    held = max(held_seconds, attack + 0.01)
    t = seconds_of(int((held + release) * SAMPLE_RATE))
    rise = np.minimum(t / max(attack, 1e-3), 1.0)
    body = sustain + (1 - sustain) * np.exp(-np.maximum(t - attack, 0) / max(decay, 1e-3))
    tail = np.exp(-5 * np.maximum(t - held, 0) / max(release, 1e-3))
    return np.asarray(rise * body * tail * np.minimum((t[-1] - t) / 0.005, 1.0))


def spectrum_of(shape: str, count: int, *, pitch_hz: float) -> Signal:
    """Return the amplitudes of the first `count` harmonics of a named waveform."""
    k = np.arange(1, count + 1, dtype=np.float64)
    if shape == "saw":
        return 1 / k
    if shape == "square":
        return (k % 2) / k
    if shape == "triangle":
        return (k % 2) / k**2
    if shape == "pulse":
        return np.abs(np.sin(np.pi * k * 0.22)) / k
    if shape == "organ":
        drawbars = {1: 1.0, 2: 0.8, 3: 0.5, 4: 0.35, 6: 0.2, 8: 0.25, 10: 0.06, 12: 0.08}
        return np.array([drawbars.get(int(n), 0.0) for n in k])
    if shape in _VOWELS:
        formants = sum(gain * np.exp(-(((k * pitch_hz - hz) / (80 + 0.12 * hz)) ** 2)) for hz, gain in _VOWELS[shape])
        return (formants + 0.02) / k**0.6
    raise ValueError(f"unknown waveform: {shape}")


_VOWELS = {
    "ah": ((700, 1.0), (1150, 0.6), (2700, 0.25), (3400, 0.1)),
    "oh": ((450, 1.0), (800, 0.5), (2600, 0.12), (3300, 0.06)),
    "reed": ((600, 0.9), (1400, 0.8), (2600, 0.5), (3800, 0.2)),
}


def filtered_tables(shape: str, pitch_hz: float, *, resonance: float) -> Signal:
    """Return one cycle of the waveform behind low-pass filters of rising cutoff: (cutoffs, table)."""
    count = max(1, min(int(0.48 * SAMPLE_RATE / pitch_hz), _TABLE_SIZE // 2 - 1))
    ratio = np.arange(1, count + 1) * pitch_hz / _CUTOFFS[:, None]
    peak = 1 + resonance * np.exp(-((np.log2(ratio) / 0.3) ** 2))
    amplitudes = spectrum_of(shape, count, pitch_hz=pitch_hz) * peak / np.sqrt(1 + ratio**6)
    bins = np.zeros((_CUTOFFS.size, _TABLE_SIZE // 2 + 1), dtype=np.complex128)
    bins[:, 1 : count + 1] = -1j * amplitudes
    cycle = np.fft.irfft(bins, _TABLE_SIZE) * _TABLE_SIZE / 4
    return np.concatenate([cycle, cycle[:, :1]], axis=1)


def scan_tables(tables: Signal, pitch_hz: Signal, cutoff_hz: Signal, *, phase: float) -> Signal:
    """Play the tables at a varying pitch and a varying cutoff, interpolating in both."""
    place = (phase + np.cumsum(pitch_hz) / SAMPLE_RATE) % 1.0 * _TABLE_SIZE
    column = place.astype(np.int32)
    between = place - column
    rows = np.interp(np.log(cutoff_hz), np.log(_CUTOFFS), np.arange(_CUTOFFS.size))
    row = np.minimum(rows.astype(np.int32), _CUTOFFS.size - 2)
    blend = rows - row
    flat, width = tables.ravel(), tables.shape[1]
    start = row * width + column
    dark = flat[start] + between * (flat[start + 1] - flat[start])
    start += width
    bright = flat[start] + between * (flat[start + 1] - flat[start])
    return np.asarray(dark + blend * (bright - dark))


def band_noise(samples: int, rng: np.random.Generator, *, low_hz: float, high_hz: float) -> Signal:
    """Return noise of unit power between two frequencies, with soft edges."""
    size = 1 << max(samples - 1, 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    shape = 1 / np.sqrt((1 + (low_hz / np.maximum(hz, 1.0)) ** 6) * (1 + (hz / high_hz) ** 6))
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, size)[:samples]
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9)


def plucked_string(
    pitch_hz: float, seconds: float, rng: np.random.Generator, *, brightness: float, ring: float
) -> Signal:
    """Return a Karplus-Strong string, computed a period at a time and resampled to the exact pitch.

    `brightness` in [0, 1] is the pick's, `ring` in seconds is how long the string takes to fall by 60 dB.
    """
    period = max(int(SAMPLE_RATE / pitch_hz), 4)
    smoothing = np.exp(-np.arange(period) * (0.05 + brightness))
    burst = np.fft.irfft(np.fft.rfft(rng.uniform(-1, 1, period)) * np.fft.rfft(smoothing), period)
    cycles = int(seconds * pitch_hz * (1 + 1 / period)) + 2
    loss = 10 ** (-3 / (ring * pitch_hz))
    string = np.empty((cycles, period))
    string[0] = burst - burst.mean()
    stretch = 0.5 * (1 - brightness) + 0.08  # share of the neighbour in the loop's filter: high notes dull sooner
    for cycle in range(1, cycles):
        before = string[cycle - 1]
        string[cycle] = loss * ((1 - stretch) * before + stretch * np.roll(before, 1))
    sounding_period = period + stretch  # the loop's filter delays each turn by its neighbour's share
    place = np.arange(int(seconds * SAMPLE_RATE)) * (sounding_period * pitch_hz / SAMPLE_RATE)
    return np.asarray(np.interp(place, np.arange(string.size), string.ravel()))


def partials(pitch_hz: float, seconds: float, *, ratios: Signal, gains: Signal, decays: Signal) -> Signal:
    """Return decaying sines at ratios of the pitch, those below Nyquist; decays in seconds to 1/e."""
    t = seconds_of(int(seconds * SAMPLE_RATE))
    signal = np.zeros(t.size)
    for ratio, gain, decay in zip(ratios, gains, decays, strict=True):
        if ratio * pitch_hz < 0.47 * SAMPLE_RATE:
            signal += gain * np.exp(-t / decay) * np.sin(2 * np.pi * ratio * pitch_hz * t)
    return signal
