"""Values for tests: small, valid, and different for different seeds."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime
from typing import Any

from sonica_fingerprint import DIMENSIONS, FINGERPRINT_VERSION, STEP_MS, Fingerprint

from backend.models import IngestFailure, NewSong, Song, SongDetails


def make_fingerprint(
    seed: int = 0, segments: int = 20, *, thinning: int = 4, version: int = FINGERPRINT_VERSION
) -> Fingerprint:
    """Return noise in the form of a stored fingerprint."""
    noise = random.Random(seed)
    return Fingerprint(
        embeddings=noise.randbytes(segments * DIMENSIONS),
        levels=bytes(noise.choices(range(10, 40), k=segments)),
        duration_ms=segments * thinning * STEP_MS,
        thinning=thinning,
        version=version,
    )


def make_details(seed: int = 0, **changed: Any) -> SongDetails:
    """Return the details of song number seed."""
    details: dict[str, Any] = {
        "external_id": f"song-{seed}",
        "title": f"Title {seed}",
        "artist": f"Artist {seed % 3}",
        "language": "hi",
        "popularity_score": seed / 10,
    }
    return SongDetails(**{**details, **changed})


def make_new_song(
    seed: int = 0, *, content: str | None = None, fingerprint: Fingerprint | None = None, **details: Any
) -> NewSong:
    """Return song number seed; `content` stands for the bytes of its file."""
    return NewSong(
        details=make_details(seed, **details),
        content_sha256=hashlib.sha256((content or f"content {seed}").encode()).hexdigest(),
        fingerprint=fingerprint or make_fingerprint(seed),
    )


def make_song(seed: int = 0, **details: Any) -> Song:
    """Return song number seed as a catalogue would give it."""
    new_song = make_new_song(seed, **details)
    return Song(
        id=seed,
        details=new_song.details,
        duration_ms=new_song.fingerprint.duration_ms,
        content_sha256=new_song.content_sha256,
        sound_sha256=new_song.fingerprint.key,
        fingerprint_version=new_song.fingerprint.version,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def make_failure(uri: str = "a.wav", **changed: Any) -> IngestFailure:
    """Return the failure of a file."""
    failure: dict[str, Any] = {
        "code": "undecodable_audio",
        "detail": "The audio cannot be decoded.",
        "size_bytes": 12,
        "modified_at": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        "failed_at": datetime(2026, 2, 3, tzinfo=UTC),
    }
    return IngestFailure(uri, **{**failure, **changed})
