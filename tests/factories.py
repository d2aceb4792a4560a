"""Values for tests: small, valid, and different for different seeds."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime
from typing import Any

from sonica_fingerprint import DIMENSIONS, FINGERPRINT_VERSION, STEP_MS, Fingerprint

from backend.models import IngestFailure, Match, NewSong, Recognition, Segment, Song, SongDetails, SongMatch


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


def make_recognition(*songs: Song, index_version: str = "v1-r1", query_key: str = "a", unsure: int = 0) -> Recognition:
    """Return the answer that names these songs; the last `unsure` ones are candidates only."""
    found = tuple(SongMatch(song, _make_match(song.id)) for song in songs)
    matches = found[: len(found) - unsure]
    return Recognition(
        matches=matches,
        candidates=found,
        reason=None if matches else "below_threshold",
        index_version=index_version,
        query_key=query_key,
        query_duration_ms=5000,
        query_fingerprint_version=FINGERPRINT_VERSION,
    )


def _make_match(song_id: int) -> Match:
    segment = Segment(query_start_ms=0, query_end_ms=5000, song_start_ms=1000, song_end_ms=6000, speed=1.02)
    return Match(song_id=song_id, score=0.9, offset_ms=1000, segments=(segment,))
