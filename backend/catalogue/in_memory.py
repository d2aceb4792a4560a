"""The catalogue in memory, for tests: the same ports with the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from sonica_fingerprint import Fingerprint

from backend.catalogue.filters import FILTERS, checked
from backend.catalogue.settlement import Settlement, check_storable, settle, storable
from backend.models import Change, IngestFailure, NewSong, Song, Stored, StoredObject


class InMemoryCatalogue:
    """Implements SongCatalogue, SongStore, ChangeLog, IngestFailures and IngestedObjects."""

    def __init__(self) -> None:
        self._songs: dict[int, Song] = {}
        self._fingerprints: dict[int, Fingerprint] = {}
        self._revisions: dict[int, int] = {}  # by song_id, of its last change, ascending
        self._failures: dict[str, IngestFailure] = {}
        self._objects: dict[str, tuple[str, int]] = {}  # etag and song_id by uri
        self._turns: set[str] = set()
        self._last_id = 0
        self._last_revision = 0
        self._name = str(uuid4())
        self._forget: Callable[[Sequence[int]], Awaitable[None]] | None = None
        self.left_alone = False  # it has no breaker

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[bool]:
        """Say whether it is the caller's turn; whoever asks before it has ended is told no."""
        ours = name not in self._turns
        self._turns.add(name)
        try:
            yield ours
        finally:
            if ours:
                self._turns.discard(name)

    def after_change(self, forget: Callable[[Sequence[int]], Awaitable[None]]) -> None:
        """Call this with the ids of the songs that a method has changed."""
        self._forget = forget

    async def songs(self, song_ids: Sequence[int]) -> dict[int, Song]:
        """Return the songs of these ids that exist, by id."""
        return {song_id: self._songs[song_id] for song_id in song_ids if song_id in self._songs}

    async def look_up(self, song_ids: Sequence[int]) -> dict[int, Song | None]:
        """Return the same; implements SongLookUp."""
        return {**await self.songs(song_ids)}

    async def page(self, *, after_id: int, limit: int, filters: dict[str, str]) -> list[Song]:
        """Return up to `limit` songs with id > after_id; raises InvalidRequest for an unknown filter."""
        wanted = {name: value for name, value in zip(FILTERS, checked(filters), strict=True) if value is not None}
        found = [
            song
            for song_id, song in sorted(self._songs.items())
            if song_id > after_id and all(getattr(song.details, name) == wanted[name] for name in wanted)
        ]
        return found[:limit]

    async def popular(self, limit: int, *, language: str | None = None, genre: str | None = None) -> list[Song]:
        """Return the songs of the highest popularity_score, of equal ones those of the lower id first."""
        found = [
            song
            for song in self._songs.values()
            if language in {None, song.details.language} and genre in {None, song.details.genre}
        ]
        return sorted(found, key=lambda song: (-song.details.popularity_score, song.id))[:limit]

    async def delete(self, song_id: int) -> bool:
        """Delete a song and its fingerprint; say whether it was there."""
        if self._songs.pop(song_id, None) is None:
            return False
        del self._fingerprints[song_id]
        self._log(song_id)
        await self._changed(song_id)
        return True

    async def put(self, new_song: NewSong, *, replaces: int | None = None) -> Stored | None:
        """Add the song, update the one that it replaces, or name the duplicate (settlement.py)."""
        check_storable(new_song.details)
        sharing = [song for song in self._songs.values() if _shares(song, new_song)]
        settlement = settle(new_song, sharing, replaces=replaces)
        if settlement is None:
            return None
        for superseded in settlement.superseded:
            await self.delete(superseded)
        stored = self._carry_out(settlement, new_song)
        if stored.outcome != "duplicate":
            await self._changed(stored.song_id)
        return stored

    async def content_known(self, content_sha256s: Sequence[str]) -> dict[str, str]:
        """Return external_id by content_sha256 for those that the catalogue holds."""
        held = {song.content_sha256: song.details.external_id for song in self._songs.values()}
        return {sha256: held[sha256] for sha256 in content_sha256s if sha256 in held}

    async def name(self) -> str:
        """Return what tells this catalogue from every other."""
        return self._name

    async def revision(self) -> int:
        """Return the newest revision, 0 for an empty log."""
        return self._last_revision

    async def changes(self, *, after_revision: int) -> AsyncIterator[Change]:
        """Yield one change per song touched since, ascending by revision."""
        for song_id, revision in list(self._revisions.items()):
            if revision > after_revision:
                yield Change(revision, song_id, self._fingerprints.get(song_id))

    async def record_failure(self, failure: IngestFailure) -> None:
        """Remember the failure in place of an earlier one of the same uri."""
        kept = replace(failure, uri=storable(failure.uri), detail=storable(failure.detail))
        self._failures[kept.uri] = kept

    async def clear_failure(self, uri: str) -> None:
        """Forget the failure of this file, if there is one."""
        self._failures.pop(storable(uri), None)

    async def failures(self, *, after_uri: str = "", limit: int = 1000) -> list[IngestFailure]:
        """Return up to `limit` failures with uri > after_uri, ascending."""
        return [self._failures[uri] for uri in sorted(self._failures) if uri > storable(after_uri)][:limit]

    async def failures_of(self, uris: Sequence[str]) -> dict[str, IngestFailure]:
        """Return the failures of these files by uri."""
        return {uri: self._failures[storable(uri)] for uri in uris if storable(uri) in self._failures}

    async def note_object(self, found: StoredObject, external_id: str) -> None:
        """Remember that the object, as it is, is this song of the catalogue, or a copy of it."""
        for song in self._songs.values():
            if song.details.external_id == external_id:
                self._objects[found.uri] = (found.etag, song.id)

    async def objects_known(self, objects: Sequence[StoredObject]) -> dict[str, str]:
        """Return external_id by uri for those that have been noted with these etags and whose songs are still there."""
        noted = {found.uri: self._objects.get(found.uri, ("", 0)) for found in objects}
        return {
            found.uri: self._songs[noted[found.uri][1]].details.external_id
            for found in objects
            if noted[found.uri][0] == found.etag and noted[found.uri][1] in self._songs
        }

    def _carry_out(self, settlement: Settlement, new_song: NewSong) -> Stored:
        song_id = settlement.song_id
        if song_id is None:
            self._last_id += 1
            song_id = self._last_id
        if settlement.outcome != "duplicate":
            created_at = self._songs[song_id].created_at if song_id in self._songs else datetime.now(UTC)
            self._songs[song_id] = Song(
                id=song_id,
                details=settlement.details,
                duration_ms=new_song.fingerprint.duration_ms,
                content_sha256=new_song.content_sha256,
                sound_sha256=new_song.fingerprint.key,
                fingerprint_version=new_song.fingerprint.version,
                created_at=created_at,
            )
        if settlement.sounds_new:
            self._fingerprints[song_id] = new_song.fingerprint
            self._log(song_id)
        return Stored(song_id, settlement.outcome)

    async def _changed(self, song_id: int) -> None:
        if self._forget is not None:
            await self._forget([song_id])

    def _log(self, song_id: int) -> None:
        self._last_revision += 1
        self._revisions.pop(song_id, None)
        self._revisions[song_id] = self._last_revision


def _shares(song: Song, new_song: NewSong) -> bool:
    return (
        song.details.external_id == new_song.details.external_id
        or song.content_sha256 == new_song.content_sha256
        or song.sound_sha256 == new_song.fingerprint.key
    )
