"""The hot index's bundle: popular songs in one file that an edge holds in memory and searches in place; little-endian.

offset       size   field
0            4      magic "SNHI"
4            1      format, 1
5            1      fingerprint version
6            1      thinning (steps of 128 ms between stored segments)
7            1      reserved, 0
8            4      songs s
12           4      segments n
16           4      bytes of the details d
20           4 s+4  first segment of each song, in order; the last entry is n
24+4s        4 n    position of each segment in its song, in steps of 128 ms, ascending within a song
24+4s+4n     64 n   embeddings, four bits a component: component 2i in the low half of byte i, 2i+1 in the high half;
                    a half h stands for 10 h - 75, where a unit vector has the length EMBEDDING_SCALE
24+4s+68n    d      details, JSON in UTF-8, below
24+4s+68n+d  32     SHA-256 of all before it

Details: `index_version` and `catalogue_segments` of the index that the songs are from, `limits` (`clip_seconds_max` and
`candidates_max` of its origin, and the `false_accept_rate` that an edge goes by), `calibration` (calibration.json and
the limits beside it), and `songs`: for each what a recognition says about it (`id`, `external_id`, `title`, `artist`,
`album`, `isrc`, `language`, `genre`, `duration_ms`), by ascending id.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sonica_fingerprint.errors import MalformedBundle, UnsupportedVersion
from sonica_fingerprint.fingerprint import DIMENSIONS, FINGERPRINT_VERSION

FORMAT = 1
MAGIC = b"SNHI"
CODE_BYTES = DIMENSIONS // 2
_HEADER = struct.Struct("<4sBBBBIII")
_HASH_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class HotSong:
    """A song of a bundle: what is said of it, and its n stored segments."""

    details: Mapping[str, object]
    positions: Sequence[int]  # (n,), steps of 128 ms
    codes: bytes  # (n, 64)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose hash fits: the whole file, and its details."""

    body: bytes
    songs: int
    segments: int
    details: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Names the bundle, hex."""
        return self.body[-_HASH_BYTES:].hex()


def write_bundle(songs: Iterable[HotSong], *, thinning: int, details: Mapping[str, object]) -> bytes:
    """Return the file; details are all but the songs'. The songs come by ascending id."""
    kept = list(songs)
    text = json.dumps(
        {**details, "songs": [song.details for song in kept]}, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    ).encode()
    firsts = list(accumulate((len(song.positions) for song in kept), initial=0))
    header = _HEADER.pack(MAGIC, FORMAT, FINGERPRINT_VERSION, thinning, 0, len(kept), firsts[-1], len(text))
    body = b"".join(
        [
            header,
            struct.pack(f"<{len(firsts)}I", *firsts),
            *(struct.pack(f"<{len(song.positions)}I", *song.positions) for song in kept),
            *(song.codes for song in kept),
            text,
        ]
    )
    return body + hashlib.sha256(body).digest()


def read_bundle(body: bytes) -> Bundle:
    """Check header, lengths and hash, and read the details; what lies between, the kernel checks before it searches.

    Raises MalformedBundle for bytes that are not a whole bundle, UnsupportedVersion for one of another format or
    fingerprint version.
    """
    if len(body) < _HEADER.size + _HASH_BYTES or not body.startswith(MAGIC):
        raise MalformedBundle("the bytes do not start like a bundle")
    _, format_, version, _, _, songs, segments, details_bytes = _HEADER.unpack_from(body)
    if (format_, version) != (FORMAT, FINGERPRINT_VERSION):
        raise UnsupportedVersion(
            f"a bundle of format {format_} and fingerprint version {version}; this program reads {FORMAT} and "
            f"{FINGERPRINT_VERSION}"
        )
    details_start = _HEADER.size + 4 * (songs + 1) + (4 + CODE_BYTES) * segments
    if len(body) != details_start + details_bytes + _HASH_BYTES:
        raise MalformedBundle(f"{len(body)} bytes do not fit the {songs} songs and {segments} segments stated")
    if hashlib.sha256(memoryview(body)[:-_HASH_BYTES]).digest() != body[-_HASH_BYTES:]:
        raise MalformedBundle("the hash does not fit: the bundle was damaged on its way, or is not all there")
    try:
        details = json.loads(body[details_start:-_HASH_BYTES])
    except ValueError as error:
        raise MalformedBundle("the details are not JSON") from error
    if not isinstance(details, dict) or len(details.get("songs", ())) != songs:
        raise MalformedBundle(f"the details are not those of {songs} songs")
    return Bundle(body, songs, segments, details)
