"""What is none of the edge's business reaches the origin byte for byte, and its answers come back so."""

from __future__ import annotations

import random

import pytest

from tests.clips import encoded, tone
from tests.edge.cloudflare.fake_origin import Told

NOISE = random.Random(1).randbytes(300_000)


def test_body_passes_untouched_when_it_is_large(edge, origin):
    response = edge.recognize(NOISE)
    assert (origin.asked[0].body, response.content) == (NOISE, NOISE)
    assert origin.asked[0].headers["content-type"] == "audio/wav"


def test_large_wav_passes_untouched_when_the_origin_reads_more_of_it(edge, origin):
    clip = encoded(tone(5.0), rate_hz=48_000)
    edge.recognize(clip)
    assert origin.asked[0].body == clip


def test_body_passes_untouched_when_its_length_is_not_stated(edge, origin):
    portions = [NOISE[start : start + 7_001] for start in range(0, len(NOISE), 7_001)]
    edge.request("POST", "/v1/recognize", content=iter(portions), headers={"content-type": "audio/wav"})
    assert origin.asked[0].body == NOISE


@pytest.mark.parametrize("stated", ["10", "0", "99999"])
def test_body_passes_untouched_when_its_length_is_a_lie(edge, origin, stated):
    edge.recognize(NOISE, x_lie_content_length=stated)
    assert origin.asked[0].body == NOISE


@pytest.mark.parametrize("stated", ["-1", "many", "1e3", "100001"])
def test_body_is_not_read_when_its_length_is_none_or_large(edge, origin, new_clip, stated):
    clip = new_clip()
    edge.recognize(clip, x_lie_content_length=stated)
    assert origin.asked[0].body == clip


@pytest.mark.parametrize("size", [99_999, 100_000, 100_001])
def test_body_passes_untouched_when_it_is_about_as_large_as_the_limit(edge, origin, size):
    edge.recognize(NOISE[:size])
    assert origin.asked[0].body == NOISE[:size]


@pytest.mark.parametrize("content_type", ["audio/mpeg", "audio/webm", "audio/ogg", "multipart/form-data; boundary=x"])
def test_body_passes_untouched_when_the_edge_does_not_read_its_type(edge, origin, new_clip, content_type):
    clip = new_clip()
    edge.recognize(clip, content_type)
    assert (origin.asked[0].body, origin.asked[0].headers["content-type"]) == (clip, content_type)


def test_body_passes_untouched_when_it_is_compressed(edge, origin, new_clip):
    clip = new_clip()
    edge.recognize(clip, content_encoding="br")
    assert origin.asked[0].body == clip


@pytest.mark.parametrize("name", ["mp3", "flac", "vorbis", "rf64", "aiff"])
def test_body_passes_untouched_when_its_bytes_are_of_another_format(edge, origin, name):
    clip = encoded(tone(0.3), name)
    assert len(clip) < 100_000
    edge.recognize(clip)
    assert origin.asked[0].body == clip


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/songs?limit=2"), ("DELETE", "/v1/songs/7"), ("GET", "/recognize")]
)
def test_other_requests_pass_when_they_are_the_origins(edge, origin, method, path):
    origin.otherwise = lambda asked: Told(404, b'{"code": "x"}', {"content-type": "application/json", "x-any": "1"})
    response = edge.request(method, path, headers={"authorization": "Bearer token", "x-request-id": "mine"})
    (asked,) = origin.asked
    assert (asked.method, asked.path, asked.headers["x-request-id"]) == (method, path, "mine")
    assert asked.headers["authorization"] == "Bearer token"
    assert (response.status_code, response.content, response.headers["x-any"]) == (404, b'{"code": "x"}', "1")


def test_redirect_passes_when_the_origin_sends_one(edge, origin):
    origin.otherwise = lambda asked: Told(307, b"", {"location": "/docs/"})
    response = edge.request("GET", "/docs")
    assert (response.status_code, response.headers["location"]) == (307, "/docs/")
