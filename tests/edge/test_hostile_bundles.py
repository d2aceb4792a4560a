"""Bundles that are damaged, half there or made to hurt are refused by both hosts, and the old one stays."""

import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sonica_fingerprint import FingerprintError, _native, encode, extract
from sonica_fingerprint.bundle import CODE_BYTES
from sonica_fingerprint.hot_index import HotIndex

from tests.edge.javascript_kernel import RefusedByJavaScriptError
from tests.music import make_music

HEADER_BYTES, HASH_BYTES = 20, 32
ABSURD = 0xFFFFFFFF


class Parts:
    """A bundle in pieces that can be changed one by one."""

    def __init__(self, bundle):
        self.header = bytearray(bundle[:HEADER_BYTES])
        self.songs, self.segments, _ = struct.unpack_from("<III", bundle, 8)
        firsts_end = HEADER_BYTES + 4 * (self.songs + 1)
        codes_start = firsts_end + 4 * self.segments
        codes_end = codes_start + CODE_BYTES * self.segments
        self.firsts = np.frombuffer(bundle[HEADER_BYTES:firsts_end], "<u4").copy()
        self.positions = np.frombuffer(bundle[firsts_end:codes_start], "<u4").copy()
        self.codes = bundle[codes_start:codes_end]
        self.details = json.loads(bundle[codes_end:-HASH_BYTES])

    def sealed(self, text=None):
        """Put the pieces together again, under a hash that fits."""
        text = json.dumps(self.details).encode() if text is None else text
        struct.pack_into("<I", self.header, 16, len(text))
        return sealed(bytes(self.header) + self.firsts.tobytes() + self.positions.tobytes() + self.codes + text)


def sealed(body):
    return body + hashlib.sha256(body).digest()


def with_number(bundle, at, number):
    changed = bytearray(bundle[:-HASH_BYTES])
    struct.pack_into("<I", changed, at, number)
    return sealed(bytes(changed))


def with_byte(bundle, at, byte):
    changed = bytearray(bundle[:-HASH_BYTES])
    changed[at] = byte
    return sealed(bytes(changed))


def with_part(bundle, name, at, value):
    parts = Parts(bundle)
    getattr(parts, name)[at] = value
    return parts.sealed()


def with_details(bundle, change):
    parts = Parts(bundle)
    change(parts.details)
    return parts.sealed()


def without_songs(bundle):
    parts = Parts(bundle)
    struct.pack_into("<II", parts.header, 8, 0, 0)
    parts.firsts, parts.positions, parts.codes = parts.firsts[:1], parts.positions[:0], b""
    parts.details["songs"] = []
    return parts.sealed()


HOSTILE = {
    "nothing": lambda bundle: b"",
    "a header alone": lambda bundle: bundle[:HEADER_BYTES],
    "half there": lambda bundle: bundle[: len(bundle) // 2],
    "all but a byte": lambda bundle: bundle[:-1],
    "a byte too many": lambda bundle: bundle + b"\0",
    "wrong hash": lambda bundle: bundle[:-1] + bytes([bundle[-1] ^ 1]),
    "a bit flipped": lambda bundle: bundle[:1000] + bytes([bundle[1000] ^ 8]) + bundle[1001:],
    "zeros where the upload ended": lambda bundle: bundle[:2000] + bytes(len(bundle) - 2000),
    "another magic": lambda bundle: with_byte(bundle, 3, ord("X")),
    "another format": lambda bundle: with_byte(bundle, 4, 2),
    "another fingerprint version": lambda bundle: with_byte(bundle, 5, bundle[5] + 1),
    "another thinning": lambda bundle: with_byte(bundle, 6, 1),
    "reserved byte": lambda bundle: with_byte(bundle, 7, 1),
    "absurd songs": lambda bundle: with_number(bundle, 8, ABSURD),
    "absurd segments": lambda bundle: with_number(bundle, 12, ABSURD),
    "absurd details": lambda bundle: with_number(bundle, 16, ABSURD),
    "a song more": lambda bundle: with_number(bundle, 8, Parts(bundle).songs + 1),
    "segments that wrap around": lambda bundle: with_number(bundle, 12, Parts(bundle).segments + (1 << 26)),
    "no songs": without_songs,
    "first song not at the start": lambda bundle: with_part(bundle, "firsts", 0, 1),
    "songs out of order": lambda bundle: with_part(bundle, "firsts", 1, Parts(bundle).firsts[2] + 1),
    "song beyond the end": lambda bundle: with_part(bundle, "firsts", 1, ABSURD),
    "last song ends early": lambda bundle: with_part(bundle, "firsts", -1, Parts(bundle).segments - 1),
    "positions out of order": lambda bundle: with_part(bundle, "positions", 5, 0),
    "positions twice the same": lambda bundle: with_part(bundle, "positions", 5, Parts(bundle).positions[4]),
    "position that is negative as a signed number": lambda bundle: with_part(bundle, "positions", 0, ABSURD),
    "position of next month": lambda bundle: with_part(bundle, "positions", -1, 1 << 24),
    "details that are not JSON": lambda bundle: Parts(bundle).sealed(b"{"),
    "details that are not UTF-8": lambda bundle: Parts(bundle).sealed(b'{"songs": "\xff"}'),
    "details that are a list": lambda bundle: Parts(bundle).sealed(b"[]"),
    "a song without details": lambda bundle: with_details(bundle, lambda details: details["songs"].pop()),
    "a song without length": lambda bundle: with_details(
        bundle, lambda details: details["songs"][0].pop("duration_ms")
    ),
    "no calibration": lambda bundle: with_details(bundle, lambda details: details.pop("calibration")),
    "a calibration without curves": lambda bundle: with_details(
        bundle, lambda details: details["calibration"].update(curves=[])
    ),
    "a calibration of words": lambda bundle: with_details(
        bundle, lambda details: details["calibration"]["curves"][0].update(intercept="much")
    ),
    "no limits": lambda bundle: with_details(bundle, lambda details: details.pop("limits")),
    "no candidates": lambda bundle: with_details(bundle, lambda details: details["limits"].update(candidates_max=0)),
    "no catalogue": lambda bundle: with_details(bundle, lambda details: details.pop("catalogue_segments")),
}


@pytest.fixture(scope="module")
def query():
    return extract(make_music(1, 9)[3 * 16_000 :])


@pytest.mark.parametrize("name", HOSTILE)
def test_native_refuses_the_bundle_when_it_is(hot_catalogue, name):
    with pytest.raises(FingerprintError):
        HotIndex(HOSTILE[name](hot_catalogue.bundle))


@pytest.mark.parametrize("name", HOSTILE)
def test_javascript_refuses_the_bundle_and_answers_by_the_old_one_when_it_is(
    hot_catalogue, javascript_kernel, query, name
):
    before = javascript_kernel.load_hot_index(hot_catalogue.bundle)
    with pytest.raises(RefusedByJavaScriptError):
        javascript_kernel.load_hot_index(HOSTILE[name](hot_catalogue.bundle))
    assert javascript_kernel.hot_index() == before
    assert javascript_kernel.recognize(encode(query))["status"] == "match"


@pytest.mark.parametrize("change", ["nothing", "cut", "version", "magic", "checksum", "count"])
def test_javascript_refuses_a_fingerprint_when_it_is_none(hot_catalogue, javascript_kernel, query, change):
    javascript_kernel.load_hot_index(hot_catalogue.bundle)
    whole = encode(query)
    body = {
        "nothing": b"",
        "cut": whole[:-5],
        "version": whole[:4] + bytes([whole[4] + 1]) + whole[5:],
        "magic": b"X" + whole[1:],
        "checksum": whole[:-1] + bytes([whole[-1] ^ 1]),
        "count": whole[:12] + struct.pack("<I", ABSURD) + whole[16:],
    }[change]
    with pytest.raises(RefusedByJavaScriptError):
        javascript_kernel.recognize(body)


def test_native_takes_no_bytes_that_could_change_after_they_were_checked(hot_catalogue):
    with pytest.raises(TypeError):
        _native.HotIndex(bytearray(hot_catalogue.bundle))


CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, early=st.booleans())
def test_changed_bytes_are_refused_or_answered_but_never_crash(hot_catalogue, query, changes, early):
    body = bytearray(hot_catalogue.bundle[:-HASH_BYTES])
    reach = HEADER_BYTES + 64 if early else len(body)  # the header and the table of songs deserve most of it
    for place, byte in changes:
        body[int(place * reach)] = byte
    try:
        answer = HotIndex(sealed(bytes(body))).recognize(query)
    except FingerprintError:
        return
    assert answer is None or answer["status"] in ("match", "no_match")


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=300))
def test_any_bytes_are_refused(body):
    with pytest.raises(FingerprintError):
        HotIndex(sealed(b"SNHI" + body))
