"""Bundles in S3, by moto's server: conditional writes, parts, breaks."""

from __future__ import annotations

import threading

import pytest

from backend.bundles import downloads, store
from backend.bundles.downloads import Downloads
from backend.bundles.objects import BucketObjects, open_objects
from backend.bundles.store import open_store
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import BundleConflict, InvalidRequest, ObjectStoreUnavailable
from backend.settings import Settings
from tests.bundles import DAY, TRUSTED, Place, best, empty_index, follower_of, open_index, publish, put_songs


@pytest.fixture
async def catalogue():
    catalogue = InMemoryCatalogue()
    await put_songs(catalogue, 1, 2)
    return catalogue


@pytest.fixture
async def source(catalogue, tmp_path):
    return await open_index(catalogue, tmp_path / "source")


@pytest.fixture
def small_parts(monkeypatch):
    """Parts so small that a song has many."""
    for module in (downloads, store):
        monkeypatch.setattr(module, "PART_BYTES", 1000)


async def test_index_comes_from_the_bucket_in_parts_and_follows_it(place, catalogue, source, tmp_path, small_parts):
    await publish(source, catalogue, place.publisher())
    index = empty_index(catalogue, tmp_path)
    follower = follower_of(place, index, catalogue, tmp_path)
    assert await follower.open(trusted=TRUSTED)
    await put_songs(catalogue, 3)
    newer = await publish(source, catalogue, place.publisher())
    assert await follower.refresh()
    assert follower.in_place == newer.manifest
    assert [await best(index, seed) for seed in (1, 2, 3)] == [1, 2, 3]
    place.store().check_content(newer.manifest.files[0])


async def test_download_goes_on_where_it_broke_off(place, catalogue, source, tmp_path, small_parts):
    bundle = await publish(source, catalogue, place.publisher())
    files = sorted(bundle.manifest.files, key=lambda file: -file.bytes)
    parts = -(-files[0].bytes // 1000)
    assert parts > 5
    got = []

    def breaking(name, key):
        if name == "read_range":
            if len(got) == 3:
                raise ObjectStoreUnavailable("broken off")
            got.append(key)

    place.faulty.before = breaking
    folder = Downloads(tmp_path / "files", threads=1)
    with pytest.raises(ObjectStoreUnavailable):
        folder.fetch(place.store(), files[:1])
    assert folder.held(files[:1]) is None
    got.clear()
    place.faulty.before = lambda name, key: got.append(key) if name == "read_range" else None
    places = Downloads(tmp_path / "files", threads=2).fetch(place.store(), files[:1])
    assert len(got) == parts - 3
    assert places[files[0].name].stat().st_size == files[0].bytes
    assert [path.name for path in (tmp_path / "files").iterdir() if path.name != ".lock"] == [files[0].sha256]


async def test_download_begins_anew_when_what_was_noted_was_not_written(
    place, catalogue, source, tmp_path, small_parts
):
    bundle = await publish(source, catalogue, place.publisher())
    file = max(bundle.manifest.files, key=lambda file: file.bytes)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / f"{file.sha256}.partial").write_bytes(bytes(file.bytes))
    (folder / f"{file.sha256}.parts").write_bytes((0).to_bytes(4, "little") + (2).to_bytes(4, "little"))
    Downloads(folder, threads=2).fetch(place.store(), [file])
    assert Downloads(folder, threads=2).held([file]) is not None


async def test_publishers_that_race_all_get_numbers_of_their_own(place, catalogue, source, aws):
    await publish(source, catalogue, place.publisher(kept=50))
    published, failed = [], []

    def publish_often():
        mine = Place(place.objects).publisher(kept=50)
        for _ in range(3):
            try:
                published.append(mine.roll_back(1).manifest.sequence)
            except BundleConflict as error:
                failed.append(error)

    threads = [threading.Thread(target=publish_often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(published) + len(failed) == 9
    kept = [int(name[:16]) for name in place.store().current().pointer.kept]
    assert kept == [*sorted(published, reverse=True), 1]
    assert len(kept) == len(set(kept))


async def test_publication_counts_when_its_answer_was_lost(place, catalogue, source):
    write_if = place.objects.write_if
    lost = []

    class Losing(BucketObjects):
        def write_if(self, key, body, *, tag):
            write_if(key, body, tag=tag)
            lost.append(key)
            return False  # as a retry of the client is told that it is another object now

    place.objects.__class__ = Losing
    bundle = await publish(source, catalogue, place.publisher())
    assert len(lost) == 1
    assert place.store().current().pointer.kept == (bundle.name,)


async def test_old_files_go_and_young_ones_stay(place, catalogue, source):
    for seed in (3, 4, 5):
        await put_songs(catalogue, seed)
        await publish(source, catalogue, place.publisher(kept=1))
    assert place.publisher(kept=1, grace_seconds=DAY).collect().files == 0
    collected = place.publisher(kept=1, grace_seconds=-60).collect()
    assert (collected.manifests, collected.files) == (2, 4)
    place.store().check_size(place.publisher().standing().manifest.files[0])


async def test_bucket_without_keys_is_not_believed(aws):
    settings = Settings(bundle_url="s3://bundles/sonica", **aws.settings)
    with pytest.raises(InvalidRequest, match="SONICA_BUNDLE_PUBLIC_KEYS"):
        open_store(settings, "hnsw")


@pytest.mark.parametrize("url", ["s3://", "https://bundles", "s3:///prefix"])
def test_place_is_refused_when_it_is_none(url):
    with pytest.raises(InvalidRequest, match="SONICA_BUNDLE_URL"):
        open_objects(url, Settings())


async def test_bucket_that_is_not_there_is_told_and_the_catalogue_is_used(aws, catalogue, tmp_path):
    from backend.bundles.opening import open_bundled_index
    from backend.bundles.signatures import public_text
    from tests.bundles import SIGNER

    settings = Settings(
        data_dir=tmp_path, bundle_url="s3://nowhere/x", bundle_public_keys=public_text(SIGNER), **aws.settings
    )
    index, follower = await open_bundled_index(settings, catalogue, kind="hnsw")
    assert follower.problem
    assert follower.in_place is None
    assert await best(index, 2) == 2
