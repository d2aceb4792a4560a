"""What all simulators use: levels as the ear weighs them, resonances, slow random curves, noise."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
from scipy import interpolate, signal

RATE = 16_000
LEAD_SECONDS = 3.0  # of the song before a clip, so that a room still rings with it when the clip begins
LEAD = int(LEAD_SECONDS * RATE)
RAW = ("-f", "f32le", "-ar", str(RATE), "-ac", "1")  # what goes into ffmpeg and comes out

Samples = npt.NDArray[np.float64]  # mono at RATE
Generator = np.random.Generator


def level(samples: Samples) -> float:
    """Root mean square under A-weighting (IEC 61672), so that rumble which nobody hears does not count."""
    squared = np.fft.rfftfreq(samples.size, 1 / RATE) ** 2
    weights = (12194**2 * squared**2) / (
        (squared + 20.6**2) * np.sqrt((squared + 107.7**2) * (squared + 737.9**2)) * (squared + 12194**2)
    )
    weighted = np.fft.irfft(np.fft.rfft(samples) * weights, samples.size)
    return float(np.sqrt(np.mean(weighted**2)))


def levelled(samples: Samples) -> Samples:
    """Scale to a level of 1; silence stays silent."""
    return samples / max(level(samples), 1e-9)


def mixed(wanted: Samples, unwanted: Samples, ratio_db: float) -> Samples:
    """Add two sounds of the same length at this ratio of their levels; the first gets a level of 1."""
    return levelled(wanted) + levelled(unwanted) * 10 ** (-ratio_db / 20)


def drift(length: int, rng: Generator, every_seconds: float, low: float, high: float) -> Samples:
    """Return a smooth random curve between two values, with a new value about every so many seconds."""
    knots = max(4, int(length / RATE / every_seconds) + 2)
    curve = interpolate.PchipInterpolator(np.linspace(0, length, knots), rng.uniform(low, high, knots))
    return np.asarray(curve(np.arange(length)))


def low_passed(samples: Samples, hz: float, poles: int = 1) -> Samples:
    """Send through so many equal poles, 6 dB an octave each."""
    for _ in range(poles):
        samples = _analogue(samples, [_angular(hz)], [1, _angular(hz)])
    return samples


def high_passed(samples: Samples, hz: float) -> Samples:
    """Send through one pole."""
    return _analogue(samples, [1, 0], [1, _angular(hz)])


def resonated(samples: Samples, hz: float, quality: float) -> Samples:
    """Keep what lies around a resonance; its peak has gain 1."""
    width = _angular(hz) / quality
    return _analogue(samples, [width, 0], [1, width, _angular(hz) ** 2])


def resonant_low_passed(samples: Samples, hz: float, quality: float) -> Samples:
    """Two poles, as a mass on a spring moves; gain 1 far below."""
    return _analogue(samples, [_angular(hz) ** 2], [1, _angular(hz) / quality, _angular(hz) ** 2])


def resonant_high_passed(samples: Samples, hz: float, quality: float) -> Samples:
    """Two poles, as a closed box radiates; gain 1 far above."""
    return _analogue(samples, [1, 0, 0], [1, _angular(hz) / quality, _angular(hz) ** 2])


def murmur(length: int, rng: Generator, hz: float, poles: int = 1) -> Samples:
    """Noise that falls above a frequency, by 6 dB an octave and pole."""
    return levelled(low_passed(rng.standard_normal(length), hz, poles))


def hiss(length: int, rng: Generator, hz: float, quality: float) -> Samples:
    """Noise around a frequency."""
    return levelled(resonated(rng.standard_normal(length), hz, quality))


def placed(length: int, piece: Samples, start: int) -> Samples:
    """Return silence of this length with a piece in it; what reaches beyond either end is cut off."""
    out = np.zeros(length)
    first, last = max(0, start), min(length, start + piece.size)
    if first < last:
        out[first:last] = piece[first - start : last - start]
    return out


def filtered(samples: Samples, description: str) -> Samples:
    """Send through a filter of ffmpeg's; the length may change."""
    return _samples(_ffmpeg(_bytes(samples), *RAW, "-i", "-", "-af", description, *RAW, "-"))


def transcoded(samples: Samples, *codec: str) -> Samples:
    """Encode with these arguments of ffmpeg's and decode; the container says what delay the encoder adds."""
    encoded = _ffmpeg(_bytes(samples), *RAW, "-i", "-", *codec, "-f", "matroska", "-")
    return _samples(_ffmpeg(encoded, "-i", "-", *RAW, "-"))[: samples.size]


def _ffmpeg(sent: bytes, *arguments: str) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1", *arguments]
    return subprocess.run(command, input=sent, stdout=subprocess.PIPE, check=True).stdout


def _bytes(samples: Samples) -> bytes:
    return samples.astype("<f4").tobytes()


def _samples(received: bytes) -> Samples:
    return np.frombuffer(received, "<f4").astype(np.float64)


def _analogue(samples: Samples, numerator: list[float], denominator: list[float]) -> Samples:
    """Filter with a transfer function of s (coefficients from the highest power), by the bilinear transform."""
    return np.asarray(signal.lfilter(*signal.bilinear(numerator, denominator, RATE), samples))


def _angular(hz: float) -> float:
    """Return rad/s, bent so that the bilinear transform puts the corner where it belongs."""
    return 2 * RATE * float(np.tan(np.pi * hz / RATE))
