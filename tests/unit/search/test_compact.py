"""Compact vectors: small, near what was added, the same after a restart, growing from nothing."""

import numpy as np
import pytest
from sonica_fingerprint import EMBEDDING_SCALE, FINGERPRINT_VERSION, Fingerprint, extract

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import IndexVersionMismatch
from backend.search.codebooks import CODE_BYTES, LISTS, Codebooks, to_file
from backend.search.compact import CompactVectors
from backend.search.faiss_index import FaissIndex
from tests.factories import make_new_song
from tests.music import make_music

SEGMENTS_PER_HOUR = 3_600_000 // 512


def vectors_of(*seeds):
    return np.concatenate(
        [np.frombuffer(extract(make_music(seed, 12)).embeddings, np.int8).reshape(-1, 128) for seed in seeds]
    )


def random_vectors(count, seed=1):
    noise = np.random.default_rng(seed).normal(size=(count, 128))
    return np.rint(EMBEDDING_SCALE * noise / np.linalg.norm(noise, axis=1, keepdims=True)).clip(-127, 127).astype("i1")


def compact_of(vectors, slice_=32):
    compact = CompactVectors()
    for first in range(0, len(vectors), slice_):
        compact.add(vectors[first : first + slice_], threads=1)
    return compact


async def test_hour_takes_at_most_300_kb_in_memory_and_on_disk(tmp_path):
    catalogue = InMemoryCatalogue()
    embeddings = random_vectors(SEGMENTS_PER_HOUR).tobytes()
    hour = Fingerprint(embeddings, bytes(SEGMENTS_PER_HOUR), 3_600_000, thinning=4)
    await catalogue.put(make_new_song(1, fingerprint=hour))
    index = await FaissIndex.open(tmp_path, catalogue, search_depth=96, kind="compact")
    index.save()
    assert index.status().bytes <= 300_000
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 300_000


def test_most_of_what_is_nearest_is_found():
    vectors = vectors_of(*range(1, 9))
    noise = np.random.default_rng(2).normal(0, 12, (len(vectors[::5]), 128))
    queries = np.clip(vectors[::5] + noise, -127, 127).astype(np.int8)
    exact = (queries.astype(int) @ vectors.T.astype(int)).argmax(axis=1)
    _, found = compact_of(vectors).nearest(queries, count=10)
    assert (found == exact[:, None]).any(axis=1).mean() > 0.9


def test_looking_into_every_list_finds_no_less():
    vectors = random_vectors(6000)
    compact, queries = compact_of(vectors), vectors[::60]
    few, _ = compact.nearest(queries, count=10)
    all_, _ = compact.nearest_exact(queries, count=10)
    assert (all_ >= few - 0.5).all()
    assert (all_ > few + 0.5).any()


def test_growing_by_and_by_is_growing_at_once():
    vectors = vectors_of(1, 2)
    one, other = compact_of(vectors, 7), compact_of(vectors, 1000)
    assert (one.stored(0, len(vectors)) == other.stored(0, len(vectors))).all()
    assert (one.nearest(vectors[::9], count=3)[1] == other.nearest(vectors[::9], count=3)[1]).all()


def test_stored_vectors_are_up_to_date_after_each_addition():
    vectors = vectors_of(1, 2)
    compact = compact_of(vectors[:50])
    before = compact.stored(0, 50)
    compact.add(vectors[50:], threads=1)
    whole = compact_of(vectors).stored(0, len(vectors))
    assert (before == whole[:50]).all()
    assert (compact.stored(0, len(vectors)) == whole).all()
    assert compact.stored(3, 0).shape == (0, 128)


def test_file_brings_everything_back_and_goes_on_growing(tmp_path):
    vectors = vectors_of(1, 2)
    compact, again = compact_of(vectors[:100]), CompactVectors()
    compact.write(tmp_path / "file")
    again.read(tmp_path / "file")
    for each in (compact, again):
        each.add(vectors[100:], threads=1)
    assert again.nbytes == compact.nbytes
    assert (again.stored(0, len(vectors)) == compact.stored(0, len(vectors))).all()
    for one, other in zip(again.nearest(vectors, count=5), compact.nearest(vectors, count=5), strict=True):
        assert (one == other).all()


def test_empty_ones_can_be_written_read_and_searched(tmp_path):
    CompactVectors().write(tmp_path / "file")
    compact = compact_of(vectors_of(1))
    compact.read(tmp_path / "file")
    assert compact.nbytes == 0
    assert (compact.nearest(random_vectors(2), count=3)[1] == -1).all()


@pytest.fixture
def short_lists(monkeypatch):
    monkeypatch.setattr("backend.search.lists.LENGTH_MAX", 1)


def test_vectors_are_in_more_lists_once_there_are_many_and_found_as_before(short_lists):
    vectors = vectors_of(*range(1, 14))
    compact, queries = compact_of(vectors, 1000), vectors[::11]
    assert compact.outgrown
    regrouped = compact.regrouped()
    assert not regrouped.outgrown
    assert regrouped.nbytes == compact.nbytes
    assert (regrouped.stored(0, len(vectors)) == compact.stored(0, len(vectors))).all()
    exact, _ = compact.nearest_exact(queries, count=5)
    assert regrouped.nearest_exact(queries, count=5)[0] == pytest.approx(exact)
    assert (regrouped.nearest(queries, count=5)[0][:, 0] >= exact[:, 0] - 0.5).mean() > 0.75


def test_more_lists_go_on_growing_and_come_back_from_a_file(short_lists, tmp_path):
    vectors = vectors_of(*range(1, 16))
    regrouped, again = compact_of(vectors[:1100]).regrouped(), CompactVectors()
    regrouped.add(vectors[1100:], threads=1)
    stored = regrouped.stored(0, len(vectors))
    assert (stored == compact_of(vectors).stored(0, len(vectors))).all()
    found, _ = regrouped.nearest(vectors[1100:], count=1)
    assert (found >= regrouped.nearest_exact(vectors[1100:], count=1)[0] - 0.5).mean() > 0.75
    regrouped.write(tmp_path / "file")
    again.read(tmp_path / "file")
    assert not again.outgrown
    assert (again.stored(0, len(vectors)) == stored).all()
    exact, _ = regrouped.nearest_exact(vectors[::50], count=3)
    assert again.nearest_exact(vectors[::50], count=3)[0] == pytest.approx(exact)


def test_file_is_the_same_however_many_lists_there_are(monkeypatch, tmp_path):
    vectors = vectors_of(1, 2, 3)
    compact_of(vectors).write(tmp_path / "one")
    monkeypatch.setattr("backend.search.lists.LENGTH_MAX", 0.1)
    compact_of(vectors).regrouped().write(tmp_path / "several")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "several").read_bytes()


async def test_index_that_has_grown_is_grouped_anew_and_dead_vectors_are_passed_over(short_lists, tmp_path):
    catalogue = InMemoryCatalogue()
    index = await FaissIndex.open(tmp_path, catalogue, search_depth=96, kind="compact")
    for seed in range(1, 3):
        vectors = random_vectors(600, seed)
        song = Fingerprint(vectors.tobytes(), bytes(600), 600 * 512, thinning=4)
        await catalogue.put(make_new_song(seed, fingerprint=song))
        await index.catch_up()
    assert index._vectors._last._lists.splits > 1
    query = Fingerprint(random_vectors(600, 2)[100:108].tobytes(), bytes(8), 8 * 512, thinning=4)
    assert index.search(query, limit=3)[0].song_id == 2
    await catalogue.delete(2)
    await index.catch_up()
    assert {each.song_id for each in index.search(query, limit=3)} <= {1}


def test_dead_ordinals_are_passed_over():
    vectors = random_vectors(100)
    dead = np.packbits(np.arange(100) % 2 == 0, bitorder="little")
    _, found = compact_of(vectors).nearest_exact(vectors, count=50, dead=dead)
    assert (found % 2 == 1).all()
    _, found = compact_of(vectors).nearest(vectors[::2], count=1, dead=dead)
    assert (found % 2 != 0).all()


def test_codebooks_of_another_fingerprint_version_are_refused_with_the_mend(monkeypatch):
    monkeypatch.setattr("backend.search.codebooks.FINGERPRINT_VERSION", FINGERPRINT_VERSION + 1)
    content = to_file(np.zeros((LISTS, 128)), np.zeros(256 * 128))
    monkeypatch.undo()
    with pytest.raises(IndexVersionMismatch, match=r"train_codebooks\.py.*SONICA_INDEX_KIND"):
        Codebooks.of(content)


def test_codebooks_are_named_by_their_content():
    one, other = (Codebooks.of(to_file(np.full((LISTS, 128), fill), np.zeros(256 * 128))) for fill in (1, 2))
    assert one.name != other.name
    assert (one.centroids == 1).all()
    assert one.leftovers.shape == (CODE_BYTES, 256, 128 // CODE_BYTES)
