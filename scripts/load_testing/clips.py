"""What is sent: real clips and their fingerprints, as they are or nudged so that no cache knows them."""

from __future__ import annotations

import io
import random
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import CONTENT_TYPE, SAMPLE_RATE_HZ, Fingerprint, encode, extract

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.settings import Settings

Form: TypeAlias = Literal["fingerprint", "audio"]
Mix: TypeAlias = Literal["fingerprint", "audio", "mixed"]  # mixed: both by turns
_CONTENT_TYPES: dict[Form, str] = {"fingerprint": CONTENT_TYPE, "audio": "audio/wav"}
_SUFFIXES = frozenset({".aac", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".webm"})
_FULL_SCALE = 32_768
_NUDGED_COMPONENTS = 3  # of several thousand, each by one of about +-90: no other answer, another key
_NUDGED_SAMPLES = SAMPLE_RATE_HZ // 4
_NUDGED_BITS = 31  # of a sample's lowest: 60 dB below full scale


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip as both forms of a body are made from it."""

    name: str
    samples: NDArray[np.int16]  # (n,), mono at 16 kHz
    fingerprint: Fingerprint

    @classmethod
    def of(cls, name: str, samples: NDArray[np.float32]) -> Clip:
        """Take samples, (n,), mono at 16 kHz, within +-1."""
        rounded = np.clip(samples * _FULL_SCALE, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
        return cls(name, rounded, extract(rounded.astype(np.float32) / _FULL_SCALE))

    def backwards(self) -> Clip:
        """Return music that no catalogue holds."""
        return Clip.of(f"{self.name} backwards", self.samples[::-1].astype(np.float32) / _FULL_SCALE)

    def wav(self) -> bytes:
        """Return the samples as a WAV file."""
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
            writer.writeframes(self.samples.tobytes())
        return file.getvalue()


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, and the number of the clip that it is of."""

    clip: int
    content_type: str
    content: bytes


class Bodies:
    """Makes a body for each request, the clips by turns."""

    def __init__(self, clips: Sequence[Clip], form: Mix, *, fresh: bool) -> None:
        """fresh: no body is like any other, nor like one of another run."""
        self._clips = clips
        self._form = form
        self._random = random.Random() if fresh else None
        self._kept: dict[tuple[int, Form], Body] = {}

    def __call__(self, number: int) -> Body:
        """Return the body of a request."""
        clip, form = number % len(self._clips), self._form_of(number)
        if self._random is not None:
            return _body(clip, form, _nudged(self._clips[clip], form, self._random))
        if (clip, form) not in self._kept:
            self._kept[clip, form] = _body(clip, form, self._clips[clip])
        return self._kept[clip, form]

    def _form_of(self, number: int) -> Form:
        if self._form != "mixed":
            return self._form
        turns = number + number // len(self._clips)  # so that an even number of clips does not give each the same form
        return "audio" if turns % 2 else "fingerprint"


def read_clips(folder: Path, *, count: int, seed: int) -> list[Clip]:
    """Read so many of a folder's sound files, drawn by the seed; raises FileNotFoundError where there are none."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no sound files")
    drawn = random.Random(seed).sample(paths, min(count, len(paths)))
    limits = DecoderLimits.from_settings(Settings())
    return [Clip.of(str(path.relative_to(folder)), decode(path.read_bytes(), limits=limits)) for path in drawn]


def _body(number: int, form: Form, clip: Clip) -> Body:
    content = encode(clip.fingerprint) if form == "fingerprint" else clip.wav()
    return Body(number, _CONTENT_TYPES[form], content)


def _nudged(clip: Clip, form: Form, generator: random.Random) -> Clip:
    """Change what the form is made of by next to nothing."""
    if form == "fingerprint":
        embeddings = bytearray(clip.fingerprint.embeddings)
        for place in generator.sample(range(len(embeddings)), _NUDGED_COMPONENTS):
            embeddings[place] ^= 1
        return replace(clip, fingerprint=replace(clip.fingerprint, embeddings=bytes(embeddings)))
    samples = clip.samples.copy()
    start = generator.randrange(max(1, len(samples) - _NUDGED_SAMPLES))
    stretch = samples[start : start + _NUDGED_SAMPLES]
    stretch ^= np.frombuffer(generator.randbytes(stretch.nbytes), np.int16) & _NUDGED_BITS
    return replace(clip, samples=samples)
