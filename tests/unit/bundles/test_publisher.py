"""Publishing: whole or not at all, nobody's work lost, nothing collected that is needed."""

import json
import os
import shutil
import threading
import time

import pytest

from backend.bundles.objects import FolderObjects
from backend.bundles.signatures import public_text, read_public_keys
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import BundleConflict, BundleNotFound, BundleRefused, StorageUnavailable
from tests.bundles import DAY, SIGNER, STRANGER, WHOLE, folder_place, open_index, publish, put_songs


class Killed(BaseException):
    pass


@pytest.fixture
def place(tmp_path):
    return folder_place(tmp_path / "store")


@pytest.fixture
async def catalogue():
    catalogue = InMemoryCatalogue()
    await put_songs(catalogue, 1, 2)
    return catalogue


@pytest.fixture
async def index(catalogue, tmp_path):
    return await open_index(catalogue, tmp_path / "index")


def numbers(place):
    current = place.store().current()
    return current.pointer.sequence, [int(name[:16]) for name in current.pointer.kept]


def grow_older(folder, seconds):
    for path in folder.rglob("*"):
        if path.is_file():
            then = time.time() - seconds
            os.utime(path, (then, then))


async def test_bundle_says_what_the_index_holds(place, index, catalogue):
    bundle = await publish(index, catalogue, place.publisher())
    manifest, status = bundle.manifest, index.status()
    assert (manifest.sequence, manifest.channel, manifest.kind) == (1, "hnsw", status.kind)
    assert (manifest.songs, manifest.segments) == (status.songs, status.segments)
    assert (manifest.catalogue, manifest.revision) == (await catalogue.name(), await catalogue.revision())
    assert manifest.fingerprint_version == status.fingerprint_version
    for file in manifest.files:
        assert len(place.objects.read(f"hnsw/files/{file.sha256}", bytes_max=10**9)[0]) == file.bytes
    assert place.publisher().standing() == bundle


async def test_bundle_is_not_published_again_when_nothing_has_changed(place, index, catalogue):
    from backend.bundles.publishing import Plan

    await publish(index, catalogue, place.publisher())
    assert await publish(index, catalogue, place.publisher(), Plan()) is None
    assert await publish(index, catalogue, place.publisher(), WHOLE) is not None
    assert numbers(place) == (2, [2, 1])


@pytest.mark.parametrize("kept", [1, 3])
async def test_so_many_bundles_are_kept_and_the_files_of_others_go_when_they_are_old(
    place, index, catalogue, tmp_path, kept
):
    publisher = place.publisher(kept=kept)
    bundles = []
    for seed in (3, 4, 5, 6):
        await put_songs(catalogue, seed)
        bundles.append(await publish(index, catalogue, publisher))
        assert publisher.collect().files == 0
    grow_older(tmp_path / "store", 2 * DAY)
    collected = publisher.collect()
    assert (collected.manifests, collected.files) == (4 - kept, 2 * (4 - kept))
    assert numbers(place) == (4, [4, 3, 2, 1][:kept])
    expected = {file.sha256 for bundle in bundles[-kept:] for file in bundle.manifest.files}
    assert {key.rpartition("/")[2] for key in place.listed() if "/files/" in key} == expected
    for bundle in bundles[-kept:]:
        assert place.store().bundle(bundle.name) == bundle


async def test_what_a_killed_publisher_left_goes_when_it_is_old_and_not_before(place, index, catalogue, tmp_path):
    await publish(index, catalogue, place.publisher())
    await put_songs(catalogue, 3)
    place.faulty.before = killing(4)  # after both files and the manifest
    with pytest.raises(Killed):
        await publish(index, catalogue, place.publisher())
    place.faulty.before = lambda *_: None
    before = place.listed()
    assert place.publisher().collect().manifests == 0
    assert place.listed() == before
    grow_older(tmp_path / "store", 2 * DAY)
    collected = place.publisher().collect()
    assert (collected.manifests, collected.files) == (1, 2)
    assert numbers(place) == (1, [1])


def killing(step):
    """Kill at the step-th write."""
    steps = iter(range(1, 100))

    def before(name, _):
        if name.startswith("write") and next(steps) == step:
            raise Killed

    return before


@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [True, False])
async def test_readers_see_the_bundle_of_before_when_a_publisher_is_killed_at_a_write(
    place, index, catalogue, step, first
):
    standing = None if first else await publish(index, catalogue, place.publisher())
    await put_songs(catalogue, 3)
    place.faulty.before = killing(step)
    with pytest.raises(Killed):
        await publish(index, catalogue, place.publisher())
    place.faulty.before = lambda *_: None
    assert place.publisher().standing() == standing
    published = await publish(index, catalogue, place.publisher())
    assert published.manifest.songs == 3
    assert place.publisher().standing() == published


@pytest.mark.parametrize("moment", ["write_file", "write", "write_if"])
async def test_both_are_published_when_two_publishers_race(place, index, catalogue, tmp_path, moment):
    await publish(index, catalogue, place.publisher())
    await put_songs(catalogue, 3)
    other = folder_place(tmp_path / "store")
    raced = []

    def race(name, _):
        if name == moment and not raced:
            raced.append(True)
            thread = threading.Thread(target=lambda: raced.append(other.publisher().roll_back(1)))
            thread.start()
            thread.join()

    place.faulty.before = race
    published = await publish(index, catalogue, place.publisher())
    assert raced[1].manifest.sequence == 2
    assert published.manifest.sequence == 3
    assert numbers(place) == (3, [3, 2, 1])


async def test_many_publishers_at_once_all_get_a_number_of_their_own(place, index, catalogue, tmp_path):
    await publish(index, catalogue, place.publisher(kept=50))
    published, failed = [], []

    def publish_often():
        for _ in range(4):
            try:
                published.append(folder_place(tmp_path / "store").publisher(kept=50).roll_back(1).manifest.sequence)
            except BundleConflict as error:
                failed.append(error)

    threads = [threading.Thread(target=publish_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(published) + len(failed) == 16
    assert sorted(published) == sorted(set(published))
    assert numbers(place)[1] == [*sorted(published, reverse=True), 1]


async def test_older_index_is_not_published_over_a_newer_one_unless_it_is_forced(place, index, catalogue, tmp_path):
    behind = await open_index(catalogue, tmp_path / "behind")
    await put_songs(catalogue, 3)
    await publish(index, catalogue, place.publisher())
    from backend.bundles.publishing import Plan, publish_index

    with pytest.raises(BundleConflict, match="newer"):
        await publish_index(behind, catalogue, place.publisher(), WHOLE)
    assert numbers(place) == (1, [1])
    forced = await publish_index(behind, catalogue, place.publisher(), Plan(force=True))
    assert (forced.manifest.sequence, forced.manifest.songs) == (2, 2)


async def test_index_of_another_catalogue_is_not_published_over_it(place, index, catalogue, tmp_path):
    await publish(index, catalogue, place.publisher())
    other = InMemoryCatalogue()
    await put_songs(other, 1, 2, 3)
    with pytest.raises(BundleConflict, match="another catalogue"):
        await publish(await open_index(other, tmp_path / "other"), other, place.publisher())


async def test_earlier_bundle_is_published_again_under_a_new_number_when_it_is_gone_back_to(place, index, catalogue):
    publisher = place.publisher(kept=4)
    bundles = []
    for seed in (3, 4, 5):
        await put_songs(catalogue, seed)
        bundles.append(await publish(index, catalogue, publisher))
    back = publisher.roll_back()
    assert (back.manifest.sequence, back.manifest.restores) == (4, 2)
    assert back.manifest.files == bundles[1].manifest.files
    further = publisher.roll_back()  # not to the one that was just left
    assert (further.manifest.sequence, further.manifest.restores) == (5, 1)
    named = publisher.roll_back(3)
    assert (named.manifest.sequence, named.manifest.files) == (6, bundles[2].manifest.files)
    with pytest.raises(BundleNotFound):
        publisher.roll_back(1)  # it is kept no longer


async def test_bundle_that_is_not_whole_is_not_gone_back_to(place, index, catalogue):
    first = await publish(index, catalogue, place.publisher())
    await put_songs(catalogue, 3)
    await publish(index, catalogue, place.publisher())
    place.objects.delete(place.file_key(first))
    with pytest.raises(BundleRefused, match="missing"):
        place.publisher().roll_back()
    assert numbers(place)[0] == 2


async def test_nothing_can_be_gone_back_to_when_nothing_was_published(place):
    with pytest.raises(BundleNotFound):
        place.publisher().roll_back()


async def test_unbelievable_bundle_is_replaced_only_when_it_is_forced(place, index, catalogue):
    from backend.bundles.publishing import Plan

    trusted = read_public_keys(public_text(STRANGER))
    await publish(index, catalogue, place.publisher())
    theirs = place.publisher(key=STRANGER, trusted=trusted)
    with pytest.raises(BundleRefused, match="--force"):
        await publish(index, catalogue, theirs)
    assert (await publish(index, catalogue, theirs, Plan(force=True))).manifest.sequence == 2


async def test_numbers_go_on_when_the_pointer_was_lost(place, index, catalogue):
    for _ in range(2):
        await publish(index, catalogue, place.publisher())
    place.objects.delete("hnsw/current")
    assert (await publish(index, catalogue, place.publisher())).manifest.sequence == 3


async def test_file_is_written_again_when_it_was_collected_meanwhile(place, index, catalogue):
    def collect_meanwhile(name, key):
        if name == "write_if":
            for found in list(place.objects.listed("hnsw/files/")):
                place.objects.delete(found.key)

    place.faulty.before = collect_meanwhile
    bundle = await publish(index, catalogue, place.publisher())
    place.faulty.before = lambda *_: None
    for file in bundle.manifest.files:
        place.store().check_size(file)


async def test_private_key_is_nowhere_when_it_has_signed(place, index, catalogue, tmp_path, capfd):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    await publish(index, catalogue, place.publisher())
    raw = SIGNER.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    written = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert raw not in written
    assert raw.hex() not in "".join(capfd.readouterr())
    sealed = json.loads(place.publisher().standing().sealed)
    assert set(sealed) == {"manifest", "key", "signature"}


async def test_folder_that_cannot_be_written_is_told(index, catalogue, tmp_path):
    (tmp_path / "file").write_text("no folder")
    from tests.bundles import Place

    with pytest.raises(StorageUnavailable, match="folder of the bundles"):
        await publish(index, catalogue, Place(FolderObjects(tmp_path / "file" / "store")).publisher())


async def test_files_are_not_uploaded_again_when_the_published_bundle_has_them(place, index, catalogue):
    bundle = await publish(index, catalogue, place.publisher())
    written = []
    place.faulty.before = lambda name, key: written.append(key) if name == "write_file" else None
    await publish(index, catalogue, place.publisher())
    assert written == []
    place.objects.delete(place.file_key(bundle))
    await publish(index, catalogue, place.publisher())
    assert written == [place.file_key(bundle)]


async def test_nothing_is_published_when_the_disk_of_the_folder_is_full(place, index, catalogue, monkeypatch):
    standing = await publish(index, catalogue, place.publisher())
    await put_songs(catalogue, 3)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(StorageUnavailable, match="No space left"):
            await publish(index, catalogue, place.publisher())
    assert place.publisher().standing() == standing
    assert (await publish(index, catalogue, place.publisher())).manifest.songs == 3
