"""The hot index in workerd: it answers like the origin, without it too, and is swapped without losing a request."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from edge_benchmarks.cloudflare_host.hot_bucket import CURRENT
from sonica_fingerprint import extract
from sonica_fingerprint.bundle import read_bundle

from tests.bundles import SIGNER, STRANGER
from tests.clips import encoded
from tests.edge.hot_catalogue import SONG_SECONDS
from tests.music import make_music


@pytest.fixture
def hot_edge(edge, hot_bucket, hot_catalogue):
    """The edge, with all of the catalogue's songs in its hot index."""
    put(edge, hot_bucket, hot_catalogue.bundle)
    return edge


def put(edge, hot_bucket, bundle):
    """Publish a bundle, and ask the kernel Worker until it has looked."""
    hot_bucket.publish(bundle)
    for _ in range(50):
        described = edge.kernel("hotIndex")
        if described and described["sha256"] == read_bundle(bundle).sha256:
            return
    raise AssertionError("the bundle was not taken")


def cut(seed, start, seconds=3.0):
    samples = make_music(seed, SONG_SECONDS)[int(start * 16_000) :][: int(seconds * 16_000)]
    return np.round(samples * 32_767).astype(np.int16)


def wav(samples):
    return encoded((samples / np.float32(32_768))[:, None].astype(np.float32), rate_hz=16_000)


async def test_answer_is_the_origins_when_the_hot_index_gives_it(hot_edge, origin, hot_catalogue):
    for seed in (1, 3, 6):
        clip = wav(cut(seed, 5.0))
        answer = hot_edge.recognize(clip).json()
        import io

        import soundfile

        query = extract(soundfile.read(io.BytesIO(clip), dtype="float32")[0])
        expected = await hot_catalogue.origin_answer(query)
        assert expected["status"] == "match"
        assert {name: answer[name] for name in expected} == expected
        assert (answer["tier"], answer["cache"], answer["query"]["sha256"]) == ("edge", "miss", query.key)
        assert answer["index_version"] == hot_catalogue.index.version
        assert answer["ambiguous"] == (len(expected["matches"]) > 1)
    assert origin.asked == []


def test_hot_song_is_named_when_the_origin_is_away(hot_edge, origin):
    hot_edge.set_variables(origin_url="http://127.0.0.1:9")
    answer = hot_edge.recognize(wav(cut(2, 8.0))).json()
    assert (answer["status"], answer["tier"]) == ("match", "edge")
    assert hot_edge.recognize(wav(cut(777, 8.0))).json()["code"] == "origin_unavailable"


def test_origin_is_asked_when_no_hot_song_is_the_one(hot_edge, origin):
    answer = hot_edge.recognize(wav(cut(778, 8.0))).json()
    assert (answer["status"], answer["tier"], len(origin.asked)) == ("match", "origin", 1)


def test_silence_is_told_when_nobody_need_be_asked(hot_edge, origin):
    answer = hot_edge.recognize(wav(np.zeros(32_000, np.int16))).json()
    assert (answer["status"], answer["reason"], answer["tier"]) == ("no_match", "silence", "edge")
    assert origin.asked == []


def test_hot_answer_is_remembered_when_it_was_given(hot_edge, origin):
    clip = wav(cut(4, 6.0))
    first, second = hot_edge.recognize(clip).json(), hot_edge.recognize(clip).json()
    assert (first["cache"], second["cache"]) == ("miss", "edge")
    assert first["matches"] == second["matches"]


def test_old_answers_are_not_given_when_the_bundle_is_another(hot_edge, origin, hot_bucket, hot_catalogue):
    clip = wav(cut(5, 6.0))
    hot_edge.recognize(clip)
    put(hot_edge, hot_bucket, relabelled(hot_catalogue, "another-version"))
    answer = hot_edge.recognize(clip).json()
    assert (answer["cache"], answer["index_version"]) == ("miss", "another-version")


HARM = {
    "half there": lambda edge, bundle: change_file(edge, bundle, lambda body: body[: len(body) // 2]),
    "a bit flipped": lambda edge, bundle: change_file(
        edge, bundle, lambda body: body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
    ),
    "missing": lambda edge, bundle: edge.delete_object(f"hot/files/{bundle.manifest.files[0].sha256}"),
    "a manifest changed": lambda edge, bundle: edge.put_object(
        f"hot/manifests/{bundle.name}", bundle.sealed.replace(b"songs", b"songz")
    ),
    "a manifest missing": lambda edge, bundle: edge.delete_object(f"hot/manifests/{bundle.name}"),
    "half a pointer": lambda edge, bundle: edge.put_object(CURRENT, b"{half of it"),
    "no pointer": lambda edge, bundle: edge.delete_object(CURRENT),
}


def change_file(edge, bundle, change):
    edge.put_object(f"hot/files/{bundle.manifest.files[0].sha256}", change(bundle.body))


@dataclass
class Published:
    body: bytes
    sealed: bytes
    name: str
    manifest: object


def publish(hot_bucket, body, *, key=SIGNER):
    bundle = hot_bucket.publish_as(body, key)
    return Published(body, bundle.sealed, bundle.name, bundle.manifest)


@pytest.mark.parametrize("name", HARM)
def test_bundle_is_refused_and_the_old_one_kept_when_it_has(hot_edge, origin, hot_bucket, hot_catalogue, name):
    other = hot_catalogue.bundle_of([1])
    before = hot_edge.kernel("hotIndex")
    HARM[name](hot_edge, publish(hot_bucket, other))  # nobody looks meanwhile: looks come with requests
    assert [hot_edge.kernel("hotIndex") for _ in range(3)] == [before] * 3
    assert hot_edge.recognize(wav(cut(3, 9.0))).json()["tier"] == "edge"
    put(hot_edge, hot_bucket, other)
    assert hot_edge.kernel("hotIndex")["songs"] == 1


@pytest.mark.parametrize("key", [None, STRANGER])
def test_bundle_is_refused_when_nobody_believed_has_signed_it(hot_edge, origin, hot_bucket, hot_catalogue, key):
    before = hot_edge.kernel("hotIndex")
    hot_bucket.publish_as(hot_catalogue.bundle_of([1]), key)
    assert [hot_edge.kernel("hotIndex") for _ in range(3)] == [before] * 3


def test_older_bundle_is_refused_when_it_is_replayed(hot_edge, origin, hot_bucket, hot_catalogue):
    older = publish(hot_bucket, hot_catalogue.bundle_of([1, 2]))
    pointer = hot_bucket.current()
    put(hot_edge, hot_bucket, hot_catalogue.bundle_of([1, 2, 3]))
    before = hot_edge.kernel("hotIndex")
    hot_edge.put_object(CURRENT, pointer)
    assert older.manifest.songs == 2
    assert [hot_edge.kernel("hotIndex") for _ in range(3)] == [before] * 3


def test_no_request_is_lost_when_bundles_are_swapped_under_load(hot_edge, origin, hot_bucket, hot_catalogue):
    bundles = [hot_catalogue.bundle, hot_catalogue.bundle_of([1, 2, 3])]
    clips = [wav(cut(1, start)) for start in range(12)]
    stop = threading.Event()

    def swap():
        turn = 0
        while not stop.is_set():
            turn += 1
            put(hot_edge, hot_bucket, bundles[turn % 2])

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        with ThreadPoolExecutor(4) as callers:
            answers = list(callers.map(lambda clip: hot_edge.recognize(clip).json(), clips))
    finally:
        stop.set()
        swapping.join()
    assert {(answer["status"], answer["tier"]) for answer in answers} == {("match", "edge")}
    assert {answer["matches"][0]["song"]["id"] for answer in answers} == {1}


def relabelled(hot_catalogue, version):
    """The same songs under another index version."""
    from sonica_fingerprint import bundle as bundles

    details = read_bundle(hot_catalogue.bundle).details
    body = hot_catalogue.bundle
    import hashlib
    import json
    import struct

    text = json.dumps({**details, "index_version": version}, ensure_ascii=False).encode()
    start = len(body) - bundles._HASH_BYTES - struct.unpack_from("<I", body, 16)[0]
    renamed = body[:16] + struct.pack("<I", len(text)) + body[20:start] + text
    return renamed + hashlib.sha256(renamed).digest()
