"""The values that travel between the rooms: songs, candidates, matches, recognitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import Fingerprint

CATALOGUE_THINNING = 4  # a stored segment every 512 ms: a quarter of the size, no loss of recognition seen

NoMatchReason = Literal["silence", "too_short", "below_threshold"]
Role = Literal["free", "premium", "admin"]
Scope = Literal["recognize", "songs:read", "songs:write", "admin"]


@dataclass(frozen=True, slots=True)
class SongDetails:
    """What a catalogue says about a song; everything but external_id and title may be unknown."""

    external_id: str
    title: str
    artist: str | None = None
    album: str | None = None
    isrc: str | None = None
    language: str | None = None  # BCP 47
    genre: str | None = None
    audio_url: str | None = None
    popularity_score: float = 0.0
    release_date: date | None = None


@dataclass(frozen=True, slots=True)
class Song:
    """A song of the catalogue."""

    id: int
    details: SongDetails
    duration_ms: int
    content_sha256: str  # of the file's bytes, hex
    sound_sha256: str  # of the song's fingerprint, hex: equal for re-tagged or losslessly re-encoded files
    fingerprint_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSong:
    """A song on its way into the catalogue."""

    details: SongDetails
    content_sha256: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a NewSong; `duplicate` names in song_id the song that was there before."""

    song_id: int
    outcome: Literal["added", "updated", "duplicate"]


@dataclass(frozen=True, slots=True)
class IngestFailure:
    """A file that could not be ingested; size and time of change tell whether it is still the same file."""

    uri: str
    code: str  # the error's
    detail: str
    size_bytes: int | None
    modified_at: datetime | None
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What an object store says of an object; its etag changes with its bytes.

    modified_at: None where an event told of the object. metadata: what its owner wrote beside it; empty in a listing.
    """

    bucket: str
    key: str
    size_bytes: int
    etag: str
    modified_at: datetime | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Return `s3://bucket/key`, the key as it is."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message of a queue; its receipt is what this reading of it is known by."""

    id: str
    receipt: str
    body: str
    receive_count: int  # this time included


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the catalogue's change log; fingerprint is None when the song is gone."""

    revision: int
    song_id: int
    fingerprint: Fingerprint | None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """An alignment worth verifying: a song, where in it the query may start, and what is stored around there."""

    song_id: int
    offset_steps: int  # of the query's start in the song, in fingerprint steps (128 ms); may be negative
    votes: float
    positions: NDArray[np.int32]  # (n,) of the stored segments, in fingerprint steps from the song's start
    embeddings: NDArray[np.int8]  # (n, 128)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the query and the stretch of the song that it is."""

    query_start_ms: int
    query_end_ms: int
    song_start_ms: int
    song_end_ms: int
    speed: float


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate after verification."""

    song_id: int
    score: float  # calibrated probability that this song is right
    offset_ms: int  # where in the song the query starts
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """All verified candidates, best first, and how many of them are the answer (0: no match)."""

    ranked: tuple[Match, ...] = ()
    accepted: int = 0
    reason: NoMatchReason | None = None


@dataclass(frozen=True, slots=True)
class SongMatch:
    """A match with what the catalogue knows of its song, None when that could not be looked up."""

    song: Song | None
    match: Match


@dataclass(frozen=True, slots=True)
class Recognition:
    """The answer to a query; candidates are ranked and there even when none is accepted."""

    matches: tuple[SongMatch, ...]
    candidates: tuple[SongMatch, ...]
    reason: NoMatchReason | None
    index_version: str
    query_key: str  # sha256 of the query's fingerprint, hex
    query_duration_ms: int
    query_fingerprint_version: int
    cache: Literal["miss", "memory", "redis"] = "miss"
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> Literal["match", "no_match"]:
        """`match` when at least one song is accepted."""
        return "match" if self.matches else "no_match"

    @property
    def degraded(self) -> bool:
        """The details of a match could not be looked up."""
        return any(found.song is None for found in self.matches)

    @property
    def ambiguous(self) -> bool:
        """More than one song fits equally well: they share this audio."""
        return len(self.matches) > 1


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may ask; a token's user is named `issuer#subject`."""

    id: int
    name: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A user's key as it is stored: its prefix tells it from others, its secret is known by its hash alone."""

    id: int
    user: User
    prefix: str
    secret_sha256: bytes = field(repr=False)
    label: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key on its way to the store."""

    prefix: str
    secret_sha256: bytes = field(repr=False)
    label: str
    scopes: frozenset[Scope]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A song that a user recognised."""

    user_id: int
    recognized_at: datetime
    query_key: str  # sha256 of the query's fingerprint, hex
    song_id: int
    score: float
    offset_ms: int


@dataclass(frozen=True, slots=True)
class HeardSong:
    """An entry of the history with what the catalogue knows of its song, None when it is gone."""

    heard: Heard
    title: str | None
    artist: str | None
