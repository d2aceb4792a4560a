"""Melodies: a motif, its development over a phrase, and a cadence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from demo_music.score import Bar, Note, Step, steps
from demo_music.theory import Chord, Key, fitting, nearest

_CONTOUR_POINTS = 16
_SEMITONES_A_STEP = 1.8
_LEAP_SEMITONES = 8


@dataclass(frozen=True, slots=True)
class Motif:
    """The shape of one bar of melody, in scale steps from its anchor at 16 points of the bar."""

    contour: tuple[int, ...]
    sequence_steps: int

    def at(self, position: float, *, inverted: bool = False) -> int:
        """Return the scale steps at a position in [0, 1) of the bar."""
        step = self.contour[int(position * _CONTOUR_POINTS)]
        return -step if inverted else step


def invent_motif(rng: np.random.Generator) -> Motif:
    """Draw a motif: a few leaps between beats, joined by steps and neighbours; neither flat nor jagged."""
    while True:
        beats = np.cumsum(rng.choice([-3, -2, -1, 1, 2, 3], size=5, p=[0.1, 0.2, 0.2, 0.2, 0.2, 0.1]))
        beats -= beats[0]
        if 3 <= np.ptp(beats) <= 5 and len(set(beats)) >= 4:
            break
    line = np.interp(np.arange(_CONTOUR_POINTS) / 4, np.arange(5), beats)
    neighbours = rng.choice([-1, 0, 1], size=_CONTOUR_POINTS) * (np.arange(_CONTOUR_POINTS) % 2)
    contour = tuple(int(step) for step in np.round(line) + neighbours)
    return Motif(contour, int(rng.choice([-2, -1, 1, 2])))


def sing(motif: Motif, bars: list[Bar], rhythm: str, *, key: Key, centre: int, closed: bool) -> list[Note]:
    """Develop a motif over a phrase: statement, sequence, climax and cadence, every four bars.

    A question turns the motif upside down at its climax and ends on any note of its last chord; an answer
    (`closed`) repeats it higher and ends on the tonic.
    """
    cells = rhythm.split("|")
    notes: list[Note] = []
    previous = centre
    for index, bar in enumerate(bars):
        cell = steps(cells[index % len(cells)])
        if index % 4 == 3 or bar is bars[-1]:
            cell = _come_to_rest(cell)
        rise = motif.sequence_steps * (0, 1, 2, 0)[index % 4] + (index % 8 >= 4) * 2
        inverted = index % 4 == 2 and not closed
        for step in cell:
            wanted = centre + rise + _SEMITONES_A_STEP * motif.at(step.start, inverted=inverted)
            wanted = float(np.clip(wanted, previous - _LEAP_SEMITONES, previous + _LEAP_SEMITONES))
            harmony = bar.chord_at(step.start)
            classes = frozenset(harmony.members) if _is_stressed(step) else fitting(harmony, key.scale)
            previous = _choose(wanted, previous, classes)
            notes.append(Note(bar.beat(step.start), step.length * bar.beats, previous, step.velocity))
    if notes:
        notes[-1] = notes[-1].at_pitch(_resting_pitch(notes[-1].pitch, bars[-1].chords[-1], key, closed=closed))
    return notes


def ornamented(notes: list[Note], bars: list[Bar], key: Key) -> list[Note]:
    """Return the melody with its long notes broken: each steps towards the next on its way."""
    decorated: list[Note] = []
    for note, following in zip(notes, [*notes[1:], None], strict=True):
        if following is None or note.length < 1 or abs(following.pitch - note.pitch) < 2:
            decorated.append(note)
            continue
        bar = next(bar for bar in reversed(bars) if bar.start <= note.start)
        middle = note.start + note.length / 2
        harmony = bar.chord_at(min((middle - bar.start) / bar.beats, 0.999))
        passing = nearest((note.pitch + following.pitch) / 2, fitting(harmony, key.scale))
        decorated += [
            replace(note, length=note.length / 2),
            Note(middle, note.length / 2, passing, 0.85 * note.velocity),
        ]
    return decorated


def _come_to_rest(cell: list[Step]) -> list[Step]:
    """Keep the first half of a bar's rhythm and hold its last note."""
    kept = [step for step in cell if step.start < 0.5] or cell[:1]
    return [*kept[:-1], kept[-1].held_until(0.9)] if kept else []


def _is_stressed(step: Step) -> bool:
    return (step.start * 4) % 1 == 0 or step.length >= 0.25


def _choose(wanted: float, previous: int, classes: frozenset[int]) -> int:
    """Pick the closest pitch of these classes, rather not the previous one again."""
    around = [pitch for pitch in range(round(wanted) - 7, round(wanted) + 8) if pitch % 12 in classes]
    return min(around, key=lambda pitch: (abs(pitch - wanted) + 1.2 * (pitch == previous), pitch))


def _resting_pitch(pitch: int, harmony: Chord, key: Key, *, closed: bool) -> int:
    at_home = closed and key.tonic in harmony.members
    return nearest(pitch, frozenset({key.tonic} if at_home else harmony.members))
