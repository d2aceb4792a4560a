"""WAV, AIFF, FLAC, Ogg and MP3, read in process by libsndfile."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from backend.audio.limits import DecoderLimits
from backend.audio.mono import to_mono
from backend.errors import UndecodableAudio

_BLOCK_VALUES = 1 << 17  # over all channels: 512 kB, 1.5 s of stereo; larger ones are not faster


def sound_blocks(file: BinaryIO, *, limits: DecoderLimits) -> Iterator[NDArray[np.float32]]:
    """Yield the file's samples, mono at 16 kHz, about a second at a time.

    Audio that is cut or damaged after its start ends there. Raises UnsupportedAudio for a form outside of the
    limits, UndecodableAudio when not even the first block can be read.
    """
    try:
        sound = _ForwardOnly(_source(file), closefd=False)
    except soundfile.LibsndfileError as error:
        raise UndecodableAudio(f"the audio cannot be decoded: {error.error_string}") from error
    with sound:
        limits.check_form(rate_hz=sound.samplerate, channels=sound.channels)
        yield from to_mono(_frames(sound), rate_hz=sound.samplerate)


def _source(file: BinaryIO) -> BinaryIO | int:
    """Return what libsndfile reads by itself, a descriptor, where there is one."""
    if isinstance(file, io.BytesIO):
        return _Clip(file.getvalue())  # shares the bytes
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return file.fileno()


class _Clip(io.BytesIO):
    """Bytes in which a damaged header cannot make libsndfile seek to before the start: that would only be logged."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return super().seek(max(0, offset) if whence == os.SEEK_SET else offset, whence)


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Reads front to back: soundfile seeks after each read, which fails on FLAC of unknown length."""

    def seekable(self) -> bool:
        return False


def _frames(sound: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    """Yield (frames, channels), as many as there are and never as many as the header claims."""
    frames, read_any = _BLOCK_VALUES // sound.channels, False
    while True:
        try:
            block = sound.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            if read_any:
                return
            raise UndecodableAudio(f"the audio cannot be decoded: {error.error_string}") from error
        if not len(block):
            return
        read_any = True
        yield block
