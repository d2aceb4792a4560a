"""Reads what is to be recognised: audio, or a fingerprint of it."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from sonica_fingerprint import SAMPLE_RATE_HZ, Extractor, Fingerprint, encode

from backend.audio.files import read_blocks
from backend.audio.fingerprints import is_fingerprint, read_fingerprint
from backend.audio.limits import DecoderLimits
from backend.errors import ClipTooLarge, UnreadableFile
from backend.settings import Settings


def read_clip(file: str, settings: Settings) -> bytes:
    """Return a file's bytes, `-` is stdin; of one larger than a request may be, its beginning's fingerprint.

    Raises UnreadableFile, ClipTooLarge (stdin), and for a large file InvalidFingerprint and what `read_blocks` does.
    """
    try:
        if file == "-":
            return _from_stdin(settings.body_bytes_max)
        path = Path(file)
        if path.stat().st_size > settings.body_bytes_max:
            return encode(_beginning(path, DecoderLimits.from_settings(settings)))
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be read: {error.strerror}") from error


def _from_stdin(bytes_max: int) -> bytes:
    clip = sys.stdin.buffer.read(bytes_max + 1)
    if len(clip) > bytes_max:
        raise ClipTooLarge(f"stdin holds more than {bytes_max} bytes; name a file, which may be of any size")
    return clip


def _beginning(path: Path, limits: DecoderLimits) -> Fingerprint:
    with path.open("rb") as file:
        if is_fingerprint(file.peek()):
            return read_fingerprint(file.read(), seconds_max=limits.clip_seconds_max)
    extractor = Extractor()
    left = int(limits.clip_seconds_max * SAMPLE_RATE_HZ)
    with closing(read_blocks(path, limits=limits)) as blocks:  # type: ignore[type-var]
        for block in blocks:
            extractor.push(block[:left])
            left -= len(block)
            if left <= 0:
                break
    return extractor.finish()
