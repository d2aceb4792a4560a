"""Shards: the same answers as one of them gives, saved once they are full, given up when they have mostly gone."""

import asyncio

import numpy as np
import pytest
from sonica_fingerprint import Fingerprint

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.search.exact import ExactVectors
from backend.search.faiss_index import FaissIndex
from backend.search.shards import FIRST, Shards
from tests.factories import make_new_song

SONG_SEGMENTS, SHARD_SEGMENTS = 40, 104


def vectors_of(seed, count=SONG_SEGMENTS):
    noise = np.random.default_rng(seed).normal(size=(count, 128))
    return np.rint(360 * noise / np.linalg.norm(noise, axis=1, keepdims=True)).clip(-127, 127).astype(np.int8)


def music(seed):
    return Fingerprint(vectors_of(seed).tobytes(), bytes(SONG_SEGMENTS), SONG_SEGMENTS * 512, thinning=4)


def clip(seed):
    heard = vectors_of(seed)[8:16].astype(int) + np.random.default_rng(seed).integers(-9, 10, (8, 128))
    return Fingerprint(heard.clip(-127, 127).astype(np.int8).tobytes(), bytes(8), 8 * 512, thinning=4)


async def catalogue_of(*seeds):
    catalogue = InMemoryCatalogue()
    for seed in seeds:
        await catalogue.put(make_new_song(seed, fingerprint=music(seed)))
    return catalogue


async def opened(folder, catalogue, *, kind="exact", shard_segments=SHARD_SEGMENTS, **options):
    return await FaissIndex.open(
        folder, catalogue, search_depth=96, kind=kind, shard_segments=shard_segments, **options
    )


async def found(index, seed):
    return [
        (each.song_id, each.offset_steps, round(each.votes, 3), each.positions.tolist(), each.embeddings.tolist())
        for each in (await asyncio.to_thread(index.search, clip(seed), limit=6))
    ]


def files_of(folder):
    newest = max(each for each in folder.iterdir() if each.is_dir())
    return {each.name: each.stat().st_ino for each in newest.glob("segments*")}


async def test_answers_are_those_of_a_single_shard_also_after_deletions(tmp_path):
    catalogue = await catalogue_of(*range(1, 10))
    sharded = await opened(tmp_path / "many", catalogue)
    whole = await opened(tmp_path / "one", catalogue, shard_segments=None)
    for deleted in (None, 2, 7):
        if deleted:
            await catalogue.delete(deleted)
            await sharded.catch_up()
            await whole.catch_up()
        assert len(sharded._vectors.starts) == 4
        for seed in range(1, 10):
            assert await found(sharded, seed) == await found(whole, seed)
            assert ((await found(sharded, seed))[0][0] == seed) == (seed not in {deleted, 2 if deleted else None})


@pytest.mark.parametrize("kind", ["hnsw", "compact"])
async def test_every_song_is_found_in_shards_of_each_kind_also_when_opened_again(tmp_path, kind):
    catalogue = await catalogue_of(*range(1, 10))
    index = await opened(tmp_path, catalogue, kind=kind)
    index.save()
    for each in (index, await opened(tmp_path, catalogue, kind=kind)):
        assert [(await found(each, seed))[0][0] for seed in range(1, 10)] == list(range(1, 10))
        assert each.status().segments == 9 * SONG_SEGMENTS


async def test_full_shards_are_saved_once_and_the_last_one_anew(tmp_path):
    catalogue = await catalogue_of(*range(1, 7))
    index = await opened(tmp_path, catalogue)
    index.save()
    before = files_of(tmp_path)
    await catalogue.put(make_new_song(7, fingerprint=music(7)))
    index = await opened(tmp_path, catalogue)
    index.save()
    after = files_of(tmp_path)
    assert before.keys() == after.keys() == {FIRST, "segments-1.faiss", "segments-2.faiss"}
    assert [name for name in after if after[name] == before[name]] == [FIRST, "segments-1.faiss"]
    again = await opened(tmp_path, catalogue)
    assert [(await found(again, seed))[0][0] for seed in range(1, 8)] == list(range(1, 8))


async def test_nothing_of_another_index_is_taken_for_a_saved_shard(tmp_path):
    (await opened(tmp_path, await catalogue_of(*range(1, 7)))).save()
    other = await catalogue_of(*range(21, 28))
    (await opened(tmp_path, other)).save()
    again = await opened(tmp_path, other)
    assert [(await found(again, seed))[0][0] for seed in range(21, 28)] == list(range(1, 8))


async def test_shard_is_given_up_when_most_of_it_was_deleted_and_the_rest_is_still_found(tmp_path):
    catalogue = await catalogue_of(*range(1, 10))
    index = await opened(tmp_path, catalogue)
    index.save()
    bytes_before = index._vectors.nbytes
    for seed in (1, 2):  # of the first shard song 3 is left, a part of it in the second
        await catalogue.delete(seed)
    await index.catch_up()
    assert index._vectors.starts[0] == -1
    assert index._vectors.nbytes < bytes_before
    index.save()
    assert FIRST not in files_of(tmp_path)
    for each in (index, await opened(tmp_path, catalogue)):
        assert [(await found(each, seed))[0][0] for seed in range(3, 10)] == list(range(3, 10))
        assert {song_id for song_id, *_ in await found(each, 1)}.isdisjoint({1, 2})
        assert each.status().songs == 7
        assert each.segments == 7 * SONG_SEGMENTS
        positions, vectors = each.stored(3)
        assert positions.tolist() == [4 * step for step in range(SONG_SEGMENTS)]
        assert (vectors == vectors_of(3)).all()


async def test_index_of_one_shard_goes_on_in_shards_and_the_other_way_round(tmp_path):
    catalogue = await catalogue_of(*range(1, 6))
    (await opened(tmp_path, catalogue, shard_segments=None)).save()
    await catalogue.put(make_new_song(6, fingerprint=music(6)))
    sharded = await opened(tmp_path, catalogue)
    assert len(sharded._vectors.starts) == 2
    sharded.save()
    await catalogue.put(make_new_song(7, fingerprint=music(7)))
    whole = await opened(tmp_path, catalogue, shard_segments=None)
    for seed in range(1, 8):
        assert (await found(whole, seed))[0][0] == seed


async def test_snapshot_that_tells_of_no_shards_is_read(tmp_path):
    catalogue = await catalogue_of(1, 2)
    index = await opened(tmp_path, catalogue, shard_segments=None)
    index._write_files(tmp_path)
    with np.load(tmp_path / "songs.npz") as arrays:
        np.savez(tmp_path / "songs.npz", **{name: arrays[name] for name in arrays if name != "shards"})
    other = FaissIndex(tmp_path, catalogue, search_depth=96, kind="exact")
    other._read_files({each.name: each for each in tmp_path.iterdir()})
    assert (await found(other, 2))[0][0] == 2


def test_shards_begin_with_a_whole_byte_of_what_is_dead():
    shards, vectors = Shards(ExactVectors, size=20), vectors_of(1, 100)
    for first in range(0, 100, 7):
        shards.add(vectors[first : first + 7], threads=1)
    assert shards.starts == [0, 24, 48, 72, 96]
    assert (shards.stored(20, 60) == vectors[20:80]).all()
    dead = np.packbits(np.arange(100) % 3 == 0, bitorder="little")[:10]
    _, ordinals = shards.nearest(vectors[:3], count=100, dead=dead)
    expected = [each for each in range(100) if each % 3 or each >= 80]
    assert sorted(ordinals[0][ordinals[0] >= 0]) == expected


def test_memory_failure_while_songs_are_moved_leaves_an_index_that_starts_over(tmp_path, monkeypatch):
    import asyncio

    async def moved():
        catalogue = await catalogue_of(*range(1, 10))
        index = await opened(tmp_path, catalogue)
        for seed in (1, 2):
            await catalogue.delete(seed)
        with monkeypatch.context() as patched:
            patched.setattr(Shards, "stored", lambda *_: (_ for _ in ()).throw(MemoryError()))
            with pytest.raises(MemoryError):
                await index.catch_up()
        await index.catch_up()
        assert [(await found(index, seed))[0][0] for seed in range(3, 10)] == list(range(3, 10))

    asyncio.run(moved())
