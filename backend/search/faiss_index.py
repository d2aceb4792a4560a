"""The reference index: the fingerprints' vectors, searched by FAISS, caught up from the catalogue's change log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE, FINGERPRINT_VERSION, STEP_MS, Fingerprint

from backend.cores import cores
from backend.errors import IndexVersionMismatch
from backend.models import CATALOGUE_THINNING, Candidate, Change
from backend.ports import ChangeLog
from backend.search.compact import CompactVectors
from backend.search.directory import SongDirectory
from backend.search.exact import ExactVectors
from backend.search.hnsw import HnswVectors
from backend.search.index import NEIGHBOURS, IndexStatus, compared_window
from backend.search.read_write_lock import ReadWriteLock
from backend.search.segments import loud_segments, searched_segments
from backend.search.shards import Shards, Vectors
from backend.search.snapshots import MANIFEST, Manifest, SnapshotStore
from backend.search.votes import Place, tally

ADD_SLICE = 32  # vectors added at a time while searches wait, about 10 ms
ADD_BATCH = 8_192  # and while there are none: each time FAISS first walks over all it has, 10 ms at 2 million vectors
CHANGES_BATCH = 1_024  # songs taken together at most, where they have few vectors or are gone
DEAD_SHARE_MAX = 0.5  # more than half of the index was removed or replaced: building it anew costs less than it saves

SONGS = "songs.npz"  # beside the files of the shards

IndexKind: TypeAlias = Literal["hnsw", "compact", "exact"]

_NOTHING = (np.empty((0, DIMENSIONS), np.int8), np.empty(0, np.int32))


class FaissIndex:
    """Implements ReferenceIndex; searches share it, changes are applied between them."""

    def __init__(
        self,
        folder: Path,
        changes: ChangeLog,
        *,
        search_depth: int,
        kind: IndexKind = "hnsw",
        shard_segments: int | None = None,
    ) -> None:
        """search_depth: of the graph; other kinds have none. shard_segments: None for a single shard."""
        self._kind = kind
        self._folder = folder
        self._snapshots = SnapshotStore(folder)
        self._changes = changes
        self._search_depth = search_depth
        self._shard_segments = shard_segments
        self._lock = ReadWriteLock()
        self._catching_up = asyncio.Lock()
        self._searched = False
        self._newest_revision = 0
        self.caught_up_at = 0.0  # when it last had all changes of the catalogue, in seconds since 1970
        self._catalogue: str = ""
        self._revision: int = 0
        self._clear()

    @classmethod
    async def open(  # noqa: PLR0913 - what it is made of, and how it begins
        cls,
        folder: Path,
        changes: ChangeLog,
        *,
        search_depth: int,
        kind: IndexKind = "hnsw",
        shard_segments: int | None = None,
        fresh: bool = False,
        alone: bool = False,
    ) -> FaissIndex:
        """Load the newest whole snapshot of this kind (none when `fresh`) and catch up from the change log.

        alone: the log is away, the snapshot has to do; `caught_up_at` is 0 where there is none.
        """
        index = cls(folder, changes, search_depth=search_depth, kind=kind, shard_segments=shard_segments)
        if not fresh:
            await asyncio.to_thread(index.load_snapshot)
        if alone:
            return index
        if not index._vectors.full() and index._directory.dead_segments > DEAD_SHARE_MAX * index._directory.segments:
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

    @property
    def has_quick_search(self) -> bool:
        """Whether a quick search costs less than a whole one."""
        return self._kind == "hnsw"

    async def catch_up(self) -> int:
        """Apply what the change log has since; return the number of changes."""
        async with self._catching_up:
            name, self._newest_revision = await self._changes.name(), await self._changes.revision()
            if name != self._catalogue or self._revision > self._newest_revision:
                self._clear()  # the snapshot is of another catalogue, or of one that was restored to an earlier day
                self._catalogue = name
            applied = await self._apply_all(self._changes.changes(after_revision=self._revision))
            self._newest_revision = max(self._newest_revision, self._revision)
            self.caught_up_at = time.time()
        return applied

    def save(self) -> None:
        """Write a snapshot, unless the newest one is of this very state."""
        newest = self._snapshots.newest()
        with self._lock.reading():
            state = self._manifest()
            if newest is None or replace(newest[1], hashes={}) != state:
                previous = newest[0] if newest else None
                self._snapshots.write(state, partial(self._write_files, previous=previous))

    @property
    def catalogue(self) -> str:
        """The name of the change log that it follows; blank before it has."""
        return self._catalogue

    def export(self, folder: Path) -> IndexStatus:
        """Write the files that `beside` reads; say what they hold."""
        with self._lock.reading():
            self._write_files(folder)
            return self._status()

    def beside(self, files: Mapping[str, Path], *, catalogue: str, revision: int) -> FaissIndex:
        """Return another index of the same change log, with what these files hold; blocks."""
        other = FaissIndex(
            self._folder,
            self._changes,
            search_depth=self._search_depth,
            kind=self._kind,
            shard_segments=self._shard_segments,
        )
        other._read_files(files)
        other._catalogue, other._revision = catalogue, revision
        return other

    async def take(self, other: FaissIndex) -> None:
        """Answer from now on by what another index holds, which is given up."""
        async with self._catching_up:
            await asyncio.to_thread(self._take, other)

    async def apply(self, changes: AsyncIterator[Change], *, revision: int) -> None:
        """Apply changes, ascending by revision, as far as they are news; then the index is of this revision."""
        async with self._catching_up:
            await self._apply_all(change async for change in changes if change.revision > self._revision)
            self._revision = max(self._revision, revision)

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
            return self._status()

    # --- state -------------------------------------------------------------------------------------------------------

    def _status(self) -> IndexStatus:
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

    def _clear(self) -> None:
        with self._lock.writing():
            self._vectors = Shards(self._new_vectors, size=self._shard_segments)
            self._directory = SongDirectory()
            self._catalogue = ""
            self._revision = 0

    def _new_vectors(self) -> Vectors:
        if self._kind == "exact":
            return ExactVectors()
        return CompactVectors() if self._kind == "compact" else HnswVectors(search_depth=self._search_depth)

    def _take(self, other: FaissIndex) -> None:
        with self._lock.writing():
            self._vectors, self._directory = other._vectors, other._directory
            self._catalogue, self._revision = other._catalogue, other._revision
            self.caught_up_at = max(self.caught_up_at, other.caught_up_at)

    def load_snapshot(self) -> None:
        """Take the newest whole snapshot of this kind, if there is one; blocks. Raises IndexVersionMismatch."""
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
        self._read_files({file.name: file for file in path.iterdir()})
        self._catalogue, self._revision = manifest.catalogue, manifest.revision
        self.caught_up_at = (path / MANIFEST).stat().st_mtime

    def _manifest(self) -> Manifest:
        return Manifest(
            fingerprint_version=FINGERPRINT_VERSION,
            catalogue=self._catalogue,
            revision=self._revision,
            segments=self._directory.segments,
            kind=self._vectors.kind,
        )

    def _write_files(self, folder: Path, *, previous: Path | None = None) -> None:
        self._vectors.write(folder, previous=previous)
        shards = np.array(self._vectors.starts, np.int64)
        np.savez(folder / SONGS, allow_pickle=False, shards=shards, **self._directory.to_arrays())

    def _read_files(self, files: Mapping[str, Path]) -> None:
        with np.load(files[SONGS]) as arrays:
            self._directory = SongDirectory.from_arrays(dict(arrays))
            starts = arrays["shards"].tolist() if "shards" in arrays else [0]  # which earlier versions did not write
        self._vectors.read(files, starts=starts, total=self._directory.segments)

    async def _apply_all(self, changes: AsyncIterator[Change]) -> int:
        applied = 0
        async for batch in self._batches(changes):
            await asyncio.to_thread(self._apply, batch)
            applied += len(batch)
        await asyncio.to_thread(self._tend)
        return applied

    def _tend(self) -> None:
        """Keep shards quick to search and worth their memory; searches go on meanwhile, and nothing is added."""
        for number in self._vectors.outgrown():
            regrouped = self._vectors.regrouped(number)
            with self._lock.writing():
                self._vectors.put(number, regrouped)
        for number, first, end in self._vectors.full():
            if self._directory.dead_between(first, end) > DEAD_SHARE_MAX * (end - first):
                self._move(self._directory.songs_between(first, end))
                with self._lock.writing():
                    self._vectors.give_up(number)

    def _move(self, song_ids: Sequence[int]) -> None:
        """Append songs anew, as they are stored, and give up where they were."""
        for song_id in song_ids:
            first, positions = self._directory.whole(song_id) or (0, np.empty(0, np.int32))
            try:
                self._add(self._vectors.stored(first, len(positions)))
                with self._lock.writing():
                    self._directory.remove(song_id)
                    self._directory.add(song_id, positions)
            except BaseException:
                self._clear()
                raise

    async def _batches(self, changes: AsyncIterator[Change]) -> AsyncIterator[list[Change]]:
        """Yield the changes, many at a time; one at a time once there are searches, which would wait."""
        batch: list[Change] = []
        segments = 0
        async for change in changes:
            batch.append(change)
            segments += change.fingerprint.segments if change.fingerprint else 0
            if self._searched or segments >= ADD_BATCH or len(batch) >= CHANGES_BATCH:
                yield batch
                batch, segments = [], 0
        if batch:
            yield batch

    def _apply(self, changes: list[Change]) -> None:
        with self._lock.writing():
            for change in changes:
                self._directory.remove(change.song_id)
        parts = [loud_segments(change.fingerprint) if change.fingerprint else _NOTHING for change in changes]
        try:
            self._add(np.concatenate([embeddings for embeddings, _ in parts]))
            with self._lock.writing():
                for change, (_, positions) in zip(changes, parts, strict=True):
                    self._directory.remove(change.song_id)  # where it changed twice among these
                    if change.fingerprint is not None:
                        self._directory.add(change.song_id, positions)
                self._revision = changes[-1].revision
        except BaseException:  # vectors without an owner: nothing here can be trusted any more
            self._clear()
            raise

    def _add(self, embeddings: NDArray[np.int8]) -> None:
        first = 0
        while first < len(embeddings):
            count = ADD_SLICE if self._searched else ADD_BATCH
            with self._lock.writing():
                self._vectors.add(embeddings[first : first + count], threads=cores())
            first += count

    # --- search ------------------------------------------------------------------------------------------------------

    def search(self, query: Fingerprint, *, limit: int, quick: bool = False) -> list[Candidate]:
        """Return the `limit` best alignments, most votes first; blocks."""
        self._searched = True
        embeddings, positions = searched_segments(query)
        if len(embeddings) == 0:
            return []
        with self._lock.reading():
            if self._directory.segments == 0:
                return []
            dead = self._directory.dead if self._directory.dead_segments else None
            products, ordinals = self._vectors.nearest(embeddings, count=NEIGHBOURS, dead=dead, quick=quick)
            known = (ordinals >= 0) & (ordinals < self._directory.segments)
            owners = self._directory.owners(ordinals[known])
            alive = owners.song_ids > 0
            offsets = (owners.positions - np.broadcast_to(positions[:, None], ordinals.shape)[known])[alive]
            cosines = products[known][alive] / EMBEDDING_SCALE**2
            places = tally(owners.song_ids[alive], offsets, cosines, limit=limit)
            return self._candidates(places, last_position=int(positions[-1]))

    def _candidates(self, places: Sequence[Place], *, last_position: int) -> list[Candidate]:
        """Put to each place what is stored around it; last_position: of the query's segments."""
        if not places:
            return []
        firsts, lasts = zip(*(compared_window(place.offset_steps, last_position) for place in places), strict=True)
        ordinals, positions, bounds = self._directory.windows([place.song_id for place in places], firsts, lasts)
        embeddings = self._vectors.gathered(ordinals)
        return [
            Candidate(place.song_id, place.offset_steps, place.votes, positions[start:end], embeddings[start:end])
            for place, start, end in zip(places, bounds, bounds[1:], strict=False)
        ]
