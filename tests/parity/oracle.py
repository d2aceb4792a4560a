"""The fingerprint of wasm/kernel in NumPy and double precision, written from its description, not from its code."""

from pathlib import Path

import numpy as np

RATE, WINDOW, HOP, BANDS, SEGMENT_FRAMES, STEP_FRAMES, DIMENSIONS, REACH = 16_000, 2048, 512, 80, 27, 4, 128, 15
EDGE_FRAMES = 8
TILT = 10
CONVOLUTIONS = [(5, 2), (3, 1), (3, 2), (3, 1)]  # kernel, frames a step
SHAPES = [(24, 32), (48, 9 * 24), (96, 9 * 48), (128, 9 * 96), (256, 10 * 128), (128, 256), (128, 2160)]
WEIGHTS = Path(__file__).parents[2] / "wasm" / "kernel" / "weights.bin"


def features(samples):
    """Log band powers under gain control, (8 + frames + 8, 80) in 1/256; the edges are the nearest segment's mean."""
    count = (len(samples) - WINDOW) // HOP + 1
    frames = np.stack([samples[f * HOP : f * HOP + WINDOW] for f in range(count)]).astype(np.float64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    powers = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2 @ band_matrix().T
    means = np.array([powers[max(0, f - REACH) : f + REACH + 1].mean(axis=0) for f in range(count)])
    smooth = np.array([means[:, max(0, b - TILT) : b + TILT + 1].mean(axis=1) for b in range(BANDS)]).T
    levelled = powers / (np.sqrt(means.mean(axis=1, keepdims=True) * np.sqrt(smooth * means)) + 1e-12)
    rows = np.minimum(2047, np.floor((np.log10(levelled + 10**-1.7) + 0.5) * 256 + 0.5))
    before, after = (
        np.floor(part.mean(axis=0) + 0.5) * np.ones((EDGE_FRAMES, 1))
        for part in (rows[:SEGMENT_FRAMES], rows[-SEGMENT_FRAMES:])
    )
    return np.concatenate([before, rows, after])


def embeddings(feature_rows):
    """Signed bytes, (segments, 128): a linear map of each patch, and what four convolutions and two layers add."""
    layers = list(weights())
    starts = range(0, len(feature_rows) - SEGMENT_FRAMES + 1, STEP_FRAMES)
    patches = np.stack([feature_rows[s : s + SEGMENT_FRAMES] for s in starts])
    columns = patches[..., None]  # (segments, frames, bands, channels)
    for layer, (kernel, frame_step) in zip(layers, CONVOLUTIONS, strict=False):
        columns = activation(convolution(columns, layer, kernel, frame_step))
    hidden = activation(dense(columns[:, :2].reshape(len(patches), -1), layers[4]))
    components = dense(hidden, layers[5]) + dense(patches.reshape(len(patches), -1), layers[6])
    units = components / np.linalg.norm(components, axis=1, keepdims=True)
    return np.clip(np.floor(units * 360 + 0.5), -127, 127)


def weights():
    """Yield each layer's rows, biases and scales as wasm/kernel/weights.h says that they follow each other."""
    raw, at = WEIGHTS.read_bytes(), 0
    for rows, inputs in SHAPES:
        yield (
            np.frombuffer(raw, np.int8, rows * inputs, at).reshape(rows, inputs).astype(np.float64),
            np.frombuffer(raw, "<i4", rows, at + rows * inputs),
            np.frombuffer(raw, "<f4", rows, at + rows * (inputs + 4)).astype(np.float64),
        )
        at += rows * (inputs + 8)
    assert at == len(raw)


def convolution(columns, layer, kernel, frame_step):
    """Slide over frames without padding and over every second band with zeros beyond the edges."""
    rows, bias, scale = layer
    padded = np.pad(columns, ((0, 0), (0, 0), (kernel // 2, kernel // 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    windows = np.moveaxis(windows[:, ::frame_step, ::2], 3, -1)  # (.., frames, bands, channels) of each window
    taps = windows.reshape(*windows.shape[:3], -1)
    return (taps @ rows[:, : taps.shape[-1]].T + bias) * scale


def dense(values, layer):
    """Weights, bias, scale."""
    rows, bias, scale = layer
    return (values @ rows.T + bias) * scale


def activation(values):
    """Whole numbers from 0 to 8191."""
    return np.clip(np.floor(values + 0.5), 0, 8191)


def band_matrix():
    """Triangles of unit sum between neighbouring centres, at least 9 Hz to each side, (80, bins)."""
    step = (np.arcsinh(25) - np.arcsinh(0.4)) / (BANDS - 1)
    centres = 200 * np.sinh(np.arcsinh(0.4) + step * np.arange(-1, BANDS + 1))
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rows = []
    for below, centre, above in zip(centres, centres[1:], centres[2:], strict=False):
        rising = 1 - (centre - bins) / max(centre - below, 9)
        falling = 1 - (bins - centre) / max(above - centre, 9)
        row = np.clip(np.minimum(rising, falling), 0, None)
        rows.append(row / row.sum())
    return np.array(rows)
