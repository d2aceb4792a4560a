"""An answer as it is kept: which songs, not what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from backend.cache.kept import Codec
from backend.models import Match, NoMatchReason, Recognition, Song, SongMatch


@dataclass(frozen=True, slots=True)
class AnswerMatch:
    """A match, and the sound that was matched."""

    match: Match
    sound_sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A recognition without its songs; the first `accepted` of the ranked ones are its matches."""

    ranked: tuple[AnswerMatch, ...]
    accepted: int
    reason: NoMatchReason | None
    index_version: str
    query_key: str
    query_duration_ms: int
    query_fingerprint_version: int

    @classmethod
    def of(cls, recognition: Recognition) -> Answer:
        """Leave out what the songs are called, and what was measured; not of a degraded one."""
        return cls(
            ranked=tuple(
                AnswerMatch(found.match, found.song.sound_sha256) for found in recognition.candidates if found.song
            ),
            accepted=len(recognition.matches),
            reason=recognition.reason,
            index_version=recognition.index_version,
            query_key=recognition.query_key,
            query_duration_ms=recognition.query_duration_ms,
            query_fingerprint_version=recognition.query_fingerprint_version,
        )

    @property
    def song_ids(self) -> list[int]:
        """All that are named."""
        return [found.match.song_id for found in self.ranked]

    def with_songs(self, songs: Mapping[int, Song | None], *, layer: str) -> Recognition | None:
        """Return the recognition; None when a song that it would answer is gone, or is another recording now."""
        ranked = [
            SongMatch(songs[found.match.song_id], found.match) if _holds(found, songs) else None
            for found in self.ranked
        ]
        matches = ranked[: self.accepted]
        if None in matches or len(matches) < self.accepted:
            return None
        return Recognition(
            matches=tuple(match for match in matches if match),
            candidates=tuple(match for match in ranked if match),
            reason=self.reason,
            index_version=self.index_version,
            query_key=self.query_key,
            query_duration_ms=self.query_duration_ms,
            query_fingerprint_version=self.query_fingerprint_version,
            cache=cast(Literal["memory", "redis"], layer),
        )


def _holds(found: AnswerMatch, songs: Mapping[int, Song | None]) -> bool:
    song = songs.get(found.match.song_id)
    return song is not None and song.sound_sha256 == found.sound_sha256


def answers_by(limits: str) -> Codec[Answer]:
    """Return what reads and writes answers that were given within these limits; others are not believed."""
    return Codec(Answer, version=f"1 {limits}")
