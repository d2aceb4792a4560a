"""What a piece is made of: bars, notes, parts, a style; and the notation of rhythms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from demo_music.theory import Chord

Role = Literal["melody", "counter", "chords", "bass", "arpeggio", "drone", "drum"]
Colour = Literal["clean", "vinyl", "dub", "warm", "crushed"]

_VELOCITIES = {"X": 1.0, "x": 0.8, "o": 0.5}


@dataclass(frozen=True, slots=True)
class Step:
    """A sounding place of a rhythm; start and length in bars."""

    start: float
    length: float
    token: str

    @property
    def velocity(self) -> float:
        """The loudness in [0, 1] that its token stands for."""
        return _VELOCITIES.get(self.token, 0.8)

    def held_until(self, end: float) -> Step:
        """The same step, sounding until `end` of the bar."""
        return replace(self, length=max(end - self.start, self.length))


@dataclass(frozen=True, slots=True)
class Note:
    """A sounding note; start and length in beats, pitch in MIDI numbers, velocity in [0, 1]."""

    start: float
    length: float
    pitch: int
    velocity: float

    def at_pitch(self, pitch: int) -> Note:
        """The same note at another pitch."""
        return replace(self, pitch=pitch)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: where it starts, how long it is (both in beats), and its chords, evenly spaced."""

    start: float
    beats: int
    chords: tuple[Chord, ...]

    def chord_at(self, position: float) -> Chord:
        """Return the chord at a position in [0, 1) of the bar."""
        return self.chords[int(position * len(self.chords) + 1e-9)]

    def beat(self, position: float) -> float:
        """Return the beat of the piece at a position of the bar."""
        return self.start + position * self.beats


@dataclass(frozen=True, slots=True)
class Part:
    """One instrument's line: its role, its rhythm, and the sections in which it plays.

    A rhythm divides a bar evenly: `X x o` sound (loud, normal, soft), `-` holds, `.` rests, `|` ends a bar.
    Bass lines write chord degrees `1 3 5 7 8`, `w` (walk) and `a` (approach); arpeggios `0`-`9`, a chord's
    notes from below; drones `1 5 8`. A level is relative to what its role has.
    """

    role: Role
    instrument: str
    rhythm: str
    sections: str = "AaBbCc"
    centre: int = 60
    level_db: float = 0.0
    reverb: float = 0.2
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Style:
    """A piece's plan. `form` lists phrases: I intro, A/a, B/b, K break, C/c the return of A, O outro.

    A small letter is the phrase's answer: same harmony, closing cadence. Missing harmonies are those of A.
    """

    title: str
    artist: str
    album: str
    genre: str
    release_date: str
    tempo: float  # beats a minute
    key: str
    form: str
    harmony: dict[str, str]
    parts: tuple[Part, ...]
    beats: int = 4
    swing: float = 0.0  # how late off-beats come: 0 straight, 0.33 triplets
    swing_unit: float = 0.5  # beats
    loose_ms: float = 6.0
    room_seconds: float = 1.4
    colour: Colour = "clean"
    ducking: float = 0.0  # how far the kick pushes the rest down
    slows_down: bool = False


def steps(rhythm: str) -> list[Step]:
    """Read one bar of a rhythm."""
    found: list[Step] = []
    for index, token in enumerate(rhythm):
        if token == "-" and found:
            found[-1] = replace(found[-1], length=found[-1].length + 1 / len(rhythm))
        elif token not in ".-":
            found.append(Step(index / len(rhythm), 1 / len(rhythm), token))
    return found
