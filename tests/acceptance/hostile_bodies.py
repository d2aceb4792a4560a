"""Bodies that no honest client sends: damaged, lying, huge or empty, from a seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import sonica_fingerprint

from tests.clips import FFMPEG_FORMATS, SOUNDFILE_FORMATS, encoded
from tests.music import RATE_HZ, make_music

EXTREMES = (0, 1, 2, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
FINGERPRINT = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}
FORM = {"Content-Type": "multipart/form-data; boundary=xyz"}


@dataclass(frozen=True, slots=True)
class Hostile:
    """A body with its headers; the label says in a failure what it was."""

    label: str
    content: bytes
    headers: dict[str, str] = field(default_factory=dict)


def hostile_bodies(seed: int, count: int) -> Iterator[Hostile]:
    """Yield `count` bodies, each kind in turn."""
    noise = random.Random(seed)
    for number in range(count):
        make = KINDS[number % len(KINDS)]
        made = make(noise)
        yield Hostile(f"{number} {make.__name__} {made.label}", made.content, made.headers)


@cache
def original(name: str) -> bytes:
    """Return a valid clip of two seconds."""
    if name == "fingerprint":
        return sonica_fingerprint.encode(sonica_fingerprint.extract(make_music(1, 2.0)))
    rate_hz = 48_000 if name in ("opus", "webm") else RATE_HZ
    return encoded(make_music(1, 2.0)[:, np.newaxis], name, rate_hz=rate_hz)


@cache
def silence(name: str, seconds: int) -> bytes:
    """Return much silence in few bytes."""
    return encoded(np.zeros((seconds * 8_000, 1), np.float32), name, rate_hz=8_000)


def truncated(noise: random.Random) -> Hostile:
    name, clip = _any_original(noise)
    return _as_sent(name, clip[: noise.randrange(len(clip))])


def noise_after_header(noise: random.Random) -> Hostile:
    name, clip = _any_original(noise)
    return _as_sent(name, clip[: noise.randrange(4, 200)] + noise.randbytes(noise.randrange(20_000)))


def flipped(noise: random.Random) -> Hostile:
    name, clip = _any_original(noise)
    damaged = bytearray(clip)
    for _ in range(noise.choice((1, 5, 50, 500))):
        damaged[noise.randrange(len(damaged))] = noise.randrange(256)
    return _as_sent(name, bytes(damaged))


def flipped_header(noise: random.Random) -> Hostile:
    """Lengths, rates, channels and counts all live within the first bytes."""
    name, clip = _any_original(noise)
    damaged = bytearray(clip)
    for _ in range(noise.randint(1, 4)):
        at = noise.randrange(4, min(120, len(damaged) - 4))
        damaged[at : at + 4] = struct.pack(noise.choice("<>") + "I", noise.choice(EXTREMES))
    return _as_sent(name, bytes(damaged))


def spliced(noise: random.Random) -> Hostile:
    (name, clip), (_, other) = _any_original(noise), _any_original(noise)
    return _as_sent(name, clip[: noise.randrange(len(clip))] + other[noise.randrange(len(other)) :])


def false_wav_header(noise: random.Random) -> Hostile:
    rate_hz, channels, bits = noise.choice(EXTREMES), noise.choice((0, 1, 8, 33, 65_535)), noise.choice((0, 1, 24, 64))
    form = struct.pack("<HHIIHH", noise.choice((0, 1, 3, 85, 0xFFFE)), channels, rate_hz, 0xFFFF_FFFF, 0, bits)
    claimed = noise.choice(EXTREMES)
    head = b"RIFF" + struct.pack("<I", claimed) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return Hostile(f"{claimed} B", head + b"data" + struct.pack("<I", claimed) + noise.randbytes(1000))


def two_gigabytes_claimed(noise: random.Random) -> Hostile:
    clip = bytearray(original("wav"))
    clip[4:8] = clip[40:44] = struct.pack("<I", 0x7FFF_FFFF)
    return Hostile("", bytes(clip[: noise.randrange(44, len(clip))]))


def three_hours_claimed(noise: random.Random) -> Hostile:
    clip = bytearray(original("mp3"))
    frames_at = max(clip.find(b"Xing"), clip.find(b"Info")) + 8
    clip[frames_at : frames_at + 4] = struct.pack(">I", 3 * 3600 * RATE_HZ // 576)
    return Hostile("", bytes(clip[: noise.randrange(frames_at + 4, len(clip))]))


def not_numbers(noise: random.Random) -> Hostile:
    samples = make_music(1, 1.0)[:, np.newaxis].copy()
    samples[noise.randrange(len(samples))] = noise.choice((np.nan, np.inf, -np.inf, 3e38))
    return Hostile("", encoded(samples, "wav_float", rate_hz=RATE_HZ))


def few_samples(noise: random.Random) -> Hostile:
    count, name = noise.choice((0, 1, 2)), noise.choice(tuple(SOUNDFILE_FORMATS))
    rate_hz = 48_000 if name == "opus" else RATE_HZ
    return Hostile(f"{count} {name}", encoded(np.ones((count, 1), np.float32), name, rate_hz=rate_hz))


def unusual_form(noise: random.Random) -> Hostile:
    rate_hz, channels = noise.choice((1, 100, 4_000, 96_000, 700_000)), noise.choice((1, 2, 8, 40))
    samples = np.zeros((1000, channels), np.float32)
    return Hostile(f"{rate_hz} {channels}", encoded(samples, "wav_24_bit", rate_hz=rate_hz))


def hour_of_silence(noise: random.Random) -> Hostile:
    name = noise.choice(("flac", "vorbis"))
    return Hostile(name, silence(name, 3600))


def damaged_fingerprint(noise: random.Random) -> Hostile:
    damaged = bytearray(original("fingerprint"))
    at = noise.choice((0, 4, 5, 8, 12, noise.randrange(16, len(damaged) - 4)))
    damaged[at : at + 4] = struct.pack("<I", noise.choice(EXTREMES))
    return Hostile(
        f"at {at}", bytes(damaged[: noise.choice((len(damaged), noise.randrange(len(damaged))))]), FINGERPRINT
    )


def damaged_form(noise: random.Random) -> Hostile:
    head = b'--xyz\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
    form = bytearray(head + original("wav") + b"\r\n--xyz--\r\n")
    for _ in range(noise.randrange(4)):
        form[noise.randrange(len(head))] = noise.randrange(256)
    return Hostile("", bytes(form[: noise.choice((len(form), noise.randrange(len(form))))]), FORM)


def stated_samples(noise: random.Random) -> Hostile:
    rate, channels = noise.choice((*EXTREMES, "", "x", -1)), noise.choice((*EXTREMES, "", "x", -1))
    content_type = f"audio/L16;rate={rate};channels={channels}"
    return Hostile(content_type, noise.randbytes(noise.randrange(5000)), {"Content-Type": content_type})


def anything(noise: random.Random) -> Hostile:
    head = noise.choice((b"", b"\xff\xfb\x90", b"\xff\xf1", b"ID3\x04\0\0\x7f\x7f\x7f\x7f", b"OggS", b"{}", b"<html>"))
    return Hostile(repr(head), head + noise.randbytes(noise.choice((0, 1, 10, 1000, 50_000))))


def _any_original(noise: random.Random) -> tuple[str, bytes]:
    name = noise.choice((*SOUNDFILE_FORMATS, *FFMPEG_FORMATS, "fingerprint"))
    return name, original(name)


def _as_sent(name: str, content: bytes) -> Hostile:
    return Hostile(name, content, FINGERPRINT if name == "fingerprint" else {})


KINDS: tuple[Callable[[random.Random], Hostile], ...] = (
    truncated,
    noise_after_header,
    flipped,
    flipped_header,
    spliced,
    false_wav_header,
    two_gigabytes_claimed,
    three_hours_claimed,
    not_numbers,
    few_samples,
    unusual_form,
    hour_of_silence,
    damaged_fingerprint,
    damaged_form,
    stated_samples,
    anything,
)
