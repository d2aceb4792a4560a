"""Harmony as numbers: chord symbols, scales, the pitches that fit a chord, and voice leading."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SYMBOL = re.compile(r"([A-G][b#]?)([^/]*)(?:/([A-G][b#]?))?")

_QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7), "m": (0, 3, 7), "5": (0, 7), "dim": (0, 3, 6), "aug": (0, 4, 8),
    "sus2": (0, 2, 7), "sus4": (0, 5, 7), "add9": (0, 4, 7, 14), "madd9": (0, 3, 7, 14),
    "6": (0, 4, 7, 9), "m6": (0, 3, 7, 9), "69": (0, 4, 9, 14),
    "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "m7": (0, 3, 7, 10), "dim7": (0, 3, 6, 9),
    "m7b5": (0, 3, 6, 10), "7sus4": (0, 5, 7, 10), "7b9": (0, 4, 7, 10, 13), "7#9": (0, 4, 10, 15),
    "9": (0, 4, 10, 14), "m9": (0, 3, 10, 14), "maj9": (0, 4, 11, 14), "13": (0, 4, 10, 21),
    "m11": (0, 3, 10, 17),
}  # fmt: skip

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11), "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "harmonic_minor": (0, 2, 3, 5, 7, 8, 11), "freygish": (0, 1, 4, 5, 7, 8, 10),
    "bhairav": (0, 1, 4, 5, 7, 8, 11), "pelog": (0, 1, 3, 7, 8), "blues": (0, 3, 5, 6, 7, 10),
    "pentatonic_major": (0, 2, 4, 7, 9), "pentatonic_minor": (0, 3, 5, 7, 10),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord's root, bass and members as pitch classes, 0 is C."""

    root: int
    bass: int
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A tonic pitch class and its scale's pitch classes."""

    tonic: int
    scale: frozenset[int]


def pitch_class(name: str) -> int:
    """Return the pitch class of a note name such as `F#`; KeyError for none."""
    return (_LETTERS[name[0]] + name.count("#") - name.count("b")) % 12


def chord(symbol: str) -> Chord:
    """Read a chord symbol such as `F#m7` or `C/E`; ValueError for one that is not known."""
    found = _SYMBOL.fullmatch(symbol)
    if found is None or found[2] not in _QUALITIES:
        raise ValueError(f"unknown chord: {symbol}")
    root = pitch_class(found[1])
    members = tuple((root + interval) % 12 for interval in _QUALITIES[found[2]])
    return Chord(root, pitch_class(found[3]) if found[3] else root, members)


def key(name: str) -> Key:
    """Read a key such as `A minor`."""
    tonic_name, scale = name.split()
    tonic = pitch_class(tonic_name)
    return Key(tonic, frozenset((tonic + interval) % 12 for interval in SCALES[scale]))


def fitting(harmony: Chord, scale: frozenset[int]) -> frozenset[int]:
    """Return the pitch classes of chord and scale, without what rubs against the chord's alterations."""
    foreign = set(harmony.members) - scale
    rubbing = {(pitch + step) % 12 for pitch in foreign for step in (-1, 1)}
    return frozenset((scale - rubbing) | set(harmony.members))


def nearest(pitch: float, classes: frozenset[int]) -> int:
    """Return the MIDI pitch closest to `pitch` whose pitch class is among `classes`."""
    around = range(round(pitch) - 12, round(pitch) + 13)
    return min((p for p in around if p % 12 in classes), key=lambda p: (abs(p - pitch), p))


def voicing(harmony: Chord, previous: tuple[int, ...] | None, *, centre: int) -> tuple[int, ...]:
    """Return the close position around MIDI pitch `centre` that moves least from the previous voicing."""
    lows = [p for p in range(centre - 11, centre + 4) if p % 12 in harmony.members]
    stacks = [_stack(harmony, low) for low in lows]

    def effort(stack: tuple[int, ...]) -> float:
        drift = 0.6 * abs(sum(stack) / len(stack) - centre)
        if previous is None:
            return drift
        return drift + sum(min(abs(pitch - old) for old in previous) for pitch in stack)

    return min(stacks, key=effort)


def _stack(harmony: Chord, low: int) -> tuple[int, ...]:
    return tuple(sorted(low + (member - low) % 12 for member in set(harmony.members)))
