"""Snapshots: whole or not there."""

import pytest

from backend.search.snapshots import PARTIAL, Manifest, SnapshotStore


def write(store, revision, content=b"abc"):
    return store.write(manifest(revision), lambda folder: (folder / "segments").write_bytes(content) and None)


def manifest(revision):
    return Manifest(fingerprint_version=1, kind="hnsw", catalogue="here", revision=revision, segments=1)


def test_newest_whole_snapshot_is_found(tmp_path):
    store = SnapshotStore(tmp_path / "index")
    assert store.newest() is None
    write(store, 3)
    newest = write(store, 12)
    assert store.newest()[0] == newest


def test_damaged_snapshot_is_passed_over_for_the_one_before(tmp_path):
    store = SnapshotStore(tmp_path)
    before, damaged = write(store, 3), write(store, 4)
    (damaged / "segments").write_bytes(b"abx")
    assert store.newest()[0] == before
    (damaged / "manifest.json").write_text("{}")
    assert store.newest()[0] == before


def test_only_the_last_two_are_kept(tmp_path):
    store = SnapshotStore(tmp_path)
    for revision in range(5):
        write(store, revision)
    assert len(list(tmp_path.iterdir())) == 2


def test_failed_write_leaves_what_was_there(tmp_path):
    store = SnapshotStore(tmp_path)
    before = write(store, 1)

    def full_disk(folder):
        (folder / "segments").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.write(manifest(2), full_disk)
    assert store.newest()[0] == before
    assert not list(tmp_path.glob(f"{PARTIAL}*"))
