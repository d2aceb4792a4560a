"""The wire format of a fingerprint, `application/vnd.sonica.fingerprint`, little-endian.

offset  size            field
0       4               magic "SNFP"
4       1               fingerprint version
5       1               thinning (steps of 128 ms between segments, 1..16)
6       2               speed, signed thousandths above 1 (-200..200): 0 for a clip as it is, 60 for one taken to play
                        6 % too fast
8       4               duration of the audio, ms
12      4               segments n
16      n               levels, dB below full scale, a byte a segment
16+n    128 n           embeddings, signed bytes
16+129n 4               CRC-32 (ISO 3309) of all before it
"""

from __future__ import annotations

import struct
import zlib

from sonica_fingerprint.errors import MalformedFingerprint, UnsupportedVersion
from sonica_fingerprint.fingerprint import DIMENSIONS, FINGERPRINT_VERSION, SPEED_CHANGE_MAX, STEP_MS, Fingerprint

CONTENT_TYPE = "application/vnd.sonica.fingerprint"
SEGMENTS_MAX = 1 << 20  # 37 hours at full density: no song and no scan is longer
THINNING_MAX = 16
_HEADER = struct.Struct("<4sBBhII")
_CHECKSUM = struct.Struct("<I")
MAGIC = b"SNFP"


def encode(fingerprint: Fingerprint) -> bytes:
    """Return the wire form."""
    header = _HEADER.pack(
        MAGIC,
        fingerprint.version,
        fingerprint.thinning,
        round(1000 * (fingerprint.speed - 1)),
        fingerprint.duration_ms,
        fingerprint.segments,
    )
    body = header + fingerprint.levels + fingerprint.embeddings
    return body + _CHECKSUM.pack(zlib.crc32(body))


def decode(body: bytes, *, segments_max: int = SEGMENTS_MAX) -> Fingerprint:
    """Read the wire form.

    Raises MalformedFingerprint for bytes that are not one (or have more than segments_max segments), UnsupportedVersion
    for one of another version.
    """
    if len(body) < _HEADER.size + _CHECKSUM.size:
        raise MalformedFingerprint(f"{len(body)} bytes are too few for a fingerprint")
    magic, version, thinning, thousandths, duration_ms, segments = _HEADER.unpack_from(body)
    if magic != MAGIC:
        raise MalformedFingerprint("the bytes do not start like a fingerprint")
    if version != FINGERPRINT_VERSION:
        raise UnsupportedVersion(f"fingerprint version {version}; this program reads {FINGERPRINT_VERSION}")
    if abs(thousandths) > 1000 * SPEED_CHANGE_MAX:
        raise MalformedFingerprint(f"speed {1 + thousandths / 1000:g} is not within 1 +- {SPEED_CHANGE_MAX}")
    speed = (1000 + thousandths) / 1000
    _check_counts(len(body), thinning, duration_ms * speed, segments, segments_max)
    levels_end = _HEADER.size + segments
    embeddings_end = levels_end + segments * DIMENSIONS
    if _CHECKSUM.unpack_from(body, embeddings_end)[0] != zlib.crc32(body[:embeddings_end]):
        raise MalformedFingerprint("the checksum does not fit: the fingerprint was damaged on its way")
    return Fingerprint(
        embeddings=bytes(body[levels_end:embeddings_end]),
        levels=bytes(body[_HEADER.size : levels_end]),
        duration_ms=duration_ms,
        thinning=thinning,
        version=version,
        speed=speed,
    )


def _check_counts(length: int, thinning: int, duration_ms: float, segments: int, segments_max: int) -> None:
    if segments > segments_max:
        raise MalformedFingerprint(f"{segments} segments; at most {segments_max} are read here")
    if length != _HEADER.size + segments * (1 + DIMENSIONS) + _CHECKSUM.size:
        raise MalformedFingerprint(f"{length} bytes do not fit the {segments} segments stated")
    if not 1 <= thinning <= THINNING_MAX:
        raise MalformedFingerprint(f"thinning {thinning} is not within 1..{THINNING_MAX}")
    if segments * thinning * STEP_MS > duration_ms + THINNING_MAX * STEP_MS:
        raise MalformedFingerprint(f"{segments} segments do not fit into {duration_ms:.0f} ms")
