"""An index follows what is published: whatever is wrong leaves it as it is."""

import asyncio
import json
import os

import pytest

from backend.bundles.publishing import Plan
from backend.bundles.signatures import public_text, read_public_keys, seal
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import CatalogueUnavailable, IndexVersionMismatch, StorageUnavailable
from tests.bundles import (
    SIGNER,
    STRANGER,
    TRUSTED,
    best,
    empty_index,
    folder_place,
    follower_of,
    found,
    open_index,
    publish,
    put_songs,
)


@pytest.fixture
def place(tmp_path):
    return folder_place(tmp_path / "store")


@pytest.fixture
async def catalogue():
    catalogue = InMemoryCatalogue()
    await put_songs(catalogue, 1, 2)
    return catalogue


@pytest.fixture
async def source(catalogue, tmp_path):
    """The publisher's own index."""
    return await open_index(catalogue, tmp_path / "source")


@pytest.fixture
async def bundle(request, source, catalogue, place):
    """What is published: of two songs, or of `many`."""
    return await publish(source, catalogue, place.publisher())


@pytest.fixture
def index(catalogue, tmp_path):
    return empty_index(catalogue, tmp_path)


@pytest.fixture
def follower(place, index, catalogue, tmp_path):
    return follower_of(place, index, catalogue, tmp_path)


def counting(place):
    counts = {}

    def before(name, key):
        counts[name] = counts.get(name, 0) + 1

    place.faulty.before = before
    return counts


async def test_published_index_answers_as_the_one_it_was_made_of(bundle, source, index, follower):
    assert await follower.open(trusted=TRUSTED)
    assert follower.in_place == bundle.manifest
    for seed in (1, 2):
        here, there = await found(index, seed), await found(source, seed)
        assert [(each.song_id, each.offset_steps, each.votes) for each in here] == [
            (each.song_id, each.offset_steps, each.votes) for each in there
        ]
    assert index.version == source.version


async def test_changes_since_the_bundle_come_from_the_change_log(bundle, index, follower, catalogue):
    await put_songs(catalogue, 3)
    await catalogue.delete(1)
    await follower.open(trusted=TRUSTED)
    assert await best(index, 3) == 3
    assert await best(index, 1) != 1
    assert index.status().revision == await catalogue.revision()


async def test_new_bundle_is_swapped_in_when_it_is_published(bundle, source, index, follower, catalogue, place):
    await follower.open(trusted=TRUSTED)
    assert not await follower.refresh()
    await put_songs(catalogue, 3)
    newer = await publish(source, catalogue, place.publisher())
    assert await follower.refresh()
    assert follower.in_place == newer.manifest
    assert await best(index, 3) == 3


async def test_earlier_bundle_is_swapped_in_when_it_was_gone_back_to(bundle, source, index, follower, catalogue, place):
    await put_songs(catalogue, 3)
    await publish(source, catalogue, place.publisher())
    await follower.open(trusted=TRUSTED)
    back = place.publisher().roll_back()
    assert await follower.refresh()
    assert follower.in_place == back.manifest
    assert await best(index, 3) == 3  # by the change log: the catalogue has it


async def test_no_request_fails_or_errs_when_bundles_are_swapped_under_load(
    bundle, source, index, follower, catalogue, place
):
    await follower.open(trusted=TRUSTED)
    answers, swaps, stopping = [], 0, False

    async def ask(seed):
        while not stopping:
            answers.append((seed, await best(index, seed)))

    askers = [asyncio.create_task(ask(seed)) for seed in (1, 2, 1, 2)]
    try:
        while swaps < 6:
            await publish(source, catalogue, place.publisher())
            swaps += await follower.refresh()
    finally:
        stopping = True
        await asyncio.gather(*askers)
    assert len(answers) > 6
    assert {(seed, song) for seed, song in answers} == {(1, 1), (2, 2)}
    assert follower.in_place.sequence == 7


def flipped(body):
    return body[:500] + bytes([body[500] ^ 1]) + body[501:]


def pointing_to(name, body):
    """Point to another manifest as somebody can who may write and cannot sign."""
    import hashlib

    def change(pointer):
        found = json.loads(pointer)
        sha256 = hashlib.sha256(body).hexdigest()
        return json.dumps({"sequence": int(name[:16]), "sha256": sha256, "kept": [name, *found["kept"]]}).encode()

    return change


HOSTILE = {
    "flipped byte": (lambda place, bundle: place.change(place.file_key(bundle), flipped), "hash is another"),
    "truncated": (lambda place, bundle: place.change(place.file_key(bundle), lambda body: body[:-1]), "in place of"),
    "too long": (lambda place, bundle: place.change(place.file_key(bundle), lambda body: body + b"0"), "in place of"),
    "missing file": (lambda place, bundle: place.objects.delete(place.file_key(bundle, 1)), "missing"),
    "missing manifest": (lambda place, bundle: place.objects.delete(f"hnsw/manifests/{bundle.name}"), "no manifest"),
    "changed manifest": (
        lambda place, bundle: place.change(
            f"hnsw/manifests/{bundle.name}", lambda body: body.replace(b'songs\\":3', b'songs\\":4')
        ),
        "signature does not fit",
    ),
    "no manifest": (lambda place, bundle: place.change(f"hnsw/manifests/{bundle.name}", lambda _: b"{"), "not one"),
    "huge manifest": (
        lambda place, bundle: place.change(f"hnsw/manifests/{bundle.name}", lambda body: body + b" " * 10**6),
        "is none",
    ),
    "no pointer": (lambda place, bundle: place.change("hnsw/current", lambda _: b"nonsense"), "no bundle to take"),
    "pointer is gone": (lambda place, bundle: place.objects.delete("hnsw/current"), "nothing is published"),
    "pointer to another": (
        lambda place, bundle: place.change(
            "hnsw/current", lambda body: body.replace(b'"sha256":"', b'"sha256":"0')[:0] or with_sha(body)
        ),
        "not the one that is pointed to",
    ),
}


def with_sha(body):
    return json.dumps({**json.loads(body), "sha256": "0" * 64}).encode()


@pytest.mark.parametrize("name", HOSTILE)
async def test_bundle_is_refused_and_the_one_in_place_answers_on_when_it_has_a(
    bundle, source, index, follower, catalogue, place, name
):
    await follower.open(trusted=TRUSTED)
    await put_songs(catalogue, 3)
    newer = await publish(source, catalogue, place.publisher())
    harm, why = HOSTILE[name]
    harm(place, newer)
    assert not await follower.refresh()
    assert why in follower.problem
    assert follower.failures == 1
    assert follower.in_place == bundle.manifest
    assert [await best(index, seed) for seed in (1, 2)] == [1, 2]
    await index.catch_up()
    assert await best(index, 3) == 3
    if name == "no pointer":
        place.objects.delete("hnsw/current")  # as the message says
    await publish(source, catalogue, place.publisher(), Plan(force=True))
    assert await follower.refresh()
    assert follower.problem is None


@pytest.mark.parametrize("key", [None, STRANGER])
async def test_bundle_is_refused_when_nobody_trusted_has_signed_it(
    bundle, source, index, follower, catalogue, place, key
):
    await follower.open(trusted=TRUSTED)
    await publish(source, catalogue, place.publisher(key=key, trusted={}))
    assert not await follower.refresh()
    assert "signed" in follower.problem
    assert follower.in_place == bundle.manifest


async def test_bundles_of_both_keys_are_believed_while_one_takes_over(source, index, catalogue, place, tmp_path):
    both = read_public_keys(f"{public_text(SIGNER)}, {public_text(STRANGER)}")
    follower = follower_of(place, index, catalogue, tmp_path, trusted=both)
    await publish(source, catalogue, place.publisher(trusted=both))
    assert await follower.open(trusted=both)
    await publish(source, catalogue, place.publisher(key=STRANGER, trusted=both))
    assert await follower.refresh()


async def test_older_bundle_is_refused_when_it_is_replayed(bundle, source, index, follower, catalogue, place, tmp_path):
    await put_songs(catalogue, 3)
    newer = await publish(source, catalogue, place.publisher())
    await follower.open(trusted=TRUSTED)
    place.change("hnsw/current", pointing_to(bundle.name, bundle.sealed))
    assert not await follower.refresh()
    assert "rollback" in follower.problem
    assert follower.in_place == newer.manifest
    restarted = follower_of(place, empty_index(catalogue, tmp_path), catalogue, tmp_path)
    assert await restarted.open(trusted=TRUSTED)  # by what it had in place before
    assert restarted.in_place == newer.manifest
    assert "rollback" in restarted.problem


async def test_another_bundle_of_the_same_number_is_refused(bundle, index, follower, place):
    await follower.open(trusted=TRUSTED)
    store = place.store()
    sealed = seal(bundle.manifest.model_copy(update={"songs": 99}), SIGNER)
    name = store.write_manifest(1, sealed)
    place.change("hnsw/current", pointing_to(name, sealed))
    assert not await follower.refresh()
    assert follower.in_place == bundle.manifest


async def test_bundle_of_another_fingerprint_version_is_refused_and_the_mend_named(
    bundle, source, catalogue, place, tmp_path, index, follower
):
    await follower.open(trusted=TRUSTED)
    older = bundle.manifest.model_copy(
        update={"fingerprint_version": bundle.manifest.fingerprint_version - 1, "sequence": 2}
    )
    sealed = seal(older, SIGNER)
    name = place.store().write_manifest(2, sealed)
    place.change("hnsw/current", pointing_to(name, sealed))
    assert not await follower.refresh()
    assert "bundles publish" in follower.problem
    assert await best(index, 1) == 1
    restarted = follower_of(place, empty_index(catalogue, tmp_path), catalogue, tmp_path)
    assert await restarted.open(trusted=TRUSTED)  # by what it had in place before
    assert restarted.in_place == bundle.manifest
    started = follower_of(place, empty_index(catalogue, tmp_path / "new"), catalogue, tmp_path / "new")
    with pytest.raises(IndexVersionMismatch, match="bundles publish"):
        await started.open(trusted=TRUSTED)


async def test_bundle_of_another_catalogue_is_refused(bundle, place, tmp_path):
    other = InMemoryCatalogue()
    await put_songs(other, 5)
    index = empty_index(other, tmp_path)
    follower = follower_of(place, index, other, tmp_path)
    assert not await follower.open(trusted=TRUSTED)
    assert "another catalogue" in follower.problem


async def test_bundle_of_another_kind_is_refused(bundle, source, catalogue, place, tmp_path):
    index = empty_index(catalogue, tmp_path, kind="compact")
    follower = follower_of(place, index, catalogue, tmp_path)
    assert not await follower.open(trusted=TRUSTED)
    assert "SONICA_INDEX_KIND" in follower.problem


async def test_last_bundle_is_opened_when_the_store_is_away(bundle, index, follower, catalogue, place, tmp_path):
    await follower.open(trusted=TRUSTED)

    def away(*_):
        raise StorageUnavailable("away")

    place.faulty.before = away
    again = empty_index(catalogue, tmp_path)
    follower = follower_of(place, again, catalogue, tmp_path)
    assert await follower.open(trusted=TRUSTED)
    assert (follower.problem, follower.in_place) == ("away", bundle.manifest)
    assert await best(again, 2) == 2
    place.faulty.before = lambda *_: None
    await follower.refresh()
    assert follower.problem is None


async def test_bundle_is_opened_when_the_catalogue_is_away(bundle, place, catalogue, tmp_path):
    index = empty_index(Away(), tmp_path)
    follower = follower_of(place, index, Away(), tmp_path)
    assert await follower.open(trusted=TRUSTED)
    assert await best(index, 2) == 2
    assert index.caught_up_at == pytest.approx(bundle.manifest.created_at.timestamp())


async def test_nothing_is_downloaded_again_when_it_is_here(bundle, index, follower, catalogue, place, tmp_path):
    await follower.open(trusted=TRUSTED)
    counts = counting(place)
    again = follower_of(place, empty_index(catalogue, tmp_path), catalogue, tmp_path)
    assert await again.open(trusted=TRUSTED)
    assert "read_range" not in counts


async def test_refused_bundle_is_not_downloaded_at_every_look(bundle, source, follower, catalogue, place):
    await follower.open(trusted=TRUSTED)
    await put_songs(catalogue, 3)
    newer = await publish(source, catalogue, place.publisher())
    place.change(place.file_key(newer), flipped)
    tried = []
    for _ in range(16):
        before = follower.failures
        await follower.refresh()
        tried.append(follower.failures - before)
        assert follower.problem
    assert tried == [1, 0, 1, 0, 0, 0, 1, *[0] * 7, 1, 0]


async def test_files_of_bundles_that_are_not_in_place_are_deleted_here(
    bundle, source, follower, catalogue, place, tmp_path
):
    await follower.open(trusted=TRUSTED)
    await put_songs(catalogue, 3)
    newer = await publish(source, catalogue, place.publisher())
    await follower.refresh()
    here = {path.name for path in (tmp_path / "bundles" / "files").iterdir() if not path.name.startswith(".")}
    assert here == {file.sha256 for file in newer.manifest.files}


async def test_bundle_in_place_answers_on_when_the_disk_is_full(
    bundle, source, index, follower, catalogue, place, monkeypatch
):
    await follower.open(trusted=TRUSTED)
    await put_songs(catalogue, 3)
    await publish(source, catalogue, place.publisher())

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        assert not await follower.refresh()
    assert "No space left" in follower.problem
    assert await best(index, 1) == 1
    assert await follower.refresh()
    assert await best(index, 3) == 3


async def test_bundle_is_not_begun_when_it_does_not_fit(bundle, source, index, follower, catalogue, place, monkeypatch):
    import shutil

    await follower.open(trusted=TRUSTED)
    await put_songs(catalogue, 3)
    await publish(source, catalogue, place.publisher())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    counts = counting(place)
    assert not await follower.refresh()
    assert "1,000 are free" in follower.problem
    assert "read_range" not in counts


# --- deltas ----------------------------------------------------------------------------------------------------------

FEW = Plan(deltas_max=2)


async def delta_of(source, catalogue, place, *seeds, without=(), plan=FEW):
    await put_songs(catalogue, *seeds)
    for song_id in without:
        await catalogue.delete(song_id)
    return await publish(source, catalogue, place.publisher(), plan)


@pytest.fixture
async def many(catalogue):
    """So many songs that a delta of one or two pays."""
    await put_songs(catalogue, *range(3, 13))


@pytest.mark.parametrize("kind", ["hnsw", "compact", "exact"])
async def test_base_and_deltas_answer_as_the_whole_bundle_does(many, catalogue, tmp_path, kind):
    place, folder = folder_place(tmp_path / "store"), tmp_path / "reader"
    source = await open_index(catalogue, tmp_path / "source", kind=kind)
    publisher = place.publisher(channel=kind)
    await publish(source, catalogue, publisher)
    await put_songs(catalogue, 13)
    await catalogue.delete(2)
    await publish(source, catalogue, publisher, FEW)
    await catalogue.delete(5)
    await put_songs(catalogue, 14)
    delta = await publish(source, catalogue, publisher, FEW)
    assert [step.changes for step in delta.manifest.deltas] == [2, 2]

    by_delta = empty_index(Away(), folder, kind=kind)
    assert await follower_of(place, by_delta, Away(), folder, channel=kind).open(trusted=TRUSTED)
    fresh = await open_index(catalogue, tmp_path / "fresh", kind=kind)
    await publish(fresh, catalogue, publisher)
    whole = empty_index(Away(), tmp_path / "whole", kind=kind)
    assert await follower_of(place, whole, Away(), tmp_path / "whole", channel=kind).open(trusted=TRUSTED)

    assert (by_delta.version, by_delta.segments) == (whole.version, whole.segments)
    assert by_delta.status().songs == whole.status().songs == delta.manifest.songs
    for seed in range(1, 15):
        one, other = await found(by_delta, seed), await found(whole, seed)
        assert (one[0].song_id, one[0].offset_steps) == (other[0].song_id, other[0].offset_steps)
        assert one[0].votes == pytest.approx(other[0].votes, rel=0.1 if kind == "hnsw" else 1e-6)
        assert (one[0].song_id == seed) == (seed not in (2, 5))


async def test_delta_alone_is_downloaded_when_the_base_is_in_place(
    many, bundle, source, index, follower, catalogue, place
):
    await follower.open(trusted=TRUSTED)
    vectors = index._vectors
    delta = await delta_of(source, catalogue, place, 13, without=[2])
    sizes = []
    place.faulty.before = lambda name, key: sizes.append(key) if name == "read_range" else None
    assert await follower.refresh()
    assert sizes == [f"hnsw/files/{delta.manifest.deltas[0].file.sha256}"]
    assert index._vectors is vectors
    assert await best(index, 13) == 13
    assert await best(index, 2) != 2


async def test_whole_bundle_is_published_when_the_chain_is_long_enough(many, bundle, source, catalogue, place):
    lengths = [len((await delta_of(source, catalogue, place, seed)).manifest.deltas) for seed in (13, 14, 15, 16)]
    assert lengths == [1, 2, 0, 1]


async def test_whole_bundle_is_published_when_much_has_changed(many, bundle, source, catalogue, place):
    assert (await delta_of(source, catalogue, place, *range(13, 20))).manifest.deltas == ()


async def test_damaged_delta_is_refused(many, bundle, source, index, follower, catalogue, place):
    await follower.open(trusted=TRUSTED)
    delta = await delta_of(source, catalogue, place, 13)
    place.change(f"hnsw/files/{delta.manifest.deltas[0].file.sha256}", flipped)
    assert not await follower.refresh()
    assert "hash" in follower.problem
    assert follower.in_place == bundle.manifest


async def test_base_is_loaded_again_when_a_delta_was_gone_back_from(
    many, bundle, source, index, follower, catalogue, place
):
    await delta_of(source, catalogue, place, 13)
    await follower.open(trusted=TRUSTED)
    vectors = index._vectors
    place.publisher().roll_back()
    assert await follower.refresh()
    assert index._vectors is not vectors
    assert follower.in_place.deltas == ()


async def test_delta_is_made_anew_when_another_bundle_was_published_meanwhile(
    many, bundle, source, catalogue, place, tmp_path
):
    raced = []

    def race(name, key):
        if name == "write_if" and not raced:
            raced.append(folder_place(tmp_path / "store").publisher().roll_back(1))

    place.faulty.before = race
    delta = await delta_of(source, catalogue, place, 13)
    assert raced[0].manifest.sequence == 2
    assert (delta.manifest.sequence, len(delta.manifest.deltas)) == (3, 1)


class Away:
    """A change log that does not answer."""

    async def name(self):
        raise CatalogueUnavailable

    revision = name
