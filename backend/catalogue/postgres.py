"""The catalogue in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, fields

from sonica_fingerprint import FINGERPRINT_VERSION, Fingerprint, decode, encode

from backend.breaker import Breaker
from backend.catalogue.database import Connection, Database, Record
from backend.catalogue.filters import checked
from backend.catalogue.migrations import check_schema
from backend.catalogue.queries import QUERIES
from backend.catalogue.settlement import Settlement, check_storable, settle, storable
from backend.errors import CatalogueUnavailable, IndexVersionMismatch, SonicaError
from backend.models import Change, IngestFailure, NewSong, Song, SongDetails, Stored, StoredObject

_CHANGES_BATCH = 32  # about 2 MB of songs, 90 MB of three-hour mixes
_DETAILS = tuple(field.name for field in fields(SongDetails))


class PostgresCatalogue:
    """Implements SongCatalogue, SongStore, ChangeLog, IngestFailures and IngestedObjects.

    Every method raises CatalogueUnavailable when the database does not answer in time, SchemaVersionMismatch
    when it lacks a migration.
    """

    def __init__(self, database: Database, *, away: CatalogueUnavailable | None = None) -> None:
        self._database = database
        self.away = away  # why it could not be reached when it was opened
        self._forget: Callable[[Sequence[int]], Awaitable[None]] | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pool_max: int,
        timeout_seconds: float,
        breaker: Breaker | None = None,
        may_be_away: bool = False,
    ) -> PostgresCatalogue:
        """Open the connections; the database has been migrated before (migrations.py), which each of them sees to.

        may_be_away: one that cannot be reached is used as soon as it can.
        """
        database = await Database.connect(
            url, pool_max=pool_max, timeout_seconds=timeout_seconds, breaker=breaker, check=check_schema
        )
        try:
            away = await database.reach()
            if away is not None and not may_be_away:
                raise away
        except SonicaError:
            await database.close()
            raise
        return cls(database, away=away)

    @property
    def database(self) -> Database:
        """The connections, for what else is in the same database."""
        return self._database

    @property
    def left_alone(self) -> bool:
        """Whether the breaker keeps requests away from the database now."""
        return self._database.left_alone

    def after_change(self, forget: Callable[[Sequence[int]], Awaitable[None]]) -> None:
        """Call this with the ids of the songs that a method has changed, once the change is durable."""
        self._forget = forget

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[bool]:
        """Say whether it is the caller's turn; whoever asks before it has ended, in any process, is told no."""
        async with self._database.connection() as connection:
            ours = bool(await connection.fetchval(QUERIES["take_name"], name))
            try:
                yield ours
            finally:
                if ours:
                    await connection.execute(QUERIES["give_name_back"], name)

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()

    async def songs(self, song_ids: Sequence[int]) -> dict[int, Song]:
        """Return the songs of these ids that exist, by id."""
        rows = await self._database.fetch(QUERIES["songs"], song_ids)
        return {row["id"]: _song(row) for row in rows}

    async def page(self, *, after_id: int, limit: int, filters: dict[str, str]) -> list[Song]:
        """Return up to `limit` songs with id > after_id; raises InvalidRequest for an unknown filter."""
        values = checked(filters)
        rows = await self._database.fetch(QUERIES["page"], after_id, limit, *values)
        return [_song(row) for row in rows]

    async def popular(self, limit: int, *, language: str | None = None, genre: str | None = None) -> list[Song]:
        """Return the songs of the highest popularity_score, of equal ones those of the lower id first."""
        rows = await self._database.fetch(QUERIES["popular"], limit, language, genre)
        return [_song(row) for row in rows]

    async def delete(self, song_id: int) -> bool:
        """Delete a song and its fingerprint; say whether it was there."""
        async with self._turn() as connection:
            deleted = await _delete(connection, song_id)
        if deleted:
            await self._changed(song_id)
        return deleted

    async def put(self, new_song: NewSong, *, replaces: int | None = None) -> Stored | None:
        """Add the song, update the one that it replaces, or name the duplicate (settlement.py).

        Raises InvalidRequest for text that cannot be stored.
        """
        check_storable(new_song.details)
        async with self._turn() as connection:
            key = (new_song.details.external_id, *_hashes(new_song))
            rows = await connection.fetch(QUERIES["songs_sharing"], *key)
            settlement = settle(new_song, [_song(row) for row in rows], replaces=replaces)
            stored = await _carry_out(connection, settlement, new_song) if settlement else None
        if stored is not None and stored.outcome != "duplicate":
            await self._changed(stored.song_id)
        return stored

    async def content_known(self, content_sha256s: Sequence[str]) -> dict[str, str]:
        """Return external_id by content_sha256 for those that the catalogue holds."""
        wanted = [bytes.fromhex(content_sha256) for content_sha256 in content_sha256s]
        rows = await self._database.fetch(QUERIES["content_known"], wanted)
        return {row["content_sha256"].hex(): row["external_id"] for row in rows}

    async def name(self) -> str:
        """Return what tells this catalogue from every other."""
        ((name,),) = await self._database.fetch(QUERIES["catalogue_name"])
        return str(name)

    async def revision(self) -> int:
        """Return the newest revision, 0 for an empty log."""
        ((revision,),) = await self._database.fetch(QUERIES["revision"])
        return int(revision)

    async def changes(self, *, after_revision: int) -> AsyncIterator[Change]:
        """Yield one change per song touched since, ascending by revision, a batch at a time in memory.

        No transaction spans the batches: a song that changes meanwhile moves to the end of the log.
        Raises IndexVersionMismatch for a stored fingerprint of another version.
        """
        while True:
            rows = await self._database.fetch(QUERIES["changes"], after_revision, _CHANGES_BATCH)
            for row in rows:
                yield Change(row["revision"], row["song_id"], _fingerprint(row))
            if len(rows) < _CHANGES_BATCH:
                return
            after_revision = rows[-1]["revision"]

    async def record_failure(self, failure: IngestFailure) -> None:
        """Remember the failure in place of an earlier one of the same uri."""
        uri, code, detail, *file = astuple(failure)
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["record_failure"], storable(uri), code, storable(detail), *file)

    async def clear_failure(self, uri: str) -> None:
        """Forget the failure of this file, if there is one."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["clear_failure"], storable(uri))

    async def failures(self, *, after_uri: str = "", limit: int = 1000) -> list[IngestFailure]:
        """Return up to `limit` failures with uri > after_uri, ascending."""
        rows = await self._database.fetch(QUERIES["failures"], storable(after_uri), limit)
        return [IngestFailure(*row) for row in rows]

    async def failures_of(self, uris: Sequence[str]) -> dict[str, IngestFailure]:
        """Return the failures of these files by uri."""
        given = {storable(uri): uri for uri in uris}
        rows = await self._database.fetch(QUERIES["failures_of"], list(given))
        return {given[row["uri"]]: IngestFailure(*row) for row in rows}

    async def note_object(self, found: StoredObject, external_id: str) -> None:
        """Remember that the object, as it is, is this song of the catalogue, or a copy of it."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["note_object"], storable(found.uri), found.etag, external_id)

    async def objects_known(self, objects: Sequence[StoredObject]) -> dict[str, str]:
        """Return external_id by uri for those that have been noted with these etags and whose songs are still there."""
        given = {storable(found.uri): found for found in objects}
        etags = [found.etag for found in given.values()]
        rows = await self._database.fetch(QUERIES["objects_known"], list(given), etags)
        return {given[row["uri"]].uri: row["external_id"] for row in rows}

    async def _changed(self, song_id: int) -> None:
        if self._forget is not None:
            await self._forget([song_id])

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Connection]:
        async with self._database.transaction() as connection:
            await connection.execute(QUERIES["take_turn"])
            yield connection


async def _carry_out(connection: Connection, settlement: Settlement, new_song: NewSong) -> Stored:
    for superseded in settlement.superseded:
        await _delete(connection, superseded)
    columns = _columns(settlement.details, new_song)
    if settlement.song_id is None:
        song_id = int(await connection.fetchval(QUERIES["add_song"], *columns))
    else:
        song_id = settlement.song_id
    if settlement.outcome == "updated":
        await connection.execute(QUERIES["update_song"], *columns, song_id)
    if settlement.sounds_new:
        body = encode(new_song.fingerprint)
        await connection.execute(QUERIES["put_fingerprint"], song_id, new_song.fingerprint.version, body)
        await connection.execute(QUERIES["log_change"], song_id)
    return Stored(song_id, settlement.outcome)


async def _delete(connection: Connection, song_id: int) -> bool:
    if await connection.fetchval(QUERIES["delete_song"], song_id) is None:
        return False
    await connection.execute(QUERIES["log_change"], song_id)
    return True


def _columns(details: SongDetails, new_song: NewSong) -> tuple[object, ...]:
    external_id, *others = astuple(details)
    fingerprint = new_song.fingerprint
    return (external_id, *_hashes(new_song), fingerprint.version, fingerprint.duration_ms, *others)


def _hashes(new_song: NewSong) -> tuple[bytes, bytes]:
    return bytes.fromhex(new_song.content_sha256), bytes.fromhex(new_song.fingerprint.key)


def _song(row: Record) -> Song:
    return Song(
        id=row["id"],
        details=SongDetails(*(row[name] for name in _DETAILS)),
        duration_ms=row["duration_ms"],
        content_sha256=row["content_sha256"].hex(),
        sound_sha256=row["sound_sha256"].hex(),
        fingerprint_version=row["fingerprint_version"],
        created_at=row["created_at"],
    )


def _fingerprint(row: Record) -> Fingerprint | None:
    if row["body"] is None:
        return None
    if row["fingerprint_version"] != FINGERPRINT_VERSION:
        raise IndexVersionMismatch(
            f"song {row['song_id']} has a fingerprint of version {row['fingerprint_version']}, this program "
            f"reads {FINGERPRINT_VERSION}: run `sonica ingest --reingest PATH` over the songs' folder, "
            "`sonica songs delete ID` for songs whose file is gone"
        )
    return decode(row["body"])
