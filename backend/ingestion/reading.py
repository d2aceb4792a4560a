"""What has to be known of files and objects before they are decoded: their state, then the hash of their bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from backend.audio.limits import DecoderLimits
from backend.errors import ObjectNotFound, UnavailableError
from backend.ingestion.extraction import Job
from backend.ingestion.files import FileState, sha256_of, state_of
from backend.ingestion.object_metadata import noted
from backend.ingestion.sources import Item
from backend.models import SongDetails, StoredObject
from backend.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class Seen:
    """A file or object that is there, not read yet."""

    item: Item
    state: FileState | None  # None where an event told of the object and not of its time
    stored: StoredObject | None  # the object


@dataclass(frozen=True, slots=True)
class Read:
    """A file whose bytes are known; that of an object is a copy, which ends with `discard`."""

    item: Item
    details: SongDetails
    path: Path
    content_sha256: str
    state: FileState | None  # of the file or object
    stored: StoredObject | None  # the object, as its copy is

    def job(self, limits: DecoderLimits) -> Job:
        """Return what there is to extract; raises UnreadableFile."""
        if self.stored is None and self.state is not None:
            return Job(self.path, self.details, self.state, limits)
        return Job(self.path, self.details, state_of(self.path), limits, stem=self.item.stem)

    def discard(self) -> None:
        """Delete the copy of an object."""
        if self.stored is not None:
            self.path.unlink(missing_ok=True)


class Reader:
    """Reads files and, where there is a store, objects. Raises UnusableSong, ObjectNotFound, UnavailableError."""

    def __init__(self, objects: ObjectStore | None) -> None:
        self._objects = objects

    async def see(self, item: Item) -> Seen:
        """Look the item up without reading it."""
        if item.path is not None:
            return Seen(item, await asyncio.to_thread(state_of, item.path), None)
        stored = item.stored or await self._store.head(item.uri)
        if stored is None:
            raise ObjectNotFound(f"there is no {item.uri}")
        state = FileState(stored.size_bytes, stored.modified_at) if stored.modified_at else None
        return Seen(item, state, stored)

    async def read(self, seen: Seen) -> Read:
        """Hash the item's bytes, of an object those of its copy; raises also ObjectChanged, ObjectTooLarge."""
        item, path = seen.item, seen.item.path
        if path is not None:
            return Read(item, item.details, path, await asyncio.to_thread(sha256_of, path), seen.state, None)
        path, stored = await self._store.fetch(item.uri)
        details = noted(item.details, stored.metadata)
        return Read(item, details, path, await asyncio.to_thread(sha256_of, path), seen.state, stored)

    @property
    def _store(self) -> ObjectStore:
        if self._objects is None:
            raise UnavailableError("there is no object store")
        return self._objects
