"""The bundle holds what the index holds."""

import numpy as np
import pytest
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE
from sonica_fingerprint.bundle import CODE_BYTES, read_bundle

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.search.faiss_index import FaissIndex
from backend.search.hot_bundle import make_bundle
from tests.factories import make_fingerprint, make_new_song

LIMITS = {"clip_seconds_max": 20.0, "candidates_max": 24, "false_accept_rate": 0.01}


async def index_of(folder, catalogue):
    return await FaissIndex.open(folder, catalogue, search_depth=32)


@pytest.fixture
async def catalogue():
    catalogue = InMemoryCatalogue()
    for seed, segments in ((1, 20), (2, 7), (3, 12)):
        await catalogue.put(make_new_song(seed, fingerprint=make_fingerprint(seed, segments), isrc="INS189800004"))
    return catalogue


async def songs_of(catalogue):
    return await catalogue.page(after_id=0, limit=100, filters={})


async def test_bundle_says_of_each_song_what_a_recognition_does(tmp_path, catalogue):
    index, songs = await index_of(tmp_path, catalogue), await songs_of(catalogue)
    bundle = read_bundle(make_bundle(index, songs, limits=LIMITS))
    assert bundle.details["songs"][1] == {
        "id": songs[1].id,
        "external_id": "song-2",
        "title": "Title 2",
        "artist": "Artist 2",
        "album": None,
        "isrc": "INS189800004",
        "language": "hi",
        "genre": None,
        "duration_ms": songs[1].duration_ms,
    }
    assert (bundle.details["index_version"], bundle.details["catalogue_segments"]) == (index.version, index.segments)
    assert bundle.details["limits"] == LIMITS


async def test_bundle_keeps_the_vectors_within_half_a_level(tmp_path, catalogue):
    index = await index_of(tmp_path, catalogue)
    bundle = read_bundle(make_bundle(index, await songs_of(catalogue), limits=LIMITS))
    start = 24 + 4 * bundle.songs + 4 * bundle.segments
    codes = np.frombuffer(bundle.body, np.uint8, bundle.segments * CODE_BYTES, start).reshape(-1, CODE_BYTES)
    kept = np.stack([codes & 15, codes >> 4], axis=2).reshape(-1, DIMENSIONS).astype(int) * 10 - 75
    raw = b"".join(make_fingerprint(seed, segments).embeddings for seed, segments in ((1, 20), (2, 7), (3, 12)))
    stored = np.frombuffer(raw, np.int8).reshape(-1, DIMENSIONS).astype(int)
    assert np.abs(kept - stored.clip(-75, 75)).max() <= 5
    assert abs(kept).max() < EMBEDDING_SCALE


async def test_songs_that_the_index_lacks_are_left_out(tmp_path, catalogue):
    index, songs = await index_of(tmp_path, catalogue), await songs_of(catalogue)
    await catalogue.delete(songs[0].id)
    await index.catch_up()
    bundle = read_bundle(make_bundle(index, songs, limits=LIMITS))
    assert [song["external_id"] for song in bundle.details["songs"]] == ["song-2", "song-3"]
    assert bundle.segments == 19
