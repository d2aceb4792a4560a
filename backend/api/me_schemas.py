"""The JSON of /v1/me: fields are added, never renamed."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from backend.accounts.identity import Identity
from backend.models import HeardSong, Role


class Me(BaseModel):
    """Whoever asks."""

    id: int
    name: str
    role: Role
    scopes: list[str] = Field(description="Of the key or token that was sent.")
    created_at: datetime

    @classmethod
    def of(cls, identity: Identity) -> Me:
        """Describe an identity."""
        user = identity.user
        return cls(
            id=user.id,
            name=user.name,
            role=user.role,
            scopes=sorted(identity.scopes),
            created_at=user.created_at,
        )


class Preferences(BaseModel):
    """What a user wants: `history` is heeded here, all else is kept for the user's own programs."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"history": True, "language": "hi"}]})

    history: bool = Field(True, strict=True, description="Whether recognised songs are recorded.")


class HistoryEntry(BaseModel):
    """A song that the user recognised."""

    recognized_at: datetime
    query_key: str = Field(description="`query.sha256` of the answer.")
    song_id: int
    title: str | None = Field(description="Null when the song is no longer in the catalogue.")
    artist: str | None
    score: float
    offset_ms: int

    @classmethod
    def of(cls, found: HeardSong) -> HistoryEntry:
        """Describe an entry."""
        heard = found.heard
        return cls(
            recognized_at=heard.recognized_at,
            query_key=heard.query_key,
            song_id=heard.song_id,
            title=found.title,
            artist=found.artist,
            score=round(heard.score, 4),
            offset_ms=heard.offset_ms,
        )


class HistoryPage(BaseModel):
    """Some entries, the newest first, and where the next ones start."""

    items: list[HistoryEntry]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last one.")
