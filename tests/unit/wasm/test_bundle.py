"""The bundle's file form: what is written is read back, and nothing else is read."""

import hashlib

import pytest
from sonica_fingerprint import FINGERPRINT_VERSION, FingerprintError, UnsupportedVersion
from sonica_fingerprint.bundle import CODE_BYTES, HotSong, read_bundle, write_bundle

DETAILS = {"index_version": "v9-r7", "limits": {"candidates_max": 24}}


def hot_song(number, segments):
    details = {"id": number, "title": f"सतरंगी {number}", "duration_ms": 512 * segments}
    return HotSong(details, range(0, 4 * segments, 4), bytes([number]) * (CODE_BYTES * segments))


def bundle_of(*songs):
    return write_bundle(songs, thinning=4, details=DETAILS)


def test_bundle_is_read_back_as_it_was_written():
    body = bundle_of(hot_song(1, 3), hot_song(2, 0), hot_song(5, 2))
    bundle = read_bundle(body)
    assert (bundle.songs, bundle.segments, bundle.body) == (3, 5, body)
    assert [song["title"] for song in bundle.details["songs"]] == ["सतरंगी 1", "सतरंगी 2", "सतरंगी 5"]
    assert {name: bundle.details[name] for name in DETAILS} == DETAILS
    assert bundle.sha256 == hashlib.sha256(body[:-32]).hexdigest()


def test_layout_is_the_documented_one():
    body = bundle_of(hot_song(1, 3), hot_song(2, 2))
    assert body[:8] == b"SNHI" + bytes([1, FINGERPRINT_VERSION, 4, 0])
    numbers = [int.from_bytes(body[at : at + 4], "little") for at in range(8, 20 + 4 * (3 + 5), 4)]
    details_bytes = len(body) - (24 + 4 * 2 + 68 * 5) - 32
    assert numbers == [2, 5, details_bytes, 0, 3, 5, 0, 4, 8, 0, 4]
    codes = body[24 + 4 * 2 + 4 * 5 :]
    assert codes.startswith(bytes([1]) * 3 * CODE_BYTES + bytes([2]) * 2 * CODE_BYTES + b'{"')


def test_the_same_songs_give_the_same_bytes():
    assert bundle_of(hot_song(1, 3)) == bundle_of(hot_song(1, 3))


@pytest.mark.parametrize("end", [0, 4, 19, 60, -33, -1])
def test_bundle_is_refused_when_it_is_cut(end):
    with pytest.raises(FingerprintError):
        read_bundle(bundle_of(hot_song(1, 3))[:end])


@pytest.mark.parametrize("at", [4, 5])
def test_other_versions_are_told_apart_from_damage(at):
    body = bytearray(bundle_of(hot_song(1, 3)))
    body[at] += 1
    with pytest.raises(UnsupportedVersion):
        read_bundle(bytes(body))
