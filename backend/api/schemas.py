"""The JSON that leaves: fields are added, never renamed."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from backend.models import Match, NoMatchReason, Recognition, Song, SongMatch

_SONG_EXAMPLE: JsonDict = {
    "id": 17,
    "external_id": "monsoon-raga",
    "title": "Monsoon Raga",
    "artist": "Sonica",
    "album": None,
    "isrc": None,
    "language": "hi",
    "genre": None,
    "duration_ms": 215_000,
}


class SongSummary(BaseModel):
    """What a recognition says about a song."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SONG_EXAMPLE]})

    id: int
    external_id: str | None = Field(description="Null, as all but the id, in a `degraded` answer.")
    title: str | None
    artist: str | None
    album: str | None
    isrc: str | None
    language: str | None = Field(description="BCP 47")
    genre: str | None
    duration_ms: int | None

    @classmethod
    def found(cls, found: SongMatch) -> SongSummary:
        """Describe the song of a match, as far as it is known."""
        if found.song is None:
            return cls.model_validate(dict.fromkeys(cls.model_fields) | {"id": found.match.song_id})
        return cls(**_summary(found.song))


class SongResource(SongSummary):
    """A song of the catalogue."""

    external_id: str
    title: str
    duration_ms: int
    audio_url: str | None = Field(description="Null for a file of the origin's own: its path is nobody's business.")
    popularity_score: float
    release_date: date | None
    fingerprint_version: int
    created_at: datetime

    @classmethod
    def of(cls, song: Song) -> SongResource:
        """Describe a song in full."""
        url = song.details.audio_url
        return cls(
            **_summary(song),
            audio_url=None if (url or "").startswith("file:") else url,
            popularity_score=song.details.popularity_score,
            release_date=song.details.release_date,
            fingerprint_version=song.fingerprint_version,
            created_at=song.created_at,
        )


class SongPage(BaseModel):
    """Some songs, and where the next ones start."""

    items: list[SongResource]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last one.")


class MatchSegment(BaseModel):
    """A stretch of the query and the stretch of the song that it is."""

    query_start_ms: int
    query_end_ms: int
    song_start_ms: int
    song_end_ms: int
    speed: float = Field(description="How fast the clip plays: 1.06 is 6 % faster than the song.")


class MatchResource(BaseModel):
    """A song that the clip is from."""

    song: SongSummary
    score: float = Field(description="Calibrated probability that the first match is right.")
    offset_ms: int = Field(description="Where in the song the clip starts.")
    segments: list[MatchSegment]

    @classmethod
    def of(cls, found: SongMatch) -> MatchResource:
        """Describe a match."""
        return cls(
            song=SongSummary.found(found),
            score=_rounded(found.match),
            offset_ms=found.match.offset_ms,
            segments=[
                MatchSegment(
                    query_start_ms=segment.query_start_ms,
                    query_end_ms=segment.query_end_ms,
                    song_start_ms=segment.song_start_ms,
                    song_end_ms=segment.song_end_ms,
                    speed=segment.speed,
                )
                for segment in found.match.segments
            ],
        )


class CandidateResource(BaseModel):
    """A song that the clip may be from, accepted or not."""

    song: SongSummary
    offset_ms: int
    score: float

    @classmethod
    def of(cls, found: SongMatch) -> CandidateResource:
        """Describe a candidate."""
        return cls(song=SongSummary.found(found), offset_ms=found.match.offset_ms, score=_rounded(found.match))


class QueryResource(BaseModel):
    """What was asked."""

    duration_ms: int
    fingerprint_version: int
    sha256: str = Field(description="Of the query's fingerprint.")


class RecognitionResource(BaseModel):
    """The answer to a clip."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "5f1c0e2ab7cf4f5c9d3f6f2f1f0c7a11",
                    "status": "match",
                    "reason": None,
                    "query": {"duration_ms": 5000, "fingerprint_version": 1, "sha256": "9f86d081884c7d65"},
                    "matches": [
                        {
                            "song": _SONG_EXAMPLE,
                            "score": 0.998,
                            "offset_ms": 61_240,
                            "segments": [
                                {
                                    "query_start_ms": 0,
                                    "query_end_ms": 5000,
                                    "song_start_ms": 61_240,
                                    "song_end_ms": 66_240,
                                    "speed": 1.0,
                                }
                            ],
                        }
                    ],
                    "ambiguous": False,
                    "degraded": False,
                    "tier": "origin",
                    "cache": "miss",
                    "index_version": "v1-r42",
                    "timings_ms": {
                        "decode": 4.1,
                        "extract": 6.0,
                        "search": 1.9,
                        "verify": 0.6,
                        "total": 14.0,
                    },
                }
            ]
        }
    )

    request_id: str
    status: Literal["match", "no_match"]
    reason: NoMatchReason | None = Field(description="Why there is no match.")
    query: QueryResource
    matches: list[MatchResource]
    ambiguous: bool = Field(description="More than one song has this audio; all of them are matches.")
    degraded: bool = Field(
        description="The catalogue is away: some songs have an id and nothing else. Ask for those later, "
        "`GET /v1/songs/{id}`."
    )
    tier: Literal["edge", "origin"]
    cache: Literal["miss", "memory", "redis"]
    index_version: str
    timings_ms: dict[str, float] = Field(description="By step; a clip looked at again at other speeds has sums.")

    @classmethod
    def of(cls, recognition: Recognition, *, request_id: str) -> RecognitionResource:
        """Describe a recognition."""
        return cls(
            request_id=request_id,
            status=recognition.status,
            reason=recognition.reason,
            query=QueryResource(
                duration_ms=recognition.query_duration_ms,
                fingerprint_version=recognition.query_fingerprint_version,
                sha256=recognition.query_key,
            ),
            matches=[MatchResource.of(found) for found in recognition.matches],
            ambiguous=recognition.ambiguous,
            degraded=recognition.degraded,
            tier="origin",
            cache=recognition.cache,
            index_version=recognition.index_version,
            timings_ms={stage: round(value, 2) for stage, value in recognition.timings_ms.items()},
        )


class RecognitionWithCandidates(RecognitionResource):
    """The answer to a clip, and everything that was weighed for it, best first."""

    candidates: list[CandidateResource]

    @classmethod
    def of(cls, recognition: Recognition, *, request_id: str) -> RecognitionWithCandidates:
        """Describe a recognition with its candidates."""
        answer = RecognitionResource.of(recognition, request_id=request_id)
        candidates = [CandidateResource.of(found) for found in recognition.candidates]
        degraded = any(found.song is None for found in recognition.candidates)
        return cls(**dict(answer) | {"degraded": degraded}, candidates=candidates)


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Recognitions can be answered."""

    status: Literal["ready"] = "ready"
    songs: int
    segments: int
    index_version: str
    revisions_behind: int = Field(description="Changes of the catalogue that the index has yet to take.")
    degraded: list[str] = Field(description="Parts that are away; answers come without them.")


def _summary(song: Song) -> dict[str, Any]:
    details = song.details
    return {
        "id": song.id,
        "external_id": details.external_id,
        "title": details.title,
        "artist": details.artist,
        "album": details.album,
        "isrc": details.isrc,
        "language": details.language,
        "genre": details.genre,
        "duration_ms": song.duration_ms,
    }


def _rounded(match: Match) -> float:
    return round(match.score, 4)
