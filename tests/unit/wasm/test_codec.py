"""The wire format: what is encoded comes back, and no other bytes do any harm."""

import hashlib
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sonica_fingerprint import DIMENSIONS, Fingerprint, FingerprintError, MalformedFingerprint, UnsupportedVersion
from sonica_fingerprint.codec import SEGMENTS_MAX, decode, encode

from tests.factories import make_fingerprint


@st.composite
def fingerprints(draw):
    segments, thinning = draw(st.integers(0, 40)), draw(st.integers(1, 16))
    return Fingerprint(
        embeddings=draw(st.binary(min_size=segments * DIMENSIONS, max_size=segments * DIMENSIONS)),
        levels=draw(st.binary(min_size=segments, max_size=segments)),
        duration_ms=segments * thinning * 160 + draw(st.integers(0, 10_000)),
        thinning=thinning,
        speed=(1000 + draw(st.integers(-200, 200))) / 1000,
    )


@settings(deadline=None)
@given(fingerprints())
def test_fingerprint_comes_back_when_encoded(fingerprint):
    assert decode(encode(fingerprint)) == fingerprint


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=4000))
def test_any_bytes_are_refused_or_read_but_never_crash(body):
    refused_or_read(body)


@settings(max_examples=500, deadline=None)
@given(fingerprints(), st.data())
def test_changed_bytes_are_refused(fingerprint, data):
    body = bytearray(encode(fingerprint))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FingerprintError):
        decode(bytes(body))


@settings(max_examples=300, deadline=None)
@given(fingerprints(), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_headers_that_lie_under_a_valid_checksum_are_refused_or_harmless(fingerprint, duration, segments, thinning):
    body = bytearray(encode(fingerprint))[:-4]
    body[5] = thinning
    struct.pack_into("<II", body, 8, duration, segments)
    refused_or_read(bytes(body) + struct.pack("<I", zlib.crc32(body)))


def refused_or_read(body):
    try:
        fingerprint = decode(body)
    except FingerprintError:
        return
    assert len(fingerprint.embeddings) == fingerprint.segments * DIMENSIONS
    assert encode(fingerprint) == body


def test_truncated_and_padded_bytes_are_refused():
    body = encode(make_fingerprint())
    for wrong in (b"", body[:15], body[:-1], body + b"\0", body[:200]):
        with pytest.raises(MalformedFingerprint):
            decode(wrong)


def test_other_version_is_named_when_refused():
    body = bytearray(encode(make_fingerprint()))
    body[4] = 9
    with pytest.raises(UnsupportedVersion, match="version 9"):
        decode(bytes(body))


def test_more_segments_than_allowed_are_refused_before_they_are_read():
    body = encode(make_fingerprint(segments=20))
    with pytest.raises(MalformedFingerprint, match="at most 19"):
        decode(body, segments_max=19)
    claims = bytearray(body)
    struct.pack_into("<I", claims, 12, SEGMENTS_MAX + 1)
    with pytest.raises(MalformedFingerprint, match="at most"):
        decode(bytes(claims))


def test_key_names_the_sound_and_not_its_length_or_level():
    fingerprint = make_fingerprint(1)
    longer = Fingerprint(fingerprint.embeddings, fingerprint.levels, fingerprint.duration_ms + 7, fingerprint.thinning)
    quieter = Fingerprint(fingerprint.embeddings, bytes(40 for _ in fingerprint.levels), fingerprint.duration_ms, 4)
    silent = Fingerprint(fingerprint.embeddings, bytes(90 for _ in fingerprint.levels), fingerprint.duration_ms, 4)
    assert fingerprint.key == longer.key == quieter.key
    assert len({fingerprint.key, silent.key, make_fingerprint(2).key}) == 3


@pytest.mark.parametrize("thousandths", [-32_768, -201, 201, 32_767])
def test_speed_is_refused_when_it_is_too_far_off(thousandths):
    body = bytearray(encode(make_fingerprint()))[:-4]
    struct.pack_into("<h", body, 6, thousandths)
    with pytest.raises(MalformedFingerprint, match="speed"):
        decode(bytes(body) + struct.pack("<I", zlib.crc32(body)))


def test_fingerprint_is_as_before_when_the_speed_is_unchanged():
    fingerprint = make_fingerprint(1)
    head = b"%d:%d:" % (fingerprint.version, fingerprint.thinning)
    audible = bytes(level < 60 for level in fingerprint.levels)

    assert fingerprint.key == hashlib.sha256(head + audible + fingerprint.embeddings).hexdigest()
    assert encode(fingerprint)[6:8] == b"\0\0"


def test_keys_differ_when_speeds_do():
    fingerprint = make_fingerprint(1)
    assert len({replace(fingerprint, speed=speed).key for speed in (0.94, 1.0, 1.06, 1.061)}) == 4


def test_speed_stays_when_a_fingerprint_is_cut_or_thinned():
    slowed = replace(make_fingerprint(segments=100, thinning=1), speed=1.06)
    first = slowed.first(5)

    assert (first.speed, first.duration_ms, first.segments) == (1.06, 5000, 42)  # 5.3 s lie behind one another
    assert slowed.thinned(4).speed == 1.06


def test_first_keeps_what_starts_within():
    fingerprint = make_fingerprint(segments=100, thinning=4)
    first = fingerprint.first(20)
    assert (first.segments, first.duration_ms) == (40, 20_000)
    assert fingerprint.embeddings.startswith(first.embeddings)
    assert fingerprint.first(1000) == fingerprint
    assert fingerprint.first(0).segments == 0


def test_thinned_keeps_every_nth_segment():
    fingerprint = make_fingerprint(segments=9, thinning=1)
    thinned = fingerprint.thinned(4)
    assert thinned.levels == fingerprint.levels[::4]
    assert thinned.embeddings[DIMENSIONS : 2 * DIMENSIONS] == fingerprint.embeddings[4 * DIMENSIONS : 5 * DIMENSIONS]
    assert (thinned.thinning, thinned.duration_ms) == (4, fingerprint.duration_ms)
    with pytest.raises(ValueError, match="at least 1"):
        fingerprint.thinned(0)
