"""The reference index in Milvus, shared by all processes that search it: one at a time brings it up to date."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import EMBEDDING_SCALE, FINGERPRINT_VERSION, STEP_MS, Fingerprint

from backend.errors import IndexUnavailable, IndexVersionMismatch
from backend.models import CATALOGUE_THINNING, Candidate, Change
from backend.ports import ChangeLog, Turns
from backend.search.index import NEIGHBOURS, IndexStatus, compared_window
from backend.search.milvus import POSITION_BITS, STATE_ID, Milvus, Row, State
from backend.search.segments import Segments, loud_segments, searched_segments
from backend.search.votes import Place, tally

CHANGES_BATCH = 16  # songs that are taken together: about 8,000 rows, and their old ones removed in one request
TURN = "index in milvus"
TURN_SECONDS = 0.2  # until it is asked for again by whoever cannot do without

_POSITIONS = (1 << POSITION_BITS) - 1


class MilvusIndex:
    """Implements SearchIndex. What is written twice is there once: a catching up that was cut off is done again."""

    def __init__(self, milvus: Milvus, changes: ChangeLog, turns: Turns) -> None:
        """turns: keep two processes from writing at once."""
        self._milvus = milvus
        self._changes = changes
        self._turns = turns
        self._catching_up = asyncio.Lock()
        self._collection: str | None = None  # what the alias stood for when the counts were made
        self._state = State("", 0, FINGERPRINT_VERSION)
        self._songs = self._rows = 0
        self._wanted_anew = False
        self._newest_revision = 0
        self.caught_up_at = 0.0  # when it last had all changes of the catalogue, in seconds since 1970

    @classmethod
    async def open(cls, milvus: Milvus, changes: ChangeLog, turns: Turns, *, fresh: bool = False) -> MilvusIndex:
        """Take up the collection in use, or make one, and catch up from the change log.

        fresh: make a new one of all songs beside it, searched from the moment in which it is whole.
        """
        index = cls(milvus, changes, turns)
        index._wanted_anew = fresh
        await index.catch_up()
        while index._wanted_anew:  # another process is writing
            await asyncio.sleep(TURN_SECONDS)
            await index.catch_up()
        return index

    @property
    def version(self) -> str:
        """Names the catalogue state that answers come from: fingerprint version and revision."""
        return f"v{FINGERPRINT_VERSION}-r{self._state.revision}"

    @property
    def segments(self) -> int:
        """How many segments are searched."""
        return self._rows

    @property
    def revisions_behind(self) -> int:
        """Changes of the catalogue that are known and not taken yet."""
        return max(0, self._newest_revision - self._state.revision)

    @property
    def left_alone(self) -> bool:
        """Whether the breaker keeps requests away from Milvus now."""
        return self._milvus.left_alone

    @property
    def has_quick_search(self) -> bool:
        """Whether a quick search costs less than a whole one: a round trip is a round trip."""
        return False

    async def catch_up(self) -> int:
        """Apply what the change log has since, unless another process does; return the number of changes."""
        applied = 0
        async with self._catching_up:
            name, self._newest_revision = await self._changes.name(), await self._changes.revision()
            try:
                async with self._turns.turn(TURN) as ours:
                    if not self._wanted_anew:
                        await asyncio.to_thread(self._take_up)  # another process may have come further
                    if ours:
                        applied = await self._catch_up(name)
            except IndexUnavailable:
                self._collection = None  # to be loaded again, should Milvus have started anew
                raise
            self._newest_revision = max(self._newest_revision, self._state.revision)
            if not self.revisions_behind:
                self.caught_up_at = time.time()
        return applied

    def save(self) -> None:
        """Do nothing: what Milvus has taken is durable."""

    def stored(self, song_id: int) -> tuple[NDArray[np.int32], NDArray[np.int8]] | None:
        """Return a song's positions in steps, (n,), and vectors, (n, 128); None for none here."""
        found = self._milvus.vectors_of(song_id)
        if not found:
            return None
        ids = sorted(found)
        return _positions(np.array(ids)), np.stack([found[each] for each in ids])

    def status(self) -> IndexStatus:
        """Say what the index holds; none of it takes memory here."""
        return IndexStatus(
            version=self.version,
            kind=f"milvus {self._milvus.index_type}",
            fingerprint_version=FINGERPRINT_VERSION,
            revision=self._state.revision,
            songs=self._songs,
            segments=self._rows,
            dead_segments=0,
            bytes=0,
            audio_seconds=self._rows * STEP_MS * CATALOGUE_THINNING / 1000,
        )

    # --- catching up -------------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Learn what the collection in use holds, if it has come further; raises IndexVersionMismatch."""
        collection = self._milvus.in_use()
        if collection is None:
            return
        if collection != self._collection:
            self._milvus.load()
        state = self._milvus.state()
        if state is None or (collection, state) == (self._collection, self._state):
            return
        if state.fingerprint_version != FINGERPRINT_VERSION:
            raise IndexVersionMismatch(
                f"the index in Milvus is of fingerprint version {state.fingerprint_version}, this program makes "
                f"version {FINGERPRINT_VERSION}; build it anew with `sonica index build`"
            )
        self._rows = self._milvus.count(f"id > {STATE_ID}")
        self._songs = self._milvus.count("first == true")
        self._collection, self._state = collection, state

    async def _catch_up(self, catalogue: str) -> int:
        """Write all changes into the collection in use, or into a new one that then takes its place."""
        collection, state = self._collection, self._state
        anew = self._wanted_anew or state.catalogue != catalogue or state.revision > self._newest_revision
        if anew or collection is None:  # none yet, or of a catalogue that is another now, or that went back a day
            state = State(catalogue, 0, FINGERPRINT_VERSION)
            collection = await asyncio.to_thread(self._begin, state)
        applied = 0
        async for batch in self._batches(state.revision):
            new = anew and batch[-1].revision <= self._newest_revision  # the log names every song once
            state = await asyncio.to_thread(self._apply, batch, state, into=collection, new=new)
            applied += len(batch)
        if anew:
            await asyncio.to_thread(self._milvus.put_in_use, collection)
        if applied or anew:
            await asyncio.to_thread(self._take_up)
        self._wanted_anew = False
        return applied

    def _begin(self, state: State) -> str:
        """Create a collection; where there is none in use, it is from now on."""
        collection = self._milvus.create()
        self._milvus.write_state(state, into=collection)
        if self._milvus.in_use() is None:
            self._milvus.put_in_use(collection)
        return collection

    async def _batches(self, revision: int) -> AsyncIterator[list[Change]]:
        batch: list[Change] = []
        async for change in self._changes.changes(after_revision=revision):
            batch.append(change)
            if len(batch) >= CHANGES_BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _apply(self, changes: Sequence[Change], state: State, *, into: str, new: bool) -> State:
        """Write new rows, then remove old ones, then say so: whoever searches meanwhile finds either or both."""
        rows = [row for change in changes if change.fingerprint for row in _rows(change, change.fingerprint)]
        self._milvus.write(rows, into=into, new=new)
        if not new:
            old = (f"(song_id == {change.song_id} and revision < {change.revision})" for change in changes)
            self._milvus.remove(" or ".join(old), of=into)
        state = replace(state, revision=changes[-1].revision)
        self._milvus.write_state(state, into=into)
        return state

    # --- search ------------------------------------------------------------------------------------------------------

    def search(self, query: Fingerprint, *, limit: int, quick: bool = False) -> list[Candidate]:
        """Return the `limit` best alignments, most votes first; blocks. Raises IndexUnavailable."""
        embeddings, positions = searched_segments(query)
        if len(embeddings) == 0 or self._rows == 0:
            return []
        products, ids = self._milvus.nearest(embeddings, count=NEIGHBOURS)
        known = ids > STATE_ID
        offsets = _positions(ids[known]) - np.broadcast_to(positions[:, None], ids.shape)[known]
        cosines = products[known] / EMBEDDING_SCALE**2
        places = tally(ids[known] >> POSITION_BITS, offsets, cosines, limit=limit)
        return self._candidates(places, int(positions[-1]))

    def _candidates(self, places: Sequence[Place], last_position: int) -> list[Candidate]:
        """Fetch what is stored around all places in one request."""
        windows = [_ids_of(place, last_position) for place in places]
        found = self._milvus.vectors({each for ids in windows for each in ids})
        candidates = []
        for place, ids in zip(places, windows, strict=True):
            here = [each for each in ids if each in found]
            if here:  # else the song was removed this very moment
                embeddings = np.stack([found[each] for each in here])
                positions = _positions(np.array(here))
                candidates.append(Candidate(place.song_id, place.offset_steps, place.votes, positions, embeddings))
        return candidates


def _rows(change: Change, fingerprint: Fingerprint) -> Iterator[Row]:
    segments: Segments = loud_segments(fingerprint)
    for number, (vector, position) in enumerate(zip(*segments, strict=True)):
        yield {
            "id": change.song_id << POSITION_BITS | int(position),
            "song_id": change.song_id,
            "position": int(position),
            "revision": change.revision,
            "first": number == 0,
            "vector": vector.astype(np.float32),
        }


def _ids_of(place: Place, last_position: int) -> range:
    """Return the ids that the rows of a place have, where there are such rows."""
    first, last = compared_window(place.offset_steps, last_position)
    first = -(-max(0, first) // CATALOGUE_THINNING) * CATALOGUE_THINNING
    song = place.song_id << POSITION_BITS
    return range(song | first, (song | min(last, _POSITIONS)) + 1, CATALOGUE_THINNING) if last >= first else range(0)


def _positions(ids: NDArray[np.int64]) -> NDArray[np.int32]:
    return (ids & _POSITIONS).astype(np.int32)
