"""The reference index: the fingerprints' vectors, searched by FAISS, caught up from the catalogue's change log."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import (
    DIMENSIONS,
    EMBEDDING_SCALE,
    FINGERPRINT_VERSION,
    SILENCE_DB,
    STEP_MS,
    Fingerprint,
)

from backend.errors import IndexVersionMismatch
from backend.models import CATALOGUE_THINNING, Candidate, Change
from backend.ports import ChangeLog
from backend.search.compact import CompactVectors
from backend.search.directory import SongDirectory
from backend.search.hnsw import HnswVectors
from backend.search.read_write_lock import ReadWriteLock
from backend.search.snapshots import Manifest, SnapshotStore
from backend.search.votes import Place, tally

NEIGHBOURS = 10
DENSE_QUERY_SEGMENTS = 16  # longer queries search every second segment: neighbours overlap by 87 %
ADD_SLICE = 32  # vectors added at a time while searches wait, about 10 ms
DEAD_SHARE_MAX = 0.5  # more than half of the index was removed or replaced: building it anew costs less than it saves
WINDOW_MARGIN_STEPS = 12  # stored segments around an alignment that verification may shift or stretch into
STRETCH_MAX = 1.1

IndexKind: TypeAlias = Literal["hnsw", "compact"]


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index holds."""

    version: str
    kind: str  # and of a compact one the codebooks' name
    fingerprint_version: int
    revision: int
    songs: int
    segments: int
    dead_segments: int
    bytes: int
    audio_seconds: float


class FaissIndex:
    """Implements ReferenceIndex; searches share it, changes are applied between them."""

    def __init__(self, folder: Path, changes: ChangeLog, *, search_depth: int, kind: IndexKind = "hnsw") -> None:
        """search_depth: of the graph; the compact kind has none."""
        self._kind = kind
        self._snapshots = SnapshotStore(folder)
        self._changes = changes
        self._search_depth = search_depth
        self._lock = ReadWriteLock()
        self._catching_up = asyncio.Lock()
        self._newest_revision = 0
        self.caught_up_at = 0.0  # when it last had all changes of the catalogue, in seconds since 1970
        self._catalogue: str = ""
        self._revision: int = 0
        self._clear()

    @classmethod
    async def open(
        cls, folder: Path, changes: ChangeLog, *, search_depth: int, kind: IndexKind = "hnsw", fresh: bool = False
    ) -> FaissIndex:
        """Load the newest whole snapshot of this kind (none when `fresh`) and catch up from the change log."""
        index = cls(folder, changes, search_depth=search_depth, kind=kind)
        if not fresh:
            await asyncio.to_thread(index._load)
        if index._directory.dead_segments > DEAD_SHARE_MAX * index._directory.segments:
            index._clear()
        await index.catch_up()
        return index

    @property
    def version(self) -> str:
        """Names the catalogue state that answers come from: fingerprint version and revision."""
        return f"v{FINGERPRINT_VERSION}-r{self._revision}"

    @property
    def segments(self) -> int:
        """How many segments are searched."""
        return self._directory.segments - self._directory.dead_segments

    @property
    def revisions_behind(self) -> int:
        """Changes of the catalogue that are known and not taken yet."""
        return max(0, self._newest_revision - self._revision)

    async def search(self, query: Fingerprint, *, limit: int) -> list[Candidate]:
        """Return the `limit` best alignments, most votes first."""
        return await asyncio.to_thread(self._search, query, limit)

    async def catch_up(self) -> int:
        """Apply what the change log has since; return the number of changes."""
        applied = 0
        async with self._catching_up:
            name, self._newest_revision = await self._changes.name(), await self._changes.revision()
            if name != self._catalogue or self._revision > self._newest_revision:
                self._clear()  # the snapshot is of another catalogue, or of one that was restored to an earlier day
                self._catalogue = name
            async for change in self._changes.changes(after_revision=self._revision):
                await asyncio.to_thread(self._apply, change)
                applied += 1
            self._newest_revision = max(self._newest_revision, self._revision)
            self.caught_up_at = time.time()
        return applied

    def save(self) -> None:
        """Write a snapshot, unless the newest one is of this very state."""
        newest = self._snapshots.newest()
        with self._lock.reading():
            state = self._manifest()
            if newest is None or replace(newest[1], hashes={}) != state:
                self._snapshots.write(state, self._write_files)

    def stored(self, song_id: int) -> tuple[NDArray[np.int32], NDArray[np.int8]] | None:
        """Return a song's positions in steps, (n,), and vectors as they are kept, (n, 128); None for none here."""
        with self._lock.reading():
            window = self._directory.whole(song_id)
            if window is None:
                return None
            first, positions = window
            return positions, self._vectors.stored(first, len(positions))

    def status(self) -> IndexStatus:
        """Say what the index holds; bytes are those in memory, without room to grow."""
        with self._lock.reading():
            return IndexStatus(
                version=self.version,
                kind=self._vectors.kind,
                fingerprint_version=FINGERPRINT_VERSION,
                revision=self._revision,
                songs=self._directory.songs,
                segments=self._directory.segments,
                dead_segments=self._directory.dead_segments,
                bytes=self._vectors.nbytes + sum(array.nbytes for array in self._directory.to_arrays().values()),
                audio_seconds=self.segments * STEP_MS * CATALOGUE_THINNING / 1000,
            )

    # --- state -------------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        with self._lock.writing():
            self._vectors = self._new_vectors()
            self._directory = SongDirectory()
            self._catalogue = ""
            self._revision = 0

    def _new_vectors(self) -> HnswVectors | CompactVectors:
        return CompactVectors() if self._kind == "compact" else HnswVectors(search_depth=self._search_depth)

    def _load(self) -> None:
        newest = self._snapshots.newest()
        if newest is None:
            return
        path, manifest = newest
        if manifest.fingerprint_version != FINGERPRINT_VERSION:
            raise IndexVersionMismatch(
                f"the stored index is of fingerprint version {manifest.fingerprint_version}, this program makes "
                f"version {FINGERPRINT_VERSION}; build it anew with `sonica index build`"
            )
        if manifest.kind != self._vectors.kind:
            return  # the setting was changed, or the codebooks: the catalogue has all that it takes to build it anew
        self._vectors.read(path / "segments.faiss")
        with np.load(path / "songs.npz") as arrays:
            self._directory = SongDirectory.from_arrays(dict(arrays))
        self._catalogue, self._revision = manifest.catalogue, manifest.revision

    def _manifest(self) -> Manifest:
        return Manifest(
            fingerprint_version=FINGERPRINT_VERSION,
            catalogue=self._catalogue,
            revision=self._revision,
            segments=self._directory.segments,
            kind=self._vectors.kind,
        )

    def _write_files(self, folder: Path) -> None:
        self._vectors.write(folder / "segments.faiss")
        np.savez(folder / "songs.npz", allow_pickle=False, **self._directory.to_arrays())

    def _apply(self, change: Change) -> None:
        with self._lock.writing():
            self._directory.remove(change.song_id)
        try:
            if change.fingerprint is not None:
                self._add(change.song_id, change.fingerprint)
        except BaseException:  # vectors without an owner: nothing here can be trusted any more
            self._clear()
            raise
        with self._lock.writing():
            self._revision = change.revision

    def _add(self, song_id: int, fingerprint: Fingerprint) -> None:
        embeddings, positions = _loud_segments(fingerprint)
        for start in range(0, len(embeddings), ADD_SLICE):
            with self._lock.writing():
                self._vectors.add(embeddings[start : start + ADD_SLICE], threads=os.cpu_count() or 1)
        with self._lock.writing():
            self._directory.add(song_id, positions)

    # --- search ------------------------------------------------------------------------------------------------------

    def _search(self, query: Fingerprint, limit: int) -> list[Candidate]:
        embeddings, positions = _loud_segments(query)
        if len(embeddings) > DENSE_QUERY_SEGMENTS:
            embeddings, positions = embeddings[::2], positions[::2]
        if len(embeddings) == 0:
            return []
        with self._lock.reading():
            if self._directory.segments == 0:
                return []
            dead = self._directory.dead if self._directory.dead_segments else None
            products, ordinals = self._vectors.nearest(embeddings, count=NEIGHBOURS, dead=dead)
            known = (ordinals >= 0) & (ordinals < self._directory.segments)
            owners = self._directory.owners(ordinals[known])
            alive = owners.song_ids > 0
            offsets = (owners.positions - np.broadcast_to(positions[:, None], ordinals.shape)[known])[alive]
            cosines = products[known][alive] / EMBEDDING_SCALE**2
            places = tally(owners.song_ids[alive], offsets, cosines, limit=limit)
            last_position = int(positions[-1])
            return [self._candidate(place, last_position) for place in places]

    def _candidate(self, place: Place, last_position: int) -> Candidate:
        first_ordinal, positions = self._directory.window(
            place.song_id,
            place.offset_steps - WINDOW_MARGIN_STEPS,
            place.offset_steps + round(last_position * STRETCH_MAX) + WINDOW_MARGIN_STEPS,
        )
        embeddings = self._vectors.stored(first_ordinal, len(positions))
        return Candidate(place.song_id, place.offset_steps, place.votes, positions, embeddings)


def _loud_segments(fingerprint: Fingerprint) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    loud = np.flatnonzero(np.frombuffer(fingerprint.levels, np.uint8) < SILENCE_DB)
    embeddings = np.frombuffer(fingerprint.embeddings, np.int8).reshape(-1, DIMENSIONS)
    return embeddings[loud], (loud * fingerprint.thinning).astype(np.int32)
