"""Takes files into the catalogue: many are extracted at a time, one is written at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

from backend.audio.limits import DecoderLimits
from backend.errors import InputError, InvalidRequest, SonicaError, StorageUnavailable, UnavailableError, UnusableSong
from backend.ingestion.extraction import Extracted, Job
from backend.ingestion.files import FileState, names_file, sha256_of, state_of
from backend.ingestion.outcomes import Ingested, already_known, failed, failed_before
from backend.ingestion.sources import Flaw, Item
from backend.ingestion.tags import readable
from backend.models import IngestFailure, NewSong, Song, Stored
from backend.ports import IndexUpkeep, IngestFailures, SongCatalogue, SongStore

_HASHED_AT_ONCE = 16  # files whose hashes are looked up in one query


class Catalogue(SongCatalogue, SongStore, IngestFailures, Protocol):
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
class _Checked:
    """A file that can be read."""

    item: Item
    state: FileState
    content_sha256: str


@dataclass(frozen=True, slots=True)
class _InFlight:
    file: _Checked
    extraction: asyncio.Task[Extracted]


class Ingester:
    """Ingests; what it has yielded as added or updated survives any crash.

    index: kept in step; None while the catalogue holds fingerprints of a version that no index can hold.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        extract: Callable[[Job], Awaitable[Extracted]],
        *,
        index: IndexUpkeep | None,
        plan: Plan,
    ) -> None:
        self._catalogue = catalogue
        self._extract = extract
        self._index = index
        self._plan = plan
        self._failures: dict[str, IngestFailure] = {}  # of earlier runs, by uri
        self._saved_at = time.monotonic()

    async def ingest(self, items: Iterable[Item | Flaw]) -> AsyncGenerator[Ingested]:
        """Yield what became of each item, in their order; a song is yielded as soon as it is durable.

        Raises UnavailableError, StateError: nothing yielded is lost, the same ingest goes on from there.
        """
        self._failures = {failure.uri: failure for failure in await self._catalogue.failures()}
        waiting: deque[_InFlight | Ingested] = deque()
        try:
            async for entry in self._under_way(items):
                waiting.append(entry)
                while len(waiting) > self._plan.in_flight_max:
                    yield await self._settled(waiting.popleft())
                    await self._keep_up(after_seconds=self._plan.save_seconds)
            while waiting:
                yield await self._settled(waiting.popleft())
            await self._keep_up(after_seconds=0)
        finally:
            for entry in waiting:
                if isinstance(entry, _InFlight):
                    entry.extraction.cancel()

    async def _under_way(self, items: Iterable[Item | Flaw]) -> AsyncIterator[_InFlight | Ingested]:
        """Check the items batch by batch and start the extraction of what is new."""
        source = iter(items)
        while batch := await asyncio.to_thread(lambda: list(islice(source, _HASHED_AT_ONCE))):
            checks = await asyncio.gather(*map(self._checked, batch))
            known = await self._known([check for check in checks if isinstance(check, _Checked)])
            for check in checks:
                if isinstance(check, Ingested):
                    yield check
                elif check.content_sha256 in known:
                    yield already_known(check.item, known[check.content_sha256])
                else:
                    job = Job(check.item.path, check.item.details, check.state, self._plan.limits)
                    yield _InFlight(check, asyncio.ensure_future(self._extract(job)))

    async def _checked(self, item: Item | Flaw) -> _Checked | Ingested:
        if isinstance(item, Flaw):
            return failed(item, item.error)
        try:
            state = await asyncio.to_thread(state_of, item.path)
            if code := self._failed_as_it_is(item, state):
                return failed_before(item, code)
            return _Checked(item, state, await asyncio.to_thread(sha256_of, item.path))
        except UnusableSong as error:
            return await self._failed(item, None, error)

    def _failed_as_it_is(self, item: Item, state: FileState) -> str | None:
        failure = self._failures.get(item.path.as_uri())
        if failure is None or self._plan.retry_failed or self._plan.reingest:
            return None
        return failure.code if state == FileState.of_failure(failure) else None

    async def _known(self, files: list[_Checked]) -> dict[str, str]:
        if self._plan.reingest or not files:
            return {}
        return await self._catalogue.content_known([file.content_sha256 for file in files])

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

    async def _written(self, file: _Checked, extracted: Extracted) -> Ingested:
        uri = file.item.path.as_uri()
        stored = None
        while stored is None:  # another ingest may take the place before the song is put there
            external_id, present_id = await self._place(file.item)
            details = replace(extracted.details, external_id=external_id, audio_url=uri)
            new_song = NewSong(details, file.content_sha256, extracted.fingerprint)
            stored = await _uninterrupted(self._catalogue.put(new_song, replaces=present_id))
        if uri in self._failures:
            await self._catalogue.clear_failure(uri)
        if stored.outcome == "duplicate" and stored.song_id == present_id:
            return already_known(file.item, external_id)
        return await self._told(file.item, stored, external_id, extracted.fingerprint.duration_ms)

    async def _place(self, item: Item) -> tuple[str, int | None]:
        """Return the external id for the file and the song that has it now.

        It is the one stated, else the file's name; where another file's song has that, as many folders
        as needed are put before it: `01`, `First Album/01`, ...
        """
        if stated := item.details.external_id:
            present = await self._song(stated)
            return stated, present.id if present else None
        for name in _names(item):
            present = await self._song(name)
            if present is None:
                return name, None
            if names_file(present.details.audio_url, item.path):
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
        return Ingested(str(item.path), stored.outcome, external_id, stored.song_id, duration_ms, code, detail)

    async def _failed(self, item: Item, state: FileState | None, error: SonicaError) -> Ingested:
        """Remember the failure, unless it says nothing about the file."""
        if not isinstance(error, UnavailableError):
            size, modified_at = (state.size_bytes, state.modified_at) if state else (None, None)
            failure = IngestFailure(item.path.as_uri(), error.code, error.detail, size, modified_at, datetime.now(UTC))
            await self._catalogue.record_failure(failure)
        return failed(item, error)

    async def _keep_up(self, *, after_seconds: float) -> None:
        if self._index is None or time.monotonic() - self._saved_at < after_seconds:
            return
        await self._index.catch_up()
        try:
            await asyncio.to_thread(self._index.save)
        except OSError as error:
            raise StorageUnavailable(
                f"the index cannot be saved: {error.strerror or error}; all songs are in the catalogue, "
                "`sonica index build` saves it once there is space"
            ) from error
        self._saved_at = time.monotonic()


def _names(item: Item) -> list[str]:
    """Return the file's name, then with folders before it; the last one starts with / as no other file's can."""
    parts = ["", *(readable(part) for part in (*item.path.parent.parts[1:], item.path.stem))]
    return ["/".join(parts[-count:]) for count in range(1, len(parts) + 1)]


async def _uninterrupted(write: Awaitable[Stored | None]) -> Stored | None:
    """Finish the write even when Ctrl-C comes, then stop."""
    under_way = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(under_way)
    except asyncio.CancelledError:
        await asyncio.wait([under_way])
        raise
