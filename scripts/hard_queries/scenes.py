"""The places: each takes a song from LEAD before the clip on, and returns what is heard from the clip's start on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from hard_queries.loudspeaker import small_loudspeaker
from hard_queries.recorder import microphone, overloaded, voice_memo
from hard_queries.rooms import heard_in, large_room, living_room, reflections
from hard_queries.sound import LEAD, RATE, Generator, Samples, hiss, levelled, mixed, murmur
from hard_queries.traffic import cabin, driving, gusts, street
from hard_queries.voices import conversation, drawn_talker, talk
from hard_queries.warps import faster, higher, hurried

Scene = Callable[[Samples, Generator], Samples]


def small_speaker(music: Samples, rng: Generator) -> Samples:
    """A phone, laptop or bluetooth loudspeaker plays in a room, 1 to 3 m away, 3 dB below to 12 above what hums."""
    played = heard_in(small_loudspeaker(music, rng), living_room(rng, metres=rng.uniform(1, 3)))[LEAD:]
    return microphone(mixed(played, indoors(played.size, rng), rng.uniform(-3, 12)), rng)


def car(music: Samples, rng: Generator) -> Samples:
    """The car's loudspeakers, a phone in its holder, 0 to 8 dB above engine, road and wind."""
    played = heard_in(music, cabin(rng))[LEAD:]
    return microphone(mixed(played, driving(played.size, rng), rng.uniform(0, 8)), rng)


def street_corner(music: Samples, rng: Generator) -> Samples:
    """Music between house fronts, 10 dB below to 2 dB above the traffic, and wind on the microphone."""
    echoes = reflections(rng, int(rng.integers(4, 15)), rng.uniform(0.05, 0.2), rng.uniform(0, 8))
    heard = mixed(heard_in(music, echoes)[LEAD:], street(music.size - LEAD, rng), rng.uniform(-10, 2))
    return microphone(gusty(heard, rng), rng)


def two_talkers(music: Samples, rng: Generator) -> Samples:
    """Two people near the phone talk 0 to 10 dB louder than the music in the room."""
    played = heard_in(music, living_room(rng, metres=rng.uniform(1, 4)))[LEAD:]
    speech = heard_in(conversation(played.size, rng), living_room(rng, metres=rng.uniform(0.2, 0.6)))
    return microphone(mixed(played, speech, rng.uniform(-10, 0)), rng)


def far_room(music: Samples, rng: Generator) -> Samples:
    """Far away in a hall that rings for 1 to 2.5 s, 2 to 12 dB louder than the direct sound; with ventilation."""
    hall = large_room(rng, rng.uniform(1.2, 2.9), rng.uniform(-12, -2))  # its bass rings longest
    heard = heard_in(music, hall)[LEAD:]
    return microphone(mixed(heard, ventilation(heard.size, rng), rng.uniform(-5, 8)), rng)


def memo(music: Samples, rng: Generator) -> Samples:
    """A voice memo made in the room where the music plays."""
    played = heard_in(music, living_room(rng, metres=rng.uniform(0.5, 2)))[LEAD:]
    return voice_memo(microphone(mixed(played, indoors(played.size, rng), rng.uniform(0, 12)), rng), rng)


def song_then_speech(music: Samples, rng: Generator) -> Samples:
    """0.5 to 1.5 s of the song, then it is turned off and somebody talks."""
    played, ends = _in_living_room(music, rng), rng.uniform(0.5, 1.5)
    return _with_speech(played, rng, starts=round(ends * RATE), stops=played.size)


def speech_then_song(music: Samples, rng: Generator, seconds: float) -> Samples:
    """Somebody talks until the song is turned on, 0.5 to 1.5 s before the clip ends."""
    played, begins = _in_living_room(music, rng), seconds - rng.uniform(0.5, 1.5)
    return _with_speech(played, rng, starts=0, stops=round(begins * RATE))


def warped(music: Samples, _: Generator, how: Callable[[Samples, float], Samples], per_cent: float) -> Samples:
    """The song as it is, but faster, slower, higher or lower."""
    factor = 1 + per_cent / 100
    return how(music, factor)[round(LEAD / factor) if how is not higher else LEAD :]


def elsewhere(music: Samples, rng: Generator) -> Samples:
    """Any of the places."""
    scenes: tuple[Scene, ...] = (small_speaker, car, street_corner, far_room)
    return scenes[rng.integers(len(scenes))](music, rng)


def only_speech(music: Samples, rng: Generator) -> Samples:
    """One or two people in a quiet room, and no song."""
    length = music.size - LEAD
    speech = conversation(length, rng) if rng.random() < 0.5 else talk(length, rng, drawn_talker(rng))
    speech = heard_in(speech, living_room(rng, metres=rng.uniform(0.2, 2)))
    return microphone(mixed(speech, indoors(length, rng), rng.uniform(10, 30)), rng)


def only_car(music: Samples, rng: Generator) -> Samples:
    """A drive without a song."""
    return microphone(driving(music.size - LEAD, rng), rng)


def only_street(music: Samples, rng: Generator) -> Samples:
    """A street without a song."""
    return microphone(gusty(levelled(street(music.size - LEAD, rng)), rng), rng)


def gusty(samples: Samples, rng: Generator) -> Samples:
    """Add gusts, which to a meter are 6 dB quieter to 10 dB louder than all else."""
    strength = np.sqrt(np.mean(samples**2)) * 10 ** (rng.uniform(-6, 10) / 20)
    return overloaded(samples + strength * gusts(samples.size, rng), rng)


def indoors(length: int, rng: Generator) -> Samples:
    """A room: a murmur through its walls, and a machine that whirs."""
    return murmur(length, rng, rng.uniform(100, 600)) + rng.uniform(0, 0.7) * hiss(
        length, rng, rng.uniform(300, 3000), 2
    )


def ventilation(length: int, rng: Generator) -> Samples:
    """Air from ducts, and the fan's blades in it with their overtones."""
    air = murmur(length, rng, rng.uniform(200, 800)) + rng.uniform(0, 0.4) * hiss(length, rng, 4000, 0.5)
    angle = 2 * np.pi * rng.uniform(70, 240) * np.arange(length) / RATE
    blades = sum((np.sin(n * angle + rng.uniform(0, 6.3)) / n for n in range(1, 6)), np.zeros(length))
    return levelled(air) + rng.uniform(0.1, 0.5) * levelled(blades)


def _in_living_room(music: Samples, rng: Generator) -> Samples:
    return levelled(heard_in(music, living_room(rng, metres=rng.uniform(0.5, 2)))[LEAD:])


def _with_speech(played: Samples, rng: Generator, *, starts: int, stops: int) -> Samples:
    """Replace a part of the song by speech of about its loudness; a knob turns for 50 ms."""
    speech = np.zeros(played.size)
    speech[starts:stops] = talk(stops - starts, rng, drawn_talker(rng))
    speech = heard_in(speech, living_room(rng, metres=rng.uniform(0.2, 0.6)))
    knob = RATE // 20
    volume = np.interp(np.arange(played.size), [starts - knob, starts, stops, stops + knob], [1, 0, 0, 1])
    heard = played * volume + levelled(speech) * 10 ** (rng.uniform(-3, 3) / 20)
    return microphone(mixed(heard, indoors(played.size, rng), rng.uniform(20, 35)), rng)


FASTER, HURRIED, HIGHER = (partial(warped, how=how) for how in (faster, hurried, higher))
