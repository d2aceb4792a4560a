"""How each role turns the bars of a phrase into notes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo_music.melody import Motif, ornamented, sing
from demo_music.score import Bar, Note, Part, Step, steps
from demo_music.theory import Chord, Key, nearest, voicing

_BASS_DEGREES = {"1": 0, "3": 1, "5": 2, "7": 3}


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a part needs to know of the phrase that it plays."""

    bars: list[Bar]
    key: Key
    motif: Motif
    closed: bool  # an answer, which ends at home
    ornamented: bool
    following: Chord  # the next phrase's first chord, to walk towards


def play(part: Part, phrase: Phrase, rng: np.random.Generator) -> list[Note]:
    """Return the notes of a part in a phrase."""
    if part.role in ("melody", "counter"):
        return _melody(part, phrase)
    if part.role == "chords":
        return _chords(part, phrase)
    if part.role == "bass":
        return _bass(part, phrase)
    if part.role == "arpeggio":
        return _arpeggio(part, phrase)
    if part.role == "drone":
        return _drone(part, phrase)
    return _drum(part, phrase, rng)


def ending(part: Part, bar: Bar, key: Key) -> list[Note]:
    """Return what a part plays in the last bar: the final chord, held."""
    if part.role == "drum":
        return [Note(bar.start, 1.0, part.centre, 0.8)]
    final, length = bar.chords[0], 0.9 * bar.beats
    if part.role == "chords":
        return [Note(bar.start, length, pitch, 0.8) for pitch in voicing(final, None, centre=part.centre)]
    target = final.bass if part.role == "bass" else key.tonic
    if target not in final.members:
        target = final.root
    return [Note(bar.start, length, nearest(part.centre, frozenset({target})), 0.8)]


def _melody(part: Part, phrase: Phrase) -> list[Note]:
    sung = sing(phrase.motif, phrase.bars, part.rhythm, key=phrase.key, centre=part.centre, closed=phrase.closed)
    return ornamented(sung, phrase.bars, phrase.key) if phrase.ornamented else sung


def _each_step(part: Part, phrase: Phrase) -> list[tuple[Bar, Step]]:
    cells = part.rhythm.split("|")
    return [(bar, step) for index, bar in enumerate(phrase.bars) for step in steps(cells[index % len(cells)])]


def _note(bar: Bar, step: Step, pitch: int) -> Note:
    return Note(bar.beat(step.start), step.length * bar.beats, pitch, step.velocity)


def _chords(part: Part, phrase: Phrase) -> list[Note]:
    notes: list[Note] = []
    stack: tuple[int, ...] | None = None
    harmony: Chord | None = None
    for bar, step in _each_step(part, phrase):
        if stack is None or bar.chord_at(step.start) != harmony:
            harmony = bar.chord_at(step.start)
            stack = voicing(harmony, stack, centre=part.centre)
        notes += [_note(bar, step, pitch) for pitch in stack]
    return notes


def _bass(part: Part, phrase: Phrase) -> list[Note]:
    notes: list[Note] = []
    following = [bar.chords[0] for bar in phrase.bars[1:]] + [phrase.following]
    ahead = dict(zip((bar.start for bar in phrase.bars), following, strict=True))
    previous = part.centre
    for bar, step in _each_step(part, phrase):
        harmony, goal = bar.chord_at(step.start), ahead[bar.start]
        previous = _bass_pitch(step.token, harmony, nearest(part.centre, frozenset({goal.bass})), part.centre, previous)
        notes.append(_note(bar, step, previous))
    return notes


def _bass_pitch(token: str, harmony: Chord, goal: int, centre: int, previous: int) -> int:
    root = nearest(centre, frozenset({harmony.bass}))
    if token == "8":
        return root + 12
    if token == "a":
        return goal + (1 if previous > goal else -1)
    if token == "w":
        towards = previous + (2 if goal >= previous else -2)
        choices = frozenset(harmony.members) - {previous % 12}
        return nearest(towards + (goal - previous) / 4, choices)
    degree = _BASS_DEGREES.get(token, 0)
    if degree == 0:
        return root
    member = harmony.members[min(degree, len(harmony.members) - 1)]
    return root + (member - root) % 12


def _arpeggio(part: Part, phrase: Phrase) -> list[Note]:
    notes: list[Note] = []
    stack: tuple[int, ...] | None = None
    harmony: Chord | None = None
    for bar, step in _each_step(part, phrase):
        if stack is None or bar.chord_at(step.start) != harmony:
            harmony = bar.chord_at(step.start)
            stack = voicing(harmony, stack, centre=part.centre)
        octave, index = divmod(int(step.token), len(stack))
        notes.append(_note(bar, step, stack[index] + 12 * octave))
    return notes


def _drone(part: Part, phrase: Phrase) -> list[Note]:
    """Play the tonic for `1`, its fifth for `5`, its octave for `8`, whatever the chord."""
    tonic = nearest(part.centre, frozenset({phrase.key.tonic}))
    interval = {"1": 0, "5": 7, "8": 12}
    return [_note(bar, step, tonic + interval[step.token]) for bar, step in _each_step(part, phrase)]


def _drum(part: Part, phrase: Phrase, rng: np.random.Generator) -> list[Note]:
    """Play the pattern; now and then leave out or add a soft stroke, and thicken the phrase's last bar."""
    notes = [
        _note(bar, step, part.centre)
        for bar, step in _each_step(part, phrase)
        if step.token != "o" or rng.random() > 0.12
    ]
    last = phrase.bars[-1]
    if part.instrument.startswith(("snare", "tom", "conga", "chip_snare")) and len(notes) > 2:
        fill = rng.choice(["....oxxX", "..x.x.xX", "...oxoxX", "....x.xX"])
        taken = {round(note.start, 3) for note in notes}
        extra = [_note(last, step, part.centre) for step in steps(str(fill))]
        notes += [note for note in extra if round(note.start, 3) not in taken]
    return notes
