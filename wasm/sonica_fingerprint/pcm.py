"""WAV files and headerless PCM: audio that a host without a decoder reads by itself, with the standard library alone.

What is read is read as the origin reads it; whatever is out of the ordinary is refused, for the origin to judge.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from typing import Literal

from sonica_fingerprint.errors import UnreadableAudio
from sonica_fingerprint.fingerprint import SAMPLE_RATE_HZ

Form = Literal["u8", "s16", "s24", "s32", "f32"]

CHANNELS_MAX = 2  # the mean of more depends on the order in which they are added
RATE_HZ_MIN, RATE_HZ_MAX = 4_000, 384_000  # what the origin takes
_FLOAT_MAX = 32.0  # beyond, the origin looks at the whole clip to tell how it was scaled
_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of KSDATAFORMAT_SUBTYPE_*, after the two of the tag
_FORMS: dict[tuple[int, int], Form] = {
    (_INTEGER, 8): "u8",
    (_INTEGER, 16): "s16",
    (_INTEGER, 24): "s24",
    (_INTEGER, 32): "s32",
    (_FLOAT, 32): "f32",
}
_SKIPPED = (b"LIST", b"JUNK", b"FLLR", b"fact", b"PEAK", b"bext")  # what recorders put before the samples
_BYTES: dict[Form, int] = {"u8": 1, "s16": 2, "s24": 3, "s32": 4, "f32": 4}


@dataclass(frozen=True, slots=True)
class Pcm:
    """Interleaved samples and what they are."""

    data: memoryview
    form: Form
    rate_hz: int
    channels: int = 1
    big_endian: bool = False

    def __post_init__(self) -> None:
        if not RATE_HZ_MIN <= self.rate_hz <= RATE_HZ_MAX or not 1 <= self.channels <= CHANNELS_MAX:
            raise UnreadableAudio(f"{self.rate_hz} Hz, {self.channels} channels")

    def mono(self, *, seconds_max: float) -> array[float]:
        """Return the mean of the channels as float32, full scale 1, at rate_hz; a frame cut in two is dropped."""
        frame_bytes = _BYTES[self.form] * self.channels
        frames = min(len(self.data) // frame_bytes, int(seconds_max * self.rate_hz) + 1)
        samples = _floats(bytes(self.data[: frames * frame_bytes]), self.form, big_endian=self.big_endian)
        if self.channels == 1:
            return samples
        return array("f", [(left + right) * 0.5 for left, right in zip(samples[::2], samples[1::2], strict=True)])


def read_wav(body: bytes | memoryview) -> Pcm:
    """Return the samples of a RIFF WAVE file. Raises UnreadableAudio for any other, and for a WAVE that is odd."""
    view = memoryview(body)
    if bytes(view[:4]) + bytes(view[8:12]) != b"RIFFWAVE":
        raise UnreadableAudio("the bytes do not start like a WAVE file")
    form: tuple[Form, int, int] | None = None
    at = 12
    while at + 8 <= len(view):
        name, length = bytes(view[at : at + 4]), struct.unpack_from("<I", view, at + 4)[0]
        chunk = view[at + 8 : at + 8 + length]
        if name == b"data" and form is not None:  # of a stream that had no end yet, as long as there is
            kind, rate_hz, channels = form
            return Pcm(chunk, kind, rate_hz, channels)
        if len(chunk) < length or length % 2:
            raise UnreadableAudio("a chunk that ends too early, or amid a word")
        if name == b"fmt " and form is None:
            form = _read_form(chunk)
        elif name not in _SKIPPED:
            raise UnreadableAudio(f"a chunk {name!r} out of its place")
        at += 8 + length
    raise UnreadableAudio("there is no audio in the file")


def to_fingerprint_rate(samples: array[float], rate_hz: int, *, seconds_max: float) -> array[float]:
    """Return the first seconds_max of float32 samples at 16 kHz, by the native kernel. Raises UnreadableAudio."""
    if rate_hz != SAMPLE_RATE_HZ:
        from sonica_fingerprint._native import Kernel

        try:
            samples = array("f", Kernel.resample(samples, rate_hz, SAMPLE_RATE_HZ))
        except ValueError as error:
            raise UnreadableAudio(str(error)) from error
    return samples[: int(seconds_max * SAMPLE_RATE_HZ)]


def _read_form(chunk: memoryview) -> tuple[Form, int, int]:
    """Return form, rate and channels of a `fmt ` chunk, plain or extensible."""
    if len(chunk) < 16:
        raise UnreadableAudio("the format is cut off")
    tag, channels, rate_hz, _, block_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE:
        if len(chunk) < 40 or bytes(chunk[26:40]) != _SUBFORMAT_TAIL or struct.unpack_from("<H", chunk, 18)[0] != bits:
            raise UnreadableAudio("an extensible format of another kind")
        tag = struct.unpack_from("<H", chunk, 24)[0]
    form = _FORMS.get((tag, bits))
    if form is None or block_bytes != channels * _BYTES[form]:
        raise UnreadableAudio(f"WAVE format {tag} with {bits} bits")
    return form, rate_hz, channels


def _floats(data: bytes, form: Form, *, big_endian: bool) -> array[float]:
    """Return float32, full scale 1."""
    if form == "u8":
        return array("f", [(byte - 128) / 128 for byte in data])
    if form == "s24":
        data, form = _widened(data, big_endian=big_endian), "s32"
    values: array[int] | array[float] = array({"s16": "h", "s32": "i", "f32": "f"}[form], data)
    if big_endian != (sys.byteorder == "big"):
        values.byteswap()
    if form == "f32":
        return _checked(array("f", values))
    scale = 1 / 32_768 if form == "s16" else 1 / 2_147_483_648
    return array("f", [value * scale for value in values])


def _widened(data: bytes, *, big_endian: bool) -> bytes:
    """Return 24-bit integers as 32-bit ones of the same byte order, 256 times as large."""
    wide = bytearray(len(data) // 3 * 4)
    for byte in range(3):
        wide[byte + (not big_endian) :: 4] = data[byte::3]
    return bytes(wide)


def _checked(samples: array[float]) -> array[float]:
    if not all(-_FLOAT_MAX <= sample <= _FLOAT_MAX for sample in samples):  # which no NaN is
        raise UnreadableAudio("samples beyond the scale")
    return samples
