"""What ReferenceIndex and IndexUpkeep promise, held for each engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sonica_fingerprint import Fingerprint, extract

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import IndexVersionMismatch
from backend.search.faiss_index import FaissIndex
from backend.search.index import SearchIndex
from backend.search.milvus import Milvus
from backend.search.milvus_index import MilvusIndex
from backend.settings import Settings
from tests.factories import make_new_song
from tests.music import make_music

SONG_SECONDS, CLIP_SECONDS, CLIP_START_SECONDS = 12, 4, 3.2
STEP_SECONDS = 0.128

Open = Callable[..., Awaitable[SearchIndex]]


@asynccontextmanager
async def opened(
    kind: str, folder: Path, catalogue: InMemoryCatalogue, *, fresh: bool = False
) -> AsyncIterator[SearchIndex]:
    if kind != "milvus":
        yield await FaissIndex.open(folder, catalogue, search_depth=96, kind=kind, fresh=fresh)
        return
    milvus = Milvus(
        Settings(milvus_uri=str(folder / "milvus.db"), milvus_consistency="Strong", milvus_timeout_seconds=30)
    )
    try:
        yield await MilvusIndex.open(milvus, catalogue, catalogue, fresh=fresh)
    finally:
        milvus.close()


@pytest.fixture(params=["exact", "hnsw", "compact", "milvus"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each engine."""
    return request.param


@pytest.fixture
async def open_index(kind: str, tmp_path: Path) -> AsyncIterator[Open]:
    """Open the index of one folder, having closed the one before as a process that ends does."""
    stack = AsyncExitStack()

    async def open_index(catalogue: InMemoryCatalogue, **options: Any) -> SearchIndex:
        await stack.aclose()
        return await stack.enter_async_context(opened(kind, tmp_path, catalogue, **options))

    yield open_index
    await stack.aclose()


@cache
def music(seed: int) -> Fingerprint:
    return extract(make_music(seed, SONG_SECONDS)).thinned(4)


@cache
def clip(seed: int) -> Fingerprint:
    return extract(make_music(seed, SONG_SECONDS)[int(CLIP_START_SECONDS * 16_000) :][: CLIP_SECONDS * 16_000])


async def catalogue_of(*seeds: int) -> InMemoryCatalogue:
    catalogue = InMemoryCatalogue()
    for seed in seeds:
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    return catalogue


async def found(index: SearchIndex, seed: int) -> set[int]:
    return {candidate.song_id for candidate in (await asyncio.to_thread(index.search, clip(seed), limit=8))}


async def best(index: SearchIndex, seed: int) -> int:
    return (await asyncio.to_thread(index.search, clip(seed), limit=8))[0].song_id


async def test_clip_finds_its_song_its_place_and_what_is_stored_there(open_index: Open) -> None:
    index = await open_index(await catalogue_of(1, 2, 3))

    candidates = index.search(clip(2), limit=8)

    votes = [candidate.votes for candidate in candidates]
    assert votes == sorted(votes, reverse=True)
    assert candidates[0].song_id == 2
    assert candidates[0].offset_steps == pytest.approx(CLIP_START_SECONDS / STEP_SECONDS, abs=2)
    positions, embeddings = candidates[0].positions, candidates[0].embeddings
    assert embeddings.dtype == np.int8
    assert embeddings.shape == (len(positions), 128)
    clip_end = (CLIP_START_SECONDS + CLIP_SECONDS - 1) / STEP_SECONDS
    assert positions[0] <= CLIP_START_SECONDS / STEP_SECONDS < clip_end <= positions[-1]
    ingested = np.frombuffer(music(2).embeddings, np.int8).reshape(-1, 128)[positions // 4].astype(float)
    lengths = np.linalg.norm(ingested, axis=1) * np.linalg.norm(embeddings, axis=1)
    assert ((ingested * embeddings).sum(axis=1) / lengths).min() > 0.8


async def test_no_more_candidates_come_back_than_were_asked_for(open_index: Open) -> None:
    index = await open_index(await catalogue_of(1, 2, 3))
    everything = index.search(clip(1), limit=100)
    assert len(everything) > 2
    few = index.search(clip(1), limit=2)
    assert [each.song_id for each in few] == [each.song_id for each in everything[:2]]


async def test_empty_index_and_silent_query_find_nothing(open_index: Open) -> None:
    empty = await open_index(InMemoryCatalogue())
    assert empty.search(clip(1), limit=8) == []
    assert empty.segments == 0
    assert (await open_index(await catalogue_of(1))).segments > 0
    silent = extract(np.zeros(3 * 16_000, np.float32))
    index = await open_index(await catalogue_of(1))
    assert index.search(silent, limit=8) == []


async def test_empty_index_takes_the_first_song(open_index: Open) -> None:
    catalogue = InMemoryCatalogue()
    index = await open_index(catalogue)
    await catalogue.put(make_new_song(1, fingerprint=music(1)))
    assert await index.catch_up() == 1
    assert await best(index, 1) == 1


async def test_added_song_is_found_and_deleted_one_is_not(open_index: Open) -> None:
    catalogue = await catalogue_of(1)
    index = await open_index(catalogue)
    alone = index.segments
    await catalogue.put(make_new_song(2, fingerprint=music(2)))
    assert await index.catch_up() == 1
    assert await best(index, 2) == 2
    assert index.segments > alone
    await catalogue.delete(2)
    assert await index.catch_up() == 1
    assert 2 not in await found(index, 2)
    assert index.segments == alone
    assert index.status().songs == 1


async def test_replaced_song_is_found_by_its_new_sound_only(open_index: Open) -> None:
    catalogue = await catalogue_of(1, 2)
    index = await open_index(catalogue)
    before = index.segments
    shorter = extract(make_music(7, SONG_SECONDS - 3)).thinned(4)
    await catalogue.put(make_new_song(2, content="new", fingerprint=shorter), replaces=2)
    await index.catch_up()
    assert await best(index, 7) == 2
    assert before > index.segments
    stored = index.stored(2)
    assert stored is not None
    assert len(stored[0]) == len(stored[1]) == index.segments - len(index.stored(1)[0])
    assert index.status().songs == 2


async def test_songs_that_came_and_went_leave_nothing_behind(open_index: Open) -> None:
    catalogue = await catalogue_of(1, 2)
    index = await open_index(catalogue)
    votes = index.search(clip(1), limit=1)[0].votes
    song_id = 2
    for _ in range(6):
        await catalogue.delete(song_id)
        song_id = (await catalogue.put(make_new_song(2, fingerprint=music(2)))).song_id
        await index.catch_up()
    assert await best(index, 2) == song_id
    assert index.search(clip(1), limit=1)[0].votes == pytest.approx(votes, rel=0.2)
    assert index.status().songs == 2
    assert index.stored(2) is None


async def test_version_names_the_state_of_the_catalogue(open_index: Open) -> None:
    catalogue = await catalogue_of(1)
    index = await open_index(catalogue)
    before = index.version
    assert await index.catch_up() == 0
    assert index.version == before
    await catalogue.put(make_new_song(2, fingerprint=music(2)))
    await index.catch_up()
    assert index.version != before
    assert index.status().version == index.version
    assert index.status().revision == await catalogue.revision()
    assert index.revisions_behind == 0
    assert index.caught_up_at > 0


async def test_index_is_as_it_was_when_it_is_opened_again(open_index: Open) -> None:
    catalogue = await catalogue_of(1, 2, 3)
    index = await open_index(catalogue)
    index.save()
    status, candidates = index.status(), index.search(clip(3), limit=8)
    again = await open_index(ChangesCounted(catalogue))
    assert again.status() == status
    assert [(each.song_id, each.offset_steps) for each in again.search(clip(3), limit=8)] == [
        (each.song_id, each.offset_steps) for each in candidates
    ]
    assert ChangesCounted.read == 0


async def test_what_happened_while_it_was_closed_is_caught_up(open_index: Open) -> None:
    catalogue = await catalogue_of(1, 2)
    (await open_index(catalogue)).save()
    await catalogue.delete(1)
    await catalogue.put(make_new_song(3, fingerprint=music(3)))
    index = await open_index(catalogue)
    assert await best(index, 3) == 3
    assert 1 not in await found(index, 1)
    assert index.status().songs == 2


async def test_fresh_index_holds_the_same(open_index: Open) -> None:
    catalogue = await catalogue_of(1, 2)
    index = await open_index(catalogue)
    index.save()
    before = index.status()
    fresh = await open_index(catalogue, fresh=True)
    assert fresh.status() == before
    assert await best(fresh, 2) == 2
    fresh.save()
    assert (await open_index(catalogue)).status() == before


async def test_index_of_another_catalogue_is_not_believed(open_index: Open) -> None:
    (await open_index(await catalogue_of(1, 2, 3))).save()
    index = await open_index(await catalogue_of(9, 8))
    assert index.status().songs == 2
    assert await best(index, 9) == 1


async def test_index_of_another_fingerprint_version_is_refused_with_the_mend(
    open_index: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = await catalogue_of(1)
    with monkeypatch.context() as other:
        other.setattr("backend.search.milvus_index.FINGERPRINT_VERSION", 99)
        other.setattr("backend.search.faiss_index.FINGERPRINT_VERSION", 99)
        (await open_index(catalogue)).save()
    with pytest.raises(IndexVersionMismatch, match="sonica index build"):
        await open_index(catalogue)
    fresh = await open_index(catalogue, fresh=True)
    assert await best(fresh, 1) == 1


async def test_searches_go_on_while_songs_are_added(open_index: Open) -> None:
    catalogue = await catalogue_of(1)
    index = await open_index(catalogue)
    for seed in range(2, 8):
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    adding = asyncio.create_task(index.catch_up())
    searches = 0
    while not adding.done() or not searches:
        searches += 1
        assert await best(index, 1) == 1
    assert await adding == 6
    assert await best(index, 7) == 7


async def test_two_who_catch_up_at_once_take_every_change_once(open_index: Open) -> None:
    catalogue = await catalogue_of(1)
    index = await open_index(catalogue)
    alone = index.segments
    for seed in (2, 3):
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    assert sum(await asyncio.gather(index.catch_up(), index.catch_up())) == 2
    assert index.status().songs == 3
    assert 2 * alone < index.segments < 4 * alone


class ChangesCounted(InMemoryCatalogue):
    """The same catalogue, whose changes are counted when they are read."""

    read = 0

    def __init__(self, other: InMemoryCatalogue) -> None:
        super().__init__()
        self.__dict__ |= other.__dict__
        ChangesCounted.read = 0

    async def changes(self, *, after_revision: int) -> AsyncIterator[Any]:
        """Count what is read."""
        async for change in super().changes(after_revision=after_revision):
            ChangesCounted.read += 1
            yield change
