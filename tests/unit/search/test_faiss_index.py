"""The index over a change log: caught up, searched, saved, restored, refused."""

import asyncio
import json
import time
from functools import cache
from typing import get_args

import numpy as np
import pytest
from sonica_fingerprint import Fingerprint, extract

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import CatalogueUnavailable, IndexVersionMismatch
from backend.models import Change
from backend.search.faiss_index import FaissIndex, IndexKind
from backend.search.hnsw import HnswVectors
from tests.factories import make_new_song
from tests.music import make_music


@pytest.fixture(params=get_args(IndexKind))
def kind(request):
    return request.param


@pytest.fixture
def opened(kind):
    async def opened_so(catalogue, folder, *, kind=kind, fresh=False):
        return await FaissIndex.open(folder, catalogue, search_depth=96, kind=kind, fresh=fresh)

    return opened_so


class AwayCatalogue(InMemoryCatalogue):
    """A catalogue that is not there."""

    async def name(self):
        raise CatalogueUnavailable


@cache
def music(seed):
    return extract(make_music(seed, 12)).thinned(4)


async def catalogue_of(*seeds):
    catalogue = InMemoryCatalogue()
    for seed in seeds:
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    return catalogue


async def found(index, seed, *, start=3.2):
    clip = make_music(seed, 12)[int(start * 16_000) :][: 4 * 16_000]
    return await asyncio.to_thread(index.search, extract(clip), limit=8)


async def test_clip_finds_its_song_and_place(opened, tmp_path):
    index = await opened(await catalogue_of(1, 2, 3), tmp_path)
    best = (await found(index, 2))[0]
    assert best.song_id == 2
    assert best.offset_steps == pytest.approx(3.2 / 0.128, abs=2)
    assert best.embeddings.shape == (len(best.positions), 128)


@pytest.mark.parametrize(("kind", "cosine_min"), [("hnsw", 0.98), ("compact", 0.8)])
async def test_stored_embeddings_are_near_those_that_were_ingested(opened, tmp_path, cosine_min):
    index = await opened(await catalogue_of(1), tmp_path)
    best = (await found(index, 1))[0]
    ingested = np.frombuffer(music(1).embeddings, np.int8).reshape(-1, 128)[best.positions // 4].astype(float)
    lengths = np.linalg.norm(ingested, axis=1) * np.linalg.norm(best.embeddings, axis=1)
    assert ((ingested * best.embeddings).sum(axis=1) / lengths).min() > cosine_min


async def test_empty_index_and_silent_query_find_nothing(opened, tmp_path):
    empty = await opened(await catalogue_of(), tmp_path)
    assert await found(empty, 1) == []
    index = await opened(await catalogue_of(1), tmp_path)
    assert index.search(extract(np.zeros(48_000, np.float32)), limit=8) == []


async def test_later_changes_are_caught_up(opened, tmp_path):
    catalogue = await catalogue_of(1)
    index = await opened(catalogue, tmp_path)
    before = index.version
    await catalogue.put(make_new_song(2, fingerprint=music(2)))
    assert await index.catch_up() == 1
    assert index.version != before
    assert (await found(index, 2))[0].song_id == 2
    await catalogue.delete(2)
    assert await index.catch_up() == 1
    assert all(candidate.song_id != 2 for candidate in await found(index, 2))


async def test_replaced_song_is_found_by_its_new_sound_only(opened, tmp_path):
    catalogue = await catalogue_of(1, 2)
    index = await opened(catalogue, tmp_path)
    renewed = make_new_song(2, content="new", fingerprint=music(7))
    await catalogue.put(renewed, replaces=2)
    await index.catch_up()
    assert (await found(index, 7))[0].song_id == 2
    assert index.status().dead_segments > 0
    assert (await opened(catalogue, tmp_path, fresh=True)).status().dead_segments == 0


async def test_song_is_found_as_before_when_it_came_and_went_often(opened, tmp_path):
    catalogue = await catalogue_of(1)
    index = await opened(catalogue, tmp_path)
    votes = (await found(index, 1))[0].votes
    song_id = 1
    for _ in range(24):
        await catalogue.delete(song_id)
        again = make_new_song(1, fingerprint=music(1))
        song_id = (await catalogue.put(again)).song_id
        await index.catch_up()
    index.save()
    for each in (index, await opened(catalogue, tmp_path)):
        best = (await found(each, 1))[0]
        assert (best.song_id, best.votes) == (song_id, pytest.approx(votes, rel=0.3))


async def test_saved_index_opens_without_reading_the_catalogue_again(opened, kind, tmp_path):
    catalogue = await catalogue_of(1, 2)
    (await opened(catalogue, tmp_path)).save()
    again = FaissIndex(tmp_path, catalogue, search_depth=96, kind=kind)
    again.load_snapshot()
    assert await again.catch_up() == 0
    assert (await found(again, 2))[0].song_id == 2


async def test_snapshot_does_without_its_catalogue_when_that_is_away(kind, tmp_path):
    before = await FaissIndex.open(tmp_path, await catalogue_of(1, 2), search_depth=96, kind=kind)
    before.save()
    index = await FaissIndex.open(tmp_path, AwayCatalogue(), search_depth=96, kind=kind, alone=True)
    assert (index.version, index.catalogue) == (before.version, before.catalogue)
    assert before.caught_up_at - 1 < index.caught_up_at < time.time() + 1  # files' clocks are coarser
    assert (await found(index, 2))[0].song_id == 2


async def test_index_has_never_been_caught_up_when_there_is_neither_snapshot_nor_catalogue(kind, tmp_path):
    index = await FaissIndex.open(tmp_path, AwayCatalogue(), search_depth=96, kind=kind, alone=True)
    assert (index.caught_up_at, index.status().songs) == (0, 0)


async def test_damaged_snapshot_is_rebuilt_from_the_catalogue(opened, tmp_path):
    catalogue = await catalogue_of(1, 2)
    (await opened(catalogue, tmp_path)).save()
    for file in tmp_path.glob("*/segments.faiss"):
        file.write_bytes(file.read_bytes()[:-100])
    assert (await found(await opened(catalogue, tmp_path), 1))[0].song_id == 1


async def test_snapshot_of_another_fingerprint_version_is_refused_with_the_mend(opened, tmp_path):
    catalogue = await catalogue_of(1)
    (await opened(catalogue, tmp_path)).save()
    manifest = next(tmp_path.glob("*/manifest.json"))
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"fingerprint_version": 99}))
    with pytest.raises(IndexVersionMismatch, match="sonica index build"):
        await opened(catalogue, tmp_path)
    fresh = await opened(catalogue, tmp_path, fresh=True)
    fresh.save()
    assert (await found(await opened(catalogue, tmp_path), 1))[0].song_id == 1


async def test_snapshot_of_another_kind_is_passed_over_for_the_catalogue(opened, kind, tmp_path):
    catalogue = await catalogue_of(1, 2)
    other = next(other for other in get_args(IndexKind) if other != kind)
    (await opened(catalogue, tmp_path, kind=other)).save()
    index = await opened(catalogue, tmp_path)
    assert index.status().kind.startswith(kind)
    assert (await found(index, 2))[0].song_id == 2
    index.save()
    (await opened(catalogue, tmp_path)).save()
    assert len(list(tmp_path.iterdir())) == 2  # one of each: what was saved last was taken up as it is


async def test_snapshot_by_other_codebooks_is_passed_over(tmp_path):
    catalogue = await catalogue_of(1, 2)
    (await FaissIndex.open(tmp_path, catalogue, search_depth=96, kind="compact")).save()
    manifest = next(tmp_path.glob("*/manifest.json"))
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"kind": "compact 00000000"}))
    index = FaissIndex(tmp_path, catalogue, search_depth=96, kind="compact")
    index.load_snapshot()
    assert index.status().songs == 0
    assert await index.catch_up() == 2


async def test_snapshot_of_another_database_is_not_believed(opened, tmp_path):
    (await opened(await catalogue_of(1, 2, 3), tmp_path)).save()
    index = await opened(await catalogue_of(9, 8, 7, 6), tmp_path)
    assert index.status().songs == 4
    assert (await found(index, 9))[0].song_id == 1


async def test_searches_go_on_while_songs_are_added(opened, tmp_path):
    catalogue = await catalogue_of(1)
    index = await opened(catalogue, tmp_path)
    for seed in range(2, 8):
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    adding = asyncio.create_task(index.catch_up())
    while not adding.done():
        assert (await found(index, 1))[0].song_id == 1
    assert await adding == 6


async def added_at_a_time(index, monkeypatch, catch_up):
    """Return how many vectors each add of a catch-up has."""
    counts = []
    add = type(index._vectors).add

    def counting(vectors, rows, *, threads):
        counts.append(len(rows))
        add(vectors, rows, threads=threads)

    with monkeypatch.context() as patched:
        patched.setattr(type(index._vectors), "add", counting)
        await catch_up()
    return counts


async def test_many_songs_are_added_at_a_time_until_somebody_searches(opened, tmp_path, monkeypatch):
    catalogue = await catalogue_of(1, 2, 3)
    index = await opened(await catalogue_of(), tmp_path)
    index._changes = catalogue
    segments = sum(len(music(seed).levels) for seed in (1, 2, 3))
    assert await added_at_a_time(index, monkeypatch, index.catch_up) == [segments]

    assert (await found(index, 2))[0].song_id == 2
    monkeypatch.setattr("backend.search.faiss_index.ADD_SLICE", 8)
    for seed in (4, 5):
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    assert max(await added_at_a_time(index, monkeypatch, index.catch_up)) == 8
    assert (await found(index, 5))[0].song_id == 5


async def test_song_that_changes_while_it_is_read_counts_as_it_was_last(opened, tmp_path):
    class Moving(InMemoryCatalogue):
        """Tells of song 1 as it was, then of the others, then of song 1 as it is."""

        async def changes(self, *, after_revision):
            if after_revision == 0:
                yield Change(1, 1, music(1))
            async for change in super().changes(after_revision=after_revision):
                yield change

    catalogue = Moving()
    for seed in (1, 2):
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    await catalogue.put(make_new_song(1, content="new", fingerprint=music(7)), replaces=1)
    index = await opened(catalogue, tmp_path)
    assert (index.status().songs, index.status().revision) == (2, 3)
    assert (await found(index, 7))[0].song_id == 1
    assert index.status().dead_segments == len(music(1).levels)


async def test_songs_that_came_and_went_before_the_index_are_not_in_it(opened, tmp_path):
    catalogue = await catalogue_of(1, 2, 3)
    for song_id in (1, 3):
        await catalogue.delete(song_id)
    index = await opened(catalogue, tmp_path)
    assert (index.status().songs, index.status().revision, index.status().dead_segments) == (1, 5, 0)
    assert (await found(index, 2))[0].song_id == 2


async def test_failed_change_leaves_an_index_that_starts_over(opened, tmp_path, monkeypatch):
    catalogue = await catalogue_of(1, 2)
    index = await opened(catalogue, tmp_path)
    await catalogue.put(make_new_song(3, fingerprint=music(3)))
    with monkeypatch.context() as patched:
        patched.setattr(type(index._vectors), "add", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            await index.catch_up()
    await index.catch_up()
    assert index.status().songs == 3
    assert (await found(index, 3))[0].song_id == 3


def test_hnsw_finds_nearly_all_that_exact_search_finds():
    noise = np.random.default_rng(1).normal(size=(4000, 128))
    vectors = np.rint(360 * noise / np.linalg.norm(noise, axis=1, keepdims=True)).clip(-127, 127).astype(np.int8)
    index = HnswVectors(search_depth=96)
    index.add(vectors, threads=2)
    queries = np.clip(vectors[::40] + np.random.default_rng(2).normal(0, 15, (100, 128)), -127, 127).astype(np.int8)
    _, approximate = index.nearest(queries, count=1)
    _, exact = index.nearest_exact(queries, count=1)
    assert (approximate == exact).mean() > 0.95


async def test_quiet_segments_are_left_out(opened, tmp_path):
    catalogue = InMemoryCatalogue()
    loud = music(1)
    half = len(loud.levels) // 2
    levels = loud.levels[:half] + bytes(100 for _ in loud.levels[half:])
    quiet = Fingerprint(loud.embeddings, levels, loud.duration_ms, loud.thinning)
    await catalogue.put(make_new_song(1, fingerprint=quiet))
    assert (await opened(catalogue, tmp_path)).status().segments == half
