"""Turns a style's plan into performed notes: form, sections, swing, looseness, dynamics."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from demo_music.melody import Motif, invent_motif
from demo_music.parts import Phrase, ending, play
from demo_music.score import Bar, Note, Part, Style
from demo_music.theory import Chord, chord, key

_SECTION_LOUDNESS = {
    "I": 0.75,
    "A": 0.9,
    "a": 0.92,
    "B": 1.0,
    "b": 1.0,
    "K": 0.72,
    "C": 1.0,
    "c": 1.05,
    "O": 0.8,
}
_ANSWERS = "abcO"
_TAIL_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class PerformedNote:
    """A note as it is heard: start and length in seconds, pitch in MIDI numbers."""

    start_seconds: float
    length_seconds: float
    pitch: int
    velocity: float


@dataclass(frozen=True, slots=True)
class Performance:
    """All notes of a piece, by part."""

    parts: tuple[tuple[Part, tuple[PerformedNote, ...]], ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Layout:
    """A piece's sections with their bars, and the bar of the final chord."""

    sections: tuple[tuple[str, list[Bar]], ...]
    final_bar: Bar


def perform(style: Style, seed: int) -> Performance:
    """Compose a piece: the same seed gives the same notes."""
    layout = _lay_out(style)
    performed = []
    for index, part in enumerate(style.parts):
        notes = _compose_part(part, style, layout, seed=seed, rng=_rng(seed, style.title, index))
        performed.append((part, _perform(notes, style, layout.final_bar, _rng(seed, style.title, index, "time"))))
    end = _seconds(layout.final_bar.start + style.beats, style, layout.final_bar)
    return Performance(tuple(performed), end + _TAIL_SECONDS)


def _compose_part(part: Part, style: Style, layout: _Layout, *, seed: int, rng: np.random.Generator) -> list[Note]:
    notes: list[Note] = []
    home = key(style.key)
    ahead = [*(bars[0] for _, bars in layout.sections[1:]), layout.final_bar]
    for (section, bars), following in zip(layout.sections, ahead, strict=True):
        if section in part.sections:
            phrase = Phrase(
                bars=bars,
                key=home,
                motif=_motif(style, part, section, seed),
                closed=section in _ANSWERS,
                ornamented=section in "Cc",
                following=following.chords[0],
            )
            loudness = _SECTION_LOUDNESS[section]
            notes += [replace(note, velocity=note.velocity * loudness) for note in play(part, phrase, rng)]
    if layout.sections[-1][0] in part.sections:
        notes += ending(part, layout.final_bar, home)
    return notes


def _lay_out(style: Style) -> _Layout:
    sections: list[tuple[str, list[Bar]]] = []
    beat = 0.0
    for section in style.form.split():
        bars = []
        for chords in _harmony(style, section):
            bars.append(Bar(beat, style.beats, chords))
            beat += style.beats
        sections.append((section, bars))
    return _Layout(tuple(sections), Bar(beat, style.beats, (_harmony(style, "A")[0][0],)))


def _harmony(style: Style, section: str) -> list[tuple[Chord, ...]]:
    text = style.harmony.get(section) or style.harmony.get(section.upper()) or style.harmony["A"]
    return [tuple(chord(symbol) for symbol in bar.split()) for bar in text.split("|")]


def _motif(style: Style, part: Part, section: str, seed: int) -> Motif:
    """All sections but B share a motif, whichever instrument sings it; a counter-melody has its own."""
    return invent_motif(_rng(seed, style.title, part.role, "B" if section in "Bb" else "A"))


def _perform(notes: list[Note], style: Style, final_bar: Bar, rng: np.random.Generator) -> tuple[PerformedNote, ...]:
    performed = []
    for note in notes:
        start = _seconds(_swung(note.start, style), style, final_bar)
        end = _seconds(_swung(note.start + note.length, style), style, final_bar)
        late = float(np.clip(rng.normal(0, style.loose_ms), -25, 25)) / 1000
        velocity = note.velocity * float(np.clip(rng.normal(1, 0.07), 0.75, 1.2))
        performed.append(PerformedNote(max(start + late, 0.0), end - start, note.pitch, velocity))
    return tuple(performed)


def _swung(beat: float, style: Style) -> float:
    """Delay what falls on the second half of each pair of swing units."""
    pair = 2 * style.swing_unit
    whole, part = divmod(beat + 1e-9, pair)
    middle = style.swing_unit * (1 + style.swing)
    return whole * pair + float(np.interp(part, [0, style.swing_unit, pair], [0, middle, pair]))


def _seconds(beat: float, style: Style, final_bar: Bar) -> float:
    """Return the time of a beat; a style that slows down takes a third longer at its very end."""
    straight = 60 * beat / style.tempo
    if not style.slows_down:
        return straight
    over = max(0.0, beat - (final_bar.start - 2 * style.beats))
    return straight + 60 / style.tempo * 0.3 * over**2 / (6 * style.beats)


def _rng(*names: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(names).encode()))
