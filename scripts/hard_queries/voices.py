"""People who talk: espeak-ng in several languages, and formant voices that babble in vowels."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable

import numpy as np
import soundfile
import soxr

from hard_queries.sound import RATE, Generator, Samples, hiss, placed, resonant_low_passed

Talker = Callable[[Generator], Samples]  # says something: active speech of a root mean square of 1

ENGLISH = (
    "we still need a present for her birthday on saturday",
    "no, the other bus, the one that stops behind the library",
    "he said the kitchen would be finished by the end of may",
    "do you think they will let us in without a ticket",
    "I paid far too much for those shoes, and look at them now",
    "it was snowing so hard that nobody went to work",
    "wait, I have to answer this, it is my mother",
    "half of them never even opened the book",
    "there were goats on the road and we had to stop for an hour",
    "ask the waiter whether the fish is fresh today",
)
LANGUAGES = {
    ("en-gb-scotland+Annie", "en-gb-x-rp+Andy", "en-us-nyc+linda", "en-029+grandpa", "en-gb-x-gbcwmd+Alicia"): ENGLISH,
    ("it+Alicia", "it+david"): (
        "domani mattina passo a prenderti davanti alla stazione",
        "non ho capito niente di quello che ha detto il professore",
    ),
    ("sv+travis", "sv+steph"): (
        "vi kan ju ta en kopp kaffe innan filmen",
        "jag har glömt mina nycklar hemma igen",
    ),
    ("pl+steph", "pl+victor"): (
        "wczoraj wieczorem spotkałem twojego brata w sklepie",
        "nie wiem, zapytaj ją jutro po południu",
    ),
    ("nl+adam", "nl+grandma"): (
        "we gaan morgen met de fiets naar zee",
        "dat heb ik hem gisteren ook al gezegd",
    ),
    ("tr+shelby", "tr+zac"): (
        "akşam yemeğine kaç kişi gelecek biliyor musun",
        "otobüs sabah yine geç geldi",
    ),
}
FORMANTS_HZ = (  # average men's vowels (Peterson & Barney 1952)
    (270, 2290, 3010),
    (390, 1990, 2550),
    (530, 1840, 2480),
    (660, 1720, 2410),
    (730, 1090, 2440),
    (570, 840, 2410),
    (440, 1020, 2240),
    (300, 870, 2240),
)
BANDWIDTHS_HZ = (60, 90, 150)


def drawn_talker(rng: Generator) -> Talker:
    """Draw a person: two of three speak a language."""
    return language_talker(rng) if rng.random() < 0.67 else formant_talker(rng)


def language_talker(rng: Generator) -> Talker:
    """A voice of espeak-ng at a pace and a pitch of its own."""
    voices, sentences = list(LANGUAGES.items())[rng.integers(len(LANGUAGES)) if rng.random() < 0.6 else 0]
    voice, pace, pitch = rng.choice(voices), rng.integers(125, 215), rng.integers(15, 90)
    command = ["espeak-ng", "--stdout", "-v", str(voice), "-s", str(pace), "-p", str(pitch)]

    def say(rng: Generator) -> Samples:
        spoken = subprocess.run([*command, str(rng.choice(sentences))], stdout=subprocess.PIPE, check=True).stdout
        speech, rate = soundfile.read(io.BytesIO(spoken))
        return _active(np.asarray(soxr.resample(speech, rate, RATE)))

    return say


def formant_talker(rng: Generator) -> Talker:
    """A voice that says vowels, hisses and stops of no language (glottal pulses after Rosenberg 1971)."""
    pitch, tract = rng.uniform(80, 260), rng.uniform(0.95, 1.25)  # a shorter tract has higher formants

    def say(rng: Generator) -> Samples:
        syllables = [_syllable(rng, pitch * rng.uniform(0.85, 1.25), tract) for _ in range(rng.integers(5, 12))]
        return _active(np.concatenate(syllables))

    return say


def talk(length: int, rng: Generator, talker: Talker) -> Samples:
    """One person talking with short pauses, from the first moment on."""
    said = [talker(rng)]
    while sum(map(len, said)) < length:
        said += [np.zeros(int(rng.uniform(0.1, 0.7) * RATE)), talker(rng)]
    return np.concatenate(said)[:length]


def conversation(length: int, rng: Generator) -> Samples:
    """Two people who take turns and interrupt each other; a louder and a softer one."""
    talkers = [drawn_talker(rng), drawn_talker(rng)]
    loudness = [1.0, rng.uniform(0.5, 1.0)]
    total, at, turn = np.zeros(length), -int(rng.uniform(0, 1) * RATE), int(rng.integers(2))
    while at < length:
        said = talkers[turn](rng)
        total += loudness[turn] * placed(length, said, at)
        at += max(RATE // 2, said.size + int(rng.uniform(-1.2, 0.3) * RATE))
        turn = 1 - turn
    return total


def _active(speech: Samples) -> Samples:
    """Cut off the silence at both ends, and scale by what is left."""
    loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())
    speech = speech[loud[0] : loud[-1] + 1]
    return speech / np.sqrt(np.mean(speech**2))


def _syllable(rng: Generator, pitch: float, tract: float) -> Samples:
    length = int(rng.uniform(0.1, 0.28) * RATE)
    turns = np.cumsum(pitch * np.linspace(1, rng.uniform(0.85, 1.1), length) / RATE)
    opening = np.minimum(turns % 1 / 0.6, 1)
    voiced = np.diff(3 * opening**2 - 2 * opening**3 - opening, prepend=0)
    for hz, width in zip(FORMANTS_HZ[rng.integers(len(FORMANTS_HZ))], BANDWIDTHS_HZ, strict=True):
        voiced = resonant_low_passed(voiced, tract * hz, tract * hz / width)
    voiced = voiced / np.sqrt(np.mean(voiced**2)) * np.sin(np.pi * np.arange(length) / length) ** 0.3
    consonant = np.zeros(int(rng.uniform(0.02, 0.08) * RATE))
    if rng.random() < 0.5:
        consonant = rng.uniform(0.1, 0.5) * hiss(consonant.size, rng, rng.uniform(2500, 6500), 2)
    return np.concatenate([consonant, voiced])
