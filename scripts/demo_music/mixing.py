"""Renders a performance: notes to buses, effects, and a master that is even in level and never clips."""

from __future__ import annotations

import zlib

import numpy as np

from demo_music.arrangement import PerformedNote, perform
from demo_music.drums import DRUMS
from demo_music.effects import coloured, delay, filtered, reverb
from demo_music.instruments import INSTRUMENTS
from demo_music.score import Part, Style
from demo_music.synthesis import SAMPLE_RATE, Signal, seconds_of

_ROLE_DB = {
    "melody": 0.0,
    "counter": -4.5,
    "chords": -6.0,
    "bass": -1.5,
    "arpeggio": -6.0,
    "drone": -7.0,
    "drum": -4.0,
}
_DRUM_DB = {
    "kick": 3.0,
    "hat": -9.0,
    "shaker": -10.0,
    "ride": -9.0,
    "crash": -8.0,
    "tambourine": -9.0,
    "brush": -7.0,
}
_MASTER_RMS = 0.14  # -17 dBFS
_PEAK_MAX = 0.95
_FRAME = SAMPLE_RATE // 20
_VARIANTS = 3  # takes of the same note, so that repetitions do not sound like a machine's


def render(style: Style, seed: int) -> Signal:
    """Compose and synthesise a piece; mono at SAMPLE_RATE, within +-0.95."""
    performance = perform(style, seed)
    samples = int(performance.seconds * SAMPLE_RATE)
    rng = np.random.default_rng(zlib.crc32(f"{style.title} {seed}".encode()))
    dry, wet, echo = np.zeros(samples), np.zeros(samples), np.zeros(samples)
    duck = _ducking(style, performance.parts, samples)
    for part, notes in performance.parts:
        if not notes:
            continue
        bus = _levelled(_bus(part, notes, samples, rng), part)
        if part.role != "drum":
            bus *= duck
        dry += bus
        wet += part.reverb * bus
        echo += part.delay * bus
    beat = 60 / style.tempo
    mix = dry + reverb(wet + 0.3 * echo, style.room_seconds, rng) + delay(echo, 0.75 * beat)
    return _master(coloured(mix, style.colour, rng))


def _bus(part: Part, notes: tuple[PerformedNote, ...], samples: int, rng: np.random.Generator) -> Signal:
    bus = np.zeros(samples + 8 * SAMPLE_RATE)
    takes: dict[tuple[int, int, int], Signal] = {}
    for count, note in enumerate(notes):
        length = 0 if part.role == "drum" else int(np.ceil(note.length_seconds * 16))
        name = (note.pitch, length, count % _VARIANTS)
        if name not in takes:
            takes[name] = _take(part, note.pitch, length / 16, rng)
        take = takes[name]
        start = int(note.start_seconds * SAMPLE_RATE)
        bus[start : start + take.size] += note.velocity**1.5 * take[: bus.size - start]
    return bus[:samples]


def _take(part: Part, pitch: int, seconds: float, rng: np.random.Generator) -> Signal:
    if part.role == "drum":
        return DRUMS[part.instrument].hit(rng)
    pitch_hz = 440 * 2 ** ((pitch - 69) / 12)
    return INSTRUMENTS[part.instrument].play(pitch_hz, seconds, rng)


def _levelled(bus: Signal, part: Part) -> Signal:
    """Bring a bus to its role's loudness, measured on its loud frames: a rare crash counts like a pad."""
    frames = np.sqrt(np.mean(bus[: bus.size // _FRAME * _FRAME].reshape(-1, _FRAME) ** 2, axis=1))
    loudness = np.quantile(frames[frames > 0.05 * frames.max()], 0.8)
    kind = part.instrument.split("_")[0]
    gain_db = _ROLE_DB[part.role] + part.level_db + (_DRUM_DB.get(kind, 0.0) if part.role == "drum" else 0.0)
    return bus * (10 ** (gain_db / 20) / max(float(loudness), 1e-9))


def _ducking(style: Style, parts: tuple[tuple[Part, tuple[PerformedNote, ...]], ...], samples: int) -> Signal:
    """Return the gain that lets the kick through: down at each stroke, back within 0.25 s."""
    gain = np.ones(samples)
    if not style.ducking:
        return gain
    dip = 1 - style.ducking * np.exp(-seconds_of(SAMPLE_RATE // 2) / 0.11)
    for part, notes in parts:
        if part.instrument.startswith("kick"):
            for note in notes:
                start = int(note.start_seconds * SAMPLE_RATE)
                stretch = gain[start : start + dip.size]
                np.minimum(stretch, dip[: stretch.size], out=stretch)
    return gain


def _master(mix: Signal) -> Signal:
    """Cut the rumble, ride the gain down where it is loud, saturate softly, fade the ends."""
    mix = filtered(mix, low_hz=30, high_hz=10_500)
    mix *= _MASTER_RMS / np.sqrt(np.mean(mix**2))
    frames = np.sqrt(np.mean(mix[: mix.size // _FRAME * _FRAME].reshape(-1, _FRAME) ** 2, axis=1))
    smooth = np.convolve(np.pad(frames, 10, mode="edge"), np.ones(21) / 21, mode="valid")
    ride = np.minimum(1.0, (1.2 * _MASTER_RMS / np.maximum(smooth, 1e-6)) ** 0.5)
    mix *= np.interp(np.arange(mix.size), (np.arange(ride.size) + 0.5) * _FRAME, ride)
    mix = _PEAK_MAX * np.tanh(1.15 * mix / _PEAK_MAX)
    t = seconds_of(mix.size)
    return np.asarray(mix * np.minimum(t / 0.01, 1) * np.minimum((t[-1] - t) / 1.2, 1))
