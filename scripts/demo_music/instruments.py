"""The pitched instruments: four ways of making sound, and a table of settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from demo_music.synthesis import (
    SAMPLE_RATE,
    Signal,
    band_noise,
    envelope,
    filtered_tables,
    partials,
    plucked_string,
    scan_tables,
    seconds_of,
)


class Instrument(Protocol):
    """Anything that plays a note."""

    def play(self, pitch_hz: float, seconds: float, rng: np.random.Generator) -> Signal:
        """Return the note, its release included, with a peak around 1."""


@dataclass(frozen=True, slots=True)
class Subtractive:
    """Detuned oscillators through a swept low-pass filter; a vowel as shape makes a choir."""

    shape: str = "saw"
    voices: int = 1
    detune_cents: float = 7.0
    cutoff_hz: float = 2500.0
    sweep_octaves: float = 0.0  # above the cutoff, at the note's start
    sweep_seconds: float = 0.2
    resonance: float = 0.0
    attack: float = 0.01
    decay: float = 0.4
    sustain: float = 0.7
    release: float = 0.15
    vibrato_cents: float = 0.0
    glide_semitones: float = 0.0  # from below, in 60 ms
    breath: float = 0.0
    drive: float = 0.0

    def play(self, pitch_hz: float, seconds: float, rng: np.random.Generator) -> Signal:
        """Return the note."""
        shape = envelope(seconds, attack=self.attack, decay=self.decay, sustain=self.sustain, release=self.release)
        t = seconds_of(shape.size)
        bend = -100 * self.glide_semitones * np.exp(-t / 0.03)
        bend += self.vibrato_cents * np.sin(2 * np.pi * (5.2 * t + rng.random())) * np.minimum(t / 0.5, 1)
        cutoff = self.cutoff_hz * (pitch_hz / 262) ** 0.4 * 2 ** (self.sweep_octaves * np.exp(-t / self.sweep_seconds))
        tables = filtered_tables(self.shape, pitch_hz, resonance=self.resonance)
        signal = np.zeros(t.size)
        for offset in np.linspace(-1, 1, self.voices) if self.voices > 1 else (0.0,):
            pitch = pitch_hz * 2 ** ((bend + offset * self.detune_cents) / 1200)
            signal += scan_tables(tables, pitch, cutoff, phase=rng.random())
        signal /= np.sqrt(self.voices)
        if self.breath:
            signal += self.breath * band_noise(t.size, rng, low_hz=pitch_hz, high_hz=min(6 * pitch_hz, 9000))
        if self.drive:
            signal = np.tanh(self.drive * signal)
        return signal * shape


@dataclass(frozen=True, slots=True)
class FrequencyModulation:
    """A sine bent by a sine whose depth decays."""

    ratio: float = 1.0
    depth: float = 2.0
    depth_seconds: float = 0.4
    attack: float = 0.003
    decay: float = 1.2
    sustain: float = 0.0
    release: float = 0.25
    tremolo: float = 0.0

    def play(self, pitch_hz: float, seconds: float, rng: np.random.Generator) -> Signal:
        """Return the note."""
        shape = envelope(seconds, attack=self.attack, decay=self.decay, sustain=self.sustain, release=self.release)
        t = seconds_of(shape.size)
        depth = self.depth * np.exp(-t / self.depth_seconds) * min(1.0, 600 / pitch_hz)
        carrier = 2 * np.pi * pitch_hz * (1 + rng.normal(0, 0.0005)) * t
        wobble = 1 - self.tremolo * (0.5 + 0.5 * np.sin(2 * np.pi * 4.6 * t))
        return np.sin(carrier + depth * np.sin(self.ratio * carrier)) * shape * wobble


@dataclass(frozen=True, slots=True)
class Plucked:
    """A plucked string, damped at the note's end."""

    brightness: float = 0.5
    ring: float = 2.0
    release: float = 0.12
    drive: float = 0.0
    tremolo: float = 0.0

    def play(self, pitch_hz: float, seconds: float, rng: np.random.Generator) -> Signal:
        """Return the note."""
        shape = envelope(seconds, attack=0.001, decay=9.0, sustain=1.0, release=self.release)
        signal = plucked_string(pitch_hz, shape.size / SAMPLE_RATE, rng, brightness=self.brightness, ring=self.ring)[
            : shape.size
        ]
        signal /= np.abs(signal).max() + 1e-9
        if self.drive:
            signal = np.tanh(self.drive * signal)
        if self.tremolo:
            signal *= 1 - self.tremolo * (0.5 + 0.5 * np.sin(2 * np.pi * 6.5 * seconds_of(signal.size)))
        return signal * shape[: signal.size]


@dataclass(frozen=True, slots=True)
class Struck:
    """Bars, bells and strings under a hammer: partials that decay by themselves."""

    ratios: tuple[float, ...]
    ring: float = 1.0  # of the lowest partial at middle C, seconds to 1/e
    fall: float = 0.8  # how much faster higher partials decay
    dullness: float = 1.0  # how much softer they are
    hammer: float = 0.05
    damped: bool = False
    beating: float = 0.0  # detune of a second set, as gamelan pairs are tuned

    def play(self, pitch_hz: float, seconds: float, rng: np.random.Generator) -> Signal:
        """Return the note."""
        ratios = np.array(self.ratios)
        ring = self.ring * (262 / pitch_hz) ** 0.5
        length = min(4 * ring, 5.0)
        if self.damped:
            length = min(length, seconds + 0.2)
        gains, decays = ratios**-self.dullness, ring * ratios**-self.fall
        signal = partials(pitch_hz, length, ratios=ratios, gains=gains, decays=decays)
        if self.beating:
            signal += partials(pitch_hz * (1 + self.beating), length, ratios=ratios, gains=gains, decays=decays)
        t = seconds_of(signal.size)
        signal += self.hammer * np.exp(-t / 0.012) * band_noise(t.size, rng, low_hz=600, high_hz=5000)
        return np.asarray(signal * np.minimum(t / 0.002, 1) * np.minimum((t[-1] - t) / 0.1, 1))


_STRING_PARTIALS = tuple(n * (1 + 0.0004 * n * n) ** 0.5 for n in range(1, 13))

INSTRUMENTS: dict[str, Instrument] = {
    "piano": Struck(_STRING_PARTIALS, ring=1.3, fall=0.7, dullness=1.3, hammer=0.12, damped=True),
    "felt_piano": Struck(_STRING_PARTIALS[:7], ring=1.0, fall=0.9, dullness=1.9, hammer=0.2, damped=True),
    "marimba": Struck((1, 3.93, 9.2), ring=0.35, dullness=1.2, hammer=0.15),
    "vibraphone": Struck((1, 4.0, 10.0), ring=1.4, dullness=1.5, hammer=0.03),
    "music_box": Struck((1, 2.01, 5.4, 8.9), ring=1.1, fall=0.5, dullness=1.1, hammer=0.06),
    "gamelan": Struck((1, 2.76, 5.4, 8.93), ring=1.2, fall=0.6, dullness=0.9, beating=0.011),
    "gong": Struck((1, 1.48, 2.04, 2.67, 3.2, 4.1), ring=3.0, fall=0.7, dullness=0.9, beating=0.006),
    "tubular_bell": Struck((0.5, 1, 1.2, 1.5, 2, 2.7, 4.1), ring=1.8, fall=0.6, dullness=0.5),
    # ratio, depth, depth_seconds
    "electric_piano": FrequencyModulation(14, 0.7, 0.12, decay=1.4, sustain=0.05, tremolo=0.25),
    "soft_keys": FrequencyModulation(1, 1.4, 0.5, decay=1.2, sustain=0.2, tremolo=0.15),
    "fm_bass": FrequencyModulation(1, 3.0, 0.15, decay=0.5, sustain=0.4, release=0.06),
    "glass": FrequencyModulation(3.5, 1.6, 0.9, decay=1.6, release=0.9),
    "log_drum": FrequencyModulation(1.41, 2.2, 0.06, decay=0.25),
    # brightness, ring
    "nylon_guitar": Plucked(0.35, 2.2),
    "steel_guitar": Plucked(0.75, 3.0),
    "surf_guitar": Plucked(0.85, 2.2, drive=1.6, tremolo=0.45),
    "muted_guitar": Plucked(0.6, 0.35, release=0.04),
    "electric_guitar": Plucked(0.8, 4.0, drive=3.5),
    "harpsichord": Plucked(0.98, 1.8, release=0.08),
    "harp": Plucked(0.45, 3.0, release=0.8),
    "sitar": Plucked(0.95, 5.0, release=0.6, drive=2.2),
    "banjo": Plucked(0.95, 0.8, release=0.05),
    "upright_bass": Plucked(0.25, 1.6, release=0.1),
    "electric_bass": Plucked(0.45, 2.5, release=0.05, drive=1.3),
    "slap_bass": Plucked(0.9, 1.5, release=0.03, drive=2.0),
    # shape, voices, detune, cutoff, sweep and its seconds, resonance, attack, decay, sustain, release, vibrato, glide
    "synth_bass": Subtractive("saw", 2, 6, 350, 2.2, 0.12, 1.5, 0.004, 0.3, 0.6, 0.05),
    "acid_bass": Subtractive("saw", 1, 0, 300, 3.2, 0.14, 5.0, 0.003, 0.3, 0.5, 0.03, drive=1.4),
    "sub_bass": Subtractive("triangle", 1, 0, 400, 1.0, 0.1, 0, 0.005, 0.6, 0.8, 0.1, drive=1.5),
    "reese_bass": Subtractive("saw", 3, 18, 500, 0.8, 0.6, 0.5, 0.01, 1.0, 0.9, 0.08, drive=1.2),
    "chip_lead": Subtractive("pulse", 1, 0, 9000, 0, 0.1, 0, 0.002, 0.3, 0.6, 0.02, vibrato_cents=12),
    "chip_square": Subtractive("square", 1, 0, 9000, 0, 0.1, 0, 0.002, 0.15, 0.4, 0.02),
    "chip_bass": Subtractive("triangle", 1, 0, 9000, 0, 0.1, 0, 0.002, 0.5, 0.8, 0.02),
    "saw_lead": Subtractive("saw", 3, 9, 2600, 1.0, 0.3, 0.8, 0.01, 0.5, 0.7, 0.15, 14, 0.5),
    "square_lead": Subtractive("square", 2, 5, 1800, 0.8, 0.3, 0.8, 0.01, 0.5, 0.7, 0.15, 14, 1.0),
    "super_saw": Subtractive("saw", 7, 16, 3500, 0.8, 0.4, 0.2, 0.01, 0.6, 0.7, 0.25),
    "stab": Subtractive("saw", 4, 10, 900, 2.0, 0.09, 1.5, 0.003, 0.18, 0.1, 0.08),
    "pluck_synth": Subtractive("saw", 2, 6, 700, 2.6, 0.1, 1.0, 0.003, 0.25, 0.1, 0.15),
    "warm_pad": Subtractive("saw", 5, 11, 900, 0.6, 1.5, 0.3, 0.5, 1.5, 0.85, 0.9),
    "dark_pad": Subtractive("triangle", 3, 9, 700, 0.8, 2.0, 0.4, 0.9, 2.0, 0.9, 1.4),
    "brass": Subtractive("saw", 3, 7, 2200, -1.2, 0.09, 0.4, 0.05, 0.5, 0.8, 0.12, 8),
    "muted_trumpet": Subtractive("reed", 1, 0, 4500, -0.8, 0.08, 0, 0.04, 0.5, 0.8, 0.1, 16, 0.4),
    "strings": Subtractive("saw", 6, 10, 2000, -0.4, 0.4, 0.1, 0.18, 1.0, 0.9, 0.35, 9),
    "pizzicato": Plucked(0.3, 0.5, release=0.2),
    "cello": Subtractive("saw", 2, 4, 1500, -0.6, 0.2, 0.6, 0.09, 1.0, 0.85, 0.2, 14),
    "flute": Subtractive("triangle", 1, 0, 3000, 0, 0.1, 0, 0.06, 0.8, 0.85, 0.12, 15, 0.2, breath=0.07),
    "clarinet": Subtractive("square", 1, 0, 1700, -0.6, 0.1, 0.2, 0.04, 0.8, 0.85, 0.09, 12, 0.7),
    "accordion": Subtractive("reed", 2, 9, 4500, 0, 0.1, 0, 0.05, 0.5, 0.9, 0.07),
    "whistle": Subtractive("triangle", 1, 0, 5000, 0, 0.1, 0, 0.03, 0.5, 0.9, 0.06, 18, 0.3, breath=0.04),
    "violin": Subtractive("saw", 2, 3, 2800, -0.6, 0.15, 0.5, 0.07, 0.8, 0.9, 0.15, 20, 0.2),
    "organ": Subtractive("organ", 2, 4, 6000, 0, 0.1, 0, 0.012, 0.5, 0.95, 0.07, 5),
    "choir": Subtractive("ah", 5, 12, 5000, -0.5, 0.5, 0, 0.25, 1.0, 0.9, 0.5, 11),
    "soft_choir": Subtractive("oh", 5, 12, 4000, -0.5, 0.6, 0, 0.5, 1.0, 0.9, 0.9, 9),
    "tanpura": Plucked(0.9, 7.0, release=2.5),
}
