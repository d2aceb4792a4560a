"""The hot index, native and in JavaScript, gives the origin's answers on the origin's songs."""

from dataclasses import replace

import numpy as np
import pytest
import soxr
from sonica_fingerprint import SAMPLE_RATE_HZ, STEP_MS, Fingerprint, encode, extract
from sonica_fingerprint.hot_index import HotIndex

from tests.edge.hot_catalogue import SHARED_SONG, SONG_SECONDS
from tests.edge.javascript_kernel import JavaScriptKernel
from tests.music import make_music


def cut(seed, start, seconds, *, noise=0.0, speed=1.0, taken=1.0):
    """A clip of song number seed."""
    played = make_music(seed, SONG_SECONDS)[int(start * SAMPLE_RATE_HZ) :][: int(seconds * speed * SAMPLE_RATE_HZ)]
    heard = soxr.resample(played, SAMPLE_RATE_HZ * speed, SAMPLE_RATE_HZ)
    heard = heard + noise * np.random.default_rng(seed).normal(size=len(heard))
    return extract(heard.astype(np.float32), taken)


def beyond_the_end():
    rest = 0.01 * np.random.default_rng(1).normal(size=2 * SAMPLE_RATE_HZ)
    return extract(np.concatenate([make_music(1, SONG_SECONDS)[-4 * SAMPLE_RATE_HZ :], rest]).astype(np.float32))


def before_the_start():
    before = 0.01 * np.random.default_rng(1).normal(size=SAMPLE_RATE_HZ)
    return extract(np.concatenate([before, make_music(2, SONG_SECONDS)[: 4 * SAMPLE_RATE_HZ]]).astype(np.float32))


def half_muted():
    clip = cut(3, 5, 8)
    half = clip.segments // 2
    levels = clip.levels[:half] + bytes([120] * (clip.segments - half))
    return Fingerprint(clip.embeddings, levels, clip.duration_ms)


def noise(seconds):
    return extract((0.1 * np.random.default_rng(9).normal(size=seconds * SAMPLE_RATE_HZ)).astype(np.float32))


CLIPS = {
    "one second": lambda: cut(1, 10, 1),
    "three seconds": lambda: cut(2, 7.3, 3),
    "five seconds": lambda: cut(3, 4, 5),
    "as long as is used": lambda: cut(4, 1, 20),
    "longer than is used": lambda: cut(4, 1, 22),
    "little noise": lambda: cut(5, 12.1, 5, noise=0.05),
    "loud noise": lambda: cut(1, 3, 5, noise=0.3),
    "drowned in noise": lambda: cut(1, 3, 5, noise=3.0),
    "faster": lambda: cut(2, 2, 8, speed=1.04),
    "slower": lambda: cut(3, 2, 8, speed=0.96),
    "much faster": lambda: cut(2, 2, 8, speed=1.1, taken=1.06),
    "much slower": lambda: cut(3, 2, 8, speed=0.9, taken=0.94),
    "unknown song at another speed": lambda: cut(77, 6, 5, taken=0.94),
    "much longer at another speed": lambda: cut(4, 0, 22, speed=1.05, taken=1.06),
    "in two songs": lambda: cut(SHARED_SONG, 10, 6),
    "goes on after the end": beyond_the_end,
    "begins before the start": before_the_start,
    "muted halfway": half_muted,
    "thinned": lambda: cut(5, 6, 8).thinned(2),
    "unknown song": lambda: cut(77, 6, 5),
    "noise alone": lambda: noise(5),
    "silence": lambda: extract(np.zeros(3 * SAMPLE_RATE_HZ, np.float32)),
    "too short": lambda: extract(np.zeros(SAMPLE_RATE_HZ // 2, np.float32)),
}


@pytest.fixture(scope="module")
def native(hot_catalogue):
    return HotIndex(hot_catalogue.bundle)


@pytest.fixture(scope="module")
def javascript(hot_catalogue, javascript_kernel):
    javascript_kernel.load_hot_index(hot_catalogue.bundle)
    return javascript_kernel


@pytest.mark.parametrize("name", CLIPS)
async def test_answer_is_that_of_the_origin(hot_catalogue, native, name):
    query = CLIPS[name]()
    theirs, ours = await hot_catalogue.origin_answer(query), native.recognize(query)
    # The origin cuts clips where it decodes them; what it says of longer fingerprints is not asked here.
    if name in ("longer than is used", "much longer at another speed"):
        theirs = await hot_catalogue.origin_answer(query.first(20))
    assert (ours["status"], ours["reason"]) == (theirs["status"], theirs["reason"])
    assert [match["song"] for match in ours["matches"]] == [match["song"] for match in theirs["matches"]]
    for our, their in zip(ours["matches"], theirs["matches"], strict=True):
        assert our["offset_ms"] == pytest.approx(their["offset_ms"], abs=STEP_MS)
        assert our["score"] == pytest.approx(their["score"], abs=0.02)
        assert our["segments"][0].keys() == their["segments"][0].keys()
        assert our["segments"] == their["segments"] or our["offset_ms"] != their["offset_ms"]


@pytest.mark.parametrize("name", CLIPS)
def test_javascript_answers_like_native_to_the_last_digit(native, javascript, name):
    query = CLIPS[name]()
    assert javascript.recognize(encode(query)) == native.recognize(query)


def test_clips_cover_every_outcome(native):
    answers = {name: native.recognize(clip()) for name, clip in CLIPS.items()}
    assert {answer["reason"] for answer in answers.values()} == {None, "silence", "too_short", "below_threshold"}
    assert {match["song"]["external_id"] for match in answers["in two songs"]["matches"]} == {"song-6", "song-7"}
    assert answers["faster"]["matches"][0]["segments"][0]["speed"] == pytest.approx(1.04, abs=0.021)
    assert answers["much faster"]["matches"][0]["segments"][0]["speed"] == pytest.approx(1.1, abs=0.021)
    assert len(answers["five seconds"]["matches"]) == 1


@pytest.mark.parametrize("rate", [0.0001, 0.05])
def test_fewer_answers_are_given_when_fewer_false_ones_may_be(native, javascript, rate):
    noises = [cut(1, 3, 3, noise=level) for level in np.geomspace(0.2, 3, 8)]
    ours = [native.recognize(query, false_accept_rate=rate) for query in noises]
    assert [javascript.recognize(encode(query), rate) for query in noises] == ours
    accepted = sum(answer["status"] == "match" for answer in ours)
    assert accepted < 8 if rate < 0.001 else accepted > 0


@pytest.mark.parametrize("speed", [0.94, 1.06])
def test_more_is_demanded_when_the_query_is_at_another_speed(native, javascript, speed):
    noises = [cut(1, 3, 3, noise=level) for level in np.geomspace(0.2, 3, 8)]
    taken = [replace(query, speed=speed) for query in noises]

    ours = [native.recognize(query, false_accept_rate=0.05) for query in taken]
    assert [javascript.recognize(encode(query), 0.05) for query in taken] == ours
    stricter = [native.recognize(query, false_accept_rate=0.005) for query in noises]
    assert [each["status"] for each in ours] == [each["status"] for each in stricter]


def test_clip_is_left_to_the_origin_when_it_is_longer_than_a_search_takes(hot_catalogue, javascript):
    generous = hot_catalogue.bundle_with(clip_seconds_max=60.0)
    query = extract(make_music(1, 40))
    assert HotIndex(generous).recognize(query) is None
    javascript.load_hot_index(generous)
    assert javascript.recognize(encode(query)) is None
    javascript.load_hot_index(hot_catalogue.bundle)


def test_javascript_has_no_answer_when_no_bundle_is_loaded():
    kernel = JavaScriptKernel()
    assert kernel.hot_index() is None
    assert kernel.recognize(encode(cut(1, 1, 2))) is None
    kernel.close()


def test_javascript_answers_by_the_old_bundle_until_the_new_one_is_whole(hot_catalogue, javascript):
    small = hot_catalogue.bundle_of([1])
    meanwhile, afterwards = javascript.hot_indexes_around_a_load(small)
    assert (meanwhile["songs"], afterwards["songs"]) == (7, 1)
    assert javascript.recognize(encode(cut(1, 4, 5)))["status"] == "match"
    assert javascript.recognize(encode(cut(2, 4, 5)))["status"] == "no_match"
    assert javascript.load_two_hot_indexes(hot_catalogue.bundle, small)["songs"] == 1
    assert javascript.load_two_hot_indexes(small, hot_catalogue.bundle)["songs"] == 7


def test_summary_says_what_the_bundle_is(hot_catalogue, native, javascript):
    summary = javascript.load_hot_index(hot_catalogue.bundle)
    assert summary == javascript.hot_index()
    assert summary["version"] == native.version == hot_catalogue.index.version
    assert (
        (summary["songs"], summary["segments"]) == (native.songs, native.segments) == (7, hot_catalogue.index.segments)
    )
    assert summary["sha256"] == native.sha256 == hot_catalogue.bundle[-32:].hex()
