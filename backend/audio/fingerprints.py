"""A clip may come as its fingerprint: the wire form in, at most as much of it as of audio out."""

from __future__ import annotations

import sonica_fingerprint
from sonica_fingerprint import Fingerprint, FingerprintError
from sonica_fingerprint.codec import MAGIC

from backend.errors import InvalidFingerprint


def is_fingerprint(clip: bytes) -> bool:
    """Say whether the bytes start like the wire form of a fingerprint."""
    return clip.startswith(MAGIC)


def read_fingerprint(clip: bytes, *, seconds_max: float) -> Fingerprint:
    """Return the first seconds_max of a fingerprint in its wire form. Raises InvalidFingerprint."""
    try:
        return sonica_fingerprint.decode(clip).first(seconds_max)
    except FingerprintError as error:
        raise InvalidFingerprint(str(error)) from error
