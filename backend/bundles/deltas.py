"""A stretch of the catalogue's change log in a file: each song that was touched, with its fingerprint or without.

offset  size  field, little-endian
0       4     magic "SNDL"
4       1     format, 1
5       1     fingerprint version
6       2     reserved, 0
8             changes, ascending by revision, each:
        8     revision
        8     song
        4     bytes of the fingerprint f, 0 where the song is gone
        f     the fingerprint in the wire format
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from sonica_fingerprint import FINGERPRINT_VERSION, FingerprintError, decode, encode

from backend.errors import BundleRefused
from backend.models import Change

_FORMAT = 1
_HEADER = struct.Struct("<4sBBxx")
_CHANGE = struct.Struct("<QQI")
_START = _HEADER.pack(b"SNDL", _FORMAT, FINGERPRINT_VERSION)


class DeltaWriter:
    """Writes changes in the order in which it gets them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.changes = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        self._file: BinaryIO = self._path.open("wb")
        self.bytes += self._file.write(_START)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, change: Change) -> None:
        """Append a change."""
        body = b"" if change.fingerprint is None else encode(change.fingerprint)
        self.bytes += self._file.write(_CHANGE.pack(change.revision, change.song_id, len(body)) + body)
        self.changes += 1


def read_delta(path: Path) -> Iterator[Change]:
    """Yield the changes, one in memory at a time; raises BundleRefused for what is no delta of this program's."""
    with path.open("rb") as file:
        if file.read(_HEADER.size) != _START:
            raise BundleRefused(f"the delta is not of format {_FORMAT} and fingerprint version {FINGERPRINT_VERSION}")
        while head := file.read(_CHANGE.size):
            try:
                revision, song_id, size = _CHANGE.unpack(head)
                yield Change(revision, song_id, decode(file.read(size)) if size else None)
            except (struct.error, FingerprintError) as error:
                raise BundleRefused(f"the delta is damaged: {error}") from error
