"""Takes files into the catalogue: many are extracted at a time, one is written at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol, TypeAlias

from backend.audio.limits import DecoderLimits
from backend.errors import InputError, InvalidRequest, SonicaError, StorageUnavailable
from backend.ingestion.extraction import Extracted, Job
from backend.ingestion.files import FileState
from backend.ingestion.outcomes import Ingested, already_known, failed, failed_before
from backend.ingestion.places import names_file
from backend.ingestion.reading import Read, Reader, Seen
from backend.ingestion.sources import Flaw, Item
from backend.ingestion.tags import readable
from backend.models import IngestFailure, NewSong, Song, Stored
from backend.ports import IndexUpkeep, IngestedObjects, IngestFailures, ObjectStore, SongCatalogue, SongStore

_READ_AT_ONCE = 16  # files that are hashed, and whose hashes are looked up in one query
_SAVING_SHARE_MAX = 0.1  # of the time may go into saving the index, which grows


Extract: TypeAlias = Callable[[Job], Awaitable[Extracted]]


class Catalogue(SongCatalogue, SongStore, IngestFailures, IngestedObjects, Protocol):
    """What an ingest needs of the catalogue."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to ingest.

    reingest: extract also what the catalogue holds byte for byte, and what failed before.
    retry_failed: extract also what failed before and has not changed since.
    in_flight_max: files that are extracted, or extracted and not yet written.
    save_seconds: how often the index catches up and is saved meanwhile.
    """

    limits: DecoderLimits
    reingest: bool = False
    retry_failed: bool = False
    in_flight_max: int = 8
    save_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class _InFlight:
    file: Read
    extraction: asyncio.Task[Extracted]


class Ingester:
    """Ingests; what it has yielded as added or updated survives any crash.

    objects: what `s3:` URIs are read from. index: kept in step; None while the catalogue holds fingerprints of a
    version that no index can hold, and for workers, which leave it to servers.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        extract: Extract,
        *,
        index: IndexUpkeep | None,
        plan: Plan,
        objects: ObjectStore | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._extract = extract
        self._index = index
        self._plan = plan
        self._reader = Reader(objects)
        self._failed_before: set[str] = set()  # URIs of those under way
        self._saved_at = time.monotonic()
        self._save_seconds = plan.save_seconds

    async def ingest(self, items: Iterable[Item | Flaw]) -> AsyncGenerator[Ingested]:
        """Yield what became of each item, in their order; a song is yielded as soon as it is durable.

        Raises CatalogueUnavailable, StorageUnavailable, StateError: nothing yielded is lost, the same ingest goes on
        from there.
        """
        waiting: deque[_InFlight | Ingested] = deque()
        try:
            async for entry in self._under_way(items):
                waiting.append(entry)
                while len(waiting) > self._plan.in_flight_max:
                    yield await self._settled(waiting.popleft())
                    await self._keep_up(after_seconds=self._save_seconds)
            while waiting:
                yield await self._settled(waiting.popleft())
            await self._keep_up(after_seconds=0)
        finally:
            for entry in waiting:
                if isinstance(entry, _InFlight):
                    entry.extraction.cancel()

    async def _under_way(self, items: Iterable[Item | Flaw]) -> AsyncIterator[_InFlight | Ingested]:
        """Look at the items batch by batch and start the extraction of what is new."""
        source = iter(items)
        while batch := await asyncio.to_thread(lambda: list(islice(source, _READ_AT_ONCE))):
            seen = await self._all_seen(batch)
            read = await asyncio.gather(*map(self._read, seen))
            try:
                known = await self._known([file for file in read if isinstance(file, Read)])
            except BaseException:
                _discard(read)
                raise
            for file in read:
                if isinstance(file, Ingested):
                    yield file
                elif file.content_sha256 in known:
                    yield await self._already_known(file, known[file.content_sha256])
                else:
                    yield _InFlight(file, asyncio.ensure_future(self._extracted(file)))

    async def _all_seen(self, batch: list[Item | Flaw]) -> list[Seen | Ingested]:
        """Look up what is there, without what failed before or is known as it is."""
        failures = await self._catalogue.failures_of([entry.uri for entry in batch if isinstance(entry, Item)])
        self._failed_before.update(failures)
        seen = await asyncio.gather(*(self._seen(entry, failures) for entry in batch))
        objects = [file.stored for file in seen if isinstance(file, Seen) and file.stored]
        if not objects or self._plan.reingest:
            return seen
        known = await self._catalogue.objects_known(objects)
        return [
            await self._noted_before(file, known[file.item.uri])
            if isinstance(file, Seen) and file.item.uri in known
            else file
            for file in seen
        ]

    async def _noted_before(self, seen: Seen, external_id: str) -> Ingested:
        await self._clear_failure(seen.item)
        return already_known(seen.item, external_id)

    async def _seen(self, entry: Item | Flaw, failures: Mapping[str, IngestFailure]) -> Seen | Ingested:
        if isinstance(entry, Flaw):
            return failed(entry, entry.error)
        try:
            seen = await self._reader.see(entry)
        except SonicaError as error:
            return await self._failed(entry, None, error)
        failure = failures.get(entry.uri)
        if failure and not self._retries and seen.state and seen.state == FileState.of_failure(failure):
            self._failed_before.discard(entry.uri)
            return failed_before(entry, failure.code)
        return seen

    @property
    def _retries(self) -> bool:
        return self._plan.retry_failed or self._plan.reingest

    async def _read(self, seen: Seen | Ingested) -> Read | Ingested:
        if isinstance(seen, Ingested):
            return seen
        try:
            return await self._reader.read(seen)
        except SonicaError as error:
            return await self._failed(seen.item, seen.state, error)

    async def _known(self, files: list[Read]) -> dict[str, str]:
        if self._plan.reingest or not files:
            return {}
        return await self._catalogue.content_known([file.content_sha256 for file in files])

    async def _extracted(self, file: Read) -> Extracted:
        try:
            return await self._extract(file.job(self._plan.limits))
        finally:
            file.discard()

    async def _already_known(self, file: Read, external_id: str) -> Ingested:
        file.discard()
        await self._done(file, external_id)
        return already_known(file.item, external_id)

    async def _settled(self, entry: _InFlight | Ingested) -> Ingested:
        if isinstance(entry, Ingested):
            return entry
        try:
            extracted = await entry.extraction
        except SonicaError as error:
            return await self._failed(entry.file.item, entry.file.state, error)
        try:
            return await self._written(entry.file, extracted)
        except InputError as error:
            return await self._failed(entry.file.item, entry.file.state, error)

    async def _written(self, file: Read, extracted: Extracted) -> Ingested:
        stored = None
        while stored is None:  # another ingest may take the place before the song is put there
            external_id, present_id = await self._place(file.item, extracted.details.external_id)
            details = replace(extracted.details, external_id=external_id, audio_url=file.item.uri)
            new_song = NewSong(details, file.content_sha256, extracted.fingerprint)
            stored = await _uninterrupted(self._catalogue.put(new_song, replaces=present_id))
        told = await self._told(file.item, stored, external_id, extracted.fingerprint.duration_ms)
        await self._done(file, told.external_id or external_id)
        if stored.outcome == "duplicate" and stored.song_id == present_id:
            return already_known(file.item, external_id)
        return told

    async def _done(self, file: Read, external_id: str) -> None:
        """Remember that the file is in the catalogue, and forget that it once failed."""
        if file.stored is not None:
            await self._catalogue.note_object(file.stored, external_id)
        await self._clear_failure(file.item)

    async def _clear_failure(self, item: Item) -> None:
        if item.uri in self._failed_before:
            await self._catalogue.clear_failure(item.uri)
            self._failed_before.discard(item.uri)

    async def _place(self, item: Item, stated: str) -> tuple[str, int | None]:
        """Return the external id for the file and the song that has it now.

        It is the one stated; else of an object its URI, of a file its name: where another file's song has that, as many
        folders as needed are put before it: `01`, `First Album/01`, ...
        """
        if stated:
            present = await self._song(stated)
            return stated, present.id if present else None
        for name in _names(item):
            present = await self._song(name)
            if present is None:
                return name, None
            if _is_of(present, item):
                return name, present.id
        raise InvalidRequest(f"other songs have all external ids up to {name}; a manifest can state another one")

    async def _song(self, external_id: str) -> Song | None:
        found = await self._catalogue.page(after_id=0, limit=1, filters={"external_id": external_id})
        return found[0] if found else None

    async def _told(self, item: Item, stored: Stored, external_id: str, duration_ms: int) -> Ingested:
        code = detail = None
        if stored.outcome == "duplicate":
            songs = await self._catalogue.songs([stored.song_id])
            external_id = songs[stored.song_id].details.external_id if stored.song_id in songs else external_id
            code, detail = "same_sound", f"it sounds as {external_id} does"
        return Ingested(item.shown, stored.outcome, external_id, stored.song_id, duration_ms, code, detail)

    async def _failed(self, item: Item, state: FileState | None, error: SonicaError) -> Ingested:
        """Remember the failure; one that says nothing about the file without its state, so that it is tried again."""
        outcome = failed(item, error)
        told = None if outcome.transient else state
        size, modified_at = (told.size_bytes, told.modified_at) if told else (None, None)
        failure = IngestFailure(item.uri, error.code, error.detail, size, modified_at, datetime.now(UTC))
        await self._catalogue.record_failure(failure)
        self._failed_before.discard(item.uri)
        return outcome

    async def _keep_up(self, *, after_seconds: float) -> None:
        if self._index is None or time.monotonic() - self._saved_at < after_seconds:
            return
        await self._index.catch_up()
        started_at = time.monotonic()
        try:
            await asyncio.to_thread(self._index.save)
        except OSError as error:
            raise StorageUnavailable(
                f"the index cannot be saved: {error.strerror or error}; all songs are in the catalogue, "
                "`sonica index build` saves it once there is space"
            ) from error
        self._saved_at = time.monotonic()
        self._save_seconds = max(self._plan.save_seconds, (self._saved_at - started_at) / _SAVING_SHARE_MAX)


def _discard(files: Iterable[Read | Ingested]) -> None:
    for file in files:
        if isinstance(file, Read):
            file.discard()


def _names(item: Item) -> list[str]:
    """Return the file's name, then with folders before it; the last one starts with / as no other file's can."""
    if item.path is None:
        return [item.uri]
    parts = ["", *(readable(part) for part in (*item.path.parent.parts[1:], item.path.stem))]
    return ["/".join(parts[-count:]) for count in range(1, len(parts) + 1)]


def _is_of(song: Song, item: Item) -> bool:
    if item.path is None:
        return song.details.audio_url == item.uri
    return names_file(song.details.audio_url, item.path)


async def _uninterrupted(write: Awaitable[Stored | None]) -> Stored | None:
    """Finish the write even when Ctrl-C comes, then stop."""
    under_way = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(under_way)
    except asyncio.CancelledError:
        await asyncio.wait([under_way])
        raise
