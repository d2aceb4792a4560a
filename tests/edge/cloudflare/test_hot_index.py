"""The hot index in workerd: it answers like the origin, without it too, and is swapped without losing a request."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sonica_fingerprint import extract
from sonica_fingerprint.bundle import read_bundle

from edge_functions.cloudflare_worker.publish import pointer_to
from tests.clips import encoded
from tests.edge.hot_catalogue import SONG_SECONDS
from tests.music import make_music


@pytest.fixture
def hot_edge(edge, hot_catalogue):
    """The edge, with all of the catalogue's songs in its hot index."""
    put(edge, hot_catalogue.bundle)
    return edge


def put(edge, bundle, **wrong):
    """Publish a bundle, and ask the kernel Worker until it has looked."""
    edge.publish(bundle, **pointer_to(bundle) | wrong)
    for _ in range(50):
        described = edge.kernel("hotIndex")
        if described and described["sha256"] == read_bundle(bundle).sha256:
            return
    if not wrong:
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


def test_old_answers_are_not_given_when_the_bundle_is_another(hot_edge, origin, hot_catalogue):
    clip = wav(cut(5, 6.0))
    hot_edge.recognize(clip)
    put(hot_edge, relabelled(hot_catalogue, "another-version"))
    answer = hot_edge.recognize(clip).json()
    assert (answer["cache"], answer["index_version"]) == ("miss", "another-version")


def test_bundle_is_refused_and_the_old_one_kept_when_it_is_not_whole(hot_edge, origin, hot_catalogue):
    other = hot_catalogue.bundle_of([1])
    damaged = bytearray(other)
    damaged[1000] ^= 1
    before = hot_edge.kernel("hotIndex")
    for body, wrong in [
        (other[: len(other) // 2], {}),
        (other[: len(other) // 2], {"bytes": len(other) // 2}),
        (other, {"sha256": "0" * 64}),
        (other, {"bytes": 10**9}),
        (bytes(damaged), {}),
        (b"", {"bytes": 0}),
    ]:
        hot_edge.publish(body, **pointer_to(other) | wrong)
        assert [hot_edge.kernel("hotIndex")["sha256"] for _ in range(3)] == [before["sha256"]] * 3
    hot_edge.control("point_text", "{half of it")
    assert hot_edge.kernel("hotIndex") == before
    assert hot_edge.recognize(wav(cut(3, 9.0))).json()["tier"] == "edge"
    put(hot_edge, other)
    assert hot_edge.kernel("hotIndex")["songs"] == 1


def test_no_request_is_lost_when_bundles_are_swapped_under_load(hot_edge, origin, hot_catalogue):
    bundles = [hot_catalogue.bundle, hot_catalogue.bundle_of([1, 2, 3])]
    clips = [wav(cut(1, start)) for start in range(12)]
    stop = threading.Event()

    def swap():
        turn = 0
        while not stop.is_set():
            turn += 1
            put(hot_edge, bundles[turn % 2])

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
