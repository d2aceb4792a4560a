"""The fingerprint of wasm/kernel in NumPy and double precision, written from its description, not from its code."""

from pathlib import Path

import numpy as np

RATE, WINDOW, HOP, BANDS, SEGMENT_FRAMES, STEP_FRAMES, DIMENSIONS, REACH = 16_000, 2048, 512, 80, 27, 4, 128, 15
WEIGHTS = Path(__file__).parents[2] / "wasm" / "kernel" / "weights.bin"


def features(samples):
    """Log band powers under gain control, (frames, 80) in 1/256."""
    count = (len(samples) - WINDOW) // HOP + 1
    frames = np.stack([samples[f * HOP : f * HOP + WINDOW] for f in range(count)]).astype(np.float64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    powers = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2 @ band_matrix().T
    loudness = powers.mean(axis=1)
    gains = np.array([loudness[max(0, f - REACH) : f + REACH + 1].mean() for f in range(count)])
    levelled = powers / (gains[:, None] + 1e-12)
    return np.minimum(2047, np.floor((np.log10(levelled + 10**-1.7) + 0.5) * 256 + 0.5))


def embeddings(feature_rows):
    """Signed bytes, (segments, 128)."""
    raw = WEIGHTS.read_bytes()
    patch = SEGMENT_FRAMES * BANDS
    rows = np.frombuffer(raw, np.int8, DIMENSIONS * patch).reshape(DIMENSIONS, patch).astype(np.float64)
    bias = np.frombuffer(raw, "<i4", DIMENSIONS, DIMENSIONS * patch)
    scale = np.frombuffer(raw, "<f4", DIMENSIONS, DIMENSIONS * (patch + 4))
    starts = range(0, len(feature_rows) - SEGMENT_FRAMES + 1, STEP_FRAMES)
    patches = np.stack([feature_rows[s : s + SEGMENT_FRAMES].ravel() for s in starts])
    components = (patches @ rows.T + bias) * scale
    units = components / np.linalg.norm(components, axis=1, keepdims=True)
    return np.clip(np.floor(units * 360 + 0.5), -127, 127)


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
